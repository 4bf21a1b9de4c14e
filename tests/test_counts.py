"""What tools/count.py counts stays within the limits that were reached, and is printed."""

import pytest
import count

# Lower a limit when less is reached; never raise one.
AT_MOST = {
    'lines over 120 columns': 0,
    'lines over 100 columns': 0,
    'semicolons': 0,
    'one-line compounds': 0,
    'assigned lambdas': 0,
    'public names': 481,
    'of their own module alone': 226,
    'longest function, lines': 93,
    'functions over 40 lines': 10,
    'highest complexity': 12,
    'layers that bring h5py': 1,
}


@pytest.fixture(scope='module')
def rows():
    pytest.importorskip('ruff', reason='ruff is a development requirement')
    found = count.table()
    print(count.printed(found))
    return {what: (number, where) for what, number, where in found}


def test_every_row_has_a_limit(rows):
    assert list(rows) == list(AT_MOST)


@pytest.mark.parametrize('what', AT_MOST)
def test_limit(rows, what):
    number, where = rows[what]
    assert number <= AT_MOST[what], f'{what}: {number} at {where}; `make count` says more'


def package(monkeypatch, folder, **files):
    "A package of these modules is what is counted."
    monkeypatch.setattr(count, 'PACKAGE', folder / 'toy')
    (folder / 'toy').mkdir()
    for name, text in files.items():
        (folder / 'toy' / f'{name}.py').write_text(text, encoding='utf-8')


def test_names_of_a_module_alone(tmp_path, monkeypatch):
    package(
        monkeypatch,
        tmp_path,
        __init__="__all__ = ['TYPE_CHECKING']\n__all__ = ['at_the_door']\n",
        a="__all__ = ['at_the_door', 'imported', 'read', 'alone']\n",
        b="from toy.a import imported\nfrom . import a as other\nother.read(other.__name__)\n",
        c="import toy\nalone = 'of another module of the same name'\nprint(alone)\n",
    )
    public, alone = count.names()
    assert public['a'] == ['at_the_door', 'imported', 'read', 'alone']
    assert alone == {'a': ['alone'], 'b': [], 'c': []}


def test_wide_lines_lengths_and_compounds(tmp_path, monkeypatch):
    pytest.importorskip('ruff')
    wide = 'x' * 60 + ' + ' + 'y' * 60
    code = f'''"""{wide}"""
__all__ = ['{wide}',
           '{wide}']
{wide}
{'z' * 130}
def f(
    a, b
):
    """
    Not counted.
    """

    # nor is this
    g = lambda: a; h = 1
    if a: return b
    if h: return g
'''
    package(monkeypatch, tmp_path, a=code)
    assert count.wide_lines(120) == ['a:4']
    assert count.function_lengths() == [(3, 'a.f')]
    assert count.complexities() == [(3, 'a.f')]
    assert count.ruff_counts() == {'semicolons': 1, 'one-line compounds': 2, 'assigned lambdas': 1}
