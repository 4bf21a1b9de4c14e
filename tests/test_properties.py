"""What holds for every shape, type and value: layers, packing, words, decoding, losses.

The cases are drawn, and the same at every run.
"""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rnn_captioning.layers.additive_attention import (
    additive_attention_backward,
    additive_attention_forward,
    attention_packed_backward,
    attention_packed_forward,
)
from rnn_captioning.models.attention import AttentionCaptioner
from rnn_captioning.data.batches import epoch_order
from rnn_captioning.data.vocabulary import SPECIAL, caption_texts, decode_captions
from rnn_captioning.data.rows import gather
from rnn_captioning.decoding import (
    Rules,
    _among_top,
    _largest,
    _log_sum_exp,
    _repeats,
    beam_search,
    decode,
    sampler,
    word_by_word,
)
from rnn_captioning.embedding import word_embedding_backward, word_embedding_forward
from rnn_captioning.models.encoded_attention import EncodedAttentionCaptioner
from rnn_captioning.errors import InputError, printable
from rnn_captioning.files.hdf5 import to_bytes, to_texts
from rnn_captioning.layers.gru import (
    gru_backward,
    gru_forward,
    gru_packed_backward,
    gru_packed_forward,
    gru_step_backward,
    gru_step_forward,
)
from rnn_captioning.layers.lstm import (
    lstm_backward,
    lstm_forward,
    lstm_packed_backward,
    lstm_packed_forward,
    lstm_step_backward,
    lstm_step_forward,
    gate_nonlinearities,
    sigmoid,
)
from rnn_captioning.model import (
    CELLS,
    CaptioningRNN,
    best_word,
    _mean_and_scale,
    orthogonal,
    pack_captions,
)
from rnn_captioning.optim import RULES
from rnn_captioning.data.prepare import to_bytes_grid
from rnn_captioning.data.vocabulary import build_vocabulary, encode_captions, tokenize
from rnn_captioning.layers.packing import Packing, add_repeats, from_packed, pack, to_packed
from rnn_captioning.sequence import (
    rnn_backward,
    rnn_forward,
    rnn_packed_backward,
    rnn_packed_forward,
)
from rnn_captioning.step_backward import rnn_step_backward
from rnn_captioning.step_forward import rnn_step_forward
from rnn_captioning.temporal_affine import (
    affine_backward,
    affine_forward,
    softmax,
    temporal_affine_backward,
    temporal_affine_forward,
    temporal_softmax_loss,
)
from rnn_captioning.models.transformer import TransformerCaptioner
from rnn_captioning.layers.feed_forward import (
    dropout_backward,
    dropout_forward,
    ffn_backward,
    ffn_forward,
    gelu,
    layer_norm_backward,
    layer_norm_forward,
    relu,
    residual_backward,
    residual_forward,
)
from rnn_captioning.layers.self_attention import (
    attention_backward,
    attention_forward,
    causal_mask,
    cross_attention_backward,
    cross_attention_forward,
    _from_table,
    join_heads,
    self_attention_backward,
    self_attention_forward,
    sinusoids,
    split_heads,
    table_of,
    _to_table,
)

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)

# what is drawn

dtypes = st.sampled_from([np.float32, np.float64])
# batches and sentences may be empty; widths may not
counts, sizes = (st.integers(0, 4), st.integers(1, 5))
seeds = st.integers(0, 2**32 - 1)
# how large numbers are: as in training, nothing at all, beyond
# where exp overflows, and almost beyond float32's squares
scales = st.sampled_from([1.0, 0.0, 1e-30, 100.0, 1e4])
extremes = st.lists(
    st.sampled_from(
        [
            0.0,
            -0.0,
            1e-45,
            -1e-45,
            1.0,
            -1.0,
            88.8,
            -88.8,
            104.0,
            -104.0,
            745.0,
            -745.0,
            1e4,
            -1e4,
            1e30,
            -1e30,
            3e38,
            -3e38,
        ]
    )
    | st.floats(-(2.0**127), 2.0**127, width=32),
    min_size=1,
    max_size=20,
)


