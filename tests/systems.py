"What differs between operating systems, for the tests."

import os

import pytest

PIPES = hasattr(os, 'mkfifo')  # Windows has no such files


def link(place, target):
    "A symbolic link; where this user may not make any, as on many a Windows, the test is skipped."
    try:
        place.symlink_to(target)
    except OSError as e:
        pytest.skip(f'no symbolic links here: {e}')
