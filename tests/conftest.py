"""One BLAS thread for each test process: two processes
with two threads each would fight over two cores.
"""

import os
import signal
import sys
from pathlib import Path
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / 'tools'))  # mutate, korean and others

for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ.setdefault(name, '1')

# A shell starts what runs in its background with Ctrl-C
# ignored, and so would be every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def quick_meteor(monkeypatch):
    """METEOR answers at once, in place of ten seconds that its program takes to start: for tests
    in which `evaluate` is on the way. tests/test_scores.py asks the program itself.
    """

    def compute_score(self, references, captions):
        return 0.5, [0.5] * len(captions)

    monkeypatch.setattr('rnn_captioning.training.java.Meteor.compute_score', compute_score)
