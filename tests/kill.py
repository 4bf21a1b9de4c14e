"""Kill a short training at random moments, take it up again,
and compare: python tests/kill.py --count 100 --resumes 1000

Each run is killed once or twice by SIGKILL, at a moment drawn
between its start and its end, with a checkpoint after every
step, so that many a kill meets a checkpoint half written. What
it leaves at last must be, to the last bit, what a run leaves
that nothing killed. Then one run is resumed so often in a single
process, to see whether that leaks memory or open files."""

import argparse
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
import h5py
import numpy as np

SETTINGS = dict(
    epochs=3,
    reward_epochs=2,
    batch_size=50,
    hidden_dim=16,
    wordvec_dim=8,
    dropout=0.3,
    inner_dropout=0.2,
    average=0.9,
    seed=5,
    threads=1,
)
RUN = (
    'import sys, json\nfrom rnn_captioning.training.run import '
    'train\ntrain(**json.loads(sys.argv[1]))'
)
ENVIRONMENT = dict(
    os.environ,
    OPENBLAS_NUM_THREADS='1',
    PYTHONPATH=os.pathsep.join(
        [str(Path(__file__).resolve().parent.parent), os.environ.get('PYTHONPATH', '')]
    ),
)


def data_set(folder):
    from rnn_captioning.data.scenes import make_scenes

    make_scenes(folder / 'data.h5', train=60, val=5, test=9)
    return folder / 'data.h5'


def start(data, out, resume):
    "A process that trains, with a checkpoint after every step."
    told = dict(
        out=str(out),
        checkpoint_minutes=0,
        **(dict(resume=True) if resume else dict(data=str(data), **SETTINGS)),
    )
    return subprocess.Popen(
        [sys.executable, '-c', RUN, json.dumps(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        env=ENVIRONMENT,
    )


def finish(process, where):
    said, _ = process.communicate(timeout=120)
    if process.returncode:
        raise SystemExit(f'{where}: status {process.returncode}: {said}')


def left(out):
    "All content of a checkpoint."
    with h5py.File(out / 'checkpoint.h5') as f:
        return f.attrs['checksum']


def kill_and_compare(count, seed=0, report=lambda text: None):
    """How many of `count` killed runs ended like the one that was
    not killed; how many of the kills left a file half written.
    """
    rng, equal, halves, early = np.random.default_rng(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = data_set(folder)
        began = time.perf_counter()
        finish(start(data, folder / 'whole', False), 'the run that is not killed')
        seconds = time.perf_counter() - began
        for i in range(count):
            out = folder / f'run{i}'
            for _ in range(rng.integers(1, 3)):
                resume = (out / 'checkpoint.h5').exists()
                process = start(data, out, resume)
                time.sleep(rng.uniform(0.3, 1) * seconds)  # before that it is still importing
                process.send_signal(signal.SIGKILL)
                process.communicate()
                early += not (out / 'checkpoint.h5').exists()
                halves += bool(list(out.glob('.*.part'))) if out.exists() else 0
            finish(start(data, out, (out / 'checkpoint.h5').exists()), f'run {i}')
            equal += left(out) == left(folder / 'whole')
            report(
                f'{i + 1} of {count}: {equal} equal, {halves} kills met a half-written file, '
                f'{early} came before the first checkpoint'
            )
    return dict(runs=count, equal=equal, kills_during_writing=halves, kills_before_first=early)


def resume_often(count, report=lambda text: None):
    "Open files and memory of a process after a tenth of so many resumes, and after all of them."
    from rnn_captioning.training.run import Interrupted, train

    def once():
        def stop(solver):
            raise Interrupted

        try:
            train(out=folder / 'run', resume=True, callbacks=[stop])
        except Interrupted:
            pass

    def seen():
        gc.collect()
        pages = int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[1])
        return dict(
            files=len(os.listdir('/proc/self/fd')),
            megabytes=round(pages * resource.getpagesize() / 2**20, 1),
        )

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = data_set(folder)

        def stop(solver):
            raise Interrupted

        try:
            train(data, folder / 'run', **{**SETTINGS, 'epochs': 10**6}, callbacks=[stop])
        except Interrupted:
            pass
        for i in range(count):
            once()
            if i + 1 == max(count // 10, 1):
                first = seen()
            if (i + 1) % 50 == 0:
                report(f'{i + 1} of {count} resumes: {seen()}')
        return dict(resumes=count, after_a_tenth=first, at_the_end=seen())


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=100)
    parser.add_argument('--resumes', type=int, default=1000)
    parser.add_argument('--json', help='file for the figures')
    told = parser.parse_args()

    def report(text):
        return print(text, flush=True)

    found = dict(
        kill_and_compare(told.count, report=report), **resume_often(told.resumes, report=report)
    )
    if told.json:
        Path(told.json).write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')
    print(found)
    sys.exit(found['equal'] != found['runs'])
