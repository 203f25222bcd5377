# "make demo" and "make test" need Python 3.11 and nothing else: they make a
# virtual environment in $(VENV) first.  "make help" lists the rest.

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# How many tests at a time; how many seeds for the simulation; how long a
# torture takes; what to test.
JOBS ?= 2
SEEDS ?= 200
MINUTES ?= 1
TESTS ?= tests

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# COVERAGE=1 measures the branches that the tests take.
RUN = $(if $(COVERAGE),$(VENV)/bin/python -m coverage run -m,$(VENV)/bin/python -m)

.PHONY: help environment demo test bench simulate torture coverage dev test-packaging lint types doc news clean

help:
	@echo "make demo            a broker, four agents and a real job for them, in half a minute"
	@echo "make test            all tests (TESTS=tests.test_house: some; JOBS=1: one at a time, in one process)"
	@echo "make bench           how fast it is, against a plain forwarder"
	@echo "make simulate        crashes without end, by seed (SEEDS=2000: so many)"
	@echo "make torture         real processes, killed and judged (MINUTES=10: for so long)"
	@echo "make coverage        all tests, and which branches they took"
	@echo "make environment     just the virtual environment; make dev: with the tools for development"
	@echo "make test-packaging  wheel, sdist and editable install, each in a new environment"
	@echo "make lint            ruff and import-linter"
	@echo "make types           mypy"
	@echo "make doc             the documentation, into doc/_build/html"
	@echo "make news            what the next release says is new"
	@echo "make clean           remove what the others made"

$(VENV)/.made: setup.py pyproject.toml .ci/bootstrap.py
	@test -n "$(PYTHON)" || { echo "jobroute needs Python 3.11 or later, and there is none here: apt-get install python3" >&2; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) .ci/bootstrap.py $(VENV)
	@echo "Installing jobroute and what it needs into $(VENV) ..." >&2
	@$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made
	@echo "Installing the tools for development into $(VENV) ..." >&2
	@$(VENV)/bin/python -m pip install --quiet --editable '.[test,dev,doc]'
	@touch $@

demo: $(VENV)/.made
	@$(VENV)/bin/jobroute demo

test: $(VENV)/.made
	@echo "Running the tests, $(JOBS) at a time ..." >&2
	@$(RUN) twisted.trial $(if $(filter-out 1,$(JOBS)),-j$(JOBS)) $(TESTS)

bench: $(VENV)/.made
	@$(VENV)/bin/python -m tests.bench

simulate: $(VENV)/.made
	@$(VENV)/bin/python -m jobroute.testing.simulate --seeds $(SEEDS)

torture: $(VENV)/.made
	@$(VENV)/bin/jobroute torture --minutes $(MINUTES)

coverage: $(VENV)/.made
	@$(VENV)/bin/python -m coverage erase
	@$(MAKE) --no-print-directory test COVERAGE=1; status=$$?; \
		$(VENV)/bin/python -m coverage combine --quiet; \
		$(VENV)/bin/python -m coverage report; exit $$status

environment: $(VENV)/.made

dev: $(VENV)/.dev

test-packaging: $(VENV)/.dev
	@echo "Installing jobroute in three ways ..." >&2
	@$(VENV)/bin/python -m twisted.trial tests.packaging.installs

lint: $(VENV)/.dev
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/lint-imports

types: $(VENV)/.dev
	@$(VENV)/bin/mypy

doc: $(VENV)/.dev
	@$(VENV)/bin/python -m sphinx -q -W --keep-going -b html doc doc/_build/html
	@echo "Open doc/_build/html/index.html" >&2

news: $(VENV)/.dev
	@$(VENV)/bin/towncrier build --draft

clean:
	rm -rf $(VENV) $(VENV)-* _trial_temp* build dist doc/_build *.egg-info .coverage .coverage.* \
		.hypothesis .mypy_cache .ruff_cache .import_linter_cache
