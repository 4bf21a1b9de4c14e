"""Runs that are killed, and resumes in a row: a few
of what `python tests/kill.py` does by the hundred.
"""

import os
from pathlib import Path
import pytest

if os.name == 'nt':
    pytest.skip('signals of Unix', allow_module_level=True)
import kill


def test_killed_runs_end_like_the_one_that_was_not():
    assert kill.kill_and_compare(2)['equal'] == 2


@pytest.mark.skipif(not Path('/proc/self/fd').exists(), reason='open files are counted in /proc')
def test_resumes_leave_no_file_open():
    found = kill.resume_often(20)
    assert (
        found['at_the_end']['files'] == found['after_a_tenth']['files']
        and found['at_the_end']['megabytes'] < found['after_a_tenth']['megabytes'] + 20
    )
