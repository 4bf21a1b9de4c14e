"""Models that are none of the package's: what they need to be
trained and to write, and how they are told what is missing.
"""

import numpy as np
import pytest

from rnn_captioning.data.dataset import open_data
from rnn_captioning.decoding import decode
from rnn_captioning.errors import InputError
from rnn_captioning.files.paths import shipped
from rnn_captioning.model import CaptioningRNN
from rnn_captioning.models.captioner import (
    Smoothable,
    Trainable,
    Validatable,
    Weighted,
    WithDropout,
    Writer,
    accepts,
    missing,
)
from rnn_captioning.training.reward import CIDER
from rnn_captioning.solver import CaptioningSolver, Objective, next_batch, validation_loss

V = 44
QUIET = dict(verbose=False, batch_size=500)


@pytest.fixture(scope='module')
def data():
    scenes = open_data(shipped('scenes.h5'))
    few = {
        f'{split}_{name}': scenes[f'{split}_{name}'][:count]
        for split, count in (('train', 2000), ('val', 500))
        for name in ('captions', 'image_idxs')
    }
    return {**scenes, **few}


def loss_of(scores, captions, weight):
    words = captions[:, 1:]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    mask = (words != 0) * weight[:, None] / len(words)
    counts = np.bincount(words.ravel(), mask.ravel(), minlength=V)
    return float(-counts @ np.log(p)), dict(scores=p * counts.sum() - counts)


class Minimal:
    "A score for each word, whatever the picture: `params` and `loss`, and nothing else."

    def __init__(self):
        self.params = dict(scores=np.zeros(V))

    def loss(self, features, captions):
        return loss_of(self.params['scores'], captions, np.ones(len(captions)))


class WithWeight(Minimal):
    def loss(self, features, captions, weight=None):
        return loss_of(
            self.params['scores'], captions, np.ones(len(captions)) if weight is None else weight
        )


class Anything(Minimal):
    def loss(self, *arguments, **options):
        return Minimal.loss(self, *arguments)


def trained(model, data, **options):
    solver = CaptioningSolver(model, data, **QUIET | options)
    before = validation_loss(model, data)
    solver.train()
    assert validation_loss(model, data) < before
    return solver


# what works


def test_minimal_model_trains_with_the_defaults(data):
    np.random.seed(0)
    assert len(trained(Minimal(), data).loss_history) == 40


@pytest.mark.parametrize(
    'options',
    [
        dict(validate=True),
        dict(validate=True, patience=1),
        dict(average=0.9),
        dict(seed=0, clip_norm=1.0, lr_schedule='cosine'),
        dict(progress=True),
    ],
    ids=str,
)
def test_minimal_model_trains_with_options(data, options):
    trained(Minimal(), data, num_epochs=2, update_rule='adam', **options)


@pytest.mark.parametrize('threads', [2, 3])
def test_threads_with_a_weight_alone(data, threads):
    "No `_null` either: shards are only less even without it."
    one, many = (trained(WithWeight(), data, seed=0, num_epochs=1, threads=n) for n in (1, threads))
    assert np.allclose(one.loss_history, many.loss_history) and np.allclose(
        one.model.params['scores'], many.model.params['scores']
    )


def test_validation_leaves_gradients_out_where_it_can(data):
    asked = []

    class Noting(Minimal):
        def loss(self, features, captions, backward=True):
            asked.append(backward)
            return Minimal.loss(self, features, captions)

    validation_loss(Noting(), data)
    assert asked and not any(asked)
    validation_loss(Minimal(), data)


def test_package_models_have_everything(data):
    model = CaptioningRNN(data['word_to_idx'], input_dim=33, wordvec_dim=4, hidden_dim=4)
    assert not any(
        missing(model, protocol)
        for protocol in (Trainable, Validatable, Weighted, WithDropout, Smoothable, Writer)
    )


# what is missing


def refused(model, data, says, **options):
    with pytest.raises(InputError) as message:
        CaptioningSolver(model, data, **QUIET | options)
    assert all(text in str(message.value) for text in says) and '\n' not in str(message.value), (
        message.value
    )


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(threads=2), ['(Minimal)', 'loss(weight=...)', 'threads=2']),
        (dict(label_smoothing=0.1), ['loss(smoothing=...)', 'label_smoothing=0.1']),
        (
            dict(objective=CIDER),
            ['no start(features), no step(state, words)', 'training for CIDEr', 'Writer'],
        ),
    ],
    ids=['threads', 'label smoothing', 'objective'],
)
def test_options_that_a_model_cannot_have(data, options, says):
    refused(Minimal(), data, says, **options)


