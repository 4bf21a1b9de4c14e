"""A run asked to stop in all the ways there are, taken up again
with settings of its own or others, and the table that it leaves.
"""

import csv
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from rnn_captioning import solver as solver_module
from rnn_captioning.training import run as training
from rnn_captioning.training.checkpoint import load_run
from rnn_captioning.command_line import main
from rnn_captioning.errors import InputError
from rnn_captioning.files.hdf5 import write_attributes
from rnn_captioning.data.scenes import make_scenes
from rnn_captioning.training.run import COLUMNS, Interrupted, RunLog, train

SETTINGS = dict(
    epochs=2, reward_epochs=2, batch_size=20, hidden_dim=4, wordvec_dim=4, dropout=0.1, threads=1
)
HANGUP = getattr(signal, 'SIGHUP', None)
needs_hangup = pytest.mark.skipif(HANGUP is None, reason='Windows has no SIGHUP')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp('training') / 'data.h5'
    make_scenes(path, train=12, val=3, test=9)
    return path


@pytest.fixture(scope='module')
def whole(data):
    "A run that nothing interrupts."
    return train(data, data.parent / 'whole', **SETTINGS)


def at_step(monkeypatch, number, act):
    "Do something in the step of a run that has this number, counted over its parts."
    one_step, done = solver_module.train_step, []

    def step(solver):
        one_step(solver)
        done.append(1)
        if len(done) == number:
            act()

    monkeypatch.setattr(solver_module, 'train_step', step)


def equal(one, two):
    return all(np.array_equal(w, two.model.params[name]) for name, w in one.model.params.items())


# asked to stop


@needs_hangup
@pytest.mark.parametrize('times', [1, 2])
def test_closed_terminal_saves(data, tmp_path, monkeypatch, whole, times):
    """The shell passes SIGHUP on, and the system may send it once
    more: the run is saved all the same, and goes on from there.
    """
    at_step(monkeypatch, 4, lambda: [signal.raise_signal(HANGUP) for _ in range(times)])
    with pytest.raises(Interrupted, match='stopped after step 4 of 6 for likelihood'):
        train(data, tmp_path, **SETTINGS)
    assert equal(train(out=tmp_path, resume=True), whole)


@needs_hangup
def test_nohup_goes_on(data, tmp_path, monkeypatch, whole):
    before = signal.signal(HANGUP, signal.SIG_IGN)
    try:
        at_step(monkeypatch, 4, lambda: signal.raise_signal(HANGUP))
        assert equal(train(data, tmp_path, **SETTINGS), whole)
        assert signal.getsignal(HANGUP) is signal.SIG_IGN
    finally:
        signal.signal(HANGUP, before)


@needs_hangup
def test_second_ctrl_c_breaks_off_after_a_closed_terminal(data, tmp_path, monkeypatch):
    def press():
        signal.raise_signal(HANGUP)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError

    at_step(monkeypatch, 2, press)
    handlers = [signal.getsignal(number) for number in training.ASKING]
    with pytest.raises(ZeroDivisionError):
        train(data, tmp_path, **SETTINGS)
    assert [signal.getsignal(number) for number in training.ASKING] == handlers


@needs_hangup
def test_terminal_that_is_really_closed(data, tmp_path):
    "A process of a terminal's, with a bar on it, whose other end goes away."
    import pty

    master, slave = pty.openpty()
    code = (
        'import fcntl, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nfrom '
        'rnn_captioning.command_line import main\nmain(sys.argv[1:])'
    )
    command = [
        sys.executable,
        '-c',
        code,
        'train',
        data,
        '--out',
        tmp_path / 'run',
        '--epochs=1000000',
        '--batch-size=20',
        '--hidden-dim=4',
        '--wordvec-dim=4',
    ]
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )
    os.close(slave)
    try:
        until = time.monotonic() + 120
        os.set_blocking(master, False)
        while (
            not (tmp_path / 'run' / 'checkpoint.1.h5').exists()
            and time.monotonic() < until
            and process.poll() is None
        ):
            try:
                os.read(master, 65536)
            except BlockingIOError:
                time.sleep(0.01)
        assert process.poll() is None
        os.close(master)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    with h5py.File(tmp_path / 'run' / 'checkpoint.h5') as f:
        step, passes = int(f['solver'].attrs['step']), int(f['solver'].attrs['epoch'])
    rows = RunLog(tmp_path / 'run' / 'log.csv').read()
    assert step >= 2 * 3 and len(rows) == passes and process.returncode != -HANGUP


