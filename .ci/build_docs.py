"""Build the site into _docs/.

nbdev prepares the notebooks; with Quarto on the path, Quarto renders them. Without it smalldocs does, from the same
_quarto.yml, and KaTeX writes the formulas into the pages, which then load nothing from the network."""
import html, json, os, re, shutil, subprocess, sys
from pathlib import Path
import yaml
from nbdev import doclinks
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
import korean
from interactive import add_interactive, as_markdown

ROOT = Path(__file__).resolve().parent.parent
WORK, OUT, TOOLS = ROOT/'_proc', ROOT/'_docs', ROOT/'.ci'/'node_modules'
KATEX = '0.16.11'
MATHS = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)
CDN = re.compile(r'<link [^>]*cdn[^>]*katex[^>]*>|<script [^>]*cdn[^>]*katex[^>]*></script>')
WEB_FONT = re.compile(r'@import url\(["\']?https?:[^)]*\);?')
RENDER = """
const katex = require(process.argv[1]), fs = require('fs');
const one = ([tex, displayMode]) => katex.renderToString(tex, {displayMode, throwOnError: true, strict: 'error'});
fs.writeFileSync(1, JSON.stringify(JSON.parse(fs.readFileSync(0)).map(one)));
"""

def prepare():
    "What nbdev_docs does before it calls Quarto (nbdev_proc_nbs would try to install Quarto, nbdev_docs to write the README)."
    os.chdir(ROOT)
    os.environ['PYTHONWARNINGS'] = 'ignore:Found cells containing imports'
    shutil.rmtree(WORK, ignore_errors=True)
    refresh_quarto_yml()
    doclinks._build_modidx()
    proc_nbs(n_workers=2)
    for path in WORK.glob('*.ipynb'):
        plain_signatures(path)
        as_markdown(path)
    korean.add_pages(WORK, site_url(), doclinks.NbdevLookup().linkify)
    return WORK/yaml.safe_load((WORK/'nbdev.yml').read_text())['project']['output-dir']

def site_url(): return yaml.safe_load((WORK/'nbdev.yml').read_text())['website']['site-url']

def plain_signatures(path):
    "nbdev turns names in backticks into links even in the comments of a signature, where a page shows them as they are."
    nb = json.loads(path.read_text())
    for out in (o for cell in nb['cells'] for o in cell.get('outputs', []) if 'text/markdown' in o.get('data', {})):
        parts = ''.join(out['data']['text/markdown']).split('```')
        parts[1::2] = [re.sub(r'\[(`[^`]+`)\]\([^)]+\)', r'\1', code) for code in parts[1::2]]
        out['data']['text/markdown'] = '```'.join(parts)
    path.write_text(json.dumps(nb))

def page_name(page): return re.sub(r'^\d+[a-zA-Z0-9]*_', '', page)

def up(page, site): return '../' * len(page.relative_to(site).parent.parts)

def rename(pages, site):
    "Give every page the name that nbdev gives it, and lead the links there."
    url = site_url()
    names = {p.name: page_name(p.name) for p in pages}
    old = re.compile(r'\b(' + '|'.join(n for n in names if n != names[n]) + r')\b')
    for path in [*pages, site/'search.json', site/'sitemap.xml']:
        text = old.sub(lambda m: names[m[1]], path.read_text())
        if path in pages: text = text.replace(f'href="{url}/', f'href="{up(path, site)}')
        path.unlink()
        path.with_name(page_name(path.name)).write_text(text)
    return [p.with_name(names[p.name]) for p in pages]

def katex():
    "The folder of KaTeX, installed by npm where it is not there yet."
    folder = TOOLS/'katex'
    if not folder.exists() or json.loads((folder/'package.json').read_text())['version'] != KATEX:
        if not shutil.which('npm'): sys.exit('docs: install Quarto, or else Node.js with npm, which brings KaTeX for the formulas')
        subprocess.run(['npm', 'install', '--silent', '--no-save', '--no-package-lock', '--prefix', TOOLS.parent, f'katex@{KATEX}'], check=True)
    return folder/'dist'

def write_maths(pages, site):
    "Replace the TeX in the pages by what KaTeX makes of it; a formula that it cannot read ends the build."
    folder = katex()
    texts = {p: p.read_text() for p in pages}
    found = [(html.unescape(tex), kind == 'display') for text in texts.values() for kind, tex in MATHS.findall(text)]
    made = subprocess.run(['node', '-e', RENDER, folder/'katex.js'], input=json.dumps(found), stdout=subprocess.PIPE, text=True, check=True)
    made = iter(json.loads(made.stdout))
    for page, text in texts.items():
        text = MATHS.sub(lambda m: f'<span class="math {m[1]}">{next(made)}</span>', text)
        links = iter([f'<link rel="stylesheet" href="{up(page, site)}site_libs/katex/katex.min.css">'])
        page.write_text(CDN.sub(lambda m: next(links, ''), text))
    shutil.copytree(folder/'fonts', site/'site_libs'/'katex'/'fonts', ignore=shutil.ignore_patterns('*.ttf', '*.woff'))
    css = (folder/'katex.min.css').read_text()
    (site/'site_libs'/'katex'/'katex.min.css').write_text(re.sub(r',url\([^)]*\.(woff|ttf)\) format\("\w+"\)', '', css))

def with_smalldocs(site):
    run = subprocess.run([Path(sys.executable).with_name('smalldocs'), 'render', '--quiet', WORK], stderr=subprocess.PIPE, text=True)
    lines = [l for l in run.stderr.splitlines() if not re.search(r'output-file is not read|html-math-method is ignored', l)]
    if lines: print('\n'.join(lines), file=sys.stderr)
    if run.returncode: sys.exit(run.returncode)
    for sheet in site.rglob('*.css'): sheet.write_text(WEB_FONT.sub('', sheet.read_text()))
    write_maths(rename(sorted([*site.glob('*.html'), *site.glob('ko/*.html')]), site), site)

def main():
    site = prepare()
    if shutil.which('quarto'): subprocess.run(['quarto', 'render', '--no-cache'], cwd=WORK, check=True)
    else: with_smalldocs(site)
    add_interactive(site)
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.move(site, OUT)
    shutil.rmtree(WORK)
    pages = len(list(OUT.glob('*.html'))), len(list(OUT.glob('ko/*.html')))
    print(f'{pages[0]} pages in {OUT.name}/, {pages[1]} in {OUT.name}/ko/')

if __name__ == '__main__': main()
