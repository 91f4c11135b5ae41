# Everything happens in .venv; `make check` and `make test` are for a change, `make demo` shows the main job at work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install lock release demo check test test-full full coverage mutants fresh versions lint unit faults soak bench bench-check docs pictures clean

help:
	@echo "make demo    set up all and run both example siblings"
	@echo "make check   lint, types, and the tests that start no process: a minute"
	@echo "make test    all that a change needs: six minutes"
	@echo "make test-full  all else: coverage, soak, a thousand kills, clones, agents, other versions of Python"
	@echo "make coverage   which lines and branches the tests reach"
	@echo "make mutants    changes the planner, claims, verdicts and process trees, and lists changes that no test sees"
	@echo "make install the virtual environment only"
	@echo "make faults  a thousand random kills, and every other fault"
	@echo "make soak    ten minutes of ticks, runs, kills and edits at once"
	@echo "make bench   the speed table; PEERS=1 compares other schedulers"
	@echo "make bench-check  the same, compared with the goals and with the last one"
	@echo "make docs    write the generated documents"
	@echo "make pictures  draw the pictures of the documents"
	@echo "make lock    write requirements.lock; UPGRADE=1 takes newer releases"
	@echo "make release check the version, the changelog and everything else, and set the tag"

# The stamp is newer than these files exactly when the environment is up to date.
$(VENV)/.installed: pyproject.toml requirements.lock core/version.py
	@$(PYTHON) -c 'import sys; sys.exit("puruto-cron needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed

# One file for every Python and system that we support. Pins that still fit stay, unless UPGRADE=1.
lock: install
	@$(PIP) --no-build-isolation --editable '.[lock]'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --custom-compile-command 'make lock' $(if $(filter-out 0,$(UPGRADE)),--upgrade) \
		--output-file requirements.lock pyproject.toml

# What has to pass before the tag is set.
RELEASE_CHECK ?= $(MAKE) test
release: install
	$(BIN)/python tools/release.py --check '$(RELEASE_CHECK)'

demo: install
	@$(BIN)/python examples/demo.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

unit: install
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
full: install
	PURUTO_FAULTS_KILLS=$${PURUTO_FAULTS_KILLS:-1000} $(PYTEST) -n 3 --dist worksteal tests/faults/test_random_kills.py
	PURUTO_SOAK_SECONDS=$${PURUTO_SOAK_SECONDS:-120} $(PYTEST) -n 2 --dist loadgroup -m full

# Every command in an interpreter of its own, where `make test` forks one that is warm.
fresh: install
	PURUTO_TEST_FRESH=1 $(PYTEST) -n 3 --dist worksteal -m "process and not full"

# The other versions of Python that are on the PATH, each with an environment of its own.
versions: install
	tests/versions.sh -n 3 --dist worksteal -m "not full"

coverage: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 --dist worksteal -m "not full"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# All of them, or those of MUTANTS='scheduling.planner*'. Exits with 0 whatever survives: somebody has to look.
mutants: install
	@$(PIP) --no-build-isolation --editable '.[mutants]'
	rm -rf mutants
	$(BIN)/mutmut run $(MUTANTS)
	$(BIN)/mutmut results

faults: install
	PURUTO_FAULTS_KILLS=$${PURUTO_FAULTS_KILLS:-1000} $(PYTEST) tests/faults

soak: install
	PURUTO_SOAK_SECONDS=$${PURUTO_SOAK_SECONDS:-600} $(PYTEST) tests/faults/test_soak.py

# With PEERS=1 beside other schedulers, which get an environment of their own.
bench: install $(if $(filter-out 0,$(PEERS)),bench/.peers/.installed)
	$(BIN)/python bench/run.py $(if $(filter-out 0,$(PEERS)),--peers)

# Also exits with 1 when a goal is missed, or a ratio is a fifth worse than in the last table.
bench-check: install
	$(BIN)/python bench/run.py --check

bench/.peers/.installed: bench/peers/requirements.txt bench/peers/install.sh
	@bench/peers/install.sh $(PYTHON) bench/.peers
	@touch $@

docs: install
	$(BIN)/python tools/generate_docs.py

pictures: install
	$(BIN)/python tools/draw_pictures.py
	$(BIN)/python tools/draw_architecture.py

clean:
	rm -rf $(VENV) .coverage* mutants bench/.peers .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
