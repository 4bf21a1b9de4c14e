"""Measure what the results notebook shows: python .ci/measure.py scenes | startup | flickr8k, each into data/results/NAME.json.

flickr8k needs the photographs, captions and split lists of Flickr8k in ../shared/flickr8k, or in the folder that the
environment variable RNN_CAPTIONING_FLICKR8K names."""
import json, os, platform, re, resource, statistics, subprocess, sys, tempfile, time
from importlib.metadata import version
from pathlib import Path
import h5py, numpy as np

ROOT = Path(__file__).resolve().parent.parent
FLICKR8K = Path(os.environ.get('RNN_CAPTIONING_FLICKR8K', ROOT.parent/'shared'/'flickr8k'))
COMMAND = [sys.executable, '-m', 'rnn_captioning']
PACKAGES = 'numpy', 'h5py', 'pycocoevalcap'

def machine():
    blas = np.show_config(mode='dicts')['Build Dependencies']['blas']
    return dict(cores=os.cpu_count(), processor=platform.machine(), python=platform.python_version(), blas=f'{blas["name"]} {blas["version"]}',
                **{name: version(name) for name in PACKAGES})

def timed(*arguments):
    "Run a command: seconds, the largest memory of any command so far in megabytes, what it printed."
    began = time.perf_counter()
    done = subprocess.run([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT.parent)
    return round(time.perf_counter() - began, 1), round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024), done.stdout

def curve(checkpoint):
    "Mean training loss and validation loss of each epoch."
    with h5py.File(checkpoint) as f:
        losses, val = f['solver/loss_history'][()], f['solver/val_loss_history'][()]
    return dict(train=[round(float(part.mean()), 3) for part in np.array_split(losses, len(val))], val=[round(float(v), 3) for v in val])

def rounded(scores): return {k: round(v, 4) if isinstance(v, float) else v for k, v in scores.items()}

def scenes(folder):
    seconds, megabytes, said = timed('train', '--out', folder/'scenes')
    data = ROOT/'data'/'scenes.h5'
    scores = json.loads(timed('evaluate', folder/'scenes'/'checkpoint.h5', data, '--split', 'test', '--per-image', folder/'table.csv', '--json')[2])
    truth = [line.rsplit(',', 1)[1] == 'True' for line in (folder/'table.csv').read_text().splitlines()[1:]]
    new = len(truth) // 3      # the first third of the test scenes has combinations that no training scene has
    return dict(command='rnn-captioning train', seconds=seconds, peak_megabytes=megabytes, scores=rounded(scores),
                truth_new_combinations=round(statistics.mean(truth[:new]), 4), truth_known_combinations=round(statistics.mean(truth[new:]), 4),
                curve=curve(folder/'scenes'/'checkpoint.h5'))

def startup(folder):
    def seconds(*command): return min(_wall(command) for _ in range(9))
    def _wall(command):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        return time.perf_counter() - began
    python = sys.executable
    with_numpy = seconds(python, '-c', 'import numpy')
    return dict(import_after_numpy=round(seconds(python, '-c', 'import numpy, rnn_captioning') - with_numpy, 3), help=round(seconds(*COMMAND, '--help'), 3),
                everything_after_numpy=round(seconds(python, '-c', 'import numpy; from rnn_captioning import *') - with_numpy, 3))

def main(names):
    table = {f.__name__: f for f in (scenes, startup)}
    for name in names or table:
        with tempfile.TemporaryDirectory() as folder: found = table[name](Path(folder))
        path = ROOT/'data'/'results'/f'{name}.json'
        path.write_text(json.dumps(dict(found, machine=machine()), indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
        print(f'{path.relative_to(ROOT)} written')

if __name__ == '__main__': main(sys.argv[1:])
