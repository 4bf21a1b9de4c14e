"What is generated equals what its source generates."
import re, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest

ROOT = Path(__file__).parent.parent
NBS = sorted((ROOT/'nbs').glob('*.ipynb'))

@pytest.fixture(scope='module')
def fresh(tmp_path_factory):
    "A copy of the checkout with everything generated anew."
    copy = tmp_path_factory.mktemp('fresh')/'checkout'
    ignore = shutil.ignore_patterns('.git', '.venv', '_docs', '_proc', '__pycache__', 'node_modules', '*.egg-info', 'build')
    shutil.copytree(ROOT, copy, ignore=ignore)
    for module in (copy/'rnn_captioning').glob('*.py'): module.unlink()
    for command in (['-c', 'from nbdev.export import nb_export; from nbdev.doclinks import nbdev_export; nbdev_export()'], [str(copy/'.ci'/'make_readme.py')]):
        subprocess.run([sys.executable, *command], cwd=copy, check=True)
    return copy

def test_modules_equal_their_notebooks(fresh):
    names = lambda root: {p.name: p.read_text() for p in (root/'rnn_captioning').glob('*.py')}
    made, committed = names(fresh), names(ROOT)
    assert made.keys() == committed.keys()
    assert [n for n in made if made[n] != committed[n]] == []

def test_readme_equals_its_notebook(fresh):
    assert (fresh/'README.md').read_text() == (ROOT/'README.md').read_text()

@pytest.mark.parametrize('path', NBS, ids=lambda p: p.stem)
def test_notebook_is_clean(path):
    nb = nbformat.read(path, 4)
    assert len(nb.cells) <= 60 and path.stat().st_size < 1_000_000
    for cell in nb.cells:
        assert cell.get('id') and not cell.metadata, f'cell {cell.get("id")} has metadata'
        for out in cell.get('outputs', []):
            assert out['output_type'] != 'error' and out.get('execution_count') is None
            assert out.get('name') != 'stderr', f'cell {cell["id"]} shows a warning: {out["text"][:200]}'
            assert not re.search(r'/(tmp|root|home)/', str(out.get('text', '')))
