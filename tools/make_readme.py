"""Make README.md from nbs/index.ipynb: the same cells, without the hidden
ones and the boxes of the page, with links that work in the repository.
"""

import re
from pathlib import Path
import nbformat

ROOT = Path(__file__).resolve().parent.parent


def output(out):
    return out['text'] if out['output_type'] == 'stream' else out['data'].get('text/plain', '')


def as_markdown(cell):
    if cell.cell_type != 'code':
        return cell.source
    if re.match(r'#\|\s*hide', cell.source):
        return ''
    code = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
    shown = ''.join(map(output, cell.outputs)).strip()
    return f'```python\n{code}\n```' + f'\n\n```\n{shown}\n```' * bool(shown)


def main():
    nb = nbformat.read(ROOT / 'nbs' / 'index.ipynb', 4)
    text = '\n\n'.join(filter(None, map(as_markdown, nb.cells)))
    text = re.sub(r'^:::.*\n+', '', text, flags=re.M).rstrip(':\n')
    text = re.sub(r'\]\((?=images/|[\w/]+\.ipynb)', '](nbs/', text)
    made = '<!-- Made from nbs/index.ipynb by tools/make_readme.py: edit that. -->\n\n'
    (ROOT / 'README.md').write_text(made + text + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
