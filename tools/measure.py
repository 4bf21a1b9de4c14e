"""Measure what the results notebook shows, each part into data/results/NAME.json.

    python tools/measure.py [NAME...]

The names are scenes, startup, flickr8k, photos, faults, bench, busy; scenes-MODEL for each of the
models rnn, lstm, gru, attention, encoded-attention, transformer and encoder (a Transformer with
one), and flickr8k-MODEL for lstm, gru, attention and transformer. What is measured on photographs
needs those of Flickr8k, their captions and split lists, in ../shared/flickr8k or in the folder that
the environment variable RNN_CAPTIONING_FLICKR8K names. flickr8k and flickr8k-transformer also write
the captioners that ship. Where RNN_CAPTIONING_RUNS names a folder, data sets and runs are kept
there, and a run that was interrupted is taken up again."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FLICKR8K = Path(os.environ.get('RNN_CAPTIONING_FLICKR8K', ROOT.parent / 'shared' / 'flickr8k'))
COMMAND = [sys.executable, '-m', 'rnn_captioning']
PACKAGES = 'numpy', 'h5py', 'pycocoevalcap'


def machine():
    blas = np.show_config(mode='dicts')['Build Dependencies']['blas']
    return dict(
        cores=os.cpu_count(),
        processor=platform.machine(),
        python=platform.python_version(),
        blas=f'{blas["name"]} {blas["version"]}',
        **{name: version(name) for name in PACKAGES},
    )


def timed(*arguments):
    """Run a command: seconds, the largest memory of any
    command so far in megabytes, what it printed.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        encoding='utf-8',
        check=True,
        cwd=ROOT.parent,
    )
    return (
        round(time.perf_counter() - began, 1),
        round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        done.stdout,
    )


def curve(checkpoint):
    """Mean training loss and validation loss of each pass for
    likelihood, and the score after each pass for CIDEr.
    """
    with h5py.File(checkpoint) as f:
        lists = {
            name: f[f'solver/{name}'][()]
            for name in (
                'loss_history',
                'val_loss_history',
                'earlier_loss_history',
                'earlier_val_loss_history',
            )
        }
    two = len(lists['earlier_loss_history']) > 0
    losses, val = (
        lists[('earlier_' if two else '') + name] for name in ('loss_history', 'val_loss_history')
    )

    def tidy(values):
        return [round(float(v), 3) for v in values]

    return dict(
        train=tidy(part.mean() for part in np.array_split(losses, len(val))),
        val=tidy(val),
        reward=tidy(-lists['val_loss_history']) if two else [],
    )


def rounded(scores):
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in scores.items()}


def scenes(folder):
    seconds, megabytes, said = timed('train', '--out', folder / 'scenes')
    data = ROOT / 'data' / 'scenes.h5'
    scores = json.loads(
        timed(
            'evaluate',
            folder / 'scenes' / 'checkpoint.h5',
            data,
            '--split',
            'test',
            '--per-image',
            folder / 'table.csv',
            '--json',
        )[2]
    )
    truth = [
        line.rsplit(',', 1)[1] == 'True'
        for line in (folder / 'table.csv').read_text(encoding='utf-8').splitlines()[1:]
    ]
    # the first third of the test scenes has combinations that no training scene has
    new = len(truth) // 3
    return dict(
        command='rnn-captioning train',
        seconds=seconds,
        peak_megabytes=megabytes,
        scores=rounded(scores),
        truth_new_combinations=round(statistics.mean(truth[:new]), 4),
        truth_known_combinations=round(statistics.mean(truth[new:]), 4),
        curve=curve(folder / 'scenes' / 'checkpoint.h5'),
    )


def startup(folder):
    def seconds(*command):
        return min(_wall(command) for _ in range(9))

    def _wall(command):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        return time.perf_counter() - began

    python = sys.executable
    with_numpy = seconds(python, '-c', 'import numpy')
    return dict(
        import_after_numpy=round(
            seconds(python, '-c', 'import numpy, rnn_captioning') - with_numpy, 3
        ),
        help=round(seconds(*COMMAND, '--help'), 3),
        everything_after_numpy=round(
            seconds(python, '-c', 'import numpy; from rnn_captioning import *') - with_numpy, 3
        ),
    )


