"""Do the notebooks' checks notice a mistake? Makes one small mistake
at a time in the layer functions and runs the checks against it.

    python tools/mutate.py [MODULE...] [--only TEXT] [--sample N] [--seed N] [--list]

A mutant is a module with one sign flipped, one term or factor or statement
dropped, one transposition or axis changed, one comparison or constant moved.
It is caught if a code cell of a notebook in `CHECKS`, or a function of
tests/test_layers.py, raises or runs out of time. What cannot be caught stands in `REASONS`.
PyTorch is hidden: a mistake must be noticed where it is not installed too. The
exit status is 1 if a mutant survives, or if one in `REASONS` is caught."""

import argparse
import ast
import copy
import fnmatch
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import re
import select
import signal
import sys
import time
import types

try:
    import resource
except ImportError:
    resource = None  # Windows has none, nor what needs it here
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = 'tests/test_layers.py'

# The notebooks whose checks own a module: the first has
# written it, the others are asked about what it lets pass.
CHECKS = {
    'step_forward': ['01_step_forward'],
    'step_backward': ['02_step_backward'],
    'sequence': ['03_sequence'],
    'embedding': ['04_embedding'],
    'temporal_affine': ['05_temporal_affine'],
    'model': ['06_model', 'training/08_parallel'],
    'optim': ['07_optim'],
    'layers.packing': ['layers/01_packing'],
    'layers.lstm': ['layers/02_lstm'],
    'layers.gru': ['layers/03_gru'],
    'layers.additive_attention': ['layers/04_additive_attention', 'models/02_attention'],
    'layers.self_attention': ['layers/05_self_attention'],
    'layers.feed_forward': ['layers/06_feed_forward'],
    'models.attention': ['models/02_attention'],
    'models.transformer': ['models/03_transformer'],
}

# Of these modules, the functions that are layers; of the others, all.
FUNCTIONS = {
    'model': [
        'pack_captions',
        '_caption_forward',
        '_caption_backward',
        'Captioner.loss',
        'CaptioningRNN.forward',
        'CaptioningRNN.backward',
        'CaptioningRNN.start',
        'CaptioningRNN.step',
    ],
    'models.attention': [
        '_values_*',
        '_places_*',
        '_doubly_*',
        'AttentionCaptioner.forward',
        'AttentionCaptioner.backward',
        'AttentionCaptioner.loss',
        '_start',
        '_step',
    ],
    # what refuses a mask is tried in tests/test_masks.py
    'layers.self_attention': ['[!_]*', '_to_table', '_from_table'],
    'models.transformer': ['*_forward', '*_backward', '*_step', '_transformer_start', '_layers_of'],
}

