"""How progress is shown: a bar on a terminal, a line now and then
elsewhere, nothing where that is asked; and commands to copy.
"""

import io
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rnn_captioning import progress

from rnn_captioning.bench import report as bench
from rnn_captioning.command_line import main
from rnn_captioning.data.dataset import open_data
from rnn_captioning.decoding import decode
from rnn_captioning.data.fetch import DATASETS, PublicData, next_step
from rnn_captioning.model import CaptioningRNN
from rnn_captioning.progress import (
    _Bar,
    _Lines,
    _Progress,
    command_line,
    quoted,
    show_progress,
    tracked,
)
from rnn_captioning.data.scenes import make_scenes
from rnn_captioning.training.run import train

ROOT = Path(__file__).parent.parent
SMALL = dict(reward_epochs=0, hidden_dim=4, wordvec_dim=4, batch_size=20, threads=1)
OPTIONS = [f'--{name.replace("_", "-")}={value}' for name, value in SMALL.items()]


class Terminal(io.StringIO):
    "Says that it is one."

    def isatty(self):
        return True


class Gone(Terminal):
    "A terminal that somebody has closed."

    def write(self, text):
        raise OSError(5, 'Input/output error')


@pytest.fixture(autouse=True)
def usual_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith('TQDM_')]:
        monkeypatch.delenv(name)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp('progress') / 'data.h5'
    make_scenes(path, train=12, val=3, test=9)
    return path


