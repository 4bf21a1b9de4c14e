"""Build the site into _docs/.

With Quarto on the path this is `nbdev_docs`. Without it, the same processed notebooks and the same _quarto.yml go
through smalldocs, with KaTeX from npm for the formulas; the pages load nothing from the network."""
import re, shutil, subprocess, sys
from pathlib import Path
import yaml

ROOT = Path(__file__).resolve().parent.parent
OUT, WORK = ROOT/'_docs', ROOT/'_proc'
CDN = re.compile(r'https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist')
KATEX = 'katex@0.16.11'

def page_name(notebook): return re.sub(r'^\d+_', '', notebook.replace('.ipynb', ''))

def with_quarto():
    subprocess.run([sys.executable, '-c', 'from nbdev.quarto import nbdev_docs; nbdev_docs()'], cwd=ROOT, check=True)

def processed():
    "The notebooks as nbdev prepares them for rendering, each under the name of its page."
    shutil.rmtree(WORK, ignore_errors=True)
    code = 'from nbdev.quarto import refresh_quarto_yml, nbdev_proc_nbs; refresh_quarto_yml(); nbdev_proc_nbs()'
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
    site = WORK/'site'
    shutil.copytree(WORK, site, ignore=shutil.ignore_patterns('site', '_docs', '.*'))
    shutil.copytree(ROOT/'nbs'/'images', site/'images', dirs_exist_ok=True)
    shutil.copy(ROOT/'nbs'/'styles.css', site)
    for path in sorted(site.glob('*.ipynb')):
        text = re.sub(r'\b\d+_(\w+)\.(ipynb|html)', r'\1.\2', path.read_text())
        text = re.sub(r'output-file: [^\\\n]+(\\n|\n)', '', text)      # the page has that name already
        path.unlink()
        (site/f'{page_name(path.name)}.ipynb').write_text(text)
    return site

def settings(site):
    config = yaml.safe_load((ROOT/'_quarto.yml').read_text())
    config['project']['output-dir'] = '_site'
    text = re.sub(r'\b\d+_(\w+\.ipynb)', r'\1', yaml.safe_dump(config, sort_keys=False))
    for name in ('_quarto.yml', 'nbdev.yml'): (site/name).unlink(missing_ok=True)
    (site/'_quarto.yml').write_text(text)

def local_katex(site):
    subprocess.run(['npm', 'install', '--silent', '--no-save', '--prefix', str(WORK), KATEX], check=True)
    shutil.copytree(WORK/'node_modules'/'katex'/'dist', site/'katex', ignore=shutil.ignore_patterns('*.mjs', 'README*'))
    for page in site.rglob('*.html'):
        here = '../' * (len(page.relative_to(site).parts) - 1)
        page.write_text(CDN.sub(f'{here}katex', page.read_text()))

def with_smalldocs():
    site = processed()
    settings(site)
    subprocess.run([str(Path(sys.executable).parent/'smalldocs'), 'render', str(site), '--quiet'], check=True)
    local_katex(site/'_site')
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(site/'_site', OUT)
    shutil.rmtree(WORK)

if __name__ == '__main__':
    with_quarto() if shutil.which('quarto') else with_smalldocs()
    print(f'{len(list(OUT.glob("*.html")))} pages in {OUT.name}/')