class Numbers:
    """Arrays of one type, filled at random; of each a
    copy is kept, to see that nobody has changed it.
    """

    def __init__(self, seed, dtype, scale=1.0):
        self.rng, self.dtype, self.scale, self.kept = np.random.default_rng(seed), dtype, scale, []

    def __call__(self, *shape, scale=None):
        return self.keep(
            (self.rng.standard_normal(shape) * (self.scale if scale is None else scale)).astype(
                self.dtype
            )
        )

    def keep(self, array):
        self.kept.append((array, array.copy()))
        return array

    def check(self, *outs):
        """What came out is finite and of the right type, and what went in is as it was:

        `outs` are pairs of an array and its shape.
        """
        for out, shape in outs:
            assert out.shape == tuple(shape) and out.dtype == self.dtype, (
                out.shape,
                shape,
                out.dtype,
                self.dtype,
            )
            assert np.isfinite(out).all()
        for array, before in self.kept:
            assert np.array_equal(array, before)


def like(*arrays):
    return [a.shape for a in arrays]


lengths = st.lists(st.integers(0, 4), max_size=4)

# layers

STEPS = dict(
    rnn=(rnn_step_forward, rnn_step_backward, 1),
    gru=(gru_step_forward, gru_step_backward, 3),
    lstm=(lstm_step_forward, lstm_step_backward, 4),
)


@pytest.mark.parametrize('cell', STEPS)
@given(N=counts, D=sizes, H=sizes, seed=seeds, dtype=dtypes, scale=scales)
@few
def test_step(cell, N, D, H, seed, dtype, scale):
    (forward, backward, gates), make = STEPS[cell], Numbers(seed, dtype, scale)
    states = [make(N, H, scale=1) for _ in range(1 + (cell == 'lstm'))]
    inputs = [make(N, D), *states, make(D, gates * H), make(H, gates * H), make(gates * H)]
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        *next_states, cache = forward(*inputs)
        grads = backward(*[make(N, H, scale=1) for _ in next_states], cache)
    make.check(*((s, (N, H)) for s in next_states), *zip(grads, like(*inputs)))
    if cell != 'lstm':
        assert (
            np.abs(next_states[0]).max(initial=0) <= max(1, np.abs(states[0]).max(initial=0)) + 1e-6
        )


SEQUENCES = dict(
    rnn=(rnn_forward, rnn_backward, rnn_packed_forward, rnn_packed_backward, 1),
    gru=(gru_forward, gru_backward, gru_packed_forward, gru_packed_backward, 3),
    lstm=(lstm_forward, lstm_backward, lstm_packed_forward, lstm_packed_backward, 4),
)


@pytest.mark.parametrize('cell', SEQUENCES)
@given(N=counts, T=counts, D=sizes, H=sizes, seed=seeds, dtype=dtypes, scale=scales)
@few
def test_sequence(cell, N, T, D, H, seed, dtype, scale):
    (forward, backward, *_, gates), make = SEQUENCES[cell], Numbers(seed, dtype, scale)
    inputs = [
        make(N, T, D),
        make(N, H, scale=1),
        make(D, gates * H),
        make(H, gates * H, scale=min(scale, 1)),
        make(gates * H),
    ]
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        h, cache = forward(*inputs)
        grads = backward(make(N, T, H, scale=1), cache)
    make.check((h, (N, T, H)), *zip(grads, like(*inputs)))


@pytest.mark.parametrize('cell', SEQUENCES)
@given(lengths=lengths, D=sizes, H=sizes, seed=seeds, dtype=dtypes)
@few
def test_packed_is_each_by_itself(cell, lengths, D, H, seed, dtype):
    "A packed batch gives every caption the states that it has alone."
    (alone, _, forward, backward, gates), make = SEQUENCES[cell], Numbers(seed, dtype)
    lengths = sorted(lengths, reverse=True)
    packing, N = Packing.of(lengths), len(lengths)
    x = make(sum(packing), D)
    h0 = make(N, H)
    Wx = make(D, gates * H)
    Wh = make(H, gates * H)
    b = make(gates * H)
    h, cache = forward(x, h0, Wx, Wh, b, packing)
    grads = backward(make(sum(packing), H), cache)
    make.check((h, (sum(packing), H)), *zip(grads, like(x, h0, Wx, Wh, b)))
    starts = np.cumsum([0, *packing])
    for i, length in enumerate(lengths):
        rows = starts[:length] + i
        assert np.allclose(alone(x[rows][None], h0[i : i + 1], Wx, Wh, b)[0][0], h[rows], atol=1e-5)


@given(shape=st.lists(counts, max_size=3), V=sizes, D=sizes, seed=seeds, dtype=dtypes)
@few
def test_embedding(shape, V, D, seed, dtype):
    make = Numbers(seed, dtype)
    W = make(V, D)
    x = make.keep(np.random.default_rng(seed).integers(V, size=shape))
    dout = make(*shape, D)
    out, cache = word_embedding_forward(x, W)
    dW = word_embedding_backward(dout, cache)
    make.check((out, (*shape, D)), (dW, (V, D)))
    slow = np.zeros((V, D))
    np.add.at(slow, x.reshape(-1), dout.reshape(-1, D))
    assert np.allclose(dW, slow, atol=1e-5)


