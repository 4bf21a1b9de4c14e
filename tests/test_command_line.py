"""The commands from end to end: what they leave, print and refuse,
and that a run that was stopped ends as if it had not been.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from rnn_captioning.training.checkpoint import load_checkpoint, load_run
from rnn_captioning.command_line import info, main
from rnn_captioning.data.dataset import open_data
from rnn_captioning.files.hdf5 import write_attributes
from rnn_captioning.files.paths import sole_user
from rnn_captioning.data.scenes import make_scenes
from rnn_captioning.settings import TrainingSettings
from rnn_captioning.training.run import train

SMALL = dict(epochs=1, reward_epochs=0, hidden_dim=4, wordvec_dim=4, batch_size=20)
LATER = {name for name, s in TrainingSettings.declared().items() if s.before is not None}
OPTIONS = [f'--{name.replace("_", "-")}={value}' for name, value in SMALL.items()]
COMMAND = [sys.executable, '-m', 'rnn_captioning']


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def works(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def fails(*arguments, says):
    done = run(*arguments)
    assert isinstance(done.exception, SystemExit), f'no error, or a traceback: {done.exception!r}'
    assert (
        done.exit_code == 2
        and done.stderr.startswith('error: ')
        and done.stderr.count('\n') == 1
        and not done.stdout
    ), done.output
    missing = [s for s in says if s not in done.stderr]
    assert not missing, f'{done.stderr!r} lacks {missing}'


def strict(text):
    "The one JSON document that a text is, without the NaN and Infinity that JSON does not have."

    def refuse(name):
        raise AssertionError(f'{name} is not JSON')

    return json.loads(text, parse_constant=refuse)


def case(name, *values, bug=None):
    return pytest.param(
        *values, id=name, marks=[pytest.mark.xfail(strict=True, reason=bug)] if bug else []
    )


def edited(source, target, change):
    shutil.copy(source, target)
    with h5py.File(target, 'r+') as f:
        change(f)
    return target


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A folder with a data set, another without pictures and
    facts, and in `out` what the command left of a training.
    """
    folder = tmp_path_factory.mktemp('tiny')
    make_scenes(folder / 'data.h5', train=12, val=3, test=9)
    edited(
        folder / 'data.h5',
        folder / 'plain.h5',
        lambda f: [
            f[split].pop(key)
            for split in f
            if split != 'vocabulary'
            for key in ('pictures', 'facts')
        ],
    )
    (folder / 'said').write_text(
        works('train', folder / 'data.h5', '--out', folder / 'out', *OPTIONS), encoding='utf-8'
    )
    return folder


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)


def is_png(path):
    return path.read_bytes().startswith(b'\x89PNG') and path.stat().st_size > 5000


# help


@pytest.mark.parametrize('name', sorted(main.commands))
def test_help(name):
    # a line may end at a hyphen
    text, words = (
        works(name, '--help'),
        lambda text: ' '.join(re.sub(r'(?<=\w-)\n\s*', '', text).split()),
    )
    assert (
        works(name, '-h') == text
        and 'Example' in text
        and f': rnn-captioning {name} ' in words(text)
    )
    for option in main.commands[name].params:
        if getattr(option, 'help', None):
            assert words(option.help) in words(text)
        if (
            option.param_type_name == 'option'
            and not option.is_flag
            and isinstance(option.default, (int, float, str))
        ):
            shown = re.escape(f'[default: {option.default}')
            assert re.search(rf'{shown}[;\]]', words(text)), option.name


def test_overview():
    assert works('-h') == works('--help')
    assert {'train', 'evaluate', 'prepare', 'info'} <= set(main.commands) and all(
        name in works('-h') for name in main.commands
    )


# train


def test_train_leaves_and_prints(tiny):
    assert sorted(p.name for p in (tiny / 'out').iterdir()) == [
        'captions.png',
        'checkpoint.h5',
        'log.csv',
        'loss.png',
    ]
    assert is_png(tiny / 'out' / 'loss.png') and is_png(tiny / 'out' / 'captions.png')
    which, *captions, truth, where = (tiny / 'said').read_text(encoding='utf-8').splitlines()
    assert which == '3 of the 3 pictures of the split val:'
    assert len(captions) == 3 and all(
        c.startswith('val-000') and c.split()[1] in ('true', 'false') for c in captions
    )
    assert (
        truth.endswith('of 3 val captions are true of their picture')
        and where == f'in {tiny / "out"}: checkpoint.h5, log.csv, loss.png, captions.png'
    )


