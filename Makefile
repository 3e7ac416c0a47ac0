# Every target sets up .venv by itself (Python 3.11 or later); the second time that takes no time.

TRIALS := model crash storm throughput deployments bulk recovery world

.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.PHONY: help install demo test explore test-ui test-postgres lint bench lock trials $(TRIALS:%=trial-%)

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

help:
	@echo "make demo            a refund on real services, with the worker killed at the worst moment (make demo STAY=1 keeps all up)"
	@echo "make demo AGENT=...  another agent's example to its receipts: meeting_rooms (MCP), billing_desk (OpenAPI), or your own"
	@echo "make test            the tests"
	@echo "make explore         the properties with other examples than always, ten times as many (HYPOTHESIS_EXAMPLES=n for each 100)"
	@echo "make test-ui         drives the Temporal UI in a real browser (installs Debian's chromium)"
	@echo "make test-postgres   the ledger's tests on PostgreSQL (installs Debian's postgresql)"
	@echo "make lint            style and types"
	@echo "make bench           what a tool call costs over a bare activity, and an MCP call over the bare SDK's"
	@echo "make trials          proof under fire: all trials in small, then trials/REPORT.md (FULL=1: in full, hours; SEED=n)"
	@echo "make trial-NAME      one of them: $(TRIALS) (bulk, recovery, world: ONLY=part runs one part again)"
	@echo "make install         only set up .venv"
	@echo "make lock            write requirements.lock anew from pyproject.toml"

install: $(STAMP)

$(STAMP): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or later is needed; name one with: make PYTHON=/path/to/python" >&2; exit 3; }
	@echo "setting up $(VENV): about a minute, the first time"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make a .venv; on Debian: apt-get install python3-venv" >&2; exit 3; }
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

demo: $(STAMP)
	@$(PY) starter.py demo $(AGENT) $(if $(STAY),--stay)

test: $(STAMP)
	@$(PY) -m pytest -q -n 2 --dist loadfile

explore: $(STAMP)
	@HYPOTHESIS_PROFILE=explore $(PY) -m pytest -q -n 2 -m hypothesis --timeout 3600

test-ui: $(STAMP)
	@.ci/need chromium chromium
	@$(PY) -m pytest -q -m ui

test-postgres: $(STAMP)
	@.ci/need postgresql '/usr/lib/postgresql/*/bin/initdb'
	@$(PY) -m pytest -q -m postgres

lint: $(STAMP)
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy .

bench: $(STAMP)
	@$(PY) -m bench

trials: $(STAMP)
	@$(PY) -m trials $(if $(FULL),--full) $(if $(SEED),--seed $(SEED))

$(TRIALS:%=trial-%): trial-%: $(STAMP)
	@$(PY) -m trials.$* $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

# What only the trial world runs against, in environments of their own: other versions of what we use, all pinned.
trials trial-world: $(patsubst trials/world/requirements/%.txt,var/world/%/.installed,$(wildcard trials/world/requirements/*.txt))

var/world/%/.installed: trials/world/requirements/%.txt | $(STAMP)
	@echo "setting up var/world/$*"
	@$(PY) -m venv --clear var/world/$*
	@var/world/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

# pip-tools lives in a .venv of its own: it asks for another pip than the one in use
lock: $(STAMP)
	@test -x $(VENV)/lock/bin/pip-compile || { $(PY) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet pip-tools; }
	@$(VENV)/lock/bin/pip-compile --quiet --generate-hashes --all-extras --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
