"""Photographs as people have them: names in other forms, links that
lead nowhere, formats of phones, files that change between two runs.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import types
import unicodedata
import warnings
import zlib

import h5py
import numpy as np
import pytest

Image = pytest.importorskip('PIL.Image')
pytest.importorskip('onnxruntime')
from click.testing import CliRunner
from PIL import ImageOps, PngImagePlugin

from rnn_captioning import photo_captioner as caption

from rnn_captioning.photos import encoder as E

from rnn_captioning.data import prepare as P
from rnn_captioning.training.checkpoint import save_checkpoint
from rnn_captioning.command_line import main
from rnn_captioning.data.dataset import open_data
from rnn_captioning.errors import InputError, raises
from rnn_captioning.files.paths import shipped
from rnn_captioning.model import CaptioningRNN
from rnn_captioning.solver import CaptioningSolver

WORDS = {
    w: i for i, w in enumerate(['<NULL>', '<START>', '<END>', '<UNK>', 'a', 'red', 'circle', 'dog'])
}
needs_links = pytest.mark.skipif(
    sys.platform == 'win32',
    reason='links, pipes and names of any bytes are not for everyone on Windows',
)
needs_any_bytes = pytest.mark.skipif(
    sys.platform in ('win32', 'darwin'), reason='this file system has names in Unicode alone'
)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def picture(seed, size=(60, 50)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


def photographs(folder, *names):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / name, format='PNG')
    return folder


def captions_of(path, names):
    path.write_text(
        'image,caption\n' + ''.join(f'"{name}",A red circle\n"{name}",a dog\n' for name in names),
        encoding='utf-8',
    )
    return path


def means(images):
    return images.mean(axis=(2, 3)) + 1


def quarters(images):
    return images.reshape(len(images), 3, 2, 112, 2, 112).mean(axis=(3, 5)) + 3


def small_encoder():
    return E.load_encoder(means, name='means')


def small_captioner(encoder=means):
    model = CaptioningRNN(
        WORDS, input_dim=3, wordvec_dim=4, hidden_dim=5, rng=np.random.default_rng(0)
    )
    return caption.PhotoCaptioner(model, E.load_encoder(encoder, name='means'))


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


def prepare(tmp_path, names, **options):
    """Prepare from the folder `photos`, with a small
    encoder; what is warned of comes with the result.
    """
    captions_of(tmp_path / 'captions.csv', names)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        counts = P.prepare(
            tmp_path / 'captions.csv',
            None,
            tmp_path / 'data.h5',
            images=tmp_path / 'photos',
            min_count=1,
            encoder=small_encoder(),
            **options,
        )
    return counts, [str(w.message) for w in said]


# names


def test_a_folder_in_a_name_is_not_passed_over(tmp_path):
    "Cats without photographs are missing, and do not get those of the dogs."
    dogs, cats = [f'dogs/{i:03}.png' for i in range(30)], [f'cats/{i:03}.png' for i in range(30)]
    photographs(tmp_path / 'photos', *dogs)
    (tmp_path / 'photos' / 'cats').mkdir()
    assert set(P.locate(tmp_path / 'photos', dogs + cats)) == set(dogs)
    assert P.locate(tmp_path / 'photos', cats) == {}
    captions_of(tmp_path / 'captions.csv', dogs + cats)
    request = (
        'prepare',
        '--captions',
        tmp_path / 'captions.csv',
        '--images',
        tmp_path / 'photos',
        '--out',
        tmp_path / 'data.h5',
        '--min-count',
        1,
    )
    refused = run(*request, '--strict')
    assert (
        refused.exit_code == 2
        and 'cats/000.png' in refused.stderr
        and not (tmp_path / 'data.h5').exists()
    )


def test_names_never_share_a_file(tmp_path):
    photos = photographs(tmp_path / 'photos', 'deep/a.png', 'b.png')
    assert set(P.locate(photos, ['a.png', 'deep/a.png'])) == {'deep/a.png'}
    assert set(P.locate(photos, ['b.png', 'B.PNG'])) == {'b.png'}
    # nearest: the suffix alone differs
    assert P.locate(photos, ['B.png', 'B.PNG', 'b.PnG']) == {'b.PnG': photos / 'b.png'}
    assert P.locate(photos, ['x/deep/a.png', 'y/deep/a.png']) == {}
    with pytest.warns(UserWarning, match='named in several ways'):
        # one name, in two forms
        assert set(P.locate(photos, ['./b.png', 'b.png'])) == {'./b.png', 'b.png'}


@pytest.mark.parametrize(
    'name, file',
    [
        ('caf\u00e9.png', 'cafe\u0301.png'),
        ('cafe\u0301.png', 'caf\u00e9.png'),
        ('./dogs/1.png', 'dogs/1.png'),
        ('dogs//1.png', 'dogs/1.png'),
        (r'dogs\1.png', 'dogs/1.png'),
        (r'.\dogs\1.png', 'dogs/1.png'),
        (r'C:\Users\ann\photos\dogs\1.png', 'dogs/1.png'),
        ('/home/ann/photos/dogs/1.png', 'dogs/1.png'),
        ('/elsewhere/dogs/1.png', 'dogs/1.png'),
        ('photos/2.png', '2.png'),
        ('../photos/2.png', '2.png'),
        ('dogs/1.PNG', 'dogs/1.png'),
        ('dogs/1.png', 'dogs/1.PNG'),
        ('Dogs/1.png', 'dogs/1.png'),
        ('1.png', 'dogs/1.png'),
        ('dogs/1.png', 'train/dogs/1.png'),
        ('x/../2.png', '2.png'),
        ('STRASSE.png', 'straße.png'),
        ('한글.png', unicodedata.normalize('NFD', '한글.png')),
    ],
)
def test_names_in_other_forms(tmp_path, name, file):
    photos = photographs(tmp_path / 'photos', file, 'birds/other.png')
    assert P.locate(photos, [name]) == {name: photos / file}


def test_absolute_names_and_the_folder_itself(tmp_path, monkeypatch):
    photos = photographs(tmp_path / 'photos', '2.png', 'dogs/2.png')
    name = str(photos / '2.png')
    monkeypatch.chdir(photos)
    for folder in (photos, '.', '../photos', os.path.relpath(photos)):
        assert {n: os.path.realpath(p) for n, p in P.locate(folder, [name]).items()} == {
            name: os.path.realpath(photos / '2.png')
        }


@pytest.mark.parametrize(
    'name',
    [
        'cats/1.png',
        'x/2.png',
        '/etc/passwd',
        '../secret.png',
        '',
        '.',
        '..',
        '/',
        '\\',
        '\0',
        'a\0b',
        'dogs',
        '1.jpg',
        '1',
        'x' * 5000,
    ],
    ids=lambda name: repr(name[:20]),
)
def test_names_that_mean_nothing_here(tmp_path, name):
    photographs(tmp_path, 'secret.png')
    assert P.locate(photographs(tmp_path / 'photos', 'dogs/1.png', '2.png'), [name]) == {}


def test_where_several_files_fit_none_is_meant(tmp_path):
    photos = photographs(tmp_path / 'photos', 'a/1.png', 'b/1.png', 'IMG.png')
    with pytest.warns(UserWarning, match="1 names may mean more than one file.*'1.png'"):
        assert P.locate(photos, ['1.png', 'img.PNG']) == {'img.PNG': photos / 'IMG.png'}


def test_thumbnails_do_not_count(tmp_path):
    photos = photographs(
        tmp_path / 'photos', 'more/1.png', '.thumbnails/1.png', 'more/._1.png', '@eaDir/1.png'
    )
    assert P.locate(photos, ['1.png']) == {'1.png': photos / 'more' / '1.png'} and E.find_photos(
        photos
    ) == [photos / 'more' / '1.png']
    # named as it is
    assert P.locate(photos, ['.thumbnails/1.png']) == {
        '.thumbnails/1.png': photos / '.thumbnails' / '1.png'
    }


def test_hints_compare_whole_paths(tmp_path):
    photographs(tmp_path / 'photos', 'birds/9.png', 'dogs/001.png')
    with raises("compare 'cats/001.png' with 'dogs/001.png'"):
        prepare(tmp_path, ['cats/001.png', 'cats/002.png', 'cats/003.png'])
    (tmp_path / 'photos' / 'birds' / '9.png').unlink()
    (tmp_path / 'photos' / 'dogs' / '001.png').rename(tmp_path / 'photos' / '001.heif')
    with raises('holds no photographs', '1 .heif'):
        prepare(tmp_path, ['cats/001.png', 'cats/002.png', 'cats/003.png'])


def test_many_names_are_quick(tmp_path, monkeypatch):
    from rnn_captioning.photos import images as photo_files

    files = [tmp_path / f'{i}' / '0.png' for i in range(20_000)]
    monkeypatch.setattr(photo_files, 'list_files', lambda folder, unreadable=None: files)
    names = [f'x/{i}/0.png' for i in range(20_000)]
    # some seconds if every name were held against every file
    assert len(P.locate(tmp_path, names)) == 20_000


# finished parts


def encoded(tmp_path, names, encoder=None, **options):
    found = {name: tmp_path / 'photos' / name for name in names}
    return P.encode_images(
        found, encoder or small_encoder(), tmp_path / 'parts', part_size=4, **options
    )


NAMES = [f'{i}.png' for i in range(10)]


@pytest.mark.parametrize('grid', [False, True])
def test_a_photograph_replaced_in_place_gets_new_features(tmp_path, grid):
    encoder = E.load_encoder(quarters if grid else means, name='small')
    photographs(tmp_path / 'photos', *NAMES)
    before = encoded(tmp_path, NAMES, encoder, grid=grid)[1]
    old = tmp_path / 'photos' / '5.png'
    size, time = old.stat().st_size, old.stat().st_mtime_ns
    picture(99).save(old)
    old.write_bytes(old.read_bytes().ljust(size, b'\0')[: max(size, old.stat().st_size)])
    os.utime(old, ns=(time + 1_000_000, time + 1_000_000))
    after = encoded(tmp_path, NAMES, encoder, grid=grid)[1]
    changed = (before['features'] != after['features']).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [5]
    assert np.allclose(
        after['features'][5], encoder.pooled(E.preprocess(E.open_photo(old))[None])[0], atol=0.01
    )
    if grid:
        table, scale = np.asarray(after['grid']), after['grid_scale']
        assert np.allclose(
            (table * scale[:, None, None]).mean(axis=1), after['features'], atol=0.02
        )


def test_failures_are_not_kept(tmp_path):
    photographs(tmp_path / 'photos', *NAMES)
    for broken in ('0.png', '5.png', '6.png', '9.png'):
        (tmp_path / 'photos' / broken).write_text('no', encoding='utf-8')
    names, arrays, lost = encoded(tmp_path, NAMES)
    assert (
        set(lost) == {'0.png', '5.png', '6.png', '9.png'}
        and len(arrays['features']) == len(names) == 6
    )
    with raises('0.png'):
        encoded(tmp_path, NAMES, strict=True)
    seen = []

    def counting(images):
        seen.append(len(images))
        return means(images)

    for mended in ('0.png', '5.png'):
        picture(77).save(tmp_path / 'photos' / mended)
    names, arrays, lost = encoded(tmp_path, NAMES, E.load_encoder(counting, name='means'))
    assert set(lost) == {'6.png', '9.png'} and sum(seen) == 2  # the others are still true
    fresh = P.encode_images(
        {n: tmp_path / 'photos' / n for n in names}, small_encoder(), tmp_path / 'new'
    )[1]
    assert np.array_equal(arrays['features'], fresh['features']) and names == [
        n for n in NAMES if n not in lost
    ]


def test_a_failed_read_is_tried_again_though_the_file_is_the_same(tmp_path, monkeypatch):
    "A disk that was away for a moment, or a format that can be read by now."
    photographs(tmp_path / 'photos', *NAMES)
    original = E.open_photo

    def away(path):
        raise InputError(f'{path}: cannot be read')

    monkeypatch.setattr(E, 'open_photo', away)
    assert len(encoded(tmp_path, NAMES)[2]) == 10
    monkeypatch.setattr(E, 'open_photo', original)
    assert encoded(tmp_path, NAMES)[2] == {}


def test_prepare_again_after_a_failure(tmp_path):
    names = [f'{i}.png' for i in range(20)]
    photographs(tmp_path / 'photos', *names)
    (tmp_path / 'photos' / '3.png').write_text('no', encoding='utf-8')
    with raises('min_count is 500'):  # after the encoding
        captions_of(tmp_path / 'captions.csv', names)
        P.prepare(
            tmp_path / 'captions.csv',
            None,
            tmp_path / 'data.h5',
            images=tmp_path / 'photos',
            min_count=500,
            encoder=small_encoder(),
        )
    assert list(tmp_path.glob('.data.h5.parts/*'))
    with raises('3.png'):
        prepare(tmp_path, names, strict=True)
    picture(3).save(tmp_path / 'photos' / '3.png')
    counts, _ = prepare(tmp_path, names, strict=True)
    assert (
        counts['left_out'] == {}
        and sum(counts[s]['images'] for s in ('train', 'val', 'test')) == 20
    )


def without(name):
    def damage(path):
        with h5py.File(path, 'r+') as f:
            del f[name]

    return damage


def one_row_less(path):
    with h5py.File(path, 'r+') as f:
        f['features'].resize(9, axis=0)


@pytest.mark.parametrize(
    'damage',
    [
        lambda f: f.write_bytes(b''),
        lambda f: f.write_bytes(f.read_bytes()[:90]),
        lambda f: f.write_text('x', encoding='utf-8'),
        lambda f: h5py.File(f, 'w').close(),
        without('stamps'),
        one_row_less,
    ],
)
def test_damaged_parts_are_made_again(tmp_path, damage):
    photographs(tmp_path / 'photos', *NAMES)
    before = encoded(tmp_path, NAMES)[1]['features']
    for part in (tmp_path / 'parts').iterdir():
        damage(part)
    assert np.array_equal(encoded(tmp_path, NAMES)[1]['features'], before)


def test_a_photograph_that_is_new_gets_a_row_beside_the_others(tmp_path):
    photographs(tmp_path / 'photos', *NAMES)
    before = encoded(tmp_path, NAMES[2:7])[1]['features']
    seen = []

    def counting(images):
        seen.append(len(images))
        return means(images)

    names, arrays, _ = encoded(tmp_path, NAMES, E.load_encoder(counting, name='means'))
    assert sum(seen) == 5 and names == NAMES
    assert np.array_equal(arrays['features'][2:7], before)
    fresh = P.encode_images(
        {n: tmp_path / 'photos' / n for n in NAMES}, small_encoder(), tmp_path / 'new'
    )[1]
    assert np.array_equal(arrays['features'], fresh['features'])


@pytest.mark.skipif(os.name != 'posix', reason='only Unix kills a process without a word')
def test_a_killed_process_leaves_what_it_has_made(tmp_path):
    photographs(tmp_path / 'photos', *NAMES)
    whole = encoded(tmp_path, NAMES)[1]['features']
    shutil.rmtree(tmp_path / 'parts')
    code = f"""
