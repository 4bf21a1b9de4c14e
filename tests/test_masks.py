"""Masks of attention: truth values or numbers to add,
values of any width, queries that may look nowhere.
"""

import warnings
import numpy as np
import pytest
from rnn_captioning.layers.additive_attention import (
    additive_attention_backward,
    additive_attention_forward,
)
from rnn_captioning.errors import InputError
from rnn_captioning.gradient_check import check_backward
from rnn_captioning.temporal_affine import temporal_softmax_loss
from rnn_captioning.layers.self_attention import attention_backward, attention_forward, causal_mask

N, HEADS, TQ, TK, D, DV = 2, 3, 4, 5, 3, 6


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def arrays(dtype=np.float64, dv=DV):
    rng = np.random.default_rng(231)
    shapes = (N, HEADS, TQ, D), (N, HEADS, TK, D), (N, HEADS, TK, dv)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def masks():
    "Truth values of each shape that a mask may have, with a row that is masked as a whole in each."
    rng = np.random.default_rng(0)
    found = []
    for shape in (TQ, TK), (N, 1, TQ, TK), (N, HEADS, TQ, TK), (N, 1, 1, TK), (1, TK):
        mask = rng.random(shape) < 0.6
        mask[..., 0, :] = False
        found.append(mask)
    return found


def as_numbers(mask, low=-np.inf, dtype=np.float64):
    return np.where(mask, 0, low).astype(dtype)


def plain(q, k, v, mask):
    "Attention for each query by itself, with nothing but its own keys."
    allowed = np.broadcast_to(mask, (N, HEADS, TQ, TK))
    out = np.zeros((*q.shape[:3], v.shape[3]))
    for place in np.ndindex(q.shape[:3]):
        n, head, _ = place
        keys = np.flatnonzero(allowed[place])
        if len(keys) == 0:
            continue
        scores = k[n, head, keys] @ q[place] / D**0.5
        weights = np.exp(scores - scores.max())
        out[place] = weights / weights.sum() @ v[n, head, keys]
    return out


@pytest.mark.parametrize('mask', masks(), ids=lambda mask: str(mask.shape))
@pytest.mark.parametrize('dv', [1, D, DV])
def test_truth_values_and_numbers_to_add_say_the_same(mask, dv):
    q, k, v = arrays(dv=dv)
    expected = plain(q, k, v, mask)
    for form in (
        mask,
        as_numbers(mask),
        as_numbers(mask, dtype=np.float32),
        as_numbers(mask).tolist(),
    ):
        out, (*_, weights) = attention_forward(q, k, v, form)
        assert np.allclose(out, expected)
        assert not weights[~np.broadcast_to(mask, weights.shape)].any()


def test_numbers_are_added_to_the_scores():
    q, k, v = arrays()
    bias = np.random.default_rng(1).standard_normal((TQ, TK))
    _, (*_, weights) = attention_forward(q, k, v, bias)
    scores = q @ k.swapaxes(2, 3) / D**0.5 + bias
    assert np.allclose(weights, np.exp(scores) / np.exp(scores).sum(axis=3, keepdims=True))
    unchanged = attention_forward(q, k, v)[0]
    assert np.array_equal(attention_forward(q, k, v, np.zeros((TQ, TK)))[0], unchanged)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('low', [-1e9, np.finfo(np.float32).min, np.finfo(np.float64).min, -np.inf])
def test_very_low_numbers_hide_and_keep_the_type(dtype, low):
    q, k, v = arrays(dtype)
    mask = np.tri(TQ, TK, dtype=bool)
    out, (*_, weights) = attention_forward(q, k, v, as_numbers(mask, low))
    assert out.dtype == dtype and weights.dtype == dtype
    assert np.allclose(out, plain(q, k, v, mask), atol=1e-5)


@pytest.mark.parametrize(
    'mask', [None, *masks()], ids=lambda mask: str(getattr(mask, 'shape', None))
)
@pytest.mark.parametrize('dv', [1, D, DV])
def test_gradients_with_a_mask_and_values_of_another_width(mask, dv):
    q, k, v = arrays(dv=dv)

    def masked(q, k, v):
        return attention_forward(q, k, v, mask)

    def added(q, k, v):
        return attention_forward(q, k, v, None if mask is None else as_numbers(mask) + 0.3)

    for forward in (masked, added):
        check_backward(forward, attention_backward, dict(q=q, k=k, v=v))


