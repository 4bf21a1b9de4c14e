"""Write the cell of nbs/90_api.ipynb that tells editors and type checkers what the front door holds, from the table above it.

    python .ci/front_door.py

`make export` runs it first. The package looks names up when they are asked for, which no checker can follow; the imports of
this cell are never carried out, and say the same in a form that they read."""
import ast
import json
import textwrap
from pathlib import Path

NOTEBOOK = Path(__file__).resolve().parent.parent / 'nbs' / '90_api.ipynb'
MADE = '# Made from the table by .ci/front_door.py: what editors and type checkers see. None of it is imported.'


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
    return textwrap.wrap(', '.join(words) + ',', 100, initial_indent=indent, subsequent_indent=indent)


def imports(module, names):
    line = f'    from .{module} import {", ".join(names)}'
    if len(line) <= 100:
        return [line]
    return [f'    from .{module} import (', *wrapped(names, ' ' * 8), '    )']


def generated(modules):
    "The source of the cell."
    lines = ['#| export', MADE, 'if TYPE_CHECKING:']
    lines += [f'    from . import {module} as {module}' for module in sorted(modules)]
    for module, names in sorted(modules.items()):
        if names:
            lines += imports(module, sorted(names))
    public = [repr(name) for names in modules.values() for name in names]
    return '\n'.join([*lines, '', '__all__ = [', *wrapped(sorted(public), ' ' * 4), ']'])


def main():
    notebook = json.loads(NOTEBOOK.read_text(encoding='utf-8'))
    cell = next(cell for cell in notebook['cells'] if MADE in source(cell))
    cell['source'] = generated(table(notebook['cells'])).splitlines(keepends=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'
    if text != NOTEBOOK.read_text(encoding='utf-8'):
        NOTEBOOK.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