import os, pathlib, signal
from rnn_captioning.data import prepare as P
from rnn_captioning.photos import encoder as E
seen = []
def dying(images):
    seen.append(len(images))
    if sum(seen) > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return images.mean(axis=(2, 3)) + 1
folder = pathlib.Path({str(tmp_path)!r})
paths = {{name: folder / 'photos' / name for name in {NAMES!r}}}
P.encode_images(paths, E.load_encoder(dying, name='means'), folder / 'parts', part_size=4)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, encoding='utf-8')
    assert done.returncode == -9, done.stderr
    seen = []

    def counting(images):
        seen.append(len(images))
        return means(images)

    arrays = encoded(tmp_path, NAMES, E.load_encoder(counting, name='means'))[1]
    assert sum(seen) == 6 and np.array_equal(arrays['features'], whole)


def test_photographs_that_vanish_between_the_two_passes(tmp_path, monkeypatch):
    names = [f'{i}.png' for i in range(20)]
    photographs(tmp_path / 'photos', *names)
    original = P.mirrored

    def then_gone(encoder):
        (tmp_path / 'photos' / '4.png').unlink()
        return original(encoder)

    monkeypatch.setattr(P, 'mirrored', then_gone)
    counts, _ = prepare(tmp_path, names, mirror=True)
    assert set(counts['left_out']) == {'4.png'}
    data = open_data(tmp_path / 'data.h5')
    assert (
        all(len(data[f'{s}_mirrored']) == len(data[f'{s}_features']) for s in data.splits)
        and len(data['train_features']) == 15
    )


