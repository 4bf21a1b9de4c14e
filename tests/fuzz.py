"""Damage files in thousands of ways and open them: each must give
something valid or an `InputError`, soon and in little memory.

    python tests/fuzz.py --count 10000              # of each kind
    python tests/fuzz.py --kind data --only 1234    # one case again
"""

import argparse
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ.setdefault(name, '1')
import h5py
import numpy as np
from rnn_captioning.training.checkpoint import load_checkpoint, load_run, load_solver
from rnn_captioning.data.batches import minibatch
from rnn_captioning.data.dataset import open_data
from rnn_captioning.data.vocabulary import caption_texts
from rnn_captioning.errors import InputError
from rnn_captioning.files.hdf5 import write_attributes
from rnn_captioning.data.prepare import read_captions
from rnn_captioning.data.vocabulary import build_vocabulary, encode_captions
from rnn_captioning.data.scenes import make_scenes
from rnn_captioning.solver import train_step
from rnn_captioning.training.run import train

SECONDS, MEGABYTES, BATCH = (5, 512, 250)
# of processor time a case, or twelve times that by the clock; that a
# case may fill, or a quarter of what it may ask for; cases a process
KINDS = 'data', 'checkpoint', 'captions'

# what is damaged


class _Stop(Exception):
    pass


def _stop(solver):
    raise _Stop


def originals(folder):
    "Small valid files of each kind, {kind: [path, ...]}."
    if not (
        pid := os.fork()
    ):  # threads that this process had begun would be dead in those that try the files
        try:
            _make(Path(folder))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    files = dict(
        data=['data.h5'],
        checkpoint=[f'{model}/checkpoint.h5' for model in ('rnn', 'attention', 'transformer')],
        captions=['tokens.txt', 'captions.csv', 'coco.json', 'karpathy.json'],
    )
    files = {kind: [Path(folder) / name for name in names] for kind, names in files.items()}
    missing = [path for paths in files.values() for path in paths if not path.exists()]
    if missing:
        raise RuntimeError(f'these could not be made: {missing}')
    return files