# What no check can notice, by the reason.
REASONS = {
    'the transposition of a vector is the vector': """
        layers.additive_attention.additive_attention_forward: t @ w -> t @ w.T
        layers.additive_attention.attention_packed_forward: np.matmul(hidden.reshape(n * L, A), w, out=weights[now].reshape(n * L)) -> np.matmul(hidden.reshape(n * L, A), w.T, out=weights[now].reshape(n * L))
        layers.additive_attention.attention_packed_backward: de.reshape(-1) @ t.reshape(-1, len(w)) -> de.reshape(-1).T @ t.reshape(-1, len(w))
        layers.additive_attention.additive_attention_step: np.tanh(t, out=t).reshape(-1, A) @ w -> np.tanh(t, out=t).reshape(-1, A) @ w.T
        layers.feed_forward.layer_norm_backward: both @ gain -> both @ gain.T
        layers.feed_forward.layer_norm_backward: dout @ gain -> dout @ gain.T""",  # noqa: E501
    'an axis of length one, whose first entry is its last': """
        layers.additive_attention.additive_attention_forward: (weights[:, None] @ values)[:, 0] -> (weights[:, None] @ values)[:, -1]
        layers.additive_attention.additive_attention_backward: (values @ dcontext[:, :, None])[:, :, 0] -> (values @ dcontext[:, :, None])[:, :, -1]
        models.transformer._self_attention_step: join_heads(looked)[:, 0] -> join_heads(looked)[:, -1]""",  # noqa: E501
    'only the shape or the type is asked for, and those of the other are the same': """
        optim._blocks: flat[0] -> flat[-1]
        optim._blocks: arrays[0] -> arrays[-1]
        optim._blocks: flat[0] -> flat[-1] #2
        optim._blocks: part[0] -> part[-1]
        models.attention._start: keys[picture, :, 0] -> keys[picture, :, 1]
        models.attention._start: keys[picture, :, 0] -> keys[picture, :, -1]
        layers.self_attention.self_attention_backward: attended[0] -> attended[1]
        layers.self_attention.self_attention_backward: attended[0] -> attended[-1]
        layers.self_attention.cross_attention_backward: attended[0] -> attended[1]
        layers.self_attention.cross_attention_backward: attended[0] -> attended[-1]
        models.transformer._transformer_step: state['past'][0] -> state['past'][-1]""",  # noqa: E501
    'how many rows are computed at a time: speed alone': """
        temporal_affine.softmax_loss_in_place: BLOCK // scores.shape[1] -> BLOCK
        temporal_affine.softmax_loss_in_place: BLOCK // scores.shape[1] -> scores.shape[1]
        temporal_affine.softmax_loss_in_place: scores.shape[1] -> scores.shape[0]
        temporal_affine.softmax_loss_in_place: max(BLOCK // scores.shape[1], 1) -> max(BLOCK // scores.shape[1], 2)""",  # noqa: E501
    'a range, a slice or a sum of nothing either way': """
        layers.packing.Packing.of: lengths.max(initial=0) -> lengths.max(initial=-1)
        embedding.word_embedding_backward: counts > ROUNDS -> counts >= ROUNDS
        model.pack_captions: np.where(mask.any(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1), 0) -> np.where(mask.any(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1), -1)
        temporal_affine.softmax: total[total == 0] = 1 -> total[total == 0] = 2""",  # noqa: E501
    'a slice that ends beyond the last column': """
        layers.gru.gru_packed_forward: 2 * H -> 3 * H #4
        layers.gru._gru_step: 2 * H -> 3 * H #4""",  # noqa: E501
    (
        'softmax takes no notice of a number that is added to all scores, nor its gradient of one '
        'that is added to all weights'
    ): """
        layers.additive_attention.attention_packed_backward: 0 if dweights is None else dweights[now] -> 1 if dweights is None else dweights[now]
        layers.additive_attention.attention_packed_backward: 0 if dweights is None else dweights[now] -> -1 if dweights is None else dweights[now]""",  # noqa: E501
    'other only where a random number is the rate itself, to the last digit': """
        layers.feed_forward.dropout_forward: rng.random(x.shape, dtype=np.float32) >= rate -> rng.random(x.shape, dtype=np.float32) > rate""",  # noqa: E501
}
EQUIVALENT = {
    line.strip(): reason for reason, lines in REASONS.items() for line in lines.strip().splitlines()
}

# --- mutants


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parsed(code):
    return ast.parse(code, mode='eval').body


def transposed(node):
    return (
        node.value
        if isinstance(node, ast.Attribute) and node.attr == 'T'
        else ast.Attribute(node, 'T', ast.Load())
    )


FLIPPED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
AUGMENTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
UFUNCS = {
    'add': ('subtract', 0),
    'subtract': ('add', 0),
    'multiply': ('divide', 1),
    'divide': ('multiply', 1),
}


LEFT_OUT = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.BitOr, ast.BitAnd, ast.FloorDiv, ast.Pow, ast.Mod
)  # fmt: skip


def of_operation(node):
    a, b, op = node.left, node.right, type(node.op)
    if op in AUGMENTED:
        yield ast.BinOp(a, AUGMENTED[op](), b)
    if op in LEFT_OUT:
        yield a
        if op is ast.Sub:
            yield ast.UnaryOp(ast.USub(), b)
        elif op is ast.Div:
            yield ast.BinOp(ast.Constant(1), ast.Div(), b)
        else:
            yield b
    if op is ast.MatMult:
        yield ast.BinOp(transposed(a), ast.MatMult(), b)
        yield ast.BinOp(a, ast.MatMult(), transposed(b))


