# The habits. PYTHON is the environment that they run in: make docs PYTHON=python
PYTHON ?= .venv/bin/python
GENERATE = $(PYTHON) tools/front_door.py && $(PYTHON) -c 'from nbdev.doclinks import nbdev_export; nbdev_export()' && $(PYTHON) tools/make_readme.py
NOTEBOOKS ?= nbs/*.ipynb nbs/*/*.ipynb

.PHONY: test everywhere coverage mutants docs pages korean export run format check fuzz measure count clean
test:     ## every test, notebooks included
	$(PYTHON) -m pytest
everywhere: ## every test, with the kernels that NumPy uses on other processors, and with one thread and two
	$(PYTHON) tools/everywhere.py $(TESTS)
coverage: ## which lines of the modules the tests run: fails under 95%
	$(PYTHON) -m coverage erase
	$(PYTHON) -m coverage run -m pytest
	$(PYTHON) -m coverage combine -q
	$(PYTHON) -m coverage report
mutants:  ## whether the checks notice each of 2,000 small mistakes in the layers: all, or make mutants MODULES=lstm
	OPENBLAS_NUM_THREADS=1 $(PYTHON) tools/mutate.py $(MODULES)
docs:     ## the site, into _docs/, and its links checked
	$(PYTHON) tools/build_docs.py
	$(PYTHON) tools/check_docs.py
pages:    ## the site in Chromium: errors, what sticks out, is cut or out of reach of the keyboard, contrast and the rest of axe-core's rules, weight
	node tools/check_pages.mjs $(PAGES)
korean:   ## which blocks of the Korean pages are missing, stale or different
	$(PYTHON) tools/korean.py status
export:   ## the modules and the README, from the notebooks
	$(GENERATE)
run:      ## the notebooks' outputs, from their code: all, or make run NOTEBOOKS=nbs/06_model.ipynb
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m nbconvert --to notebook --execute --inplace $(NOTEBOOKS)
	$(PYTHON) -c 'from nbdev.clean import nbdev_clean; nbdev_clean()'
format:   ## notebooks, tests and tools, as ruff formats them
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
check:    ## whether what is generated, and the sidebar, follow the notebooks
	$(PYTHON) -m pytest tests/test_drift.py
fuzz:     ## ten thousand damaged files of each kind: each is read, or refused in one line
	PYTHONPATH=. $(PYTHON) tests/fuzz.py --count $(or $(COUNT),10000)
measure:  ## what the results notebook shows: all of it, or make measure RESULTS=scenes
	$(PYTHON) tools/measure.py $(RESULTS)
count:    ## widths of lines, public names, lengths and complexities; make count NAMES=--names names the names
	$(PYTHON) tools/count.py $(NAMES)
clean:
	rm -rf _docs _proc build dist *.egg-info .pytest_cache .coverage .coverage.* captioner