def _make(folder):
    names = [f'p{i}.jpg' for i in range(10)]
    make_scenes(folder / 'data.h5', train=6, val=2, test=2)
    for model, options in dict(
        rnn=dict(cell='gru', wordvec_dim=4),
        attention=dict(wordvec_dim=4, average=0.9),
        transformer=dict(model_options=dict(layers=1, heads=2, encoder_layers=1)),
    ).items():
        try:
            train(
                folder / 'data.h5',
                folder / model,
                model=model,
                epochs=2,
                reward_epochs=0,
                hidden_dim=4,
                batch_size=20,
                threads=1,
                callbacks=[_stop],
                **options,
            )
        except _Stop:
            pass
        if model != 'rnn':  # without it, what the checksum would find is found by the rest
            with h5py.File(folder / model / 'checkpoint.h5', 'r+') as f:
                del f.attrs['checksum']
    texts = {
        'tokens.txt': ''.join(
            f'{name}#{k}\tA dog runs past house {k} .\n' for name in names for k in range(2)
        ),
        'captions.csv': 'image,caption\n'
        + ''.join(f'{name},"A dog, a ""big"" one"\n' for name in names),
        'coco.json': json.dumps(
            dict(
                images=[dict(id=i, file_name=name) for i, name in enumerate(names)],
                annotations=[dict(id=i, image_id=i, caption='A dog.') for i in range(10)],
            )
        ),
        'karpathy.json': json.dumps(
            dict(
                images=[
                    dict(
                        filename=name,
                        split='train' if i < 8 else 'val',
                        sentences=[dict(raw='A dog.')],
                    )
                    for i, name in enumerate(names)
                ]
            )
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding='utf-8')


# how it is damaged


def one_of(rng, values):
    return values[rng.integers(len(values))]


def spoil_bytes(content, rng):
    "A few bytes changed, or a stretch lost, doubled, emptied or moved."
    content = bytearray(content)
    place, length = int(rng.integers(len(content))), int(2 ** rng.uniform(0, np.log2(len(content))))
    part = slice(place, place + length)
    how = rng.integers(9)
    if how <= 1:
        for i in rng.integers(len(content), size=rng.integers(1, 20)):
            content[i] ^= 1 << int(rng.integers(8))
    elif how == 2:
        near = np.minimum(place + rng.integers(64, size=4), len(content) - 1)
        for i in near:
            content[i] = int(rng.integers(256))
    elif how == 3:
        del content[place:]
    elif how == 4:
        del content[part]
    elif how == 5:
        content[place:place] = content[part]
    elif how == 6:
        content[part] = bytes(len(content[part]))
    elif how == 7:
        content[part] = rng.bytes(len(content[part]))
    else:  # a number of HDF5, made strange
        size = one_of(rng, [1, 2, 4, 8])
        content[place : place + size] = (
            one_of(
                rng,
                [
                    0,
                    1,
                    2 ** (8 * size) - 1,
                    2 ** (8 * size - 1),
                    2 ** (8 * size - 1) - 1,
                    2 ** (4 * size),
                ],
            )
        ).to_bytes(size, 'little')
    return bytes(content)


def strange(rng):
    "A value that nobody expects."
    return one_of(
        rng,
        [
            0,
            1,
            -1,
            3,
            2**31,
            2**63 - 1,
            -(2**63),
            0.5,
            -0.5,
            1e308,
            float('nan'),
            float('inf'),
            -float('inf'),
            '',
            'x',
            'float32',
            'relu',
            'lstm',
            '1',
            'x' * 9999,
            '\x1b[2J',
            None,
            True,
            False,
            [],
            [1, 2],
            {},
            {'a': 1},
            [[]],
            10**30,
        ],
    )


def spoil_json(text, rng):
    "JSON with one of its values replaced, removed or doubled."
    found = json.loads(text)
    places, todo = [], [found]
    while todo:
        node = todo.pop()
        if not isinstance(node, (dict, list)):
            continue
        keys = list(node) if isinstance(node, dict) else range(len(node))
        places += [(node, key) for key in keys]
        todo += [node[key] for key in keys]
    if not places:
        return json.dumps(strange(rng))
    node, key = one_of(rng, places)
    how = rng.integers(4)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, dict):
        node[one_of(rng, ['x', '', 'dtype', 'layers', 'rng', str(key) + ' '])] = strange(rng)
    else:
        node[key] = strange(rng)
    return json.dumps(found)


def spoil_text(content, rng):
    "Lines lost, doubled or swapped; the marks of a format where they do not belong."
    text = content.decode()
    if text.startswith('{') and rng.random() < 0.7:
        return spoil_json(text, rng).encode()
    lines = text.split('\n')
    for _ in range(rng.integers(1, 4)):
        i, j = rng.integers(len(lines), size=2)
        how = rng.integers(4)
        if how == 0:
            lines[i] = lines[j]
        elif how == 1:
            lines[i], lines[j] = lines[j], lines[i]
        elif how == 2:
            lines.insert(i, lines[j][: rng.integers(len(lines[j]) + 1)])
        else:
            at = rng.integers(len(lines[i]) + 1)
            lines[i] = (
                lines[i][:at]
                + one_of(
                    rng,
                    [
                        '"',
                        '\t',
                        ',',
                        '#',
                        '\r',
                        '\0',
                        '\ufeff',
                        '\u2028',
                        '\x1b',
                        'é',
                        '猫',
                        '"' * 3,
                        ' ' * 99,
                        '#0\t',
                        'x' * 140_000,
                    ],
                )
                + lines[i][at:]
            )
    return '\n'.join(lines).encode()


def _entries(f):
    found = []
    f.visititems(lambda name, item: found.append(name))
    return found


def _put(f, key, value, **options):
    del f[key]
    f.create_dataset(key, data=value, **options)


