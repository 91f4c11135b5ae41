# Everything happens in .venv. `make install` is for users; the targets below it bring what they need themselves.
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

# PYTHON=python3.12 asks for that one. Else .venv keeps the Python that it has, or gets the first that is new enough.
NEW_ENOUGH := import sys, venv; sys.exit(sys.version_info < (3, 11))
ifdef PYTHON
ASKED := --this-python
else
PYTHON := $(shell for python in $(BIN)/python python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
endif
ENVIRONMENT = @$(if $(PYTHON),$(PYTHON),python3) -c '$(NEW_ENOUGH)' 2>/dev/null \
	|| { echo "puruto-cron needs Python 3.11 or newer, with the module venv. Try: make PYTHON=python3.11 ..." >&2; exit 1; }; \
	$(PYTHON) tools/make_environment.py $(ASKED)

.PHONY: help install telegram dev lock release demo check test test-full full coverage mutants fresh versions lint unit faults soak bench bench-check docs pictures clean

help:
	@echo "make install the virtual environment, with what users need; again after an upgrade or a move"
	@echo "make telegram    adds the library that sends messages on Telegram"
	@echo "make demo    set up all and run both example siblings"
	@echo "make check   lint, types, and the tests that start no process: a minute"
	@echo "make test    all that a change needs: six minutes"
	@echo "make test-full  all else: coverage, soak, a thousand kills, clones, agents, other versions of Python"
	@echo "make coverage   which lines and branches the tests reach"
	@echo "make mutants    changes the planner, claims, verdicts and process trees, and lists changes that no test sees"
	@echo "make dev     the environment with the tools for development; make check and make test do this themselves"
	@echo "make faults  a thousand random kills, and every other fault"
	@echo "make soak    ten minutes of ticks, runs, kills and edits at once"
	@echo "make bench   the speed table; PEERS=1 compares other schedulers"
	@echo "make bench-check  the same, compared with the goals and with the last one"
	@echo "make docs    write the generated documents"
	@echo "make pictures  draw the pictures of the documents"
	@echo "make lock    write requirements.lock; UPGRADE=1 takes newer releases"
	@echo "make release check the version, the changelog and everything else, and set the tag"

install:
	$(ENVIRONMENT)

telegram:
	$(ENVIRONMENT) telegram

dev:
	$(ENVIRONMENT) dev

# Three files for every Python and system that we support: for users, for the sibling that sends, for developers. Pins
# that still fit stay, unless UPGRADE=1; the last one has the pins of all.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url
SIBLING := examples/purutos/puruto-telegram
lock:
	$(ENVIRONMENT) dev lock
	$(COMPILE) --custom-compile-command 'make lock' --extra dev $(if $(filter-out 0,$(UPGRADE)),--upgrade) \
		--output-file requirements-dev.lock pyproject.toml
	$(COMPILE) --custom-compile-command 'make lock' --constraint requirements-dev.lock \
		--output-file requirements.lock pyproject.toml
	$(COMPILE) --custom-compile-command 'make lock in puruto-cron' --constraint requirements-dev.lock \
		--output-file $(SIBLING)/requirements.lock $(SIBLING)/requirements.in

# What has to pass before the tag is set.
RELEASE_CHECK ?= $(MAKE) test
release: dev
	$(BIN)/python tools/release.py --check '$(RELEASE_CHECK)'

demo: telegram
	@$(BIN)/python examples/demo.py

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

unit: dev
	$(PYTEST) tests/unit

# Which test is in which of these is said by markers: docs/testing.md. What tests wait for is mostly processes, so `test`
# has one worker more than two cores.
QUICK := not process and not slow and not full
check: lint
	$(PYTEST) -n 2 --dist worksteal -m "$(QUICK)" tests/unit tests/integration

test: lint
	$(PYTEST) -n 3 --dist worksteal -m "not full"

test-full: test full coverage fresh versions

# What takes minutes, or needs what few machines have; with more kills and more soak than `make test` has.
full: dev
	PURUTO_FAULTS_KILLS=$${PURUTO_FAULTS_KILLS:-1000} $(PYTEST) -n 3 --dist worksteal tests/faults/test_random_kills.py
	PURUTO_SOAK_SECONDS=$${PURUTO_SOAK_SECONDS:-120} $(PYTEST) -n 2 --dist loadgroup -m full

# Every command in an interpreter of its own, where `make test` forks one that is warm.
fresh: dev
	PURUTO_TEST_FRESH=1 $(PYTEST) -n 3 --dist worksteal -m "process and not full"

# The other versions of Python that are on the PATH, each with an environment of its own.
versions: dev
	tests/versions.sh -n 3 --dist worksteal -m "not full"

coverage: dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 --dist worksteal -m "not full"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# All of them, or those of MUTANTS='scheduling.planner*'. Exits with 0 whatever survives: somebody has to look.
mutants: dev
	$(ENVIRONMENT) mutants
	rm -rf mutants
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

faults: dev
	PURUTO_FAULTS_KILLS=$${PURUTO_FAULTS_KILLS:-1000} $(PYTEST) tests/faults

soak: dev
	PURUTO_SOAK_SECONDS=$${PURUTO_SOAK_SECONDS:-600} $(PYTEST) tests/faults/test_soak.py

# With PEERS=1 beside other schedulers, which get an environment of their own.
bench: dev $(if $(filter-out 0,$(PEERS)),bench/.peers/.installed)
	$(BIN)/python bench/run.py $(if $(filter-out 0,$(PEERS)),--peers)

# Also exits with 1 when a goal is missed, or a ratio is a fifth worse than in the last table.
bench-check: dev
	$(BIN)/python bench/run.py --check

bench/.peers/.installed: bench/peers/requirements.txt bench/peers/install.sh
	@bench/peers/install.sh $(PYTHON) bench/.peers
	@touch $@

docs: dev
	$(BIN)/python tools/generate_docs.py

pictures: dev
	$(BIN)/python tools/draw_pictures.py
	$(BIN)/python tools/draw_architecture.py

clean:
	rm -rf $(VENV) $(VENV).new $(VENV).old .coverage* mutants bench/.peers .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