def flickr8k_data(folder, grid=False):
    from rnn_captioning.data.prepare import prepare

    out = folder / 'flickr8k.h5'
    began = time.perf_counter()
    counts = prepare(
        FLICKR8K / 'Flickr8k.token.txt',
        None,
        out,
        images=FLICKR8K / 'images',
        mirror=True,
        grid=grid,
        progress=True,
        splits=dict(
            train=FLICKR8K / 'Flickr_8k.trainImages.txt', val=FLICKR8K / 'Flickr_8k.devImages.txt'
        ),
    )
    return out, counts, round(time.perf_counter() - began)


RECIPE = dict(
    epochs=12,
    reward_epochs=2,
    hidden_dim=512,
    wordvec_dim=256,
    dropout=0.5,
    inner_dropout=0.25,
    learning_rate=1e-3,
    reward_learning_rate=5e-5,
    batch_size=100,
    seed=0,
)


def scored(model, data, **decoding):
    from rnn_captioning.training.metrics import evaluate

    scores, captions, each = evaluate(model, data, 'val', progress=True, **decoding)
    return rounded(scores), captions, each


def examples(data, captions, each, count=6):
    """The captions that agree best with their references, and
    those that agree least, one in a hundred pictures apart.
    """
    from rnn_captioning.training.metrics import split_references

    order = sorted(range(len(captions)), key=lambda i: -each['CIDEr'][i])
    references = split_references(data, 'val')

    def row(i):
        return dict(
            caption=captions[i],
            reference=max(references[i], key=len),
            CIDEr=round(each['CIDEr'][i], 2),
        )

    return dict(
        best=[row(i) for i in order[: 10 * count : 10]],
        worst=[row(i) for i in order[::-1][: 10 * count : 10]],
    )


def flickr8k(folder):
    from rnn_captioning.training.checkpoint import load_checkpoint, save_checkpoint
    from rnn_captioning.data.dataset import open_data
    from rnn_captioning.training.run import train

    path, counts, prepare_seconds = flickr8k_data(folder)
    data, likely, ends = open_data(path), {}, []

    def keep(solver):
        ends.append(time.perf_counter())
        if solver.objective.name == 'likelihood':
            likely.update(params=solver.best_params)

    began = time.perf_counter()
    solver = train(path, folder / 'run', **RECIPE, progress=True, callbacks=[keep])
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    losses = curve(folder / 'run' / 'checkpoint.h5')
    shipped = ROOT / 'data' / 'pretrained' / 'flickr8k_rnn.h5'
    save_checkpoint(shipped, solver.model, encoder=data.encoder, digits=3)
    model, rows = load_checkpoint(shipped), []
    if RECIPE['reward_epochs']:
        first = load_checkpoint(shipped)
        first.params.update(likely['params'])
        for kind in (dict(beam_size=1), dict(beam_size=5)):
            rows.append(dict(trained_for='likelihood', **scored(first, data, **kind)[0]))
    for kind in (dict(beam_size=1), dict(beam_size=5), dict(beam_size=5, length_penalty=1.5)):
        scores, captions, each = scored(model, data, **kind)
        rows.append(
            dict(
                trained_for='likelihood, then CIDEr' if RECIPE['reward_epochs'] else 'likelihood',
                **scores,
            )
        )
        if kind == dict(beam_size=5):
            chosen = examples(data, captions, each)
    return dict(
        counts={k: v for k, v in counts.items() if k != 'left_out'},
        prepare_seconds=prepare_seconds,
        settings=RECIPE,
        train_seconds=round(seconds),
        likelihood_seconds=round(ends[RECIPE['epochs'] - 1] - began),
        peak_megabytes=round(megabytes),
        curve=losses,
        parameters=int(sum(w.size for w in model.params.values())),
        model_megabytes=round(shipped.stat().st_size / 1e6, 1),
        scores=rows,
        examples=chosen,
    )