def test_no_signal_that_does_not_exist(data, tmp_path):
    "As on Windows: no SIGHUP, and Ctrl-Break."
    code = '''
import signal, sys
if hasattr(signal, 'SIGHUP'): del signal.SIGHUP
signal.SIGBREAK = signal.SIGUSR1
from rnn_captioning.training import run as training
assert training.ASKING == [signal.SIGINT, signal.SIGTERM, signal.SIGBREAK]
assert training.HANGUP is None
def press(solver): signal.raise_signal(signal.SIGBREAK)
small = dict(epochs=2, reward_epochs=0, batch_size=20, hidden_dim=4, wordvec_dim=4)
try: training.train(sys.argv[1], sys.argv[2], **small, callbacks=[press])
except training.Interrupted as e: print(e)'''
    if not hasattr(signal, 'SIGUSR1'):
        pytest.skip('no signal to stand for SIGBREAK')
    done = subprocess.run(
        [sys.executable, '-c', code, data, tmp_path / 'run'],
        capture_output=True,
        encoding='utf-8',
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0 and done.stdout.startswith('stopped after step 3 of 6'), done.stderr


def test_command_to_go_on_can_be_copied(data, tmp_path, monkeypatch):
    out = tmp_path / "it's a run"
    at_step(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted) as stopped:
        train(data, out, **SETTINGS)
    command = str(stopped.value).split('to go on: ')[1]
    assert shlex.split(command) == ['rnn-captioning', 'train', '--out', str(out), '--resume']


# taken up again


@pytest.fixture
def stopped(data, tmp_path):
    "A run that was stopped after its first pass."

    def stop(solver):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(data, tmp_path / 'run', **SETTINGS, callbacks=[stop])
    return tmp_path / 'run'


@pytest.mark.parametrize(
    'given',
    [
        dict(SETTINGS),
        dict(epochs=2),
        dict(num_epochs=2),
        dict(seed=0),
        dict(learning_rate=1e-3),
        dict(cell='rnn'),
        dict(cell_type='rnn'),
        dict(hidden_dim=4),
        dict(hidden_dim=None),
        dict(model='rnn', model_options={}),
        dict(model_options=dict(forget_bias=1.0)),
        dict(checkpoint_minutes=0, keep=3, progress=False),
        dict(threads=None),
    ],
    ids=str,
)
def test_the_same_settings_are_taken(stopped, whole, given):
    assert equal(train(out=stopped, resume=True, **given), whole)


@pytest.mark.parametrize(
    'given, says',
    [
        # 6 is the default, and was said nevertheless
        (dict(epochs=6), 'epochs is 6: the run in {} began with 2'),
        (dict(num_epochs=6), 'epochs is 6: the run in {} began with 2'),
        (dict(reward_epochs=0), 'reward_epochs is 0: the run in {} began with 2'),
        (dict(learning_rate=2e-3), 'learning_rate is 0.002: the run in {} began with 0.001'),
        (dict(cell='lstm'), "cell is 'lstm': the run in {} began with 'rnn'"),
        (dict(model='transformer'), "model is 'transformer': the run in {} began with 'rnn'"),
        (dict(hidden_dim=8), 'hidden_dim is 8: the run in {} began with 4'),
        (dict(model_options=dict(forget_bias=2.0)), "began with {{}}"),
        (dict(seed='0'), "seed is '0'"),
        (dict(dropout=0.2), 'dropout is 0.2: the run in {} began with 0.1'),
    ],
    ids=str,
)
def test_other_settings_are_refused(stopped, given, says):
    before = (stopped / 'checkpoint.h5').read_bytes()
    with pytest.raises(InputError) as refused:
        train(out=stopped, resume=True, **given)
    assert says.format(stopped / 'checkpoint.h5') in str(refused.value) and '\n' not in str(
        refused.value
    )
    assert (stopped / 'checkpoint.h5').read_bytes() == before


def test_threads_may_change(stopped):
    """A run goes on on another machine; it is the number
    of the rest of the run, and of a further resume.
    """
    solver = train(out=stopped, resume=True, threads=2)
    assert solver.threads == 2 and load_run(stopped / 'checkpoint.h5')['threads'] == 2
    assert train(out=stopped, resume=True).threads == 2


def test_a_run_of_an_earlier_version(stopped):
    "It does not know `average`; what it did without it may be said, and nothing else."
    with h5py.File(stopped / 'checkpoint.h5', 'r+') as f:
        run = json.loads(f.attrs['run'])
        del run['average'], f.attrs['checksum']
        write_attributes(f, run=json.dumps(run))
    with pytest.raises(InputError, match=r'average is 0.9: the run in .* began with 0.0'):
        train(out=stopped, resume=True, average=0.9)
    train(out=stopped, resume=True, average=0)


def test_resume_on_the_command_line(stopped):
    words = [
        'train',
        '--out',
        str(stopped),
        '--resume',
        '--epochs',
        '2',
        '--hidden-dim',
        '4',
        '--cell',
        'rnn',
        '--quiet',
    ]
    # its default, and was said nevertheless
    done = CliRunner().invoke(main, [*words, '--batch-size', '100'])
    assert done.exit_code == 2 and done.stderr == (
        f'error: batch_size is 100: the run in {stopped}/checkpoint.h5 began with 20; '
        'leave batch_size out to go on, or train anew without resume\n'
    )
    assert CliRunner().invoke(main, words).exit_code == 0


def test_one_setting_under_two_names(data, tmp_path):
    with pytest.raises(InputError, match='epochs is 2 and num_epochs is 3: expected one of them'):
        train(data, tmp_path / 'run', epochs=2, num_epochs=3)
    with pytest.raises(InputError, match="cell is 'rnn' and cell_type is 'gru'"):
        train(data, tmp_path / 'run', cell='rnn', cell_type='gru')
    small = dict(reward_epochs=0, batch_size=20, hidden_dim=4, wordvec_dim=4)
    solver = train(data, tmp_path / 'run', num_epochs=1, cell_type='gru', **small)
    assert solver.num_epochs == 1 and solver.model.cell_type == 'gru'
    assert {'num_epochs', 'cell_type'}.isdisjoint(load_run(tmp_path / 'run' / 'checkpoint.h5'))


def test_help_still_shows_the_defaults():
    shown = inspect.signature(train).parameters
    assert (
        list(shown)[:2] == ['data', 'out'] and shown['epochs'].default == 6 and 'given' not in shown
    )
    with pytest.raises(TypeError, match=r'train\(\) got an unexpected keyword argument'):
        train(speed=1)
    options = {
        p.name: p.default
        for p in main.commands['train'].params
        if p.name in shown and isinstance(p.default, (str, int, float)) and p.name != 'resume'
    }
    assert len(options) > 10 and options == {name: shown[name].default for name in options}


# log.csv


def rows(folder):
    with open(folder / 'log.csv', encoding='utf-8', newline='') as f:
        return list(csv.DictReader(f))


def timeless(folder):
    return [
        {name: value for name, value in row.items() if name not in ('seconds', 'words_per_second')}
        for row in rows(folder)
    ]


def test_log_says_what_the_run_did(data, whole):
    found = rows(data.parent / 'whole')
    assert tuple(found[0]) == COLUMNS and [row['pass'] for row in found] == ['1', '2', '3', '4']
    assert [(row['objective'], row['step']) for row in found] == [
        ('likelihood', '3'),
        ('likelihood', '6'),
        ('cider', '1'),
        ('cider', '2'),
    ]
    assert float(found[0]['loss']) == pytest.approx(
        np.mean(whole.earlier_loss_history[:3]), rel=1e-5
    )
    assert float(found[3]['val_loss']) == pytest.approx(
        whole.val_loss_history[1], rel=1e-5, abs=1e-9
    )
    assert all(float(row['seconds']) > 0 and float(row['words_per_second']) > 0 for row in found)
    first = 1e-3 * 0.5 * (1 + np.cos(np.pi * 2 / 6))  # of the third of six steps
    assert float(found[0]['learning_rate']) == pytest.approx(first, rel=1e-4)


class Killed(BaseException):
    "The machine is gone, from one moment to the next."


@pytest.mark.parametrize('save', range(1, 5))
def test_log_of_a_killed_run_is_continuous(data, tmp_path, monkeypatch, whole, save):
    "Killed after the row of a pass and before its checkpoint, with half a row written beyond that."
    write, saved = training.save_checkpoint, []

    def dying(*arguments, **options):
        saved.append(1)
        if len(saved) == save:
            raise Killed
        write(*arguments, **options)

    monkeypatch.setattr(training, 'save_checkpoint', dying)
    with pytest.raises(Killed):
        train(data, tmp_path, **SETTINGS)
    monkeypatch.setattr(training, 'save_checkpoint', write)
    assert len(rows(tmp_path)) == save
    seconds = [row['seconds'] for row in rows(tmp_path)][: save - 1]
    with open(tmp_path / 'log.csv', 'a', encoding='utf-8') as f:
        f.write('99,likel')
    if save == 1:
        train(data, tmp_path, **SETTINGS)
    else:
        train(out=tmp_path, resume=True)
    assert timeless(tmp_path) == timeless(data.parent / 'whole')
    assert [row['seconds'] for row in rows(tmp_path)][: save - 1] == seconds


def test_log_of_a_run_stopped_within_a_pass(data, tmp_path, monkeypatch, whole):
    at_step(monkeypatch, 5, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        train(data, tmp_path, **SETTINGS)
    assert len(rows(tmp_path)) == 1
    train(out=tmp_path, resume=True)
    assert timeless(tmp_path) == timeless(data.parent / 'whole')


def test_run_without_a_log_gets_one(stopped, data, whole):
    "A run of an earlier version: what its checkpoint knows is filled in."
    (stopped / 'log.csv').unlink()
    train(out=stopped, resume=True)
    first, *rest = timeless(stopped)
    expected, *others = timeless(data.parent / 'whole')
    assert first == expected | dict(learning_rate='') and rest == others


@pytest.mark.parametrize(
    'found',
    [b'date,weight\n2020-01-01,70\n', b'\x00\xff' * 100, b'"' * 200_000],
    ids=['of somebody else', 'no text', 'one long field'],
)
@pytest.mark.parametrize('resume', [False, True])
def test_strange_log_is_kept(stopped, data, whole, found, resume):
    (stopped / 'log.csv').write_bytes(found)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        train(data, stopped, **SETTINGS) if not resume else train(out=stopped, resume=True)
    assert (stopped / 'log.before.csv').read_bytes() == found and len(rows(stopped)) == 4


def test_hostile_times_are_left_out(stopped):
    text = (stopped / 'log.csv').read_text(encoding='utf-8').splitlines()
    head, row = text[0], text[1].split(',')
    (stopped / 'log.csv').write_text(
        '\n'.join([head, ','.join([*row[:5], '=HYPERLINK()', 'nan', '1e3']), '']), encoding='utf-8'
    )
    train(out=stopped, resume=True)
    assert [
        rows(stopped)[0][name] for name in ('learning_rate', 'seconds', 'words_per_second')
    ] == ['', '', '1e3']


def test_log_of_the_run_before_is_kept(stopped, data):
    before = (stopped / 'log.csv').read_bytes()
    with pytest.warns(UserWarning, match='holds a captioner already'):
        train(data, stopped, **dict(SETTINGS, seed=1))
    assert (stopped / 'log.before.csv').read_bytes() == before and len(rows(stopped)) == 4


def test_log_that_cannot_be_written_for_a_while(data, tmp_path, whole):
    """Another program holds it, as a spreadsheet of Windows
    does: the run goes on, and what is missing comes later.
    """

    def hold(solver):
        if solver.objective.name == 'likelihood' and solver.epoch == 1:
            (tmp_path / 'log.csv').rename(tmp_path / 'moved.csv')
            (tmp_path / 'log.csv').mkdir()
        elif (tmp_path / 'log.csv').is_dir():
            shutil.rmtree(tmp_path / 'log.csv')

    with pytest.warns(
        UserWarning, match=re.escape(f'{tmp_path / "log.csv"}: cannot be written now')
    ):
        assert equal(train(data, tmp_path, **SETTINGS, callbacks=[hold]), whole)
    assert timeless(tmp_path) == timeless(data.parent / 'whole')


def test_folder_in_place_of_the_log(data, tmp_path):
    (tmp_path / 'log.csv').mkdir()
    with pytest.raises(InputError, match='log.csv'):
        train(data, tmp_path, **SETTINGS)
    assert not (tmp_path / 'checkpoint.h5').exists()
