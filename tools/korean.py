"""The book in Korean, from the same notebooks: nbs/ko/NAME.md
holds the Korean prose of nbs/NAME.ipynb and nothing else.

For each markdown cell, and for each code cell with a caption,
it has a block. The line above the block names the cell and
the hash of the English text that was translated. build_docs.py
puts the blocks in place of the English; code and outputs
are those of the notebook. README.md in nbs/ko has the rules and the glossary.

    python tools/korean.py status [NAME ...]      what is missing, stale or different, by block
    python tools/korean.py stub NAME ...          add the missing blocks, with the English text
                                                to be translated in place
    python tools/korean.py sign NAME [CELL ...]   say that the blocks (all, or these) follow
                                                the English text as it is now
"""

import copy
import hashlib
import html
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
import yaml

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
HEAD = re.compile(r'^<!-- cell ([\w-]+) of (\w+) -->\n', re.M)
CAPTION = re.compile(r'^#\|\s*(fig-cap|fig-alt|tbl-cap|code-summary):[ \t]*(.*)$', re.M)
# of a figure with controls
SHOWN = {
    'caption': re.compile(r'(<figcaption>)(.*?)(</figcaption>)', re.S),
    'alt': re.compile(r'(\baria-label=")([^"]*)(")'),
}
TODO = 'todo'  # in place of the hash: not translated yet
FENCE = re.compile(r'^(```|~~~).*?^\1[ \t]*$', re.M | re.S)
DISPLAY = re.compile(r'\$\$(.+?)\$\$', re.S)
INLINE = re.compile(r'\$([^$\n]+)\$')
CODE = re.compile(r'`([^`\n]+)`')
LINK = re.compile(r'\]\(([^)\s]+)\)')
HEADING = re.compile(r'^(#+)[ \t]+(.*?)[ \t]*$', re.M)
TAG = re.compile(r'</?[a-z][^>]*>|^:::.*$', re.M)
HANGUL, NAME = re.compile('[가-힣]'), re.compile(r'\w*_\w*')
UNCLOSED = re.compile(r'\S*[^\s\w*(\[“‘]\*+(?=[가-힣])')

# ---- the notebook and its counterpart


def source(cell):
    return ''.join(cell.get('source') or '')


def read_notebook(name):
    return json.loads((NBS / f'{name}.ipynb').read_text(encoding='utf-8'))


def text_of(cell):
    """What a reader reads of a cell: its markdown, or
    the captions of its code; nothing if it is hidden.
    """
    text = source(cell)
    if cell['cell_type'] == 'markdown':
        return text.strip()
    if cell['cell_type'] != 'code' or re.search(r'^#\|\s*(hide\b|include:\s*false)', text, re.M):
        return ''
    found = CAPTION.findall(text)
    for _, page in interactive(cell):
        found += [
            (key, html.unescape(m[2]))
            for key, pattern in SHOWN.items()
            if (m := pattern.search(page)) and m[2]
        ]
    return '\n'.join(f'{key}: {value.strip()}' for key, value in found)


def interactive(cell):
    """A figure with controls, whose caption and alternative
    text stand in the output: (the output's data, its page).
    """
    for data in (out.get('data', {}) for out in cell.get('outputs', [])):
        for kind in ('text/html', 'text/markdown'):
            if 'class="figure interactive"' in (page := ''.join(data.get(kind, ''))):
                yield (data, kind), page


def english(name):
    return {cell['id']: text for cell in read_notebook(name)['cells'] if (text := text_of(cell))}


def kinds(name):
    return {cell['id']: cell['cell_type'] for cell in read_notebook(name)['cells']}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def blocks(name):
    "The counterpart's blocks, in order: (cell, hash, text)."
    path = NBS / 'ko' / f'{name}.md'
    parts = HEAD.split(path.read_text(encoding='utf-8')) if path.exists() else ['']
    return [
        (cell, of, text.strip()) for cell, of, text in zip(parts[1::3], parts[2::3], parts[3::3])
    ]


def write_blocks(name, made):
    (NBS / 'ko').mkdir(exist_ok=True)
    (NBS / 'ko' / f'{name}.md').write_text(
        '\n\n'.join(f'<!-- cell {cell} of {of} -->\n{text}' for cell, of, text in made) + '\n',
        encoding='utf-8',
    )