def test_where_nothing_can_be_read(tmp_path):
    names = ['0.png', '1.png', '2.png']
    photographs(tmp_path / 'photos', *names)
    for name in names:
        (tmp_path / 'photos' / name).write_text('no', encoding='utf-8')
    for options in ({}, dict(mirror=True)):
        with raises('none of the 3 photographs can be read', 'not an image'):
            prepare(tmp_path, names, **options)
    names, arrays, lost = P.encode_images(
        {'0.png': tmp_path / 'photos' / '0.png'},
        E.load_encoder(quarters),
        tmp_path / 'parts',
        grid=True,
    )
    assert names == [] and arrays['features'].shape == (0, 3) and list(lost) == ['0.png']


# what cannot be read


@needs_links
def test_one_bad_link_is_left_out_and_listed(tmp_path, model):
    names = [f'{i:02}.png' for i in range(12)]
    photographs(tmp_path / 'photos', *names)
    (tmp_path / 'photos' / '05.png').unlink()
    (tmp_path / 'photos' / '05.png').symlink_to('/nowhere/05.png')
    (tmp_path / 'photos' / '06.png').unlink()
    (tmp_path / 'photos' / '06.png').symlink_to('06.png')  # to itself
    (tmp_path / 'photos' / '07.png').unlink()
    os.mkfifo(tmp_path / 'photos' / '07.png')
    (tmp_path / 'photos' / '08.png').unlink()
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(tmp_path / 'photos')  # the name of a socket has few bytes
        s.bind('08.png')
        os.chdir('/')
    counts, _ = prepare(tmp_path, names)
    assert (
        set(counts['left_out']) == {'05.png', '06.png', '07.png', '08.png'}
        and '/nowhere/05.png' in counts['left_out']['05.png']
    )
    done = run('caption', tmp_path / 'photos', '--model', model)
    assert (
        done.exit_code == 1
        and len(done.stdout.splitlines()) == 8
        and done.stderr.count('error: ') == 4
        and 'Traceback' not in done.output
    )
    assert (
        '05.png: is a link to /nowhere/05.png, which is not there' in done.stderr
        and '07.png: is not a regular file' in done.stderr
    )
    # as a shell's *.png gives it
    named = run(
        'caption', tmp_path / 'photos' / '01.png', tmp_path / 'photos' / '05.png', '--model', model
    )
    assert named.exit_code == 1 and len(named.stdout.splitlines()) == 1 and '05.png' in named.stderr
    with raises('05.png'):
        prepare(tmp_path, names, strict=True)


