"""What the guides to PyTorch, from CS231n, to a cell and to
features of one's own claim in words, and no cell of theirs runs.
"""

import csv
import inspect
import json
import os
import shutil
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

import rnn_captioning
from rnn_captioning import CaptioningRNN, CaptioningSolver, load_coco_data
from rnn_captioning.command_line import main
from rnn_captioning.errors import raises
from rnn_captioning.files.hdf5 import to_bytes
from rnn_captioning.layers.gru import GRU, gru_forward
from rnn_captioning.model import CELLS
from rnn_captioning.data.prepare import prepare
from rnn_captioning.layers.feed_forward import gelu

NBS = Path(__file__).parent.parent / 'nbs'
COURSE = 'cs231n/datasets/coco_captioning'


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def text_of(name):
    return '\n'.join(cell.source for cell in nbformat.read(NBS / f'{name}.ipynb', 4).cells)


# to PyTorch


@pytest.mark.parametrize('form, same', [('tanh', True), ('none', False)])
def test_gelu_is_the_one_with_tanh(form, same):
    torch = pytest.importorskip('torch')
    x = np.linspace(-6, 6, 1201)
    given = torch.tensor(x, requires_grad=True)
    out = torch.nn.functional.gelu(given, approximate=form)
    out.sum().backward()
    value, slope = gelu(x)
    far = np.abs(out.detach().numpy() - value).max(), np.abs(given.grad.numpy() - slope).max()
    assert max(far) < 1e-12 if same else 1e-4 < min(far) <= max(far) < 1e-3


def test_gelu_without_pytorch():
    "The same, by the formulas."
    from math import erf

    x = np.linspace(-6, 6, 1201)
    by_tanh = x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    by_error_function = np.array([v / 2 * (1 + erf(v / 2**0.5)) for v in x])
    assert (
        np.abs(gelu(x)[0] - by_tanh).max() < 1e-12
        and np.abs(gelu(x)[0] - by_error_function).max() > 1e-4
    )


def test_the_guide_says_which_gelu():
    text = text_of('guides/05_to_pytorch')
    assert "approximate='tanh'" in text and 'in the form with tanh, which is [ours]' in text
    assert 'must be the one by the error function' not in text


def test_second_bias_of_a_gru_is_another_thing():
    """Why the guide refuses a GRU that was trained in
    PyTorch: adding the biases gives another network.
    """
    torch = pytest.importorskip('torch')
    rng = np.random.default_rng(0)
    N, T, D, H = 2, 3, 4, 5
    x, h0 = rng.standard_normal((N, T, D)), rng.standard_normal((N, H))
    Wx, Wh, b, second = (
        rng.standard_normal(shape) for shape in ((D, 3 * H), (H, 3 * H), 3 * H, 3 * H)
    )

    def theirs(second):
        module = torch.nn.GRU(D, H, batch_first=True, dtype=torch.float64)
        state = dict(weight_ih_l0=Wx.T, weight_hh_l0=Wh.T, bias_ih_l0=b, bias_hh_l0=second)
        module.load_state_dict(
            {name: torch.tensor(np.ascontiguousarray(w)) for name, w in state.items()}
        )
        return module(torch.tensor(x), torch.tensor(h0[None]))[0].detach().numpy()

    def ours(b):
        return gru_forward(x, h0, Wx, Wh, b)[0]

    gates_only = np.where(np.arange(3 * H) < 2 * H, second, 0)
    assert np.abs(ours(b) - theirs(0 * second)).max() < 1e-12
    assert np.abs(ours(b + gates_only) - theirs(gates_only)).max() < 1e-12
    assert np.abs(ours(b + second) - theirs(second)).max() > 1e-2


# from CS231n