@pytest.mark.parametrize(
    'change, split',
    [
        case('without pictures', lambda f: None, 'val'),
        case('without test', lambda f: f.pop('test'), 'val'),
        case(
            'without test and val', lambda f: [f.pop(split) for split in ('test', 'val')], 'train'
        ),
        case(
            'with photographs that are gone',
            lambda f: write_attributes(f, images='no such folder'),
            'val',
        ),
        case(
            'with half precision features',
            lambda f: [
                f.__setitem__(f'{s}/features', f[s].pop('features')[()].astype('f2'))
                for s in ('train', 'val', 'test')
            ],
            'val',
        ),
    ],
)
def test_train_on_less(tiny, tmp_path, change, split):
    said = works(
        'train',
        edited(tiny / 'plain.h5', tmp_path / 'data.h5', change),
        '--out',
        tmp_path / 'out',
        *OPTIONS,
    )
    assert is_png(tmp_path / 'out' / 'captions.png') and is_png(tmp_path / 'out' / 'loss.png')
    which, first, *_ = said.splitlines()
    assert f'pictures of the split {split}' in which and ('has learnt from' in which) == (
        split == 'train'
    )
    assert first.startswith(f'{split}-0000') and 'true' not in said


@pytest.mark.parametrize(
    'kind, options',
    [
        ('attention', ['--wordvec-dim=8', '--model-option=attention_dim=4']),
        ('transformer', ['--model-option=heads=2', '--model-option=layers=1']),
        (
            'encoded-attention',
            ['--wordvec-dim=8', '--model-option=attention_dim=4', '--model-option=heads=2'],
        ),
    ],
)
def test_train_that_looks_at_places(quick_meteor, tiny, tmp_path, kind, options):
    works(
        'train',
        tiny / 'data.h5',
        '--model',
        kind,
        '--hidden-dim=8',
        *options,
        '--out',
        tmp_path / 'out',
        '--epochs=1',
        '--reward-epochs=1',
        '--batch-size=20',
        '--label-smoothing=0.1',
    )
    assert is_png(tmp_path / 'out' / 'captions.png') and is_png(tmp_path / 'out' / 'loss.png')
    scores = json.loads(
        works(
            'evaluate',
            tmp_path / 'out' / 'checkpoint.h5',
            tiny / 'data.h5',
            '--split',
            'test',
            '--beam-size',
            2,
            '--json',
        )
    )
    assert 0 <= scores['truth'] <= 1 and scores['beam_size'] == 2
    assert kind.replace('-', '') in works('info', tmp_path / 'out' / 'checkpoint.h5').lower()
    without = edited(
        tiny / 'data.h5',
        tmp_path / 'flat.h5',
        lambda f: [
            f.__delitem__(f'{s}/{key}')
            for s in ('train', 'val', 'test')
            for key in ('grid', 'grid_scale')
        ],
    )
    fails(
        'evaluate',
        tmp_path / 'out' / 'checkpoint.h5',
        without,
        says=['flat.h5', 'has no grid', '(prepare --grid, or features of places)'],
    )


def contents(path):
    "Everything in an HDF5 file, as bytes."
    found = {}

    def visit(name, item):
        for key, value in item.attrs.items():
            found[f'{name}@{key}'] = np.asarray(value).tobytes()
        if isinstance(item, h5py.Dataset):
            found[name] = (str(item.dtype), item.shape, item[()].tobytes())

    with h5py.File(path) as f:
        visit('/', f)
        f.visititems(visit)
    return found


def test_same_seed_same_checkpoint(tiny, tmp_path):
    works('train', tiny / 'data.h5', '--out', tmp_path, *OPTIONS)
    assert contents(tmp_path / 'checkpoint.h5') == contents(tiny / 'out' / 'checkpoint.h5')


class Stop(Exception):
    pass


@pytest.fixture(scope='module')
def whole(tiny):
    "A run of two epochs, and two that train for the score, that nothing interrupts."
    settings = dict(SMALL, epochs=2, reward_epochs=2, dropout=0.3, inner_dropout=0.2, seed=7)
    train(tiny / 'data.h5', tiny / 'whole', **settings)
    return settings, contents(tiny / 'whole' / 'checkpoint.h5')


@pytest.mark.parametrize('epochs', [1, 2, 3, 4])
def test_resumed_equals_uninterrupted(tiny, tmp_path, whole, epochs):
    settings, expected = whole

    def stop(solver):
        done.append(solver.epoch)
        if len(done) == epochs:
            raise Stop

    done = []
    with pytest.raises(Stop):
        train(tiny / 'data.h5', tmp_path, **settings, callbacks=[stop])
    assert contents(tmp_path / 'checkpoint.h5') != expected
    works('train', '--out', tmp_path, '--resume')
    assert contents(tmp_path / 'checkpoint.h5') == expected


