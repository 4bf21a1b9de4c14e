"""The built wheel, installed in a fresh environment far
from the checkout, captions a picture with what ships.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path
import numpy as np
import pytest

Image = pytest.importorskip('PIL.Image')

ROOT = Path(__file__).parent.parent
EXE = '.exe' if os.name == 'nt' else ''


def call(*command, **options):
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, encoding='utf-8', **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """An environment with the wheel in it; what the package needs is
    lent by the environment of the tests, the package itself is not.
    """
    for name in (
        'setuptools',
        'wheel',
    ):  # not imported here: setuptools refuses where something has imported distutils before it
        if find_spec(name) is None:
            pytest.skip(f'{name} is not installed')
    folder = tmp_path_factory.mktemp('far away')
    source = folder / 'source'
    ignored = shutil.ignore_patterns(
        '.git',
        '.venv',
        '__pycache__',
        'build',
        '*.egg-info',
        '_docs',
        '_proc',
        'node_modules',
        'screenshots',
        'captioner',
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    call(
        sys.executable,
        '-m',
        'pip',
        'wheel',
        source,
        '--no-deps',
        '--no-build-isolation',
        '--wheel-dir',
        folder,
    )
    shutil.rmtree(source)
    venv.create(folder / 'env', with_pip=False)
    python = folder / 'env' / ('Scripts' if os.name == 'nt' else 'bin') / f'python{EXE}'
    site = Path(
        call(python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip()
    )
    # a .pth behind a .pth is not read, so neither is an editable install
    (site / 'lent.pth').write_text(sysconfig.get_path('purelib') + '\n', encoding='utf-8')
    call(
        sys.executable,
        '-m',
        'pip',
        '--python',
        python,
        'install',
        '--no-deps',
        '--no-index',
        next(folder.glob('*.whl')),
    )
    return folder, python


def test_it_is_the_wheel_that_is_used(installed):
    folder, python = installed
    where = call(python, '-c', 'import rnn_captioning; print(rnn_captioning.__file__)', cwd=folder)
    assert str(folder) in where and str(ROOT) not in where


def test_it_captions_a_picture(installed):
    pytest.importorskip('onnxruntime')
    folder, python = installed
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)).save(
        folder / 'photo.jpg'
    )
    found = json.loads(
        call(python.with_name(f'rnn-captioning{EXE}'), 'caption', 'photo.jpg', '--json', cwd=folder)
    )
    assert found[0]['image'] == 'photo.jpg' and len(found[0]['captions'][0]['text'].split()) > 2


def test_it_trains_on_the_scenes(installed):
    folder, python = installed
    said = call(
        python.with_name(f'rnn-captioning{EXE}'),
        'train',
        '--epochs',
        1,
        '--hidden-dim',
        8,
        '--wordvec-dim',
        4,
        '--batch-size',
        3000,
        cwd=folder,
    )
    assert (
        'captions are true of their picture' in said
        and (folder / 'captioner' / 'checkpoint.h5').exists()
    )