@given(
    N=counts,
    inner=st.lists(sizes, min_size=1, max_size=3),
    M=sizes,
    seed=seeds,
    dtype=dtypes,
    scale=scales,
)
@few
def test_affine(N, inner, M, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    inputs = [make(N, *inner), make(int(np.prod(inner)), M), make(M)]
    out, cache = affine_forward(*inputs)
    make.check((out, (N, M)), *zip(affine_backward(make(N, M), cache), like(*inputs)))


@given(N=counts, T=counts, D=sizes, M=sizes, seed=seeds, dtype=dtypes, scale=scales)
@few
def test_temporal_affine(N, T, D, M, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    inputs = [make(N, T, D), make(D, M), make(M)]
    out, cache = temporal_affine_forward(*inputs)
    make.check(
        (out, (N, T, M)), *zip(temporal_affine_backward(make(N, T, M), cache), like(*inputs))
    )


@given(
    N=sizes,
    T=counts,
    V=sizes,
    seed=seeds,
    dtype=dtypes,
    scale=st.sampled_from([0.0, 1.0, 1e4, 1e30]),
)
@few
def test_softmax_loss(N, T, V, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    x = make(N, T, V)
    y = make.keep(make.rng.integers(V, size=(N, T)))
    mask = make.keep(make.rng.random((N, T)) < 0.7)
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        loss, dx = temporal_softmax_loss(x, y, mask)
    make.check((dx, (N, T, V)))
    assert np.isfinite(loss) and loss >= -1e-6 and not dx[~mask].any()
    assert np.allclose(dx.sum(axis=2), 0, atol=1e-5)  # more for one word is less for the others


@given(N=counts, L=sizes, A=sizes, D=sizes, seed=seeds, dtype=dtypes, scale=scales)
@few
def test_additive_attention(N, L, A, D, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    inputs = [make(N, L, A), make(N, A), make(N, L, D, scale=1), make(A)]
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        context, weights, cache = additive_attention_forward(*inputs)
        grads = additive_attention_backward(make(N, D, scale=1), make(N, L, scale=1), cache)
    make.check((context, (N, D)), (weights, (N, L)), *zip(grads, like(*inputs)))
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-5) and weights.min(initial=0) >= 0


@given(lengths=lengths, W=sizes, H=sizes, L=sizes, A=sizes, D=sizes, seed=seeds, dtype=dtypes)
@few
def test_attention_over_a_sentence(lengths, W, H, L, A, D, seed, dtype):
    make, lengths = Numbers(seed, dtype), sorted(lengths, reverse=True)
    packing, N = Packing.of(lengths), len(lengths)
    P = sum(packing)
    inputs = [
        make(P, W),
        make(N, H),
        make(N, H),
        make(N, L, A),
        make(N, L, D),
        make(W, 4 * H),
        make(D, 4 * H),
        make(H, 4 * H),
        make(4 * H),
        make(H, A),
        make(A),
    ]
    h, weights, cache = attention_packed_forward(*inputs, packing)
    grads = attention_packed_backward(make(P, H), make(P, L), cache)
    make.check((h, (P, H)), (weights, (P, L)), *zip(grads, like(*inputs)))


@given(
    N=counts,
    heads=sizes,
    Tq=counts,
    Tk=sizes,
    d=sizes,
    causal=st.booleans(),
    seed=seeds,
    dtype=dtypes,
    scale=scales,
)
@few
def test_attention(N, heads, Tq, Tk, d, causal, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    Tq = Tk if causal else Tq
    inputs = [make(N, heads, Tq, d), make(N, heads, Tk, d), make(N, heads, Tk, d, scale=1)]
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        out, cache = attention_forward(*inputs, causal_mask(Tk) if causal else None)
        grads = attention_backward(make(N, heads, Tq, d, scale=1), cache)
    make.check((out, (N, heads, Tq, d)), *zip(grads, like(*inputs)))
    if causal:
        assert not np.triu(cache[-1], 1).any()


@given(
    lengths=lengths, heads=st.integers(1, 3), d=sizes, L=sizes, M=sizes, seed=seeds, dtype=dtypes
)
@few
def test_attention_layers(lengths, heads, d, L, M, seed, dtype):
    make, lengths, D = Numbers(seed, dtype), sorted(lengths, reverse=True), heads * d
    packing, N = Packing.of(lengths), len(lengths)
    P, table = sum(packing), table_of(packing, N)
    own = [make(P, D), make(D, 3 * D), make(3 * D), make(D, D), make(D)]
    out, cache = self_attention_forward(*own, heads, table)
    make.check((out, (P, D)), *zip(self_attention_backward(make(P, D), cache), like(*own)))
    cross = [
        make(P, D),
        make(N, L, M),
        make(D, D),
        make(D),
        make(M, 2 * D),
        make(2 * D),
        make(D, D),
        make(D),
    ]
    out, cache = cross_attention_forward(*cross, heads, table)
    make.check((out, (P, D)), *zip(cross_attention_backward(make(P, D), cache), like(*cross)))


@given(
    P=counts,
    D=sizes,
    F=sizes,
    activation=st.sampled_from(['gelu', 'relu']),
    seed=seeds,
    dtype=dtypes,
)
@few
def test_feed_forward(P, D, F, activation, seed, dtype):
    make = Numbers(seed, dtype)
    inputs = [make(P, D), make(D, F), make(F), make(F, D), make(D)]
    out, cache = ffn_forward(*inputs, activation)
    make.check((out, (P, D)), *zip(ffn_backward(make(P, D), cache), like(*inputs)))


@given(P=counts, D=sizes, seed=seeds, dtype=dtypes, scale=scales)
@few
def test_layer_norm(P, D, seed, dtype, scale):
    make = Numbers(seed, dtype)
    inputs = [make(P, D, scale=scale), make(D), make(D)]
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        out, cache = layer_norm_forward(*inputs)
        grads = layer_norm_backward(make(P, D), cache)
        both, through = residual_forward(*inputs, lambda x: (x * 2, None))
        back = residual_backward(make(P, D), through, lambda d, cache: (d * 2,))
    make.check((out, (P, D)), *zip(grads, like(*inputs)), (both, (P, D)), *zip(back, like(*inputs)))


# numbers at the edge


@given(values=extremes, dtype=dtypes)
@few
def test_squashing(values, dtype):
    "No overflow, and no result outside its range, for any number that float32 has."
    x = np.array(values, dtype)
    before = x.copy()
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        s = sigmoid(x)
        both = gate_nonlinearities(np.stack([x, x], axis=1), 1)
        bounded = np.tanh(x)
    assert (
        s.dtype == dtype
        and np.array_equal(x, before)
        and ((0 <= s) & (s <= 1)).all()
        and np.allclose(s + sigmoid(-x), 1, atol=1e-6)
    )
    assert np.allclose(both[:, 0], s, atol=1e-6) and np.array_equal(both[:, 1], bounded)
    assert (np.diff(s[np.argsort(x, kind='stable')]) >= 0).all()


@given(values=extremes, dtype=dtypes)
@few
def test_softmax(values, dtype):
    x = np.array([values, values[::-1]], dtype)
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        half = x / 2  # differences of float32's largest numbers are beyond float32
        p, total = softmax(half.copy()), _log_sum_exp(half)
    assert p.dtype == dtype and np.allclose(p.sum(axis=1), 1, atol=1e-5) and p.min() >= 0
    assert (
        np.allclose(p[0], p[1][::-1], atol=1e-6)
        and np.isfinite(total).all()
        and (total >= half.max(axis=1) * (1 - 1e-6) - 1e-6).all() | (half.max(axis=1) < 0).any()
    )


@given(values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20), dtype=dtypes)
@few
def test_activations(values, dtype):
    x = np.array(values, dtype)
    before = x.copy()
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        for activation in (gelu, relu):
            out, slope = activation(x)
            assert (
                out.dtype == dtype
                and out.shape == slope.shape == x.shape
                and np.isfinite(out).all()
                and np.isfinite(slope).all()
            )
            assert (out <= np.maximum(x, 0) + 1e-6).all() and (out >= -0.2).all()
    assert np.array_equal(x, before)


@pytest.mark.parametrize('rule', RULES)
@given(
    shape=st.lists(counts, max_size=3),
    seed=seeds,
    dtype=dtypes,
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e15]),
)
@few
def test_update_rules(rule, shape, seed, dtype, scale):
    make = Numbers(seed, dtype, scale)
    w, dw, config = make(*shape, scale=1), make(*shape), None
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        new, config = RULES[rule](w, dw, config)
        again, config = RULES[rule](new, dw, config)
    make.check((new, shape), (again, shape))
    assert 'learning_rate' in config and (scale or np.array_equal(new, w))


@given(N=st.integers(1, 6), D=sizes, seed=seeds, scale=st.sampled_from([0.0, 1e-30, 1.0, 1e30]))
@few
def test_mean_and_scale(N, D, seed, scale):
    features = (np.random.default_rng(seed).standard_normal((N, D)) * scale).astype(np.float32)
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        mean, one_over = _mean_and_scale(features)
    assert np.isfinite(mean).all() and np.isfinite(one_over).all() and (one_over > 0).all()
    assert np.abs((features - mean) * one_over).max() < 1e4


# packing, tables, orders


@given(N=counts, T=counts, D=sizes, seed=seeds, dtype=dtypes)
@few
def test_packing_round_trip(N, T, D, seed, dtype):
    x = Numbers(seed, dtype)(N, T, D)
    if N:
        assert np.array_equal(from_packed(to_packed(x), N), x)
    assert to_packed(x).shape == (N * T, D)


@given(lengths=lengths)
@few
def test_pack(lengths):
    packing = Packing.of(lengths)
    order, batch_sizes, alive = pack(np.array(lengths, int))
    assert np.array_equal(order, packing.order) and batch_sizes == list(packing)
    assert sorted(order.tolist()) == list(range(len(lengths))) and sum(packing) == sum(lengths)
    assert batch_sizes == sorted(batch_sizes, reverse=True)
    assert len(packing) == max(lengths, default=0)
    assert alive.sum(axis=0).tolist() == [lengths[i] for i in order]
    rows = np.arange(sum(lengths))
    steps = [rows[step] for step in packing.steps()]
    assert np.array_equal(np.concatenate([rows[:0], *steps]), rows)
    grid = np.random.default_rng(0).standard_normal((len(lengths), 5, 2))
    padding = np.arange(5) >= np.array(lengths, int)[:, None]
    sums = np.where(padding[:, :, None], 0, grid).sum(axis=1)
    assert np.allclose(packing.sum(packing.pack(grid)), sums[order])
    assert np.array_equal(
        packing.repeat(order), packing.pack(np.arange(len(lengths))[:, None] + np.zeros(5, int))
    )


@given(lengths=lengths, D=sizes, seed=seeds, dtype=dtypes)
@few
def test_table_round_trip(lengths, D, seed, dtype):
    packing = Packing.of(lengths)
    x, table = Numbers(seed, dtype)(sum(packing), D), table_of(packing, len(lengths))
    assert (
        np.array_equal(_from_table(_to_table(x, table), table), x)
        and np.count_nonzero(_to_table(np.ones_like(x), table)) == x.size
    )


@given(N=counts, T=counts, heads=sizes, d=sizes, seed=seeds, dtype=dtypes)
@few
def test_heads_round_trip(N, T, heads, d, seed, dtype):
    x = Numbers(seed, dtype)(N, T, heads * d)
    assert np.array_equal(join_heads(split_heads(x, heads)), x)


@given(rows=st.lists(st.lists(st.integers(0, 6), min_size=5, max_size=5), max_size=4))
@few
def test_pack_captions(rows):
    "Every word that counts is read once and wanted once, next to its neighbour."
    captions = np.array(rows, int).reshape(-1, 5)
    packing, words_in, words_out, mask = pack_captions(captions, null=0)
    assert (
        len(words_in) == len(words_out) == len(mask) == sum(packing)
        and mask.sum() == (captions[:, 1:] != 0).sum()
    )
    pairs = sorted(zip(words_in[mask].tolist(), words_out[mask].tolist()))
    assert pairs == sorted((int(a), int(b)) for row in captions for a, b in zip(row, row[1:]) if b)


@given(count=st.integers(0, 50), seed=st.integers(0, 2**31), epoch=counts)
@few
def test_epoch_order(count, seed, epoch):
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count)) and np.array_equal(
        order, epoch_order(count, seed, epoch)
    )


