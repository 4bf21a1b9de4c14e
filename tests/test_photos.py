"""Captioning photographs and preparing data sets from
them, by command, with files of every kind of bad luck.
"""

import json
import subprocess
import sys
import numpy as np
import pytest

Image = pytest.importorskip('PIL.Image')
pytest.importorskip('onnxruntime')
from click.testing import CliRunner
from rnn_captioning import photo_captioner as caption
from rnn_captioning.photos import encoder as E
from rnn_captioning.data import prepare as P
from rnn_captioning.training.checkpoint import save_checkpoint
from rnn_captioning.command_line import main
from rnn_captioning.data.dataset import open_data
from rnn_captioning.model import CaptioningRNN

WORDS = {
    w: i for i, w in enumerate(['<NULL>', '<START>', '<END>', '<UNK>', 'a', 'red', 'circle', 'dog'])
}


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def picture(seed, size=(60, 50)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    "An untrained captioner for the features of the encoder that ships."
    path = tmp_path_factory.mktemp('model') / 'model.h5'
    save_checkpoint(
        path,
        CaptioningRNN(
            WORDS, input_dim=1280, wordvec_dim=4, hidden_dim=5, rng=np.random.default_rng(0)
        ),
        encoder=E.LITE0,
    )
    return path


@pytest.fixture
def album(tmp_path):
    "Three good photographs and five that cannot be used."
    folder = tmp_path / 'album'
    folder.mkdir()
    for i, name in enumerate(('a.jpg', 'c.png', 'one_pixel.png')):
        picture(i, (1, 1) if i == 2 else (60, 50)).save(folder / name)
    (folder / 'b.jpg').write_text('not a photograph', encoding='utf-8')
    (folder / 'empty.jpg').write_bytes(b'')
    (folder / 'torn.jpg').write_bytes((folder / 'a.jpg').read_bytes()[:900])
    Image.new('1', (20_000, 20_000)).save(folder / 'vast.png')
    picture(4).save(folder / 'moving.gif', save_all=True, append_images=[picture(5)])
    return folder


def test_good_ones_are_captioned_and_bad_ones_said(album, model):
    done = run('caption', album, '--model', model)
    lines = done.stdout.splitlines()
    assert done.exit_code == 1 and [line.split(': ')[0].rpartition('/')[2] for line in lines] == [
        'a.jpg',
        'c.png',
        'moving.gif',
        'one_pixel.png',
    ]
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 4 and 'Traceback' not in done.output
    for name, complaint in (
        ('b.jpg', 'is not an image'),
        ('empty.jpg', '0 bytes'),
        ('torn.jpg', 'cannot be read whole'),
        ('vast.png', 'too large'),
    ):
        assert any(name in e and complaint in e for e in errors), errors


def test_json_is_one_document(album, model):
    done = run(
        'caption',
        album,
        album / 'a.jpg',
        '--model',
        model,
        '--num-captions',
        2,
        '--beam-size',
        3,
        '--json',
    )
    found = json.loads(done.stdout)
    assert (
        len(found) == 9
        and {'image', 'captions'} <= set(found[0])
        and set(found[0]['captions'][0]) == {'text', 'log_prob'}
        and len(found[0]['captions']) == 2
    )
    assert found[0]['captions'][0]['text'] == found[-1]['captions'][0]['text'] and 'error' in next(
        f for f in found if f['image'].endswith('b.jpg')
    )


@pytest.mark.parametrize(
    'arguments, complaint',
    [
        (['nowhere.jpg'], 'nowhere.jpg: no such file'),
        (['.'], 'holds no photographs'),
        (['--beam-size', 0], 'beam_size is 0'),
        (['--num-captions', 9], 'num_captions is 9'),
        (['--temperature', 0], 'temperature is 0'),
        (['--top-p', 3], 'top_p is 3'),
        (['--model', 'none.h5'], 'none.h5: no such file'),
        (['--encoder', 'none.onnx'], 'none.onnx: no such file'),
        ([], "Missing argument 'PHOTO_OR_FOLDER...'"),
    ],
)
def test_mistakes(arguments, complaint, album, model, tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    photo = [album / 'a.jpg'] if str(arguments[:1]).startswith("['--") else []
    done = run(
        'caption', *photo, *(() if '--model' in arguments else ('--model', model)), *arguments
    )
    assert done.exit_code == 2 and complaint in done.stderr and 'Traceback' not in done.output, (
        done.output
    )


def test_all_bad_is_still_no_traceback(tmp_path, model):
    (tmp_path / 'b.jpg').write_text('no', encoding='utf-8')
    done = run('caption', tmp_path, '--model', model)
    assert done.exit_code == 1 and done.stdout == '' and 'b.jpg' in done.stderr


def test_scenes_model_refuses_photographs(tmp_path, album):
    save_checkpoint(
        tmp_path / 'scenes.h5',
        CaptioningRNN(WORDS, 33, 4, 5, rng=np.random.default_rng(0)),
        encoder='the scenes',
    )
    done = run('caption', album / 'a.jpg', '--model', tmp_path / 'scenes.h5')
    assert done.exit_code == 2 and 'trained on features of' in done.stderr


@pytest.fixture
def captioned(tmp_path):
    "A folder of 40 photographs, two of them unreadable, and captions of 41."
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(40):
        picture(i, (40, 30)).save(folder / f'{i}.jpg')
    (folder / '7.jpg').write_text('no', encoding='utf-8')
    (folder / '8.jpg').write_bytes(b'')
    (tmp_path / 'captions.csv').write_text(
        'image,caption\n'
        + ''.join(f'{i}.jpg,"A red circle, number {i}"\n{i}.jpg,a dog\n' for i in range(41)),
        encoding='utf-8',
    )
    return tmp_path


def test_prepare_from_photographs(captioned):
    done = run(
        'prepare',
        '--captions',
        captioned / 'captions.csv',
        '--images',
        captioned / 'photos',
        '--out',
        captioned / 'data.h5',
        '--min-count',
        1,
        '--grid',
    )
    assert done.exit_code == 0, done.output
    assert (
        '7.jpg' in done.stderr
        and '8.jpg' in done.stderr
        and '2 images could not be read' in done.stderr
        and '40.jpg' in done.stderr
    )
    data = open_data(captioned / 'data.h5')
    assert (
        sum(len(data[f'{s}_features']) for s in data.splits) == 38
        and data.encoder == E.LITE0
        and data['train_grid'].shape[1:] == (49, 1280)
    )
    name = data['val_urls'][0]
    pooled, grid = E.load_encoder().both(
        E.preprocess(E.open_photo(captioned / 'photos' / name))[None]
    )
    assert np.allclose(data['val_features'][0], pooled[0], atol=0.01) and np.allclose(
        data['val_grid'][0] * data['val_grid_scale'][0], grid[0], atol=grid.max() / 400
    )
    assert not list(captioned.glob('.*.parts'))


def test_prepare_mirror(captioned):
    done = run(
        'prepare',
        '--captions',
        captioned / 'captions.csv',
        '--images',
        captioned / 'photos',
        '--out',
        captioned / 'data.h5',
        '--min-count',
        1,
        '--mirror',
    )
    assert not done.exit_code, done.output
    data = open_data(captioned / 'data.h5')
    name = data['val_urls'][0]
    images = E.preprocess(E.open_photo(captioned / 'photos' / name))[None]
    assert np.allclose(
        data['val_mirrored'][0],
        E.load_encoder().pooled(np.ascontiguousarray(images[..., ::-1]))[0],
        atol=0.01,
    )
    assert (
        data['val_mirrored'].shape == data['val_features'].shape
        and (data['val_mirrored'] != data['val_features']).any()
    )


def test_prepare_strict_stops(captioned):
    done = run(
        'prepare',
        '--captions',
        captioned / 'captions.csv',
        '--images',
        captioned / 'photos',
        '--out',
        captioned / 'data.h5',
        '--strict',
    )
    assert done.exit_code == 2 and '7.jpg' in done.stderr and not (captioned / 'data.h5').exists()


def test_prepare_goes_on_where_it_was(captioned, monkeypatch):
    seen = []

    class Interrupted(Exception):
        pass

    def counting(images, stop=None):
        if stop is not None and sum(seen) + len(images) > stop:
            raise Interrupted
        seen.append(len(images))
        return images.mean(axis=(2, 3)) + 1

    paths = P.locate(captioned / 'photos', [f'{i}.jpg' for i in range(40)])

    def features(stop):
        return P.encode_images(
            paths,
            E.load_encoder(lambda images: counting(images, stop), name='colour'),
            captioned / 'parts',
            part_size=8,
        )

    with pytest.raises(Interrupted):
        features(stop=20)
    done = sum(seen)
    names, arrays, lost = features(stop=None)
    assert (
        0 < done <= 20
        and sum(seen) - done < 38
        and len(names) == len(arrays['features']) == 38
        and set(lost) == {'7.jpg', '8.jpg'}
    )
    again = sum(seen)
    part = next((captioned / 'parts').iterdir())
    part.write_bytes(part.read_bytes()[:50])  # a torn file is made again
    assert (
        np.array_equal(features(stop=None)[1]['features'], arrays['features'])
        and again < sum(seen) <= again + 38
    )


def test_captions_do_not_depend_on_the_company(album, model):
    captioner = caption.load(model)
    alone = {p.name: captioner.caption(p).text for p in (album / 'a.jpg', album / 'c.png')}
    together = {
        c.image.name: c.text
        for c in captioner.stream([album / 'c.png', album / 'b.jpg', album / 'a.jpg'])
    }
    assert {name: together[name] for name in alone} == alone and together['b.jpg'] == ''


@pytest.mark.skipif(
    sys.platform != 'linux', reason='a process tells its peak memory in kilobytes on Linux alone'
)
def test_many_files_keep_memory_flat(tmp_path, model):
    "Peak memory after 600 photographs is that after 100, within 30 MB."
    for i in range(100):
        picture(i, (300, 200)).save(tmp_path / f'{i}.jpg')
    code = (
        'import resource, sys; from rnn_captioning.photo_captioner import load\n'
        'c, peaks = load(sys.argv[1]), []\n'
        'for n in (1, 5):\n'
        '    for _ in c.stream([sys.argv[2]] * n, max_length=4): pass\n'
        '    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n'
        'print(*peaks)'
    )
    first, last = map(
        int,
        subprocess.run(
            [sys.executable, '-c', code, model, tmp_path],
            capture_output=True,
            encoding='utf-8',
            check=True,
        ).stdout.split(),
    )
    assert last - first < 30
