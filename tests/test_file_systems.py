"""File systems that cannot do all that a local disk can:
folders that cannot be flushed, files that cannot be locked.

Network and container mounts answer so. Flushing is one function
of Python's and replaced here; HDF5 locks files by itself, so its
locks fail in a process of its own, before which a small library in C puts another `flock`.
"""

import functools
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from rnn_captioning import progress

from rnn_captioning.data import fetch

from rnn_captioning.files import hdf5
from rnn_captioning.files import paths as files
from rnn_captioning.data.coco import load_coco_data
from rnn_captioning.errors import InputError, raises
from rnn_captioning.files.paths import atomic_path, sole_user
from rnn_captioning.data.scenes import make_scenes

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, '-m', 'rnn_captioning']
SMALL = ['--epochs=1', '--reward-epochs=0', '--hidden-dim=4', '--wordvec-dim=4', '--batch-size=20']
FOLDERS = pytest.mark.skipif(
    not hasattr(os, 'O_DIRECTORY'), reason='Windows has no folders that are opened'
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "A small data set."
    path = tmp_path_factory.mktemp('data') / 'data.h5'
    make_scenes(path, train=12, val=3, test=9)
    return path


def call(*arguments, **environment):
    "A command in a process of its own."
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    env = {**os.environ, 'PYTHONPATH': path, **environment}
    return subprocess.run(
        list(map(str, arguments)), capture_output=True, encoding='utf-8', errors='replace', env=env
    )


# flushing


def failing_fsync(monkeypatch, number, of_folders):
    "Let flushing fail with an error number, of folders or of files."
    usual = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f'/proc/self/fd/{descriptor}') == of_folders:
            raise OSError(number, os.strerror(number))
        usual(descriptor)

    monkeypatch.setattr(files.os, 'fsync', fsync)


PROC = pytest.mark.skipif(
    not os.path.exists('/proc/self/fd'), reason='what is open is told in /proc'
)


@PROC
@pytest.mark.parametrize(
    'number', [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF]
)
@pytest.mark.parametrize('of_folders', [True, False])
def test_what_cannot_be_flushed_is_written(tmp_path, monkeypatch, number, of_folders):
    failing_fsync(monkeypatch, number, of_folders)
    with atomic_path(tmp_path / 'a') as beside:
        beside.write_text('new', encoding='utf-8')
    assert (tmp_path / 'a').read_text(encoding='utf-8') == 'new' and os.listdir(tmp_path) == ['a']


@FOLDERS
@pytest.mark.parametrize('number', [errno.EACCES, errno.EPERM])
def test_folder_that_cannot_be_opened(tmp_path, monkeypatch, number):
    "A folder may be open to writing and closed to listing."
    usual = os.open

    def opened(path, flags, *more, **options):
        if os.path.isdir(path):
            raise OSError(number, os.strerror(number))
        return usual(path, flags, *more, **options)

    monkeypatch.setattr(files.os, 'open', opened)
    with atomic_path(tmp_path / 'a') as beside:
        beside.write_text('new', encoding='utf-8')
    assert (tmp_path / 'a').read_text(encoding='utf-8') == 'new'


@PROC
@pytest.mark.parametrize(
    'of_folders, content, says, never',
    [
        (True, 'new', ['a: is written', 'Input/output error'], 'untouched'),
        (False, 'old', ['a: cannot be written', 'Input/output error', 'untouched'], 'is written'),
    ],
)
def test_message_says_what_is_there(tmp_path, monkeypatch, of_folders, content, says, never):
    "A disk that fails is an error; whether the old file is there or the new one, the message says."
    (tmp_path / 'a').write_text('old', encoding='utf-8')
    failing_fsync(monkeypatch, errno.EIO, of_folders)
    with raises(*says) as message, atomic_path(tmp_path / 'a') as beside:
        beside.write_text('new', encoding='utf-8')
    assert never not in message[0]
    assert (tmp_path / 'a').read_text(encoding='utf-8') == content and os.listdir(tmp_path) == ['a']


def test_litter_that_cannot_be_removed(tmp_path, monkeypatch):
    "The error is the one that happened first."

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as change:
        change.setattr(files.os, 'replace', refuse)
        change.setattr(Path, 'unlink', refuse)
        with (
            raises('a: cannot be written', 'Read-only file system', 'untouched'),
            atomic_path(tmp_path / 'a') as beside,
        ):
            beside.write_text('new', encoding='utf-8')


def test_rename_waits_for_scanners(tmp_path, monkeypatch):
    "Windows refuses to rename what another program looks at, for a moment."
    usual, refused = os.replace, []

    def replace(source, target):
        if len(refused) < 2:
            refused.append(source)
            raise PermissionError(errno.EACCES, 'in use')
        usual(source, target)

    monkeypatch.setattr(files.os, 'replace', replace)
    monkeypatch.setattr(files, '_PATIENCE', (0.01, 0.01, 0.01))
    with atomic_path(tmp_path / 'a') as beside:
        beside.write_text('new', encoding='utf-8')
    assert (tmp_path / 'a').read_text(encoding='utf-8') == 'new' and len(refused) == 2


