"""A setting is declared once: signatures, help, options of the
command line and records of checkpoints say what the declaration says.
"""

import inspect
import json
from dataclasses import MISSING, dataclass, fields

import click
import numpy as np
import pytest

from rnn_captioning import settings as module
from rnn_captioning.command_line import main, options_of
from rnn_captioning.decoding import decode
from rnn_captioning.errors import InputError
from rnn_captioning.settings import (
    DecodingSettings,
    PositiveInt,
    Settings,
    Share,
    SolverSettings,
    TrainingSettings,
    setting,
)
from rnn_captioning.training.checkpoint import MODELS, load_run
from rnn_captioning.training.run import train
from numpydoc import parameters

DECLARED = [
    thing
    for thing in vars(module).values()
    if inspect.isclass(thing) and issubclass(thing, Settings) and thing is not Settings
]


def defaults(function):
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


def declared_defaults(settings):
    return {name: s.default for name, s in settings.declared().items()}


@pytest.mark.parametrize('settings', DECLARED, ids=lambda settings: settings.__name__)
def test_each_has_kind_default_and_help(settings):
    for each in fields(settings):
        noted = each.metadata['setting']
        default = each.default_factory() if each.default is MISSING else each.default
        assert noted.default == default and noted.help.endswith('.') and '\n' not in noted.help
        noted.check(each.name, default)
        assert noted.in_runs is None or noted.kind.fits(noted.in_runs)
        assert noted.before is None or noted.kind.fits(noted.before)
    json.dumps(settings().record())


@pytest.mark.parametrize('kind', MODELS)
def test_constructors(kind):
    ours = defaults(MODELS[kind])
    assert [ours.pop(name) for name in ('word_to_idx', 'rng')] == [inspect.Parameter.empty, None]
    assert ours.pop('dtype') is np.float32 and ours == declared_defaults(MODELS[kind].settings)


def test_train():
    ours = defaults(train)
    for name in ('data', 'out', 'resume', 'progress', 'callbacks'):
        ours.pop(name)
    wanted = declared_defaults(TrainingSettings) | dict(model_options=None)
    aliases = [s.alias for s in TrainingSettings.declared().values() if s.alias]
    assert ours == wanted | dict.fromkeys(aliases)
    assert set(ours) < set(parameters(train.__doc__))


def test_decode():
    ours = defaults(decode)
    assert declared_defaults(DecodingSettings).items() <= ours.items()


def test_options_of_the_command_line():
    options = {p.name: p for p in main.commands['train'].params}
    for name, s in TrainingSettings.declared().items():
        assert options[name].help.startswith(s.help)
        assert options[name].default == (() if s.default == {} else s.default)


def test_a_new_setting_is_written_once():
    "In the command line, in messages and in the record it is there at once."

    @dataclass(frozen=True)
    class More(TrainingSettings):
        noise: float = setting(Share, 0.25, 'Share of noise.', before=0.0)

    @click.command(context_settings=dict(show_default=True))
    @options_of(More)
    def command(**options):
        click.echo(options['noise'])

    from click.testing import CliRunner

    run = CliRunner().invoke
    assert run(command, []).output == '0.25\n' and run(command, ['--noise=0.5']).output == '0.5\n'
    shown = ' '.join(run(command, ['--help']).output.split())
    assert '--noise FLOAT Share of noise. [default: 0.25; 0<=x<1]' in shown
    with pytest.raises(InputError, match='noise is 1: expected at least 0 and less than 1'):
        More(noise=1)
    older = TrainingSettings().record()
    assert More().record()['noise'] == 0.25 and More.recorded(older, 'old.h5').noise == 0.0


@pytest.mark.parametrize(
    'settings, given, says',
    [
        (TrainingSettings, dict(epochs=1.5), 'epochs is 1.5: expected at least 1, a whole number'),
        (TrainingSettings, dict(learning_rate=np.nan), 'expected a number above 0'),
        (TrainingSettings, dict(model='brain'), "model is 'brain': expected rnn or attention or"),
        (TrainingSettings, dict(model_options=3), 'model_options is 3: expected options by name'),
        (SolverSettings, dict(lr_schedule='up'), 'expected a function or cosine or linear'),
        (SolverSettings, dict(seed=-1), 'seed is -1: expected at least 0'),
        (SolverSettings, dict(patience=2), 'patience needs validate=True'),
        (SolverSettings, dict(optim_config=dict(beta1=1)), 'optim_config: beta1 is 1'),
        (DecodingSettings, dict(num_captions=2), 'num_captions is 2: expected at most 1'),
        (DecodingSettings, dict(top_k=3, beam_size=2), 'top_k asks for words drawn'),
    ],
    ids=str,
)
def test_what_is_refused(settings, given, says):
    with pytest.raises(InputError) as refused:
        settings.of(given)
    assert says in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize(
    'settings, given',
    [
        (SolverSettings, dict(seed=np.int64(3), clip_norm=np.inf, lr_schedule=max)),
        (SolverSettings, dict(print_every=np.inf, verbose=np.True_, validate=1, patience=2)),
        (TrainingSettings, dict(batch_size=np.int32(3), dropout=np.float32(0.5))),
        (TrainingSettings, dict(checkpoint_minutes=float('inf'), num_epochs=3)),
    ],
    ids=str,
)
def test_what_is_taken(settings, given):
    settings.of(given)


def test_kinds_are_shown_in_words():
    assert PositiveInt.expected == 'at least 1, a whole number'


def test_numbers_of_numpy_can_be_recorded(tmp_path):
    from rnn_captioning.data.scenes import make_scenes

    make_scenes(tmp_path / 'data.h5', train=12, val=3, test=9)
    small = dict(reward_epochs=0, batch_size=20, wordvec_dim=4, threads=1)
    train(
        tmp_path / 'data.h5', tmp_path / 'run', epochs=np.int64(1), hidden_dim=np.int64(4), **small
    )
    assert load_run(tmp_path / 'run' / 'checkpoint.h5')['epochs'] == 1
