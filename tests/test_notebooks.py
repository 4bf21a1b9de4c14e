"""Every notebook runs from top to bottom in a kernel of
its own, and shows outputs where running it gives some.
"""

import os
import re
from pathlib import Path
import nbformat
import pytest
from mutate import module_of, names
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NBS = sorted((ROOT / 'nbs').rglob('*.ipynb'))


def runs(cell):
    return cell.cell_type == 'code' and not re.search(r'^#\|\s*eval:\s*false', cell.source, re.M)


def shown(cell):
    return any(out.output_type != 'stream' or out.name == 'stdout' for out in cell.outputs)


def through_module(cells):
    """In place of exported code, imports of what it defines: the checks of a notebook meet
    its own definitions, and `make coverage` asks which lines of the module they reach.
    """
    module = module_of('\n'.join(cell.source for cell in cells))
    if module in (None, '__main__'):
        return
    package = f'rnn_captioning.{module}'.removesuffix('.__init__')
    # some replace what the notebook defines
    cells[:] = [
        cell for cell in cells if not re.search(r'^#\|\s*code-summary:.*Answer', cell.source, re.M)
    ]
    for cell in cells:
        if re.search(r'^#\|\s*export', cell.source, re.M) and (found := list(names(cell.source))):
            cell.source = f'from {package} import {", ".join(found)}'


@pytest.mark.parametrize(
    'path', NBS, ids=lambda p: p.relative_to(ROOT / 'nbs').with_suffix('').as_posix()
)
def test_notebook(path):
    nb = nbformat.read(path, 4)
    nb.cells = list(filter(runs, nb.cells))
    if (
        os.name == 'nt'
    ):  # nbdev is made for Unix, and only the documentation needs what is imported here
        for cell in nb.cells:
            cell.source = re.sub(r'^from nbdev\.showdoc import \*$', '', cell.source, flags=re.M)
    if 'COVERAGE_PROCESS_CONFIG' in os.environ:
        through_module(nb.cells)
    committed = [shown(cell) for cell in nb.cells]
    NotebookClient(nb, timeout=600, resources={'metadata': {'path': path.parent}}).execute()
    stale = [cell.source[:80] for cell, had in zip(nb.cells, committed) if shown(cell) != had]
    assert not stale, (
        f'`make run NOTEBOOKS={path.relative_to(ROOT)}` and commit it: outputs of these cells '
        f'are missing, or of other code: {stale}'
    )