@given(M=sizes, index=st.lists(st.integers(0, 4), max_size=8), seed=seeds)
@few
def test_rows(M, index, seed):
    rows, index = Numbers(seed, np.float64)(5, M), np.array(index, int)
    assert np.array_equal(gather(rows, index), rows[index])
    total = add_repeats(rows[index], index, 5)
    assert np.allclose(total, rows * np.bincount(index, minlength=5)[:, None])


@given(
    x=st.lists(st.lists(st.floats(-9, 9), min_size=70, max_size=70), min_size=1, max_size=3),
    k=st.integers(1, 6),
    group=st.integers(1, 40),
)
@few
def test_largest(x, k, group):
    x = np.array(x)
    found = np.take_along_axis(x, _largest(x, k, group), axis=1)
    assert np.array_equal(found, -np.sort(-x, axis=1)[:, :k])


@given(H=st.integers(1, 5), gates=st.integers(1, 4), scale=st.floats(0.1, 3), seed=seeds)
@few
def test_orthogonal(H, gates, scale, seed):
    w = orthogonal(np.random.default_rng(seed).standard_normal((H, gates * H)), scale)
    for block in np.split(w, gates, axis=1):
        assert np.allclose(block @ block.T, scale**2 * np.eye(H))


@given(N=counts, L=sizes, D=sizes, seed=seeds, scale=st.sampled_from([0.0, 1e-20, 1.0, 1e30]))
@few
def test_grids_in_bytes(N, L, D, seed, scale):
    grid = np.abs(np.random.default_rng(seed).standard_normal((N, L, D)) * scale).astype(np.float32)
    with np.errstate(over='raise', invalid='raise', divide='raise'):
        table, step = to_bytes_grid(grid)
    assert table.dtype == np.uint8 and (step > 0).all()
    assert (
        np.abs(table * step[:, None, None].astype(float) - grid) <= 0.51 * step[:, None, None]
    ).all()


