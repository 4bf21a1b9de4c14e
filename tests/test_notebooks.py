"Every notebook runs from top to bottom in a kernel of its own, and shows outputs where running it gives some."
from pathlib import Path
import nbformat, pytest
from nbclient import NotebookClient

NBS = sorted((Path(__file__).parent.parent/'nbs').glob('*.ipynb'))

@pytest.mark.parametrize('path', NBS, ids=lambda p: p.stem)
def test_notebook(path):
    committed, nb = nbformat.read(path, 4), nbformat.read(path, 4)
    NotebookClient(nb, timeout=600, resources={'metadata': {'path': str(path.parent)}}).execute()
    shown = lambda cell: any(o['output_type'] != 'stream' or o['name'] == 'stdout' for o in cell.get('outputs', []))
    stale = [c['source'].splitlines()[0] for c, new in zip(committed.cells, nb.cells) if shown(c) != shown(new)]
    assert not stale, f'run {path.name} again and commit it: these cells have outputs in one place only: {stale}'
