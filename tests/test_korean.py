"""The Korean book keeps to the English one: every block is there,
translates the text as it is, and changes neither formulas nor code.
"""

import copy
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location('korean', ROOT / 'tools' / 'korean.py')
spec.loader.exec_module(korean := importlib.util.module_from_spec(spec))

WANTED = [
    'index',
    '00_gradient_check',
    '01_step_forward',
    '02_step_backward',
    '03_sequence',
    '04_embedding',
    '05_temporal_affine',
    '06_model',
    '07_solver',
]
# names of chapters that are not translated yet; a name leaves this list with its translation
COMING = []
ALL = list(dict.fromkeys([*WANTED, *korean.counterparts()]))
THERE = [n for n in ALL if (ROOT / 'nbs' / 'ko' / f'{n}.md').exists()]


def coming(name):
    return (
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason='not translated yet'))
        if name in COMING
        else name
    )


@pytest.mark.parametrize('name', [coming(n) for n in ALL])
def test_counterpart_keeps_to_the_english(name):
    found = korean.faults(name)
    assert not found, '\n'.join(
        [
            f'see python tools/korean.py status {name}',
            *(f'{cell} {complaint}' for cell, complaint in found),
        ]
    )


def code_and_outputs(nb):
    "All of a notebook but its prose, captions and alternative texts."

    def without_captions(data):
        return {
            k: re.sub(r'<figcaption>.*?</figcaption>|aria-label="[^"]*"', '', ''.join(v))
            if 'figure interactive' in ''.join(v)
            else v
            for k, v in data.items()
        }

    cells = []
    for cell in nb['cells']:
        code = (
            re.sub(
                r'^#\|\s*(fig-cap|fig-alt|tbl-cap|code-summary):.*$',
                '',
                ''.join(cell['source']),
                flags=re.M,
            )
            if cell['cell_type'] == 'code'
            else ''
        )
        cells.append(
            (
                cell['cell_type'],
                cell['id'],
                code,
                [
                    {**out, 'data': without_captions(out.get('data', {}))}
                    for out in cell.get('outputs', [])
                ],
            )
        )
    return cells


@pytest.mark.parametrize('name', THERE)
def test_code_and_outputs_are_those_of_the_notebook(name):
    nb = korean.read_notebook(name)
    before = json.dumps(nb)
    made = korean.compose(nb, korean.korean(name, THERE))
    assert json.dumps(nb) == before and made['metadata']['lang'] == 'ko'
    assert code_and_outputs(made) == code_and_outputs(nb)
    texts = korean.english(name)
    assert all(
        korean.text_of(cell) != texts[cell['id']] for cell in made['cells'] if cell['id'] in texts
    ), 'a text is still the English one'


@pytest.mark.parametrize('name', THERE)
def test_links_lead_to_the_korean_page_where_there_is_one(name):
    for text in korean.korean(name, THERE).values():
        for target in korean.LINK.findall(text):
            if re.match(r'[a-z]+:|#', target):
                continue
            path = target.partition('#')[0]
            if path.startswith('../'):
                assert (ROOT / 'nbs' / path[3:]).exists() and Path(path).stem not in THERE
            else:
                assert Path(path).stem in THERE


# That the checks can fail: each damage to a true pair
# is found, and the pair itself is without fault.

ENGLISH = '''## How `f` grows

The slope of $f$ at 2.5, by (1) in [the notes](01_step_forward.ipynb), is `df`:

$$f' = 2x \\tag{1}$$

1. Try it.
2. Try again.

<details><summary>Answer</summary>

It grows.

</details>

::: {.door}

Come in.

:::'''
KOREAN = '''## `f`는 어떻게 커지는가

[노트](01_step_forward.ipynb)의 (1)에 따르면 2.5에서 $f$의 기울기는 `df`다.

$$f' = 2x \\tag{1}$$

1. 해 보라.
2. 다시 해 보라.

<details><summary>해답</summary>

커진다.

</details>

::: {.door}

들어오라.

:::'''


def test_a_true_pair_has_no_differences():
    assert not list(korean.differences(ENGLISH, KOREAN))