def of_augmented(node):
    if type(node.op) in AUGMENTED:
        yield ast.AugAssign(node.target, AUGMENTED[type(node.op)](), node.value)
    yield ast.Pass()


def of_statement(node):
    if isinstance(node.value, ast.Call):
        yield ast.Pass()


def of_comparison(node):
    for k, op in enumerate(node.ops):
        if type(op) in FLIPPED:
            ops = [*node.ops[:k], FLIPPED[type(op)](), *node.ops[k + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators)


def of_choice(node):
    yield node.body
    yield node.orelse


def of_and_or(node):
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def of_attribute(node):
    if node.attr == 'T':
        yield node.value


def of_call(node):
    if not isinstance(node.func, ast.Attribute):
        return
    f, args = node.func, node.args

    def called(name, args):
        return ast.Call(ast.Attribute(f.value, name, ast.Load()), args, node.keywords)

    if f.attr == 'swapaxes':
        yield f.value
    if f.attr == 'matmul':
        yield called('matmul', [transposed(args[0]), args[1]])
        yield called('matmul', [args[0], transposed(args[1])])
    if f.attr in UFUNCS:
        other, neutral = UFUNCS[f.attr]
        yield called(other, args)
        yield called(f.attr, [args[0], ast.Constant(neutral)])
        yield called(f.attr, [ast.Constant(neutral), args[1]])
        if f.attr in ('subtract', 'divide'):
            yield called(f.attr, args[::-1])
    if f.attr in ('maximum', 'minimum'):
        yield args[0]
        yield args[1]
    if f.attr in ('tanh', 'exp', 'log', 'sqrt', 'abs'):
        yield args[0]


def of_constant(node):
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif number(value):
        others = {0: [1, -1], 1: [0, 2]}.get(value)
        if others is None:
            others = [value + 1, value - 1] if isinstance(value, int) else [value * 2]
        yield from map(ast.Constant, others)


MISTAKES = {
    ast.BinOp: of_operation,
    ast.AugAssign: of_augmented,
    ast.Expr: of_statement,
    ast.UnaryOp: lambda node: [node.operand],
    ast.Compare: of_comparison,
    ast.BoolOp: of_and_or,
    ast.IfExp: of_choice,
    ast.Attribute: of_attribute,
    ast.Call: of_call,
    ast.Constant: of_constant,
}


def replacements(node):
    "The mistakes to make at a node."
    return MISTAKES.get(type(node), lambda node: [])(node)


SKIPPED = {'annotation', 'returns', 'decorator_list', 'type_params'}


def nodes(node, path=(), above=()):
    "Every node where a mistake may be made, the way to it, and the nodes above it."
    yield node, path, above
    if (
        isinstance(node, (ast.JoinedStr, ast.Raise))
        or isinstance(node, ast.UnaryOp)
        and isinstance(node.operand, ast.Constant)
    ):
        return
    for field, value in ast.iter_fields(node):
        if field in SKIPPED:
            continue
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == 'expect'
            and field == 'args'
        ):
            value = value[:1]  # the rest is the message
        for k, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield from nodes(child, (*path, (field, k)), (*above, node))


def put(tree, path, new):
    "Set a node of a tree, and return the one before."
    for field, k in path[:-1]:
        tree = getattr(tree, field) if k is None else getattr(tree, field)[k]
    field, k = path[-1]
    old = getattr(tree, field) if k is None else getattr(tree, field)[k]
    if k is None:
        setattr(tree, field, new)
    else:
        getattr(tree, field)[k] = new
    return old


def functions(tree, prefix='', path=()):
    "The functions and methods of a module, and the ways to them."
    for k, node in enumerate(tree.body):
        here = *path, ('body', k)
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node, here
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f'{node.name}.', here)


def source(module):
    return (ROOT / 'rnn_captioning' / f'{module.replace(".", "/")}.py').read_text(encoding='utf-8')


