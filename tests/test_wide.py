"""What is wider than a page's column: a box of its own
scrolls, and a formula is broken between its equations.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tools'))
build_docs = pytest.importorskip('build_docs', reason='what builds the docs is not installed')

MATH = '<math display="block" xmlns="http://www.w3.org/1998/Math/MathML"><mi>a</mi></math>'
INLINE = '<math display="inline" xmlns="http://www.w3.org/1998/Math/MathML"><mi>a</mi></math>'
TABLE = '<table class="caption-top table">\n<tr><td>1</td></tr>\n</table>'


def test_quartos_formulas_and_tables_get_a_box():
    held = build_docs.hold_wide(f'<p>{MATH} and {INLINE}</p>{TABLE}')
    formula = f'<span class="math display">{MATH}</span>'
    assert held == f'<p>{formula} and {INLINE}</p><div class="sd-table">{TABLE}</div>'


def test_what_has_a_box_is_left_alone():
    katex = f'<span class="math display"><span class="katex-mathml">{MATH}</span></span>'
    for text in (
        build_docs.hold_wide(MATH + TABLE),
        katex,
        f'<div class="sd-table">\n{TABLE}</div>',
    ):
        assert build_docs.hold_wide(text) == text


@pytest.mark.parametrize(
    ('tex', 'parts'),
    [
        (r'a = 1, \quad b = 2, \qquad c = 3 \tag{4}', 3),
        (r'a = b + c', 1),
        (r'a = b \quad \text{where } b > 1 \quad c', 3),
        (r'\begin{aligned} a &= 1, \qquad b = 2 \\ c &= 3 \end{aligned}', 1),
        (r'\frac{a \quad b}{c}', 1),
    ],
)
def test_a_row_of_equations_is_broken_between_them(tex, parts):
    katex = build_docs.TOOLS / 'katex' / 'dist' / 'katex.js'
    if not katex.exists():
        pytest.skip('KaTeX is not installed: make docs brings it')
    run = subprocess.run(
        ['node', '-e', build_docs.RENDER, str(katex)],
        input=json.dumps([[tex, True]]),
        capture_output=True,
        text=True,
        encoding='utf-8',
        check=True,
    )
    made = json.loads(run.stdout)[0]
    assert made.count('class="part"') == parts
    assert len(re.findall(r'<span style="word-spacing:[\d.]+em"> </span>', made)) == parts - 1
    assert made.count('class="tag"') == tex.count(r'\tag')
    # readers copy the formula as it is written
    assert 'allowbreak' not in made.split('class="katex-html"')[0]