@given(shape=st.lists(counts, max_size=2), rate=st.floats(0, 0.99), seed=seeds, dtype=dtypes)
@few
def test_dropout(shape, rate, seed, dtype):
    make = Numbers(seed, dtype)
    x, dout = make(*shape), make(*shape)
    out, cache = dropout_forward(x, dict(rate=rate, rng=np.random.default_rng(seed)))
    dx = dropout_backward(dout, cache)
    make.check((out, shape), (dx, shape))
    kept = out != 0
    assert np.allclose(out[kept], (x / (1 - rate))[kept], rtol=1e-4)
    assert np.allclose(dx[kept], (dout / (1 - rate))[kept], rtol=1e-4)
    assert dropout_forward(x, dict(rate=rate, rng=None))[0] is x


@given(T=counts, D=sizes)
@few
def test_positions(T, D):
    table = sinusoids(np.arange(T), D)
    assert table.shape == (T, D) and np.abs(table).max(initial=0) <= 1


# words

# letters of several scripts, a capital that grows in
# lower case, marks, digits, emoji, blanks and controls
letters = st.sampled_from(
    'abcABC éßİǅσΣчЧ猫かש9٣²_-.,!\'"#\t\n\r\0\x1b\x7f\x9b'
    '\u0301\u00a0\u200d\u2028\u202e\u2066\ufeff😀🎨'
)
texts = st.lists(st.text(letters, max_size=40), max_size=8)


