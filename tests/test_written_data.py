"Whatever `write_data` writes, `open_data` reads, in a size that is in proportion; whatever it cannot write, it refuses before it touches anything."
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from rnn_captioning.command_line import info
from rnn_captioning.data import SPECIAL, open_data, write_data
from rnn_captioning.files import InputError, PADDING, pack_texts, raises, to_bytes, to_texts
from rnn_captioning.prepare import prepare
from rnn_captioning.training import train

some = settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

def split(count=2, **changes):
    "The parts of a split of `count` captions, one a picture."
    parts = dict(captions=np.tile([[1, 4, 2]], (count, 1)), image_idxs=np.arange(count), features=np.ones((count, 3), np.float32),
                 names=[f'{i}.jpg' for i in range(count)], texts=['a dog'] * count)
    return parts | changes

VOCABULARY = [*SPECIAL, 'dog']

# what is drawn: ordinary texts, strange ones, and some that are much longer than the others

letters = st.characters(codec='utf-8') | st.sampled_from('\0\ud800\udcff\n\x1b')
short = st.text(letters, max_size=8)
long = st.builds(lambda text, times: text * times, st.text(letters, min_size=1, max_size=4), st.sampled_from([1, 1000, 50_000]))
texts = st.lists(short | short | short | long, min_size=1, max_size=20)
dtypes = st.sampled_from(['f2', 'f4', 'f8', 'i1', 'u2', 'i8', '>f4', 'U3', 'S3', 'c8', 'O', 'M8[s]', 'bool'])
names = st.sampled_from(['train', 'val', 'test-A', 'a/b', '', '.', 'vocabulary', 'a_b', 'été', '猫', 'x' * 999]) | st.text(letters, max_size=5)
keys = st.sampled_from(['extra', 'urls', 'x_captions', 'b_extra', 'a/b', '', '..', 'facts', 'm\u00e9', '\ud800']) | st.text(letters, max_size=4)

@st.composite
def data_sets(draw):
    "A vocabulary, splits and texts, of which something is strange now and then."
    words = draw(st.lists(short | long, max_size=5))
    splits = {}
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        texts_of = draw(texts)
        count = len(texts_of)
        ordinary = max(map(len, texts_of)) < 100
        repeats = draw(st.sampled_from([1, 1, 1, 1000])) if ordinary else 1      # very compressible
        parts = split(count * repeats, texts=texts_of * repeats)
        parts['names'] = (draw(st.lists(short if ordinary else short | long, min_size=count, max_size=count)) * repeats)
        parts['features'] = np.ones((count * repeats, 3)).astype(draw(st.sampled_from(['f2', 'f4', 'f8', 'i2', 'u1'])))
        if draw(st.booleans()):
            shape = (count * repeats, *draw(st.lists(st.sampled_from([0, 1, 3, 50]), max_size=2)))
            parts[draw(keys)] = np.zeros(shape, 'f4').astype(draw(dtypes))
        splits[name] = parts
    return [*SPECIAL, 'dog', *words], splits, draw(short | long)

@given(data=data_sets())
@some
def test_what_is_written_is_read(tmp_path, data):
    vocabulary, splits, encoder = data
    path = tmp_path/'out.h5'
    path.write_bytes(b'precious')
    try:
        write_data(path, vocabulary, splits, encoder=encoder)
    except InputError as e:
        assert 'out.h5' in str(e) and '\n' not in str(e) and 'could not be read again' not in str(e)
        assert path.read_bytes() == b'precious' and [p.name for p in tmp_path.iterdir()] == ['out.h5']
        return
    for in_memory in (True, False):
        found = open_data(path, in_memory)
        assert found.idx_to_word == vocabulary and found.encoder == encoder and sorted(found.splits) == sorted(splits)
        for name, parts in splits.items():
            assert found[f'{name}_texts'] == parts['texts'] and found[f'{name}_urls'] == parts['names']
            for key in set(parts) - {'texts', 'names'}:
                wanted = parts[key]
                assert np.array_equal(found[f'{name}_{key}'][:], to_bytes(wanted.ravel().tolist()).reshape(wanted.shape) if wanted.dtype.kind == 'U' else wanted)
        found.close()
    assert info(path)['vocabulary'] == len(vocabulary)
    size = sum(len(text.encode()) + 1 for parts in splits.values() for key in ('names', 'texts') for text in parts[key])
    size += sum(len(word.encode()) + 1 for word in vocabulary) + sum(np.asarray(a).nbytes for parts in splits.values() for k, a in parts.items() if k not in ('names', 'texts'))
    assert path.stat().st_size < 2 * PADDING * size + 2**21

@given(texts=texts)
@example(texts=[''])
@example(texts=['', ''])
@example(texts=['x' * 2**20, *['y'] * 50])
@example(texts=['x' * 2**21, *[''] * 50])
@some
def test_texts_are_packed(texts):
    try:
        packed = pack_texts(texts)
    except InputError as e:
        assert any('\0' in text or any('\ud800' <= c <= '\udfff' for c in text) for text in texts), e
        return
    assert to_texts(packed) == texts
    assert packed.nbytes <= max(2**20, PADDING * sum(len(text.encode()) + 1 for text in texts)) and pack_texts([]).size == 0