def test_without_permission_and_gone_meanwhile(tmp_path, monkeypatch):
    names = [f'{i:02}.png' for i in range(12)]
    photographs(tmp_path / 'photos', *names)
    original = E._open_header

    def refuse(source, name):
        if '03.png' in name:
            raise PermissionError(13, 'Permission denied', name)
        if '04.png' in name:
            raise FileNotFoundError(2, 'No such file or directory', name)
        return original(source, name)

    monkeypatch.setattr(E, '_open_header', refuse)
    counts, _ = prepare(tmp_path, names)
    assert counts['left_out']['03.png'].endswith(
        '03.png: cannot be read whole (Permission denied): expected an undamaged photograph'
    )
    assert counts['left_out']['04.png'].endswith('04.png: no such file')
    results = small_captioner().caption_many(tmp_path / 'photos', max_length=3)
    assert [bool(r.error) for r in results] == [name in ('03.png', '04.png') for name in names]
    listed, failed = E.find_photos(tmp_path / 'photos'), []
    (tmp_path / 'photos' / '09.png').unlink()  # after it was listed
    assert len(list(E.encode_photos(listed, small_encoder(), failed=failed))) == 1
    assert [path.name for path, _ in failed] == ['03.png', '04.png', '09.png']


def test_folders_that_cannot_be_read_are_said(tmp_path, monkeypatch):
    from rnn_captioning.photos import images as photo_files

    photographs(tmp_path / 'photos', 'a.png', 'closed/b.png')
    scandir = os.scandir

    def closed(path):
        if str(path).endswith('closed'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(photo_files.os, 'scandir', closed)
    for look in (
        lambda: E.find_photos(tmp_path / 'photos'),
        lambda: P.locate(tmp_path / 'photos', ['a.png']),
    ):
        with pytest.warns(UserWarning, match='1 folders cannot be read, such as .*closed'):
            assert len(look()) == 1


# names that are no text


@needs_any_bytes
def test_a_folder_that_is_not_utf8(tmp_path, model):
    folder = tmp_path / os.fsdecode(b'caf\xe9')
    names = [f'{i}.png' for i in range(20)]
    photographs(folder, *names)
    picture(0).save(folder / os.fsdecode(b'\xff.png'), format='PNG')
    captions_of(tmp_path / 'captions.csv', names)
    P.prepare(
        tmp_path / 'captions.csv',
        None,
        tmp_path / 'data.h5',
        images=folder,
        min_count=1,
        encoder=small_encoder(),
    )
    data = open_data(tmp_path / 'data.h5')
    assert data.images == ''  # no text can say where it is
    results = small_captioner().caption_many(folder, max_length=3)
    assert len(results) == 21 and not any(r.error for r in results)
    said = (
        json.dumps([r.as_dict() for r in results], ensure_ascii=False)
        .encode('utf-8')
        .decode('utf-8')
    )
    assert json.loads(said)[0]['image'] == str(tmp_path / r'caf\udce9' / '0.png') and results[
        0
    ]._repr_html_().encode('utf-8')
    done = run('caption', folder, '--model', model)
    assert (
        done.exit_code == 0
        and r'caf\udce9/0.png: ' in done.stdout
        and len(done.stdout.splitlines()) == 21
    )
    found = json.loads(run('caption', folder, '--model', model, '--json').stdout)
    assert found[0]['image'] == json.loads(said)[0]['image'] and found[-1]['image'].endswith(
        r'\udcff.png'
    )


@needs_any_bytes
def test_an_encoder_in_a_file_that_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b'n\xe9t.onnx')
    path.write_bytes(shipped('encoder/efficientnet_lite0.onnx').read_bytes())
    encoder = E.load_encoder(path)
    assert (
        encoder.name.encode('utf-8') and encoder.width == 1280 and r'n\udce9t.onnx' in encoder.name
    )