@given(text=st.text(letters, max_size=80))
@few
def test_tokens(text):
    """Words are of letters and digits with their marks,
    in lower case; the words of words are these words.
    """
    words = tokenize(text)
    assert (
        all(
            w[:1].isalnum() and all(c.isalnum() or c in '\u0301\u0307\u200d' for c in w)
            for w in words
        )
        and tokenize(' '.join(words)) == tokenize(' '.join(words).lower())
        and tokenize(text) == words
    )


@given(texts=texts, min_count=st.integers(1, 3), max_words=st.integers(1, 6))
@few
def test_vocabulary_round_trip(texts, min_count, max_words):
    "What is encoded and decoded is the caption: cut, and with <UNK> for rare words."
    vocabulary = build_vocabulary(texts, min_count)
    ids, cut = encode_captions(texts, vocabulary, max_words)
    assert vocabulary[:4] == SPECIAL and len(set(vocabulary)) == len(vocabulary)
    assert (
        ids.shape[0] == len(texts)
        and ids.shape[1] <= max_words + 2
        and ids.max(initial=0) < len(vocabulary)
        and ids.min(initial=0) >= 0
    )
    known = set(vocabulary)
    expected = [
        ' '.join(w if w in known else '<UNK>' for w in tokenize(t)[:max_words]) for t in texts
    ]
    if texts:
        assert caption_texts(ids, vocabulary) == expected
    assert cut == sum(len(tokenize(t)) > max_words for t in texts)
    assert decode_captions(ids, vocabulary) == [
        ' '.join(['<START>', *filter(None, [e]), '<END>']) for e in expected
    ]