KINDS = dict(
    rnn={},
    lstm=dict(cell='lstm'),
    gru=dict(cell='gru'),
    attention=dict(model='attention'),
    transformer=dict(model='transformer'),
    encoder=dict(model='transformer'),
) | {'encoded-attention': dict(model='encoded-attention')}
ON_SCENES = dict(
    rnn={},
    lstm={},
    gru={},
    attention=dict(
        hidden_dim=128,
        wordvec_dim=64,
        model_options=dict(attention_dim=64),
        learning_rate=4e-3,
        epochs=12,
        reward_epochs=0,
    ),
    transformer=dict(
        hidden_dim=96, model_options=dict(heads=4), learning_rate=4e-3, epochs=12, reward_epochs=0
    ),
    encoder=dict(
        hidden_dim=96,
        model_options=dict(heads=4, encoder_layers=1),
        learning_rate=4e-3,
        epochs=12,
        reward_epochs=0,
    ),
)
ON_SCENES['encoded-attention'] = ON_SCENES['attention']
ON_PHOTOS = dict(
    lstm={},
    gru={},
    attention=dict(
        hidden_dim=320,
        dropout=0.4,
        inner_dropout=0.3,
        label_smoothing=0.1,
        average=0.998,
        epochs=10,
    ),
    transformer=dict(
        hidden_dim=None,
        wordvec_dim=None,
        learning_rate=5e-4,
        label_smoothing=0.1,
        dropout=0.4,
        inner_dropout=0.3,
        average=0.998,
        epochs=14,
        reward_epochs=3,
        reward_learning_rate=5e-5,
    ),
)


def timed_run(data, out, **settings):
    """Train, or go on with a run that was interrupted; seconds
    of processor time, all cores together, of its epochs.
    """
    from rnn_captioning.training.run import train

    path, last = out / 'seconds.json', [time.process_time()]

    def note(solver):
        seconds = (json.loads(path.read_text(encoding='utf-8')) if path.exists() else []) + [
            time.process_time() - last[0]
        ]
        path.write_text(json.dumps(seconds), encoding='utf-8')
        last[0] = time.process_time()

    resume = (out / 'checkpoint.h5').exists()
    solver = train(
        data, out, resume=resume, progress=True, callbacks=[note], **({} if resume else settings)
    )
    return solver, json.loads(path.read_text(encoding='utf-8'))


def kept(folder):
    runs = Path(os.environ.get('RNN_CAPTIONING_RUNS', folder))
    runs.mkdir(exist_ok=True)
    return runs


def described(model, seconds, settings, rows):
    return dict(
        parameters=int(sum(w.size for w in model.params.values())),
        processor_seconds=round(sum(seconds)),
        epochs=len(seconds),
        settings=settings,
        config=model.config,
        scores=rows,
    )