@pytest.mark.parametrize('form', [np.asarray, as_numbers])
def test_a_query_that_may_look_nowhere_gets_zeros_and_gives_none(form):
    q, k, v = arrays()
    nobody = np.zeros((TQ, TK), bool)
    out, cache = attention_forward(q, k, v, form(nobody))
    assert not out.any()
    assert not any(grad.any() for grad in attention_backward(np.ones_like(out), cache))
    one = np.ones((TQ, TK), bool)
    one[2] = False
    out, cache = attention_forward(q, k, v, form(one))
    dq, dk, dv = attention_backward(np.ones_like(out), cache)
    assert not out[:, :, 2].any() and not dq[:, :, 2].any()
    rest = [0, 1, 3]
    alone, alone_cache = attention_forward(q[:, :, rest], k, v)
    for found, expected in zip((dk, dv), attention_backward(np.ones_like(alone), alone_cache)[1:]):
        assert np.allclose(found, expected)


def test_as_pytorch():
    torch = pytest.importorskip('torch')
    q, k, v = arrays()
    attend = torch.nn.functional.scaled_dot_product_attention
    tensors = [torch.tensor(a) for a in (q, k, v)]
    for mask in masks():
        for form in (mask, as_numbers(mask), np.random.default_rng(2).standard_normal(mask.shape)):
            theirs = attend(*tensors, attn_mask=torch.tensor(form))
            assert np.allclose(attention_forward(q, k, v, form)[0], np.nan_to_num(theirs.numpy()))


WRONG = {
    'integers': (
        np.ones((TQ, TK), int),
        r'mask is int64 of shape \(4, 5\): expected bool, or floats to add',
    ),
    'ones and zeros': (
        np.tri(TQ, TK),
        r'ones and zeros: expected bool, as mask.astype\(bool\), or -inf',
    ),
    'ones alone': (np.ones((TQ, TK)), 'ones and zeros'),
    'NaN': (np.full((TQ, TK), np.nan), 'holds NaN or infinity'),
    'infinity': (np.full((TQ, TK), np.inf), 'holds NaN or infinity'),
    'text': (np.full((TQ, TK), 'yes'), 'expected bool, or floats'),
    'complex': (np.zeros((TQ, TK), complex), 'expected bool, or floats'),
    'keys and queries changed': (np.ones((TK, TQ), bool), r'fits scores of shape \(2, 3, 4, 5\)'),
    'another batch': (np.ones((N + 1, 1, TQ, TK), bool), 'fits scores of shape'),
    'too many axes': (np.ones((1, N, HEADS, TQ, TK), bool), 'fits scores of shape'),
}


@pytest.mark.parametrize('name', WRONG)
def test_other_masks_are_refused_in_one_line(name):
    mask, says = WRONG[name]
    with pytest.raises(InputError, match=says) as error:
        attention_forward(*arrays(), mask)
    assert '\n' not in str(error.value)


def test_no_captions_no_words_no_keys():
    "Empty batches are no special case."
    for shape in (0, HEADS, TQ, TK), (N, HEADS, 0, TK), (N, HEADS, TQ, 0):
        n, heads, tq, tk = shape
        q = np.zeros((n, heads, tq, D))
        k = np.zeros((n, heads, tk, D))
        v = np.zeros((n, heads, tk, DV))
        for mask in (None, np.ones((tq, tk), bool), np.full((tq, tk), -np.inf)):
            out, cache = attention_forward(q, k, v, mask)
            assert out.shape == (n, heads, tq, DV) and not out.any()
            shapes = [grad.shape for grad in attention_backward(out, cache)]
            assert shapes == [q.shape, k.shape, v.shape]


def test_inputs_are_left_alone():
    q, k, v = arrays()
    mask = as_numbers(causal_mask(TK)[:TQ])
    given = [a.copy() for a in (q, k, v, mask)]
    out, cache = attention_forward(q, k, v, mask)
    attention_backward(out, cache)
    for before, after in zip(given, (q, k, v, mask)):
        assert np.array_equal(before, after)


def test_additive_attention_without_a_place():
    "A picture without places gives zeros, as a query that may look nowhere does."
    rng = np.random.default_rng(0)
    keys, query, values, w = (
        rng.standard_normal(shape) for shape in ((2, 0, 3), (2, 3), (2, 0, 5), 3)
    )
    context, weights, cache = additive_attention_forward(keys, query, values, w)
    assert context.shape == (2, 5) and not context.any() and weights.shape == (2, 0)
    dkeys, dquery, dvalues, dw = additive_attention_backward(
        np.ones((2, 5)), np.zeros((2, 0)), cache
    )
    assert (
        (dkeys.shape, dvalues.shape) == (keys.shape, values.shape)
        and not dquery.any()
        and not dw.any()
    )


def test_loss_of_captions_without_a_word():
    "The mask of the loss: rows that are masked as a whole add nothing, whatever their scores are."
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4)), np.zeros((2, 3), int)
    loss, dx = temporal_softmax_loss(x, y, np.zeros((2, 3), bool))
    assert loss == 0 and not dx.any()
