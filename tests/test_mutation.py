"""A few of the mistakes of tools/mutate.py, drawn at random: the notebooks' checks notice them.

All of them: make mutants.
"""

import os
import subprocess
import sys
from pathlib import Path
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='mutants run in forks')
def test_sample_is_caught():
    # no line counts that only a mutant reaches
    env = {name: value for name, value in os.environ.items() if not name.startswith('COVERAGE')}
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'mutate.py', '--sample', '8', '--seed', '231'],
        capture_output=True,
        encoding='utf-8',
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == '8 mutants: 8 caught, 0 equivalent, 0 survived'