# locks

FLOCK = '''
#include <errno.h>
#include <stdlib.h>
int flock(int descriptor, int operation) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
'''
LOCKLESS = ['ENOLCK', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL']


@pytest.fixture(scope='module')
def flock(tmp_path_factory):
    "A library with a `flock` that fails."
    compiler = shutil.which('gcc') or shutil.which('cc')
    if sys.platform != 'linux' or not compiler:
        pytest.skip('needs Linux, where a library is put before another, and a C compiler')
    folder = tmp_path_factory.mktemp('flock')
    (folder / 'flock.c').write_text(FLOCK, encoding='utf-8')
    subprocess.run(
        [compiler, '-shared', '-fPIC', '-o', folder / 'flock.so', folder / 'flock.c'], check=True
    )
    return folder / 'flock.so'


def without_locks(flock, name):
    return dict(LD_PRELOAD=str(flock), FLOCK_ERRNO=str(getattr(errno, name)))


@pytest.mark.parametrize('name', LOCKLESS)
def test_commands_without_locks(flock, data, tmp_path, name):
    "All that reads and all that writes, training's own lock included; nothing is left of it."
    missing = without_locks(flock, name)
    done = call(*COMMAND, 'train', data, '--out', tmp_path / 'out', *SMALL, **missing)
    assert done.returncode == 0 and 'lock' not in done.stderr, done.stderr
    assert sorted(os.listdir(tmp_path / 'out')) == [
        'captions.png',
        'checkpoint.h5',
        'log.csv',
        'loss.png',
    ]
    for path in (data, tmp_path / 'out' / 'checkpoint.h5'):
        done = call(*COMMAND, 'info', path, **missing)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_files_of_other_programs_without_locks(flock, tmp_path):
    with h5py.File(tmp_path / 'f.h5', 'w') as f:
        f['features'] = np.eye(3)
    read = (
        'import sys; from rnn_captioning.files.hdf5 import foreign_hdf5; '
        'print(foreign_hdf5(sys.argv[1])["features"].shape)'
    )
    done = call(sys.executable, '-c', read, tmp_path / 'f.h5', **without_locks(flock, 'ENOLCK'))
    assert done.stdout.strip() == '(3, 3)', done.stderr


@pytest.mark.parametrize('name', ['ENOLCK', 'EOPNOTSUPP'])
def test_lock_that_the_environment_insists_on(flock, data, name):
    "Then the message says what to set."
    done = call(*COMMAND, 'info', data, HDF5_USE_FILE_LOCKING='TRUE', **without_locks(flock, name))
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
    assert (
        'data.h5: its file system has no locks' in done.stderr
        and 'set HDF5_USE_FILE_LOCKING=FALSE' in done.stderr
    )


def test_file_that_is_being_written(data, tmp_path):
    "A lock that another program holds is respected, and the message says so."
    shutil.copy(data, tmp_path / 'busy.h5')
    program = (
        'import h5py, sys; f = h5py.File(sys.argv[1], "r+"); print("open", '
        'flush=True); sys.stdin.read()'
    )
    command = [sys.executable, '-c', program, str(tmp_path / 'busy.h5')]
    env = {name: value for name, value in os.environ.items() if name != 'HDF5_USE_FILE_LOCKING'}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as writer:
        writer.stdout.readline()
        with raises(
            'busy.h5', 'another program' if os.name != 'nt' else 'not a readable HDF5 file'
        ):
            hdf5.open_hdf5(tmp_path / 'busy.h5').close()
        writer.stdin.close()
    hdf5.open_hdf5(tmp_path / 'busy.h5').close()


def test_one_place_opens_hdf5():
    "So that no way in needs a lock that there is not."
    places = {}
    for path in sorted((ROOT / 'rnn_captioning').rglob('*.py')):
        if found := re.findall(r'h5py\.File\(', path.read_text(encoding='utf-8')):
            places[path.name] = len(found)
    assert places == {'hdf5.py': 2}


HOLD = '''
import sys
from rnn_captioning.files.paths import sole_user
with sole_user(sys.argv[1]):
    print('held', flush=True)
    sys.stdin.read()
'''


def test_lock_ends_with_the_process(tmp_path):
    command = [sys.executable, '-c', HOLD, str(tmp_path)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    ) as holder:
        assert holder.stdout.readline().split() == [b'held']
        for _ in range(2):
            with raises(f'{tmp_path}: another process is writing there'), sole_user(tmp_path):
                pass
        holder.kill()
    with sole_user(tmp_path):
        assert all(name.startswith('.') for name in os.listdir(tmp_path))
    assert os.listdir(tmp_path) == []


def test_lock_of_a_place_where_nothing_can_be_made(tmp_path, monkeypatch):
    "There is nothing to hold then, and what is written next says what is wrong."

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(files.FileLock, 'acquire', refuse)
    with sole_user(tmp_path):
        pass


def test_lock_is_taken_anew_many_times(tmp_path):
    "Each of some processes that take turns has the folder for itself."
    program = '''
import sys, time
from pathlib import Path
from rnn_captioning.errors import InputError
from rnn_captioning.files.paths import sole_user
folder, turns = Path(sys.argv[1]), 0
while turns < 20:
    try:
        with sole_user(folder):
            (folder/'mine').touch(exist_ok=False)
            (folder/'mine').unlink()
            turns += 1
    except InputError:
        time.sleep(.001)
'''
    command = [sys.executable, '-c', program, str(tmp_path)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    running = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert errors == [b''] * 3 and os.listdir(tmp_path) == []


# the locale


def coco_folder(folder):
    "The course's folder, of six pictures; words and addresses in raw UTF-8."
    words = ['<NULL>', '<START>', '<END>', '<UNK>', 'café', '猫']
    captions = np.tile(np.array([1, 4, 5, 2] + [0] * 13, np.int32), (6, 1))
    with h5py.File(folder / 'coco2014_captions.h5', 'w') as f:
        for split in ('train', 'val'):
            f[f'{split}_captions'] = captions
            f[f'{split}_image_idxs'] = np.arange(6, dtype=np.int32)
    for split in ('train', 'val'):
        with h5py.File(folder / f'{split}2014_vgg16_fc7_pca.h5', 'w') as f:
            f['features'] = np.eye(6, 8, dtype=np.float32)
        addresses = ''.join(f'http://images/é{i}.jpg\n' for i in range(6))
        (folder / f'{split}2014_urls.txt').write_text(addresses, encoding='utf-8')
    vocabulary = dict(idx_to_word=words, word_to_idx={word: i for i, word in enumerate(words)})
    (folder / 'coco2014_vocab.json').write_text(
        json.dumps(vocabulary, ensure_ascii=False), encoding='utf-8'
    )
    return folder


READ_COCO = '''
import json, sys
from rnn_captioning.data.coco import load_coco_data
data = load_coco_data(sys.argv[1])
print(json.dumps([data['idx_to_word'][4:], data['train_urls'][5], sorted(data['word_to_idx'])[-1]]))
'''
EXPECTED = [['café', '猫'], 'http://images/é5.jpg', '猫']


@pytest.mark.parametrize('locale', ['C', 'en_US.ISO-8859-1', 'de_DE.ISO8859-1', 'C.UTF-8'])
def test_coco_folder_whatever_the_locale(tmp_path, locale):
    folder = coco_folder(tmp_path)
    done = call(
        sys.executable,
        '-c',
        READ_COCO,
        folder,
        LC_ALL=locale,
        PYTHONUTF8='0',
        PYTHONCOERCECLOCALE='0',
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED


def test_coco_folder_with_byte_order_marks(tmp_path):
    "As editors on Windows save UTF-8."
    folder = coco_folder(tmp_path)
    for path in [*folder.glob('*.txt'), *folder.glob('*.json')]:
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    data = load_coco_data(folder)
    assert [
        data['idx_to_word'][4:],
        data['train_urls'][5],
        sorted(data['word_to_idx'])[-1],
    ] == EXPECTED
    assert data['train_urls'][0] == 'http://images/é0.jpg'


@pytest.mark.parametrize('name', ['coco2014_vocab.json', 'val2014_urls.txt'])
def test_coco_folder_in_another_encoding(tmp_path, name):
    path = coco_folder(tmp_path) / name
    path.write_bytes(path.read_text(encoding='utf-8').replace('猫', 'ö').encode('latin-1'))
    with raises(name, 'utf-8', error=InputError):
        load_coco_data(tmp_path)


def test_nothing_depends_on_the_locale(data, tmp_path):
    """Python warns where it opens a text in the locale's
    encoding: not from this package, in a whole training.
    """
    done = call(
        sys.executable,
        '-X',
        'warn_default_encoding',
        '-W',
        'always::EncodingWarning',
        *COMMAND[1:],
        'train',
        data,
        '--out',
        tmp_path / 'out',
        *SMALL,
    )
    ours = [
        line
        for line in done.stderr.splitlines()
        if 'EncodingWarning' in line and 'rnn_captioning' in line
    ]
    assert done.returncode == 0 and not ours, done.stderr


# the shell


@pytest.mark.parametrize('windows, expected', [(False, "'by hand'"), (True, '"by hand"')])
def test_commands_are_printed_for_the_shell_of_the_system(monkeypatch, windows, expected):
    "cmd.exe knows no single quotes."
    monkeypatch.setattr(fetch, 'quoted', functools.partial(progress.quoted, windows=windows))
    found = [fetch.next_step('coco', folder) for folder in ('by hand', 'here')]
    assert found == [f'rnn-captioning train {expected}', 'rnn-captioning train here']