def counterparts():
    "The notebooks that have a Korean counterpart, in the order of the sidebar."

    def listed(entries):
        for e in entries:
            if isinstance(e, str):
                yield e
            else:
                yield from ([e['href']] if 'href' in e else []) + list(
                    listed(e.get('contents', []))
                )

    there = {p.stem for p in (NBS / 'ko').glob('*.md')} - {'README'}
    contents = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website'][
        'sidebar'
    ]['contents']
    order = [Path(n).stem for n in listed(contents)]
    return [n for n in order if n in there] + sorted(there - set(order))


# ---- whether the two say the same


def without(text, *patterns):
    for pattern in patterns:
        text = pattern.sub(' ', text)
    return text


def prose(text):
    return without(text, FENCE, DISPLAY, INLINE, CODE)


def paragraphs(text):
    return re.split(r'\n\s*\n', FENCE.sub('(code)', text).strip())


def shape(paragraph):
    "Of a paragraph: heading, table or list with so many lines, or prose."
    lines = paragraph.splitlines()
    if all(line.startswith('|') for line in lines):
        return 'table', [line.count('|') for line in lines]
    if all(re.match(r'\d+\. |[-*] ', line) for line in lines):
        return 'list', len(lines)
    return 'heading' if HEADING.match(paragraph) else 'prose', 1


def features(text):
    """What a translation keeps.

    Words change their order from language to language, so most is counted, and not lined up.
    """
    plain, fences = prose(text), [m[0] for m in FENCE.finditer(text)]
    body = FENCE.sub(' ', text)
    return {
        'code blocks': fences,
        'displayed formulas': [' '.join(f.split()) for f in DISPLAY.findall(body)],
        'formulas': Counter(INLINE.findall(without(body, DISPLAY))),
        'code spans': Counter(CODE.findall(without(body, DISPLAY, INLINE))),
        "links' targets": Counter(LINK.findall(without(body, DISPLAY, INLINE))),
        'references to equations': Counter(re.findall(r'\((\d+)\)', plain)),
        'tags and divisions': TAG.findall(without(body, DISPLAY, INLINE, CODE)),
        'heading levels': [len(level) for level, _ in HEADING.findall(body)],
        'paragraphs': [shape(p) for p in paragraphs(text)],
    }


def numbers(text):
    return set(re.findall(r'\d+(?:[.,]\d+)*', prose(text)))


def differences(one, other):
    "What a Korean text does not keep of the English one."
    ours, theirs = features(one), features(other)
    yield from (
        f'{key} differ: {show(ours[key], theirs[key])}' for key in ours if ours[key] != theirs[key]
    )
    if lost := numbers(one) - numbers(other):
        yield f'numbers are missing: {", ".join(sorted(lost))}'
    for p in paragraphs(other):
        if (
            re.search('[A-Za-z]{3}', without(prose(p), LINK, TAG, NAME))
            and p != '(code)'
            and not HANGUL.search(p)
        ):
            yield f'not in Korean: {p[:60]!r}'
    for m in UNCLOSED.finditer(FENCE.sub(' ', other)):
        yield f'emphasis ends between a sign and a letter, where Markdown does not see it: {m[0]!r}'


def show(ours, theirs):
    if isinstance(ours, Counter):
        return (
            f'English has {sorted((ours - theirs).elements())} more, Korean '
            f'{sorted((theirs - ours).elements())}'
        )
    return f'English has {ours}, Korean {theirs}'


def captions(text):
    return dict(re.findall(r'^([\w-]+): (.*)$', text, re.M))


def is_text(line):
    try:
        return all(isinstance(value, str) for value in yaml.safe_load(line).values())
    except yaml.YAMLError:
        return False


def caption_differences(one, other):
    ours, theirs = captions(one), captions(other)
    if list(ours) != list(theirs) or len(other.splitlines()) != len(theirs):
        yield f'a line each is wanted for: {", ".join(ours)}'
        return
    for key in ours:
        if key not in SHOWN and not is_text(f'{key}: {theirs[key]}'):
            yield (
                f'{key} is not one text to YAML (a colon in it, or a bracket, a quote or a '
                '* at its start)'
            )
        yield from (f'{key}: {d}' for d in differences(ours[key], theirs[key]))


