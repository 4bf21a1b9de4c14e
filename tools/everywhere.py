"""Run the tests as on other processors: with the kernels
that OpenBLAS has for them, and with one and two threads.

    python tools/everywhere.py [--other] [PYTEST ARGUMENTS...]

Kernels differ in the order in which they add up, so numbers
differ in their last digits, and a training that depends on
these goes another way. Only kernels that this processor can
run are tried. With `--other`, one of them alone, which is
not the one that NumPy chooses here."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# From new to old, with what /proc/cpuinfo must list: AVX2; AVX; SSE3.
# OpenBLAS calls the last one Katmai
KERNELS = {'Haswell': 'avx2', 'Sandybridge': 'avx', 'Prescott': 'pni'}
ASK = (
    'import numpy, threadpoolctl\n'
    'print(*(lib["architecture"] for lib in threadpoolctl.threadpool_info()'
    ' if lib.get("internal_api") == "openblas"))'
)


def environment(kernel, threads):
    """The variables of a process that uses some kernels
    and so many threads; kernel None: as NumPy chooses.
    """
    chosen = {
        name: value
        for name, value in os.environ.items()
        if name not in ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE')
    }
    if kernel:
        chosen['OPENBLAS_CORETYPE'] = kernel
    return chosen | dict(OPENBLAS_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))


def in_use(kernel):
    "The name of the kernels that NumPy then runs; empty where its BLAS is not OpenBLAS."
    done = subprocess.run(
        [sys.executable, '-c', ASK],
        env=environment(kernel, 1),
        capture_output=True,
        text=True,
        encoding='utf-8',
        check=True,
    )
    return done.stdout.strip()


def available():
    """The kernels, other than its own, that this machine
    can be asked for; none where it is not Linux on x86.
    """
    cpuinfo = Path('/proc/cpuinfo')
    if platform.machine() not in ('x86_64', 'AMD64') or not cpuinfo.exists():
        return []
    flags, usual = cpuinfo.read_text(encoding='utf-8').split(), in_use(None)
    known = [kernel for kernel, flag in KERNELS.items() if flag in flags]
    # What OpenBLAS does not know it passes over; what it knows, it may have under another name.
    return [kernel for kernel in known if in_use(kernel) in {*KERNELS, 'Katmai'} - {usual}]


def run(kernel, threads, arguments):
    "One run of the tests: whether they passed, and a line about them."
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', *arguments],
        cwd=ROOT,
        env=environment(kernel, threads),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding='utf-8',
        errors='replace',
    )
    lines = done.stdout.strip().splitlines() or ['no output']
    if done.returncode:
        print(*lines[-60:], sep='\n', flush=True)
    name = kernel or f'as chosen ({in_use(None) or "not OpenBLAS"})'
    return (
        done.returncode == 0,
        f'{name:<24} threads {threads}  {time.monotonic() - began:5.0f} s  {lines[-1]}',
    )


def main(arguments):
    one = '--other' in arguments
    arguments = [each for each in arguments if each != '--other']
    kernels = available()
    if one:
        if not kernels:
            print('everywhere: skipped, this machine has no other kernels')
            return 0
        asked = [(kernels[0], 1)]
    else:
        asked = [(kernel, threads) for kernel in (None, *kernels) for threads in (1, 2)]
    passed, table = 0, []
    for kernel, threads in asked:
        good, line = run(kernel, threads, arguments)
        passed += good
        table.append(line)
        print(line, flush=True)
    if len(table) > 1:
        print('', *table, sep='\n')
    print(f'{passed} of {len(asked)} kinds of kernels and threads pass')
    return passed < len(asked)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