@pytest.fixture
def course(tmp_path):
    "The course's folder within an assignment's, small and random."
    folder = tmp_path / COURSE
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    words = ['<NULL>', '<START>', '<END>', '<UNK>', 'a', 'red', 'circle']
    for split in ('train', 'val'):
        (folder / f'{split}2014_urls.txt').write_text(
            'http://a/1.jpg\nhttp://a/2.jpg\n', encoding='utf-8'
        )
        for name, width in (('fc7_pca', 512), ('fc7', 4096)):
            with h5py.File(folder / f'{split}2014_vgg16_{name}.h5', 'w') as f:
                f['features'] = rng.standard_normal((2, width)).astype(np.float32)
    with h5py.File(folder / 'coco2014_captions.h5', 'w') as f:
        for split in ('train', 'val'):
            f[f'{split}_captions'] = np.int32([[1, 4, 5, 6, 2, 0], [1, 4, 6, 2, 0, 0]])
            f[f'{split}_image_idxs'] = np.int32([0, 1])
    vocabulary = dict(idx_to_word=words, word_to_idx={w: i for i, w in enumerate(words)})
    (folder / 'coco2014_vocab.json').write_text(json.dumps(vocabulary), encoding='utf-8')
    return tmp_path


def test_code_of_the_course_finds_its_data(course, monkeypatch):
    monkeypatch.chdir(course)
    assert inspect.signature(load_coco_data).parameters['base_dir'].default == COURSE
    assert load_coco_data(pca_features=True)['train_features'].shape == (2, 512)
    assert load_coco_data(pca_features=False)['val_features'].shape == (2, 4096)


def test_the_guide_names_the_default_path():
    text = text_of('guides/06_from_cs231n')
    assert (
        f'The default path is the course\'s, `{COURSE}`' in text
        and f'fetch coco --to {COURSE}' in text
    )


def test_without_the_folder_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises(str(Path(COURSE) / 'coco2014_captions.h5'), 'no such file'):
        load_coco_data()


@pytest.mark.parametrize('cell', ['rnn', 'lstm', 'gru'])
def test_commands_take_the_folder(quick_meteor, course, cell):
    pytest.importorskip('pycocoevalcap')
    small = [
        '--epochs=1',
        '--reward-epochs=0',
        '--hidden-dim=4',
        '--wordvec-dim=4',
        '--batch-size=2',
    ]
    done = run('train', course / COURSE, '--cell', cell, '--out', course / 'out', *small)
    assert done.exit_code == 0, done.output
    done = run('evaluate', course / 'out' / 'checkpoint.h5', course / COURSE, '--json')
    assert done.exit_code == 0 and json.loads(done.stdout)['images'] == 2, done.output


@pytest.mark.parametrize('model', ['attention', 'encoded-attention', 'transformer'])
def test_models_that_look_at_places_refuse_the_folder(course, model):
    done = run('train', course / COURSE, '--model', model, '--out', course / 'out')
    assert done.exit_code == 2 and 'has no grid' in done.stderr


def test_what_is_more(course):
    "The guide's table of what the course's classes can do besides."
    data = load_coco_data(course / COURSE)
    more = dict(
        cell_type='gru',
        dropout=0.1,
        inner_dropout=0.1,
        recurrent_scale=0.9,
        forget_bias=1.0,
        rng=np.random.default_rng(0),
    )
    model = CaptioningRNN(data['word_to_idx'], 512, 4, 6, **more)
    model.normalize(data['train_features'])
    features, captions = data['train_features'], data['train_captions']
    dict(rng=np.random.default_rng(0))
    loss, grads = model.loss(features, captions, backward=False, rng=np.random.default_rng(0))
    assert loss > 0 and not grads
    once, twice = (
        model.loss(
            features, captions, weight=np.full(2, w, np.float32), rng=np.random.default_rng(0)
        )[0]
        for w in (1, 2)
    )
    assert abs(twice - 2 * once) < 1e-3 * once
    assert model.loss(features, captions, smoothing=0.1, rng=np.random.default_rng(0))[0] != once
    solver = CaptioningSolver(
        model,
        data,
        num_epochs=2,
        batch_size=2,
        seed=0,
        clip_norm=5.0,
        lr_schedule='cosine',
        validate=True,
        patience=3,
        threads=2,
        average=0.9,
        callbacks=[lambda solver: None],
        verbose=False,
    )
    solver.train()
    assert len(solver.val_loss_history) == 2 and solver.best_params and solver.averaged