class Mutant:
    "A mistake: its module, its name, and where it is made."

    def __init__(self, module, name, path, new, line):
        self.module, self.name, self.path, self.new, self.line = module, name, path, new, line

    def code(self):
        "The module with the mistake, compiled."
        tree = ast.parse(source(self.module))
        put(tree, self.path, self.new)
        return compile(ast.fix_missing_locations(tree), f'{self.module} (mutant)', 'exec')


def shown(node, above):
    "The node by which a mistake is named: a constant says little."
    if not isinstance(node, ast.Constant):
        return node
    return next(
        (
            n
            for n in reversed(above)
            if isinstance(n, (ast.expr, ast.stmt))
            and not isinstance(n, (ast.Tuple, ast.List, ast.UnaryOp, ast.FunctionDef))
        ),
        node,
    )


def mutants(module):
    "All mutants of a module, no two alike; where two have one name, the later ones are numbered."
    found, seen, same = [], {}, set()
    for function, tree, path in functions(ast.parse(source(module))):
        if not any(
            fnmatch.fnmatchcase(function, pattern) for pattern in FUNCTIONS.get(module, ['*'])
        ):
            continue

        def first(node):
            return ast.unparse(node).splitlines()[0]

        for node, inner, above in nodes(tree):
            for new in map(copy.deepcopy, replacements(node)):
                whole = shown(node, above)
                before = first(whole)
                put(tree, inner, new)
                after, result = first(new if whole is node else whole), ast.unparse(tree)
                put(tree, inner, node)
                if result in same or result == ast.unparse(tree):
                    continue
                same.add(result)
                name = f'{module}.{function}: {before} -> {after}'
                seen[name] = seen.get(name, 0) + 1
                found.append(
                    Mutant(
                        module,
                        name + f' #{seen[name]}' * (seen[name] > 1),
                        path + inner,
                        new,
                        node.lineno,
                    )
                )
    return found


# --- checks


class OutOfTime(BaseException):
    pass


def out_of_time(*_):
    raise OutOfTime()


class Mistaken(importlib.machinery.SourceFileLoader):
    code = None

    def get_code(self, name):
        return self.code


class Finder:
    "Gives the mutant where its module is imported."

    def __init__(self, mutant):
        self.name, self.mutant = f'rnn_captioning.{mutant.module}', mutant

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        file = str(ROOT / 'rnn_captioning' / f'{self.mutant.module.replace(".", "/")}.py')
        loader = Mistaken(name, file)
        loader.code = self.mutant.code()
        return importlib.util.spec_from_file_location(name, file, loader=loader)


def names(code):
    "What the top level of a cell defines."
    for node in ast.parse(code).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (
                a.asname or a.name.split('.')[0]
                for a in node.names
                if getattr(node, 'module', '') != '__future__'
            )
        for target in node.targets if isinstance(node, ast.Assign) else []:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def module_of(code):
    "The module that a notebook's code says it is exported to, or None."
    found = re.search(r'^#\|\s*default_exp\s+([\w.]+)', code, re.M)
    return found and found.group(1)


def cells(check):
    "The code cells of a notebook: number, source, whether it is exported."
    for k, cell in enumerate(
        json.loads((ROOT / 'nbs' / f'{check}.ipynb').read_text(encoding='utf-8'))['cells']
    ):
        code = ''.join(cell['source'])
        if cell['cell_type'] == 'code' and not re.search(r'^#\|\s*eval:\s*false', code, re.M):
            yield k, code, bool(re.search(r'^#\|\s*export', code, re.M))


