"""Names at the front door are what they seem: one thing each,
whatever was imported before, in help, for editors and in pickles.
"""

import importlib.util
import inspect
import json
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path
import pytest
import rnn_captioning

ROOT = Path(__file__).parent.parent
PACKAGE = Path(rnn_captioning.__file__).parent
MODULES = sorted(
    '.'.join(path.relative_to(PACKAGE).with_suffix('').parts) for path in PACKAGE.rglob('[a-z]*.py')
)
WINGS = sorted({module.partition('.')[0] for module in MODULES if '.' in module})


def run(code):
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, encoding='utf-8', cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def front_door():
    path = ROOT / 'tools' / 'front_door.py'
    if not path.exists():
        pytest.skip('not a checkout')
    spec = importlib.util.spec_from_file_location('front_door', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_checkers_see_is_what_the_table_says(front_door):
    cells = json.loads(front_door.NOTEBOOK.read_text(encoding='utf-8'))['cells']
    made = [front_door.source(cell) for cell in cells if front_door.MADE in front_door.source(cell)]
    modules = front_door.table(cells)
    assert made == [front_door.generated(modules)], 'run `make export`'
    for wing in WINGS:
        index = front_door.NOTEBOOK.parent.parent / wing / '00_index.ipynb'
        cells = json.loads(index.read_text(encoding='utf-8'))['cells']
        made = [
            front_door.source(cell) for cell in cells if front_door.MADE in front_door.source(cell)
        ]
        assert made == [front_door.generated_wing(wing, modules)], 'run `make export`'


def test_the_table_has_every_module_and_every_public_name():
    assert sorted(rnn_captioning._MODULES) == MODULES, (
        'list the new module in nbs/reference/04_api.ipynb'
    )
    names = [name for names in rnn_captioning._MODULES.values() for name in names.split()]
    assert sorted(names) == sorted(rnn_captioning.__all__) and len(set(names)) == len(names)


def test_no_name_is_a_function_and_a_module():
    assert not set(rnn_captioning.__all__) & {module.partition('.')[0] for module in MODULES}


ALL_OF_THEM = """
import importlib, sys, types
for module in {modules}:
    importlib.import_module('rnn_captioning.' + module)
import rnn_captioning
for name in rnn_captioning.__all__:
    thing = getattr(rnn_captioning, name)
    assert not isinstance(thing, types.ModuleType), name
    home = importlib.import_module('rnn_captioning.' + rnn_captioning._HOME[name])
    assert thing is getattr(home, name), name
for module in rnn_captioning._MODULES:
    thing = eval('rnn_captioning.' + module)
    assert isinstance(thing, types.ModuleType) and thing.__name__ == 'rnn_captioning.' + module
"""


@pytest.mark.parametrize(
    'modules', [[], MODULES, MODULES[::-1], ['data.prepare', 'training.run', 'data.fetch']], ids=len
)
def test_names_stay_the_same_whatever_was_imported_before(modules):
    run(ALL_OF_THEM.format(modules=modules))


def test_functions_of_modules_with_their_name():
    "By the old way and by the new, and both are the same function."
    from rnn_captioning import fetch_data, prepare_data
    from rnn_captioning.bench.report import bench
    from rnn_captioning.data.fetch import fetch
    from rnn_captioning.data.prepare import prepare

    assert prepare is prepare_data is rnn_captioning.prepare.prepare
    assert fetch is fetch_data is rnn_captioning.fetch.fetch
    assert bench is rnn_captioning.bench.report.bench
    assert (
        inspect.isfunction(rnn_captioning.train)
        and rnn_captioning.train is rnn_captioning.training.run.train
    )


def test_the_package_says_what_to_import_first():
    doc = rnn_captioning.__doc__
    first = doc.splitlines()[0]
    assert first.endswith('.') and 'NumPy' in first
    named = [
        'load',
        'prepare_data',
        'fetch_data',
        'train',
        'evaluate',
        'CaptioningRNN',
        'CaptioningSolver',
        'decode',
    ]
    for name in named:
        assert name in doc and name in rnn_captioning.__all__
    assert max(map(len, doc.splitlines())) <= 100
    assert 'load().caption' in run('import rnn_captioning; help(rnn_captioning)')


def test_dir_lists_names_and_modules():
    listed = dir(rnn_captioning)
    assert set(rnn_captioning.__all__) | {module.partition('.')[0] for module in MODULES} | {
        '__version__',
        '__doc__',
    } <= set(listed)
    assert listed == sorted(listed) and 'TYPE_CHECKING' not in listed


def test_import_loads_nothing():
    "Not even typing, which takes longer than all the rest."
    code = (
        'import sys; before = set(sys.modules); import rnn_captioning; '
        'print(*sorted(set(sys.modules) - before))'
    )
    assert run(f'import sys; sys.path.insert(0, {str(ROOT)!r}); {code}').split() == [
        'rnn_captioning'
    ]


SPLIT = {old: new for old, new in rnn_captioning._MOVED.items() if ' ' in new}


@pytest.mark.parametrize('old, new', sorted(rnn_captioning._MOVED.items() - SPLIT.items()))
def test_modules_that_have_moved_answer_to_their_old_path(old, new):
    code = f'''
import importlib, warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    import rnn_captioning.{old} as old
    again = importlib.import_module('rnn_captioning.{old}')
new = importlib.import_module('rnn_captioning.{new}')
assert old is again is new is getattr(importlib.import_module('rnn_captioning'), '{old}')
assert new.__spec__.name == new.__name__ == 'rnn_captioning.{new}'
for w in said:
    if 'rnn_captioning' in str(w.message):
        print(f'{{w.category.__name__}}: {{w.message}}')
'''
    assert run(code) == f'DeprecationWarning: rnn_captioning.{old} is now rnn_captioning.{new}\n'


@pytest.mark.parametrize('old, new', SPLIT.items())
def test_modules_that_have_become_several_answer_to_their_old_path(old, new):
    code = f'''
import importlib, warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    import rnn_captioning.{old} as old
assert old is importlib.import_module('rnn_captioning').{old}
for new in {new.split()}:
    part = importlib.import_module('rnn_captioning.' + new)
    for name in part.__all__:
        assert getattr(old, name) is getattr(part, name)
print(*(w.message for w in said))
'''
    homes = ' and '.join(f'rnn_captioning.{module}' for module in new.split())
    assert run(code) == f'rnn_captioning.{old} is now {homes}\n'


# Some of what version 0.1 had in modules whose names are folders now.
OLD = [
    'data.open_data',
    'data.Grid',
    'data.CaptionData',
    'data.decode_captions',
    'data.minibatch',
    'data.ReadAhead',
    'data.as_read',
    'data.load_coco_data',
    'files.InputError',
    'files.open_hdf5',
    'files.raises',
    'files.replace_file',
    'training.train',
    'training.Interrupted',
    'bench.bench',
    'bench.time_disk',
    'bench.torch_step',
    'bench.torch_parts',
]


@pytest.mark.parametrize('name', OLD)
def test_folders_know_what_the_modules_of_their_name_had(name):
    module, _, thing = name.partition('.')
    run(
        f'from rnn_captioning.{module} import {thing}; import rnn_captioning; assert '
        f'rnn_captioning.{name} is {thing}'
    )


def test_benchmarks_import_no_peer():
    for module in ('report', 'peers', 'timing'):
        run(
            "import sys; sys.modules.update(torch=None, jax=None); import "
            f'rnn_captioning.bench.{module}'
        )


@pytest.mark.parametrize('wing', WINGS)
def test_a_folder_lists_and_loads_its_modules(wing):
    code = (
        f'import rnn_captioning.{wing} as wing; print(*dir(wing)); [getattr(wing, name) '
        'for name in dir(wing)]; wing.nothing'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, encoding='utf-8', cwd=ROOT
    )
    assert done.stdout.split() == [
        module.partition('.')[2] for module in MODULES if module.startswith(f'{wing}.')
    ]
    assert done.stderr.endswith(
        f"AttributeError: module 'rnn_captioning.{wing}' has no attribute 'nothing'\n"
    )


def test_misspelt_names():
    with pytest.raises(
        AttributeError, match="module 'rnn_captioning' has no attribute 'rnn_foreward'"
    ):
        _ = rnn_captioning.rnn_foreward
    with pytest.raises(ImportError, match='rnn_foreward'):
        exec('from rnn_captioning import rnn_foreward')


@pytest.mark.parametrize('name', rnn_captioning.__all__)
def test_pickles_find_their_way_back(name):
    thing = getattr(rnn_captioning, name)
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        pytest.skip('a constant')
    assert pickle.loads(pickle.dumps(thing)) is thing


def test_sdist_and_tree_have_the_marker_for_type_checkers(tmp_path):
    assert (ROOT / 'rnn_captioning' / 'py.typed').exists()
    if importlib.util.find_spec('setuptools') is None:
        pytest.skip('setuptools is not installed')
    made = subprocess.run(
        [
            sys.executable,
            'setup.py',
            '-q',
            'egg_info',
            '--egg-base',
            tmp_path,
            'sdist',
            '--dist-dir',
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        encoding='utf-8',
    )
    assert made.returncode == 0, made.stderr
    with tarfile.open(next(tmp_path.glob('*.tar.gz'))) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    assert {'rnn_captioning/py.typed', 'rnn_captioning/__init__.py', 'settings.ini'} <= names