def run(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


# where it is shown


def test_one_helper_for_the_package():
    "No module but this one draws bars, so that all of them go by the same rules."
    users = {
        path.name
        for path in (ROOT / 'rnn_captioning').rglob('*.py')
        if re.search(r'\btqdm\b', path.read_text(encoding='utf-8'))
    }
    assert users == {'progress.py'}


@pytest.mark.parametrize(
    'stream, kind', [(Terminal(), _Bar), (io.StringIO(), _Lines), (None, _Progress)]
)
def test_kind_by_stream(monkeypatch, stream, kind):
    monkeypatch.setattr(sys, 'stderr', stream)
    assert type(show_progress(3, 'x')) is kind
    assert type(show_progress(3, 'x', show=False)) is _Progress
    monkeypatch.setenv('TQDM_DISABLE', '1')
    assert type(show_progress(3, 'x')) is _Progress


def test_log_of_a_training_is_no_flood(scenes, tmp_path):
    """One line an epoch, none drawn over another, and no
    more than some dozens however many epochs there are.
    """
    said = run('train', scenes, '--out', tmp_path / 'few', *OPTIONS, '--epochs=4').stderr
    lines = said.splitlines()
    assert '\r' not in said and len(lines) == 4
    assert re.fullmatch(
        r'epoch 4/4: 12 of 12 steps \(100%\), loss [\d.]+, val [\d.]+, [\d,]+ words/s, in 00:0\d',
        lines[-1],
    )
    began = time.monotonic()
    many = run(
        'train', scenes, '--out', tmp_path / 'many', *OPTIONS, '--epochs=100'
    ).stderr.splitlines()
    later = (time.monotonic() - began) / progress._PAUSE
    assert progress._FREE <= len(many) <= progress._FREE + later + 2
    assert many[-1].startswith('epoch 100/100: 300 of 300 steps')


def test_part_for_the_score_says_so(scenes, tmp_path):
    said = run(
        'train', scenes, '--out', tmp_path, *OPTIONS, '--epochs=1', '--reward-epochs=1'
    ).stderr
    assert 'epoch 1/1: ' in said and 'epoch 1/1 for cider: ' in said


def test_bar_on_a_terminal(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    train(scenes, tmp_path, **SMALL, epochs=2, progress=True)
    said = sys.stderr.getvalue()
    assert '\r' in said and 'epoch 2/2: 100%' in said and '6/6' in said


@pytest.mark.parametrize('stream', [io.StringIO(), Terminal()], ids=['log', 'terminal'])
def test_quiet_training(scenes, tmp_path, monkeypatch, stream):
    said = run('train', scenes, '--out', tmp_path / 'quiet', *OPTIONS, '--epochs=2', '--quiet')
    assert said.stderr == '' and 'captions are true' in said.stdout
    monkeypatch.setattr(sys, 'stderr', stream)
    train(scenes, tmp_path / 'silent', **SMALL, epochs=2)
    assert stream.getvalue() == ''


def test_quiet_evaluate(quick_meteor, scenes, tmp_path):
    pytest.importorskip('pycocoevalcap')
    train(scenes, tmp_path, **SMALL, epochs=1)
    evaluate = 'evaluate', tmp_path / 'checkpoint.h5', scenes, '--json'
    assert '\r' not in (loud := run(*evaluate).stderr) and 'captions: ' in loud
    assert run(*evaluate, '--quiet').stderr == ''


def test_quiet_prepare_and_caption(tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime')
    image = pytest.importorskip('PIL.Image')
    rng = np.random.default_rng(0)
    rows = ['image,caption']
    for i in range(12):
        image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / f'{i:02}.png')
        rows += [f'{i:02}.png,a red star {k}' for k in range(2)]
    (tmp_path / 'captions.csv').write_text('\n'.join(rows), encoding='utf-8')
    prepare = (
        'prepare',
        '--captions',
        tmp_path / 'captions.csv',
        '--images',
        tmp_path,
        '--min-count',
        1,
    )
    assert re.search(
        r'^photographs: 12 of 12 photos \(100%\)',
        run(*prepare, '--out', tmp_path / 'a.h5').stderr,
        re.M,
    )
    assert 'photo' not in run(*prepare, '--out', tmp_path / 'b.h5', '--quiet').stderr
    monkeypatch.setenv('TQDM_DISABLE', '1')
    assert 'photo' not in run(*prepare, '--out', tmp_path / 'c.h5').stderr
    monkeypatch.delenv('TQDM_DISABLE')
    caption = 'caption', tmp_path / '00.png', '--json'
    assert 'photographs: 1 of 1' in run(*caption).stderr
    assert run(*caption, '--quiet').stderr == ''


def test_quiet_fetch_and_bench(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        'rnn_captioning.fetch.fetch', lambda name, to, progress: said.append(progress) or tmp_path
    )
    run('fetch', 'coco', '--quiet')
    run('fetch', 'coco')
    assert said == [False, True]
    monkeypatch.setattr(
        bench, 'bench', lambda parts, progress, whole_epoch: progress('training steps') or {}
    )
    monkeypatch.setattr(bench, 'report', lambda found: 'done')
    assert run('bench', '--plot', tmp_path / 'bench.png', '--quiet').stderr == ''
    assert run('bench', '--plot', tmp_path / 'bench.png').stderr == 'training steps\n'


# how it is shown


def test_environment_of_tqdm_counts():
    "What tqdm reads from the environment when it is imported, all callers of the package go by."
    code = '''
import sys
class Terminal:
    text = ''
    def isatty(self): return True
    def write(self, text): Terminal.text += text
    def flush(self): pass
usual, sys.stderr = sys.stderr, Terminal()
from rnn_captioning.progress import show_progress
with show_progress(1000, 'work') as bar:
    for _ in range(1000): bar.update()
sys.stderr = usual
print(Terminal.text.count(chr(13)), max(map(len, Terminal.text.split(chr(13)))))'''

    def drawn(**environment):
        done = subprocess.run(
            [sys.executable, '-c', code],
            env=os.environ | environment,
            capture_output=True,
            encoding='utf-8',
            check=True,
            cwd=ROOT,
        )
        return tuple(map(int, done.stdout.split()))

    assert drawn(TQDM_MININTERVAL='0')[0] > 500 > 50 > drawn(TQDM_MININTERVAL='100')[0]
    assert drawn(TQDM_NCOLS='60')[1] <= 61
    assert drawn(TQDM_DISABLE='1')[0] == 0


@pytest.mark.parametrize('every, lines', [(None, 10), ('120', 5), ('nonsense', 10)])
def test_lines_once_a_minute(monkeypatch, every, lines):
    if every:
        monkeypatch.setenv('TQDM_MININTERVAL', every)
    log, seconds = io.StringIO(), [0]
    with _Lines(600, 'work', stream=log, clock=lambda: seconds[0]) as shown:
        for _ in range(600):
            seconds[0] += 1
            shown.update()
    assert len(log.getvalue().splitlines()) == lines and log.getvalue().endswith(
        '600 of 600 steps (100%), in 10:00\n'
    )


def test_lines_of_unknown_length_and_of_bytes():
    log = io.StringIO()
    with _Lines(None, 'x.zip', unit='B', scale=True, stream=log, clock=lambda: 0) as shown:
        shown.restart(10_000_000, 40_000_000)
        shown.describe(note='retry 1 of 5', milestone=True)
        shown.restart(0)
        shown.update(2_500_000)
    assert (
        log.getvalue()
        == 'x.zip: 10.0M of 40.0MB (25%), retry 1 of 5\nx.zip: 2.50MB, retry 1 of 5, in 00:00\n'
    )


def test_no_line_at_the_end_of_what_broke_off():
    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt), _Lines(3, stream=log):
        raise KeyboardInterrupt
    assert log.getvalue() == ''


def test_control_characters_are_spelt_out():
    log = io.StringIO()
    with _Lines(1, 'a\x1b[2Jb\nc', stream=log):
        pass
    assert '\x1b' not in log.getvalue() and log.getvalue().count('\n') == 1


@pytest.mark.parametrize('kind', [_Bar, _Lines])
def test_work_goes_on_without_a_terminal(kind):
    "Somebody has closed the window: nothing is shown any more, and nothing is raised."
    with kind(100, 'work', stream=Gone()) as shown:
        for _ in range(100):
            shown.update()
            shown.describe(note='x', milestone=True)
        shown.restart(3)


def test_tracked_gives_every_item(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', log := io.StringIO())
    assert list(tracked(range(5), 'numbers', unit='number')) == [0, 1, 2, 3, 4]
    assert list(tracked(iter('ab'), 'letters', unit='batch')) == ['a', 'b']
    assert re.fullmatch(
        r'numbers: 5 of 5 numbers \(100%\), in 00:00\nletters: 2 batches, in 00:00\n',
        log.getvalue(),
    )


def test_decode_shows_lines(scenes, monkeypatch):
    data = open_data(scenes)
    model = CaptioningRNN(data.word_to_idx, input_dim=33, wordvec_dim=4, hidden_dim=4)
    monkeypatch.setattr(sys, 'stderr', log := io.StringIO())
    decode(model, data['test_features'], batch_size=3, progress=True)
    assert log.getvalue().startswith('captions: 3 of 3 batches (100%)')


# commands to copy


@pytest.mark.parametrize(
    'name', ['plain', 'with blank', "it's", 'a&b', '$HOME', 'a;b', '개', '*', '']
)
def test_quoted_for_unix(name):
    assert shlex.split(quoted(name, windows=False)) == [name]


@pytest.mark.parametrize(
    'name, expected',
    [
        ('plain', 'plain'),
        (r'C:\runs\one', r'C:\runs\one'),
        (r'C:\my runs', r'"C:\my runs"'),
        ("it's", '"it\'s"'),
        ('a&b', '"a&b"'),
        ('C:\\my runs\\', '"C:\\my runs\\\\"'),
        ('a&b\\', '"a&b\\\\"'),
        ('', '""'),
        ('(x)', '"(x)"'),
    ],
)
def test_quoted_for_windows(name, expected):
    assert quoted(name, windows=True) == expected


def test_command_to_go_on():
    assert (
        command_line('train', '--out', 'my run', '--resume', windows=True)
        == 'rnn-captioning train --out "my run" --resume'
    )
    assert (
        command_line('train', '--out', Path('my run'), windows=False)
        == "rnn-captioning train --out 'my run'"
    )


def test_command_after_a_download(monkeypatch):
    """Each argument is quoted as a whole, which PowerShell
    wants, and braces in a folder's name stay.
    """
    monkeypatch.setitem(
        DATASETS,
        'x',
        PublicData('x', (), 'rnn-captioning prepare --captions {0}/a.csv --split train={0}/b.txt'),
    )
    assert shlex.split(next_step('x', 'my {0} data')) == [
        'rnn-captioning',
        'prepare',
        '--captions',
        'my {0} data/a.csv',
        '--split',
        'train=my {0} data/b.txt',
    ]
    monkeypatch.setattr('rnn_captioning.data.fetch.quoted', lambda word: quoted(word, windows=True))
    assert (
        next_step('x', 'my data')
        == 'rnn-captioning prepare --captions "my data/a.csv" --split "train=my data/b.txt"'
    )
    assert not [
        path.name
        for path in (ROOT / 'rnn_captioning').rglob('*.py')
        if 'shlex.quote' in path.read_text(encoding='utf-8') and path.name != 'progress.py'
    ]