@pytest.mark.parametrize('parts, says', [
    (dict(texts=['a', 'b\0']), ['texts', 'zero byte']), (dict(texts=['a', 'b\ud800']), ['texts', 'half a character']), (dict(names=['a', 5]), ['names', 'found 5']),
    (dict(names=['a', b'b']), ['names', "found b'b'"]), (dict(extra=[[1], [1, 2]]), ['extra', 'rows of different lengths']), (dict(extra=[None, 1]), ['extra', 'dtype object']),
    (dict(urls=[1, 2]), ['train_urls would be there twice']), (dict(my_captions=[1, 2]), ['train_my_captions']), ({'a/b': [1, 2]}, ["'a/b'", 'expected a name of letters']),
])
def test_what_cannot_be_written(tmp_path, parts, says):
    with raises('out.h5', *says):
        write_data(tmp_path/'out.h5', VOCABULARY, dict(train=split(**parts)))
    for changes in (dict(encoder='x' * 70_000), dict(encoder='\ud800'), dict(images='\0')):
        with raises('out.h5', *changes):
            write_data(tmp_path/'out.h5', VOCABULARY, dict(train=split()), **changes)
    for words in ([*SPECIAL, 'a\0'], [*SPECIAL, 'a\ud800'], [*SPECIAL, 5]):
        with raises('out.h5: vocabulary'):
            write_data(tmp_path/'out.h5', words, dict(train=split()))
    assert not list(tmp_path.iterdir())

def test_what_is_white_is_read(tmp_path):
    "Pictures without a line, and a million equal captions, shrink to less than a reader believes."
    parts = split(2, pictures=np.full((2, 4000, 6000, 3), 255, np.uint8))
    write_data(tmp_path/'white.h5', VOCABULARY, dict(train=parts))
    assert open_data(tmp_path/'white.h5')['train_pictures'].min() == 255
    count = 700_000
    parts = split(2, captions=np.tile(np.array([1, *[4] * 26, 2], np.int32), (count, 1)), image_idxs=np.zeros(count, np.int32), texts=['a dog'] * count)
    write_data(tmp_path/'equal.h5', VOCABULARY, dict(train=parts))
    assert len(open_data(tmp_path/'equal.h5')['train_captions']) == count

def test_texts_without_an_end(tmp_path):
    write_data(tmp_path/'out.h5', VOCABULARY, dict(train=split(1000, texts=['a dog'] * 999 + ['a dog ' * 9999])))
    with h5py.File(tmp_path/'out.h5', 'r+') as f:
        packed = f['train/texts'][()]
        assert packed.dtype == np.uint8
        for wrong, says in ((packed[:-1], 'its last text has no end'), (packed[8:], '998 texts'), (np.where(packed == 97, 255, packed).astype('u1'), 'UTF-8')):
            del f['train/texts']
            f['train/texts'] = wrong
            f.flush()
            with raises('out.h5', says):
                open_data(tmp_path/'out.h5')

def test_files_of_the_first_version(tmp_path):
    "Texts as arrays of fixed length, as 0.1.0 wrote them; and what is ordinary is written so today."
    write_data(tmp_path/'out.h5', VOCABULARY, dict(train=split()))
    with h5py.File(tmp_path/'out.h5', 'r+') as f:
        assert {f[key].dtype.kind for key in ('vocabulary', 'train/names', 'train/texts')} == {'S'}
        for key, value in (('vocabulary', VOCABULARY), ('train/names', ['0.jpg', '1.jpg']), ('train/texts', ['a dog', 'x' * 5000])):
            del f[key]
            f.create_dataset(key, data=np.array([text.encode() for text in value], 'S'))
    assert open_data(tmp_path/'out.h5')['train_texts'] == ['a dog', 'x' * 5000]

def test_a_caption_of_a_hundred_thousand_letters(tmp_path):
    "It takes the place that it needs, in the file and in memory, and the rest goes on with it."
    count = 3000
    rows = [f'{i}.jpg,a dog runs past house {i % 9}' for i in range(count)] + ['0.jpg,' + 'a dog runs ' * 9090, f'0.jpg,{"x" * 100_000} runs']
    (tmp_path/'c.csv').write_text('image,caption\n' + '\n'.join(rows))
    with h5py.File(tmp_path/'f.h5', 'w') as f:
        f['features'], f['image_names'] = np.zeros((count, 2), 'f2'), to_bytes([f'{i}.jpg' for i in range(count)])
    with pytest.warns(UserWarning, match='1 captions of more than 20 words'):
        prepare(tmp_path/'c.csv', tmp_path/'f.h5', tmp_path/'out.h5', min_count=1)
    assert (tmp_path/'out.h5').stat().st_size < 2**20
    data = open_data(tmp_path/'out.h5')
    assert max(len(text) for name in data.splits for text in data[f'{name}_texts']) == 100_005 and max(map(len, data.idx_to_word)) < 10
    train(tmp_path/'out.h5', tmp_path/'run', epochs=1, reward_epochs=0, hidden_dim=2, wordvec_dim=2, batch_size=1000)