def spoil_attribute(f, rng):
    where = [f] + [f[key] for key in _entries(f) if len(f[key].attrs)]
    item = one_of(rng, where)
    names = list(item.attrs)
    if not names:
        return
    name = one_of(rng, names)
    value = item.attrs[name]
    how = rng.integers(6)
    if how == 0:
        del item.attrs[name]
    elif how <= 3 and isinstance(value, bytes) and value.startswith(b'{'):
        write_attributes(item, **{name: spoil_json(value, rng)})
    elif how == 4:
        del item.attrs[name]
        item.attrs[name + 'x'] = value
    else:
        new = strange(rng)
        try:
            if rng.random() < 0.8:
                write_attributes(item, **{name: new})
            else:
                item.attrs[name] = new  # a text of any length among them
        except (TypeError, ValueError, OverflowError, RuntimeError, OSError):
            item.attrs[name] = json.dumps(new)


def spoil_link(f, rng):
    keys = _entries(f)
    key, other = one_of(rng, keys), one_of(rng, keys)
    how = rng.integers(8)
    if how == 0:
        del f[key]
    elif how == 1:
        del f[key]
        f[key] = h5py.SoftLink(one_of(rng, ['/', '.', '/' + key, '/' + other, '/nowhere', '..']))
    elif how == 2:
        del f[key]
        f[key] = h5py.ExternalLink(
            one_of(rng, ['/etc/passwd', f.filename, 'nowhere.h5', '']) or '.', '/' + other
        )
    elif how == 3 and not key.startswith(other):
        aim = f[other]
        del f[key]
        f[key] = aim
    elif how == 4:
        f[f'{key.split("/")[0]}x'] = f[key]
    elif how == 5 and isinstance(f[key], h5py.Group):
        f[f'{key}/{one_of(rng, ["x", "captions", "m", "Wx"])}x'] = f[other]
    elif how == 6:
        f.move(key, key + one_of(rng, ['x', ' ', '/x', '\n', '\x1b']))
    else:
        del f[key]
        f.create_group(key)


def spoil_array(f, rng):
    # a change before this one may have made it huge
    keys = [
        key
        for key in _entries(f)
        if isinstance(f[key], h5py.Dataset) and f[key].size * f[key].dtype.itemsize < 2**26
    ]
    if not keys:
        return
    key = one_of(rng, keys)
    value = f[key][()]
    how = rng.integers(10)
    if how <= 2 and np.size(value):  # one of its numbers, or its bytes
        value, new = np.array(value), strange(rng)
        place = tuple(rng.integers(n) for n in value.shape)
        try:
            value[place] = new
        except (TypeError, ValueError, OverflowError):
            value[place] = b'\xff\x00\xc3' if value.dtype.kind == 'S' else 0
        _put(f, key, value)
    elif how == 3:
        _put(
            f,
            key,
            np.asarray(value).astype(
                one_of(rng, ['f2', 'f4', 'f8', '>f4', 'i1', 'i8', 'u8', 'S3', 'c8', 'S1'])
            ),
        )
    elif how == 4 and np.ndim(value):
        _put(
            f,
            key,
            one_of(
                rng,
                [
                    value[:-1],
                    value[:0],
                    value[..., None],
                    value[None],
                    value[..., :-1],
                    value[..., :0],
                    value.T,
                    value.ravel(),
                    value[:1],
                    np.concatenate([value] * 2),
                ],
            ),
        )
    elif how == 5:
        _put(
            f,
            key,
            one_of(
                rng,
                [
                    0,
                    1.5,
                    'text',
                    b'',
                    np.zeros((2, 3)),
                    np.zeros(0),
                    np.array([b'a', b'b']),
                    h5py.Empty('f4'),
                    np.full(3, np.nan),
                ],
            ),
        )
    elif how == 6:
        _put(f, key, ['any', 'length'], dtype=h5py.string_dtype())
    elif how == 7:
        shape = one_of(
            rng, [(2**40,), (2**33, 2**33), (10**6, 10**4), (0, 2**50), (2**31, 1), (1,) * 32]
        )
        del f[key]
        try:
            f.create_dataset(
                key,
                shape,
                one_of(rng, ['f4', 'u1', 'i8', 'S9']),
                chunks=tuple(min(n, 100) or 1 for n in shape) if rng.random() < 0.5 else None,
            )
        except (ValueError, OSError):
            f[key] = np.zeros(1)
    elif how == 8 and np.size(value) and np.ndim(value):
        _put(
            f, key, value, compression='gzip', chunks=value.shape, shuffle=bool(rng.random() < 0.5)
        )
        f[key].id.write_direct_chunk(
            (0,) * value.ndim,
            one_of(
                rng,
                [
                    b'',
                    b'\xff' * 99,
                    spoil_bytes(f[key].id.read_direct_chunk((0,) * value.ndim)[1], rng),
                ],
            ),
        )
    elif np.size(value) and np.ndim(value) and np.asarray(value).dtype.kind in 'fiu':
        _put(f, key, value, scaleoffset=int(rng.integers(0, 9)), chunks=value.shape)