def faults(name):
    "What is wrong with the counterpart of a notebook, each as (cell, complaint)."
    there = NBS / 'ko' / f'{name}.md'
    if not there.exists():
        return [('', f'{there.relative_to(ROOT)} is missing')]
    texts, cells, found, kind = english(name), [cell for cell, *_ in blocks(name)], [], kinds(name)
    found += [
        (cell, f'is missing: {text[:60]!r}') for cell, text in texts.items() if cell not in cells
    ]
    found += [(cell, 'occurs twice') for cell, n in Counter(cells).items() if n > 1]
    for cell, of, text in blocks(name):
        if cell not in texts:
            found.append((cell, 'has no cell that a reader reads'))
        elif of == TODO:
            found.append((cell, 'is not translated'))
        else:
            if of != digest(texts[cell]):
                found.append(
                    (
                        cell,
                        (
                            f'is stale: it translates {of}, and the English is now '
                            f'{digest(texts[cell])}'
                        ),
                    )
                )
            compare = differences if kind[cell] == 'markdown' else caption_differences
            found += [(cell, d) for d in compare(texts[cell], text)]
    if not found and cells != list(texts):
        found.append(('', 'the blocks are not in the order of the cells (stub puts them in order)'))
    return found


# ---- the Korean notebook


def slug(heading):
    "The anchor that Pandoc gives a heading."
    text = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower()
    return (
        re.sub(r'^[^a-z]+', '', re.sub(r'\s+', '-', re.sub(r'[^\w\s.-]', '', text).strip()))
        or 'section'
    )


def with_anchors(one, other, seen):
    """The Korean text, its headings with the anchors of the
    English ones, so that a link into a page holds in both.
    """
    anchors = []
    for _, heading in HEADING.findall(FENCE.sub(' ', one)):
        n = seen[slug(heading)]
        seen[slug(heading)] += 1
        anchors.append(
            '' if heading.endswith('}') else f' {{#{slug(heading)}{f"-{n}" if n else ""}}}'
        )
    anchors = iter(anchors)
    parts = re.split(r'(^(?:```|~~~).*?^(?:```|~~~)[ \t]*$)', other, flags=re.M | re.S)
    parts[::2] = [HEADING.sub(lambda m: m[0] + next(anchors, ''), part) for part in parts[::2]]
    return ''.join(parts)


def lead(target, there):
    "Where a link leads from a Korean page, which lies one folder down."
    if re.match(r'[a-z]+:|[#/]', target):
        return target
    page = re.match(r'(\w+)\.ipynb', target)
    return target if page and page[1] in there else '../' + target


def korean(name, there):
    "From cell to Korean text, as it goes into the notebook."
    texts, seen = english(name), Counter()
    first = next(iter(texts))
    made = {cell: text for cell, _, text in blocks(name) if cell in texts}
    for cell, text in texts.items():
        if cell == first or cell not in made:
            continue  # the first is title and description
        made[cell] = LINK.sub(
            lambda m: f']({lead(m[1], there)})', with_anchors(text, made[cell], seen)
        )
    return made


def with_captions(code, text):
    values = captions(text)
    return CAPTION.sub(lambda m: f'#| {m[1]}: {values[m[1]]}' if m[1] in values else m[0], code)


def translate_interactive(cell, text):
    values = captions(text)
    for (data, kind), page in interactive(cell):
        for key, pattern in SHOWN.items():
            if key in values:
                page = pattern.sub(lambda m: m[1] + html.escape(values[key]) + m[3], page, count=1)
        data[kind] = page.splitlines(True) if isinstance(data[kind], list) else page


def compose(nb, texts):
    "The notebook with Korean texts in place of the English; all else is the notebook's."
    nb = copy.deepcopy(nb)
    nb['metadata']['lang'] = 'ko'
    for cell in nb['cells']:
        text = texts.get(cell.get('id'))
        if text is None or not source(cell):
            continue
        made = text if cell['cell_type'] == 'markdown' else with_captions(source(cell), text)
        cell['source'] = made.splitlines(True)
        translate_interactive(cell, text)
    return nb


# ---- the pages


def switch(here, name):
    ko = (
        f'[한국어](ko/{name}.ipynb){{lang="ko" hreflang="ko"}}'
        if here == 'en'
        else '[한국어]{lang="ko"}'
    )
    en = (
        f'[English](../{name}.ipynb){{lang="en" hreflang="en"}}'
        if here == 'ko'
        else '[English]{lang="en"}'
    )
    return dict(
        cell_type='markdown',
        id='languages',
        metadata={},
        source=f'::: {{.languages}}\n{en} · {ko}\n:::\n'.splitlines(True),
    )


