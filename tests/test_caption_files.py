"""Captions files as people have them: numbers that lie, words with marks, broken characters,
tables from spreadsheets, splits by other names, few pictures, a vocabulary from elsewhere.
"""

import json
import re
import unicodedata
import warnings
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings, strategies as st
from rnn_captioning.data.caption_files import (
    read_captions,
    read_list,
    read_vocabulary,
    split_images,
    usual_names,
)
from rnn_captioning.data.vocabulary import LONGEST_WORD, build_vocabulary, tokenize, unspaced
from rnn_captioning.training.checkpoint import load_checkpoint
from rnn_captioning.command_line import main
from rnn_captioning.data.dataset import check_match, open_data
from rnn_captioning.data.vocabulary import SPECIAL
from rnn_captioning.errors import raises
from rnn_captioning.files.hdf5 import to_bytes
from rnn_captioning.data.prepare import prepare
from rnn_captioning.training.run import train

few = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def case(name, *values):
    return pytest.param(*values, id=name)


@pytest.fixture
def write(tmp_path):
    "Write a captions file, and read it: captions, splits, and what was warned of."

    def write(content, encoding='utf-8'):
        content = json.dumps(content) if isinstance(content, dict) else content
        path = tmp_path / 'captions'
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def reads(path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        captions, splits = read_captions(path)
    return captions, splits, [str(w.message).removeprefix(f'{path}: ') for w in said]


# numbers of images and captions


def coco(images, annotations):
    return dict(
        images=[dict(id=i, file_name=name) for i, name in images],
        annotations=[dict(id=k, image_id=i, caption=text) for k, i, text in annotations],
    )


@pytest.mark.parametrize(
    'content, says',
    [
        case(
            'a number for two files',
            coco([(5, 'a.jpg'), (5, 'b.jpg')], [(0, 5, 'a dog')]),
            ['image id 5', "'a.jpg'", "'b.jpg'"],
        ),
        case(
            'a number and its text',
            coco([(5, 'a.jpg'), ('5', 'b.jpg')], [(0, 5, 'a dog')]),
            ['image id 5', "'a.jpg'", "'b.jpg'"],
        ),
        case(
            'all numbers 0',
            coco([(0, 'a.jpg'), (0, 'b.jpg')], [(0, 0, 'a dog'), (0, 0, 'a cat')]),
            ['image id 0', 'b.jpg'],
        ),
        case(
            'a number that is none',
            coco([(None, 'a.jpg')], [(0, None, 'a dog')]),
            ["the id of image 'a.jpg' is None", 'expected a number'],
        ),
        case(
            'a fraction',
            coco([(1.5, 'a.jpg')], [(0, 1.5, 'a dog')]),
            ['is 1.5', 'expected a number'],
        ),
        case(
            'a truth',
            coco([(True, 'a.jpg')], [(0, True, 'a dog')]),
            ['is True', 'expected a number'],
        ),
        case(
            'a list', coco([([1], 'a.jpg')], [(0, [1], 'a dog')]), ['is [1]', 'expected a number']
        ),
        case(
            'an annotation without',
            coco([(1, 'a.jpg')], [(3, None, 'a dog')]),
            ['image_id of annotation 3 is None'],
        ),
        case(
            'none known',
            coco([(1, 'a.jpg')], [(0, 7, 'a dog'), (1, 8, 'a cat')]),
            ['2 annotations', '(7, 8)', 'none names another'],
        ),
        case(
            'Karpathy, a number for two files',
            dict(
                images=[
                    dict(filename=n, split='train', imgid=4, sentences=[dict(raw='a')])
                    for n in 'ab'
                ]
            ),
            ['imgid 4', "'a'", "'b'"],
        ),
        case(
            'Karpathy, a sentence of another image',
            dict(
                images=[
                    dict(filename='a', split='train', imgid=4, sentences=[dict(raw='a', imgid=5)])
                ]
            ),
            ["'a'", 'imgid is 4', 'imgid 5'],
        ),
        case(
            'Karpathy, a number that is none',
            dict(images=[dict(filename='a', split='train', imgid=[4], sentences=[dict(raw='a')])]),
            ["imgid of image 'a' is [4]"],
        ),
        case(
            'Karpathy, an image in two splits',
            dict(
                images=[
                    dict(filename='a', split=s, sentences=[dict(raw='a')])
                    for s in ('train', 'test')
                ]
            ),
            ["'a'", "'train' and 'test'"],
        ),
        case(
            'a table, an image in two splits',
            'image,caption,split\na.jpg,a dog,train\na.jpg,a cat,test\n',
            ["'a.jpg'", "'train' and 'test'"],
        ),
        case('no name', coco([(1, ' ')], [(0, 1, 'a dog')]), ["' '", 'expected that of a file']),
    ],
)
def test_numbers_that_lie(write, content, says):
    path = write(content)
    with raises('captions', *says):
        read_captions(path)


@pytest.mark.parametrize(
    'content, captions, warned',
    [
        case(
            'COCO, all 0',
            coco([(1, 'a'), (2, 'b')], [(0, 1, 'one'), (0, 1, 'two'), (0, 2, 'three')]),
            {'a': ['one', 'two'], 'b': ['three']},
            ['1 captions have the number of another'],
        ),
        case(
            'COCO, the same annotation twice',
            coco([(1, 'a')], [(3, 1, 'one'), (3, 1, 'one')]),
            {'a': ['one']},
            ['1 rows are there twice'],
        ),
        case(
            'COCO, two who say the same',
            coco([(1, 'a')], [(3, 1, 'one'), (4, 1, 'one')]),
            {'a': ['one', 'one']},
            [],
        ),
        case('COCO, numbers as text', coco([(1, 'a')], [(3, '1', 'one')]), {'a': ['one']}, []),
        case(
            'COCO, an unknown image',
            coco([(1, 'a')], [(3, 1, 'one'), (4, 9, 'two')]),
            {'a': ['one']},
            ['1 annotations name an image that the file does not list (9)'],
        ),
        case(
            'COCO, no number',
            dict(
                images=[dict(id=1, file_name='a')],
                annotations=[dict(image_id=1, caption=c) for c in ('one', 'two')],
            ),
            {'a': ['one', 'two']},
            ['1 captions have the number'],
        ),
        case(
            'tokens, a number twice',
            'a.jpg#0\tone\na.jpg#0\ttwo\n',
            {'a.jpg': ['one', 'two']},
            ['1 captions have the number'],
        ),
        case(
            'tokens, a name with #',
            'a.jpg#0\tone\na#b.jpg\ttwo\na#b.jpg#1\tthree\n',
            {'a.jpg': ['one'], 'a#b.jpg': ['two', 'three']},
            [],
        ),
        case(
            'Karpathy, a name in two folders',
            dict(
                images=[
                    dict(filename='a', filepath=f, split='train', sentences=[dict(raw=f)])
                    for f in ('x', 'y')
                ]
            ),
            {'x/a': ['x'], 'y/a': ['y']},
            [],
        ),
        case(
            'Karpathy, an entry twice',
            dict(
                images=[
                    dict(filename='a', split='train', sentences=[dict(raw=t)])
                    for t in ('one', 'two')
                ]
            ),
            {'a': ['one', 'two']},
            ['1 captions have the number'],
        ),
    ],
)
def test_captions_are_kept_apart(write, content, captions, warned):
    found, _, said = reads(write(content))
    assert found == captions
    assert len(said) == len(warned) and all(start in text for start, text in zip(warned, said)), (
        said
    )


# words


@pytest.mark.parametrize(
    'text, words',
    [
        case('Hindi', 'एक लाल वृत्त।', ['एक', 'लाल', 'वृत्त']),
        case('Bengali', 'একটি লাল বৃত্ত', ['একটি', 'লাল', 'বৃত্ত']),
        case('Tamil', 'ஒரு சிவப்பு வட்டம்', ['ஒரு', 'சிவப்பு', 'வட்டம்']),
        case('Thai, cut', 'หมา วิ่ง บน หญ้า', ['หมา', 'วิ่ง', 'บน', 'หญ้า']),
        case('Arabic', 'دَائِرَةٌ حَمْرَاءُ،', ['دَائِرَةٌ', 'حَمْرَاءُ']),
        case('Hebrew', 'עִגּוּל אָדֹם', ['עִגּוּל', 'אָדֹם']),
        case('Persian', 'می‌خواهم\u200c', ['می‌خواهم']),
        case('Sinhala', 'ශ්‍රී ලංකා', ['ශ්‍රී', 'ලංකා']),
        case('Turkish', 'İstanbul ISTANBUL I\u0307stanbul', ['istanbul'] * 3),
        case(
            'French', 'Une e\u0301toile E\u0301TOILE étoile', ['une', 'étoile', 'étoile', 'étoile']
        ),
        case(
            'Vietnamese',
            unicodedata.normalize('NFD', 'Một hình tròn đỏ'),
            ['một', 'hình', 'tròn', 'đỏ'],
        ),
        case('Korean', unicodedata.normalize('NFD', '빨간 원'), ['빨간', '원']),
        case('capital without a composed form', 'T\u0308 t\u0308', ['\u1e97', '\u1e97']),
        case('Cyrillic with a circle', 'а\u20dd б', ['а\u20dd', 'б']),
        case('keycap', '1\ufe0f\u20e3 cat', ['1', 'cat']),
        case('emoji', 'a 👩\u200d🚀 and ❤\ufe0f', ['a', 'and']),
        case('marks alone', '\u0301 \u0903', []),
        case('joiners at the ends', '\u200dcat\u200d', ['cat']),
        case(
            'English',
            'A "red" blue-ish don\'t, café_au_lait №5 x²',
            ['a', 'red', 'blue', 'ish', 'don', 't', 'café', 'au', 'lait', '5', 'x²'],
        ),
    ],
)
def test_words_keep_their_marks(text, words):
    words = [unicodedata.normalize('NFC', word) for word in words]
    assert tokenize(text) == words
    for form in ('NFC', 'NFD'):
        assert tokenize(unicodedata.normalize(form, text)) == words


letters = st.text(st.characters(codec=None), max_size=40)


def bare(text):
    "Its letters and digits, without the marks of the composed ones."
    return [c for c in unicodedata.normalize('NFD', text) if c.isalnum()]


@given(text=letters)
@example(text='I\ufe0f\u0307 \u1fbc\u0301 ΑΣ \u03a3\u0301')
@few
def test_words_of_words_are_words(text):
    words = tokenize(text)
    assert tokenize(' '.join(words)) == words
    for word in words:
        assert word == unicodedata.normalize('NFC', word) and not re.search(r'[\s_]', word)
        assert word[0].isalnum() and all(
            c.isalnum() or unicodedata.category(c)[0] == 'M' or c in '\u200c\u200d' for c in word
        )
    shown = unicodedata.normalize(
        'NFC', re.sub('[\ufe00-\ufe0f\u20e3\U000e0100-\U000e01ef]', '', text)
    )
    assert bare(shown.replace('İ', 'i').lower()) == bare(''.join(words)), 'no letter is lost'


@given(text=st.text(st.characters(max_codepoint=127), max_size=80))
@few
def test_english_is_cut_as_ever(text):
    assert tokenize(text) == re.findall(r'[^\W_]+', text.lower())


@pytest.mark.parametrize(
    'text',
    ['x' * 200_000, 'é' * 200_000, 'e' + '\u0301' * 200_000, 'e\u200d' * 100_000, 'é ' * 100_000],
    ids=lambda text: text[:2],
)
def test_long_texts_take_no_longer_than_long(text):
    assert len(''.join(tokenize(text))) >= 100_000


@pytest.mark.parametrize(
    'script, text, cut',
    [
        ('Chinese or Japanese', '一只狗在草地上跑。', '一 只 狗 在 草地 上 跑 。'),
        ('Chinese or Japanese', '犬が芝生の上を走っている', '犬 が 芝生 の 上 を 走っ て いる'),
        ('Thai', 'หมาวิ่งบนหญ้า', 'หมา วิ่ง บน หญ้า'),
        ('Lao', 'ໝາແລ່ນເທິງຫຍ້າ', 'ໝາ ແລ່ນ ເທິງ ຫຍ້າ'),
        ('Khmer', 'ឆ្កែរត់នៅលើស្មៅ', 'ឆ្កែ រត់ នៅ លើ ស្មៅ'),
        ('Burmese', 'ခွေးတစ်ကောင်မြက်ပေါ်တွင်ပြေးနေသည်', 'ခွေး တစ်ကောင် မြက် ပေါ်တွင် ပြေး နေ သည်'),
    ],
)
def test_scripts_without_spaces(write, script, text, cut):
    assert set(unspaced([text, 'a dog'])) == {script} and not unspaced([cut, 'a dog'])
    _, _, said = reads(write(f'image,caption\na.jpg,{text}\nb.jpg,{text}\n'))
    assert len(said) == 1 and all(
        part in said[0]
        for part in ('2 captions', script, 'separate the words by spaces', 'segmenter')
    )
    assert not reads(write(f'image,caption\na.jpg,{cut}\n'))[2]


def test_words_of_extreme_length_get_no_id():
    assert build_vocabulary(['a' * LONGEST_WORD + ' ' + 'b' * (LONGEST_WORD + 1)], 1) == [
        *SPECIAL,
        'a' * LONGEST_WORD,
    ]


# text that cannot be encoded


def test_half_characters(write, tmp_path):
    found, _, said = reads(
        write(
            r'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"id": 1, '
            r'"image_id": 1, "caption": "a \ud800 dog\u0000"},'
            r'{"id": 2, "image_id": 1, "caption": "a \ud83d\ude00 cat"}]}'
        )
    )
    assert (
        found == {'a.jpg': ['a \ufffd dog', 'a 😀 cat']}
        and len(said) == 1
        and '1 captions hold half a character' in said[0]
    )
    for name, spelt in ((r'a\ud800.jpg', r'a\ud800.jpg'), (r'a\u0000.jpg', 'a')):
        path = write(
            r'{"images": [{"id": 1, "file_name": "NAME"}], "annotations": [{"id": 1, '
            r'"image_id": 1, "caption": "dog"}]}'.replace('NAME', name)
        )
        with raises('captions', spelt, 'no file has such a name'):
            read_captions(path)
    path = write(
        '{"images": [{"filename": "a.jpg", "split": "x\\ud800", "sentences": [{"raw": "dog"}]}]}'
    )
    with raises('captions', 'split', 'expected a name of letters'):
        read_captions(path)


# tables

ROWS = {'a.jpg': ['A dog, a big one'], 'b.jpg': ['A "cat"']}


@pytest.mark.parametrize(
    'content, encoding',
    [
        case('commas', 'image,caption\na.jpg,"A dog, a big one"\nb.jpg,"A ""cat"""\n', 'utf-8'),
        case(
            'empty cells and rows',
            'image,caption,,\na.jpg,"A dog, a big one",,\nb.jpg,"A ""cat""",,\n,,,\n,,,\n',
            'utf-8',
        ),
        case(
            'empty rows behind two columns',
            'image,caption\na.jpg,"A dog, a big one"\n,\nb.jpg,"A ""cat""",,\n , \n',
            'utf-8',
        ),
        case(
            'semicolons', 'image;caption\na.jpg;A dog, a big one\nb.jpg;"A ""cat"""\n', 'utf-8-sig'
        ),
        case('tabs', 'image\tcaption\na.jpg\tA dog, a big one\nb.jpg\t"A ""cat"""\n', 'utf-8'),
        case('bars', 'image|caption\na.jpg| A dog, a big one\nb.jpg| A "cat"\n', 'utf-8'),
        case(
            'Unicode text of Excel',
            'image\tcaption\r\na.jpg\t"A dog, a big one"\r\nb.jpg\t"A ""cat"""\r\n',
            'utf-16',
        ),
        case(
            'UTF-16 the other way',
            '\ufeffimage,caption\na.jpg,"A dog, a big one"\nb.jpg,"A ""cat"""\n',
            'utf-16-be',
        ),
        case(
            'carriage returns',
            'image,caption\ra.jpg,"A dog, a big one"\rb.jpg,"A ""cat"""\r',
            'utf-8',
        ),
        case(
            'spaces in a quoted head',
            ' "image" , "caption" \na.jpg,"A dog, a big one"\nb.jpg,"A ""cat"""\n',
            'utf-8',
        ),
        case('capitals', 'Image,Caption\na.jpg,"A dog, a big one"\nb.jpg,"A ""cat"""\n', 'utf-8'),
        case(
            'columns in another order',
            'id,caption,source,file_name\n1,"A dog, a big one",web,a.jpg\n2,"A ""cat""",,b.jpg\n',
            'utf-8',
        ),
        case(
            'Flickr30k',
            'image_name| comment_number| comment\na.jpg| 0| A dog, a big one\nb.jpg| 0| A "cat"\n',
            'utf-8',
        ),
    ],
)
def test_tables_as_people_save_them(write, content, encoding):
    found, splits, said = reads(write(content, encoding))
    assert found == ROWS and not splits and not said


@pytest.mark.parametrize(
    'row',
    [
        '2199200615.jpg| 4   A dog runs across the grass .',
        '2199200615.jpg   4   A dog runs across the grass .',
    ],
)
def test_the_row_of_flickr30k(write, row):
    found, _, said = reads(
        write(f'image_name| comment_number| comment\n2199200615.jpg| 3| A dog .\n{row}\n')
    )
    assert found == {'2199200615.jpg': ['A dog .', 'A dog runs across the grass .']} and said == [
        '1 rows lack a bar, and are read as if it was there'
    ]


@pytest.mark.parametrize(
    'content, says',
    [
        case(
            'a caption in half',
            'image_name| comment_number| comment\na.jpg| 0\n',
            ['line 2', 'three fields', 'image_name|comment_number|comment'],
        ),
        case(
            'a column twice', 'image,caption,caption\na,b,c\n', ['line 1', 'column caption 2 times']
        ),
        case('two separators', 'image;caption,split\na;b,c\n', ['line 1', 'one separator']),
        case(
            'too many',
            'image;caption\na.jpg;a dog;a cat\n',
            ['line 2', 'two fields', 'image;caption', 'semicolons'],
        ),
        case(
            'Windows',
            'image,caption\na.jpg,un café noir\n'.encode('cp1252'),
            ['byte 26 (0xe9, line 2) is not UTF-8', 'café', 'Windows-1252', 'CSV UTF-8'],
        ),
        case(
            'Korean Windows',
            'image,caption\na.jpg,빨간 원\n'.encode('cp949'),
            ['byte 20', 'line 2) is not UTF-8: expected', 'CSV UTF-8'],
        ),
        case('behind a mark', b'\xef\xbb\xbfa.jpg#0\t\xff', ['byte 11 (0xff, line 1)']),
    ],
)
def test_tables_that_are_none(write, content, says):
    path = write(content)
    with raises('captions', *says):
        read_captions(path)


def test_lists_are_read_as_captions_are(tmp_path):
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
        (tmp_path / 'list').write_text('a.jpg\r\nb.jpg\r\n', encoding=encoding, newline='')
        assert read_list(tmp_path / 'list') == ['a.jpg', 'b.jpg']
    (tmp_path / 'list').write_bytes('é.jpg'.encode('latin1'))
    with raises('byte 0', 'not UTF-8', 'a list of image names'):
        read_list(tmp_path / 'list')


# splits


@pytest.mark.parametrize(
    'given, becomes',
    [
        (['train', 'dev', 'test'], ['train', 'val', 'test']),
        (['Train', 'VALIDATION', 'Testing'], ['train', 'val', 'test']),
        (['training', 'valid'], ['train', 'val']),
        (['train', 'val', 'dev'], ['train', 'val', 'dev']),
        (['train', 'minival'], ['train', 'minival']),
    ],
)
def test_usual_names(given, becomes):
    assert list(usual_names(given).values()) == becomes


def test_names_that_no_split_can_have():
    for name in ('a/b', '', '.', 'vocabulary', '\ud800', None):
        with raises('expected a name of letters'):
            usual_names(['train', name])
    with raises('dev and valid', 'both be val'):
        usual_names(['dev', 'valid'])


@pytest.mark.parametrize('name', ['dev', 'validation', 'valid', 'Val'])
def test_validation_is_found(write, tmp_path, name):
    table = 'image,caption,split\n' + ''.join(
        f'{i}.jpg,a dog,{"train" if i else name}\n' for i in range(5)
    )
    images = [dict(id=i, file_name=f'{i}.jpg', split='train' if i else name) for i in range(5)]
    as_coco = dict(
        images=images, annotations=[dict(id=i, image_id=i, caption='a dog') for i in range(5)]
    )
    karpathy = dict(
        images=[
            dict(filename=image['file_name'], split=image['split'], sentences=[dict(raw='a dog')])
            for image in images
        ]
    )
    for content in (table, as_coco, karpathy):
        _, splits, _ = reads(write(content))
        assert splits == {f'{i}.jpg': 'train' if i else 'val' for i in range(5)}


@given(
    count=st.integers(1, 40),
    shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
@few
def test_each_split_gets_a_picture(count, shares, seed):
    images = [f'{i}' for i in range(count)]
    fractions = {f's{i}': share / sum(shares) for i, share in enumerate(shares)}
    if count < len(shares):
        with raises(f'{count} images', f'at least {len(shares)}'):
            split_images(images, fractions=fractions, seed=seed)
        return
    groups = split_images(images, fractions=fractions, seed=seed)
    assert (
        list(groups) == list(fractions)
        and all(groups.values())
        and sorted(sum(groups.values(), [])) == sorted(images)
    )


def test_shares():
    images = [f'{i}' for i in range(10)]
    assert {
        k: len(v) for k, v in split_images(images, fractions=dict(train=0.5, val=0.1)).items()
    } == dict(train=5, val=1)
    assert [
        len(v) for v in split_images(images, fractions=dict(train=0.01, val=0.01)).values()
    ] == [1, 1]
    for wrong in (
        dict(train=0.8, val=0.3),
        dict(train=1.0, val=0.0),
        dict(train=-0.1),
        dict(train=float('nan')),
    ):
        with raises('fractions are', 'expected shares'):
            split_images(images, fractions=wrong)


# prepare


def features(path, names, width=4):
    with h5py.File(path, 'w') as f:
        f['features'] = np.eye(len(names), width, dtype='f4')
        f['image_names'] = to_bytes(names)
        f.attrs['encoder'] = 'eye'
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize('count', range(1, 12))
def test_few_photographs(tmp_path, count):
    names = [f'{i}.jpg' for i in range(count)]
    (tmp_path / 'c.csv').write_text(
        'image,caption\n' + ''.join(f'{name},a dog\n' for name in names), encoding='utf-8'
    )
    done = run(
        'prepare',
        '--captions',
        tmp_path / 'c.csv',
        '--features',
        features(tmp_path / 'f.h5', names),
        '--min-count',
        1,
        '--out',
        tmp_path / 'out.h5',
    )
    if count < 3:
        assert done.exit_code == 2 and 'expected at least 3, one for each' in done.stderr
    else:
        assert done.exit_code == 0 and open_data(tmp_path / 'out.h5').splits == [
            'test',
            'train',
            'val',
        ]


@pytest.fixture
def album(tmp_path):
    "Captions of six pictures and of one that Flickr8k lacks, features of five, and lists of these."
    names = [f'{i}.jpg' for i in range(6)]
    tokens = ''.join(f'{name}#{k}\ta dog runs {k}\n' for name in names for k in range(2))
    (tmp_path / 'tok.txt').write_text(
        tokens + ''.join(f'2258277193_586949ec62.jpg.1#{k}\ta man\n' for k in range(5)),
        encoding='utf-8',
    )
    features(tmp_path / 'f.h5', names[:5])
    (tmp_path / 'train.txt').write_text('\n'.join(names[:3]), encoding='utf-8')
    (tmp_path / 'dev.txt').write_text('\n'.join(names[3:5]), encoding='utf-8')
    return tmp_path


def test_strict_is_about_the_lists(album):
    command = [
        'prepare',
        '--captions',
        album / 'tok.txt',
        '--features',
        album / 'f.h5',
        '--min-count',
        1,
        '--strict',
        '--out',
        album / 'out.h5',
    ]
    lists = ['--split', f'train={album / "train.txt"}', '--split', f'dev={album / "dev.txt"}']
    done = run(*command, *lists)
    assert (
        done.exit_code == 0
        and '5 rows are about 2258277193_586949ec62.jpg.1' in done.stderr
        and 'not in' not in done.stderr
    )
    assert open_data(album / 'out.h5').splits == ['train', 'val']
    done = run(*command)
    assert (
        done.exit_code == 2
        and '1 images' in done.stderr
        and '5.jpg' in done.stderr
        and '2258277193' not in done.stderr.splitlines()[-1]
    )
    (album / 'dev.txt').write_text('4.jpg\n5.jpg', encoding='utf-8')
    done = run(*command, *lists)
    assert done.exit_code == 2 and '1 images' in done.stderr and '5.jpg' in done.stderr
    (album / 'dev.txt').write_text('4.jpg\nnowhere.jpg', encoding='utf-8')
    done = run(*command, *lists)
    assert (
        done.exit_code == 2
        and '1 images of the lists have no captions' in done.stderr
        and 'nowhere.jpg' in done.stderr
    )


def test_what_no_list_asks_for_is_not_encoded(album, monkeypatch):
    encoder = pytest.importorskip('rnn_captioning.photos.encoder')
    module = pytest.importorskip('rnn_captioning.data.prepare')
    asked = []
    monkeypatch.setattr(encoder, 'load_encoder', lambda which: encoder.Encoder('none', None))

    def encoded(images, names, *_):
        asked.extend(names)
        return names, dict(features=np.ones((len(names), 3))), 'none', {}

    monkeypatch.setattr(module, '_encoded', encoded)
    with pytest.warns(UserWarning, match='5 rows'):
        prepare(
            album / 'tok.txt',
            None,
            album / 'out.h5',
            images=album,
            splits=dict(train=album / 'train.txt'),
            min_count=1,
        )
    assert asked == ['0.jpg', '1.jpg', '2.jpg']


def test_few_photographs_are_counted_before_they_are_encoded(tmp_path, monkeypatch):
    module = pytest.importorskip('rnn_captioning.data.prepare')
    monkeypatch.setattr(module, '_encoded', lambda *_: pytest.fail('it encodes'))
    (tmp_path / 'c.csv').write_text('image,caption\na.jpg,a dog\n', encoding='utf-8')
    with raises('1 images', 'at least 3'):
        prepare(tmp_path / 'c.csv', None, tmp_path / 'out.h5', images=tmp_path)


def test_a_vocabulary_from_a_captioner(album, recwarn):
    prepare(
        album / 'tok.txt',
        album / 'f.h5',
        album / 'first.h5',
        splits=dict(train=album / 'train.txt', val=album / 'dev.txt'),
        min_count=1,
    )
    train(album / 'first.h5', album / 'run', epochs=1, reward_epochs=0, hidden_dim=4, wordvec_dim=4)
    checkpoint, there = album / 'run' / 'checkpoint.h5', open_data(album / 'first.h5')
    assert (
        read_vocabulary(checkpoint)
        == read_vocabulary(album / 'first.h5')
        == list(there.idx_to_word)
    )
    (album / 'other.csv').write_text(
        'image,caption,split\n0.jpg,a zebra runs,test\n1.jpg,a dog,test\n', encoding='utf-8'
    )
    command = [
        'prepare',
        '--captions',
        album / 'other.csv',
        '--features',
        album / 'f.h5',
        '--out',
        album / 'other.h5',
    ]
    for source in (checkpoint, album / 'first.h5'):
        done = run(*command, '--vocabulary', source)
        assert done.exit_code == 0 and 'unknown 1, test 2 images' in done.stdout, done.output
        assert (
            '1 of 5 words' in done.stderr and 'zebra' in done.stderr and str(source) in done.stderr
        )
        check_match(load_checkpoint(checkpoint), open_data(album / 'other.h5'))
    assert open_data(album / 'other.h5')['test_captions'].tolist()[0][:3] == [
        1,
        there.word_to_idx['a'],
        3,
    ]
    counts = prepare(
        album / 'other.csv', album / 'f.h5', album / 'other.h5', vocabulary=list(there.idx_to_word)
    )
    assert counts['unknown'] == 1 and counts['vocabulary'] == len(there.idx_to_word)


@pytest.mark.parametrize(
    'options, says',
    [
        case('no file', ['--vocabulary', 'nowhere.h5'], ['nowhere.h5: no such file']),
        case('captions', ['--vocabulary', 'tok.txt'], ['tok.txt: is not a readable HDF5 file']),
        case('features', ['--vocabulary', 'f.h5'], ['f.h5', 'another program']),
        case('the output', ['--vocabulary', 'out.h5'], ['out.h5: is read', 'written over']),
        case(
            'and a count',
            ['--vocabulary', 'out.h5', '--min-count', '2'],
            ['--vocabulary', '--min-count', 'one or the other'],
        ),
        case(
            'another language',
            ['--vocabulary', 'korean.h5'],
            ['korean.h5', 'none of the words', 'dog'],
        ),
    ],
)
def test_a_vocabulary_that_is_none(album, monkeypatch, options, says):
    monkeypatch.chdir(album)
    (album / 'korean.csv').write_text(
        'image,caption\n' + ''.join(f'{i}.jpg,원\n' for i in range(3)), encoding='utf-8'
    )
    for name in ('korean', 'out'):
        prepare('korean.csv', 'f.h5', f'{name}.h5', min_count=1)
    done = run(
        'prepare', '--captions', 'tok.txt', '--features', 'f.h5', '--out', 'out.h5', *options
    )
    assert done.exit_code == 2 and all(part in done.stderr for part in says), done.output
    assert open_data('out.h5').idx_to_word[-1] == '원'
