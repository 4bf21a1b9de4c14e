"""Dependencies point one way.

A module is part of its folder; the chapters and what stands beside them are parts by themselves.
What is imported inside a function, when it is called, does not count: that is how the command line
stays quick.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / 'rnn_captioning'

# From what knows nothing of the rest to what knows it all. A part may import what stands in an
# earlier row, and what stands beside it in its own.
ROWS = [
    ['errors'],
    ['settings', 'files', 'progress', 'data.rows'],
    ['drawing'],
    [
        'gradient_check',
        'step_forward',
        'step_backward',
        'sequence',
        'embedding',
        'temporal_affine',
        'optim',
        'layers',
    ],
    ['photos'],
    ['data'],
    ['model', 'models', 'decoding', 'training.parallel'],
    ['solver'],
    ['training'],
    ['photo_captioner', 'bench'],
    ['command_line'],
    ['__main__'],
]
RANK = {part: rank for rank, parts in enumerate(ROWS) for part in parts}
FILES = {
    '.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
    for path in sorted(PACKAGE.rglob('*.py'))
    if path.name not in ('__init__.py', '_modidx.py')
}


def rank(module):
    return RANK[module if module in RANK else module.partition('.')[0]]


def imported(module):
    "The modules of the package that a module imports as it is imported."
    package = ['rnn_captioning', *module.split('.')[:-1]]
    for node in ast.walk(ast.Module(top_level(ast.parse(FILES[module].read_text('utf-8'))), [])):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith('rnn_captioning.'))
        if not isinstance(node, ast.ImportFrom):
            continue
        above = package[: len(package) - node.level + 1] if node.level else []
        base = '.'.join([*above, *filter(None, [node.module])])
        if base.split('.')[0] == 'rnn_captioning':
            for alias in node.names:
                name = f'{base}.{alias.name}'
                yield name if name.removeprefix('rnn_captioning.') in FILES else base


def top_level(tree):
    "The statements that run when a module is imported, without those of functions."
    inert = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in tree.body if not isinstance(node, inert)]


def dependencies(module):
    names = {name.removeprefix('rnn_captioning.') for name in imported(module)}
    return sorted(names & set(FILES))


@pytest.mark.parametrize('module', FILES)
def test_dependencies_point_one_way(module):
    wrong = [other for other in dependencies(module) if rank(other) > rank(module)]
    assert not wrong, f'{module} imports {", ".join(wrong)}, which stands above it'


def test_imports_are_seen():
    assert 'step_forward' in dependencies('sequence') and 'errors' in dependencies('files.paths')
    assert rank('training.run') > rank('models.attention') > rank('layers.lstm') > rank('errors')


LAYERS = [module for module in FILES if rank(module) == RANK['layers']]


def test_a_layer_brings_no_files_with_it():
    code = f"""
import importlib, sys
for name in {LAYERS}:
    importlib.import_module('rnn_captioning.' + name)
heavy = 'h5py', 'matplotlib', 'click', 'tqdm', 'rnn_captioning.files'
print(*(name for name in heavy if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, encoding='utf-8', cwd=ROOT
    )
    assert done.returncode == 0 and done.stdout.strip() == '', done.stdout + done.stderr