def model_scenes(kind, folder):
    from rnn_captioning.training.metrics import evaluate

    settings = KINDS[kind] | ON_SCENES[kind]
    solver, seconds = timed_run(None, kept(folder) / f'scenes-{kind}', **settings)
    rows = []
    for beam in (1, 5):
        scores, _, each = evaluate(solver.model, solver.data, 'test', beam_size=beam)
        # the first third of the test scenes has new combinations
        new = [each['truth'][i] for i in range(scores['images'] // 3)]
        rows.append(dict(rounded(scores), truth_new_combinations=round(statistics.mean(new), 4)))
    return dict(
        described(solver.model, seconds, settings, rows),
        curve=curve(kept(folder) / f'scenes-{kind}' / 'checkpoint.h5'),
    )


def model_flickr8k(kind, folder):
    from rnn_captioning.training.checkpoint import save_checkpoint

    runs, settings = kept(folder), RECIPE | KINDS[kind] | ON_PHOTOS[kind]
    if not (path := runs / 'flickr8k.h5').exists():
        flickr8k_data(runs, grid=True)
    solver, seconds = timed_run(path, runs / f'flickr8k-{kind}', **settings)
    model, found = solver.model, {}
    if kind == 'transformer':
        from rnn_captioning.training.checkpoint import load_checkpoint

        shipped = ROOT / 'data' / 'pretrained' / 'flickr8k_transformer.h5'
        save_checkpoint(shipped, model, encoder=solver.data.encoder, digits=3)
        model = load_checkpoint(shipped)
    rows = []
    for decoding in (
        dict(beam_size=1),
        dict(beam_size=5),
        dict(beam_size=5, length_penalty=1.0),
        dict(beam_size=5, length_penalty=1.5),
    ):
        scores, captions, each = scored(model, solver.data, **decoding)
        rows.append(scores)
        if decoding == dict(beam_size=5):
            found = dict(examples=examples(solver.data, captions, each))
    return dict(
        described(model, seconds, settings, rows),
        curve=curve(runs / f'flickr8k-{kind}' / 'checkpoint.h5'),
        **found,
    )


def photos(folder):
    """One photograph from a cold start, and a thousand, by the command line;
    and by the vanilla RNN a beam of 5 over a thousand rows of features.
    """
    import shutil
    from rnn_captioning.training.checkpoint import load_checkpoint
    from rnn_captioning.decoding import decode

    paths = sorted((FLICKR8K / 'images').iterdir())[:1000]
    (folder / 'photos').mkdir()
    for path in paths:
        shutil.copy(path, folder / 'photos')
    one = statistics.median(timed('caption', paths[0])[0] for _ in range(5))
    seconds, megabytes, said = timed('caption', folder / 'photos', '--json')
    assert len(json.loads(said)) == 1000
    model, beams = load_checkpoint(ROOT / 'data' / 'pretrained' / 'flickr8k_rnn.h5'), []
    features = np.random.default_rng(0).standard_normal((1000, model.input_dim)).astype(np.float32)
    for _ in range(5):
        began = time.perf_counter()
        decode(model, features, beam_size=5)
        beams.append(time.perf_counter() - began)
    return dict(
        one_photo_seconds=round(one, 2),
        thousand_seconds=seconds,
        photos_a_second=round(1000 / seconds, 1),
        peak_megabytes=megabytes,
        beam5_thousand_seconds=round(statistics.median(beams), 2),
    )


def faults(folder):
    """Killed runs, resumes in a row, damaged files by the thousand,
    and what checkpoints cost a training at the defaults.
    """
    sys.path.insert(0, str(ROOT / 'tests'))
    import fuzz
    import kill
    from rnn_captioning.training import run as training

    report, writes, save = lambda text: print(text, file=sys.stderr), [], training.save_checkpoint
    kills = dict(
        kill.kill_and_compare(100, report=report), **kill.resume_often(1000, report=report)
    )

    def timed_save(*arguments, **options):
        began = time.perf_counter()
        save(*arguments, **options)
        writes.append(time.perf_counter() - began)

    training.save_checkpoint, began = timed_save, time.perf_counter()
    training.train(None, folder / 'run')
    checkpoint = dict(
        seconds_each=round(statistics.mean(writes), 4),
        share=round(sum(writes) / (time.perf_counter() - began), 4),
        count=len(writes),
    )
    damaged = {}
    for kind in fuzz.KINDS:
        valid, refused, failures = fuzz.fuzz(
            kind,
            10_000,
            progress=lambda number, failures: report(f'{kind}: {number} files, {failures}'),
        )
        damaged[kind] = dict(files=10_000, valid=valid, refused=refused, failures=len(failures))
    return dict(kills=kills, fuzz=damaged, checkpoint=checkpoint)


def bench(folder):
    from rnn_captioning.bench.report import bench

    return bench(progress=lambda text: print(text, file=sys.stderr), whole_epoch=True)


@contextmanager
def other_processes(count):
    "While so many other processes do nothing but compute."
    others = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def layers_by_hand(steps=50, N=50, T=25, H=128, V=64):
    "A network that learns the next letter, in a loop of the bare layer functions."
    from rnn_captioning import (
        adam,
        rnn_backward,
        rnn_forward,
        temporal_affine_backward,
        temporal_affine_forward,
        temporal_softmax_loss,
    )

    rng = np.random.default_rng(0)
    params = [rng.standard_normal(shape) / 10 for shape in ((V, H), (H, H), (H,), (H, V), (V,))]
    configs = [{} for _ in params]
    letters, mask = np.eye(V), np.ones((N, T), bool)
    for _ in range(steps):
        text = rng.integers(0, V, (N, T + 1))
        h, recurred = rnn_forward(letters[text[:, :-1]], np.zeros((N, H)), *params[:3])
        scores, scored = temporal_affine_forward(h, *params[3:])
        _, dscores = temporal_softmax_loss(scores, text[:, 1:], mask)
        dh, *last = temporal_affine_backward(dscores, scored)
        _, _, *first = rnn_backward(dh, recurred)
        for i, gradient in enumerate([*first, *last]):
            params[i], configs[i] = adam(params[i], gradient, configs[i])


def solver_steps(data, threads, epochs=1):
    "Twenty steps of the scenes' captioner, of the usual size."
    from rnn_captioning import CaptioningRNN, CaptioningSolver

    few = {**data, 'train_captions': data['train_captions'][:2000]}
    model = CaptioningRNN(data['word_to_idx'], 33, 256, 512, rng=np.random.default_rng(0))
    CaptioningSolver(
        model, few, update_rule='adam', num_epochs=epochs, seed=0, threads=threads, verbose=False
    ).train()


def captions_of_rows(model, features, threads):
    from rnn_captioning import decode

    decode(model, features, beam_size=5, threads=threads)


def busy(folder, others=8):
    "The same work with one thread and with two, alone and beside other processes."
    from threadpoolctl import threadpool_limits
    from rnn_captioning import load_checkpoint, open_data

    data = open_data(ROOT / 'data' / 'scenes.h5')
    model = load_checkpoint(ROOT / 'data' / 'pretrained' / 'flickr8k_transformer.h5')
    features = np.abs(
        np.random.default_rng(0).standard_normal((128, 49, model.input_dim), np.float32)
    )

    def by_hand(cores):
        with threadpool_limits(cores, 'blas'):
            layers_by_hand()

    ours = {'one thread': 1, 'two threads': 2, 'usual': None}
    work = {
        'layer functions': {'one thread': partial(by_hand, 1), 'two threads': partial(by_hand, 2)},
        'solver': {name: partial(solver_steps, data, threads) for name, threads in ours.items()},
        'decoding': {
            name: partial(captions_of_rows, model, features, threads)
            for name, threads in ours.items()
        },
    }
    photographs = sorted((FLICKR8K / 'images').iterdir())[:100] if FLICKR8K.exists() else []
    found = {}
    for when, count in (('alone', 0), ('busy', others)):
        with other_processes(count):
            found[when] = {kind: _in_turn(ways) for kind, ways in work.items()}
            if photographs:
                found[when]['100 photographs'] = dict(
                    usual=timed('caption', '--json', *photographs)[0]
                )
    return dict(found, others=others)


def _in_turn(ways, rounds=2):
    """The mean of the seconds that each way takes, the ways
    taking turns, after a first time that does not count.
    """
    seconds = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    found = {name: round(statistics.mean(each[1:]), 2) for name, each in seconds.items()}
    print(found, file=sys.stderr, flush=True)
    return found


def main(names):
    table = {f.__name__: f for f in (scenes, startup, flickr8k, photos, faults, bench, busy)}
    table |= {
        f'{name}-{kind}': partial(f, kind)
        for name, f, kinds in (
            ('scenes', model_scenes, ON_SCENES),
            ('flickr8k', model_flickr8k, ON_PHOTOS),
        )
        for kind in kinds
    }
    for name in names or table:
        with tempfile.TemporaryDirectory() as folder:
            found = table[name](Path(folder))
        path = ROOT / 'data' / 'results' / f'{name}.json'
        path.write_text(
            json.dumps(dict(found, machine=machine()), indent=1, ensure_ascii=False) + '\n',
            encoding='utf-8',
        )
        print(f'{path.relative_to(ROOT)} written')


if __name__ == '__main__':
    main(sys.argv[1:])
