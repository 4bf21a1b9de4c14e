"""What commands print and draw is there whatever a terminal, a locale,
a font or a photograph lacks; and a path is taken as it was meant.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rnn_captioning.command_line import main, plot_captions, say
from rnn_captioning.data.dataset import open_data, write_data
from rnn_captioning.drawing import _BOX, choose_fonts, new_figure, save_figure
from rnn_captioning.errors import InputError, raises
from rnn_captioning.files.paths import local_path
from rnn_captioning.data.scenes import make_scenes

COMMAND = [sys.executable, '-m', 'rnn_captioning']
SMALL = ['--epochs=1', '--reward-epochs=0', '--hidden-dim=4', '--wordvec-dim=4', '--batch-size=20']
ENCODINGS = ['ascii', 'cp1252', 'iso-8859-1', 'utf-8']
KOREAN = '한국어 개'


def run(*arguments, charset='utf-8', **options):
    return CliRunner(charset=charset).invoke(main, [str(a) for a in arguments], **options)


def alone(*arguments, **environment):
    "Run a command in a process of its own, its streams as bytes."
    env = {**os.environ, 'PYTHONUTF8': '0', 'OPENBLAS_NUM_THREADS': '1', **environment}
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=env)


def words_data(path, words, images='', names=None):
    "A data set of a few random features whose captions have the given words."
    vocabulary = ['<NULL>', '<START>', '<END>', '<UNK>', *words]
    rng, splits = np.random.default_rng(0), {}
    for split, count in (('train', 12), ('val', 3), ('test', 2)):
        ids = np.array([[1, *range(4, len(vocabulary)), 2]] * count, np.int32)
        splits[split] = dict(
            captions=ids,
            image_idxs=np.arange(count, dtype=np.int32),
            texts=[' '.join(words)] * count,
            names=names[split] if names else [f'{split} {words[0]} {i}' for i in range(count)],
            features=rng.standard_normal((count, 5)).astype(np.float32),
        )
    write_data(path, vocabulary, splits, images=str(images))
    return path


# what a stream has no code for


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_a_line_in_any_encoding(encoding):
    import click

    @click.command()
    def speak():
        say(f'{KOREAN} é \udcff')

    done = CliRunner(charset=encoding).invoke(speak)
    assert done.exit_code == 0 and done.exception is None
    expected = f'{KOREAN} é \\udcff\n'.encode(encoding, 'backslashreplace')
    assert done.stdout_bytes == expected


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_training_on_words_that_the_terminal_lacks(tmp_path, encoding):
    data = words_data(tmp_path / 'data.h5', KOREAN.split())
    done = alone('train', data, '--out', tmp_path / 'out', *SMALL, PYTHONIOENCODING=encoding)
    out = done.stdout.decode(encoding)
    assert done.returncode == 0 and b'Traceback' not in done.stderr, done.stderr
    assert 'val 한국어 0'.encode(encoding, 'backslashreplace').decode(encoding) in out
    assert out.splitlines()[-1].startswith('in ')


@pytest.mark.parametrize('name', ['개.jpg', '猫 и кот.jpg'])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_captions_of_photographs_with_such_names(tmp_path, name, encoding):
    pytest.importorskip('onnxruntime')
    for photo in ('a.jpg', name, 'zoo.jpg'):
        Image.new('RGB', (64, 64), 'green').save(tmp_path / photo)
    done = run('caption', tmp_path, '--beam-size=1', charset=encoding)
    assert done.exit_code == 0, done.exception
    said = done.stdout_bytes.decode(encoding).splitlines()
    assert len(said) == 3
    shown = str(tmp_path / name).encode(encoding, 'backslashreplace').decode(encoding)
    assert any(line.startswith(f'{shown}: ') for line in said)
    done = run('caption', tmp_path, '--beam-size=1', '--json', charset=encoding)
    found = json.loads(done.stdout_bytes.decode('ascii'))
    assert [Path(photo['image']).name for photo in found] == sorted(['a.jpg', name, 'zoo.jpg'])


@pytest.mark.skipif(sys.platform in ('win32', 'darwin'), reason='names of files are text there')
def test_a_name_that_is_no_text(tmp_path):
    pytest.importorskip('onnxruntime')
    Image.new('RGB', (64, 64), 'green').save(tmp_path / 'good.jpg')
    shutil.copy(tmp_path / 'good.jpg', os.fsencode(tmp_path) + b'/caf\xe9.jpg')
    done = alone('caption', tmp_path, '--beam-size=1', PYTHONIOENCODING='utf-8')
    assert (
        done.returncode == 0 and b'caf\\udce9.jpg: ' in done.stdout and b'good.jpg: ' in done.stdout
    )
    done = alone('caption', tmp_path, '--beam-size=1', '--json', PYTHONIOENCODING='utf-8')
    names = [photo['image'] for photo in json.loads(done.stdout)]
    # spelt out, since half a character is no JSON for many readers
    assert str(tmp_path / r'caf\udce9.jpg') in names


def test_an_error_about_such_a_name():
    done = run('info', f'{KOREAN}.h5', charset='iso-8859-1')
    assert done.exit_code == 2 and done.stderr.count('\n') == 1 and 'no such file' in done.stderr


def test_a_stream_that_cannot_be_set_up_anew(monkeypatch):
    "Notebooks and editors put streams of their own in the place of standard output."

    class Stream:
        encoding, errors = 'cp1252', 'strict'

        def __init__(self):
            self.text = ''

        def write(self, text):
            text.encode('cp1252')
            self.text += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, 'stdout', stream := Stream())
    say(KOREAN)
    assert stream.text.startswith('\\ud55c')


# what a run has come to


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp('scenes') / 'data.h5'
    make_scenes(path, train=12, val=3, test=9)
    return path


def test_pictures_of_the_test_are_not_shown(scenes, tmp_path):
    done = run('train', scenes, '--out', tmp_path / 'out', *SMALL)
    assert (
        done.exit_code == 0
        and 'test' not in done.stdout.replace(str(tmp_path), '')
        and 'val-0000' in done.stdout
    )


def test_an_unknown_backend(scenes, tmp_path):
    done = alone('train', scenes, '--out', tmp_path / 'out', *SMALL, MPLBACKEND='nosuch')
    assert done.returncode == 0 and b'captions are true' in done.stdout, done.stderr
    assert done.stderr.count(b'warning: ') == 1 and b"MPLBACKEND is 'nosuch'" in done.stderr
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
        'captions.png',
        'checkpoint.h5',
        'log.csv',
        'loss.png',
    ]


def test_a_backend_that_was_asked_for_stays():
    code = (
        'import os; from rnn_captioning.drawing import new_figure; new_figure(); import matplotlib;'
        'print(matplotlib.get_backend(), os.environ["MPLBACKEND"])'
    )
    said = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        encoding='utf-8',
        env={**os.environ, 'MPLBACKEND': 'svg'},
    )
    assert said.stdout.split() == ['svg', 'svg'], said.stderr


@pytest.fixture
def photographs(tmp_path):
    """A data set whose validation photographs are one that is
    damaged, one that is gone, and one that can be shown.
    """
    folder = tmp_path / 'photos'
    folder.mkdir()
    names = {
        split: [f'{split}{i}.jpg' for i in range(n)]
        for split, n in (('train', 12), ('val', 3), ('test', 2))
    }
    (folder / 'val0.jpg').write_bytes(b'no picture')
    Image.new('RGB', (64, 64), 'green').save(folder / 'val2.jpg')
    return words_data(tmp_path / 'data.h5', ['a', 'dog'], folder, names)


def test_a_photograph_that_was_damaged_since(photographs, tmp_path):
    done = run('train', photographs, '--out', tmp_path / 'out', *SMALL)
    assert done.exit_code == 0 and all(f'val{i}.jpg ' in done.stdout for i in range(3)), done.output
    assert [line for line in done.stderr.splitlines() if line.startswith('warning: ')] == [
        line
        for line in done.stderr.splitlines()
        if '1 of 3 photographs cannot be drawn' in line and 'val0.jpg' in line
    ]
    assert done.stdout.splitlines()[-1].endswith('checkpoint.h5, log.csv, loss.png, captions.png')


def test_what_cannot_be_drawn_is_named_in_its_place(photographs):
    from rnn_captioning.command_line import _pictures

    with pytest.warns(UserWarning, match='1 of 3 photographs'):
        first, second, third = _pictures(open_data(photographs), 'val', range(3))
    assert (
        first.startswith('val0.jpg (')
        and 'image' in first
        and second == 'val1.jpg (not found)'
        and third.size == (64, 64)
    )


@pytest.mark.parametrize(
    'broken, left', [('plot_losses', 'captions.png'), ('plot_captions', 'loss.png')]
)
def test_each_picture_fails_by_itself(scenes, tmp_path, monkeypatch, broken, left):
    from rnn_captioning import command_line

    def fail(*args, **kwargs):
        raise RuntimeError('no room\nfor it')

    monkeypatch.setattr(command_line, broken, fail)
    done = run('train', scenes, '--out', tmp_path / 'out', *SMALL)
    assert done.exit_code == 0 and 'val-0000' in done.stdout and 'captions are true' in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f': checkpoint.h5, log.csv, {left}')
    assert 'png (no room for it): the captioner is in checkpoint.h5 all the same' in done.stderr
    assert done.stderr.count('warning: ') == 1


def test_captions_that_cannot_be_written(scenes, tmp_path, monkeypatch):
    from rnn_captioning.training import metrics

    def fail(*args, **kwargs):
        raise OSError('the disk has gone')

    monkeypatch.setattr(metrics, 'write_captions', fail)
    done = run('train', scenes, '--out', tmp_path / 'out', *SMALL)
    assert done.exit_code == 0 and 'no captions (the disk has gone)' in done.stderr
    assert done.stdout.splitlines()[-1].endswith(': checkpoint.h5, log.csv, loss.png')


# fonts


def make_font(path, family, characters):
    "A font of squares."
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for i, corner in enumerate([(100, 0), (100, 700), (800, 700), (800, 0)]):
        (pen.lineTo if i else pen.moveTo)(corner)
    pen.closePath()
    names = ['.notdef', *(f'u{ord(c):04X}' for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f'u{ord(c):04X}' for c in characters})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics({name: (900, 0) for name in names})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable(dict(familyName=family, styleName='Regular'))
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def installed(tmp_path):
    "Fonts may be installed for a while."
    from matplotlib import font_manager

    before = list(font_manager.fontManager.ttflist)

    def install(family, characters):
        font_manager.fontManager.addfont(make_font(tmp_path / f'{family}.ttf', family, characters))
        font_manager.fontManager._findfont_cached.cache_clear()

    yield install
    font_manager.fontManager.ttflist = before
    font_manager.fontManager._findfont_cached.cache_clear()


LINEAR_A = '𐘀𐘁𐘂'  # of a script that no machine's usual fonts have


def test_a_font_that_has_the_letters_is_found(installed, tmp_path):
    installed('Of Two', LINEAR_A[:2])
    installed('Of One', LINEAR_A[2])
    installed('Useless', 'ab')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        fonts = choose_fonts([f'a {LINEAR_A}'])
        assert fonts.families[-2:] == ('Of Two', 'Of One') and not fonts.instead
        plot_captions([LINEAR_A], [LINEAR_A], ['✓'], [True], tmp_path / 'captions.png')


def test_where_no_font_has_them_one_line_says_so(tmp_path):
    letters = ''.join(map(chr, range(0x10600, 0x10620)))
    with pytest.warns(UserWarning) as caught:
        plot_captions(
            [letters] * 8, [letters] * 8, [letters] * 8, [None] * 8, tmp_path / 'captions.png'
        )
    assert (
        len(caught) == 1
        and 'and 27 more (LINEAR)' in str(caught[0].message)
        and _BOX in str(caught[0].message)
    )
    assert (tmp_path / 'captions.png').stat().st_size > 5000


def test_joiners_and_wide_blanks_need_no_font(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        fonts = choose_fonts(['a\u3000b\u200d\ufe0f\u2060'])
    figure = new_figure()
    figure.text(0, 0, fonts('a\u3000b\u200d\ufe0f\u2060'), fontfamily=fonts.families)
    save_figure(figure, tmp_path / 'f.png')


def test_marks_are_there_in_a_font_that_lacks_them(installed, tmp_path):
    import matplotlib

    installed('No Marks', 'abcdefghijklmnopqrstuvwxyz :')
    with (
        matplotlib.rc_context({'font.family': ['No Marks', 'Not Installed']}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter('error')
        assert choose_fonts(['✓ a', '✗ b']).families == ('No Marks', 'DejaVu Sans')
        plot_captions(['a'], ['a dog'], ['a dog'], [True], tmp_path / 'captions.png')


def test_marks_are_explained_in_words(tmp_path, monkeypatch):
    "Who sees no colours sees the marks, and the line that says what they mean."
    from rnn_captioning import drawing

    seen = []
    monkeypatch.setattr(drawing, 'save_figure', lambda figure, path, **options: seen.append(figure))
    plot_captions(
        ['a', 'b'],
        ['a dog', 'a cat'],
        ['a dog', 'a dog'],
        [True, False],
        tmp_path / 'captions.png',
        'of val',
    )
    (figure,) = seen
    assert [ax.get_title()[0] for ax in figure.axes[:2]] == ['✓', '✗']
    assert figure.get_supxlabel() == 'of val   ✓ true of its picture   ✗ not true'


def test_attention_is_drawn_in_fonts_that_have_the_words(installed):
    from rnn_captioning.models.attention import draw_attention

    installed('Of Two', LINEAR_A)
    figure = draw_attention(np.zeros((8, 8, 3), np.uint8), [LINEAR_A], np.ones((1, 4)) / 4)
    assert 'Of Two' in figure.axes[0].title.get_fontfamily()


def test_what_matplotlib_warns_of_is_one_warning(tmp_path):
    figure = new_figure()
    for i in range(20):
        figure.text(0, i / 20, chr(0x10600 + i))
    with pytest.warns(UserWarning) as caught:
        save_figure(figure, tmp_path / 'f.png')
    assert (
        len(caught) == 1
        and 'f.png: ' in str(caught[0].message)
        and '19 warnings more' in str(caught[0].message)
    )


def test_a_figure_that_cannot_be_written_leaves_the_one_before(tmp_path):
    (tmp_path / 'f.png').write_bytes(b'before')
    figure = new_figure()
    figure.text(0, 0, '$\\frac$')
    with pytest.raises(ValueError):
        save_figure(figure, tmp_path / 'f.png')
    assert (tmp_path / 'f.png').read_bytes() == b'before' and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('what', ['warning', 'log'])
def test_commands_say_one_line_of_matplotlib(monkeypatch, what):
    import logging

    from rnn_captioning import command_line

    def noisy(path):
        for i in range(20):
            if what == 'log':
                logging.getLogger('matplotlib.font_manager').warning('findfont: %d\nnot found', i)
            else:
                warnings.warn_explicit(
                    f'Glyph {i} missing', UserWarning, '/python/matplotlib/text.py', i
                )
        warnings.warn('something else', stacklevel=2)
        return dict(file='none')

    monkeypatch.setattr(command_line, 'info', noisy)
    done = run('info', 'none.h5')
    assert done.exit_code == 0 and len(done.stderr.splitlines()) == 2, done.stderr
    assert done.stderr.startswith('warning: Matplotlib: ') and done.stderr.endswith(
        'warning: something else\n'
    )


# paths

PATHS = [
    ('train', 'DATA'),
    ('train', 'DATA', '--out=PATH'),
    ('caption', 'PATH'),
    ('caption', 'a.jpg', 'PATH'),
    ('caption', 'a.jpg', '--model=PATH'),
    ('caption', 'a.jpg', '--encoder=PATH'),
    ('evaluate', 'PATH', 'b.h5'),
    ('evaluate', 'a.h5', 'PATH'),
    ('evaluate', 'a.h5', 'b.h5', '--per-image=PATH'),
    ('evaluate', 'a.h5', 'b.h5', '--results=PATH'),
    ('evaluate', 'a.json', 'b.h5', '--annotations=PATH'),
    ('prepare', '--captions=a', '--images=b', '--out=c', '--vocabulary=PATH'),
    ('prepare', '--captions=PATH', '--images=b', '--out=c'),
    ('prepare', '--captions=a', '--images=PATH', '--out=c'),
    ('prepare', '--captions=a', '--features=PATH', '--out=c'),
    ('prepare', '--captions=a', '--images=b', '--out=PATH'),
    ('prepare', '--captions=a', '--images=b', '--encoder=PATH', '--out=c'),
    ('prepare', '--captions=a', '--images=b', '--split=train=PATH', '--out=c'),
    ('fetch', 'flickr8k', '--to=PATH'),
    ('bench', '--plot=PATH'),
    ('info', 'PATH'),
]


@pytest.mark.parametrize(
    'address',
    ['https://example.org/dog.jpg', 'HTTP://example.org', 's3://bucket/key', 'file:///home/a.h5'],
)
@pytest.mark.parametrize('arguments', PATHS, ids=' '.join)
def test_an_address_is_called_one(tmp_path, monkeypatch, arguments, address):
    monkeypatch.chdir(tmp_path)
    done = run(*(a.replace('PATH', address).replace('DATA', address) for a in arguments))
    assert done.exit_code == 2 and not done.stdout and not list(tmp_path.iterdir())
    hint = 'leave out file://' if address.startswith('file') else 'download it first'
    assert (
        f'{address}: is an address, and not a path on this machine: {hint}' in done.stderr
        and done.stderr.count('\n') == 1
    )


def test_every_path_of_every_command_is_one():
    from rnn_captioning.command_line import LocalPath

    taken = {type(p.type) for command in main.commands.values() for p in command.params}
    assert LocalPath in taken and not any(t.__name__ in ('Path', 'File') for t in taken)
    tried = {
        (args[0], part.split('=')[0])
        for args in PATHS
        for part in args
        if 'PATH' in part or 'DATA' in part
    }
    options = {
        (name, p.opts[-1])
        for name, command in main.commands.items()
        for p in command.params
        if isinstance(p.type, LocalPath) and p.opts[-1].startswith('--')
    }
    assert options <= tried


def test_home(tmp_path, monkeypatch, scenes):
    "As ~ reaches a command where the shell leaves it, within a word."
    home, here = tmp_path / 'home', tmp_path / 'here'
    home.mkdir()
    here.mkdir()
    for name in ('HOME', 'USERPROFILE'):
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(here)
    shutil.copy(scenes, home / 'data.h5')
    assert run('train', '~/data.h5', '--out=~/run', *SMALL).exit_code == 0
    assert (home / 'run' / 'checkpoint.h5').exists()
    assert run('info', '~/run/checkpoint.h5').exit_code == 0
    (home / 'captions.csv').write_text(
        'image,caption\n' + ''.join(f'{i}.jpg,a dog\n' for i in range(8)), encoding='utf-8'
    )
    for split, numbers in (('train', range(6)), ('val', (6, 7))):
        (home / f'{split}.txt').write_text(''.join(f'{i}.jpg\n' for i in numbers), encoding='utf-8')
    import h5py

    with h5py.File(home / 'features.h5', 'w') as f:
        f['features'], f['image_names'] = np.eye(8), [f'{i}.jpg' for i in range(8)]
    done = run(
        'prepare',
        '--captions=~/captions.csv',
        '--features=~/features.h5',
        '--split=train=~/train.txt',
        '--split',
        'val=~/val.txt',
        '--out=~/made.h5',
    )
    assert done.exit_code == 0, done.output
    assert set(open_data('~/made.h5').splits) == {'train', 'val'}
    assert not list(here.iterdir())


def test_home_in_python(tmp_path, monkeypatch, scenes):
    from rnn_captioning import load_checkpoint, save_checkpoint
    from rnn_captioning.data.prepare import read_captions
    from rnn_captioning.training.run import train

    for name in ('HOME', 'USERPROFILE'):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    shutil.copy(scenes, tmp_path / 'data.h5')
    small = dict(epochs=1, reward_epochs=0, hidden_dim=4, wordvec_dim=4, batch_size=20)
    train('~/data.h5', '~/run', **small)
    save_checkpoint('~/again.h5', load_checkpoint('~/run/checkpoint.h5'))
    (tmp_path / 'captions.csv').write_text('image,caption\na.jpg,a dog\n', encoding='utf-8')
    assert read_captions('~/captions.csv')[0] == {'a.jpg': ['a dog']}
    assert not list(Path('.').iterdir()) and (tmp_path / 'again.h5').exists()
    with raises('~/no.h5'.replace('~', str(tmp_path)), 'no such file'):
        load_checkpoint('~/no.h5')
    train(Path('../data.h5'), Path('~/run'), **small)  # a Path is taken as it is
    assert Path('~/run/checkpoint.h5').exists()


@pytest.mark.parametrize('address', ['https://example.org/a.h5', 'gs://b/c'])
def test_addresses_in_python(address, tmp_path, monkeypatch):
    from rnn_captioning import load_checkpoint, load_coco_data, open_data, write_data
    from rnn_captioning.photos.encoder import load_encoder, open_photo
    from rnn_captioning.photos.images import find_photos
    from rnn_captioning.data.fetch import fetch
    from rnn_captioning.data.prepare import prepare, read_captions
    from rnn_captioning.training.run import train

    monkeypatch.chdir(tmp_path)
    tries = [
        load_checkpoint,
        load_coco_data,
        open_data,
        open_photo,
        find_photos,
        load_encoder,
        train,
        read_captions,
        lambda a: train(out=a),
        lambda a: prepare(a, 'b', 'c'),
        lambda a: prepare('a', a, 'c'),
        lambda a: prepare('a', 'b', a),
        lambda a: prepare('a', None, 'c', images=a),
        lambda a: prepare('a', 'b', 'c', {'train': a}),
        lambda a: fetch('coco', a),
        lambda a: write_data(a, [], {}),
        lambda a: find_photos([a]),
    ]
    for call in tries:
        for given in (address, Path(address)):
            with raises('is an address', 'download it first'):
                call(given)
    assert not list(tmp_path.iterdir())


def test_what_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (
        'C:/photos',
        r'C:\photos',
        'notes: a.txt',
        'https',
        'a/http:/b',
        './https:/x',
        Path('a'),
    ):
        assert local_path(path) == path
    assert local_path(None) is None and local_path(print) is print
    os.makedirs('file:/a')
    assert local_path('file:/a') == 'file:/a'  # it is there, so it is meant
    with pytest.raises(InputError):
        local_path('file:/b')
