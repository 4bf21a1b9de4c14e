"""Count what the style asks for: how wide the lines are, how many names are public, and so on.

    python tools/count.py            # the table
    python tools/count.py --names    # and the public names of each module that it alone uses

What is counted, in the modules of the package (never in `_modidx.py`):

wide lines
    Lines of more than 120 and of more than 100 columns, without the title and the `__all__`
    that nbdev writes on one line, and without lines in which no space allows a break.
semicolons, one-line compounds, assigned lambdas
    What ruff reports as E702 and E703, as E701 and E704, and as E731, whatever ruff.toml says.
public names
    The entries of `__all__` of all modules; that of a folder lists modules and is left out.
of their own module alone
    Public names that no other module imports or reads as an attribute of their module, and that
    are not at the front door, `rnn_captioning.__all__`. Tests and notebooks do not count as users.
longest function
    Lines of code of a function or method, without its signature and docstring, without blank
    lines and lines that are comments; functions within it included.
highest complexity
    McCabe's, as ruff's C901 has it.
layers that bring h5py
    Each module of arrays is imported in a process of its own: `h5py` must not be loaded then.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'rnn_captioning'
# What knows arrays alone, beside everything in layers/.
CHAPTERS = (
    'gradient_check step_forward step_backward sequence embedding temporal_affine optim'.split()
)
RULES = {
    'semicolons': ('E702', 'E703'),
    'one-line compounds': ('E701', 'E704'),
    'assigned lambdas': ('E731',),
}


def modules():
    "{dotted name within the package: its file}; a folder is called by its name."
    out = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        if path.name != '_modidx.py':
            parts = path.relative_to(PACKAGE).with_suffix('').parts
            out['.'.join(part for part in parts if part != '__init__')] = path
    return out


def read(path):
    return path.read_text(encoding='utf-8')


def wide_lines(columns):
    "Where lines are longer, of those that people write."
    found = []
    for name, path in modules().items():
        text = read(path)
        made = re.search(r'^__all__ = \[[^]]*\]', text, re.M)
        skipped = set() if made is None else lines_of(text, made)
        for number, line in enumerate(text.splitlines(), 1):
            written = number > 1 and number not in skipped and ' ' in line.strip()
            if written and len(line) > columns:
                found.append(f'{name}:{number}')
    return found


def lines_of(text, match):
    "The numbers of the lines that a match reaches over."
    first, last = (text.count('\n', 0, end) + 1 for end in match.span())
    return set(range(first, last + 1))


def ruff(*options):
    "What ruff finds in the package, whatever its settings are."
    command = [sys.executable, '-m', 'ruff', 'check', '--isolated', '--no-cache', '--exit-zero']
    done = subprocess.run(
        [*command, '--output-format=json', '--exclude=_modidx.py', *options, str(PACKAGE)],
        capture_output=True,
        encoding='utf-8',
        check=True,
    )
    return json.loads(done.stdout)


def ruff_counts():
    found = ruff('--select=E701,E702,E703,E704,E731', '--preview')
    return {what: sum(entry['code'] in codes for entry in found) for what, codes in RULES.items()}


def complexities():
    "[(complexity, function)], the highest first."
    found = []
    for entry in ruff('--select=C901', '--config=lint.mccabe.max-complexity=0'):
        name, value = re.match(r'`(.*)` is too complex \((\d+)', entry['message']).groups()
        found.append((int(value), f'{Path(entry["filename"]).stem}.{name}'))
    return sorted(found, reverse=True)


def function_lengths():
    "[(lines of code, function)], the longest first."
    found = []
    for module, path in modules().items():
        text = read(path)
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[ast.get_docstring(node) is not None :]
                code = lines[body[0].lineno - 1 : node.end_lineno] if body else []
                code = [line for line in code if line.strip() and line.strip()[0] != '#']
                found.append((len(code), f'{module}.{node.name}'))
    return sorted(found, reverse=True)


def public_of(tree):
    "The entries of the last __all__ of a module."
    names = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            names = ast.literal_eval(node.value)
    return names


def absolute(node, module, is_folder):
    "The module of the package that `from ... import` names, or None."
    if not node.level:
        package, _, rest = (node.module or '').partition('.')
        return rest if package == PACKAGE.name else None
    parts = module.split('.') if module else []
    up = node.level - is_folder
    parts = parts[: len(parts) - up] if up else parts
    return '.'.join([*parts, *(node.module.split('.') if node.module else [])])


def references(module, path):
    "{(module, name)} of the package that a module imports or reads from a module it imports."
    tree, seen, bound = ast.parse(read(path)), set(), {}
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = absolute(node, module, path.name == '__init__.py')
            for alias in node.names if source is not None else []:
                seen.add((source, alias.name))
                whole = f'{source}.{alias.name}'.lstrip('.')
                if whole in known:
                    bound[alias.asname or alias.name] = whole
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in bound:
                seen.add((bound[node.value.id], node.attr))
    return seen


def names():
    "{module: its public names} and {module: those that it alone uses}."
    trees = {module: ast.parse(read(path)) for module, path in modules().items()}
    folders = {module for module, path in modules().items() if path.name == '__init__.py'}
    front_door = set(public_of(trees['']))
    public = {m: public_of(tree) for m, tree in trees.items() if m not in folders}
    used = {
        entry
        for module, path in modules().items()
        if module  # the front door, whose imports are its table
        for entry in references(module, path)
        if entry[0] != module
    }
    alone = {
        module: [n for n in found if n not in front_door and (module, n) not in used]
        for module, found in public.items()
    }
    return public, alone


def array_modules():
    return CHAPTERS + [name for name in modules() if name.startswith('layers.')]


def bring_h5py():
    "The modules of arrays that load h5py."
    code = 'import sys; import rnn_captioning.{}; print("h5py" in sys.modules)'
    found = []
    for name in array_modules():
        done = subprocess.run(
            [sys.executable, '-c', code.format(name)],
            capture_output=True,
            encoding='utf-8',
            check=True,
            cwd=ROOT,
        )
        found += [name] if done.stdout.strip() == 'True' else []
    return found


def table():
    "[(what, count, where)]"
    public, alone = names()
    lengths, complex_ones = function_lengths(), complexities()
    rows = [
        ('lines over 120 columns', len(wide_lines(120)), ''),
        ('lines over 100 columns', len(wide_lines(100)), ' '.join(wide_lines(100)[:3])),
        *((what, count, '') for what, count in ruff_counts().items()),
        ('public names', sum(map(len, public.values())), ''),
        ('of their own module alone', sum(map(len, alone.values())), ''),
        ('longest function, lines', *lengths[0]),
        ('functions over 40 lines', sum(count > 40 for count, _ in lengths), ''),
        ('highest complexity', *complex_ones[0]),
        ('layers that bring h5py', len(bring_h5py()), ' '.join(bring_h5py())),
    ]
    return rows


def printed(rows):
    return '\n'.join(f'{what:28} {count:5}  {where}'.rstrip() for what, count, where in rows)


def printed_names():
    public, alone = names()
    lines = []
    for module in public:
        lines += [f'{module:28} {len(public[module]):5} {len(alone[module]):5}  ']
        lines[-1] = (lines[-1] + ' '.join(alone[module])).rstrip()
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--names', action='store_true', help='the names of each module too')
    print(printed(table()))
    if parser.parse_args().names:
        print(printed_names())


if __name__ == '__main__':
    main()
