"""help() and an editor's hover show what every front-door function and
class takes and returns: numpydoc sections that agree with the signature.
"""

import inspect
import re
import pytest
import rnn_captioning
from numpydoc import entries, parameters, sections

SHAPE = re.compile(r'\([^()]*,[^()]*\)|\b[Ss]hape\b')


def described():
    """(name, function or dataclass, arguments) of what can be called
    at the front door, with the public methods of its classes.
    """
    for name in rnn_captioning.__all__:
        thing = getattr(rnn_captioning, name)
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            if hasattr(thing, '__dataclass_fields__'):
                yield name, thing
                continue
            own = {}
            for base in reversed(thing.__mro__):
                if base.__module__.startswith('rnn_captioning'):
                    own |= vars(base)
            for key, value in own.items():
                if inspect.isfunction(value) and (key == '__init__' or not key.startswith('_')):
                    yield f'{name}.{key}', value


EVERY = list(described())
each = pytest.mark.parametrize('name, thing', EVERY, ids=[name for name, _ in EVERY])


def arguments(thing):
    return {p.name: p for p in inspect.signature(thing).parameters.values() if p.name != 'self'}


def test_the_front_door_is_seen():
    names = {name for name, _ in EVERY}
    assert len(names) > 90
    assert {
        'rnn_forward',
        'train',
        'prepare_data',
        'CaptioningRNN.__init__',
        'CaptioningRNN.loss',
        'PhotoCaptioner.caption',
        'Cell',
    } <= names


@pytest.mark.parametrize('name', rnn_captioning.__all__)
def test_there_is_a_summary(name):
    thing = getattr(rnn_captioning, name)
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        pytest.skip('a constant')
    summary = sections(thing.__doc__)[''].split('\n\n')[0]
    assert summary.rstrip().endswith(('.', '.)')), f'{name}: {summary!r}'


@each
def test_parameters_are_the_arguments(name, thing):
    assert list(parameters(thing.__doc__)) == list(arguments(thing))


@each
def test_each_parameter_is_described(name, thing):
    silent = [argument for argument, text in parameters(thing.__doc__).items() if not text]
    assert not silent, f'{name}: {silent}'


@each
def test_arrays_say_their_shape(name, thing):
    said = parameters(thing.__doc__)
    arrays = [
        key
        for key, p in arguments(thing).items()
        if 'ndarray' in str(p.annotation) and '[' not in str(p.annotation)
    ]
    shapeless = [key for key in arrays if not SHAPE.search(said.get(key, ''))]
    assert not shapeless, f'{name}: {shapeless}'


@each
def test_what_is_returned_is_described(name, thing):
    if inspect.isclass(thing) or name.endswith('__init__'):
        return
    annotation = inspect.signature(thing).return_annotation
    returned = entries(sections(thing.__doc__).get('Returns', ''))
    if annotation in ('None', None):
        assert not returned
    else:
        assert list(returned) == [annotation] and all(returned.values()), (
            f'{name}: {returned}, annotated {annotation}'
        )


@each
def test_lines_fit(name, thing):
    long = [line for line in (thing.__doc__ or '').splitlines() if len(line) > 100]
    assert not long, f'{name}: {long}'


@each
def test_help_shows_them(name, thing):
    import pydoc

    text = pydoc.plain(pydoc.render_doc(thing))
    for argument, said in parameters(thing.__doc__).items():
        assert argument in text and said.split()[0] in text
    assert not parameters(thing.__doc__) or 'Parameters' in text


@each
def test_the_page_shows_them(name, thing):
    "nbdev reads the same sections for the reference on the page."
    docments = pytest.importorskip('fastcore.docments').docments
    if name.endswith('__init__'):
        thing = getattr(rnn_captioning, name.partition('.')[0])
    shown = docments(thing, full=True)
    # which nbdev leaves out
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    silent = [
        key
        for key, p in arguments(thing).items()
        if p.kind not in stars and not shown[key]['docment']
    ]
    assert not silent, f'{name}: {silent}'
