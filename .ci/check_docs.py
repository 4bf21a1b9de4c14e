"Fail on a dead link or anchor, a missing or remote resource, an image without alternative text, or a page that the sidebar lacks."
import re, sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlparse
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT/'_docs'

def listed(): return re.findall(r'^ +- ([\w]+\.ipynb)$', (ROOT/'_quarto.yml').read_text(), re.M)

def sidebar_problems():
    counts, there = Counter(listed()), {p.name for p in (ROOT/'nbs').glob('*.ipynb')}
    yield from (f'_quarto.yml lists {name} {n} times' for name, n in counts.items() if n > 1)
    yield from (f'_quarto.yml lists {name}, which is not there' for name in counts if name not in there)
    yield from (f'_quarto.yml lacks {name}' for name in there if name not in counts)
    for name in there & set(counts):
        page = re.sub(r'^\d+_', '', name).replace('.ipynb', '.html')
        if not (DOCS/page).exists(): yield f'{page}: was not built'

def page_problems(page, anchors):
    soup = BeautifulSoup(page.read_text(), 'html.parser')
    for tag, key in (('script', 'src'), ('link', 'href'), ('img', 'src')):
        for item in soup.find_all(tag):
            url = urlparse(item.get(key) or '')
            if tag == 'link' and set(item.get('rel', [])) & {'canonical', 'alternate'}: continue
            if url.scheme in ('http', 'https') or url.netloc: yield f'loads {item[key]} from the network'
            elif url.path and not url.scheme and not (page.parent/unquote(url.path)).exists(): yield f'{item[key]} is missing'
            if tag == 'img' and not (item.get('alt') or '').strip(): yield f'an image without alternative text: {str(item)[:80]}'
    for a in soup.find_all('a', href=True):
        url = urlparse(a['href'])
        if url.scheme or url.netloc: continue
        target = (page.parent/unquote(url.path)).resolve() if url.path else page.resolve()
        if target.is_dir(): target = target/'index.html'
        if not target.exists(): yield f'dead link {a["href"]}'
        elif url.fragment and target in anchors and unquote(url.fragment) not in anchors[target]: yield f'dead anchor {a["href"]}'

def main():
    pages = sorted(DOCS.rglob('*.html'))
    anchors = {p.resolve(): {t.get('id') or t.get('name') for t in BeautifulSoup(p.read_text(), 'html.parser').find_all(True)} for p in pages}
    found = list(sidebar_problems()) + [f'{p.relative_to(DOCS)}: {problem}' for p in pages for problem in page_problems(p, anchors)]
    print('\n'.join(found) or f'{len(pages)} pages: no dead link, no missing or remote resource, every image described')
    return bool(found)

if __name__ == '__main__': sys.exit(main())