def run_notebook(check, chosen=None, each=None, report=lambda *_: None):
    """Run the cells of a notebook, those without figures and of them those in `chosen`,
    for at most `each` seconds each. They run in the namespace of the notebook's module:
    its functions stand where the notebook has defined its own,
    so that the checks meet the module that others import."""
    module = importlib.import_module(
        'rnn_captioning.' + module_of('\n'.join(code for _, code, _ in cells(check)))
    )
    namespace = vars(module)
    pristine = dict(namespace)
    for k, code, exported in cells(check):
        if exported:
            namespace.update({name: pristine[name] for name in names(code) if name in pristine})
            continue
        if (
            chosen is not None
            and k not in chosen
            or chosen is None
            and re.search(r'#\|\s*fig-|Diagram\(', code)
            and not code.startswith('#| hide')
        ):
            continue
        start = time.process_time()
        if each:
            signal.setitimer(signal.ITIMER_PROF, each)
        try:
            exec(compile(code, f'{check} [{k}]', 'exec'), namespace)
        except BaseException as e:
            signal.setitimer(signal.ITIMER_PROF, 0)
            report(k, type(e).__name__, str(e), time.process_time() - start)
            if not each:
                raise
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
            seconds = time.process_time() - start
            # the signal may come where exceptions are ignored
            report(k, 'OutOfTime' if each and seconds > 2 * each else None, '', seconds)


