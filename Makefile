# Every task of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
FITS = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# The first Python on the PATH that is of a tested version and can make environments.
PYTHON ?= $(shell for python in python3 python3.12 python3.13 python3.11; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
# Everything is pinned with its hashes, and opencv-python has its headless twin: pip resolves nothing.
# Byte code is left to the first import, which halves the set-up.
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-compile --no-deps

.PHONY: help
help: ## List the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/bin/python:
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { echo "Boxyard needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3-venv)$(if $(PYTHON),; $(PYTHON) is none). Say which: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Making the virtual environment $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv $(VENV)

# Each level of the environment is a stamp, so that a second run costs nothing.
$(VENV)/runtime-installed: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the tested versions (torch is the large one: about 3 GB to fetch, once) …"
	@$(PIP_INSTALL) --progress-bar on --require-hashes -r requirements/runtime.txt
	@$(PIP_INSTALL) --quiet --no-build-isolation --editable .
	@touch $@

$(VENV)/dev-installed: requirements/dev.txt $(VENV)/runtime-installed
	@echo "Installing the test tools …"
	@$(PIP_INSTALL) --quiet --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: install
install: $(VENV)/runtime-installed ## Make the virtual environment with the tested versions

.PHONY: demo
demo: $(VENV)/runtime-installed ## Run the whole stack on this machine and detect on the sample pictures
	@$(BIN)/python examples/demo.py $(DEMO_ARGS)

.PHONY: test
test: $(VENV)/dev-installed ## Run the tests with real parts
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not node" $(TEST_ARGS) # for two cores: much of each is waiting

.PHONY: sweeps
sweeps: $(VENV)/dev-installed ## Run the tests of many inputs with all of these
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m sweep --sweeps=full $(TEST_ARGS)

CHAOS = .chaos
JOBS ?= 100000

.PHONY: chaos
chaos: $(VENV)/dev-installed ## Do every fault in full to a whole stack, and write docs/reliability.md
	@mkdir -p $(CHAOS) && rm -f $(CHAOS)/faults.jsonl
	@$(BIN)/python -m pytest tests/chaos --chaos=full --chaos-results=$(CHAOS)/faults.jsonl $(TEST_ARGS); \
	status=$$?; PYTHONPATH=tests $(BIN)/python -m chaos.report $(CHAOS) docs/reliability.md; exit $$status

.PHONY: soak
soak: $(VENV)/dev-installed ## Submit 100,000 jobs (JOBS=…) while workers and Redis are killed
	@mkdir -p $(CHAOS)
	@PYTHONPATH=tests $(BIN)/python -m chaos.soak $(JOBS) --results $(CHAOS)/soak.jsonl; \
	status=$$?; PYTHONPATH=tests $(BIN)/python -m chaos.report $(CHAOS) docs/reliability.md; exit $$status

.PHONY: operators
operators: $(VENV)/dev-installed ## Measure how near each operator is to its slow form, for docs/operators.md
	@PYTHONPATH=tests $(BIN)/python -W ignore -m ops.table docs/operators.md

.PHONY: same-numbers
same-numbers: $(VENV)/dev-installed ## Compare with mmdet's own inferencer (MODELS=… these alone), and write docs/same-numbers.md
	@PYTHONPATH=tests $(BIN)/python -m same_numbers.thorough .same-numbers/rows.jsonl $(if $(MODELS),$(MODELS),--page docs/same-numbers.md)

.PHONY: masks
masks: $(VENV)/dev-installed ## Measure what is left of masks that went out as rings, for docs/masks.md
	@PYTHONPATH=tests $(BIN)/python -m same_numbers.rasters docs/masks.md

.PHONY: compose-test
compose-test: $(VENV)/dev-installed ## Bring the compose stack up in an engine, and do to it what may happen (root, Debian)
	@tests/compose/with-engine $(BIN)/python -m pytest -sv -p no:xdist tests/compose $(TEST_ARGS)

ZOO = .zoo
zoo zoo-sample: JOBS = 2

.PHONY: zoo
zoo: $(VENV)/dev-installed ## Try every model of the index (JOBS=2 at a time), and write docs/zoo.md
	@PYTHONPATH=tests $(BIN)/python -m zoo sweep --results $(ZOO)/results.jsonl --page docs/zoo.md --jobs $(JOBS) $(ZOO_ARGS)

.PHONY: zoo-sample
zoo-sample: $(VENV)/dev-installed ## Try the models that together have every part and operator
	@PYTHONPATH=tests $(BIN)/python -m zoo sample --results $(ZOO)/sample.jsonl --jobs $(JOBS)

.PHONY: lint
lint: $(VENV)/dev-installed ## Check format, lint and the import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/dev-installed ## Check the types
	@$(BIN)/mypy

.PHONY: audit
audit: $(VENV)/dev-installed ## Look the pinned versions up among known vulnerabilities (asks pypi.org)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/runtime.txt
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/dev.txt

.PHONY: format
format: $(VENV)/dev-installed ## Format the code and mend what lint can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

.PHONY: test-client
test-client: ## Install the base distribution alone and run the client's tests on it
	@rm -rf $(VENV)-client
	@$(MAKE) --no-print-directory VENV=$(VENV)-client $(VENV)-client/bin/python
	@$(VENV)-client/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements/client.txt
	@$(VENV)-client/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation .
	@$(VENV)-client/bin/python -m pytest --confcutdir=tests/client tests/client
	@rm -rf $(VENV)-client

NODE_CONSUMER = examples/consumers/node

.PHONY: test-node
test-node: $(VENV)/dev-installed ## Install the consumer in Node from its lock file, and run what needs it
	@npm ci --prefix $(NODE_CONSUMER)
	@$(BIN)/python -m pytest tests/webhooks -m node

.PHONY: contract
contract: $(VENV)/runtime-installed ## Write JSON Schema, OpenAPI and AsyncAPI again from the code
	@$(BIN)/python schemas/generate.py

.PHONY: settings
settings: $(VENV)/runtime-installed ## Write the tables of settings in docs/operations.md, and the known variables, again from the code
	@$(BIN)/python deploy/settings.py

.PHONY: board
board: $(VENV)/dev-installed ## Write the Grafana board again from deploy/board
	@$(BIN)/python deploy/board

.PHONY: recordings
recordings: $(VENV)/dev-installed ## Record what a stack sends, for the examples of the AsyncAPI document
	@PYTHONPATH=tests $(BIN)/python -m webhooks.recording schemas/recorded examples/images/shelf-0013.jpg
	@$(MAKE) --no-print-directory contract

.PHONY: catalogue
catalogue: $(VENV)/runtime-installed ## Write the catalogue again from the model index in mmdet's wheel
	@$(BIN)/python -m boxyard_indexing

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--override requirements/overrides.txt --generate-hashes --no-emit-index-url --no-annotate --no-header

.PHONY: lock
lock: $(VENV)/dev-installed ## Pin the newest versions that fit together (then run every test)
	$(COMPILE) --upgrade --extra all --group build -o requirements/runtime.txt
	$(COMPILE) --upgrade --all-extras --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) --upgrade --extra all --extra language --group build -c requirements/dev.txt -o requirements/language.txt
	$(COMPILE) --upgrade --extra server --extra loops --group build -c requirements/runtime.txt -o requirements/server.txt
	$(COMPILE) --upgrade --group build --group client-test -c requirements/dev.txt -o requirements/client.txt

.PHONY: clean
clean: ## Remove the environment, caches and demo output
	@rm -rf $(VENV) $(VENV)-client .mypy_cache .ruff_cache .pytest_cache .hypothesis .boxyard .chaos .zoo .same-numbers .compose-test demo-out
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
