"""Build the site into _docs/.

nbdev prepares the notebooks; with Quarto on the path, Quarto
renders them. Without it smalldocs does, from the same
_quarto.yml, and KaTeX writes the formulas into the
pages, which then load nothing from the network."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
import yaml
from fontTools import subset
from nbdev import doclinks
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
import korean
from interactive import add_interactive, as_markdown

ROOT = Path(__file__).resolve().parent.parent
WORK, OUT, TOOLS = ROOT / '_proc', ROOT / '_docs', ROOT / 'tools' / 'node_modules'
# files of the repository that are pages too
TOPS = {'CHANGELOG.md': 'changelog.qmd', 'CONTRIBUTING.md': 'contributing.qmd'}
MATHS = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)
CDN = re.compile(r'<link [^>]*cdn[^>]*katex[^>]*>|<script [^>]*cdn[^>]*katex[^>]*></script>')
WEB_FONT = re.compile(r'@import url\(["\']?https?:[^)]*\);?')
RENDER = """
const katex = require(process.argv[1]), fs = require('fs');
const is = (node, name) => node.classes && node.classes.includes(name);
// KaTeX makes a box of what stands between two places where a line may end, a relation for example.
// Here the boxes of each equation in a row of equations go into one box more, so that the row is
// broken between its equations first.
const parts = line => {
  const Span = line.constructor, made = [];
  let part = [];
  const close = () => { if (part.length) made.push(new Span(['part'], part)); part = []; };
  for (const base of line.children) {
    if (!is(base, 'base')) { close(); made.push(base); continue; }
    part.push(base);
    const end = base.children.findIndex(node => is(node, 'allowbreak'));
    if (end < 0) continue;
    const em = parseFloat(base.children[end - 1].style.marginRight);
    base.children.length = end - 1;
    close();
    const space = `<span style="word-spacing:${em - 0.25}em"> </span>`;    // ends with its line
    made.push({classes: [], toMarkup: () => space});
  }
  close();
  line.children = made;
};
const one = ([tex, displayMode]) => {
  const options = {displayMode, throwOnError: true, strict: 'error'};
  if (!displayMode) return katex.renderToString(tex, options);
  const breaking = tex.replace(/\\\\q?quad(?![a-zA-Z])/g, '$&\\\\allowbreak ');
  const tree = katex.__renderToDomTree(breaking, options);
  parts(tree.children[0].children[1]);
  return tree.toMarkup().replaceAll('\\\\allowbreak ', '');
};
fs.writeFileSync(1, JSON.stringify(JSON.parse(fs.readFileSync(0)).map(one)));
"""


def prepare():
    """What nbdev_docs does before it calls Quarto (nbdev_proc_nbs
    would try to install Quarto, nbdev_docs to write the README).
    """
    os.chdir(ROOT)
    os.environ['PYTHONWARNINGS'] = 'ignore:Found cells containing imports'
    shutil.rmtree(WORK, ignore_errors=True)
    refresh_quarto_yml()
    doclinks._build_modidx()
    proc_nbs(n_workers=2)
    config = yaml.safe_load((WORK / 'nbdev.yml').read_text(encoding='utf-8'))
    for path in WORK.rglob('*.ipynb'):
        plain_signatures(path)
        as_markdown(path)
    korean.add_pages(WORK, site_url(), doclinks.NbdevLookup().linkify)
    for path in WORK.rglob('*.ipynb'):
        if path.stem != 'index':
            chapter_links(path, config['website'])
    for source, page in TOPS.items():
        (WORK / page).write_text(
            re.sub(r'\]\(nbs/', '](', (ROOT / source).read_text(encoding='utf-8')), encoding='utf-8'
        )
    config['website']['page-footer'] = footer(config['website'])
    (WORK / 'nbdev.yml').write_text(yaml.safe_dump(config, sort_keys=False), encoding='utf-8')
    return WORK / config['project']['output-dir']


def site_url():
    return yaml.safe_load((WORK / 'nbdev.yml').read_text(encoding='utf-8'))['website']['site-url']


def plain_signatures(path):
    """nbdev turns names in backticks into links even in the
    comments of a signature, where a page shows them as they are.
    """
    nb = json.loads(path.read_text(encoding='utf-8'))
    for out in (
        o
        for cell in nb['cells']
        for o in cell.get('outputs', [])
        if 'text/markdown' in o.get('data', {})
    ):
        parts = ''.join(out['data']['text/markdown']).split('```')
        parts[1::2] = [re.sub(r'\[(`[^`]+`)\]\([^)]+\)', r'\1', code) for code in parts[1::2]]
        out['data']['text/markdown'] = '```'.join(parts)
    path.write_text(json.dumps(nb), encoding='utf-8')


def in_repository(website, path):
    return f"{website['repo-url']}/blob/{website['repo-branch']}/{path}"


def chapter_links(path, website):
    "Below the title of a chapter, a line of links: where it can be run, and its source."
    nb = json.loads(path.read_text(encoding='utf-8'))
    notebook = path.relative_to(WORK).as_posix().removeprefix('ko/')
    on_binder = (
        website['repo-url'].replace('https://github.com/', 'https://mybinder.org/v2/gh/')
        + f"/{website['repo-branch']}?labpath={quote(f'nbs/{notebook}')}"
    )
    source = in_repository(website, f'nbs/{notebook}')
    links = [('Run it on Binder', on_binder), ('Source of this page', source)]
    if path.parent.name == 'ko':
        links = [
            ('Binder에서 실행하기', on_binder),
            ('노트북', source),
            ('번역', in_repository(website, f'nbs/ko/{path.stem}.md')),
        ]
    text = (
        '::: {.chapter-links}\n\n' + ' '.join(f'[{text}]({url})' for text, url in links) + '\n\n:::'
    )
    above = next(i for i, cell in enumerate(nb['cells']) if ''.join(cell['source']).strip())
    # the switch stands between the title and the links
    above += nb['cells'][above + 1].get('id') == 'languages'
    nb['cells'].insert(
        above + 1, dict(cell_type='markdown', id='chapter-links', metadata={}, source=text)
    )
    path.write_text(json.dumps(nb), encoding='utf-8')


def footer(website):
    pages = [
        (text, page)
        for text, page in (('Changelog', 'changelog.qmd'), ('Contributing', 'contributing.qmd'))
    ]
    files = [
        ('Cite', in_repository(website, 'CITATION.cff')),
        ('Licence', in_repository(website, 'LICENSE')),
        ('Source', website['repo-url']),
    ]
    return {
        'left': website['title'],
        'right': [dict(text=text, href=href) for text, href in pages + files],
    }


def page_name(page):
    return re.sub(r'^\d+[a-zA-Z0-9]*_', '', page)


def up(page, site):
    return '../' * len(page.relative_to(site).parent.parts)


def rename(pages, site):
    "Give every page the name that nbdev gives it, and lead the links there."
    url = site_url()
    names = {p.name: page_name(p.name) for p in pages}
    old = re.compile(r'\b(' + '|'.join(n for n in names if n != names[n]) + r')\b')
    for path in [*pages, site / 'search.json', site / 'sitemap.xml']:
        text = old.sub(lambda m: names[m[1]], path.read_text(encoding='utf-8'))
        if path in pages:
            text = text.replace(f'href="{url}/', f'href="{up(path, site)}')
        path.unlink()
        path.with_name(page_name(path.name)).write_text(text, encoding='utf-8')
    return [p.with_name(names[p.name]) for p in pages]


def katex():
    "The folder of KaTeX, installed by npm where it is not there yet."
    folder = TOOLS / 'katex'
    wanted = json.loads((TOOLS.parent / 'package.json').read_text(encoding='utf-8'))[
        'dependencies'
    ]['katex']
    if (
        not folder.exists()
        or json.loads((folder / 'package.json').read_text(encoding='utf-8'))['version'] != wanted
    ):
        if not shutil.which('npm'):
            sys.exit(
                'docs: install Quarto, or else Node.js with npm, which brings KaTeX for the '
                'formulas'
            )
        subprocess.run(
            ['npm', 'ci', '--silent', '--no-audit', '--no-fund', '--prefix', TOOLS.parent],
            check=True,
        )
    return folder / 'dist'


def write_maths(pages, site):
    """Replace the TeX in the pages by what KaTeX makes of
    it; a formula that it cannot read ends the build.
    """
    folder = katex()
    texts = {p: p.read_text(encoding='utf-8') for p in pages}
    found = [
        (html.unescape(tex), kind == 'display')
        for text in texts.values()
        for kind, tex in MATHS.findall(text)
    ]
    made = subprocess.run(
        ['node', '-e', RENDER, folder / 'katex.js'],
        input=json.dumps(found),
        stdout=subprocess.PIPE,
        encoding='utf-8',
        check=True,
    )
    made = iter(json.loads(made.stdout))
    for page, text in texts.items():
        text = MATHS.sub(lambda m: f'<span class="math {m[1]}">{next(made)}</span>', text)
        links = iter(
            [f'<link rel="stylesheet" href="{up(page, site)}site_libs/katex/katex.min.css">']
        )
        page.write_text(CDN.sub(lambda m: next(links, ''), text), encoding='utf-8')
    shutil.copytree(
        folder / 'fonts',
        site / 'site_libs' / 'katex' / 'fonts',
        ignore=shutil.ignore_patterns('*.ttf', '*.woff'),
    )
    css = (folder / 'katex.min.css').read_text(encoding='utf-8')
    (site / 'site_libs' / 'katex' / 'katex.min.css').write_text(
        re.sub(r',url\([^)]*\.(woff|ttf)\) format\("\w+"\)', '', css), encoding='utf-8'
    )


# what smalldocs writes, and what a reader of the screen or the keyboard needs in its place
MENDS = [
    (
        r'<a (class="sidebar-item-(?:text|toggle)[^>]*?) role="navigation"([^>]*)>(.*?)</a>',
        r'<button type="button" \1\2>\3</button>',
    ),
    (r'<nav class="navbar ', r'<nav aria-label="Site" class="navbar '),
    (r'<nav id="quarto-sidebar"', r'<nav aria-label="Chapters" id="quarto-sidebar"'),
    (
        r'<nav class="quarto-secondary-nav"',
        r'<nav aria-label="Where this page is" class="quarto-secondary-nav"',
    ),
    (
        r'<nav class="page-navigation"',
        r'<nav aria-label="Previous and next" class="page-navigation"',
    ),
    (r'(class="quarto-page-breadcrumbs" aria-label=)"breadcrumb"', r'\1"Sections and pages"'),
    (
        r'<a class="quarto-color-scheme-toggle nav-link" href=""',
        (
            r'<a class="quarto-color-scheme-toggle nav-link" href="#" role="button" '
            r'aria-label="Toggle dark mode"'
        ),
    ),
    (r'<thead>\s*<tr>\s*(?:<th[^>]*></th>\s*)+</tr>\s*</thead>', ''),
    (r'<th([^>]*)></th>', r'<td\1></td>'),
    (
        r'<button title="Copy to Clipboard"',
        r'<button type="button" aria-label="Copy" title="Copy to Clipboard"',
    ),
]


def in_order(text):
    """Headings that skip a level move up to the next one: nbdev
    writes a function's name as a third level, wherever it stands.
    """
    level = 1

    def one(m):
        nonlocal level
        level = min(int(m[1]), level + 1)
        return f'<h{level}{m[2]}</h{level}>'

    head, start, body = text.partition('<main')
    return head + start + re.sub(r'<h([1-6])\b(.*?)</h\1>', one, body, flags=re.S)


def mend(pages):
    for page in pages:
        text = page.read_text(encoding='utf-8')
        for found, better in MENDS:
            text = re.sub(found, better, text, flags=re.S)
        page.write_text(in_order(text), encoding='utf-8')


MATHML = r'<math\b[^>]*\bdisplay="block".*?</math>'
TABLE = r'<table\b.*?</table>'
HELD = re.compile(
    r'<(span class="math display"|div class="sd-table"|span '
    rf'class="katex-mathml")>\s*(?:{MATHML}|{TABLE})',
    re.S,
)
WIDE = re.compile(rf'{HELD.pattern}|(?P<math>{MATHML})|(?P<table>{TABLE})', re.S)


def hold_wide(text):
    """Quarto's formulas and tables get a box each that can scroll, as those of
    smalldocs have one: a table that scrolls itself is none to a screen reader.
    """

    def one(m):
        if m['math']:
            return f'<span class="math display">{m["math"]}</span>'
        if m['table']:
            return f'<div class="sd-table">{m["table"]}</div>'
        return m[0]

    return WIDE.sub(one, text)


def unlink_private(text):
    "nbdev makes a link of every name in backticks; private ones have no place to lead to."
    return re.sub(r'<a href="[^"]*#_\w[^"]*"[^>]*>(.*?)</a>', r'\1', text, flags=re.S)


def used_rules(css, words):
    """The rules of a style sheet whose selectors name only
    classes that are among the words; others can match nothing.
    """
    kept, at = [], 0
    while (brace := css.find('{', at)) >= 0:
        depth, end = 1, brace + 1
        while depth:
            depth, end = depth + {'{': 1, '}': -1}.get(css[end], 0), end + 1
        head, body, at = css[at:brace].split(';')[-1], css[brace + 1 : end - 1], end
        if head.startswith(('@media', '@supports', '@container', '@layer')):
            body = used_rules(body, words)
        elif not head.startswith('@'):
            selectors = re.split(r',(?![^()]*\))', head)
            head = ','.join(
                s for s in selectors if set(re.findall(r'\.(-?[a-zA-Z_][\w-]*)', s)) <= words
            )
        if head and body:
            kept.append(f'{head}{{{body}}}')
    return ''.join(kept)


def lighten(pages, site):
    """Leave out the rules and the icons that no page uses:
    most of Bootstrap, which every page would load.
    """
    libs = site / 'site_libs'
    texts = [p.read_text(encoding='utf-8') for p in [*pages, *libs.rglob('*.js')]]
    words = set(re.findall(r'[\w-]+', ' '.join(texts)))
    for sheet in libs.glob('themes/*.css'):
        sheet.write_text(used_rules(sheet.read_text(encoding='utf-8'), words), encoding='utf-8')
    icons = libs / 'bootstrap-icons'
    sheet, font = icons / 'bootstrap-icons.min.css', icons / 'fonts' / 'bootstrap-icons.woff'
    rules = dict(
        re.findall(
            r'\.(bi-[\w-]+)::before\{content:"\\([0-9a-f]+)"\}', sheet.read_text(encoding='utf-8')
        )
    )
    rules = {name: code for name, code in rules.items() if name in words}
    codes = {
        int(c, 16)
        for c in [
            *rules.values(),
            *re.findall(
                r'content: *"\\(f[0-9a-f]{3})"',
                (libs / 'smalldocs.css').read_text(encoding='utf-8'),
            ),
        ]
    }
    subset.main(
        [
            str(font),
            f'--unicodes={",".join(f"{c:x}" for c in codes)}',
            '--flavor=woff',
            f'--output-file={font}.small',
        ]
    )
    Path(f'{font}.small').replace(font)
    (icons / 'fonts' / 'bootstrap-icons.woff2').unlink()
    common = re.search(r'\.bi::before,[^{]*(\{[^}]*\})', sheet.read_text(encoding='utf-8'))[1]
    face = (
        '@font-face{font-display:block;font-family:"bootstrap-icons";'
        'src:url("fonts/bootstrap-icons.woff") format("woff")}'
    )
    sheet.write_text(
        face
        + '.bi::before'
        + common
        + ''.join(f'.{name}::before{{content:"\\{code}"}}' for name, code in rules.items()),
        encoding='utf-8',
    )


def redirect_old_pages(site):
    "A page where one was before the folders, so that old links and bookmarks still lead somewhere."
    moved = yaml.safe_load((ROOT / 'nbs' / 'moved.yml').read_text(encoding='utf-8'))
    for old, new in moved.items():
        assert not (site / old).exists() and (site / new).exists(), f'nbs/moved.yml: {old} -> {new}'
        script = f"location.replace('{new}' + location.hash)"
        (site / old).write_text(
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>This page has '
            'moved</title>'
            f'<link rel="canonical" href="{new}"><meta name="robots" '
            f'content="noindex"><script>{script}</script>'
            '</head><body><main><h1>This page has moved</h1><p>It is now at <a '
            f'href="{new}">{new}</a>.</p></main></body></html>\n',
            encoding='utf-8',
        )


def with_smalldocs(site):
    run = subprocess.run(
        [Path(sys.executable).with_name('smalldocs'), 'render', '--quiet', WORK],
        stderr=subprocess.PIPE,
        encoding='utf-8',
    )
    lines = [
        line
        for line in run.stderr.splitlines()
        if not re.search(r'output-file is not read|(html-math-method|grid) is ignored', line)
    ]
    if lines:
        print('\n'.join(lines), file=sys.stderr)
    if run.returncode:
        sys.exit(run.returncode)
    for sheet in site.rglob('*.css'):
        sheet.write_text(WEB_FONT.sub('', sheet.read_text(encoding='utf-8')), encoding='utf-8')
    pages = rename(sorted(site.rglob('*.html')), site)
    write_maths(pages, site)
    mend(pages)
    lighten(pages, site)


def main():
    site = prepare()
    if shutil.which('quarto'):
        subprocess.run(['quarto', 'render', '--no-cache'], cwd=WORK, check=True)
    else:
        with_smalldocs(site)
    for page in site.rglob('*.html'):
        text = unlink_private(hold_wide(page.read_text(encoding='utf-8')))
        page.write_text(text, encoding='utf-8')
    add_interactive(site)
    redirect_old_pages(site)
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.move(site, OUT)
    shutil.rmtree(WORK)
    korean_pages = len(list(OUT.glob('ko/*.html')))
    print(
        f'{len(list(OUT.rglob("*.html"))) - korean_pages} pages in {OUT.name}/, '
        f'{korean_pages} in {OUT.name}/ko/'
    )


if __name__ == '__main__':
    main()
