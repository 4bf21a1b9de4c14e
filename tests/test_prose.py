"The prose: spelt right, and every chapter has what a reader expects of a chapter."

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
NBS = sorted((ROOT / 'nbs').rglob('*.ipynb'))
PAGES = ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')
NO_CHAPTERS = ('Guides', 'Files', 'Results', 'Speed', 'Reference')  # sections of the sidebar
# Pages of reference within the wings: short, without exercises.
OTHERS = re.compile(
    r'^00_notation|/00_index|models/01_captioner|training/02_run_folder'
    r'|data/(01_vocabulary|03_rows|04_batches|05_coco|09_fetch)'
)
# Right here, and mistakes elsewhere: ROUGE is a score.
IGNORED = 'rouge'
# Of words that are spelt in two ways, the book takes the British one.
AMERICAN = re.compile(
    r'\b(colors?|colored|grays?|behaviors?|neighbors?|neighboring|favorites?|centers?|centered|labeled|modeling|modeled|canceled|traveled|analyze[sd]?|catalogs?)\b',
    re.I,
)


def prose(path):
    "The Markdown of a notebook or of a page, without code, formulas and addresses."
    text = (
        path.read_text(encoding='utf-8')
        if path.suffix == '.md'
        else '\n\n'.join(
            c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'markdown'
        )
    )
    for code in (
        r'^(```|~~~).*?^\1',
        r'\$\$.*?\$\$',
        r'`[^`]*`',
        r'\$[^$]*\$',
        r'\]\([^)]*\)',
        r'https?://\S+',
        r'\{[^}\n]*\}',
    ):
        text = re.sub(code, ' ', text, flags=re.S | re.M)
    return text


def chapters():
    "The notebooks of the sections of the sidebar that are chapters."
    contents = yaml.safe_load((ROOT / '_quarto.yml').read_text(encoding='utf-8'))['website'][
        'sidebar'
    ]['contents']
    sections = [e for e in contents if isinstance(e, dict) and e.get('section') not in NO_CHAPTERS]
    return [
        ROOT / 'nbs' / name
        for section in sections
        for name in section['contents']
        if not OTHERS.search(name)
    ]


@pytest.fixture(scope='module')
def words(tmp_path_factory):
    "A folder with the prose of each file."
    folder = tmp_path_factory.mktemp('prose')
    for path in [*NBS, *(ROOT / name for name in PAGES)]:
        (folder / f'{path.parent.name}_{path.name}.txt').write_text(prose(path), encoding='utf-8')
    return folder


def misspelt(folder):
    if not find_spec('codespell_lib'):
        pytest.skip('codespell is not installed')
    command = [
        sys.executable,
        '-m',
        'codespell_lib',
        '--builtin',
        'clear,rare',
        '--ignore-words-list',
        IGNORED,
        folder,
    ]
    done = subprocess.run([str(c) for c in command], capture_output=True, encoding='utf-8')
    assert done.returncode in (0, 65), done.stderr  # 65: something is misspelt
    return done.stdout.replace(f'{folder}{os.sep}', '')


def test_spelling(words, tmp_path):
    (tmp_path / 'wrong.txt').write_text('This is teh gradeint.\n', encoding='utf-8')
    assert 'the' in misspelt(tmp_path)  # the checker checks
    assert not (found := misspelt(words)), found


def test_british_spelling():
    assert AMERICAN.search('the color of') and not AMERICAN.search(
        'the colour of a labelled centre'
    )
    texts = {path.name: prose(path) for path in [*NBS, *(ROOT / name for name in PAGES)]}
    found = [
        f'{name}: ...{text[max(m.start() - 30, 0) : m.end() + 30]!r}'
        for name, text in texts.items()
        for m in AMERICAN.finditer(text)
    ]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize('path', NBS, ids=lambda p: p.stem)
def test_page(path):
    cells = nbformat.read(path, 4).cells
    first = cells[0]
    assert first.cell_type == 'markdown' and re.match(r'# .+\n\n> .+$', first.source), (
        'the first cell is a title and a blockquote of one line'
    )
    text = '\n'.join(c.source for c in cells if c.cell_type == 'markdown')
    images = re.findall(r'!\[(.*?)\]\(', text)
    assert all(alt.strip() for alt in images), 'an image without alternative text'
    drawn = [
        c
        for c in cells
        if c.cell_type == 'code'
        and any(
            {'image/png', 'image/svg+xml'} & set(o.get('data', {})) for o in c.get('outputs', [])
        )
    ]
    bare = [
        c.source[:80]
        for c in drawn
        if not re.search(
            r'^#\|\s*(fig-alt:\s*\S|hide|include:\s*false|output:\s*false)', c.source, re.M
        )
    ]
    assert not bare, f'figures without `#| fig-alt`: {bare}'


@pytest.mark.parametrize('path', chapters(), ids=lambda p: p.stem)
def test_chapter(path):
    cells = nbformat.read(path, 4).cells
    text = '\n'.join(c.source for c in cells if c.cell_type == 'markdown')
    headings = re.findall(r'^##+ (.+)$', text, re.M)
    missing = [
        f'`## {name}`'
        for name in ('Summary', 'Exercises', 'Answers')
        if not re.search(rf'^## {name}\s*$', text, re.M)
    ]
    missing += ['a heading about mistakes'] * (not any('mistake' in h.lower() for h in headings))
    pictured = '![' in text or any(
        {'image/png', 'image/svg+xml'} & set(o.get('data', {}))
        for c in cells
        for o in c.get('outputs', [])
    )
    missing += ['a figure'] * (not pictured)
    assert not missing, f'{path.name} lacks {", ".join(missing)}'
