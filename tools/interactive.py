"""The interactive figures of the site: Vega-Lite, which draws
them, goes beside the pages that have any, and to no other.

A notebook's `Interactive` (see nbs/reference/06_drawing.ipynb) leaves
its specification in the page; tools/interactive.js finds it there."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE / 'node_modules'
# in the order in which a page loads them
LIBRARIES = {'vega': '5.33.0', 'vega-lite': '5.23.0', 'vega-embed': '6.29.0'}
FIGURE = '<script type="application/json" class="vega-lite">'


def as_markdown(path):
    """Hand figures on as Markdown with raw HTML: where an
    output is HTML, Quarto loads libraries from the network.
    """
    nb = json.loads(path.read_text(encoding='utf-8'))
    for out in (
        o
        for cell in nb['cells']
        for o in cell.get('outputs', [])
        if FIGURE in ''.join(o.get('data', {}).get('text/html', ''))
    ):
        out['data'] = {
            'text/markdown': '```{=html}\n' + ''.join(out['data']['text/html']).strip() + '\n```'
        }
    path.write_text(json.dumps(nb), encoding='utf-8')


def library(name):
    """The folder of a library, fetched by npm where it is not there yet.

    What it depends on is in its bundle.
    """
    folder, version = TOOLS / name, LIBRARIES[name]
    if (
        not folder.exists()
        or json.loads((folder / 'package.json').read_text(encoding='utf-8'))['version'] != version
    ):
        if not shutil.which('npm'):
            sys.exit(
                'docs: install Node.js with npm, which brings Vega for the interactive figures'
            )
        with tempfile.TemporaryDirectory() as tmp:
            subprocess.run(
                ['npm', 'pack', '--silent', f'{name}@{version}'],
                cwd=tmp,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            with tarfile.open(next(Path(tmp).glob('*.tgz'))) as packed:
                for member in packed:
                    if member.name in (
                        'package/LICENSE',
                        'package/package.json',
                        f'package/build/{name}.min.js',
                    ):
                        packed.extract(member, tmp, filter='data')
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(Path(tmp) / 'package', folder)
    return folder


def add_interactive(site):
    """Put the libraries into a built site, and their
    scripts into the pages that have a figure for them.
    """
    pages = [
        page for page in sorted(site.rglob('*.html')) if FIGURE in page.read_text(encoding='utf-8')
    ]
    if not pages:
        return
    target = site / 'site_libs' / 'vega'
    target.mkdir(parents=True, exist_ok=True)
    for name in LIBRARIES:
        shutil.copy(library(name) / 'build' / f'{name}.min.js', target)
        shutil.copy(library(name) / 'LICENSE', target / f'{name}.LICENSE')
        script = target / f'{name}.min.js'
        # the map is not there
        script.write_text(
            re.sub(r'\n?//# sourceMappingURL=\S*\s*$', '\n', script.read_text(encoding='utf-8')),
            encoding='utf-8',
        )
    shutil.copy(HERE / 'interactive.js', target)
    for page in pages:
        base = Path(os.path.relpath(target, page.parent)).as_posix()
        scripts = ''.join(
            f'<script src="{base}/{name}" defer></script>\n'
            for name in [*(f'{name}.min.js' for name in LIBRARIES), 'interactive.js']
        )
        page.write_text(
            page.read_text(encoding='utf-8').replace('</head>', f'{scripts}</head>', 1),
            encoding='utf-8',
        )