# valid photographs


def png_chunk(kind, data):
    return len(data).to_bytes(4, 'big') + kind + data + zlib.crc32(kind + data).to_bytes(4, 'big')


def with_chunk(image, kind, data, at_end=False):
    image.save(held := io.BytesIO(), 'PNG')
    whole = held.getvalue()
    place = len(whole) - 12 if at_end else 33  # before IEND, or after IHDR
    return whole[:place] + png_chunk(kind, data) + whole[place:]


BIG = b'<x>' + bytes(range(32, 127)) * 30_000  # 2.8 MB
KEPT = zlib.compress(BIG)


@pytest.mark.parametrize('at_end', [False, True])
@pytest.mark.parametrize(
    'kind, data',
    [
        (b'zTXt', b'note\0\0' + KEPT),
        (b'iTXt', b'note\0\1\0\0\0' + KEPT),
        (b'iCCP', b'icc\0\0' + KEPT),
        (b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + BIG),
        (b'tEXt', b'note\0' + BIG * 25),
        (b'zTXt', b'note\0\0' + zlib.compress(bytes(10**8))),
    ],
    ids=['zTXt', 'iTXt packed', 'iCCP', 'iTXt', '70 MB of tEXt', 'a bomb'],
)
def test_pngs_with_long_texts(tmp_path, kind, data, at_end):
    if kind == b'iCCP' and at_end:
        pytest.skip('a profile stands before the pixels')
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    content = with_chunk(picture(1), kind, data, at_end)
    (tmp_path / 'a.png').write_bytes(content)
    for source in (tmp_path / 'a.png', content):
        assert E.open_photo(source).tobytes() == picture(1).tobytes()
    assert (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY) == limits


def test_the_orientation_outlives_a_long_text(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1).save(held := io.BytesIO(), 'PNG', exif=exif)
    whole = held.getvalue()
    content = whole[:33] + png_chunk(b'zTXt', b'note\0\0' + KEPT) + whole[33:]
    assert E.open_photo(content).tobytes() == E.open_photo(whole).tobytes() != picture(1).tobytes()


@pytest.mark.parametrize('cut', [40, 60, 100, 2000])
def test_a_damaged_png_with_long_texts_is_refused(cut):
    content = with_chunk(picture(1), b'zTXt', b'note\0\0' + KEPT)
    with raises('picture of'):
        E.open_photo(content[:cut])


