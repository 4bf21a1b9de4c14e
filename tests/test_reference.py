"""The reference pages say what the code says, and the code says
enough: docstrings, a comment for each parameter, shapes of arrays.
"""

import ast
import re
from pathlib import Path
import nbformat
import pytest
import rnn_captioning
from numpydoc import parameters

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize('name', ['reference/02_commands', 'reference/03_names'])
def test_page_is_what_the_code_gives_now(name):
    client = pytest.importorskip('nbclient')
    committed, now = (nbformat.read(ROOT / 'nbs' / f'{name}.ipynb', 4) for _ in range(2))
    client.NotebookClient(
        now, timeout=120, resources={'metadata': {'path': ROOT / 'nbs' / 'reference'}}
    ).execute()

    def tables(nb):
        return [
            out.data['text/markdown']
            for cell in nb.cells
            for out in cell.get('outputs', [])
            if 'text/markdown' in out.get('data', {})
        ]

    assert len(tables(now)) > 0
    assert tables(committed) == tables(now), (
        f'`make run NOTEBOOKS=nbs/{name}.ipynb` and commit it: the page differs from what the '
        'code gives'
    )


class Signature:
    "A public function, class or method in the text of its module."

    def __init__(self, module, name, node, lines):
        self.module, self.name, self.node, self.doc = module, name, node, ast.get_docstring(node)
        args = node.args if isinstance(node, ast.FunctionDef) else None
        every = (
            []
            if args is None
            else [
                *args.posonlyargs,
                *args.args,
                *args.kwonlyargs,
                *filter(None, (args.vararg, args.kwarg)),
            ]
        )
        said = {
            a.arg: lines[a.lineno - 1][a.col_offset :].partition('#')[2].strip() for a in every
        } | parameters(self.doc)  # a comment beside it, or the docstring
        self.params = {
            a.arg: (said[a.arg], ast.unparse(a.annotation) if a.annotation else '')
            for a in every
            if a.arg not in ('self', 'cls')
        }
        self.one_line = args is not None and len({node.lineno, *(a.lineno for a in every)}) == 1
        # what a protocol asks for, which the class says as a whole
        self.is_stub = ast.unparse(node.body[-1]) == '...'
        self.is_property = any(
            getattr(d, 'id', '') == 'property' for d in getattr(node, 'decorator_list', [])
        )
        self.is_command = any(
            isinstance(d, ast.Call)
            and isinstance(d.func, ast.Attribute)
            and d.func.attr in ('command', 'group')
            for d in getattr(node, 'decorator_list', [])
        )

    def __repr__(self):
        return f'{self.module}.{self.name}'


def signatures():
    for path in sorted((ROOT / 'rnn_captioning').rglob('[a-z]*.py')):
        text = path.read_text(encoding='utf-8')
        tree, lines = ast.parse(text), text.splitlines()
        public = next(
            ast.literal_eval(n.value)
            for n in tree.body
            if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__'
        )
        for node in tree.body:
            if getattr(node, 'name', '') not in public:
                continue
            yield Signature(path.stem, node.name, node, lines)
            for method in getattr(node, 'body', []) if isinstance(node, ast.ClassDef) else []:
                if isinstance(method, ast.FunctionDef) and (
                    method.name == '__init__' or not method.name.startswith('_')
                ):
                    yield Signature(path.stem, f'{node.name}.{method.name}', method, lines)


ALL = list(signatures())
# what users import from the package itself
FRONT = {s for s in ALL if s.name in rnn_captioning.__all__}


def test_every_public_name_is_seen():
    assert len(ALL) > 300 and {s.name for s in FRONT} >= {
        'train',
        'decode',
        'CaptioningRNN',
        'rnn_step_forward',
    }
    assert {s.module for s in ALL} >= {'model', 'transformer', 'prepare'}


def test_every_function_class_and_method_has_a_docstring():
    silent = {
        repr(s) for s in ALL if not s.doc and not s.name.endswith('.__init__') and not s.is_property
    }
    assert not silent, silent


def test_every_parameter_has_a_comment():
    """Where the signature takes a line for each parameter, and for
    what users import from the package always; a signature on one
    line has its docstring. What a command takes is in its options.
    """
    asked = [
        s
        for s in ALL
        if s.params
        and not s.is_command
        and not s.is_stub
        and (not s.one_line or s in FRONT or parameters(s.doc))
    ]
    bare = [
        f'{s}({name})'
        for s in asked
        for name, (comment, _) in s.params.items()
        if not comment and not name.startswith("_")
    ]
    assert len(asked) > 200 and not bare, (
        f'add a comment behind each of these parameters in its notebook: {bare}'
    )


SHAPE = re.compile(r'\([^()]*,[^()]*\)|\bshape\b')


def test_every_array_says_its_shape():
    arrays = [
        (s, name, comment)
        for s in ALL
        for name, (comment, kind) in s.params.items()
        if kind in ('np.ndarray', 'np.ndarray | None') and comment
    ]
    shapeless = [
        f'{s}({name}): {comment}' for s, name, comment in arrays if not SHAPE.search(comment)
    ]
    assert len(arrays) > 200 and not shapeless, (
        f'say the shape, as in (N, D), or `any shape`: {shapeless}'
    )
