"A small part of what `python tests/fuzz.py` does: some damaged files of each kind."

import mmap
import os
import numpy as np
import pytest

resource = pytest.importorskip('resource', reason='needs processes as Linux has them')
import fuzz
from rnn_captioning.errors import InputError

pytestmark = pytest.mark.skipif(
    not hasattr(os, 'fork') or not os.path.exists('/proc/self/statm'),
    reason='needs processes as Linux has them',
)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return fuzz.originals(tmp_path_factory.mktemp('originals'))


@pytest.mark.parametrize('kind, count', [('data', 60), ('checkpoint', 40), ('captions', 100)])
def test_damaged_files(files, kind, count):
    valid, refused, failures = fuzz.fuzz(kind, count, files=files)
    assert not failures and valid + refused == count and refused > count // 4 and valid > 0


def test_originals_are_valid(files):
    for kind, paths in files.items():
        assert [fuzz.outcome(kind, path, files) for path in paths] == ['valid'] * len(paths)


def test_damage_is_repeated(files, tmp_path):
    for kind in fuzz.KINDS:
        once = [fuzz.spoil(kind, files, n, 0, tmp_path).read_bytes() for n in range(20)]
        assert (
            once == [fuzz.spoil(kind, files, n, 0, tmp_path).read_bytes() for n in range(20)]
            and len(set(once)) > 10
        )


def fill(megabytes):
    """Fill so much of new memory: what `bytearray` takes
    may lie in memory that was filled before and freed.
    """
    np.frombuffer(mmap.mmap(-1, megabytes * 2**20), np.uint8).fill(1)


def counts_memory():
    """Whether what a forked process fills counts for it
    alone: not every system starts the count anew.
    """
    if not (pid := os.fork()):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fill(100)
        os._exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 64 * 2**10)
    return bool(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    'use, says',
    [
        (lambda *_: {}['x'], 'KeyError'),
        (lambda *_: np.zeros(10**10), 'MemoryError'),
        (lambda *_: fill(100), 'filled'),
        (lambda *_: os.kill(os.getpid(), 9), 'ended the process (status 9)'),
        (lambda *_: [None for _ in iter(int, 1)], 'more than 2 s'),
        (lambda path, _: (_ for _ in ()).throw(InputError('no name')), 'does not name the file'),
    ],
    ids=['exception', 'memory asked for', 'memory filled', 'crash', 'hang', 'message'],
)
def test_failures_are_seen(files, monkeypatch, use, says):
    if says == 'filled' and not (counts_memory() or os.access('/proc/self/clear_refs', os.W_OK)):
        pytest.skip('this system does not say how much memory a process fills')
    monkeypatch.setitem(fuzz.USE, 'captions', use)
    for name, least in dict(SECONDS=2, MEGABYTES=64).items():
        monkeypatch.setattr(fuzz, name, least)
    valid, refused, failures = fuzz.fuzz('captions', 2, files=files)
    assert (
        not refused and [n for n, _ in failures] == [0, 1][: 2 - valid] and says in failures[0][1]
    ), (valid, refused, failures)
