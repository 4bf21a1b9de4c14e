"Make README.md from nbs/index.ipynb: the same cells, without the hidden ones, with links that work in the repository."
import re
from pathlib import Path
import nbformat

ROOT = Path(__file__).resolve().parent.parent

def result(cell):
    texts = [o['text'] if o['output_type'] == 'stream' else o['data'].get('text/plain', '') for o in cell.outputs]
    return ''.join(f'\n\n    {text.strip()}' for text in texts if text)

def as_markdown(cell):
    if cell.cell_type == 'markdown': return cell.source
    if re.match(r'#\|\s*hide', cell.source): return ''
    return f'```python\n{cell.source}\n```{result(cell)}'

nb = nbformat.read(ROOT/'nbs'/'index.ipynb', 4)
text = '\n\n'.join(filter(None, map(as_markdown, nb.cells)))
text = re.sub(r'\]\((images/|\w+\.ipynb)', r'](nbs/\1', text)
(ROOT/'README.md').write_text('<!-- Made from nbs/index.ipynb by .ci/make_readme.py: edit that. -->\n\n' + text + '\n')