@pytest.mark.parametrize(
    'old, new, complaint',
    [
        ('$f$', '$g$', 'formulas'),
        ('$f$의', '', 'formulas'),
        ("f' = 2x", "f' = 3x", 'displayed formulas'),
        ('\\tag{1}', '\\tag{2}', 'displayed formulas'),
        ('`df`', '`dg`', 'code spans'),
        ('`df`', 'df', 'code spans'),
        ('01_step_forward.ipynb', '02_step_backward.ipynb', "links' targets"),
        ('의 (1)에', '의 (2)에', 'references to equations'),
        ('## ', '### ', 'heading levels'),
        ('2.5', '2.4', 'numbers are missing: 2.5'),
        ('\n2. 다시 해 보라.', '', 'paragraphs'),
        ('</details>', '', 'tags'),
        ('{.door}', '{.window}', 'tags'),
        ('>해답<', '>Answer<', 'not in Korean'),
        ('## `f`는 어떻게 커지는가\n\n', '', 'paragraphs'),
        ('## `f`는 어떻게 커지는가', '## How `f` grows', 'not in Korean'),
    ],
)
def test_a_difference_is_found(old, new, complaint):
    assert KOREAN.count(old) == 1
    assert any(complaint in d for d in korean.differences(ENGLISH, KOREAN.replace(old, new)))


def test_emphasis_that_would_not_close_is_found():
    damaged = KOREAN.replace('기울기는', '**기울기(slope)**는')
    assert any('emphasis' in d for d in korean.differences(ENGLISH, damaged))
    assert not any(
        'emphasis' in d
        for d in korean.differences(ENGLISH, KOREAN.replace('기울기는', '**기울기**(slope)는'))
    )


@pytest.mark.parametrize(
    'text, complaint',
    [
        ('fig-cap: 곡선.', 'a line each is wanted'),
        ('fig-cap: 곡선.\nfig-alt: 0 위의 곡선.\n한 줄 더.', 'a line each is wanted'),
        ('fig-cap: 곡선.\nfig-alt: 곡선: 0 위.', 'not one text to YAML'),
        ('fig-cap: 곡선.\nfig-alt: 곡선.', 'numbers are missing'),
        ('fig-cap: A curve.\nfig-alt: 0 위의 곡선.', 'not in Korean'),
    ],
)
def test_a_difference_of_captions_is_found(text, complaint):
    one = 'fig-cap: A curve.\nfig-alt: A curve above 0.'
    assert not list(korean.caption_differences(one, 'fig-cap: 곡선.\nfig-alt: 0 위의 곡선.'))
    assert any(complaint in d for d in korean.caption_differences(one, text))


