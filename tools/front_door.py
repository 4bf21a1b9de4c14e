"""Write the cell of nbs/reference/04_api.ipynb that tells editors
and type checkers what the front door holds, from the table above it.

    python tools/front_door.py

`make export` runs it first. The package looks names up when
they are asked for, which no checker can follow; the imports of
this cell are never carried out, and say the same in a form that they read."""

import ast
import json
import textwrap
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parent.parent / 'nbs' / 'reference' / '04_api.ipynb'
# Where that is which version 0.1 had in a module of a folder's name.
OLD_MODULES = {
    'data': ['data.dataset', 'data.vocabulary', 'data.batches', 'data.coco', 'data.rows'],
    'files': ['files.paths', 'files.hdf5', 'errors'],
    'training': ['training.run'],
    'bench': ['bench.report', 'bench.timing', 'bench.peers'],
}
# What it was called there, where it has another name now.
OLD_NAMES = {
    'data': {'CaptionData': 'Dataset', 'ReadAhead': 'Minibatches', 'as_read': 'columns_for'}
}
MADE = '# Made from the table by tools/front_door.py: for editors and type checkers, never run.'


def source(cell):
    return ''.join(cell['source'])


def table(cells):
    "{module: its public names}, from the cell that assigns _MODULES."
    for cell in cells:
        if cell['cell_type'] != 'code' or '_MODULES = ' not in source(cell):
            continue
        for node in ast.parse(source(cell)).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == '_MODULES':
                modules = ast.literal_eval(node.value)
                return {name: names.split() for name, names in modules.items()}
    raise SystemExit(f'{NOTEBOOK.name} has no table called _MODULES')


def wrapped(words, indent):
    return textwrap.wrap(
        ', '.join(words) + ',', 100, initial_indent=indent, subsequent_indent=indent
    )


def imports(module, names):
    line = f'    from .{module} import {", ".join(names)}'
    if len(line) <= 100:
        return [line]
    return [f'    from .{module} import (', *wrapped(names, ' ' * 8), '    )']


def generated(modules):
    "The source of the cell at the front door."
    lines = ['#| export', MADE, '# fmt: off', 'if TYPE_CHECKING:']
    tops = sorted({module.partition('.')[0] for module in modules})
    lines += [f'    from . import {top} as {top}' for top in tops]
    for module, names in sorted(modules.items()):
        if names:
            lines += imports(module, sorted(names))
    public = [repr(name) for names in modules.values() for name in names]
    return '\n'.join([*lines, '', '__all__ = [', *wrapped(sorted(public), ' ' * 4), ']'])


def generated_wing(wing, modules):
    "The source of the cell of a folder of modules: they are loaded when they are asked for."
    here = sorted(module.partition('.')[2] for module in modules if module.startswith(f'{wing}.'))
    lines = ['#| export', MADE, '# fmt: off', 'TYPE_CHECKING = False', 'if TYPE_CHECKING:']
    lines += [f'    from . import {module} as {module}' for module in here]
    lines += ['', '_MODULES = [', *wrapped(map(repr, here), ' ' * 4), ']']
    if wing in OLD_MODULES:
        lines += [
            f'# what version 0.1 had in a module called {wing}',
            f'_OLD = {OLD_MODULES[wing]}',
        ]
    if wing in OLD_NAMES:
        lines += [f'_OLD_NAMES = {OLD_NAMES[wing]}']
    lines += [
        '',
        'def __dir__():',
        '    return _MODULES.copy()',
        '',
        'if not TYPE_CHECKING:',
        '    def __getattr__(name):',
        '        from importlib import import_module',
        '        if name in _MODULES:',
        "            return import_module(f'{__name__}.{name}')",
    ]
    if wing in OLD_NAMES:
        lines += ['        name = _OLD_NAMES.get(name, name)']
    if wing in OLD_MODULES:
        lines += [
            '        for old in _OLD:',
            "            module = import_module(f'{__package__.partition(\".\")[0]}.{old}')",
            "            for known in (name, f'_{name}'):  # some are no longer public",
            '                if hasattr(module, known):',
            '                    return getattr(module, known)',
        ]
    lines += ["        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')"]
    return '\n'.join(lines)


def write(path, made):
    notebook = json.loads(path.read_text(encoding='utf-8'))
    cell = next(cell for cell in notebook['cells'] if MADE in source(cell))
    cell['source'] = made.splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'
    if text != path.read_text(encoding='utf-8'):
        path.write_text(text, encoding='utf-8')


def main():
    modules = table(json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells'])
    write(NOTEBOOK, generated(modules))
    for wing in sorted({module.partition('.')[0] for module in modules if '.' in module}):
        write(NOTEBOOK.parent.parent / wing / '00_index.ipynb', generated_wing(wing, modules))


if __name__ == '__main__':
    main()
