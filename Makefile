# Everything that a developer or an operator does here has a target; `make` lists them.
#
#   PYTHON=python3.12    the Python of the virtual environment (3.11 or newer)
#   CONFIG=config.json   what `make run` starts with
#   ARGS='-k echo'       more arguments for serve, pytest or the benchmarks

PYTHON ?= python3
CONFIG ?= config.example.json
ARGS ?=

VENV := .venv
BENCH_VENV := .venv-bench
PIP := bin/python -m pip install --quiet --disable-pip-version-check
NPM := $(shell command -v npm 2>/dev/null)
REDIS := $(shell command -v redis-server 2>/dev/null)
NODE_TESTS := $(dir $(wildcard tests/*/package.json tests/*/*/package.json))

# Runs on any Python, so that an old one gets an answer too.
define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit("users-server needs Python 3.11 or newer, and $(PYTHON) is %d.%d. "
             "Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv")
endef
export CHECK_PYTHON

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SECONDEXPANSION:
.PHONY: help run test check definitions bench bench-smoke clean

help:
	@echo "make run           install into $(VENV) and start the server with $(CONFIG)"
	@echo "make test          install what the tests need and run all of them"
	@echo "make check         ruff, mypy --strict, import-linter, and whether definitions/ is up to date"
	@echo "make definitions   write definitions/ anew from the schemas and the event table"
	@echo "make bench         measure against other servers, and parts of this one (benchmarks/README.md); with ARGS the first alone"
	@echo "make bench-smoke   see whether the benchmarks work, in one or two minutes"
	@echo "make clean         remove environments, caches and build output; config.json and users.db stay"

run: $(VENV)/.installed
	@$(VENV)/bin/python -m users_server serve --config $(CONFIG) $(ARGS)

test: $(VENV)/.installed-test $(if $(NPM),$(addsuffix node_modules/.installed,$(NODE_TESTS)))
	$(if $(NPM),,@echo "npm is not installed: the tests with real Node clients cannot run")
	@$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/.installed-check
	@$(VENV)/bin/python -m ruff check .
	@$(VENV)/bin/python -m ruff format --check .
	@$(VENV)/bin/python -m mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/python -m users_server definitions --check

definitions: $(VENV)/.installed-check
	@$(VENV)/bin/python -m users_server definitions

bench bench-smoke: $(BENCH_VENV)/.installed $(if $(NPM),benchmarks/node_modules/.installed)
	@$(BENCH_VENV)/bin/python benchmarks/run.py $(MODE) $(if $(NPM),,--skip-missing) $(ARGS)
	$(if $(ARGS),,@$(BENCH_VENV)/bin/python benchmarks/phoenix.py $(MODE))
	$(if $(ARGS),,@$(BENCH_VENV)/bin/python benchmarks/webhooks.py $(MODE))
	$(if $(ARGS),,@$(if $(REDIS),$(BENCH_VENV)/bin/python benchmarks/cluster.py $(MODE),echo "redis-server is not installed: clusters are not measured"))

bench-smoke: MODE := --smoke

clean:
	rm -rf $(VENV) $(BENCH_VENV) build dist *.egg-info .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf benchmarks/build benchmarks/node_modules $(addsuffix node_modules,$(NODE_TESTS))
	find users_server tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made once. What is in it is brought up to date when setup.py, which names it, is newer than the stamp.

$(VENV)/bin/python $(BENCH_VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Name one: make $(MAKECMDGOALS) PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/.installed: setup.py | $(VENV)/bin/python
	@echo "Installing users-server into $(VENV); the first time takes a minute"
	@$(VENV)/$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: setup.py | $(VENV)/bin/python
	@echo "Installing users-server and its tests' needs into $(VENV)"
	@$(VENV)/$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-check: setup.py | $(VENV)/bin/python
	@echo "Installing users-server and the checkers into $(VENV)"
	@$(VENV)/$(PIP) --editable '.[test,check]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(BENCH_VENV)/.installed: setup.py benchmarks/requirements.txt | $(BENCH_VENV)/bin/python
	@echo "Installing users-server and the servers it is compared with into $(BENCH_VENV)"
	@$(BENCH_VENV)/$(PIP) --editable . --requirement benchmarks/requirements.txt
	@touch $@

%/node_modules/.installed: %/package.json $$(wildcard $$*/package-lock.json)
	@echo "Installing the Node packages of $*"
	@cd $* && $(NPM) $(if $(wildcard $*/package-lock.json),ci,install) --no-audit --no-fund --loglevel=error
	@touch $@