def test_dropout_needs_a_generator(data):
    model = Minimal()
    model.dropout = 0.5
    refused(model, data, ['loss(rng=...)', 'dropout=0.5'])


def test_no_captioner_at_all(data):
    refused(
        object(), data, ['(object)', 'no params', 'no loss(features, captions)', 'training needs']
    )
    refused(None, data, ['(NoneType)', 'no params'])


@pytest.mark.parametrize(
    'params, says',
    [
        ([np.zeros(3)], 'a list'),
        ({}, 'empty'),
        (dict(w=[1.0, 2.0]), "'w' is a list"),
        (dict(w=np.arange(3)), "'w' is a int64"),
    ],
    ids=str,
)
def test_params_of_another_kind(data, params, says):
    model = Minimal()
    model.params = params
    refused(model, data, [says, 'expected a dict of float arrays'])


@pytest.mark.parametrize(
    'grads, says',
    [
        (None, 'gradients that are a NoneType'),
        (dict(other=np.zeros(V)), 'no gradient of scores'),
        (dict(scores=np.zeros((V, 1))), 'of shape (44, 1): expected (44,)'),
    ],
    ids=str,
)
def test_gradients_of_another_kind(data, grads, says):
    class Wrong(Minimal):
        def loss(self, features, captions):
            return 1.0, grads

    with pytest.raises(InputError) as message:
        CaptioningSolver(Wrong(), data, **QUIET).train()
    assert says in str(message.value)


def test_decode_says_what_is_missing(data):
    with pytest.raises(
        InputError,
        match=(
            r'\(Minimal\) has no word_to_idx, .* no start\(features\), no step\(state, '
            r'words\): decoding needs'
        ),
    ):
        decode(Minimal(), np.zeros((1, 3)))


def test_an_objective_of_ones_own(data):
    objective = Objective('own', next_batch, lambda model, data: 0.0)
    trained(Minimal(), data, num_epochs=1, objective=objective, validate=True)
    refused(
        Minimal(),
        data,
        ['no start'],
        objective=Objective('own', next_batch, None, needs=((Writer, 'my objective'),)),
    )


# how it is found out


@pytest.mark.parametrize(
    'function, option, expected',
    [
        (Minimal().loss, 'weight', False),
        (WithWeight().loss, 'weight', True),
        (Anything().loss, 'weight', True),
        (WithWeight().loss, 'rng', False),
        (lambda weight, /: 0, 'weight', False),
        (lambda *weight: 0, 'weight', False),
        (print, 'end', True),
        (zip, 'nothing', False),
        (3, 'x', False),
    ],
)
def test_accepts(function, option, expected):
    assert accepts(function, option) is expected


# one name for one thing


def test_names_of_a_run_are_taken(data):
    solver = CaptioningSolver(Minimal(), data, epochs=3, learning_rate=0.5, **QUIET)
    assert solver.num_epochs == 3 and solver.optim_config == {'learning_rate': 0.5}
    solver = CaptioningSolver(
        Minimal(),
        data,
        epochs=3,
        num_epochs=3,
        update_rule='adam',
        learning_rate=0.5,
        optim_config=dict(beta1=0.8),
        **QUIET,
    )
    assert solver.optim_config == dict(beta1=0.8, learning_rate=0.5)


@pytest.mark.parametrize(
    'options, says',
    [
        (dict(epochs=3, num_epochs=4), ['num_epochs is 4', 'epochs is 3', 'expected one of them']),
        (
            dict(learning_rate=1.0, optim_config=dict(learning_rate=2.0)),
            ['learning_rate 2.0', 'learning_rate is 1.0'],
        ),
        (dict(epochs=-1), ['num_epochs is -1']),
        (dict(learning_rate='fast'), ["learning_rate is 'fast'"]),
        (dict(learning_rate=1.0, optim_config=3), ['optim_config is 3']),
    ],
    ids=str,
)
def test_names_that_clash(data, options, says):
    refused(Minimal(), data, says, **options)
