# `make` alone lists what can be made.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STORE   ?= duckdb
PORT    ?= 8080
B       ?=
SECONDS ?=
COUNT   ?= 1000000

.DEFAULT_GOAL := help
.PHONY: help install run test check fix bench fuzz chaos secrets lock dashboards new-collector dist clean

help: ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The product is installed from requirements.lock (hashes pinned), the tools from requirements-dev.lock.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v=sys.version_info; sys.exit(0 if v>=(3,11) else "make: Python 3.11 or newer is needed, this is %d.%d; try make PYTHON=python3.11" % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: python3-venv is missing; as root: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.lock pyproject.toml
	@echo "installing into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "installing the developers' tools ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.run ## make .venv with everything the hub needs

run: $(VENV)/.run ## the whole hub with a simulated regency; then open http://127.0.0.1:8080  [STORE=duckdb|influxdb] [PORT=8080]
	@exec $(BIN)/toba-hub demo --store $(STORE) --port $(PORT)

test: $(VENV)/.dev ## every test, against real servers (installs them when root)
	@sh tests/servers.sh
	@$(BIN)/python -m pytest -n 3 --dist loadfile

check: $(VENV)/.dev ## style, types, import borders, committed dashboards
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/toba-hub grafana build --check
	@$(BIN)/python -m pytest -q tests/test_borders.py

fix: $(VENV)/.dev ## let ruff repair what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure: all, or one with B=mqtt  [SECONDS=60]; B=soak lasts 20 minutes
	@$(BIN)/python -m tests.bench $(B) $(if $(SECONDS),--seconds $(SECONDS))

fuzz: $(VENV)/.dev ## break MQTT payloads of every convention in a million ways  [COUNT=1000000]
	@$(BIN)/python -m tests.fuzz_mqtt --count $(COUNT)

chaos: $(VENV)/.dev ## kill the hub some hundred times under load and count what came through
	@sh tests/servers.sh
	@$(BIN)/python -m tests.chaos

dashboards: $(VENV)/.dev ## rebuild the committed Grafana dashboards
	@$(BIN)/toba-hub grafana build

secrets: $(VENV)/.run ## write .env with random passwords for docker compose
	@$(BIN)/toba-hub secrets

new-collector: $(VENV)/.dev ## start a plugin: make new-collector NAME=weather
	@$(BIN)/toba-hub new-collector $(NAME)

dist: $(VENV)/.dev ## build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .

lock: $(VENV)/.dev ## renew the lock files from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --generate-hashes pyproject.toml requirements-build.in -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --generate-hashes --extra dev -c requirements.lock pyproject.toml requirements-build.in -o requirements-dev.lock

clean: ## remove what was made here
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
