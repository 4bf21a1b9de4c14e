"""What a user writes, for the type checkers of test_types.py. Nothing here is run.

Each `reveal_type` is followed by what a checker has to
see; `Any` alone would mean that it sees nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import rnn_captioning
from rnn_captioning import (
    CaptioningRNN,
    CaptioningSolver,
    InputError,
    adam,
    affine_backward,
    affine_forward,
    attention_backward,
    attention_forward,
    beam_search,
    decode,
    decode_captions,
    evaluate,
    info,
    load,
    load_checkpoint,
    load_solver,
    lstm_step_backward,
    lstm_step_forward,
    open_data,
    prepare_data,
    rnn_forward,
    save_checkpoint,
    temporal_softmax_loss,
    train,
)


def layers(x: np.ndarray, h0: np.ndarray, w: np.ndarray, b: np.ndarray) -> float:
    h, _ = rnn_forward(x, h0, w, w, b)
    next_h, next_c, cache = lstm_step_forward(x[:, 0], h0, h0, w, w, b)
    dx, *_ = lstm_step_backward(next_h, next_c, cache)
    reveal_type(h)  # ndarray
    reveal_type(dx)  # ndarray
    out, flat = affine_forward(h, w, b)
    back, dw, db = affine_backward(out, flat)
    reveal_type(dw)  # ndarray
    looked, attended = attention_forward(x, x, x, mask=None)
    dq, dk, dv = attention_backward(looked, attended)
    loss, dscores = temporal_softmax_loss(h, np.zeros((2, 3), int), np.ones((2, 3), bool))
    reveal_type(loss)  # float
    new, config = adam(w, dw, {'learning_rate': 1e-3})
    reveal_type(config)  # dict[str, Any]
    return loss + float(
        (back.sum() + db.sum() + dq.sum() + dk.sum() + dv.sum() + new.sum() + dscores.sum())
    )


def by_hand(features: np.ndarray, captions: np.ndarray) -> list[str]:
    words = {word: i for i, word in enumerate(['<NULL>', '<START>', '<END>', 'cat'])}
    model = CaptioningRNN(
        words, input_dim=4, cell_type='lstm', dtype=np.float64, rng=np.random.default_rng(0)
    )
    loss, grads = model.loss(features, captions)
    reveal_type(loss)  # float
    reveal_type(model.params)  # dict[str, ndarray]
    reveal_type(model.sample(features))  # ndarray
    data = {
        'train_captions': captions,
        'train_features': features,
        'train_image_idxs': np.arange(len(captions)),
    }
    solver = CaptioningSolver(model, data, update_rule='adam', num_epochs=2)
    solver.train()
    reveal_type(solver.loss_history)  # list[float]
    ids, log_prob = beam_search(model, features, beam_size=3)
    reveal_type(log_prob)  # ndarray
    reveal_type(decode_captions(ids[0], model.idx_to_word))  # str | list[str]
    found = decode(model, features, beam_size=3, temperature=None)
    reveal_type(found)  # list[list[Caption]]
    print(grads, found[0][0].log_prob)
    return [captions[0].text for captions in found]


def from_files(folder: Path) -> str:
    made = prepare_data(folder / 'captions.csv', None, folder / 'data.h5', images=folder)
    reveal_type(made)  # dict[str, Any]
    solver = train(folder / 'data.h5', out=folder / 'run', epochs=1, callbacks=[print])
    reveal_type(solver)  # CaptioningSolver
    data = open_data(folder / 'data.h5')
    reveal_type(data)  # Dataset
    model = load_checkpoint(folder / 'run' / 'checkpoint.h5')
    reveal_type(model)  # Captioner
    scores, captions, _ = evaluate(model, data, split='val', beam_size=5)
    reveal_type(scores)  # dict[str, float]
    reveal_type(captions)  # list[str]
    save_checkpoint(folder / 'copy.h5', model, load_solver(folder / 'copy.h5', model, data))
    reveal_type(info(folder / 'copy.h5'))  # dict[str, Any]
    captioner = load()
    reveal_type(captioner)  # PhotoCaptioner
    try:
        result = captioner.caption(folder / 'photo.jpg', beam_size=3)
    except InputError as error:
        return str(error)
    reveal_type(result)  # Captioned
    reveal_type(result.text)  # str
    reveal_type(captioner.caption_many(folder))  # list[Captioned]
    return result.captions[0].text


reveal_type(rnn_captioning.train)  # CaptioningSolver
reveal_type(rnn_captioning.prepare_data)  # dict[str, Any]
reveal_type(rnn_captioning.rnn_backward)  # ndarray
reveal_type(rnn_captioning.data.prepare)  # Module
