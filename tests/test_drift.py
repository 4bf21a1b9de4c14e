"What is generated equals what its source generates, and the notebooks are fit to be committed."

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NBS = sorted((ROOT / 'nbs').rglob('*.ipynb'))
EXPORT = 'from nbdev.doclinks import nbdev_export; nbdev_export()'


@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
    "A copy of what `make export` reads, with its results made anew."
    if os.name == 'nt':
        pytest.skip('nbdev, which makes the modules, is made for Unix')
    copy = tmp_path_factory.mktemp('fresh') / 'checkout'
    for folder in ('nbs', 'tools', 'rnn_captioning'):
        shutil.copytree(
            ROOT / folder,
            copy / folder,
            ignore=shutil.ignore_patterns('.venv', '__pycache__', 'node_modules', 'screenshots'),
        )
    for module in (copy / 'rnn_captioning').rglob('*.py'):
        module.unlink()
    shutil.copy(ROOT / 'settings.ini', copy)
    for command in (['-c', EXPORT], [copy / 'tools' / 'make_readme.py']):
        subprocess.run([sys.executable, *command], cwd=copy, check=True)
    return copy


def modules(root):
    return {
        p.relative_to(root).as_posix(): p.read_text(encoding='utf-8')
        for p in (root / 'rnn_captioning').rglob('*.py')
    }


def test_modules_equal_their_notebooks(fresh):
    made, committed = modules(fresh), modules(ROOT)
    drifted = sorted(n for n in made.keys() | committed.keys() if made.get(n) != committed.get(n))
    assert not drifted, f'run `make export`: these modules differ from their notebooks: {drifted}'


def test_readme_equals_its_notebook(fresh):
    made, committed = ((root / 'README.md').read_text(encoding='utf-8') for root in (fresh, ROOT))
    assert made == committed, 'run `make export`: README.md differs from nbs/index.ipynb'


def test_sidebar_lists_every_notebook_once():
    spec = importlib.util.spec_from_file_location('check_docs', ROOT / 'tools' / 'check_docs.py')
    spec.loader.exec_module(check := importlib.util.module_from_spec(spec))
    assert not list(check.sidebar_problems())


def shown(out):
    return {'text/plain': out.get('text', ''), **out.get('data', {})}


@pytest.mark.parametrize(
    'path', NBS, ids=lambda p: p.relative_to(ROOT / 'nbs').with_suffix('').as_posix()
)
def test_notebook_is_clean(path):
    assert path.stat().st_size < 1_000_000
    nb = nbformat.read(path, 4)
    assert set(nb.metadata) <= {'kernelspec'} and len(nb.cells) <= 60
    stray = [line for line in nb.cells[0].source.splitlines() if line and line[0] not in '#>']
    assert not stray, (
        'nbdev reads the first cell as title and description and drops the rest, so give it '
        f'a cell of its own: {stray}'
    )
    for cell in nb.cells:
        assert cell.get('id') and not cell.metadata and cell.get('execution_count') is None, (
            f'run `nbdev_clean`: {cell.source[:80]}'
        )
        for out in cell.get('outputs', []):
            assert out.output_type != 'error' and out.get('execution_count') is None
            assert out.get('name') != 'stderr', f'cell {cell.id} shows a warning: {out.text[:200]}'
            assert all(len(json.dumps(value)) < 300_000 for value in shown(out).values()), (
                f'cell {cell.id} has an output over 300 kB'
            )
            texts = ' '.join(
                str(value) for kind, value in shown(out).items() if kind.startswith('text/')
            )
            assert not re.search(r'/(tmp|root|home|Users)/', texts), (
                f'cell {cell.id} shows a path of one machine'
            )
