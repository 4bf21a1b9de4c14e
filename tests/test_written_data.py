"""Whatever `write_data` writes, `open_data` reads, in a size that is in
proportion; whatever it cannot write, it refuses before it touches anything.
"""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from rnn_captioning.command_line import info
from rnn_captioning.data.dataset import open_data, write_data
from rnn_captioning.data.vocabulary import SPECIAL
from rnn_captioning.errors import InputError, raises
from rnn_captioning.files.hdf5 import PADDING, pack_texts, to_bytes, to_texts
from rnn_captioning.data.prepare import prepare
from rnn_captioning.training.run import train

some = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def split(count=2, **changes):
    "The parts of a split of `count` captions, one a picture."
    parts = dict(
        captions=np.tile([[1, 4, 2]], (count, 1)),
        image_idxs=np.arange(count),
        features=np.ones((count, 3), np.float32),
        names=[f'{i}.jpg' for i in range(count)],
        texts=['a dog'] * count,
    )
    return parts | changes


VOCABULARY = [*SPECIAL, 'dog']

# what is drawn: ordinary texts and some that are much longer
# than the others; strange ones, which need not be written


def any_text(letters):
    return st.text(letters, max_size=8) | st.builds(
        lambda text, times: text * times,
        st.text(letters, min_size=1, max_size=4),
        st.sampled_from([1, 1000, 20_000]),
    )


letters = st.characters(codec='utf-8', exclude_characters='\0')
strange_letters = letters | st.sampled_from('\0\ud800\udcff')
dtypes = st.sampled_from(['f2', 'f4', 'f8', 'i1', 'u2', 'i8', '>f4', 'U3', 'S3', 'bool'])
strange_dtypes = st.sampled_from(['c8', 'O', 'M8[s]', 'V3'])
names = st.sampled_from(['train', 'val', 'test-A', 'a_b', 'été', '猫', 'x' * 999])
strange_names = st.sampled_from(['a/b', '', '.', 'vocabulary']) | st.text(letters, max_size=5)
keys = st.sampled_from(['extra', 'm\u00e9', 'e-5'])
strange_keys = st.sampled_from(
    ['urls', 'x_captions', 'b_extra', 'a/b', '', '..', '\ud800', 'texts_', 'extra ']
) | st.text(letters, max_size=4)


@st.composite
def data_sets(draw, strange=False):
    "A vocabulary, splits and what made the features; `strange`: some of it cannot be written."

    def either(usual, other):
        return draw(other if strange and draw(st.integers(0, 3)) == 0 else usual)

    def text():
        return either(any_text(letters), any_text(strange_letters))

    splits = {}
    for _ in range(draw(st.integers(1, 2))):
        texts = [text() for _ in range(draw(st.integers(1, 12)))]
        # very compressible
        repeats = draw(st.sampled_from([1, 1, 1, 300])) if max(map(len, texts)) < 100 else 1
        count = len(texts) * repeats
        parts = split(
            count,
            texts=texts * repeats,
            names=[text() for _ in texts] if repeats == 1 else ['a'] * count,
        )
        parts['features'] = np.ones((count, 3)).astype(
            draw(st.sampled_from(['f2', 'f4', 'f8', 'i2', 'u1']))
        )
        if draw(st.booleans()):
            shape = (count, *draw(st.lists(st.sampled_from([0, 1, 3]), max_size=2)))
            parts[either(keys, strange_keys)] = np.zeros(shape, 'i1').astype(
                either(dtypes, strange_dtypes)
            )
        splits[either(names, strange_names)] = parts
    words = {text() for _ in range(draw(st.integers(0, 5)))} - {'dog', *SPECIAL}
    return (
        [*SPECIAL, 'dog', *sorted(words)],
        splits,
        either(st.text(letters, max_size=30), any_text(strange_letters)),
    )


def check_what_was_written(path, vocabulary, splits, encoder):
    for in_memory in (True, False):
        found = open_data(path, in_memory)
        assert (
            found.idx_to_word == vocabulary
            and found.encoder == encoder
            and sorted(found.splits) == sorted(splits)
        )
        for name, parts in splits.items():
            assert (
                found[f'{name}_texts'] == parts['texts'] and found[f'{name}_urls'] == parts['names']
            )
            for key in set(parts) - {'texts', 'names'}:
                wanted = parts[key]
                if wanted.dtype.kind == 'U':
                    wanted = to_bytes(wanted.ravel().tolist()).reshape(wanted.shape)
                assert np.array_equal(found[f'{name}_{key}'][:], wanted)
        found.close()
    assert info(path)['vocabulary'] == len(vocabulary)
    texts, tables = [*vocabulary], []
    for parts in splits.values():
        texts += parts['names'] + parts['texts']
        tables += [value for key, value in parts.items() if key not in ('names', 'texts')]
    size = sum(len(text.encode()) + 1 for text in texts) + sum(table.nbytes for table in tables)
    assert path.stat().st_size < PADDING * size + 2**21


@given(data=data_sets())
@some
def test_what_is_written_is_read(tmp_path, data):
    vocabulary, splits, encoder = data
    write_data(tmp_path / 'out.h5', vocabulary, splits, encoder=encoder)
    check_what_was_written(tmp_path / 'out.h5', *data)


@given(data=data_sets(strange=True))
@some
def test_what_is_strange_is_read_or_refused(tmp_path, data):
    vocabulary, splits, encoder = data
    path = tmp_path / 'out.h5'
    path.write_bytes(b'precious')
    try:
        write_data(path, vocabulary, splits, encoder=encoder)
    except InputError as e:
        assert 'out.h5' in str(e) and '\n' not in str(e) and 'could not be read again' not in str(e)
        assert path.read_bytes() == b'precious' and [p.name for p in tmp_path.iterdir()] == [
            'out.h5'
        ]
    else:
        check_what_was_written(path, *data)