def front(cell, **more):
    "A raw cell of front matter, with these entries instead."
    meta = {**yaml.safe_load(source(cell).strip().strip('-')), **more}
    return {**cell, 'source': f'---\n{yaml.dump(meta, allow_unicode=True)}---\n'.splitlines(True)}


def title_of(text):
    return dict(title=HEADING.search(text)[2], description=re.search(r'^>\s*(.*)$', text, re.M)[1])


def add_pages(work, url, linkify):
    """Beside the prepared notebooks in `work`, the Korean ones in
    work/ko, with links between the two and a section of the sidebar.
    """
    shutil.rmtree(work / 'ko', ignore_errors=True)  # the blocks, which are no pages
    names = counterparts()
    if not names:
        return
    (work / 'ko').mkdir()
    pages = '|'.join(re.escape(re.sub(r'^\d+[a-zA-Z0-9]*_', '', n)) for n in names)

    def within(text):
        return re.sub(rf'{re.escape(url)}/(?=(?:{pages})\.html)', f'{url}/ko/', text)

    for name in names:
        path, texts = work / f'{name}.ipynb', korean(name, names)
        nb = json.loads(path.read_text(encoding='utf-8'))
        heading = title_of(texts.pop(next(iter(texts))))
        kind = kinds(name)
        made = compose(
            nb,
            {
                cell: within(linkify(text)) if kind[cell] == 'markdown' else text
                for cell, text in texts.items()
            },
        )
        for out in (
            o
            for cell in made['cells']
            for o in cell.get('outputs', [])
            if 'text/markdown' in o.get('data', {})
        ):
            out['data']['text/markdown'] = within(''.join(out['data']['text/markdown']))
        made['cells'][:1] = [front(made['cells'][0], lang='ko', **heading), switch('ko', name)]
        nb['cells'].insert(1, switch('en', name))
        for file, content in ((work / 'ko' / path.name, made), (path, nb)):
            file.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    site = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))
    site['website']['navbar']['left'].append(
        dict(href='ko/index.ipynb' if 'index' in names else f'ko/{names[0]}.ipynb', text='한국어')
    )
    site['website']['sidebar']['contents'] += [
        dict(text='---'),
        dict(section='한국어', contents=[f'ko/{n}.ipynb' for n in names]),
    ]
    (work / '_site.yml').write_text(
        yaml.dump(site, allow_unicode=True, sort_keys=False), encoding='utf-8'
    )
    config = yaml.safe_load((work / '_quarto.yml').read_text(encoding='utf-8'))
    config['metadata-files'] = [
        '_site.yml' if f == '../_quarto.yml' else f for f in config['metadata-files']
    ]
    (work / '_quarto.yml').write_text(yaml.dump(config, sort_keys=False), encoding='utf-8')


# ---- the commands


def status(names):
    found = {name: faults(name) for name in names or counterparts()}
    for name, wrong in found.items():
        print(
            f'{name}: {len(blocks(name))} blocks, '
            + (f'{len(wrong)} faults' if wrong else 'all of the English as it is')
        )
        for cell, complaint in wrong:
            print(f'  {cell} {complaint}')
    return any(found.values())


def stub(name):
    """Put the blocks in the order of the cells, with the English
    text where there is none; blocks without a cell go to the end.
    """
    had, texts = {cell: (cell, of, text) for cell, of, text in blocks(name)}, english(name)
    write_blocks(
        name,
        [had.pop(cell, (cell, TODO, text)) for cell, text in texts.items()] + list(had.values()),
    )


def sign(name, cells):
    texts = english(name)
    if stray := set(cells) - texts.keys():
        sys.exit(f'{name} has no cell {", ".join(stray)}')
    write_blocks(
        name,
        [
            (
                cell,
                digest(texts[cell]) if cell in texts and (not cells or cell in cells) else of,
                text,
            )
            for cell, of, text in blocks(name)
        ],
    )
    return status([name])


def main(command='', *args):
    args = [Path(a).stem if a.endswith(('.ipynb', '.md')) else a for a in args]
    if command == 'status':
        return status(args)
    if command == 'stub' and args:
        return any(stub(name) for name in args)
    if command == 'sign' and args:
        return sign(args[0], args[1:])
    sys.exit(__doc__)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
