"""Data sets, checkpoints, captions, features and lists that are wrong:
one line that names the culprit, before any work, and nothing is lost.
"""

import csv
import json
import os
import shutil
import zlib
from pathlib import Path
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from rnn_captioning.training.checkpoint import load_checkpoint
from rnn_captioning.command_line import main, plot_captions
from rnn_captioning.data.dataset import open_data, write_data
from rnn_captioning.errors import InputError, raises
from rnn_captioning.files.hdf5 import write_attributes
from rnn_captioning.files.paths import atomic_path
from systems import PIPES, link
from rnn_captioning.data.prepare import prepare, read_captions, read_features
from rnn_captioning.data.scenes import make_scenes
from rnn_captioning.training.run import train


def fails(*arguments, says=(), warned=False):
    """Run a command that must end with status 2 and one line on standard
    error that has every fragment; `warned`: warnings may come before.
    """
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert isinstance(done.exception, SystemExit), f'no error, or a traceback: {done.exception!r}'
    *before, line = done.stderr.splitlines()
    assert done.exit_code == 2 and line.startswith('error: ') and not done.stdout, done.output
    assert all(w.startswith('warning: ') for w in before) and (warned or not before), before
    missing = [str(s) for s in says if str(s) not in line]
    assert not missing, f'{line!r} lacks {missing}'


def case(name, *values, bug=None, hdf5=0):
    """A row of a table; `bug`: it fails today, and why;
    `hdf5`: no earlier version of HDF5 can make such a file.
    """
    marks = (
        [pytest.mark.xfail(strict=True, reason=bug)]
        if bug
        else [pytest.mark.skip(f'HDF5 {hdf5} makes such files')]
        if h5py.version.hdf5_version_tuple[0] < hdf5
        else []
    )
    return pytest.param(*values, id=name, marks=marks)


def edited(source, target, change):
    "A copy of an HDF5 file, changed."
    shutil.copy(source, target)
    with h5py.File(target, 'r+') as f:
        change(f)
    return target


def put(key, value):
    "A change: replace a data set, by a value or by a function of what it held."

    def change(f):
        new = value(f[key][()]) if callable(value) else value
        if key in f:
            del f[key]
        f[key] = new

    return change


def drop(*keys):
    return lambda f: [f.pop(key) for key in keys]


def floats(array):
    return array.astype('f4')


def at(place, value, convert=np.copy):
    "For `put`: the same array but for one place."

    def change(array):
        array = convert(array)
        array[place] = value
        return array

    return change


def group(key):
    return lambda f: (f.pop(key), f.create_group(key))


def attribute(name, value, key='/'):
    return lambda f: write_attributes(f[key], **{name: value})


def no_attribute(name, key='/'):
    return lambda f: f[key].attrs.__delitem__(name)


def in_json(name, key='/', **values):
    "A change of some entries of a JSON attribute; None removes one."

    def change(f):
        found = {
            k: v
            for k, v in {**json.loads(f[key].attrs[name]), **values}.items()
            if v is not None or k not in values
        }
        write_attributes(f[key], **{name: json.dumps(found)})

    return change


def everywhere(key, value):
    return lambda f: [put(f'{split}/{key}', value)(f) for split in ('train', 'val', 'test')]


def damage(key):
    "A change: break the compressed bytes of a data set."

    def change(f):
        size = f[key].id.get_chunk_info(0).size
        f[key].id.write_direct_chunk((0,) * f[key].ndim, b'\xff' * size)

    return change


