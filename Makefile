# The README's two commands are `make demo` and `make test`; each sets everything up first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-all check bench clean help

help:            ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt tests/packages.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"evenhand needs Python 3.11 or newer, this is {v[0]}.{v[1]}; try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) (once; PyTorch is large, this takes a few minutes) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,agreement]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/packages.txt
	@touch $(READY)

demo: $(READY)   ## the whole loop on the bundled planted model; prints where the report is
	@$(BIN)/evenhand demo

test: $(READY)   ## run the tests (real models and data: set EVENHAND_MODELS and EVENHAND_DATA)
	@$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

test-all: $(READY) ## the full matrix of plug-ins and families as well
	@EVENHAND_FULL=1 $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

check: $(READY)  ## format, lint, types, import order, links
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python docs/check_links.py

bench: $(READY)  ## measure speed and memory against named alternatives
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:           ## remove the environment and what tools left behind
	rm -rf $(VENV) build dist .ruff_cache .import_linter_cache .hypothesis
