"""The package as others get it: import costs nothing, nothing
is pickled, all is documented, and the wheel is whole.
"""

import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
import pytest
import rnn_captioning

ROOT = Path(__file__).parent.parent


def test_import_is_light():
    code = (
        "import sys, rnn_captioning; print(*sorted({'numpy', 'h5py', 'matplotlib', "
        "'torch', 'click', 'tqdm', 'PIL', 'onnxruntime', 'pycocoevalcap'} & "
        "set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, '-c', code], capture_output=True, encoding='utf-8', check=True
        ).stdout
        == '\n'
    )


def sources():
    "The code of every notebook and module."
    for path in sorted((ROOT / 'nbs').rglob('*.ipynb')):
        yield (
            path,
            '\n'.join(
                ''.join(cell['source'])
                for cell in json.loads(path.read_text(encoding='utf-8'))['cells']
                if cell['cell_type'] == 'code'
            ),
        )
    for path in sorted((ROOT / 'rnn_captioning').rglob('*.py')):
        yield path, path.read_text(encoding='utf-8')


UNSAFE = re.compile(
    r'^\s*(?:import|from)\s+(?:c?[pP]ickle|_pickle|dill|cloudpickle|joblib|shelve|marshal)\b|\bimport\s.*\bpickle\b|allow_pickle\s*=\s*True|\btorch\.load\(|__import__\(.*pickle',
    re.M,
)


def test_no_pickle():
    assert all(
        UNSAFE.search(code)
        for code in (
            'import pickle',
            'from pickle import load',
            'import json, pickle',
            'np.load(f, allow_pickle=True)',
        )
    )
    found = [
        f'{path.name}: {match.group().strip()}'
        for path, code in sources()
        for match in UNSAFE.finditer(code)
    ]
    assert len(list(sources())) > 20 and not found


@pytest.mark.parametrize('name', rnn_captioning.__all__)
def test_public_name(name):
    thing = getattr(rnn_captioning, name)
    assert name in dir(rnn_captioning)
    if inspect.isroutine(thing) or inspect.isclass(thing):
        assert (thing.__doc__ or '').strip() and thing.__module__.startswith('rnn_captioning.')


def test_unknown_name():
    with pytest.raises(AttributeError, match='nonsense'):
        _ = rnn_captioning.nonsense


@pytest.fixture(scope='module')
def unpacked(tmp_path_factory):
    "What the wheel holds, unpacked far from the checkout."
    missing = [
        name for name in ('pip', 'setuptools', 'wheel') if not importlib.util.find_spec(name)
    ]
    if missing:
        pytest.skip(f'building a wheel needs {", ".join(missing)}')
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    for name in ('rnn_captioning', 'data'):
        # large, and tried in test_install.py
        shutil.copytree(
            ROOT / name,
            source / name,
            ignore=shutil.ignore_patterns('__pycache__', '*.onnx', 'pretrained'),
        )
    for name in ('setup.py', 'settings.ini', 'README.md', 'MANIFEST.in', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    made = subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            source,
            '--no-deps',
            '--no-build-isolation',
            '--no-index',
            '--wheel-dir',
            folder,
        ],
        capture_output=True,
        encoding='utf-8',
    )
    assert made.returncode == 0, made.stdout + made.stderr
    shutil.rmtree(source)
    with zipfile.ZipFile(next(folder.glob('*.whl'))) as wheel:
        wheel.extractall(folder / 'unpacked')
    return folder / 'unpacked'


def test_wheel_is_whole(unpacked):
    names = {
        p.relative_to(unpacked / 'rnn_captioning').as_posix()
        for p in (unpacked / 'rnn_captioning').rglob('*')
        if p.is_file()
    }
    modules = {
        p.relative_to(ROOT / 'rnn_captioning').as_posix()
        for p in (ROOT / 'rnn_captioning').rglob('*.py')
    } | {'py.typed'}
    assert (
        len(modules) > 15
        and {n for n in names if not n.startswith('shipped/')} == modules
        and 'shipped/scenes.h5' in names
    )
    assert {p.name.split('-')[0] for p in unpacked.iterdir()} == {'rnn_captioning'}


def test_wheel_trains(unpacked, tmp_path):
    env = {**os.environ, 'PYTHONPATH': str(unpacked), 'PYTHONDONTWRITEBYTECODE': '1'}

    def call(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            encoding='utf-8',
            check=True,
        ).stdout

    module, scenes = call(
        '-c',
        'import rnn_captioning; from rnn_captioning.files.paths import shipped; '
        'print(rnn_captioning.__file__); print(shipped("scenes.h5"))',
    ).splitlines()
    assert (
        Path(module).is_relative_to(unpacked)
        and Path(scenes) == unpacked / 'rnn_captioning' / 'shipped' / 'scenes.h5'
    )
    said = call(
        '-m',
        'rnn_captioning',
        'train',
        '--epochs=1',
        '--reward-epochs=0',
        '--hidden-dim=4',
        '--wordvec-dim=4',
        '--batch-size=30000',
    )
    assert (
        'captions are true of their picture' in said
        and (tmp_path / 'captioner' / 'checkpoint.h5').is_file()
    )
