"""Fail on a dead link or anchor, a missing or remote resource, an
image without alternative text, or a page that the sidebar lacks.
"""

import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlparse
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / '_docs'
SITE = ''  # where the site will be published, set by main: links there are links within
LOADED = {
    'script': 'src',
    'link': 'href',
    'img': 'src',
    'iframe': 'src',
    'source': 'src',
    'video': 'src',
    'embed': 'src',
    'object': 'data',
}
NOT_LOADED = {'canonical', 'alternate', 'next', 'prev', 'license'}
IN_CSS = re.compile(r'url\(\s*["\']?([^"\')]+)|@import\s+["\']([^"\']+)')


def notebooks():
    return [p.relative_to(ROOT / 'nbs').as_posix() for p in sorted((ROOT / 'nbs').rglob('*.ipynb'))]


def page_name(notebook):
    return re.sub(r'(^|/)\d+[a-zA-Z0-9]*_', r'\1', notebook).replace('.ipynb', '.html')


def in_css(text):
    return [a or b for a, b in IN_CSS.findall(text)]


def listed(entries):
    """The notebooks in a sidebar's contents, sections included.

    The build makes the other pages itself.
    """
    for entry in entries:
        if isinstance(entry, str):
            yield from [entry] if entry.endswith('.ipynb') else []
        else:
            yield from ([entry['href']] if 'href' in entry else []) + list(
                listed(entry.get('contents', []))
            )


def sidebar_problems():
    sidebar = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website'][
        'sidebar'
    ]
    counts, there = Counter(listed(sidebar['contents'])), set(notebooks())
    yield from (f'_quarto.yml lists {name} {n} times' for name, n in counts.items() if n > 1)
    yield from (
        f'_quarto.yml lists {name}, which is not there' for name in sorted(set(counts) - there)
    )
    yield from (f'_quarto.yml lacks {name}' for name in sorted(there - set(counts)))


def missing_pages():
    yield from (
        f'{page_name(name)} was not built'
        for name in notebooks()
        if not (DOCS / page_name(name)).exists()
    )


def resource_problems(base, address):
    url = urlparse(address)
    if url.scheme == 'data':
        return
    if url.scheme or url.netloc:
        yield f'loads {address} from the network'
    elif url.path and not (base / unquote(url.path)).exists():
        yield f'{address} is missing'


def link_problems(page, address, anchors):
    if SITE and address.startswith(SITE):
        address, page = address[len(SITE) :].lstrip('/'), DOCS / 'index.html'
    url = urlparse(address)
    if url.scheme or url.netloc:
        return
    target = (page.parent / unquote(url.path)).resolve() if url.path else page.resolve()
    if target.is_dir():
        target = target / 'index.html'
    if not target.exists():
        yield f'dead link {address}'
    elif url.fragment and target in anchors and unquote(url.fragment) not in anchors[target]:
        yield f'dead anchor {address}'


def page_problems(page, soup, anchors):
    for tag in soup.find_all(list(LOADED)):
        address = tag.get(LOADED[tag.name])
        if address and not NOT_LOADED & set(tag.get('rel', [])):
            yield from resource_problems(page.parent, address)
        if tag.name == 'img' and not (tag.get('alt') or '').strip():
            yield f'an image without alternative text: {str(tag)[:80]}'
    for style in soup.find_all('style'):
        for address in in_css(style.text):
            yield from resource_problems(page.parent, address)
    for a in soup.find_all('a', href=True):
        yield from link_problems(page, a['href'], anchors)


def leads(soup, lang):
    "Where the switch at the top of a page leads for a language."
    return [
        a['href']
        for a in soup.select('.languages a[href]')
        if a.get('lang') == a.get('hreflang') == lang
    ]


def language_problems(soups):
    """The counterpart of a page lies in ko/ under the same name:
    the two lead to each other, and have the same anchors.
    """
    for page in sorted({p.stem for p in (ROOT / 'nbs' / 'ko').glob('*.md')} - {'README'}):
        name = page_name(f'{page}.ipynb')
        en, ko = soups.get(DOCS / name), soups.get(DOCS / 'ko' / name)
        if not en or not ko:
            yield f'ko/{name} or {name} was not built'
            continue
        if ko.html.get('lang') != 'ko':
            yield f'ko/{name}: the language is {ko.html.get("lang")}'
        if leads(en, 'ko') != [f'ko/{name}'] or leads(ko, 'en') != [f'../{name}']:
            yield f'{name} and ko/{name} do not lead to each other'
        anchors = [
            {t['id'] for t in soup.select('main section[id], main h2[id], main h3[id]')}
            for soup in (en, ko)
        ]
        if anchors[0] != anchors[1]:
            yield f'ko/{name}: anchors differ: {anchors[0] ^ anchors[1]}'


def main():
    global SITE
    SITE = yaml.safe_load((ROOT / 'nbs' / 'nbdev.yml').read_text(encoding='utf-8'))['website'][
        'site-url'
    ]
    soups = {
        p: BeautifulSoup(p.read_text(encoding='utf-8'), 'html.parser')
        for p in sorted(DOCS.rglob('*.html'))
    }
    anchors = {
        p.resolve(): {t.get('id') or t.get('name') for t in soup.find_all(True)}
        for p, soup in soups.items()
    }
    found = [*sidebar_problems(), *missing_pages(), *language_problems(soups)]
    for page, soup in soups.items():
        found += [
            f'{page.relative_to(DOCS)}: {problem}' for problem in page_problems(page, soup, anchors)
        ]
    for sheet in sorted(DOCS.rglob('*.css')):
        addresses = in_css(sheet.read_text(encoding='utf-8'))
        found += [
            f'{sheet.relative_to(DOCS)}: {problem}'
            for a in addresses
            for problem in resource_problems(sheet.parent, a)
        ]
    print(
        '\n'.join(found)
        or f'{len(soups)} pages: no dead link, no missing or remote resource, every image described'
    )
    return bool(found)


if __name__ == '__main__':
    sys.exit(main())