@pytest.mark.skipif(os.name == 'nt', reason='signals of Unix')
@pytest.mark.parametrize('asked', [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(tiny, tmp_path, asked):
    """The step is finished, one line says how to go on,
    the status is 130, and the run goes on from there.
    """
    command = [*COMMAND, 'train', tiny / 'data.h5', '--out', tmp_path, *OPTIONS, '--epochs=100000']
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8'
    ) as process:
        while process.poll() is None and not (tmp_path / 'checkpoint.1.h5').exists():
            time.sleep(0.01)
        process.send_signal(asked)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and not out and 'Traceback' not in err, err
    step = int(
        re.fullmatch(
            r'stopped after step ([\d,]+) of [\d,]+ for likelihood, and saved; to go on: '
            rf'rnn-captioning train --out {tmp_path} --resume',
            err.splitlines()[-1],
        )[1].replace(',', '')
    )
    assert (
        sorted(p.name for p in tmp_path.iterdir())
        == ['checkpoint.1.h5', 'checkpoint.h5', 'log.csv']
        and load_step(tmp_path / 'checkpoint.h5') == step
    )


def load_step(path):
    with h5py.File(path) as f:
        return int(f['solver'].attrs['step'])


def test_two_in_one_folder(tiny, tmp_path):
    command = [*COMMAND, 'train', tiny / 'data.h5', '--out', tmp_path, *OPTIONS, '--epochs=100000']
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / 'checkpoint.h5').exists():
            time.sleep(0.01)
        fails(
            'train',
            tiny / 'data.h5',
            '--out',
            tmp_path,
            *OPTIONS,
            says=[f'{tmp_path}: another process is writing there'],
        )
        fails(
            'train',
            '--out',
            tmp_path,
            '--resume',
            says=[f'{tmp_path}: another process is writing there'],
        )
        process.kill()
    process.wait()
    assert load_checkpoint(tmp_path / 'checkpoint.h5')  # the hold ended with the process
    with sole_user(tmp_path):
        pass


