# make demo / make test: either may be typed first; each does all set-up.
PYTHON ?= python3
BIN := .venv/bin
# Bytecode is written when a module is first imported: most of torch never is.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
MODELS := .venv/.set-up-models
STAMP := .venv/.set-up

.PHONY: setup demo docs check test test-slow format

setup: $(STAMP)

$(BIN)/pip:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 13) else "tuneval needs Python 3.11 to 3.13, found %d.%d: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv .venv

$(MODELS): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) -e '.[models]'
	touch $@

$(STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) -e '.[dev]'
	touch $(MODELS) $@

demo: $(MODELS)
	$(BIN)/tuneval demo

DOCS := .venv-docs/.set-up

$(DOCS): pyproject.toml constraints.txt | $(BIN)/pip
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[docs]'
	touch $@

docs: $(DOCS) $(MODELS)
	$(BIN)/tuneval demo --quiet --output-dir build/docs-run
	NO_MKDOCS_2_WARNING=true .venv-docs/bin/mkdocs build --quiet
	@echo "open build/site/index.html"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow or not slow"

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