@pytest.mark.parametrize('mode, kind', [('I;16', np.uint16), ('I', np.int32), ('F', np.float32)])
@pytest.mark.parametrize('top', [255, 1023, 4095, 16383, 65535])
def test_the_usual_maxima_are_white(tmp_path, mode, kind, top):
    ramp = np.linspace(0, top, 48 * 64).reshape(48, 64).astype(kind)
    Image.fromarray(ramp).save(tmp_path / 'a.tif')
    with Image.open(tmp_path / 'a.tif') as stored:
        assert stored.mode == mode
    found = np.asarray(E.open_photo(tmp_path / 'a.tif'))
    assert found[-1, -1].tolist() == [255] * 3 and abs(int(found[24, 0, 0]) - 127) < 3
    assert np.array_equal(found, np.asarray(E.open_photo(ramp)))


# what is passed over


def album_of_all(folder):
    folder.mkdir()
    for seed, name in enumerate(('a.jpg', 'b.jfif', 'c.jpe')):
        picture(seed).save(folder / name, format='JPEG')
    for name in ('d.HEIC', 'e.NEF', 'f.xyz', 'g'):
        (folder / name).write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    (folder / 'notes.txt').write_text('packed: towels', encoding='utf-8')
    return folder


def test_nothing_is_passed_over_in_silence(tmp_path, model, monkeypatch):
    from rnn_captioning.photos import images as photo_files

    monkeypatch.setattr(photo_files, 'register_heif', lambda: False)
    monkeypatch.setattr(E, 'register_heif', lambda: False)
    album = album_of_all(tmp_path / 'album')
    done = run('caption', album, '--model', model)
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 3
    (warning,) = (line for line in done.stderr.splitlines() if line.startswith('warning: '))
    for part in (
        'passed over: ',
        '1 .heic (pip install pillow-heif)',
        '1 .nef (',
        '1 .xyz',
        '1 without suffix',
    ):
        assert part in warning, warning
    assert '.txt' not in warning
    named = run('caption', album / 'a.jpg', album / 'd.HEIC', '--model', model)
    assert (
        named.exit_code == 1
        and len(named.stdout.splitlines()) == 1
        and 'pip install pillow-heif' in named.stderr
    )
    for name in ('a.jpg', 'b.jfif', 'c.jpe'):
        (album / name).unlink()
    none = run('caption', album, '--model', model)
    assert (
        none.exit_code == 2
        and 'holds no photographs' in none.stderr
        and '1 .heic (pip install pillow-heif)' in none.stderr
    )


def test_prepare_names_what_it_cannot_read(tmp_path, monkeypatch):
    from rnn_captioning.photos import images as photo_files

    monkeypatch.setattr(photo_files, 'register_heif', lambda: False)
    monkeypatch.setattr(E, 'register_heif', lambda: False)
    names = [f'{i}.jfif' for i in range(20)]
    photographs(tmp_path / 'photos', *names)
    (tmp_path / 'photos' / 'd.HEIC').write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    counts, _ = prepare(tmp_path, [*names, 'd.heic'])
    assert (
        list(counts['left_out']) == ['d.heic']
        and 'pip install pillow-heif' in counts['left_out']['d.heic']
    )


def test_every_format_that_pillow_writes_and_reads(tmp_path):
    from PIL import features

    kinds = dict(jfif='JPEG', jpe='JPEG', pnm='PPM', tga='TGA', apng='PNG')
    if features.check('webp'):
        kinds['webp'] = 'WEBP'
    if features.check('jpg_2000'):
        kinds['jp2'] = 'JPEG2000'
    if '.avif' in Image.registered_extensions():
        kinds['avif'] = 'AVIF'
    for suffix, kind in kinds.items():
        picture(0).save(tmp_path / f'a.{suffix}', format=kind)
        picture(0).save(tmp_path / f'b.{suffix.upper()}', format=kind)
    found = E.find_photos(tmp_path)
    assert len(found) == 2 * len(kinds) and all(
        E.open_photo(path).size == (60, 50) for path in found
    )


def test_a_damaged_file_is_not_told_to_install_anything(tmp_path):
    for suffix in ('jp2', 'webp', 'jpg'):
        (tmp_path / f'a.{suffix}').write_bytes(b'broken' * 9)
        with raises('is not an image, or is damaged'):
            E.open_photo(tmp_path / f'a.{suffix}')


def test_heic_is_read_where_pillow_heif_is(tmp_path, monkeypatch):
    "With a stand-in for the package, which says that PNGs under that name are HEIC."
    from rnn_captioning.photos import images as photo_files

    def register():
        Image.register_extension('PNG', '.heic')

    monkeypatch.setitem(
        sys.modules, 'pillow_heif', types.SimpleNamespace(register_heif_opener=register)
    )
    photo_files.register_heif.cache_clear()
    try:
        picture(0).save(tmp_path / 'a.heic', format='PNG')
        (tmp_path / 'A.HEIC.txt').write_text('', encoding='utf-8')
        assert E.find_photos(tmp_path) == [tmp_path / 'a.heic']
    finally:
        Image.EXTENSION.pop('.heic', None)
        photo_files.register_heif.cache_clear()