@pytest.mark.parametrize(
    'break_it',
    [
        case('cut short', lambda raw: raw[: len(raw) // 2]),
        case('empty', lambda raw: b''),
        case('of another program', lambda raw: b'PK' + raw[2:]),
        case('zeros in it', lambda raw: raw[:-3000] + bytes(2000) + raw[-1000:]),
        case('not there', None),
    ],
)
def test_damaged_checkpoint(tiny, tmp_path, whole, break_it):
    """The run goes on from the one before, says so, keeps
    the damaged one, and ends as if nothing had happened.
    """
    settings, expected = whole

    def stop(solver):
        done.append(solver.epoch)
        if len(done) == 3:
            raise Stop

    done, path = [], tmp_path / 'checkpoint.h5'
    with pytest.raises(Stop):
        train(tiny / 'data.h5', tmp_path, **settings, callbacks=[stop])
    raw = path.read_bytes()
    if break_it:
        path.write_bytes(break_it(raw))
    else:
        path.unlink()
    done = run('train', '--out', tmp_path, '--resume')
    err = done.stderr
    assert (
        done.exit_code == 0
        and 'warning: ' in err
        and 'checkpoint.h5' in err
        and 'going on from the one before, checkpoint.1.h5' in err
    )
    assert contents(path) == expected
    assert not break_it or (tmp_path / 'checkpoint.damaged.h5').read_bytes() == break_it(raw)


def test_resume_needs_a_checkpoint(tiny, tmp_path):
    fails(
        'train',
        tiny / 'data.h5',
        '--out',
        tmp_path / 'out',
        '--resume',
        says=['checkpoint.h5: no such file'],
    )
    assert not (tmp_path / 'out').exists()


OTHER = dict(model='transformer', cell='lstm', model_options='forget_bias=2')  # than the run's
FREE = 'out', 'resume', 'checkpoint_minutes', 'keep', 'threads', 'quiet'


@pytest.mark.parametrize(
    'name',
    [
        p.name
        for p in main.commands['train'].params
        if p.opts[0].startswith('--') and p.name not in FREE
    ],
)
def test_resume_keeps_the_settings(tiny, name):
    option = next(p for p in main.commands['train'].params if p.name == name)
    value = OTHER.get(name, '.123' if isinstance(option.default, float) else '77')
    before = (tiny / 'out' / 'checkpoint.h5').read_bytes()
    fails(
        'train',
        tiny / 'data.h5',
        '--out',
        tiny / 'out',
        '--resume',
        option.opts[0],
        value,
        says=[f'{name} is ', 'checkpoint.h5 began with ', f'leave {name} out'],
    )
    assert (tiny / 'out' / 'checkpoint.h5').read_bytes() == before


def test_resume_of_an_earlier_version(tiny, tmp_path):
    "What a setting that there was not yet is taken to be, and a checkpoint without a checksum."

    def older(f):
        write_attributes(
            f,
            run=json.dumps(
                {
                    name: value
                    for name, value in json.loads(f.attrs['run']).items()
                    if name not in LATER
                }
            ),
        )
        del f.attrs['checksum'], f['solver/params']

    edited(tiny / 'out' / 'checkpoint.h5', tmp_path / 'checkpoint.h5', older)
    works('train', '--out', tmp_path, '--resume')
    assert set(LATER) <= set(load_run(tmp_path / 'checkpoint.h5'))


def test_resume_where_the_data_is_gone(tiny, tmp_path):
    shutil.copy(tiny / 'data.h5', tmp_path / 'moved.h5')
    train(tmp_path / 'moved.h5', tmp_path / 'out', **SMALL)
    (tmp_path / 'moved.h5').rename(tmp_path / 'there.h5')
    fails('train', '--out', tmp_path / 'out', '--resume', says=['moved.h5: no such file'])
    works('train', tmp_path / 'there.h5', '--out', tmp_path / 'out', '--resume')


# options


@pytest.mark.parametrize(
    'option, says',
    [
        case('epochs 0', '--epochs=0', ['epochs is 0', 'expected at least 1']),
        case('epochs negative', '--epochs=-1', ['epochs is -1', 'expected at least 1']),
        case('epochs text', '--epochs=many', ["'--epochs'", "'many'", 'integer']),
        case('epochs a fraction', '--epochs=1.5', ["'--epochs'", "'1.5'", 'integer']),
        case(
            'reward epochs negative',
            '--reward-epochs=-1',
            ['reward_epochs is -1', 'expected at least 0'],
        ),
        case('batch size 0', '--batch-size=0', ['batch_size is 0', 'expected at least 1']),
        case('hidden 0', '--hidden-dim=0', ['hidden_dim is 0', 'expected at least 1']),
        case('wordvec negative', '--wordvec-dim=-3', ['wordvec_dim is -3', 'expected at least 1']),
        case('rate 0', '--learning-rate=0', ['learning_rate is 0', 'above 0']),
        case('rate negative', '--learning-rate=-1', ['learning_rate is -1', 'above 0']),
        case('rate nan', '--learning-rate=nan', ['learning_rate is nan', 'above 0']),
        case('rate inf', '--learning-rate=inf', ['learning_rate is inf', 'expected a number']),
        case('rate text', '--learning-rate=fast', ["'--learning-rate'", "'fast'", 'float']),
        case(
            'reward rate nan',
            '--reward-learning-rate=nan',
            ['reward_learning_rate is nan', 'above 0'],
        ),
        case('dropout 1', '--dropout=1', ['dropout is 1', 'at least 0 and less than 1']),
        case(
            'dropout negative', '--dropout=-0.1', ['dropout is -0.1', 'at least 0 and less than 1']
        ),
        case(
            'inner dropout 1',
            '--inner-dropout=1',
            ['inner_dropout is 1', 'at least 0 and less than 1'],
        ),
        case('dropout nan', '--dropout=nan', ['dropout is nan', 'less than 1']),
        case('seed negative', '--seed=-1', ['seed is -1', 'expected at least 0']),
        case('cell unknown', '--cell=brain', ["'brain'", 'expected rnn']),
        case(
            "model unknown",
            "--model=brain",
            ["model is 'brain'", "expected rnn or attention or encoded-attention or transformer"],
        ),
        case(
            "model option without value",
            "--model-option=layers",
            ["--model-option layers", "NAME=VALUE"],
        ),
        case(
            "model option unknown",
            "--model-option=layers=2",
            ["layers is 2", "'rnn' has none", "recurrent_scale"],
        ),
        case(
            "model option text", "--model-option=forget_bias=much", ["forget_bias is 'much'", "0.0"]
        ),
        case("label smoothing 1", "--label-smoothing=1", ["label_smoothing is 1", "less than 1"]),
        case('option unknown', '--epoch=1', ['--epoch', '--epochs']),
        case('more than memory', '--hidden-dim=1000000000000', ['not enough memory']),
    ],
)
def test_train_options(tiny, option, says):
    before = {p.name: p.read_bytes() for p in (tiny / 'out').iterdir()}
    fails('train', tiny / 'data.h5', '--out', tiny / 'out', *OPTIONS, option, says=says)
    assert {p.name: p.read_bytes() for p in (tiny / 'out').iterdir()} == before


@pytest.mark.parametrize(
    'out, says',
    [
        case('a file', 'data.h5', ['data.h5: no files can be written there', 'expected a folder']),
        case(
            'below a file',
            'data.h5/out',
            ['data.h5/out: no files can be written there', 'expected a folder'],
        ),
        case('a name too long', 300 * 'a', ['aaa: no files can be written there', 'too long']),
        case('nothing', '', ['path of a folder is empty']),
        case('with a folder for a checkpoint', 'checkpoint', ['checkpoint.h5']),
        case('with a folder for a picture', 'picture', ['loss.png']),
    ],
)
def test_train_out(tiny, monkeypatch, tmp_path, out, says):
    for folder in ('checkpoint/checkpoint.h5', 'picture/loss.png'):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(tiny / 'data.h5', tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(map(str, tmp_path.rglob('*')))
    fails('train', 'data.h5', '--out', out, *OPTIONS, says=says)
    assert (
        sorted(map(str, tmp_path.rglob('*'))) == before
        and (tmp_path / 'data.h5').read_bytes() == (tiny / 'data.h5').read_bytes()
    )


def test_train_on_no_name(tmp_path):
    fails(
        'train',
        '',
        '--out',
        tmp_path / 'out',
        *OPTIONS,
        '--batch-size=30000',
        says=['data set is empty'],
    )


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_a_captioner_that_is_there_is_kept(tiny, tmp_path):
    out = shutil.copytree(tiny / 'out', tmp_path / 'my run')
    before = (out / 'checkpoint.h5').read_bytes()
    done = run('train', tiny / 'data.h5', '--out', out, *OPTIONS, '--seed=5')
    assert (
        done.exit_code == 0
        and 'holds a captioner already' in done.stderr
        and (out / 'checkpoint.before.h5').read_bytes()
        == before
        != (out / 'checkpoint.h5').read_bytes()
    )


def test_a_beam_does_not_draw_by_lot(tmp_path):
    fails(
        'caption',
        tmp_path / 'photo.jpg',
        '--beam-size=3',
        '--temperature=1',
        says=['--beam-size', '--temperature', 'one or the other'],
    )


def test_divergence_ends_the_run(tiny, tmp_path):
    shutil.copytree(tiny / 'out', tmp_path / 'out')
    done = run(
        'train', tiny / 'data.h5', '--out', tmp_path / 'out', *OPTIONS, '--learning-rate=1e38'
    )
    assert done.exit_code == 2 and 'learning_rate' in done.stderr.splitlines()[-1]
    assert all(
        np.isfinite(w).all()
        for w in load_checkpoint(tmp_path / 'out' / 'checkpoint.h5').params.values()
    )


# evaluate

KEYS = {
    'split',
    'beam_size',
    'length_penalty',
    'tokenizer',
    'Bleu_1',
    'Bleu_2',
    'Bleu_3',
    'Bleu_4',
    'ROUGE_L',
    'CIDEr',
    'truth',
}


@pytest.mark.parametrize(
    'options, expected',
    [
        ([], dict(split='val', beam_size=1, images=3)),
        (['--split=test', '--beam-size=3'], dict(split='test', beam_size=3, images=9)),
    ],
    ids=['defaults', 'beam'],
)
def test_evaluate_json(tiny, no_java, options, expected):
    pytest.importorskip('pycocoevalcap')
    scores = strict(
        works('evaluate', tiny / 'out' / 'checkpoint.h5', tiny / 'data.h5', '--json', *options)
    )
    assert (
        KEYS <= set(scores)
        and 'METEOR' not in scores
        and {key: scores[key] for key in expected} == expected
    )
    assert (
        all(0 <= scores[f'Bleu_{n}'] <= 1 for n in (1, 2, 3, 4))
        and scores['tokenizer'] == 'lowercase alphanumeric'
    )


@pytest.mark.skipif(not shutil.which('java'), reason='METEOR needs Java')
def test_evaluate_with_java(tiny):
    pytest.importorskip('pycocoevalcap')
    assert (
        0
        <= strict(works('evaluate', tiny / 'out' / 'checkpoint.h5', tiny / 'data.h5', '--json'))[
            'METEOR'
        ]
        <= 1
    )


def test_evaluate_as_text_and_table(tiny, tmp_path, no_java):
    pytest.importorskip('pycocoevalcap')
    said = works(
        'evaluate',
        tiny / 'out' / 'checkpoint.h5',
        tiny / 'data.h5',
        '--per-image',
        tmp_path / 'table.csv',
    )
    assert dict(line.split(None, 1) for line in said.splitlines())['split'] == 'val'
    with open(tmp_path / 'table.csv', newline='', encoding='utf-8') as f:
        rows = list(csv.DictReader(f))
    assert [row['image'] for row in rows] == ['val-0000', 'val-0001', 'val-0002'] and {
        'caption',
        'Bleu_1',
        'CIDEr',
        'truth',
    } <= set(rows[0])


@pytest.mark.parametrize(
    'option, says',
    [
        case('split unknown', '--split=nope', ["no split 'nope'", 'found test, train, val']),
        case('beam 0', '--beam-size=0', ['beam_size is 0', 'at least 1']),
        case('beam negative', '--beam-size=-2', ['beam_size is -2', 'at least 1']),
        case('beam text', '--beam-size=wide', ["'--beam-size'", "'wide'", 'integer']),
        case('penalty text', '--length-penalty=x', ["'--length-penalty'", "'x'", 'float']),
        case('penalty nan', '--length-penalty=nan', ['length_penalty is nan']),
        case('penalty inf', '--length-penalty=inf', ['length_penalty is inf']),
        case(
            'table in a file',
            '--per-image=data.h5/x.csv',
            ['data.h5: no files can be written there'],
        ),
        case('table a folder', '--per-image=out', ['out: ']),
        case('table over the data', '--per-image=data.h5', ['data.h5: is read']),
    ],
)
def test_evaluate_options(tiny, tmp_path, monkeypatch, no_java, option, says):
    pytest.importorskip('pycocoevalcap')
    shutil.copytree(tiny / 'out', tmp_path / 'out')
    shutil.copy(tiny / 'data.h5', tmp_path)
    monkeypatch.chdir(tmp_path)
    fails('evaluate', 'out/checkpoint.h5', 'data.h5', option, says=says)
    assert (tmp_path / 'data.h5').read_bytes() == (tiny / 'data.h5').read_bytes()


def test_evaluate_missing_argument():
    fails('evaluate', says=["'CHECKPOINT'", 'evaluate --help'])


# prepare

NAMES = [f'p{i}.jpg' for i in range(10)]


@pytest.fixture
def album(tmp_path):
    "Captions in two formats, features and lists, with the tests standing in their folder."
    (tmp_path / 'tok.txt').write_text(
        ''.join(f'{name}#{k}\tA dog runs past house {k} .\n' for name in NAMES for k in range(2)),
        encoding='utf-8',
    )
    (tmp_path / 'c.csv').write_text(
        'image,caption\n' + ''.join(f'{name},"A dog, a ""big"" one"\n' for name in NAMES),
        encoding='utf-8',
    )
    for split, names in dict(train=NAMES[:6], val=NAMES[6:8], test=NAMES[8:]).items():
        (tmp_path / f'{split}.txt').write_text('\n'.join(names), encoding='utf-8')
    with h5py.File(tmp_path / 'f.h5', 'w') as f:
        f['features'] = np.eye(10, 4, dtype='f4')
        f['image_names'] = np.array([n.encode() for n in NAMES])
        f.attrs['encoder'] = 'eye'
    (tmp_path / 'out.h5').write_bytes(b'precious')
    return tmp_path


LISTS = [part for split in ('train', 'val', 'test') for part in ('--split', f'{split}={split}.txt')]


def test_prepare_features_of_places(album, monkeypatch):
    monkeypatch.chdir(album)
    places = np.random.default_rng(0).random((10, 3, 4)).astype('f4')

    def prepare(features):
        with h5py.File('places.h5', 'w') as f:
            f['features'], f['image_names'] = features, np.array([n.encode() for n in NAMES])
        return (
            'prepare',
            '--captions',
            'c.csv',
            '--features',
            'places.h5',
            *LISTS,
            '--min-count',
            1,
            '--out',
            'out.h5',
        )

    works(*prepare(places))
    data = open_data('out.h5')
    assert (
        np.allclose(data['val_features'], places[6:8].mean(axis=1))
        and np.abs(
            data['val_grid'][:] * data['val_grid_scale'][:][:, None, None] - places[6:8]
        ).max()
        < 1 / 255
    )
    works(
        'train',
        'out.h5',
        '--model',
        'attention',
        '--hidden-dim=4',
        '--wordvec-dim=4',
        '--out',
        'out',
        '--epochs=1',
        '--reward-epochs=0',
        '--batch-size=4',
    )
    fails(*prepare(-places), says=['places.h5', 'expected none below 0'])


@pytest.mark.parametrize(
    'captions, a_picture, words',
    [('tok.txt', 2, 'a dog runs past house 0'), ('c.csv', 1, 'a dog a big one')],
)
def test_prepare_then_all_the_rest(album, monkeypatch, no_java, captions, a_picture, words):
    pytest.importorskip('pycocoevalcap')
    monkeypatch.chdir(album)
    said = works(
        'prepare',
        '--captions',
        captions,
        '--features',
        'f.h5',
        *LISTS,
        '--min-count',
        1,
        '--out',
        'out.h5',
    )
    assert (
        said.startswith('out.h5: vocabulary ')
        and f'train 6 images with {6 * a_picture} captions, val 2 images' in said
    )
    data = open_data('out.h5')
    assert (
        data['train_urls'] == NAMES[:6]
        and data.encoder == 'eye'
        and set(words.split()) <= set(data.word_to_idx)
    )
    works('train', 'out.h5', '--out', 'out', *OPTIONS)
    assert is_png(Path('out/captions.png'))
    scores = strict(works('evaluate', 'out/checkpoint.h5', 'out.h5', '--split', 'test', '--json'))
    assert scores['images'] == 2 and 'truth' not in scores


def test_prepare_splits_at_random(album, monkeypatch):
    monkeypatch.chdir(album)
    assert 'train 8 images with 16 captions, val 1 images with 2 captions, test 1 images' in works(
        'prepare', '--captions', 'tok.txt', '--features', 'f.h5', '--out', 'out.h5'
    )
    first = contents('out.h5')
    works('prepare', '--captions', 'tok.txt', '--features', 'f.h5', '--out', 'out.h5', '--seed', 0)
    assert contents('out.h5') == first
    works('prepare', '--captions', 'tok.txt', '--features', 'f.h5', '--out', 'out.h5', '--seed', 1)
    assert contents('out.h5') != first


def test_prepare_counts_what_it_cuts(album, monkeypatch):
    monkeypatch.chdir(album)
    done = run(
        'prepare',
        '--captions',
        'tok.txt',
        '--features',
        'f.h5',
        '--out',
        'out.h5',
        '--max-words',
        3,
    )
    assert (
        done.exit_code == 0
        and done.stderr == 'warning: 20 captions of more than 3 words are cut to that length\n'
        and 'cut 20' in done.stdout
    )


@pytest.mark.parametrize(
    'options, says',
    [
        case('count 0', ['--features=f.h5', '--min-count=0'], ['min_count is 0', 'at least 1']),
        case(
            'count text', ['--features=f.h5', '--min-count=x'], ["'--min-count'", "'x'", 'integer']
        ),
        case('words 0', ['--features=f.h5', '--max-words=0'], ['max_words is 0', 'at least 1']),
        case('neither', [], ['a file of features or a folder of images', 'expected one']),
        case(
            'both',
            ['--features=f.h5', '--images=.'],
            ['a file of features or a folder of images', 'expected one'],
        ),
        case(
            'split without a file',
            ['--features=f.h5', '--split=train'],
            ['--split train', 'expected NAME=LISTFILE'],
        ),
        case(
            'split in two',
            ['--features=f.h5', '--split=train=train.txt', '--split=val=train.txt'],
            ['in two splits', 'p0.jpg'],
        ),
        case('images a file', ['--images=tok.txt'], ['tok.txt', 'expected one with photographs']),
        case('count too high', ['--features=f.h5', '--min-count=1000'], ['min_count', '1000']),
        case('seed negative', ['--features=f.h5', '--seed=-1'], ['seed is -1', 'at least 0']),
        case(
            'split twice',
            ['--features=f.h5', '--split=train=train.txt', '--split=train=val.txt'],
            ['--split', '2 times'],
        ),
        case(
            'encoder for features',
            ['--features=f.h5', '--encoder=tok.txt'],
            ['encoder', 'folder of images'],
        ),
        case('grid for features', ['--features=f.h5', '--grid'], ['grid', 'folder of images']),
        case('no name', ['--features='], ['features is empty']),
    ],
)
def test_prepare_options(album, monkeypatch, options, says):
    monkeypatch.chdir(album)
    fails('prepare', '--captions=tok.txt', '--out=out.h5', *options, says=says)
    assert Path('out.h5').read_bytes() == b'precious' and not list(album.glob('.*'))


@pytest.mark.parametrize(
    'options, says',
    [
        (['--split=train=nowhere.txt'], ['nowhere.txt: no such file']),
        (['--split=train=train.txt', '--split=val=train.txt'], ['in two splits']),
        (['--min-count=0'], ['min_count']),
        (['--max-words=0'], ['max_words']),
        (['--seed=-1'], ['seed']),
    ],
    ids=['list', 'two splits', 'count', 'words', 'seed'],
)
def test_prepare_looks_before_it_encodes(album, monkeypatch, options, says):
    monkeypatch.chdir(album)
    encoder = pytest.importorskip('rnn_captioning.photos.encoder')
    prepare = pytest.importorskip('rnn_captioning.data.prepare')
    Path('photos').mkdir()
    Path('photos/p0.jpg').touch()
    monkeypatch.setattr(encoder, 'load_encoder', lambda which: encoder.Encoder('none', None))
    monkeypatch.setattr(prepare, 'encode_images', lambda *_, **__: pytest.fail('it encodes'))
    fails('prepare', '--captions=tok.txt', '--images=photos', '--out=out.h5', *options, says=says)


# info


def test_info_on_both(tiny):
    assert strict(works('info', tiny / 'data.h5', '--json')) == info(tiny / 'data.h5')
    found = info(tiny / 'data.h5')
    assert (
        found['format'] == 'rnn_captioning data'
        and found['train'] == dict(images=12, captions=60, features=[33], grid=[3, 11])
        and found['test']['images'] == 9
    )
    found = strict(works('info', tiny / 'out' / 'checkpoint.h5', '--json'))
    assert (
        found['format'] == 'rnn_captioning checkpoint'
        and found['hidden_dim'] == 4
        and found['epoch'] == 1
        and found['vocabulary'] == info(tiny / 'data.h5')['vocabulary']
    )
    for path in (tiny / 'data.h5', tiny / 'out' / 'checkpoint.h5'):
        lines = works('info', path).splitlines()
        assert {line.split()[0] for line in lines} == set(info(path))


def test_info_without_val_is_json(tiny, tmp_path):
    train(edited(tiny / 'data.h5', tmp_path / 'data.h5', lambda f: f.pop('val')), tmp_path, **SMALL)
    strict(works('info', tmp_path / 'checkpoint.h5', '--json'))


# processes


def test_python_m():
    done = subprocess.run([*COMMAND, 'info', 'nowhere.h5'], capture_output=True, encoding='utf-8')
    assert (
        done.returncode == 2
        and not done.stdout
        and done.stderr == 'error: nowhere.h5: no such file\n'
    )
    done = subprocess.run([*COMMAND, 'trian'], capture_output=True, encoding='utf-8')
    assert (
        done.returncode == 2
        and done.stderr.startswith("error: No such command 'trian'.")
        and done.stderr.endswith('(see rnn-captioning --help)\n')
        and done.stderr.count('\n') == 1
    )


def test_nothing_but_json_on_stdout(tiny):
    done = subprocess.run(
        [*COMMAND, 'info', tiny / 'data.h5', '--json'],
        capture_output=True,
        encoding='utf-8',
        check=True,
    )
    assert (
        strict(done.stdout) == info(tiny / 'data.h5')
        and done.stdout.count('\n') == 1
        and not done.stderr
    )


def closed(*arguments, **options):
    "Run a command whose reader has gone before it writes."
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            stdout=writer,
            stderr=subprocess.PIPE,
            encoding='utf-8',
            **options,
        )
    finally:
        os.close(writer)


@pytest.mark.skipif(os.name == 'nt', reason='pipes of Unix')
def test_reader_gone(tiny):
    for arguments in (['info', tiny / 'data.h5'], ['--help']):
        assert closed(*arguments).stderr == ''


@pytest.mark.skipif(os.name == 'nt', reason='pipes of Unix')
def test_reader_gone_from_training(tiny, tmp_path):
    assert 'Traceback' not in closed('train', tiny / 'data.h5', '--out', tmp_path, *OPTIONS).stderr
    assert is_png(tmp_path / 'captions.png')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='no /dev/full here')
def test_disk_full(tiny):
    with open('/dev/full', 'w', encoding='utf-8') as full:
        done = subprocess.run(
            [*COMMAND, 'info', tiny / 'data.h5'],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding='utf-8',
        )
    assert done.returncode and done.stderr.startswith('error: ') and done.stderr.count('\n') == 1


# bench


def test_bench_measures_what_is_asked(tmp_path, monkeypatch):
    "At two small values of each quantity; the real ones take minutes, and show no more of it."
    small = dict(
        batch=[8, 16], hidden=[16, 32], vocabulary=[100, 200], length=[5, 10], pictures=[20, 40]
    )
    monkeypatch.setattr('rnn_captioning.bench.timing._GROWTH', small)
    found = json.loads(
        works('bench', '--only', 'growth', '--plot', tmp_path / 'growth.png', '--json')
    )
    assert (
        {what: g['values'] for what, g in found['growth'].items()} == small
        and all(
            len(g[of]) == 2 and min(g[of]) > 0
            for g in found['growth'].values()
            for of in ('seconds', 'megabytes')
        )
        and found['versions']['cores'] >= 1
        and (tmp_path / 'growth.png').stat().st_size > 5000
    )


def test_bench_refuses_what_it_cannot_measure(tmp_path):
    fails('bench', '--only', 'luck', says=['luck', 'steps'])
    fails('bench', '--only', 'growth', '--plot', tmp_path, says=['is a folder'])