def test_all_names_are_at_the_front_door():
    names = (
        'rnn_step_forward CaptioningRNN CaptioningSolver load_coco_data '
        'sample_coco_minibatch decode_captions adam grad_check_sparse'
    )
    assert set(names.split()) <= set(rnn_captioning.__all__)


# a cell of one's own


def test_a_row_at_run_time_is_known_to_the_command(course, monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(
        CELLS,
        'one-gate',
        replace(GRU, name='one-gate')
        if hasattr(GRU, '__dataclass_fields__')
        else GRU._replace(name='one-gate'),
    )
    small = [
        '--epochs=1',
        '--reward-epochs=0',
        '--hidden-dim=4',
        '--wordvec-dim=4',
        '--batch-size=2',
    ]
    done = run('train', course / COURSE, '--cell=one-gate', '--out', course / 'out', *small)
    assert done.exit_code == 0, done.output
    assert (
        json.loads(run('info', course / 'out' / 'checkpoint.h5', '--json').stdout)['cell_type']
        == 'one-gate'
    )


def test_the_entries_of_a_cell_are_those_of_the_table():
    table = [
        line.split('`')[1]
        for line in text_of('guides/04_add_a_cell').splitlines()
        if line.startswith('| `')
    ]
    fields = getattr(GRU, '__dataclass_fields__', None) or GRU._fields
    assert table == list(fields)


# features of one's own


@pytest.fixture
def own(tmp_path, monkeypatch):
    "Captions of eight pictures, and features of six of them and of one without captions."
    monkeypatch.chdir(tmp_path)
    with open('captions.csv', 'w', newline='', encoding='utf-8') as f:
        csv.writer(f).writerows(
            [['image', 'caption'], *([f'{i}.jpg', f'a dog number {i}'] for i in range(20))]
        )
    names = [*(f'{i}.jpg' for i in range(18)), 'nobody.jpg']

    def write(name, features):
        with h5py.File(name, 'w') as f:
            f['features'], f['image_names'] = features, to_bytes(names)
        return name

    return write, len(names)


def test_rows_without_captions_and_captions_without_rows(own):
    write, n = own
    write('rows.h5', np.eye(n))
    with pytest.warns(UserWarning, match='2 images of captions.csv are not in rows.h5'):
        counts = prepare('captions.csv', 'rows.h5', 'data.h5', min_count=1)
    assert sum(counts[split]['images'] for split in ('train', 'val', 'test')) == 18
    with raises('2 images of captions.csv'):
        prepare('captions.csv', 'rows.h5', 'strict.h5', min_count=1, strict=True)
    assert not os.path.exists('strict.h5')


@pytest.mark.filterwarnings('ignore:2 images')
def test_features_from_numpy_are_the_same_lines(own):
    write, n = own
    np.save('features.npy', np.eye(n))
    write('rows.h5', np.load('features.npy'))
    assert prepare('captions.csv', 'rows.h5', 'data.h5', min_count=1)['vocabulary'] > 4


@pytest.mark.filterwarnings('ignore:2 images')
def test_bytes_have_no_sign(own):
    write, n = own
    places = np.random.default_rng(0).random((n, 3, 4))
    write('below.h5', places - 0.5)
    with raises('below.h5'):
        prepare('captions.csv', 'below.h5', 'data.h5', min_count=1)
    write('above.h5', places)
    prepare('captions.csv', 'above.h5', 'data.h5', min_count=1)
    data = rnn_captioning.open_data('data.h5')
    assert data['train_grid'].dtype == np.uint8 and data['train_features'].shape[1:] == (4,)


@pytest.mark.filterwarnings('ignore:2 images')
def test_a_file_without_identity_is_unknown(own):
    write, n = own
    shutil.copy(write('rows.h5', np.eye(n)), 'mine.h5')
    prepare('captions.csv', 'mine.h5', 'data.h5', min_count=1)
    assert rnn_captioning.open_data('data.h5').encoder == 'unknown (mine.h5)'
