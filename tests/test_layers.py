"""What tools/mutate.py found that no chapter says
about the layers, and that a reader would not miss.
"""

import contextlib
import io
from unittest.mock import patch
import numpy as np
import pytest
from rnn_captioning import temporal_affine
from rnn_captioning.layers.gru import gru_backward, gru_forward
from rnn_captioning.layers.lstm import lstm_backward, lstm_forward
from rnn_captioning.layers.packing import Packing
from rnn_captioning.optim import RULES
from rnn_captioning.sequence import rnn_backward, rnn_forward
from rnn_captioning.temporal_affine import softmax_loss_in_place, temporal_softmax_loss
from rnn_captioning.models.transformer import (
    _cross_attention_step,
    _encoder_layer_forward,
    _layers_of,
    memory_forward,
    _transformer_forward,
    _transformer_params,
    _transformer_start,
    _transformer_step,
)
from rnn_captioning.layers.feed_forward import layer_norm_forward
from rnn_captioning.layers.self_attention import sinusoids


def test_softmax_loss_in_blocks():
    rng = np.random.default_rng(0)
    scores, y, weight = rng.standard_normal((7, 5)), rng.integers(5, size=7), rng.random(7)
    for smoothing in (0.0, 0.1):
        loss, gradient = softmax_loss_in_place(scores.copy(), y, weight, smoothing)
        for block in (1, 10, 23):  # scores: less than a row, two rows, four rows and a bit
            with patch.object(temporal_affine, 'BLOCK', block):
                again, other = softmax_loss_in_place(scores.copy(), y, weight, smoothing)
            assert abs(loss - again) < 1e-12 and np.array_equal(gradient, other)


def test_verbose():
    for verbose in (False, True):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            temporal_softmax_loss(
                np.zeros((2, 3, 4)),
                np.zeros((2, 3), int),
                np.ones((2, 3), bool),
                **dict(verbose=True) if verbose else {},
            )
        assert said.getvalue() == ('dx_flat:  (6, 4)\n' if verbose else '')


def test_encoder_adds_positions():
    rng = np.random.default_rng(0)
    p = _transformer_params(2, 5, 4, 0, 3, rng=np.random.default_rng(1), encoder_layers=1)
    grid = rng.standard_normal((1, 3, 5))
    x, _ = layer_norm_forward(
        grid[0] @ p['W_proj'] + p['b_proj'], p['memory_gain'], p['memory_bias']
    )
    x, _ = _encoder_layer_forward(
        _layers_of(p, 'encoder')[0], x + sinusoids(np.arange(3), 4), 2, 'gelu', (1, 3, np.arange(3))
    )
    assert np.allclose(
        memory_forward(grid, p, 2, 'gelu')[0][0],
        layer_norm_forward(x, p['encoder_gain'], p['encoder_bias'])[0],
    )


def test_rows_of_one_picture():
    rng, D, heads, n, K, L = np.random.default_rng(0), 6, 2, 2, 3, 4
    x = rng.standard_normal((n * K, D))
    kv = rng.standard_normal((n, L, 2 * D))
    weights = [rng.standard_normal(shape) for shape in ((D, D), D, (D, D), D)]
    out, looked = _cross_attention_step(x, kv, *weights, heads)
    for i in range(n * K):
        alone, there = _cross_attention_step(x[i : i + 1], kv[[i // K]], *weights, heads)
        assert np.allclose(out[i], alone[0]) and np.allclose(looked[i], there[0])
    out, looked = _cross_attention_step(x[:0], kv[:0], *weights, heads)
    assert out.shape == (0, D) and looked.shape == (0, heads, L)


def test_steps_of_one_layer():
    rng = np.random.default_rng(0)
    p = _transformer_params(5, 3, 4, 1, 4, rng=rng)
    grid = rng.standard_normal((2, 3, 3))
    words = np.array([1, 2, 3, 4])
    state, scores = _transformer_start(p, 2, 'gelu', grid), []
    for now in (words[:2], words[2:]):
        out, state = _transformer_step(p, 2, 'gelu', state, now)
        scores.append(out)
    assert np.allclose(
        np.concatenate(scores),
        _transformer_forward(p, 2, 'gelu', grid, words, Packing.full(2, 2))[0],
    )


def test_update_rules_and_the_order_of_arrays():
    w, dw = np.arange(12.0).reshape(3, 4), np.linspace(-1, 1, 12).reshape(3, 4)
    for rule in RULES.values():
        assert np.array_equal(rule(w.T, dw.T)[0], rule(w, dw)[0].T)
        with pytest.raises(ValueError, match='in one piece'):
            rule(w, dw, out=np.zeros((4, 3)).T)


def test_a_batch_without_captions():
    for gates, forward, backward in (
        (1, rnn_forward, rnn_backward),
        (4, lstm_forward, lstm_backward),
        (3, gru_forward, gru_backward),
    ):
        h, cache = forward(
            np.zeros((0, 3, 4)),
            np.zeros((0, 5)),
            np.ones((4, gates * 5)),
            np.ones((5, gates * 5)),
            np.ones(gates * 5),
        )
        dx, dh0, dWx, dWh, db = backward(np.zeros((0, 3, 5)), cache)
        assert (
            h.shape == (0, 3, 5)
            and dx.shape == (0, 3, 4)
            and dh0.shape == (0, 5)
            and not dWx.any()
            and not dWh.any()
            and not db.any()
        )
