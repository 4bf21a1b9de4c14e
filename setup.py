"Packaging: everything is read from settings.ini; data/ is installed as rnn_captioning/shipped."

from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

config = ConfigParser(delimiters=['='])
config.read('settings.ini', encoding='utf-8')
s = config['DEFAULT']


def extra(name):
    return s[f'{name}_requirements'].split()


wings = ['.'.join(path.parent.parts) for path in Path('rnn_captioning').glob('*/__init__.py')]

setup(
    name=s['lib_name'],
    version=s['version'],
    description=s['description'],
    author=s['author'],
    license='Apache-2.0',
    long_description=Path('README.md').read_text(encoding='utf-8')
    if Path('README.md').exists()
    else s['description'],
    long_description_content_type='text/markdown',
    url=s['git_url'],
    keywords=s['keywords'],
    python_requires=f">={s['min_python']}",
    install_requires=s['requirements'].split(),
    extras_require={name: extra(name) for name in ('eval', 'photos', 'dev', 'bench')},
    packages=['rnn_captioning', *wings, 'rnn_captioning.shipped'],
    package_dir={'rnn_captioning': 'rnn_captioning', 'rnn_captioning.shipped': 'data'},
    package_data={'rnn_captioning': ['py.typed'], 'rnn_captioning.shipped': ['*', '*/*']},
    # the nbdev group lets names in backticks, here and
    # in other projects, link to their documentation
    entry_points={
        'console_scripts': s['console_scripts'].split(),
        'nbdev': [f"{s['lib_name']}={s['lib_name']}._modidx:d"],
    },
    zip_safe=False,
)