def spoil_fields(path, rng):
    "Attributes, shapes, types, values, links and groups changed, by the library itself."
    for _ in range(rng.integers(1, 4)):
        with h5py.File(path, 'r+') as f:
            if len(f):
                one_of(rng, [spoil_attribute, spoil_link, spoil_array, spoil_array])(f, rng)


def spoil(kind, files, number, seed, folder):
    "The path of a damaged file: the same damage for the same kind, number and seed."
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    source = one_of(rng, files[kind])
    path = Path(folder) / f'spoilt{source.suffix}'
    shutil.copy(source, path)
    how = rng.random()
    if how < 0.5:
        path.write_bytes(spoil_bytes(path.read_bytes(), rng))
    elif kind == 'captions':
        path.write_bytes(spoil_text(path.read_bytes(), rng))
    else:
        try:
            with np.errstate(all='ignore'):
                spoil_fields(path, rng)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError):
            pass  # what the library does not write is as far as it comes
        if how > 0.9:
            path.write_bytes(spoil_bytes(path.read_bytes(), rng))
    return path


# what is tried


def use_data(path, files):
    data = open_data(path, in_memory=bool(len(str(path.stat().st_size)) % 2))
    try:
        for split in data.splits:
            captions, features = minibatch(
                data,
                split,
                np.arange(min(len(data[f'{split}_captions']), 4)),
                np.random.default_rng(0),
            )
            assert np.isfinite(features).all() and captions.min() >= 0
            caption_texts(captions, data.idx_to_word)
        for value in data.values():
            np.asarray(value if not isinstance(value, dict) else list(value))
    finally:
        data.close()


def use_checkpoint(path, files):
    model, data = load_checkpoint(path), open_data(files['data'][0])
    captions = model.sample(np.zeros((1, model.input_dim), np.float32), max_length=5)
    caption_texts(captions, model.idx_to_word)
    load_run(path)
    train_step(load_solver(path, model, data, verbose=False))


def use_captions(path, files):
    captions, splits = read_captions(path)
    texts = [text for group in captions.values() for text in group]
    vocabulary = build_vocabulary(texts, 1)
    ids, _ = encode_captions(texts, vocabulary)
    assert (
        texts
        and len(ids) == len(texts)
        and ids.max() < len(vocabulary)
        and set(splits) <= set(splits)
    )


USE = dict(data=use_data, checkpoint=use_checkpoint, captions=use_captions)


def outcome(kind, path, files):
    "'valid' or 'refused', or what is wrong with the answer."
    try:
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore')
            USE[kind](path, files)
        return 'valid'
    except InputError as e:
        if isinstance(e.__cause__, MemoryError):
            return f'asked for too much memory: {str(e)[:300]}'
        if '\n' in str(e) or str(path) not in str(e) and 'step' not in str(e):
            return f'a message that does not name the file: {str(e)[:300]}'
        return 'refused'
    except BaseException as e:
        return (
            f'{type(e).__name__}: {" ".join(str(e).split())[:300]} at '
            f'{" ".join(traceback.format_exc().splitlines()[-3].split())[:200]}'
        )


# in other processes, which may die


def peak_memory(anew=False):
    """The most memory that this process has filled, in MB: ever, or,
    where the system can forget it, since it was asked for `anew`.
    """
    if anew:
        try:
            Path('/proc/self/clear_refs').write_text('5', encoding='utf-8')
        except OSError:
            pass
    status = dict(
        line.split(':')
        for line in Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    )
    return (
        int(status['VmHWM'].split()[0]) / 1024
        if 'VmHWM' in status
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )


def _child(kind, numbers, seed, files, folder, out):
    "Try cases one after the other, and say of each that it begins and how it ends."
    with open('/proc/self/statm', encoding='utf-8') as f:
        limit = int(f.read().split()[0]) * resource.getpagesize() + 4 * MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in numbers:
        os.write(out, f'{number} begins\n'.encode())
        path = spoil(kind, files, number, seed, folder)
        before, answer = peak_memory(anew=True), outcome(kind, path, files)
        if peak_memory() - before > MEGABYTES:
            answer = f'filled {peak_memory() - before:,.0f} MB ({answer})'
        os.write(out, f'{number} {answer}\n'.encode())
        path.unlink(missing_ok=True)
    os._exit(0)


def _processor_seconds(pid):
    try:
        fields = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def _run(kind, numbers, seed, files, folder):
    """The answers of one process, [(number, answer), ...]:
    up to the first case that it does not survive.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _child(kind, numbers, seed, files, folder, writer)
        finally:
            os._exit(1)
    os.close(writer)
    answers, rest, current, began, since, hung = [], b'', None, 0.0, 0.0, False
    while not hung:
        if select.select([reader], [], [], 0.5)[0]:
            if not (data := os.read(reader, 65536)):
                break
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                number, _, answer = line.decode(errors='replace').partition(' ')
                if answer == 'begins':
                    current, began, since = int(number), _processor_seconds(pid), time.time()
                else:
                    answers.append((int(number), answer))
                    current = None
        elif current is not None and (
            _processor_seconds(pid) - began > SECONDS or time.time() - since > 12 * SECONDS
        ):
            hung = True
    if hung:
        os.kill(pid, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if current is not None:
        answers.append(
            (
                current,
                f'took more than {SECONDS} s' if hung else f'ended the process (status {status})',
            )
        )
    return answers


def fuzz(kind, count, seed=0, files=None, progress=lambda *_: None):
    """Try `count` damaged files of a kind: how many were valid,
    how many refused, and [(number, what went wrong), ...].
    """
    with tempfile.TemporaryDirectory() as folder:
        files, number, valid, failures = files or originals(folder), 0, 0, []
        while number < count:
            answers = _run(kind, range(number, min(number + BATCH, count)), seed, files, folder)
            if not answers:
                raise RuntimeError('the process that tries files does not start')
            number = answers[-1][0] + 1
            valid += sum(answer == 'valid' for _, answer in answers)
            failures += [(n, answer) for n, answer in answers if answer not in ('valid', 'refused')]
            progress(number, failures)
    return valid, count - valid - len(failures), failures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--count', type=int, default=1000, help='cases of each kind')
    parser.add_argument('--kind', choices=KINDS, help='this kind alone')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--only', type=int, help='the number of one case, tried here with its traceback'
    )
    parser.add_argument('--keep', default='.', help='where the file of --only stays')
    options, bad = parser.parse_args(), 0
    if options.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            files = originals(folder)
            path = shutil.copy(
                spoil(options.kind, files, options.only, options.seed, folder), options.keep
            )
            print(path)
            USE[options.kind](Path(path), files)
            return print('valid')
    for kind in [options.kind] if options.kind else KINDS:
        began = time.time()
        said = 0

        def progress(number, failures):
            nonlocal said
            for case, answer in failures[said:]:
                print(f'--kind {kind} --seed {options.seed} --only {case}: {answer}', flush=True)
            said = len(failures)
            print(
                f'\r{kind}: {number} of {options.count}, {len(failures)} failures, '
                f'{time.time() - began:.0f} s',
                end='',
                file=sys.stderr,
                flush=True,
            )

        valid, refused, failures = fuzz(kind, options.count, options.seed, progress=progress)
        print(file=sys.stderr)
        print(
            f'{kind}: {options.count} files, {valid} valid, {refused} refused, '
            f'{len(failures)} failures, {time.time() - began:.0f} s'
        )
        bad += len(failures)
    sys.exit(bool(bad))


if __name__ == '__main__':
    main()
