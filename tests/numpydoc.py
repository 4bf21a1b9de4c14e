"Read the sections of numpydoc docstrings."

import inspect
import re

SECTION = re.compile(r'^(\w[\w ]*)\n(-{3,})\n', re.M)


def sections(doc):
    "{title: text} of a docstring; the text before all of them under ''."
    doc = inspect.cleandoc(doc or '')
    places = list(SECTION.finditer(doc))
    ends = [place.start() for place in places[1:]] + [len(doc)]
    found = {'': doc[: places[0].start()] if places else doc}
    return found | {
        place[1]: doc[place.end() : end].strip('\n') for place, end in zip(places, ends)
    }


def entries(text):
    "{header: what stands below it, on one line} of a section."
    found, header = {}, None
    for line in text.splitlines():
        if line and not line[0].isspace():
            header = line.strip()
            found[header] = ''
        elif header is not None:
            found[header] = f'{found[header]} {line.strip()}'.strip()
    return found


def parameters(doc):
    "{argument, without stars: what the docstring says of it}"
    listed = entries(sections(doc).get('Parameters', ''))
    return {header.partition(' :')[0].lstrip('*'): text for header, text in listed.items()}