class Stop(Exception):
    pass


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A folder with a data set and the checkpoint of a
    run that was stopped after the first of two epochs.
    """
    folder = tmp_path_factory.mktemp('tiny')
    make_scenes(folder / 'data.h5', train=12, val=3, test=3)

    def stop(solver):
        raise Stop

    try:
        train(
            folder / 'data.h5',
            folder,
            epochs=2,
            reward_epochs=0,
            hidden_dim=4,
            wordvec_dim=4,
            batch_size=20,
            callbacks=[stop],
        )
    except Stop:
        return folder


# data sets

DATA = [
    *(
        case(f'no {key}', drop(f'train/{key}'), [f'has no data set {key!r}', 'train', 'found '])
        for key in ('captions', 'image_idxs', 'features', 'names', 'texts')
    ),
    case(
        'no vocabulary',
        drop('vocabulary'),
        ["has no data set 'vocabulary'", 'found test, train, val'],
    ),
    case('no splits', drop('train', 'val', 'test'), ['has no splits', 'train']),
    case(
        'split without anything',
        lambda f: f.create_group('more'),
        ['more', "has no data set 'captions'", 'found nothing'],
    ),
    case('features a group', group('train/features'), ["has no data set 'features'"]),
    case(
        'features a broken link',
        lambda f: (
            f.pop('train/features'),
            f.__setitem__('train/features', h5py.SoftLink('/nowhere')),
        ),
        ["has no data set 'features'"],
    ),
    *(
        case(
            f'{key} too few',
            put(f'train/{key}', lambda a: a[:-1]),
            ["'train'", f'{n - 1} {key}', 'expected as many'],
        )
        for key, n in dict(
            captions=60, image_idxs=60, texts=60, features=12, names=12, pictures=12, facts=12
        ).items()
    ),
    case(
        'widths differ',
        put('val/features', lambda a: a[:, 1:]),
        ['width', "'val': (32,)", "'train': (33,)"],
    ),
    case(
        'index too high',
        put('train/image_idxs', at(0, 99)),
        ["'train'", '0 to 99', 'expected whole numbers, 0 to 11'],
    ),
    case(
        'index negative',
        put('train/image_idxs', at(0, -1)),
        ["'train'", '-1 to 11', 'expected whole numbers, 0 to 11'],
    ),
    case(
        'index of floats',
        put('train/image_idxs', floats),
        ["'train'", 'image_idxs', 'whole numbers'],
    ),
    case(
        'word id too high',
        put('train/captions', at((4, 1), 999)),
        ["'train'", 'captions: row 4', 'outside the vocabulary', 'expected 0 to'],
    ),
    case(
        'word id negative',
        put('val/captions', at((0, 1), -1)),
        ["'val'", 'captions: row 0', 'outside the vocabulary'],
    ),
    case(
        'captions of floats',
        put('train/captions', floats),
        ["'train'", 'captions', 'float', 'whole numbers'],
    ),
    case(
        'captions of one dimension',
        put('train/captions', lambda a: a[:, 0]),
        ["'train'", 'captions', 'shape (60,)'],
    ),
    case(
        'captions of one word',
        put('train/captions', lambda a: a[:, :1]),
        ["'train'", 'captions', 'shape (60, 1)'],
    ),
    case(
        'captions of text',
        put('train/captions', lambda a: a.astype('S')),
        ["'train'", 'captions', 'dtype', 'whole numbers'],
    ),
    case(
        'caption empty',
        put('train/captions', at(3, [1, 2] + 16 * [0])),
        ["'train'", 'caption 3 has no words'],
    ),
    case(
        'caption of padding', put('train/captions', at(3, 0)), ["'train'", 'caption 3 has no words']
    ),
    case(
        'NaN',
        put('train/features', at((2, 0), np.nan, floats)),
        ["'train'", 'features: row 2', 'NaN or infinity', 'finite'],
    ),
    case(
        'infinity',
        put('val/features', at((1, 3), -np.inf, floats)),
        ["'val'", 'features: row 1', 'NaN or infinity', 'finite'],
    ),
    case(
        'features of text',
        everywhere('features', lambda a: a.astype('S')),
        ['features', 'dtype', 'expected numbers'],
    ),
    case(
        'features complex',
        everywhere('features', lambda a: a.astype('c8')),
        ['features', 'complex64', 'expected numbers'],
    ),
    case(
        'features of one dimension',
        everywhere('features', lambda a: a[:, 0]),
        ['features', 'shape (', '(pictures, width)'],
    ),
    case('features of no dimension', put('train/features', 3.0), ['features', 'train']),
    case(
        'split empty',
        lambda f: [put(f'val/{key}', lambda a: a[:0])(f) for key in f['val']],
        ["'val'", 'has no captions', 'expected at least one'],
    ),
    case(
        'vocabulary empty',
        put('vocabulary', lambda a: a[:0]),
        ['vocabulary', 'begins with []', '<NULL>'],
    ),
    case(
        'vocabulary in another order',
        put('vocabulary', lambda a: a[::-1]),
        ['vocabulary', 'begins with', '<NULL>'],
    ),
    case(
        'vocabulary too short',
        put('vocabulary', lambda a: a[:9]),
        ['outside the vocabulary', 'expected 0 to 8'],
    ),
    case('word twice', put('vocabulary', at(5, b'a')), ['vocabulary', 'words twice']),
    case(
        'no format', no_attribute('format'), ['HDF5 file of another program', 'rnn_captioning data']
    ),
    case('format a number', attribute('format', 3), ['3', 'rnn_captioning data']),
    case('format a list', attribute('format', [1, 2]), ['rnn_captioning data']),
    case('version of the future', attribute('version', 9), ['version', '9']),
    case('vocabulary of numbers', put('vocabulary', np.arange(41)), ['vocabulary', 'text']),
    case(
        'vocabulary of two dimensions',
        put('vocabulary', lambda a: a[:, None]),
        ['vocabulary', 'shape'],
    ),
    case('vocabulary of no dimension', put('vocabulary', b'a'), ['vocabulary', 'shape']),
    case('names of numbers', put('train/names', np.arange(12)), ['train', 'names', 'text']),
    case(
        'texts of two dimensions',
        put('train/texts', lambda a: a[:, None]),
        ['train', 'texts', 'shape'],
    ),
    case(
        'captions of no dimension', put('train/captions', 3), ['train', 'captions', 'single value']
    ),
    case(
        'index of no dimension', put('train/image_idxs', 3), ['train', 'image_idxs', 'single value']
    ),
    case('pictures of no dimension', put('test/pictures', 3), ['test', 'pictures', 'single value']),
    case(
        'index of two dimensions',
        put('train/image_idxs', lambda a: a[:, None]),
        ['train', 'image_idxs', 'shape'],
    ),
    case(
        'index of text',
        put('train/image_idxs', lambda a: a.astype('S')),
        ['train', 'image_idxs', 'whole numbers'],
    ),
    case(
        'features without numbers',
        put('train/features', h5py.Empty('f4')),
        ['train/features', 'is empty', 'expected numbers'],
    ),
    case('features of no width', everywhere('features', lambda a: a[:, :0]), ['features', '(0,)']),
    case(
        'features beyond float32',
        everywhere('features', lambda a: a * 1e300),
        ['features', 'row 0'],
    ),
    case(
        'facts not JSON',
        put('test/facts', lambda a: np.array([b'{'] * 3)),
        ['test', 'facts', 'JSON'],
    ),
    case(
        'pictures of text',
        put('test/pictures', lambda a: np.array([b'x'] * 3)),
        ['test', 'pictures'],
    ),
    case(
        'link to nowhere',
        lambda f: f.__setitem__('more', h5py.SoftLink('/nowhere')),
        ["no data set 'more'", "a link to '/nowhere'"],
    ),
    case('compressed bytes broken', damage('train/captions'), ['bad.h5', 'is damaged']),
]


@pytest.mark.parametrize('change, says', DATA)
def test_data_set(tiny, tmp_path, change, says):
    path = edited(tiny / 'data.h5', tmp_path / 'bad.h5', change)
    for in_memory in (True, False):
        with raises('bad.h5', *says):
            open_data(path, in_memory)
    # old h5py warns of an empty data set
    fails('train', path, '--out', tmp_path / 'out', says=['bad.h5', *says], warned=True)
    assert not (tmp_path / 'out').exists()


# files that would harm


def stored(key, *arguments, **options):
    "A change: in the place of a data set, one made with these arguments of `create_dataset`."
    return lambda f: (f.pop(key, None), f.create_dataset(key, *arguments, **options))


def elsewhere(key, make):
    """A change: in the place of a data set, what points into
    another file beside it, which has all that is asked for.
    """

    def change(f):
        other, shape, dtype = Path(f.filename).with_name('other.h5'), f[key].shape, f[key].dtype
        with h5py.File(other, 'w') as o:
            o['x'] = np.ones(shape, dtype)
        del f[key]
        make(f, key, str(other), shape, dtype)

    return change


def virtual(f, key, other, shape, dtype):
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource(other, 'x', shape)
    f.create_virtual_dataset(key, layout)


def chunk(key, content, shape, **options):
    "A change: a data set of one block, whose stored bytes are these."

    def change(f):
        f.pop(key, None)
        f.create_dataset(key, shape, chunks=shape, **options).id.write_direct_chunk(
            (0,) * len(shape), content
        )

    return change


def attribute_of_texts(f):
    "Four thousand times the same long text."
    long = h5py.string_dtype()
    f.attrs.create('encoder', ['x' * 9] * 4000, dtype=long)


def group_in_itself(f):
    f.create_group('a/b/c')
    for place in ('a', 'a/b', 'a/b/c'):
        f[f'{place}/again'] = f['a']


def many_groups(f):
    for i in range(300):
        f.create_group(f'a/{i}')
    for i in range(300):
        f[f'a/{i}/b'] = f['a']


def deflated(size):
    return zlib.compress(bytes(size), 9)


def harmful(key, width):
    "Changes of any HDF5 file that has a data set `key` of numbers."
    return [
        case(
            'link to another file',
            elsewhere(
                key, lambda f, key, other, *_: f.__setitem__(key, h5py.ExternalLink(other, '/x'))
            ),
            ['a link to', 'other.h5'],
        ),
        case(
            'soft link',
            lambda f: (f.move(key, 'kept'), f.__setitem__(key, h5py.SoftLink('/kept'))),
            ["a link to '/kept'"],
        ),
        case(
            'soft link to itself',
            lambda f: (f.pop(key), f.__setitem__(key, h5py.SoftLink('/' + key))),
            ['a link to'],
        ),
        case('virtual', elsewhere(key, virtual), ['lies in other files', 'other.h5']),
        case(
            'virtual, of nothing',
            lambda f: (
                f.pop(key),
                f.create_virtual_dataset(key, h5py.VirtualLayout((5, width), 'f4')),
            ),
            ['lies in other files'],
            hdf5=2,
        ),
        case(
            'external storage',
            lambda f: (
                f.pop(key),
                f.create_dataset(key, (9, width), 'u1', external=[('/etc/hosts', 0, 9 * width)]),
            ),
            ['lies in other files', '/etc/hosts'],
        ),
        case(
            'references',
            lambda f: (
                f.pop(key),
                f.create_dataset(key, data=np.array([f.ref] * 5, h5py.ref_dtype)),
            ),
            ['dtype object', 'expected'],
        ),
        case(
            'arrays of any length',
            lambda f: (f.pop(key), f.create_dataset(key, (5,), h5py.vlen_dtype(np.float32))),
            ['dtype object', 'expected'],
        ),
        case(
            'records',
            stored(key, data=np.zeros(5, [('a', 'f4'), ('b', 'i4')])),
            ['dtype', 'expected'],
        ),
        case(
            'shape beyond memory',
            stored(key, (2**40, width), 'f4', chunks=(2**10, width)),
            ['which is', '0 are there'],
        ),
        case(
            'shape beyond numbers',
            stored(key, (2**33, 2**33), 'f4', chunks=(1, 2**10)),
            ['which is', '0 are there'],
        ),
        case('shape beyond the file', stored(key, (2**36, width), 'f4'), ['which is', 'are there']),
        case(
            'block beyond memory',
            stored(key, (5, width), 'f4', chunks=(2**28, 1), maxshape=(None, None)),
            ['which is'],
        ),
        case(
            'block with a bomb',
            chunk(key, deflated(2**28), (2**16, 6), compression='gzip'),
            ['a block unpacks to more than its 1,572,864 bytes'],
        ),
        case(
            'small block with a bomb',
            chunk(key, deflated(2**28), (5, width), compression='gzip'),
            ['a block of', 'is kept in'],
            hdf5=2,
        ),
        case(
            'filter twice', lambda f: twice_packed(f, key), ['filters', 'expected at most one each']
        ),
        case(
            'large block that is no gzip',
            chunk(key, bytes(70_000), (2**16, 6), compression='gzip'),
            ['is damaged'],
        ),
    ]


def twice_packed(f, key):
    del f[key]
    setup = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    setup.set_chunk((5, 5))
    setup.set_deflate(9)
    setup.set_deflate(9)
    h5py.h5d.create(f.id, key.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5, 5)), setup)


WHOLE = [
    case('group in itself', group_in_itself, ['groups more than 8 deep']),
    case('groups in groups', many_groups, ['more than 20,000 entries']),
    case('deep groups', lambda f: f.create_group('/'.join('a' * 99)), ['groups more than 8 deep']),
    case(
        'promises of many',
        lambda f: [f.create_dataset(f'more/{i}', (2**22,), 'f4') for i in range(9)],
        ['all that it promises'],
    ),
    case(
        'one array by many names',
        lambda f: [
            f.__setitem__(f'more/{i}', f.require_dataset('big', (2**22,), 'f4')) for i in range(9)
        ],
        ['all that it promises'],
    ),
    case(
        'attribute of texts',
        attribute_of_texts,
        ["attribute 'encoder'", 'expected a text of fixed length or a number'],
    ),
    case('named type', lambda f: f.__setitem__('type', np.dtype('f4')), ["no data set 'type'"]),
]


@pytest.mark.parametrize('change, says', harmful('train/features', 33) + WHOLE)
def test_harmful_data_set(tiny, tmp_path, change, says):
    path = edited(tiny / 'data.h5', tmp_path / 'bad.h5', change)
    for in_memory in (True, False):
        with raises('bad.h5', *says):
            open_data(path, in_memory)
    fails('info', path, says=['bad.h5', *says])


@pytest.mark.parametrize(
    'change, says', harmful('params/Wx', 4) + harmful('solver/loss_history', 4) + WHOLE
)
def test_harmful_checkpoint(tiny, tmp_path, change, says):
    path = edited(tiny / 'checkpoint.h5', tmp_path / 'bad.h5', change)
    with raises('bad.h5', *says):
        load_checkpoint(path)
    fails('info', path, says=['bad.h5', *says])


@pytest.mark.parametrize(
    'change, says', [row for row in harmful('features', 4) if row.id != 'soft link to itself']
)
def test_harmful_features(tmp_path, prepared, change, says):
    with raises('bad.h5', *says):
        read_features(edited(prepared / 'f.h5', tmp_path / 'bad.h5', change))


def test_widths_cannot_fill_memory(tiny, tmp_path):
    "A file of 10,000 weights may not ask for a square of 10,000 by 10,000."

    def change(f):
        put('params/W_vocab', np.zeros(10_000, 'f4'))(f)
        in_json('config', hidden_dim=10_000)(f)

    path = edited(tiny / 'checkpoint.h5', tmp_path / 'bad.h5', change)
    with raises('bad.h5', 'more weights than the file has'):
        load_checkpoint(path)


def test_names_of_any_length(tmp_path, monkeypatch):
    """Names as h5py writes them by default are read; one
    long name that many rows share is not multiplied.
    """
    names = ['one.jpg', 'zwei.jpg', '三.jpg']
    with h5py.File(tmp_path / 'f.h5', 'w') as f:
        f['features'], f['image_names'] = np.eye(3, dtype='f4'), names
    assert read_features(tmp_path / 'f.h5')[0] == names
    monkeypatch.setattr('rnn_captioning.files.hdf5.SMALL', 1)  # a name at a time
    assert read_features(tmp_path / 'f.h5')[0] == names
    with h5py.File(tmp_path / 'shared.h5', 'w') as f:
        f['features'], f['image_names'] = np.eye(9, dtype='f4'), ['x' * 9999] + ['y' * 9999] * 8
        f.flush()
        place = f['image_names'].id.get_offset()
    content = (tmp_path / 'shared.h5').read_bytes()
    # all nine rows refer to the first text
    (tmp_path / 'shared.h5').write_bytes(
        content[:place] + content[place : place + 16] * 9 + content[place + 9 * 16 :]
    )
    monkeypatch.setattr('rnn_captioning.files.hdf5.os.path.getsize', lambda path: 50_000)
    with raises('shared.h5', 'texts longer than the file'):
        read_features(tmp_path / 'shared.h5')


def test_nothing_steers_the_terminal(quick_meteor, tiny, tmp_path):
    """What a file says is printed with control characters
    spelt out, ordinary letters of any language as they are.
    """
    evil = 'b\x1b]0;owned\x07\u202e\x9b猫'

    def change(f):
        put(
            'vocabulary',
            np.array(
                [
                    evil.encode() if i == 4 else f'{evil}{i}'.encode() if i > 4 else w
                    for i, w in enumerate(f['vocabulary'][()])
                ]
            ),
        )(f)
        write_attributes(f, encoder=evil)
        f.attrs.pop('checksum', None)

    data = edited(tiny / 'data.h5', tmp_path / 'data.h5', change)
    checkpoint = edited(tiny / 'checkpoint.h5', tmp_path / 'checkpoint.h5', change)
    with h5py.File(data, 'r+') as f:
        put('test/names', np.array([evil.encode() + b'%d' % i for i in range(3)]))(f)
    spelt, bad = 'b\\u001b]0;owned\\u0007\\u202e\\u009b猫', set('\x1b\x07\u202e\x9b')

    def run(*arguments):
        done = CliRunner().invoke(main, [str(a) for a in arguments])
        assert not bad & set(done.output), done.output
        return done

    assert spelt in run('info', data).stdout and spelt in run('info', checkpoint).stdout
    assert json.loads(run('info', checkpoint, '--json').stdout)['encoder'] == evil
    done = run(
        'train',
        data,
        '--out',
        tmp_path / 'out',
        '--epochs',
        1,
        '--reward-epochs',
        0,
        '--hidden-dim',
        4,
        '--wordvec-dim',
        4,
    )
    assert done.exit_code == 0 and spelt in done.stdout, done.output
    assert run('evaluate', checkpoint, data, '--split', 'test').exit_code == 0
    assert (
        run(
            'evaluate',
            checkpoint,
            edited(data, tmp_path / 'other.h5', attribute('encoder', 'other')),
        ).exit_code
        == 2
    )
    with raises(spelt):
        raise InputError(f'{evil}')


@pytest.mark.parametrize('text', ['$x^{$', r'$\frac$', '$', '\\', '%s {0} <b>'])
def test_captions_are_not_formulas(tmp_path, text):
    plot_captions([text], [text], [text], [None], tmp_path / 'captions.png')
    assert (tmp_path / 'captions.png').stat().st_size > 0


def write_bytes(content):
    return lambda path, good: path.write_bytes(content(good) if callable(content) else content)


UNREADABLE = [
    case('missing', lambda path, good: None, ['no such file']),
    case('dangling link', lambda path, good: link(path, path.with_name('gone')), ['no such file']),
    case('empty', write_bytes(b''), ['not a readable HDF5 file']),
    case('binary', write_bytes(bytes(range(256)) * 9), ['not a readable HDF5 file']),
    case('text', write_bytes(b'image,caption\n'), ['not a readable HDF5 file']),
    case(
        'first half',
        write_bytes(lambda good: good[: len(good) // 2]),
        ['not a readable HDF5 file', 'truncated'],
    ),
    case(
        'all but the last byte',
        write_bytes(lambda good: good[:-1]),
        ['not a readable HDF5 file', 'truncated'],
    ),
    case(
        'HDF5 of another program',
        lambda path, good: h5py.File(path, 'w').close(),
        ['another program', 'expected'],
    ),
    case('folder', lambda path, good: path.mkdir(), ['folder', 'expected']),
    *(
        [case('pipe', lambda path, good: os.mkfifo(path), ['is not a regular file'])]
        if PIPES
        else []
    ),
]


@pytest.mark.parametrize('make, says', UNREADABLE)
@pytest.mark.parametrize('command', ['train', 'info', 'evaluate', 'resume'])
def test_unreadable(tiny, tmp_path, make, says, command):
    kind, path = 'checkpoint.h5' if command == 'resume' else 'data.h5', tmp_path / 'checkpoint.h5'
    make(path, (tiny / kind).read_bytes())
    if command == 'train' and path.is_dir():
        says = ['coco2014_captions.h5: no such file', 'coco_captioning.zip']
    arguments = dict(
        train=('train', path, '--out', tmp_path / 'out'),
        info=('info', path),
        evaluate=('evaluate', path, tiny / 'data.h5'),
        resume=('train', '--out', tmp_path, '--resume'),
    )
    fails(
        *arguments[command],
        says=[path.name if says[0] != 'coco2014_captions.h5: no such file' else '', *says],
    )


def test_no_train_split(tiny, tmp_path):
    path = edited(tiny / 'data.h5', tmp_path / 'bad.h5', drop('train'))
    fails(
        'train',
        path,
        '--out',
        tmp_path / 'out',
        says=['bad.h5', 'no split called train', 'found test, val'],
    )
    assert len(open_data(path).splits) == 2


def test_training_on_places(tiny, tmp_path):
    path = edited(
        tiny / 'data.h5',
        tmp_path / 'bad.h5',
        everywhere('features', lambda a: a.reshape(-1, 3, 11)),
    )
    fails(
        'train',
        path,
        '--out',
        tmp_path / 'out',
        says=['bad.h5', 'features', '(3, 11)', 'one row of numbers'],
    )


def split(**changes):
    "The parts of a split, some of them changed; None leaves one out."
    parts = dict(
        captions=np.array([[1, 4, 2], [1, 4, 2]]),
        image_idxs=np.array([0, 1]),
        features=np.ones((2, 3)),
        names=['a', 'b'],
        texts=['x', 'y'],
    )
    return {key: value for key, value in {**parts, **changes}.items() if value is not None}


VOCABULARY = ['<NULL>', '<START>', '<END>', '<UNK>', 'dog']


@pytest.mark.parametrize(
    'vocabulary, splits, says',
    [
        case(
            'no features',
            VOCABULARY,
            dict(train=split(features=None)),
            ["'train'", "no 'features'"],
        ),
        case('no splits', VOCABULARY, {}, ['no splits']),
        case(
            'index out of range',
            VOCABULARY,
            dict(train=split(image_idxs=np.array([0, 2]))),
            ['0 to 2', 'expected whole numbers, 0 to 1'],
        ),
        case('vocabulary short', VOCABULARY[:3], dict(train=split()), ['vocabulary', '<UNK>']),
        case(
            'split named vocabulary',
            VOCABULARY,
            dict(train=split(), vocabulary=split()),
            ["'vocabulary'"],
        ),
        case('split with a slash', VOCABULARY, {'train': split(), 'a/b': split()}, ["'a/b'"]),
        case('split named dot', VOCABULARY, {'train': split(), '.': split()}, ["'.'"]),
        case('split without a name', VOCABULARY, {'train': split(), '': split()}, ["''"]),
        case(
            'ragged features',
            VOCABULARY,
            dict(train=split(features=[[1.0], [1.0, 2.0]])),
            ["'train'", 'features', 'rows of different lengths'],
        ),
    ],
)
def test_write_data(tmp_path, vocabulary, splits, says):
    (tmp_path / 'out.h5').write_bytes(b'precious')
    with raises('out.h5', *says):
        write_data(tmp_path / 'out.h5', vocabulary, splits)
    assert [p.name for p in tmp_path.iterdir()] == ['out.h5'] and (
        tmp_path / 'out.h5'
    ).read_bytes() == b'precious'


# checkpoints

CHECKPOINTS = [
    case('no params', drop('params'), ['params']),
    case('parameter missing', drop('params/Wx'), ["has no data set 'Wx'", 'found W_embed']),
    case(
        'parameter of another shape',
        put('params/Wx', lambda a: a[:-1]),
        ['params/Wx', 'shape (3, 4)', 'expected (4, 4)'],
    ),
    case('parameter a group', group('params/Wx'), ["has no data set 'Wx'"]),
    case('no vocabulary', drop('vocabulary'), ["has no data set 'vocabulary'", 'found ']),
    case(
        'vocabulary too short', put('vocabulary', lambda a: a[:-1]), ['W_embed', 'expected (40, 4)']
    ),
    case('no model', no_attribute('model'), ['holds', 'expected CaptioningRNN']),
    case('another model', attribute('model', 'Oracle'), ["'Oracle'", 'expected CaptioningRNN']),
    case('no format', no_attribute('format'), ['another program', 'rnn_captioning checkpoint']),
    case(
        'configuration of another width',
        in_json('config', hidden_dim=5),
        ['W_proj', '(33, 4)', 'expected (33, 5)'],
    ),
    case('no mean', drop('features/mean'), ["has no data set 'mean'", 'found scale']),
    case('params a data set', put('params', 3), ['params']),
    case('features a data set', put('features', 3), ['features']),
    case('parameter not a number', put('params/Wx', lambda a: a * np.nan), ['params/Wx', 'NaN']),
    case('parameter of text', put('params/Wx', lambda a: a.astype('S')), ['params/Wx', 'dtype']),
    case(
        'mean too short',
        put('features/mean', lambda a: a[:-1]),
        ['features/mean', '(32,)', '(33,)'],
    ),
    case('mean not a number', put('features/mean', lambda a: a * np.nan), ['features/mean', 'NaN']),
    case(
        'scale of text', put('features/scale', lambda a: a.astype('S')), ['features/scale', 'dtype']
    ),
    case('vocabulary of numbers', put('vocabulary', np.arange(41)), ['vocabulary', 'text']),
    case(
        'vocabulary without <NULL>', put('vocabulary', at(0, b'nothing')), ['vocabulary', '<NULL>']
    ),
    case('model a list', attribute('model', [1, 2]), ['expected CaptioningRNN']),
    case('version of the future', attribute('version', 9), ['version', '9']),
    case('no configuration', no_attribute('config'), ['config']),
    case('configuration cut short', attribute('config', '{"input_dim": 33'), ['config', 'JSON']),
    case('configuration a list', attribute('config', '[1]'), ['config']),
    case('configuration a number', attribute('config', 3), ['config']),
    case('configuration unknown', in_json('config', nonsense=1), ['config', 'nonsense']),
    case('configuration without dtype', in_json('config', dtype=None), ['config', 'dtype']),
    case('dtype unknown', in_json('config', dtype='nonsense'), ['config', 'nonsense']),
    case('dtype whole numbers', in_json('config', dtype='int32'), ['config', 'int32']),
    case('width text', in_json('config', hidden_dim='four'), ['widths', 'four']),
    case('width negative', in_json('config', hidden_dim=-4), ['widths', '-4']),
    case('width beyond memory', in_json('config', hidden_dim=10**12), ['widths', '1000000000000']),
    case('cell unknown', in_json('config', cell_type='brain'), ["'brain'", 'expected rnn']),
]


@pytest.mark.parametrize('change, says', CHECKPOINTS)
def test_checkpoint(tiny, tmp_path, change, says):
    path = edited(tiny / 'checkpoint.h5', tmp_path / 'checkpoint.h5', change)
    before = path.read_bytes()
    with raises('checkpoint.h5', *says):
        load_checkpoint(path)
    fails('evaluate', path, tiny / 'data.h5', says=['checkpoint.h5', *says])
    fails('train', '--out', tmp_path, '--resume', says=['checkpoint.h5', *says])
    assert path.read_bytes() == before


INFO = [
    row
    for row in DATA + CHECKPOINTS
    if row.id in ('no vocabulary', 'no format', 'NaN', 'parameter missing', 'another model')
] + [
    case(name, change, [])
    for name, change in [
        ('no params', drop('params')),
        ('parameter a group', group('params/Wx')),
        ('no configuration', no_attribute('config')),
        ('configuration cut short', attribute('config', '{')),
        ('no model', no_attribute('model')),
        ('no epoch', no_attribute('epoch', 'solver')),
        ('epoch of text', attribute('epoch', 'x', 'solver')),
    ]
]


@pytest.mark.parametrize('change, says', INFO)
def test_info(tiny, tmp_path, change, says):
    "It tells what it can, or fails in one line."
    for kind in ('data.h5', 'checkpoint.h5'):
        try:
            path = edited(tiny / kind, tmp_path / kind, change)
        except KeyError:
            continue  # a change that only the other kind can have
        done = CliRunner().invoke(main, ['info', str(path)])
        assert done.exit_code == 0 or isinstance(done.exception, SystemExit), (
            f'no error, or a traceback: {done.exception!r}'
        )
        if done.exit_code:
            fails('info', path, says=[kind])


RESUMED = [
    case('for captioning only', drop('solver'), ['captioning only']),
    case('no history', drop('solver/loss_history'), ["has no data set 'loss_history'"]),
    case(
        'objective unknown',
        in_json('options', 'solver', objective='fame'),
        ["'fame'", 'likelihood'],
    ),
    *(
        case(name, change, says)
        for name, change, says in [
            ('solver a data set', put('solver', 3), ['solver']),
            ('no options', no_attribute('options', 'solver'), ['options']),
            ('options cut short', attribute('options', '{', 'solver'), ['options', 'JSON']),
            ('options unknown', in_json('options', 'solver', nonsense=1), ['nonsense']),
            ('update rule unknown', in_json('options', 'solver', update_rule='luck'), ["'luck'"]),
            ('batch size text', in_json('options', 'solver', batch_size='x'), ['batch_size']),
            ('seed negative', in_json('options', 'solver', seed=-1), ['seed']),
            ('no step', no_attribute('step', 'solver'), ['step']),
            ('step negative', attribute('step', -5, 'solver'), ['step']),
            ('step a fraction', attribute('step', 1.5, 'solver'), ['step']),
            ('epoch text', attribute('epoch', 'x', 'solver'), ['epoch']),
            (
                'history of text',
                put('solver/loss_history', lambda a: a.astype('S')),
                ['loss_history'],
            ),
            ('no optimiser', drop('solver/optim'), ['optim']),
            ('moment of another shape', put('solver/optim/Wx/m', lambda a: a[1:]), ['Wx', 'm']),
            (
                'best parameter of another shape',
                put('solver/best_params/Wx', lambda a: a[1:]),
                ['best_params', 'Wx'],
            ),
            ('best parameter missing', drop('solver/best_params/Wx'), ['best_params', 'Wx']),
        ]
    ),
    *(
        case(name, change, says)
        for name, change, says in [
            ('no settings', no_attribute('run'), ['run']),
            ('settings cut short', attribute('run', '{'), ['run', 'JSON']),
            ('settings a list', attribute('run', '[]'), ['run']),
            ('setting missing', in_json('run', epochs=None), ['epochs']),
            ('setting text', in_json('run', epochs='many'), ['epochs', 'many']),
        ]
    ),
]


@pytest.mark.parametrize('change, says', RESUMED)
def test_resume(tiny, tmp_path, change, says):
    path = edited(tiny / 'checkpoint.h5', tmp_path / 'checkpoint.h5', change)
    before = path.read_bytes()
    fails('train', tiny / 'data.h5', '--out', tmp_path, '--resume', says=['checkpoint.h5', *says])
    assert path.read_bytes() == before


def fewer(f):
    for key, value in f['train'].items():
        put(f'train/{key}', value[: {60: 40, 12: 8}[len(value)]])(f)


OTHER = [
    case(
        'another vocabulary', put('vocabulary', at(20, b'zebra')), ['vocabulary', 'from id 20 on']
    ),
    case(
        'another width',
        everywhere('features', lambda a: a[:, 1:]),
        ['32 wide', 'the model expects 33'],
    ),
    case(
        'another encoder', attribute('encoder', 'guesswork'), ["'guesswork'", 'the model expects']
    ),
]


@pytest.mark.parametrize('change, says', OTHER[1:])  # texts are scored whatever the vocabulary
def test_evaluate_on_other_data(tiny, tmp_path, change, says):
    fails(
        'evaluate',
        tiny / 'checkpoint.h5',
        edited(tiny / 'data.h5', tmp_path / 'other.h5', change),
        says=['other.h5', *says],
    )


@pytest.mark.parametrize(
    'change, says',
    [*OTHER, case('no val', drop('val'), ['val']), case('fewer captions', fewer, ['captions'])],
)
def test_resume_on_other_data(tiny, tmp_path, change, says):
    shutil.copy(tiny / 'checkpoint.h5', tmp_path)
    fails(
        'train',
        edited(tiny / 'data.h5', tmp_path / 'other.h5', change),
        '--out',
        tmp_path,
        '--resume',
        says=says,
    )
    assert (tmp_path / 'checkpoint.h5').read_bytes() == (tiny / 'checkpoint.h5').read_bytes()


@pytest.mark.parametrize(
    'arguments, says',
    [
        case(
            'data as checkpoint',
            ['evaluate', 'data.h5', 'data.h5'],
            ['data.h5', "'rnn_captioning data'", "'rnn_captioning checkpoint'"],
        ),
        case(
            'checkpoint as data',
            ['evaluate', 'checkpoint.h5', 'checkpoint.h5'],
            ['checkpoint.h5', "'rnn_captioning checkpoint'", "'rnn_captioning data'"],
        ),
        case(
            'training on a checkpoint',
            ['train', 'checkpoint.h5', '--out', 'out'],
            ['checkpoint.h5', "'rnn_captioning data'"],
        ),
        case(
            'captioning with data',
            ['caption', 'data.h5', '--model', 'data.h5'],
            ['data.h5', "'rnn_captioning checkpoint'"],
        ),
        case(
            'features from data',
            ['prepare', '--captions', 'tok.txt', '--features', 'data.h5', '--out', 'out.h5'],
            ['data.h5', "no data set 'features'", 'found test, train'],
        ),
    ],
)
def test_one_for_the_other(tiny, arguments, says, monkeypatch):
    monkeypatch.chdir(tiny)
    (tiny / 'tok.txt').write_text('a.jpg#0\ta dog\n', encoding='utf-8')
    fails(*arguments, says=says)
    assert not (tiny / 'out').exists() and not (tiny / 'out.h5').exists()


# captions

NAMES = [f'p{i}.jpg' for i in range(10)]
TOKENS = ''.join(f'{name}#{k}\tA dog runs past house {k} .\n' for name in NAMES for k in range(2))
CSV = 'image,caption\n' + ''.join(f'{name},"A dog, a ""big"" one"\n' for name in NAMES)
COCO = json.dumps(
    dict(
        images=[dict(id=i, file_name=name) for i, name in enumerate(NAMES)],
        annotations=[dict(id=i, image_id=i, caption='A dog.') for i in range(10)],
    )
)
KARPATHY = json.dumps(
    dict(
        images=[
            dict(filename=name, split='train' if i < 8 else 'val', sentences=[dict(raw='A dog.')])
            for i, name in enumerate(NAMES)
        ]
    )
)


def changed(text, key, place, **values):
    "A JSON text with one entry of a list changed; None removes."
    found = json.loads(text)
    found[key][place] = {k: v for k, v in {**found[key][place], **values}.items() if v is not None}
    return json.dumps(found)


CAPTIONS = [
    case('empty', '', ["starts with ''", 'expected Flickr token.txt or CSV']),
    case('blank lines', '\n \n\n', ["starts with ''", 'expected Flickr']),
    case(
        'unknown format',
        'hello world\n',
        ["starts with 'hello world'", 'COCO captions JSON', 'Karpathy'],
    ),
    case(
        'another header', 'file,text\na.jpg,a dog\n', ["starts with 'file,text'", 'image,caption']
    ),
    case(
        'UTF-16 without its mark',
        TOKENS.encode('utf-16-le'),
        ["starts with 'p\\x000", 'UTF-16', 'expected Flickr'],
    ),
    case('UTF-16 cut short', TOKENS.encode('utf-16')[:-1], ['byte', 'is not UTF-16']),
    case('Latin-1', TOKENS.replace('dog', 'chién').encode('latin1'), ['byte', 'not UTF-8']),
    case('binary', bytes(range(256)), ['byte 128', 'not UTF-8']),
    case(
        'line without a tab',
        TOKENS + 'p9.jpg#3 no tab\n',
        ['line 21', 'no tab', "'p9.jpg#3 no tab'", 'expected NAME#K<TAB>caption'],
    ),
    case(
        'row with four fields',
        CSV + 'p1.jpg,one,two,three\n',
        ['line 12', 'two fields', 'expected image,caption'],
    ),
    case('row with one field', CSV + 'p1.jpg\n', ['line 12', 'two fields']),
    case('row without an image', CSV + ',a dog\n', ['line 12', 'two fields']),
    case('header alone', 'image,caption\n', ['no captions', 'expected at least one']),
    case('JSON cut short', COCO[:-9], ['not whole JSON', 'expected COCO']),
    case('JSON cut shorter', COCO[:200], ["starts with '{\"images\"", 'expected']),
    case('JSON too deep', '{"annotations":' + '[' * 100_000, ['not whole JSON', 'recursion']),
    case('no images', '{"annotations": []}', ["'images'", 'expected COCO captions']),
    case('no annotations', '{"images": [], "annotations": []}', ['no captions']),
    case(
        'image without a name',
        changed(COCO, 'images', 0, file_name=None),
        ["'file_name'", 'expected COCO captions'],
    ),
    case(
        'annotation without a caption',
        changed(COCO, 'annotations', 0, caption=None),
        ["'caption'", 'expected COCO captions'],
    ),
    case(
        'caption a number',
        changed(COCO, 'annotations', 0, caption=3),
        ["'p0.jpg'", 'caption 3', 'expected text'],
    ),
    case('Karpathy cut short', KARPATHY[:-9], ['not whole JSON', 'Karpathy']),
    case(
        'image without a split',
        changed(KARPATHY, 'images', 0, split=None),
        ["'split'", 'expected a Karpathy dataset'],
    ),
    case(
        'sentence without raw',
        changed(KARPATHY, 'images', 0, sentences=[{}]),
        ["'raw'", 'expected a Karpathy dataset'],
    ),
    case('split a number', changed(KARPATHY, 'images', 0, split=3), ['split', '3', 'expected']),
    case('split empty', changed(KARPATHY, 'images', 0, split=''), ['split', 'p0.jpg']),
    case('field beyond the limit', CSV + f'p1.jpg,{"a " * csv.field_size_limit()}\n', ['line 12']),
    case(
        'quote left open',
        CSV.replace('"', '').replace(', a big one', '').replace('p3.jpg,', 'p3.jpg,"'),
        ['line', 'quote'],
    ),
]


@pytest.mark.parametrize('content, says', CAPTIONS)
def test_captions(tmp_path, prepared, content, says):
    path = tmp_path / 'captions'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with raises('captions', *says):
        read_captions(path)
    prepare_fails(prepared, captions=path, says=['captions', *says])


@pytest.mark.parametrize(
    'make, says',
    [
        case('missing', lambda path: None, ['no such file']),
        case('folder', lambda path: path.mkdir(), ['is a folder']),
    ],
)
@pytest.mark.parametrize('option', ['captions', 'features', 'split'])
def test_not_a_file(tmp_path, prepared, make, says, option):
    make(tmp_path / 'thing')
    if option == 'split':
        prepare_fails(prepared, '--split', f'train={tmp_path / "thing"}', says=['thing', *says])
    else:
        prepare_fails(prepared, **{option: tmp_path / 'thing'}, says=['thing', *says])


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    "A folder with captions, features and an earlier data set that must survive every mistake."
    folder = tmp_path_factory.mktemp('prepared')
    (folder / 'tok.txt').write_text(TOKENS, encoding='utf-8')
    with h5py.File(folder / 'f.h5', 'w') as f:
        f['features'] = np.eye(10, 4, dtype='f4')
        f['image_names'] = np.array([n.encode() for n in NAMES])
    (folder / 'out.h5').write_bytes(b'precious')
    return folder


def prepare_fails(folder, *more, captions=None, features=None, says=(), warned=False, out='out.h5'):
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    fails(
        'prepare',
        '--captions',
        captions or folder / 'tok.txt',
        '--features',
        features or folder / 'f.h5',
        '--min-count',
        1,
        '--out',
        folder / out,
        *more,
        says=says,
        warned=warned,
    )
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


WORDS = 'A dog runs past house 0 .'


@pytest.mark.parametrize(
    'content, first, count, warning',
    [
        case('tokens', TOKENS, WORDS, 20, ''),
        case('tokens with BOM', '\ufeff' + TOKENS, WORDS, 20, ''),
        case('tokens with CRLF', TOKENS.replace('\n', '\r\n'), WORDS, 20, ''),
        case('tokens with blank lines', TOKENS.replace('\n', '\n\n'), WORDS, 20, ''),
        case(
            'tokens of the world',
            TOKENS.replace('dog', 'чёрный 犬 été 😀'),
            WORDS.replace('dog', 'чёрный 犬 été 😀'),
            20,
            '',
        ),
        case('tokens twice', TOKENS + TOKENS, WORDS, 20, '20 rows are there twice'),
        case(
            'tokens without words',
            TOKENS + 'p9.jpg#8\t\np9.jpg#9\t...!\n',
            WORDS,
            20,
            '2 captions have no words',
        ),
        case('tokens with a line separator', TOKENS.replace('dog', 'dog\u2028'), WORDS, 20, ''),
        case('CSV', CSV, 'A dog, a "big" one', 10, ''),
        case('CSV with BOM', '\ufeff' + CSV, 'A dog, a "big" one', 10, ''),
        case('CSV with CRLF', CSV.replace('\n', '\r\n'), 'A dog, a "big" one', 10, ''),
        case('CSV with blank lines', CSV + '\n\n', 'A dog, a "big" one', 10, ''),
        case(
            'CSV with quoted header',
            CSV.replace('image,caption', '"image","caption"'),
            'A dog, a "big" one',
            10,
            '',
        ),
        case(
            'CSV without words',
            CSV + 'p1.jpg,\n',
            'A dog, a "big" one',
            10,
            '1 captions have no words',
        ),
        case('COCO', COCO, 'A dog.', 10, ''),
        case('COCO with BOM', '\ufeff' + COCO, 'A dog.', 10, ''),
        case(
            'COCO with an unlisted image',
            changed(COCO, 'annotations', 9, image_id=77),
            'A dog.',
            9,
            '1 annotations name an image',
        ),
        case('Karpathy', KARPATHY, 'A dog.', 10, ''),
    ],
)
def test_captions_that_are_right(tmp_path, recwarn, content, first, count, warning):
    (tmp_path / 'captions').write_bytes(content.encode())
    captions, splits = read_captions(tmp_path / 'captions')
    assert captions['p0.jpg'][0] == first and sum(map(len, captions.values())) == count
    assert bool(splits) == content.endswith(KARPATHY)
    assert [warning in str(w.message) for w in recwarn] == ([True] if warning else [])


# features


@pytest.mark.parametrize(
    'change, says',
    [
        case('no features', drop('features'), ["has no data set 'features'", 'found image_names']),
        case('no names', drop('image_names'), ["has no data set 'image_names'", 'found features']),
        case('features a group', group('features'), ["has no data set 'features'"]),
        case(
            'too few',
            put('features', lambda a: a[:-1]),
            ['9 features', '10 image_names', 'as many'],
        ),
        case(
            'no known image',
            put('image_names', lambda a: np.array([b'q%d.jpg' % i for i in range(10)])),
            ['none of its 10 images', "'p0.jpg'", "'q0.jpg'"],
        ),
        case('NaN', put('features', at((6, 0), np.nan)), ['row 6', 'NaN or infinity']),
        case('one dimension', put('features', lambda a: a[:, 0]), ['shape (10,)']),
        case('text', put('features', lambda a: a.astype('S')), ['dtype', 'numbers']),
        case('no dimension', put('features', 3.0), ['features', 'shape']),
        case('no width', put('features', lambda a: a[:, :0]), ['features', '(10, 0)']),
        case('names of numbers', put('image_names', np.arange(10)), ['image_names', 'text']),
        case('name twice', put('image_names', at(1, b'p0.jpg')), ['p0.jpg', 'twice']),
    ],
)
def test_features(tmp_path, prepared, change, says):
    path = edited(prepared / 'f.h5', tmp_path / 'bad.h5', change)
    if 'none of its 10 images' not in says:
        with raises('bad.h5', *says):
            read_features(path)
    prepare_fails(prepared, features=path, says=['bad.h5', *says])


def test_features_unreadable(tmp_path, prepared):
    for content in (b'', bytes(range(256)), (prepared / 'f.h5').read_bytes()[:1000]):
        (tmp_path / 'bad.h5').write_bytes(content)
        prepare_fails(
            prepared, features=tmp_path / 'bad.h5', says=['bad.h5', 'not a readable HDF5 file']
        )


# lists of images


@pytest.mark.parametrize(
    'lists, says',
    [
        case('nothing in it', dict(train=''), ["split 'train' is empty"]),
        case(
            'unknown names',
            dict(train='x.jpg\ny.jpg'),
            ["split 'train' is empty", 'none of its images'],
        ),
        case('unknown names in one', dict(train=NAMES, val='x.jpg'), ["split 'val' is empty"]),
        case('an image in two', dict(train=NAMES[:6], val=NAMES[5:]), ['in two splits', 'p5.jpg']),
        case('no train', dict(val=NAMES), ['splits are val', 'expected one called train']),
        case('Latin-1', dict(train='é.jpg'.encode('latin1')), ['list0', 'byte 0', 'not UTF-8']),
        case('a name with a slash', {'train': NAMES[:6], 'a/b': NAMES[6:]}, ['a/b']),
        case('a name that is taken', dict(train=NAMES[:6], vocabulary=NAMES[6:]), ['vocabulary']),
    ],
)
def test_lists(tmp_path, prepared, lists, says):
    more = []
    for i, (name, content) in enumerate(lists.items()):
        content = (
            content
            if isinstance(content, bytes)
            else (content if isinstance(content, str) else '\n'.join(content)).encode()
        )
        (tmp_path / f'list{i}').write_bytes(content)
        more += ['--split', f'{name}={tmp_path / f"list{i}"}']
    prepare_fails(prepared, *more, says=says, warned=True)


@pytest.mark.parametrize(
    'ends', ['\n', '\r\n', '\n\n', ' \n'], ids=['LF', 'CRLF', 'blank lines', 'trailing spaces']
)
def test_lists_that_are_right(tmp_path, prepared, ends):
    (tmp_path / 'list').write_bytes(('\ufeff' + ends.join(NAMES[:6]) + ends).encode())
    counts = prepare(
        prepared / 'tok.txt',
        prepared / 'f.h5',
        tmp_path / 'out.h5',
        splits=dict(train=tmp_path / 'list'),
        min_count=1,
    )
    assert counts['train'] == dict(images=6, captions=12)


def test_unknown_names_are_counted(tmp_path, prepared):
    (tmp_path / 'list').write_text('\n'.join([*NAMES, 'x.jpg', 'y.jpg']), encoding='utf-8')
    with pytest.warns(UserWarning, match='list.*2|2.*list'):
        prepare(
            prepared / 'tok.txt',
            prepared / 'f.h5',
            tmp_path / 'out.h5',
            splits=dict(train=tmp_path / 'list'),
            min_count=1,
        )


def test_long_captions_are_counted(tmp_path, prepared):
    (tmp_path / 'list').write_text('\n'.join(NAMES), encoding='utf-8')
    with pytest.warns(UserWarning, match='20 captions of more than 3 words are cut'):
        counts = prepare(
            prepared / 'tok.txt',
            prepared / 'f.h5',
            tmp_path / 'out.h5',
            splits=dict(train=tmp_path / 'list'),
            min_count=1,
            max_words=3,
        )
    assert counts['cut'] == 20 and open_data(tmp_path / 'out.h5')['train_captions'].shape == (20, 5)


def test_missing_features_are_counted(tmp_path, prepared):
    path = edited(
        prepared / 'f.h5',
        tmp_path / 'some.h5',
        lambda f: [put(key, lambda a: a[:7])(f) for key in ('features', 'image_names')],
    )
    (tmp_path / 'list').write_text('\n'.join(NAMES), encoding='utf-8')
    with pytest.warns(
        UserWarning,
        match='3 images of .*tok.txt are not in .*some.h5 and are left out: p7.jpg, p8.jpg, p9.jpg',
    ):
        prepare(
            prepared / 'tok.txt',
            path,
            tmp_path / 'out.h5',
            splits=dict(train=tmp_path / 'list'),
            min_count=1,
        )
    prepare_fails(
        prepared, '--strict', features=path, says=['some.h5', '3 images', 'p7.jpg, p8.jpg, p9.jpg']
    )


# places to write to


@pytest.mark.parametrize(
    'out, says',
    [
        case('a folder', 'folder', ['folder: is a folder', 'expected a file']),
        case('below a file', 'file/out.h5', ['out.h5: cannot be written']),
        case('the captions', 'tok.txt', ['tok.txt: is read', 'written over']),
        case('the features', 'f.h5', ['f.h5: is read', 'written over']),
        *([case('a pipe', 'pipe', ['pipe', 'regular file'])] if PIPES else []),
        case('the folder itself', '.', ['is a folder', 'expected a file']),
    ],
)
def test_output(tmp_path, prepared, out, says):
    for name in ('tok.txt', 'f.h5'):
        shutil.copy(prepared / name, tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('precious', encoding='utf-8')
    if PIPES:
        os.mkfifo(tmp_path / 'pipe')
    before = {p.name: p.stat().st_mode for p in tmp_path.iterdir()}
    prepare_fails(tmp_path, says=says, out=out)
    assert {p.name: p.stat().st_mode for p in tmp_path.iterdir()} == before


def test_output_through_a_link(tmp_path):
    (tmp_path / 'real').write_text('old', encoding='utf-8')
    link(tmp_path / 'link', 'real')
    with atomic_path(tmp_path / 'link') as beside:
        beside.write_text('new', encoding='utf-8')
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'real').read_text(
        encoding='utf-8'
    ) == 'new'


@pytest.mark.parametrize('error', [Stop, KeyboardInterrupt])
def test_stopped_while_writing(tmp_path, error):
    (tmp_path / 'out').write_text('old', encoding='utf-8')
    with pytest.raises(error), atomic_path(tmp_path / 'out') as beside:
        beside.write_text('half', encoding='utf-8')
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ['out'] and (tmp_path / 'out').read_text(
        encoding='utf-8'
    ) == 'old'


def test_full_disk_is_one_line(tmp_path):
    def full():
        raise OSError(
            27,
            "file too large' (file write failed: time = Tue Nov 24 20:28:45 2026\n, buf = 0x557e)",
        )

    with raises('out.h5', 'cannot be written', 'File too large'), atomic_path(tmp_path / 'out.h5'):
        full()
