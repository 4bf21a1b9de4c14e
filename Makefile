# The habits: `make test` checks everything, `make docs` builds the site, `make export` regenerates what is generated.
PYTHON ?= .venv/bin/python

.PHONY: test docs export clean
test:            ## every test, notebooks included
	$(PYTHON) -m pytest
docs:            ## the site, into _docs/
	$(PYTHON) .ci/build_docs.py
	$(PYTHON) .ci/check_docs.py
export:          ## modules, README and the scenes from their sources
	$(PYTHON) -m nbdev.export
	$(PYTHON) .ci/make_readme.py
clean:
	rm -rf _docs _proc build dist *.egg-info .pytest_cache
