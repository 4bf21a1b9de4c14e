"""Scores come out whatever Java does, say what they compare with, and judge anybody's captions."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import rnn_captioning.training.java as java
from rnn_captioning.training import metrics
from rnn_captioning.training.results_files import (
    _Images,
    captions_for,
    ids_for,
    image_ids,
    read_results,
)
from rnn_captioning.training.checkpoint import save_checkpoint
from rnn_captioning.command_line import main
from rnn_captioning.data.dataset import Dataset, check_match, open_data, write_data
from rnn_captioning.errors import InputError, raises
from rnn_captioning.training.java import Meteor, _Program, ptb_tokens
from rnn_captioning.model import CaptioningRNN
from rnn_captioning.data.scenes import make_scenes

pytest.importorskip('pycocoevalcap')
posix = pytest.mark.skipif(os.name != 'posix', reason='the stand-ins for Java are shell scripts')
with_java = pytest.mark.skipif(not shutil.which('java'), reason='needs Java')

CAPTIONS = ['a red circle above a blue square', 'two stars', 'a dog']
REFERENCES = [
    ['A red circle.', 'a small red circle above a blue square'],
    ['There are two green stars!', 'stars'],
    ['a dog runs', 'the café at 1 1/2 street'],
]


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name='rnn-captioning')


def works(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done


def fails(*arguments, says):
    done = run(*arguments)
    assert done.exit_code == 2 and not done.stdout, done.output
    last = done.stderr.splitlines()[-1]
    assert last.startswith('error: ') and all(part in last for part in says), last
    return last


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    "A data set of scenes, and a checkpoint of a captioner that has learnt nothing."
    folder = tmp_path_factory.mktemp('tiny')
    make_scenes(folder / 'data.h5', train=6, val=3, test=4)
    data = open_data(folder / 'data.h5')
    model = CaptioningRNN(data.word_to_idx, 33, 8, 8, rng=np.random.default_rng(0))
    save_checkpoint(folder / 'checkpoint.h5', model, encoder=data.encoder)
    return folder


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    "Put a shell script called java first on the PATH."

    def put(script):
        place = tmp_path / 'bin' / 'java'
        place.parent.mkdir(exist_ok=True)
        place.write_text(f'#!/bin/sh\n{script}\n', encoding='utf-8')
        place.chmod(0o755)
        monkeypatch.setenv('PATH', f'{place.parent}{os.pathsep}{os.environ["PATH"]}')
        return place

    return put


VERSION = 'case "$*" in *-version*) exit 0;; esac\n'
EVAL = 'while read x y; do [ $x = EVAL ] && for i in 1 2 3 4; do echo {}; done || echo 1; done'
STUB = 'echo "The operation could not be completed. Unable to locate a Java Runtime." >&2; exit 1'
BROKEN = {
    'a stub': (STUB, 'Unable to locate a Java Runtime'),
    'hangs': ('sleep 600', 'did not end within'),
    'floods its trial': ('yes', 'did not end within'),
    'no interpreter': (None, 'cannot be started'),
    'ends after the trial': (VERSION + 'echo "no memory" >&2; exit 3', 'no memory'),
    'hangs after the trial': (VERSION + 'sleep 600', 'gave no answer for'),
    'a decimal comma': (VERSION + EVAL.format('0,427'), 'expected a number'),
    'words': (VERSION + EVAL.format('no such metric'), 'expected a number'),
    'too many lines': (VERSION + 'yes 0.5', 'gave more than'),
    'one endless line': (VERSION + 'tr "\\0" a < /dev/zero', 'gave more than'),
}


@posix
@pytest.mark.parametrize('script, why', BROKEN.values(), ids=list(BROKEN))
def test_a_java_that_does_not_work_costs_meteor_alone(stand_in, monkeypatch, script, why):
    place = stand_in(script or '')
    if script is None:
        place.write_text('#!/no/such/program\n', encoding='utf-8')
    monkeypatch.setattr(java, '_TRIAL', 0.5)
    monkeypatch.setattr(java, '_SILENCE', 0.5)
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        total, each = metrics.image_scores(CAPTIONS, REFERENCES)
    assert time.monotonic() - start < 30
    said = [str(w.message) for w in seen if 'METEOR' in str(w.message)]
    assert len(said) == 1 and said[0].startswith('METEOR is left out: ') and why in said[0]
    assert set(total) == set(each) == {'Bleu_1', 'Bleu_2', 'Bleu_3', 'Bleu_4', 'ROUGE_L', 'CIDEr'}
    assert total == metrics.score_captions(CAPTIONS, REFERENCES, meteor=False)
    with pytest.raises(InputError, match=re.escape(why)):
        metrics.score_captions(CAPTIONS, REFERENCES, meteor=True)


def test_without_java(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    with pytest.warns(UserWarning, match='METEOR is left out: there is no Java') as seen:
        assert 'METEOR' not in metrics.score_captions(CAPTIONS, REFERENCES)
    assert len(seen) == 1
    with raises('there is no Java'):
        metrics.score_captions(CAPTIONS, REFERENCES, tokenizer='ptb')


@posix
def test_the_command_gives_the_other_scores_and_one_warning(tiny, stand_in):
    stand_in(STUB)
    done = works('evaluate', tiny / 'checkpoint.h5', tiny / 'data.h5', '--json')
    scores = json.loads(done.stdout)
    assert 'METEOR' not in scores and scores['CIDEr'] >= 0
    assert done.stderr.count('warning: METEOR is left out') == 1 == done.stderr.count('METEOR')


def alive(pid):
    "Whether a process is there, and is more than a record of one that has ended."
    try:
        os.kill(pid, 0)
        status = Path(f'/proc/{pid}/stat')
        return (
            not status.exists()
            or status.read_text(encoding='utf-8').rpartition(')')[2].split()[0] != 'Z'
        )
    except ProcessLookupError:
        return False


def within(seconds, condition):
    stop = time.monotonic() + seconds
    while time.monotonic() < stop and not condition():
        time.sleep(0.05)
    return condition()


@posix
@pytest.mark.parametrize('sent', ['SIGINT', 'SIGTERM', 'SIGKILL'])
def test_java_ends_with_the_command(tiny, stand_in, tmp_path, sent):
    "The stand-in ends, as Java does, when its input does; Ctrl-C ends even one that does not."
    wait = 'sleep 600' if sent == 'SIGINT' else 'while read x; do :; done'
    stand_in(f'{VERSION}echo $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid\n{wait}')
    command = [
        sys.executable,
        '-m',
        'rnn_captioning',
        'evaluate',
        tiny / 'checkpoint.h5',
        tiny / 'data.h5',
    ]
    python = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        assert within(120, (tmp_path / 'pid').exists)
        pid = int((tmp_path / 'pid').read_text(encoding='utf-8'))
        time.sleep(0.5)
        assert alive(pid)
        python.send_signal(getattr(signal, sent))
        python.communicate(timeout=60)
        assert within(20, lambda: not alive(pid))
    finally:
        python.kill()
        python.communicate()


def python(text):
    return [sys.executable, '-c', text]


def test_a_program_ends_whatever_happens_in_the_block():
    with (
        pytest.raises(KeyboardInterrupt),
        _Program(python('import time; time.sleep(600)')) as program,
    ):
        raise KeyboardInterrupt
    assert program.process.returncode is not None
    assert program.process.stdin.closed and program.process.stdout.closed


def test_more_than_a_pipe_holds_in_both_directions():
    echo = 'import sys\nfor line in sys.stdin: print(line * 3, end="", flush=True)'
    lines = [f'{i} ' + 'x' * 2000 for i in range(1500)]
    with _Program(python(echo)) as program:
        answer = program.ask(lines, 3 * len(lines), last=True)
    assert answer[::3] == answer[2::3] == lines


# with Java

ADVERSE = 'JAVA_TOOL_OPTIONS', '_JAVA_OPTIONS', 'JDK_JAVA_OPTIONS'


@pytest.fixture
def german(tmp_path, monkeypatch):
    "A locale with a decimal comma, by every way in which Java may hear of one."
    made = tmp_path / 'locales'
    made.mkdir()
    if shutil.which('localedef'):
        target = made / 'de_DE.UTF-8'
        subprocess.run(['localedef', '-i', 'de_DE', '-f', 'UTF-8', target], capture_output=True)
        if target.exists():
            monkeypatch.setenv('LOCPATH', str(made))
    for name in ('LC_ALL', 'LANG'):
        monkeypatch.setenv(name, 'de_DE.UTF-8')
    for name in ADVERSE:
        monkeypatch.setenv(name, '-Duser.language=de -Duser.country=DE')


@posix
@with_java
def test_meteor_to_the_last_digit_in_a_small_place_with_a_decimal_comma(german, stand_in):
    "The same as pycocoevalcap's own class, though that has all the memory and speaks English."
    real = shutil.which('java')
    tokens = [' '.join(re.findall(r'\w+', text.lower())) for text in CAPTIONS]
    found = {i: [text] for i, text in enumerate(tokens)}
    true = {
        i: [re.sub('[.!/]', ' ', text.lower()) for text in group]
        for i, group in enumerate(REFERENCES)
    }
    true[3], found[3] = ['a b', 'b c'], ['']
    theirs = subprocess.run(
        python(
            'import ast, sys\nfrom pycocoevalcap.meteor.meteor import Meteor\n'
            'print(Meteor().compute_score(*ast.literal_eval(sys.argv[1])))'
        )
        + [repr((true, found))],
        env={name: value for name, value in os.environ.items() if name not in (*ADVERSE, 'LANG')}
        | {'LC_ALL': 'C.UTF-8'},
        capture_output=True,
        text=True,
        encoding='utf-8',
        timeout=500,
    )
    stand_in(f'ulimit -v 1500000; exec {real} "$@"')
    ours = Meteor().compute_score(true, found)
    assert repr(ours) == theirs.stdout.strip(), theirs.stderr
    assert 0 < ours[0] < 1 and len(ours[1]) == 4 and ours[1][3] == 0


@posix
@with_java
def test_too_little_memory_for_any_java(stand_in):
    stand_in(f'ulimit -v 200000; exec {shutil.which("java")} "$@"')
    with pytest.warns(UserWarning, match='METEOR is left out: .* does not run') as seen:
        assert 'METEOR' not in metrics.score_captions(CAPTIONS, REFERENCES)
    assert len(seen) == 1


@with_java
def test_ptb_as_pycocoevalcap_cuts(monkeypatch):
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    texts = [
        "A man isn't (really) running; look!",
        'Café, 1 1/2 "times"...',
        '!!!',
        '<UNK> of a view',
        'last',
    ]
    theirs = PTBTokenizer().tokenize({i: [dict(caption=text)] for i, text in enumerate(texts)})
    assert ptb_tokens(texts) == [theirs[i][0] for i in range(len(texts))]
    assert ptb_tokens(['two\nlines\u2028and\x85more', 'next']) == ['two lines and more', 'next']
    assert ptb_tokens(texts)[0] == "a man is n't -lrb- really -rrb- running look"


@with_java
def test_scores_on_ptb_tokens():
    kept = metrics.score_captions(
        ["a man isn't here"], [["A man isn't here."]], tokenizer='ptb', meteor=False
    )
    cut = metrics.score_captions(
        ["a man is n't here"], [["A man isn't here."]], tokenizer='ptb', meteor=False
    )
    assert kept == cut and kept['Bleu_4'] > 0.99


# first what is needed, then the work


@pytest.fixture
def no_work(monkeypatch):
    def refuse(model, features, **_):
        assert not len(features), 'captions are written before it is known that they can be scored'
        return []

    monkeypatch.setattr(metrics, 'decode', refuse)


@pytest.fixture
def no_scorers(monkeypatch):
    for name in ('pycocoevalcap', *(f'pycocoevalcap.{n}.{n}' for n in ('bleu', 'cider', 'rouge'))):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_the_package_it_says_so_first(tiny, no_work, no_scorers):
    with raises('pip install "rnn_captioning[eval]"'):
        model = CaptioningRNN(open_data(tiny / 'data.h5').word_to_idx, 33, 8, 8)
        metrics.evaluate(model, open_data(tiny / 'data.h5'))
    fails(
        'evaluate',
        tiny / 'checkpoint.h5',
        tiny / 'data.h5',
        says=['pip install "rnn_captioning[eval]"'],
    )


@pytest.mark.parametrize(
    'options, says',
    [
        (['--split=nope'], ["no split 'nope'"]),
        (['--results={tmp}'], ['a folder']),
        (['--results={tmp}/x/y.json'], ['no files can be written']),
        (
            ['--results={tmp}/a.json', '--per-image={tmp}/./a.json'],
            ['--per-image and --results name the same file'],
        ),
        (['--annotations={tmp}/none.json'], ['none.json: no such file']),
        (
            ['--annotations={tmp}/ids.json', '--results={tmp}/r.json'],
            ['3 of 3 images have no id', 'val-0000'],
        ),
        (['--tokenizer=words'], ["'--tokenizer'", "'words'"]),
    ],
)
def test_what_is_wrong_is_said_before_the_work(tiny, tmp_path, no_work, options, says):
    (tmp_path / 'x').write_text('a file', encoding='utf-8')
    (tmp_path / 'ids.json').write_text(
        '{"images": [{"id": 1, "file_name": "1.jpg"}]}', encoding='utf-8'
    )
    options = [option.format(tmp=tmp_path) for option in options]
    fails('evaluate', tiny / 'checkpoint.h5', tiny / 'data.h5', *options, says=says)


def test_ptb_without_java_is_said_before_the_work(tiny, no_work, monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    fails(
        'evaluate',
        tiny / 'checkpoint.h5',
        tiny / 'data.h5',
        '--tokenizer=ptb',
        says=['there is no Java'],
    )


# what captions are compared with


@pytest.fixture
def no_meteor(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)


@pytest.fixture
def course_folder(tmp_path):
    "The course's folder in small: captions of up to five words, one of which is unknown."
    words = ['<NULL>', '<START>', '<END>', '<UNK>', 'a', 'dog', 'cat']
    rows = np.array([[1, 4, 3, 5, 4, 6, 2], [1, 4, 6, 2, 0, 0, 0]], np.int32)
    with h5py.File(tmp_path / 'coco2014_captions.h5', 'w') as f:
        for split in ('train', 'val'):
            f[f'{split}_captions'], f[f'{split}_image_idxs'] = rows, np.arange(2)
    for split in ('train', 'val'):
        with h5py.File(tmp_path / f'{split}2014_vgg16_fc7_pca.h5', 'w') as f:
            f['features'] = np.eye(2, 4, dtype='f4')
        urls = [f'http://photos.org/{split}{i}_z.jpg' for i in range(2)]
        (tmp_path / f'{split}2014_urls.txt').write_text('\n'.join(urls), encoding='utf-8')
    vocabulary = dict(idx_to_word=words, word_to_idx={w: i for i, w in enumerate(words)})
    (tmp_path / 'coco2014_vocab.json').write_text(json.dumps(vocabulary), encoding='utf-8')
    return tmp_path


def test_decoded_references_say_so(course_folder, no_meteor):
    data = open_data(course_folder)
    model = CaptioningRNN(data.word_to_idx, 4, 8, 8, rng=np.random.default_rng(0))
    save_checkpoint(course_folder / 'checkpoint.h5', model)
    arguments = 'evaluate', course_folder / 'checkpoint.h5', course_folder
    done = works(*arguments, '--json')
    assert json.loads(done.stdout)['references'] == 'decoded ids, cut at 5 words, with <UNK>'
    assert (
        done.stderr.count('warning: ' + str(course_folder)) == 1
        and '14.3% of the words' in done.stderr
    )
    assert 'references      decoded ids, cut at 5 words, with <UNK>\n' in works(*arguments).stdout


def test_the_course_folder_against_texts(course_folder, no_meteor):
    "Its images are known by their addresses, which the annotations have beside the ids."
    data = open_data(course_folder)
    model = CaptioningRNN(data.word_to_idx, 4, 8, 8, rng=np.random.default_rng(0))
    save_checkpoint(course_folder / 'checkpoint.h5', model)
    images = [
        {'id': 70 + i, 'file_name': f'COCO_val2014_{70 + i:012d}.jpg', 'flickr_url': url}
        for i, url in enumerate(data['val_urls'].tolist())
    ]
    said = [{'image_id': 70 + i, 'id': i, 'caption': 'A dog.'} for i in range(2)]
    (course_folder / 'a.json').write_text(
        json.dumps(dict(images=images, annotations=said)), encoding='utf-8'
    )
    works(
        'evaluate',
        course_folder / 'checkpoint.h5',
        course_folder,
        '--results',
        course_folder / 'r.json',
        '--annotations',
        course_folder / 'a.json',
    )
    done = works('evaluate', course_folder / 'r.json', course_folder / 'a.json', '--json')
    assert (
        json.loads(done.stdout)['references'] == 'texts as written' and 'decoded' not in done.stderr
    )
    assert set(read_results(course_folder / 'r.json')) == {70, 71}


def test_texts_as_written_say_so(tiny, no_meteor):
    done = works('evaluate', tiny / 'checkpoint.h5', tiny / 'data.h5')
    assert 'references      texts as written\n' in done.stdout and 'decoded' not in done.stderr
    assert 'tokenizer       lowercase alphanumeric\n' in done.stdout


def other_vocabulary(source, target):
    "The same data set, prepared elsewhere: with another vocabulary."
    data = open_data(source)
    words = list(data['idx_to_word'])
    renamed = [*words[:4], 'zebra', *words[4:]]
    splits = {}
    for split in data.splits:
        keys = [key for key in data if key.startswith(f'{split}_')]
        splits[split] = {key[len(split) + 1 :].replace('urls', 'names'): data[key] for key in keys}
        ids = np.asarray(splits[split]['captions'])
        splits[split]['captions'] = ids + (ids > 3)
    write_data(target, renamed, splits, data.encoder)
    return target


def test_texts_are_scored_whatever_the_vocabulary(tiny, tmp_path, no_meteor):
    other = other_vocabulary(tiny / 'data.h5', tmp_path / 'other.h5')
    same = json.loads(works('evaluate', tiny / 'checkpoint.h5', tiny / 'data.h5', '--json').stdout)
    scores = json.loads(works('evaluate', tiny / 'checkpoint.h5', other, '--json').stdout)
    assert scores.pop('vocabulary') == (
        f'of the model, {len(open_data(other)["idx_to_word"]) - 1} words; the data set has another'
    )
    assert same.pop('novel') is not None and scores == same
    model = CaptioningRNN(open_data(tiny / 'data.h5').word_to_idx, 33, 8, 8)
    with raises('words is not the model'):
        check_match(model, open_data(other))


def test_ids_are_scored_with_their_vocabulary_alone(tiny, tmp_path, no_meteor):
    data = open_data(other_vocabulary(tiny / 'data.h5', tmp_path / 'other.h5'))
    ids = Dataset({k: v for k, v in data.items() if not k.endswith('_texts')}, 'ids')
    model = CaptioningRNN(open_data(tiny / 'data.h5').word_to_idx, 33, 8, 8)
    with warnings.catch_warnings(), raises('words is not the model'):
        warnings.simplefilter('ignore')
        metrics.evaluate(model, ids)


def test_features_must_match_all_the_same(tiny, tmp_path):
    other = other_vocabulary(tiny / 'data.h5', tmp_path / 'other.h5')
    with h5py.File(other, 'r+') as f:
        f.attrs['encoder'] = np.bytes_('guesswork')
    fails('evaluate', tiny / 'checkpoint.h5', other, says=["'guesswork'", 'the model expects'])


# captions in files


def written(path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding='utf-8')
    return path


VAL = ['val-0000', 'val-0001', 'val-0002']


def test_what_is_written_scores_the_same_when_read(tiny, tmp_path, no_meteor):
    done = works(
        'evaluate',
        tiny / 'checkpoint.h5',
        tiny / 'data.h5',
        '--json',
        '--beam-size=2',
        '--results',
        tmp_path / 'r.json',
        '--per-image',
        tmp_path / 't.csv',
    )
    first = json.loads(done.stdout)
    entries = json.loads((tmp_path / 'r.json').read_text(encoding='ascii'))
    assert [entry['image_id'] for entry in entries] == VAL and set(entries[0]) == {
        'image_id',
        'caption',
    }
    for file in ('r.json', 't.csv'):
        again = json.loads(works('evaluate', tmp_path / file, tiny / 'data.h5', '--json').stdout)
        assert again.pop('beam_size') is None
        assert again == {key: first[key] for key in again} and 'CIDEr' in again
    said = works(
        'evaluate', tmp_path / 't.csv', tiny / 'data.h5', '--per-image', tmp_path / 'again.csv'
    )
    assert 'beam_size' not in said.stdout
    tables = [(tmp_path / name).read_text(encoding='utf-8') for name in ('t.csv', 'again.csv')]
    assert tables[0] == tables[1]


COCO = {
    'images': [
        {'id': 42, 'file_name': 'COCO_val2014_000000000042.jpg'},
        {'id': 7, 'file_name': 'x.jpg'},
    ],
    'annotations': [
        {'image_id': 42, 'id': 1, 'caption': 'A red circle.'},
        {'image_id': 42, 'id': 2, 'caption': 'a circle'},
        {'image_id': 7, 'id': 3, 'caption': 'Two green stars!'},
    ],
}


def test_results_against_annotations(tmp_path, no_meteor):
    coco = written(tmp_path / 'annotations.json', COCO)
    results = written(
        tmp_path / 'results.json',
        [{'image_id': 7, 'caption': 'two stars'}, {'image_id': 42, 'caption': 'a red circle'}],
    )
    scores = json.loads(
        works('evaluate', results, coco, '--json', '--results', tmp_path / 'r.json').stdout
    )
    assert (
        scores['split'] == 'all'
        and scores['images'] == 2
        and scores['references'] == 'texts as written'
    )
    right = metrics.score_captions(
        ['a red circle', 'two stars'], [['a red circle', 'a circle'], ['two green stars']]
    )
    assert {name: scores[name] for name in right} == right
    assert json.loads((tmp_path / 'r.json').read_text(encoding='utf-8'))[0] == {
        'image_id': 42,
        'caption': 'a red circle',
    }


def test_a_split_of_a_captions_file(tmp_path, no_meteor):
    images = [
        dict(filename=f'{i}.jpg', cocoid=100 + i, split=split, sentences=[dict(raw=f'a dog {i}')])
        for i, split in enumerate(['train', 'val', 'test', 'test'])
    ]
    karpathy = written(tmp_path / 'dataset.json', dict(images=images))
    results = written(
        tmp_path / 'r.json', [{'image_id': 100 + i, 'caption': f'a dog {i}'} for i in range(4)]
    )
    done = works('evaluate', results, karpathy, '--split=test', '--json')
    assert json.loads(done.stdout)['images'] == 2 and json.loads(done.stdout)['Bleu_2'] > 0.99
    assert '2 captions are of images in other splits' in done.stderr
    fails(
        'evaluate',
        results,
        karpathy,
        '--split=dev',
        says=['dataset.json', "no split 'dev'", 'train, val, test'],
    )


def test_ids_of_a_data_set_by_annotations(tiny, tmp_path, no_meteor):
    images = [{'id': 900 - i, 'file_name': name} for i, name in enumerate(VAL)]
    annotations = written(tmp_path / 'a.json', {'images': images, 'annotations': []})
    results = written(
        tmp_path / 'r.json', [{'image_id': 900 - i, 'caption': str(i)} for i in range(3)]
    )
    works(
        'evaluate',
        results,
        tiny / 'data.h5',
        '--annotations',
        annotations,
        '--per-image',
        tmp_path / 't.csv',
    )
    with open(tmp_path / 't.csv', newline='', encoding='utf-8') as f:
        assert [(row['image'], row['caption']) for row in csv.DictReader(f)] == list(
            zip(VAL, '012')
        )
    fails(
        'evaluate',
        results,
        tiny / 'data.h5',
        says=['3 of its 3 images are not in the data set: 900', 'annotations'],
    )


def entries(*images):
    return [{'image_id': image, 'caption': 'a'} for image in images]


@pytest.mark.parametrize(
    'content, says',
    [
        (entries(*VAL[:2]), ["1 of the 3 images of split 'val' have no caption: val-0002"]),
        (entries(*VAL, 'val-0000'), ["entry 3: image 'val-0000' has a second caption"]),
        (entries(*VAL, 'x/val-0001'), ['val-0001 has two captions', "'x/val-0001'"]),
        (entries(*VAL, 'other'), ["1 of its 4 images are not in the data set: other", 'val-0000']),
        ([], ['has no captions']),
        ([{'image_id': 'val-0000'}], ['entry 0 has image_id: expected image_id and caption']),
        (
            [{'image_id': 'val-0000', 'caption': None}],
            ['entry 0: the caption is None: expected text'],
        ),
        ([{'image_id': True, 'caption': 'a'}], ['entry 0: the image is True']),
        ([{'image_id': [1], 'caption': 'a'}], ['entry 0: the image is [1]']),
        (['a caption'], ["entry 0 is 'a caption'"]),
        ({'annotations': []}, ['is a dict in JSON', 'expected a list']),
        ('[{"image_id": 1, ', ['is not whole JSON']),
        ('[' * 100_000, ['is not whole JSON']),
        ('picture;said\na;b', ["starts with 'picture;said'", 'columns image and caption']),
        ('image,caption\nval-0000', ['line 2 has 1 fields: expected 2']),
        ('image,caption\nval-0000,"a', ['line 2 cannot be read as a table']),
        (
            [{'image': 'val-0000', 'captions': [], 'error': 'val-0000: is no image'}],
            ['entry 0 has no caption: val-0000: is no image'],
        ),
    ],
)
def test_one_line_for_a_file_that_cannot_be_scored(tiny, tmp_path, no_meteor, content, says):
    path = written(tmp_path / 'results.json', content)
    fails('evaluate', path, tiny / 'data.h5', says=[str(path), *says])


def test_options_of_a_checkpoint_are_not_for_captions(tiny, tmp_path):
    path = written(tmp_path / 'r.json', entries(*VAL))
    fails(
        'evaluate',
        path,
        tiny / 'data.h5',
        '--beam-size=3',
        says=['--beam-size is for a checkpoint'],
    )
    fails('evaluate', tmp_path / 'none.json', tiny / 'data.h5', says=['none.json: no such file'])
    before = path.read_bytes()
    fails('evaluate', path, tiny / 'data.h5', '--results', path, says=['r.json: is read'])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    'text',
    [
        'image,caption\nval-0000,"a, b"\nval-0001,c\n',
        '\ufeffImage ; Caption;CIDEr\r\nval-0000;a, b;0.5\r\nval-0001;c;1\r\n;;\r\n',
        'id\timage_id\tcaption\n1\tval-0000\ta, b\n2\tval-0001\tc\n',
    ],
)
def test_tables_as_people_save_them(tmp_path, text):
    assert read_results(written(tmp_path / 't.csv', text)) == {'val-0000': 'a, b', 'val-0001': 'c'}


def test_numbers_as_pandas_writes_them(tmp_path):
    assert read_results(written(tmp_path / 'r.json', [{'image_id': 42.0, 'caption': 'a'}])) == {
        42: 'a'
    }


NAMES = [
    'val2014/COCO_val2014_000000391895.jpg',
    'cats/1.jpg',
    'dogs/1.jpg',
    'photo_12.jpg',
    '1000092795.jpg',
]


@pytest.mark.parametrize(
    'image, rows',
    [
        (391895, {0}),
        ('391895', {0}),
        ('000000391895', {0}),
        ('COCO_val2014_000000391895.jpg', {0}),
        ('COCO_val2014_000000391895', {0}),
        ('./val2014\\COCO_val2014_000000391895.jpg', {0}),
        ('/home/me/val2014/COCO_val2014_000000391895.jpg', {0}),
        ('other/COCO_val2014_000000391895.jpg', set()),
        ('cats/1.jpg', {1}),
        ('pets/cats/1.jpg', {1}),
        ('birds/1.jpg', set()),
        ('1.jpg', {1, 2}),
        ('1.png', set()),
        (12, set()),
        ('photo_12', {3}),
        (1000092795, {4}),
        ('9' * 5000, set()),
        (-1, set()),
    ],
)
def test_which_image_is_meant(image, rows):
    assert _Images(NAMES).rows(image) == rows


def test_a_name_that_fits_two_images_is_not_guessed():
    with raises("image '1.jpg' may be cats/1.jpg, dogs/1.jpg"):
        captions_for({'1.jpg': 'a'}, NAMES)


def test_names_in_other_forms_of_unicode():
    assert _Images(['caf\u00e9.jpg']).rows('cafe\u0301.jpg') == {0}


@pytest.mark.parametrize(
    'images, says',
    [
        (
            [{'id': 1, 'file_name': 'a.jpg'}, {'id': 1, 'file_name': 'b.jpg'}],
            'id 1 stands for two images',
        ),
        ([{'id': 1, 'file_name': 'a.jpg'}, {'id': 2, 'file_name': 'a.jpg'}], "'a.jpg' has two ids"),
        ([{'id': 1}], 'has no file_name'),
        ([{'file_name': 'a.jpg'}], 'the image is None'),
        ([], 'has no list of images'),
        (['a.jpg'], "image 0 is 'a.jpg'"),
    ],
)
def test_annotations_are_checked(tmp_path, images, says):
    with raises('a.json', says):
        image_ids(written(tmp_path / 'a.json', {'images': images}))


def test_ids_for_results():
    ids = {5: ['cats/1.jpg'], 6: ['dogs/1.jpg'], 8: ['elsewhere.jpg']}
    assert ids_for(['dogs/1.jpg', 'cats/1.jpg'], ids) == [6, 5]
    with raises('1.jpg: may have id 5 or 6'):
        ids_for(['1.jpg'], ids)


def test_captions_without_words_are_scored(no_meteor):
    scores = metrics.score_captions(['', 'a dog'], [['a cat'], ['a dog']])
    assert all(np.isfinite(value) for value in scores.values())


def test_a_captioner_and_a_file_have_the_same_python(tiny, no_meteor):
    data = open_data(tiny / 'data.h5')
    texts = dict(zip(VAL, data['val_texts'][::5]))
    scores, captions, each = metrics.evaluate_captions(texts, data)
    assert (
        captions == list(texts.values())
        and scores['truth'] == 1
        and set(each['CIDEr']) == {0, 1, 2}
    )
    with pytest.warns(UserWarning, match='6 captions are of images in other splits'):
        metrics.evaluate_captions(texts | {f'train-000{i}': 'a' for i in range(6)}, data)