@given(texts=st.lists(st.text(letters.filter(lambda c: c != '\0'), max_size=20), max_size=6))
@few
def test_texts_round_trip(texts):
    assert to_texts(to_bytes(texts)) == texts


@given(text=st.text(letters | st.just('\ud800'), max_size=30))
@few
def test_printable(text):
    "No control character is left; what has none is as it was; an error is a line."
    out = printable(text)
    assert not any(
        ord(c) < 32
        or 127 <= ord(c) < 160
        or c in '\u2028\u2029\u202e\u2066'
        or 0xD800 <= ord(c) < 0xE000
        for c in out
    )
    assert (
        printable(out) == out
        and (out == text) != (out != text and '\\u' in out)
        and '\n' not in str(InputError(text))
    )
    out.encode()


# decoding


class Model:
    "Scores from a table: what follows depends on the word before and on the picture."

    _null = 0
    _start = 1
    _end = 2
    word_to_idx = {
        '<NULL>': 0,
        '<START>': 1,
        '<END>': 2,
        '<UNK>': 3,
        **{f'w{i}': i for i in range(4, 9)},
    }
    idx_to_word = {i: w for w, i in word_to_idx.items()}

    def __init__(self, seed, scale):
        self.table = np.random.default_rng(seed).standard_normal((9, 9)) * scale

    def start(self, features):
        return np.asarray(features)

    def step(self, state, words):
        return self.table[words] + state, state


rules = (
    st.tuples(st.integers(1, 7), st.integers(0, 6), st.integers(0, 3))
    .filter(lambda r: r[1] < r[0])
    .map(lambda r: Rules(*r))
)
pictures = st.integers(0, 3).flatmap(
    lambda N: st.tuples(st.just(N), seeds, st.sampled_from([0.0, 1.0, 30.0]))
)


def obeys(words, rules, null=0, end=2):
    """Whether a caption, word ids with padding, follows
    the rules; no word left to say may end it early.
    """
    words = words.tolist()
    length = words.index(end) + 1 if end in words else len(words)
    assert all(w == null for w in words[length:]) and not set(words[:length]) & {0, 1, 3}
    said, n = words[: length - (end in words)], rules.no_repeat_ngram
    runs = [tuple(said[i : i + n]) for i in range(len(said) - n + 1)] if n else []
    assert len(set(runs)) == len(runs)
    if n != 1 or rules.min_length <= 5:
        assert (
            end not in words
            or len(said) >= min(rules.min_length, 5 if n == 1 else rules.min_length)
            or n
        )


@given(drawn=pictures, rules=rules, how=st.sampled_from(['best', 'lot', 'top_k', 'top_p']))
@few
def test_word_by_word(drawn, rules, how):
    N, seed, scale = drawn
    choose = (
        best_word
        if how == 'best'
        else sampler(
            np.random.default_rng(seed),
            0.7,
            top_k=2 if how == 'top_k' else None,
            top_p=0.5 if how == 'top_p' else None,
        )
    )
    words, log_prob = word_by_word(
        Model(seed, scale), np.random.default_rng(seed).standard_normal((N, 9)), choose, rules
    )
    assert words.shape == (N, rules.max_length) and (log_prob <= 1e-9).all()
    for row in words:
        obeys(row, rules)


@given(drawn=pictures, rules=rules, K=st.integers(1, 4), penalty=st.sampled_from([0.0, 0.7, 1.0]))
@few
def test_beam(drawn, rules, K, penalty):
    N, seed, scale = drawn
    features = np.random.default_rng(seed).standard_normal((N, 9))
    words, log_prob = beam_search(Model(seed, scale), features, K, K, penalty, rules)
    assert words.shape == (N, K, rules.max_length) and (log_prob <= 1e-9).all()
    for group, scores in zip(words, log_prob):
        for row, score in zip(group, scores):
            if np.isfinite(score):
                obeys(row, rules)
        real = [tuple(row) for row, score in zip(group, scores) if np.isfinite(score)]
        assert len(set(real)) == len(real) and real
    one = beam_search(Model(seed, scale), features, 1, 1, 0.0, rules)[0]
    assert np.array_equal(
        one[:, 0], word_by_word(Model(seed, scale), features, best_word, rules)[0]
    )


@given(
    captions=st.lists(st.lists(st.integers(4, 6), min_size=5, max_size=5), min_size=1, max_size=3),
    n=st.integers(1, 4),
)
@few
def test_repeats(captions, n):
    rows, words = _repeats(np.array(captions), n)
    for i, caption in enumerate(captions):
        runs = {tuple(caption[j : j + n]) for j in range(len(caption) - n + 1)}
        assert set(words[rows == i].tolist()) == {
            w for w in range(4, 7) if tuple([*caption[len(caption) - n + 1 :], w]) in runs
        }