NOTEBOOK = dict(
    metadata={},
    cells=[
        dict(cell_type='markdown', id='a1', metadata={}, source='# A title\n\n> And a line.'),
        dict(
            cell_type='code',
            id='a2',
            metadata={},
            source='#| hide\n#| fig-cap: Unseen.',
            outputs=[],
        ),
        dict(cell_type='markdown', id='a3', metadata={}, source=ENGLISH),
        dict(
            cell_type='code',
            id='a4',
            metadata={},
            source='#| fig-cap: A curve.\nf(2)',
            outputs=[dict(output_type='stream', name='stdout', text='4')],
        ),
    ],
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one notebook, translated and signed; edit(old, new)
    changes its counterpart, rewrite(cell, source) the notebook.
    """
    nb = copy.deepcopy(NOTEBOOK)
    (tmp_path / 'nbs' / 'ko').mkdir(parents=True)
    monkeypatch.setattr(korean, 'ROOT', tmp_path)
    monkeypatch.setattr(korean, 'NBS', tmp_path / 'nbs')
    path = tmp_path / 'nbs' / 'ko' / 'one.md'

    class Book:
        def save(self):
            (tmp_path / 'nbs' / 'one.ipynb').write_text(json.dumps(nb), encoding='utf-8')

        def rewrite(self, i, text):
            nb['cells'][i]['source'] = text
            self.save()

        def drop(self, i):
            del nb['cells'][i]
            self.save()

        def edit(self, old, new):
            text = path.read_text(encoding='utf-8')
            assert text.count(old) == 1
            path.write_text(text.replace(old, new), encoding='utf-8')

        def complaints(self):
            return ' '.join(f'{cell} {complaint}' for cell, complaint in korean.faults('one'))

    book = Book()
    book.save()
    assert 'ko/one.md is missing' in book.complaints()
    korean.stub('one')
    assert book.complaints().count('is not translated') == 3
    for old, new in (
        ('# A title\n\n> And a line.', '# 제목\n\n> 그리고 한 줄.'),
        (ENGLISH, KOREAN),
        ('A curve.', '곡선.'),
    ):
        book.edit(old, new)
    assert not korean.sign('one', [])
    return book


def test_a_stale_block_is_found_until_it_is_signed(book, capsys):
    book.rewrite(2, ENGLISH.replace('slope', 'steepness'))
    assert 'a3 is stale' in book.complaints() and korean.main('status', 'one')
    assert 'a3 is stale' in capsys.readouterr().out
    assert not korean.main('sign', 'nbs/one.ipynb', 'a3') and not book.complaints()


def test_a_stale_caption_is_found_and_changed_code_is_none(book):
    book.rewrite(3, '#| fig-cap: A curve.\nf(3)')
    assert not book.complaints()
    book.rewrite(3, '#| fig-cap: Another curve.\nf(3)')
    assert 'a4 is stale' in book.complaints()


def test_missing_and_stray_blocks_are_found(book):
    head = f'<!-- cell a4 of {korean.digest("fig-cap: A curve.")} -->\n'
    book.edit(head, head.replace('a4', 'b7'))
    assert 'a4 is missing' in book.complaints() and 'b7 has no cell' in book.complaints()


def test_a_cell_that_is_gone_is_found(book):
    book.drop(2)
    assert 'a3 has no cell' in book.complaints()


def test_blocks_out_of_order_are_found_and_put_in_order(book):
    made = korean.blocks('one')
    korean.write_blocks('one', made[::-1])
    assert 'not in the order' in book.complaints()
    korean.stub('one')
    assert not book.complaints() and korean.blocks('one') == made


def test_sign_leaves_other_blocks_and_refuses_a_stray_cell(book):
    book.rewrite(2, ENGLISH.replace('slope', 'steepness'))
    book.rewrite(0, '# Another title\n\n> And a line.')
    korean.sign('one', ['a3'])
    assert 'a1 is stale' in book.complaints() and 'a3' not in book.complaints()
    with pytest.raises(SystemExit, match='no cell zz'):
        korean.sign('one', ['zz'])


def test_headings_keep_the_english_anchors(book):
    text = korean.korean('one', ['one'])['a3']
    assert (
        text.startswith('## `f`는 어떻게 커지는가 {#how-f-grows}\n')
        and '](../01_step_forward.ipynb)' in text
    )
    assert '](01_step_forward.ipynb)' in korean.korean('one', ['one', '01_step_forward'])['a3']
    assert korean.with_anchors(
        '## A\n\n~~~sh\n# no heading\n~~~\n\n## A',
        '## 가\n\n~~~sh\n# no heading\n~~~\n\n## 나',
        Counter(),
    ).splitlines()[::6] == ['## 가 {#a}', '## 나 {#a-1}']


def test_captions_are_replaced_and_nothing_else(book):
    nb = korean.read_notebook('one')
    made = korean.compose(nb, korean.korean('one', ['one']))
    assert (
        ''.join(made['cells'][3]['source']) == '#| fig-cap: 곡선.\nf(2)'
        and made['cells'][3]['outputs'] == nb['cells'][3]['outputs']
    )
    assert made['cells'][1] == nb['cells'][1] and code_and_outputs(made) == code_and_outputs(nb)
    made['cells'][3]['source'] = ['#| fig-cap: 곡선.\n', 'f(3)']
    assert code_and_outputs(made) != code_and_outputs(nb)


def test_caption_and_alternative_text_of_a_figure_with_controls_are_replaced_in_its_output(
    book, capsys
):
    page = (
        '<figure class="figure interactive">\n<div aria-label="A curve &amp; a '
        'line.">...</div>\n<figcaption>Move it: slowly.</figcaption>\n<script>{"title": '
        '"curve"}</script></figure>'
    )
    book.rewrite(3, 'g(2)')
    nb = korean.read_notebook('one')
    nb['cells'][3]['outputs'] = [
        dict(
            output_type='display_data',
            data={'text/html': page.splitlines(True), 'text/plain': 'A curve.'},
        )
    ]
    (korean.NBS / 'one.ipynb').write_text(json.dumps(nb), encoding='utf-8')
    assert (
        korean.english('one')['a4'] == 'caption: Move it: slowly.\nalt: A curve & a line.'
        and 'a4 is stale' in book.complaints()
    )
    book.edit('fig-cap: 곡선.', 'caption: 움직여라: 천천히.\nalt: 곡선 & 직선 "하나".')
    assert not korean.sign('one', ['a4'])
    data = korean.compose(nb, korean.korean('one', ['one']))['cells'][3]['outputs'][0]['data']
    assert ''.join(data['text/html']) == page.replace(
        'Move it: slowly.', '움직여라: 천천히.'
    ).replace('A curve &amp; a line.', '곡선 &amp; 직선 &quot;하나&quot;.')
    assert code_and_outputs(korean.compose(nb, korean.korean('one', ['one']))) == code_and_outputs(
        nb
    )
    nb['cells'][3]['outputs'][0]['data']['text/html'][3] = (
        '<script>{"title": "line"}</script></figure>'
    )
    assert code_and_outputs(korean.compose(nb, korean.korean('one', ['one']))) != code_and_outputs(
        korean.read_notebook('one')
    )
