# Everything runs in .venv, which `make setup` makes; nothing needs to be sourced or exported.
PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
PYTEST_ARGUMENTS ?=
SOAK_ARGUMENTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench soak clean distclean

help:  ## Show this list
	@echo "lira_ros: map what an instruction asks for"
	@echo
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'
	@echo
	@echo "Another Python (3.10 to 3.12):  make setup PYTHON=python3.12"

setup:  ## Make .venv with everything that is needed, or bring it up to date
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m bootstrap

demo: setup  ## Set up, then show the whole suite on a generated room; results in out/demo
	@.venv/bin/lira demo

test: setup  ## Run all tests
	@$(VENV_PYTHON) -m pytest $(PYTEST_ARGUMENTS)

lint: setup  ## Check formatting, style, types and the import floors
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@$(VENV_PYTHON) -m pytest -q test/build/test_import_floors.py test/build/test_committed_files.py

bench: setup  ## Measure speed
	@for file in $(filter-out benchmark/soak.py,$(wildcard benchmark/*.py)); do echo "== $$file"; $(VENV_PYTHON) $$file || exit 1; done

soak: setup  ## Run the suite for an hour of a walk, sped up; fail when memory, threads or latency grow
	@$(VENV_PYTHON) benchmark/soak.py $(SOAK_ARGUMENTS)

clean:  ## Remove results, build products and caches; .venv stays
	@rm -rf build install log out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@rm -rf lira_msgs/build standalone/*/build standalone/*/*.egg-info
	@find lira_ros lira_msgs standalone bootstrap launch test benchmark -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## The same, and remove .venv
	@rm -rf .venv
