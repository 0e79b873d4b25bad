# Everything a developer or an operator runs. `make demo` and `make test` need only
# Python 3.11+, Node 20+, git and make; the rest is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
ONECOUNT := $(BIN)/onecount

# Node 20 works and is tested here, but its own end of life (2026-10) has the CDK print a banner at every start. This is
# the CDK's switch for it; it names the version that is silenced, so a newer one that ends is told again.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION ?= 20

.PHONY: setup demo up down test check hunt simulate incidents bench crowd sweep bootstrap deploy diff fmt lock clean

setup: .venv/.installed

.venv/.installed: requirements-dev.txt infra/onecount.sh
	@$(PYTHON) -c 'import sys; sys.exit("Onecount needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Set PYTHON=python3.x") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements-dev.txt
	@install -m 755 infra/onecount.sh $(ONECOUNT)
	@touch $@

demo: setup
	@$(ONECOUNT) demo

up: setup
	@$(ONECOUNT) up $(ARGS)

down: setup
	@$(ONECOUNT) down

check: setup
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports > .venv/lint-imports.log || (cat .venv/lint-imports.log && exit 1)
	@$(BIN)/mypy

test: check
	@$(BIN)/pytest

# Every property with examples drawn anew, ROUNDS times over; what fails is shrunk, and tried first the next time.
ROUNDS ?= 20
hunt: setup
	@for round in $$(seq $(ROUNDS)); do $(BIN)/pytest -m hypothesis --hypothesis-profile=hunt || exit 1; done

# A million deliveries, with faults, on all cores; a failing seed is named and replays.
simulate: setup
	@$(ONECOUNT) simulate --seed 1 --deliveries 1000000

# 20 seeds of every kind of fault and 100 clean ones, on all cores: is the guilty handoff named? SEED moves the range.
SEED ?= 1
incidents: setup
	@$(ONECOUNT) incident --kind all --seed $(SEED) --seeds 20

bench: setup
	@$(BIN)/python -m tests.bench

crowd: setup
	@$(BIN)/python -m tests.bench.crowd

# The daily sweep of drift over a million stock keys of three systems: processor time, memory, requests.
sweep: setup
	@$(BIN)/python -m tests.bench.drift_sweep

# Once for each account and region: ARGS="aws://ACCOUNT/REGION". Outside of cdk.json, which would have the stacks synthesized.
bootstrap: node_modules/.package-lock.json
	@cd infra && ../node_modules/.bin/cdk bootstrap $(ARGS)

deploy: setup node_modules/.package-lock.json
	@npx cdk deploy --all $(ARGS)

diff: setup node_modules/.package-lock.json
	@npx cdk diff $(ARGS)

node_modules/.package-lock.json: package-lock.json
	@npm ci --no-fund --no-audit
	@touch $@

fmt: setup
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

# Rewrites both pinned files; needs uv on the PATH.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:
	rm -rf .venv .onecount cdk.out node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