@given(texts=st.lists(any_text(strange_letters), max_size=20))
@example(texts=[''])
@example(texts=['', ''])
@example(texts=['x' * 2**20, *['y'] * 50])
@example(texts=['x' * 2**21, *[''] * 50])
@some
def test_texts_are_packed(texts):
    try:
        packed = pack_texts(texts)
    except InputError as e:
        assert any(
            '\0' in text or any('\ud800' <= c <= '\udfff' for c in text) for text in texts
        ), e
        return
    assert to_texts(packed) == texts
    assert (
        packed.nbytes <= max(2**20, PADDING * sum(len(text.encode()) + 1 for text in texts))
        and pack_texts([]).size == 0
    )


@pytest.mark.parametrize(
    'parts, says',
    [
        (dict(texts=['a', 'b\0']), ['texts', 'zero byte']),
        (dict(texts=['a', 'b\ud800']), ['texts', 'half a character']),
        (dict(names=['a', 5]), ['names', 'found 5']),
        (dict(names=['a', b'b']), ['names', "found b'b'"]),
        (dict(extra=[[1], [1, 2]]), ['extra', 'rows of different lengths']),
        (dict(extra=[None, 1]), ['extra', 'dtype object']),
        (dict(urls=[1, 2]), ['train_urls would be there twice']),
        (dict(my_captions=[1, 2]), ['train_my_captions']),
        ({'a/b': [1, 2]}, ["'a/b'", 'expected a name of letters']),
    ],
)
def test_what_cannot_be_written(tmp_path, parts, says):
    with raises('out.h5', *says):
        write_data(tmp_path / 'out.h5', VOCABULARY, dict(train=split(**parts)))
    for changes in (dict(encoder='x' * 70_000), dict(encoder='\ud800'), dict(images='\0')):
        with raises('out.h5', *changes):
            write_data(tmp_path / 'out.h5', VOCABULARY, dict(train=split()), **changes)
    for words in ([*SPECIAL, 'a\0'], [*SPECIAL, 'a\ud800'], [*SPECIAL, 5]):
        with raises('out.h5: vocabulary'):
            write_data(tmp_path / 'out.h5', words, dict(train=split()))
    assert not list(tmp_path.iterdir())


def test_what_is_white_is_read(tmp_path):
    "Pictures without a line shrink to less than a reader believes."
    parts = split(2, pictures=np.full((2, 3500, 5000, 3), 255, np.uint8))
    write_data(tmp_path / 'white.h5', VOCABULARY, dict(train=parts))
    assert open_data(tmp_path / 'white.h5')['train_pictures'].min() == 255


def test_texts_without_an_end(tmp_path):
    write_data(
        tmp_path / 'out.h5',
        VOCABULARY,
        dict(train=split(1000, texts=['a dog'] * 999 + ['a dog ' * 9999])),
    )
    with h5py.File(tmp_path / 'out.h5', 'r+') as f:
        packed = f['train/texts'][()]
        assert packed.dtype == np.uint8
        for wrong, says in (
            (packed[:-1], 'its last text has no end'),
            (packed[8:], '999 texts and 1000 captions'),
            (np.where(packed == 97, 255, packed).astype('u1'), 'UTF-8'),
        ):
            del f['train/texts']
            f['train/texts'] = wrong
            f.flush()
            with raises('out.h5', says):
                open_data(tmp_path / 'out.h5')


def test_files_of_the_first_version(tmp_path):
    """Texts as arrays of fixed length, as 0.1.0 wrote
    them; and what is ordinary is written so today.
    """
    write_data(tmp_path / 'out.h5', VOCABULARY, dict(train=split()))
    with h5py.File(tmp_path / 'out.h5', 'r+') as f:
        assert {f[key].dtype.kind for key in ('vocabulary', 'train/names', 'train/texts')} == {'S'}
        for key, value in (
            ('vocabulary', VOCABULARY),
            ('train/names', ['0.jpg', '1.jpg']),
            ('train/texts', ['a dog', 'x' * 5000]),
        ):
            del f[key]
            f.create_dataset(key, data=np.array([text.encode() for text in value], 'S'))
    assert open_data(tmp_path / 'out.h5')['train_texts'] == ['a dog', 'x' * 5000]


def test_a_caption_of_a_hundred_thousand_letters(tmp_path):
    "It takes the place that it needs, in the file and in memory, and the rest goes on with it."
    count = 6000
    rows = [f'{i}.jpg,a dog runs past house {i % 9}' for i in range(count)] + [
        '0.jpg,' + 'a dog runs ' * 9090,
        f'0.jpg,{"x" * 100_000} runs',
    ]
    (tmp_path / 'c.csv').write_text('image,caption\n' + '\n'.join(rows), encoding='utf-8')
    with h5py.File(tmp_path / 'f.h5', 'w') as f:
        f['features'] = np.zeros((count, 2), 'f2')
        f['image_names'] = to_bytes([f'{i}.jpg' for i in range(count)])
    with pytest.warns(UserWarning, match='1 captions of more than 20 words'):
        prepare(tmp_path / 'c.csv', tmp_path / 'f.h5', tmp_path / 'out.h5', min_count=1)
    assert (tmp_path / 'out.h5').stat().st_size < 2**20
    data = open_data(tmp_path / 'out.h5')
    assert (
        max(len(text) for name in data.splits for text in data[f'{name}_texts']) == 100_005
        and max(map(len, data.idx_to_word)) < 10
    )
    train(
        tmp_path / 'out.h5',
        tmp_path / 'run',
        epochs=1,
        reward_epochs=0,
        hidden_dim=2,
        wordvec_dim=2,
        batch_size=1000,
    )
