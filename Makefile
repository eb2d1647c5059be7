# One word runs every check: make check. Needs only python3 (3.11 or later) and make; all is installed into $(VENV).
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: demo test slow lint types layers docs page policies readme league site check bench clean
.DEFAULT_GOAL := check

# The main job on real runs: what would each stop rule have saved, and cost?
demo: $(VENV)/.core
	$(BIN)/replay sample_logs

# the tests of a file stay together, as they share what they trained
PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

test: $(VENV)/.test
	$(PYTEST)

slow: $(VENV)/.test
	$(PYTEST) -m slow

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

layers: $(VENV)/.test
	$(BIN)/lint-imports

# README and docs say what the code does: their blocks are made by it
PAGES = README.md sample_logs/README.md corpus/README.md $(wildcard docs/*.md)

docs: $(VENV)/.test
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_notebook.py

# the script and the style of the page of replay report, which are committed; needs node and npm
page:
	cd page && npm ci --ignore-scripts --no-audit --no-fund && npm run types && npm test && npm run build

# docs/ as a site, in site/
site: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# what stop policies do on the sample logs is guarded by the tool itself
policies: $(VENV)/.test
	$(BIN)/replay check .ci/policies.toml --require-lock

readme: $(VENV)/.test
	$(BIN)/cog -r $(PAGES)
	MPLBACKEND=module://matplotlib_inline.backend_inline $(BIN)/python -m tests.notebook

check: lint types layers docs policies test

bench: $(VENV)/.test
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/simulate.py
	$(BIN)/python benchmarks/outcomes.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/event_files.py
	$(BIN)/python benchmarks/json_logs.py
	$(BIN)/python benchmarks/watch.py
	$(BIN)/python benchmarks/collect_overhead.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@