def run_layers():
    "The functions of tests/test_layers.py."
    spec = importlib.util.spec_from_file_location('test_layers', ROOT / LAYERS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, f in list(vars(module).items()):
        if name.startswith('test_'):
            f()


def forked(job, seconds):
    "What a job writes, as JSON, from a process of its own; None if it dies or takes longer."
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(r)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
            limit = (
                int(open('/proc/self/statm', encoding='utf-8').read().split()[0])
                * resource.getpagesize()
                + 2**32
                if os.path.exists('/proc/self/statm')
                else resource.RLIM_INFINITY
            )
            # a mutant may ask for any amount
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            signal.signal(signal.SIGPROF, out_of_time)
            os.chdir(ROOT / 'nbs')
            os.write(w, json.dumps(job()).encode())
        finally:
            os._exit(0)
    os.close(w)
    # the machine may be busy with other things
    text, end = (b'', time.monotonic() + 20 * seconds + 20)
    while True:
        if not select.select([r], [], [], max(end - time.monotonic(), 0))[0]:
            os.kill(pid, signal.SIGKILL)
            break
        part = os.read(r, 65536)
        if not part:
            break
        text += part
    os.close(r)
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


EACH = (0.2, 15.0)
# seconds: a cell that takes longer is left out, on a slow machine
# too; what the quick cells let pass, all of them are asked about


def choose(check, each):
    """The cells of a notebook that pass by themselves, unmutated,
    with their seconds; and those left out, with the reason.
    """
    if check == LAYERS:

        def job():
            start = time.process_time()
            run_layers()
            return time.process_time() - start

        seconds = forked(job, 120)
        assert seconds is not None, f'{LAYERS} does not pass unmutated'
        return {LAYERS: seconds}, {}
    chosen, left_out = None, {}
    while True:

        def job():
            log = []
            run_notebook(check, chosen, each, lambda *entry: log.append(entry))
            return log

        log = forked(job, 300)
        assert log is not None, f'{check} dies'
        bad = {k: f'{kind}: {text}'[:90] for k, kind, text, _ in log if kind}
        left_out |= bad
        if not bad:
            return {k: seconds for k, _, _, seconds in log}, left_out
        chosen = [k for k, *_ in log if k not in bad]


def attempt(mutant, check, chosen):
    "What a check says to a mutant: None if it lets it pass."

    def job():
        found = []
        try:
            sys.meta_path.insert(0, Finder(mutant))
            if check == LAYERS:
                run_layers()
            else:
                run_notebook(check, chosen, report=lambda k, kind, text, _: found.append((k, kind)))
        except BaseException as e:
            return [f'{found[-1][0]}' if found else 'import', type(e).__name__, str(e)[:100]]
        return 'passed'

    result = forked(job, 3 * sum(chosen.values()) + 5)
    return None if result == 'passed' else ['', 'time', ''] if result is None else result


def prepare():
    """Import all that the checks import, but the package:
    each process that is forked imports that anew.
    """
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    sys.path.insert(0, str(ROOT))
    sys.dont_write_bytecode = True
    for name in ('torch', 'onnxruntime'):
        sys.modules[name] = None
    for name in ('nbdev', 'nbdev.showdoc'):
        sys.modules[name] = types.ModuleType(name)
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.figure
    import matplotlib.pyplot
    import tqdm  # noqa: F401
    import unittest.mock  # noqa: F401

    assert not any(name.startswith('rnn_captioning') for name in sys.modules)
    gc.freeze()


class Judge:
    """Asks the checks of a module about mutants, the first
    ones first; which cells to run is found out once.
    """

    def __init__(self):
        self.chosen = {}

    def cells(self, check, each):
        if (check, each) not in self.chosen:
            self.chosen[check, each] = choose(check, each)
        return self.chosen[check, each][0]

    def __call__(self, mutant):
        own, *others = CHECKS[mutant.module]
        for check, each in [
            (own, EACH[0]),
            (LAYERS, EACH[1]),
            (own, EACH[1]),
            *((other, EACH[1]) for other in others),
        ]:
            if said := attempt(mutant, check, self.cells(check, each)):
                return [check, *said]


def report(judge, counts, stale, asked, verbose):
    "How many mutants of each module were caught."
    if verbose:
        for (check, each), (chosen, left_out) in judge.chosen.items():
            print(
                f'{check}, at most {each} s a cell: {len(chosen)} cells, '
                f'{sum(chosen.values()):.1f} s; left out {left_out}'
            )

    def total(kind):
        return sum(row[kind] for row in counts.values())

    for module, row in counts.items():
        print(
            f'{module:20} {sum(row.values()):5} mutants: {row["caught"]} caught, '
            f'{row["equivalent"]} equivalent, {row["survived"]} survived'
        )
    for name in stale:
        print(f'no such mutant, but in REASONS: {name}')
    print(
        f'{asked} mutants: {total("caught")} caught, {total("equivalent")} equivalent, '
        f'{total("survived")} survived'
        + (
            f', {total("listed, yet caught")} listed as equivalent, yet caught'
            if total('listed, yet caught')
            else ''
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'modules', nargs='*', metavar='MODULE', help=f'of {", ".join(CHECKS)}; none: all'
    )
    parser.add_argument('--only', default='', help='mutants whose name contains this')
    parser.add_argument('--sample', type=int, help='so many, drawn at random')
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    parser.add_argument('--list', action='store_true', help='name the mutants and run nothing')
    parser.add_argument(
        '--verbose', action='store_true', help='say what caught each, and which cells are left out'
    )
    a = parser.parse_args()
    if unknown := [m for m in a.modules if m not in CHECKS]:
        parser.error(f'{", ".join(unknown)}: expected {", ".join(CHECKS)}')
    everything = {m.name: m for module in CHECKS for m in mutants(module)}
    stale = [name for name in EQUIVALENT if name not in everything]
    todo = [
        m for m in everything.values() if m.module in (a.modules or CHECKS) and a.only in m.name
    ]
    if a.sample:
        todo = random.Random(a.seed).sample(
            known := [m for m in todo if m.name not in EQUIVALENT], min(a.sample, len(known))
        )
    if a.list:
        for m in todo:
            print(
                f'{m.line:4} {m.name}'
                + (f'      [equivalent: {EQUIVALENT[m.name]}]' if m.name in EQUIVALENT else '')
            )
        return print(f'{len(todo)} mutants')
    prepare()
    judge, counts, wrong, told = Judge(), {}, [], time.monotonic()
    for k, m in enumerate(todo, 1):
        found, listed = judge(m), m.name in EQUIVALENT
        kind = (
            ('listed, yet caught' if found else 'equivalent')
            if listed
            else 'caught'
            if found
            else 'survived'
        )
        row = counts.setdefault(
            m.module, dict.fromkeys(('caught', 'equivalent', 'survived', 'listed, yet caught'), 0)
        )
        row[kind] += 1
        if kind in ('survived', 'listed, yet caught'):
            wrong.append(m)
            print(f'{kind}: line {m.line} {m.name} {found or ""}', flush=True)
        elif a.verbose and found:
            print(f'caught: {m.name} {found}', flush=True)
        if time.monotonic() > told + 10:
            told = time.monotonic()
            print(f'{k} of {len(todo)}', file=sys.stderr, flush=True)
    report(judge, counts, stale, len(todo), a.verbose)
    sys.exit(bool(wrong or stale))


if __name__ == '__main__':
    main()