@given(
    scores=st.lists(st.lists(st.floats(-50, 50), min_size=6, max_size=6), min_size=1, max_size=3),
    k=st.none() | st.integers(1, 8),
    p=st.none() | st.floats(0.01, 1),
)
@few
def test_among_top(scores, k, p):
    scores = np.array(scores)
    kept = _among_top(scores, k, p)
    assert kept.any(axis=1).all() and kept[np.arange(len(scores)), scores.argmax(axis=1)].all()
    assert k is None or (kept.sum(axis=1) <= k).all()
    for row, keep in zip(scores, kept):
        assert keep.all() or row[keep].min() >= row[~keep].max()


# whole models

WORDS = {w: i for i, w in enumerate([*SPECIAL, 'a', 'b', 'c'])}
MAKE = {
    **{
        cell: lambda dtype, cell=cell: CaptioningRNN(
            WORDS, 3, 4, 5, cell, dtype, np.random.default_rng(0)
        )
        for cell in CELLS
    },
    'attention': lambda dtype: AttentionCaptioner(
        WORDS, 3, 4, 5, 2, dtype, np.random.default_rng(0), doubly=0.5
    ),
    'encoded-attention': lambda dtype: EncodedAttentionCaptioner(
        WORDS, 3, 4, 6, 2, heads=2, dtype=dtype, rng=np.random.default_rng(0)
    ),
    'transformer': lambda dtype: TransformerCaptioner(
        WORDS, 3, 6, 1, 2, encoder_layers=1, dtype=dtype, rng=np.random.default_rng(0)
    ),
}


def batch(seed, N, dtype, grid):
    rng = np.random.default_rng(seed)
    captions = np.array(
        [[1, *rng.integers(3, 7, size=n), 2, *[0] * (4 - n)] for n in rng.integers(1, 5, size=N)],
        int,
    ).reshape(N, 6)
    return rng.standard_normal((N, 2, 3) if grid else (N, 3)).astype(dtype), captions


@pytest.mark.parametrize('kind', MAKE)
@given(N=sizes, seed=seeds, dtype=dtypes)
@settings(few, max_examples=10)
def test_order_of_a_batch(kind, N, seed, dtype):
    """Loss, gradients and captions are those of the same batch in
    another order, to rounding; and nothing that goes in is changed.
    """
    model = MAKE[kind](dtype)
    make, (features, captions) = Numbers(seed, dtype), batch(seed, N, dtype, model.reads == 'grid')
    make.keep(features), make.keep(captions)
    order = np.random.default_rng(seed).permutation(N)
    loss, grads = model.loss(features, captions)
    other, others = model.loss(features[order], captions[order])
    close = 1e-5 if dtype == np.float32 else 1e-12
    assert (
        np.isfinite(loss)
        and abs(loss - other) <= close * max(abs(loss), 1)
        and set(grads) == set(model.params)
    )
    for name, g in grads.items():
        assert (
            g.shape == model.params[name].shape
            and g.dtype == dtype
            and np.abs(g - others[name]).max() <= 10 * close
        ), name
    assert np.array_equal(model.sample(features, 5)[order], model.sample(features[order], 5))
    alone = np.concatenate([model.sample(features[i : i + 1], 5) for i in range(N)])
    assert np.array_equal(alone, model.sample(features, 5))
    make.check()


@pytest.mark.parametrize('kind', MAKE)
@given(seed=seeds, scale=st.sampled_from([0.0, 1e3, 1e15]))
@settings(few, max_examples=6)
def test_extreme_features(kind, seed, scale):
    "Captions and a loss, whatever the features are, without overflow in softmax, sigmoid or tanh."
    model = MAKE[kind](np.float32)
    features, captions = batch(seed, 3, np.float32, model.reads == 'grid')
    with np.errstate(invalid='raise', divide='raise'):
        loss, grads = model.loss(features * np.float32(scale), captions)
        assert np.isfinite(loss) and all(np.isfinite(g).all() for g in grads.values())
        assert decode(model, features * np.float32(scale), beam_size=2, max_length=5)


@pytest.mark.parametrize('kind', MAKE)
def test_empty_batch(kind):
    model = MAKE[kind](np.float32)
    features, _ = batch(0, 0, np.float32, model.reads == 'grid')
    assert model.sample(features, 5).shape == (0, 5) and decode(model, features) == []