@needs_links
def test_links_are_followed_and_loops_are_not(tmp_path):
    photos = photographs(tmp_path / 'photos', 'own/a.png')
    photographs(tmp_path / 'disk', 'b.png', 'more/c.png')
    (photos / 'linked').symlink_to(tmp_path / 'disk')
    (photos / 'again').symlink_to(tmp_path / 'disk')
    (photos / 'loop').symlink_to(photos)
    (tmp_path / 'disk' / 'more' / 'back').symlink_to(photos)
    (photos / 'self').symlink_to('self')
    with pytest.warns(UserWarning, match='1 without suffix'):
        found = E.find_photos(photos)
    assert [p.relative_to(photos).as_posix() for p in found] == [
        'again/b.png',
        'again/more/c.png',
        'own/a.png',
    ]
    names = ['own/a.png', 'linked/more/c.png', 'b.png']
    assert {n: p.resolve().name for n, p in P.locate(photos, names).items()} == {
        'own/a.png': 'a.png',
        'linked/more/c.png': 'c.png',
        'b.png': 'b.png',
    }


# one way for all kinds of pictures


@pytest.fixture(scope='module')
def lite0():
    return E.load_encoder()


@pytest.mark.parametrize(
    'size', [(300, 200), (2900, 1500)], ids=['small', 'decoded at reduced size']
)
@pytest.mark.parametrize('orientation', [1, 6])
def test_features_do_not_depend_on_the_way_in(tmp_path, lite0, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    small = picture(3, (30, 20)).resize(size)
    small.save(tmp_path / 'a.jpg', exif=exif)
    content = (tmp_path / 'a.jpg').read_bytes()
    ways = [
        str(tmp_path / 'a.jpg'),
        content,
        bytearray(content),
        io.BytesIO(content),
        Image.open(tmp_path / 'a.jpg'),
        Image.open(io.BytesIO(content)),
        E.open_photo(content),
        np.asarray(E.open_photo(content)),
        np.asarray(E.open_photo(content)) / 255,
    ]
    with open(tmp_path / 'a.jpg', 'rb') as file:
        found = [
            lite0.pooled(E.preprocess(E.open_photo(way))[None])
            for way in [tmp_path / 'a.jpg', file, *ways]
        ]
    assert all(np.array_equal(found[0], other) for other in found[1:])
    loaded = Image.open(tmp_path / 'a.jpg')
    loaded.load()
    once, twice = E.open_photo(loaded), E.open_photo(E.open_photo(loaded))
    # the caller's picture is untouched
    assert once.tobytes() == twice.tobytes() and loaded.size == size
    assert once.tobytes() == ImageOps.exif_transpose(loaded).tobytes()
    if size == (300, 200):
        assert once.tobytes() == E.open_photo(tmp_path / 'a.jpg').tobytes()


@pytest.mark.parametrize('suffix', ['png', 'tif', 'webp', 'gif', 'bmp'])
def test_a_pillow_image_of_any_format_is_its_file(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 8
    picture(3).save(
        tmp_path / f'a.{suffix}', **({'exif': exif} if suffix in ('png', 'tif', 'webp') else {})
    )
    expected = E.open_photo(tmp_path / f'a.{suffix}').tobytes()
    photo = Image.open(tmp_path / f'a.{suffix}')
    assert E.open_photo(photo).tobytes() == expected
    photo.load()
    assert E.open_photo(photo).tobytes() == expected
    second = Image.open(tmp_path / f'a.{suffix}')
    second.thumbnail((20, 20))  # changed in place: it is no longer what the file has
    assert max(E.open_photo(second).size) == 20


def test_one_frame_of_an_animation(tmp_path):
    picture(4).save(tmp_path / 'a.gif', save_all=True, append_images=[picture(5)])
    photo = Image.open(tmp_path / 'a.gif')
    first = E.open_photo(photo).tobytes()
    photo.seek(1)
    assert first == E.open_photo(tmp_path / 'a.gif').tobytes() != E.open_photo(photo).tobytes()


@pytest.mark.parametrize(
    'make',
    [
        lambda a: a[..., 0],
        lambda a: a[..., :1],
        lambda a: a[..., 0].astype(np.float64) / 255,
        lambda a: a[..., 0].astype(np.int64),
        lambda a: a[:, ::-1][:, ::-1, 0],
    ],
    ids=['H, W', 'H, W, 1', 'fractions', 'int64', 'views'],
)
def test_grey_arrays(make):
    grey = np.asarray(picture(1))
    assert (
        E.open_photo(make(grey)).tobytes() == Image.fromarray(grey[..., 0]).convert('RGB').tobytes()
    )


def test_other_arrays():
    pixels = np.asarray(picture(1))
    assert E.open_photo(pixels[..., 0] > 99).getpixel((0, 0)) in ((0, 0, 0), (255, 255, 255))
    clear = np.dstack([pixels, np.zeros((50, 60), np.uint8)])
    assert E.open_photo(clear).getcolors() == [(3000, (255, 255, 255))]
    before = pixels.copy()
    made = E.open_photo(pixels)
    made.putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    'wrong, complaint',
    [
        (np.zeros((3, 40, 40)), 'array of shape (3, 40, 40)'),
        (np.zeros((40, 40, 2)), '(H, W, 3)'),
        (np.full((4, 4), np.nan), 'nan'),
        (np.full((4, 4), -1.0), '-1'),
        (np.zeros((0, 4, 3)), 'array of shape (0, 4, 3)'),
        (np.zeros((4, 4), complex), 'complex'),
        (np.zeros((4, 400, 3), np.uint8), '50 times'),
        (b'', '0 bytes'),
        (b'hello', 'is not an image'),
        (io.BytesIO(), '0 bytes'),
        (io.StringIO('text'), 'open as text'),
        (7, 'is of type int'),
        (None, 'is of type NoneType'),
    ],
)
def test_what_is_no_picture(wrong, complaint):
    with raises(complaint):
        E.open_photo(wrong)


def test_many_of_all_kinds(tmp_path):
    folder = photographs(tmp_path / 'photos', 'a.png', 'b.png')
    captioner, pixels = small_captioner(), np.asarray(picture(0))
    alone = captioner.caption(folder / 'a.png', max_length=3).captions
    mixed = [
        picture(0),
        pixels,
        folder,
        (folder / 'a.png').read_bytes(),
        pixels / 255,
        b'broken',
        open(folder / 'a.png', 'rb'),
        Image.open(folder / 'a.png'),
    ]
    results = captioner.caption_many(mixed, max_length=3)
    assert [r.captions == alone for r in results] == [
        True,
        True,
        True,
        False,
        True,
        True,
        False,
        True,
        True,
    ] and results[6].error
    assert [c['image'] for c in json.loads(json.dumps([r.as_dict() for r in results]))][:2] == [
        'picture of 60 x 50 pixels',
        'array of shape (50, 60, 3)',
    ]
    for one in (picture(0), pixels, (folder / 'a.png').read_bytes(), str(folder / 'a.png')):
        assert [r.captions for r in captioner.caption_many(one, max_length=3)] == [alone]
    assert [
        r.captions for r in captioner.caption_many(np.stack([pixels, pixels]), max_length=3)
    ] == [alone] * 2
    assert [r.captions for r in captioner.caption_many(p for p in [pixels, folder / 'a.png'])] == [
        r.captions for r in captioner.caption_many([pixels, pixels])
    ]
    with raises('no photographs are given'):
        captioner.caption_many([])


# showing


def test_results_can_always_be_shown(tmp_path):
    folder = photographs(tmp_path / 'photos', 'a.png', 'c.png')
    (folder / '<b>.png').write_text('no', encoding='utf-8')
    (folder / 'gone.png').write_bytes((folder / 'a.png').read_bytes())
    results = small_captioner().caption_many(folder, max_length=3)
    (folder / 'gone.png').unlink()
    cards = {r.image.name: r._repr_html_() for r in results}
    assert (
        'data:image' in cards['a.png'] and 'data:image' not in cards['<b>.png'] + cards['gone.png']
    )
    assert (
        'is not an image' in cards['<b>.png']
        and '<b>.png' not in cards['<b>.png'].replace('&lt;b&gt;', '')
        and 'no such file' in cards['gone.png']
    )
    assert (
        isinstance(results, list)
        and type(results[:2]) is type(results)
        and results[:2] == list(results)[:2]
        and len(results[:2]) == 2
    )
    assert (
        results._repr_html_().count('<figure>') == 4
        and results[0].image.name == '<b>.png'
        and json.dumps([r.as_dict() for r in results])
    )
    many = type(results)(list(results) * 30)
    assert many._repr_html_().count('<figure>') == many.MOST and 'and 96 more' in many._repr_html_()
    photo = picture(0, (900, 600))
    caption.Captioned(photo)._repr_html_()
    assert photo.size == (900, 600)


def test_everything_says_what_it_is(tmp_path):
    from rnn_captioning import AttentionCaptioner, EncodedAttentionCaptioner, TransformerCaptioner

    captioner = small_captioner()
    model = captioner.model
    scenes = shipped('scenes.h5')
    data = open_data(scenes)
    solver = CaptioningSolver(model, data, update_rule='adam')
    others = [
        AttentionCaptioner(WORDS, 3, 4, 5, attention_dim=2),
        EncodedAttentionCaptioner(WORDS, 3),
        TransformerCaptioner(WORDS, 3),
    ]
    for thing, parts in [
        (model, ['CaptioningRNN', 'rnn', '8 words', '3 features', 'parameters']),
        (captioner, ['PhotoCaptioner', 'CaptioningRNN', 'means']),
        (data, ['Dataset(', scenes.name, 'train: 6,000 pictures', 'words']),
        (solver, ['CaptioningSolver', 'CaptioningRNN', 'epoch 0 of 10', 'adam']),
        *((other, [type(other).__name__, 'at each place']) for other in others),
    ]:
        said = repr(thing)
        assert (
            all(part in said for part in parts)
            and '\n' not in said
            and '0x' not in said
            and len(said) < 250
        ), said


def test_the_front_door_opens_no_picture_library():
    code = (
        'import sys, rnn_captioning.photos.images, rnn_captioning.data.prepare; '
        'print("PIL" in sys.modules or "pillow_heif" in sys.modules)'
    )
    assert (
        subprocess.run(
            [sys.executable, '-c', code], capture_output=True, encoding='utf-8', check=True
        ).stdout
        == 'False\n'
    )
