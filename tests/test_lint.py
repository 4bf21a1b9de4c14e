"""Text is read and written in UTF-8 whatever the
locale: the encoding is named wherever a text is opened.

Ruff's rule sees `open` and what it knows to be a `Path`. What it
cannot know, such as `(folder/'a.txt').read_text()`, and text from
other programs, is looked for here.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = {'run', 'Popen', 'check_output', 'check_call', 'call'}


@pytest.mark.parametrize('words', [['check', '--output-format=concise'], ['format', '--check']])
def test_ruff(words):
    pytest.importorskip('ruff', reason='ruff is a development requirement')
    command = [sys.executable, '-m', 'ruff', *words, '.']
    done = subprocess.run(command, capture_output=True, encoding='utf-8', cwd=ROOT)
    assert done.returncode == 0, f'run `make format`: {done.stdout + done.stderr}'


def test_no_line_of_a_module_is_wider_than_its_notebook_may_be():
    "But for __all__, which nbdev wraps at 120."
    wide = []
    for path in sorted((ROOT / 'rnn_captioning').rglob('*.py')):
        code = path.read_text(encoding='utf-8')
        code = re.sub(r'^__all__ = \[[^]]*\]', '', code, count=1, flags=re.M)
        if path.name != '_modidx.py':
            wide += [
                f'{path.name}: {line}'
                for line in code.splitlines()
                if len(line) > 100 and ' ' in line.strip()
            ]
    assert not wide


def test_pre_commit_runs_the_ruff_that_is_tested():
    yaml = pytest.importorskip('yaml')
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text(encoding='utf-8'))
    hooks = [hook for repo in config['repos'] for hook in repo['hooks']]
    wanted = re.search(r'\bruff==[\d.]+', (ROOT / 'settings.ini').read_text(encoding='utf-8'))[0]
    assert {hook['entry'].split()[1] for hook in hooks} == {'check', 'format'}
    assert all(hook['additional_dependencies'] == [wanted] for hook in hooks)


def test_ruff_sees_notebooks_and_tools(tmp_path):
    "The rule is in force, in each kind of file."
    pytest.importorskip('ruff')
    cell = dict(cell_type='code', id='a', metadata={}, outputs=[], execution_count=None)
    language = dict(language_info=dict(name='python'))
    cells = [dict(cell, source=["open('a')"])]
    notebook = dict(cells=cells, metadata=language, nbformat=4, nbformat_minor=5)
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'ruff.toml').write_text(
        (ROOT / 'ruff.toml').read_text(encoding='utf-8'), encoding='utf-8'
    )
    (tmp_path / 'a.ipynb').write_text(json.dumps(notebook), encoding='utf-8')
    for name in ('a.py', 'tools/b.py'):
        (tmp_path / name).write_text("open('a')\n", encoding='utf-8')
    command = [sys.executable, '-m', 'ruff', 'check', '--output-format=concise', '--no-cache', '.']
    done = subprocess.run(command, capture_output=True, encoding='utf-8', cwd=tmp_path)
    assert done.returncode == 1
    found = {
        line.split(':')[0].replace(os.sep, '/')
        for line in done.stdout.splitlines()
        if 'unspecified-encoding' in line
    }
    assert found == {'a.py', 'tools/b.py', 'a.ipynb'}


def sources():
    "Where and what: all Python of the project."
    for path in [
        ROOT / 'setup.py',
        *(p for name in ('rnn_captioning', 'tests', 'tools') for p in (ROOT / name).rglob('*.py')),
    ]:
        if 'node_modules' not in path.parts:
            yield str(path.relative_to(ROOT)), path.read_text(encoding='utf-8')
    for path in sorted((ROOT / 'nbs').rglob('*.ipynb')):
        for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
            if cell['cell_type'] == 'code':
                lines = [line for line in cell['source'] if not line.startswith(('%', '!'))]
                yield f'{path.relative_to(ROOT)} {cell["id"]}', ''.join(lines)


def unnamed(code):
    "The calls by which a text is read or written in the encoding of the locale."
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call):
            continue
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, 'id', '')
        )
        given = {keyword.arg for keyword in call.keywords}
        if 'encoding' in given or None in given:
            continue
        before = {'read_text': 0, 'write_text': 1}.get(name)
        if before is not None and len(call.args) <= before:
            yield call
        if name in PROGRAMS and given & {'text', 'universal_newlines'}:
            yield call


def test_encoding_is_named():
    assert (
        len(
            list(unnamed("p.read_text(); p.write_text('a'); run('a', text=True); f(p).read_text()"))
        )
        == 4
    )
    assert not list(
        unnamed(
            "p.read_text('utf-8'); p.write_text('a', encoding='utf-8'); run('a', encoding='utf-8')"
        )
    )
    found = [
        f'{where}: {ast.unparse(call)[:100]}' for where, code in sources() for call in unnamed(code)
    ]
    assert not found, '\n'.join(found)
