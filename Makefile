# Every target with a `##` comment shows in `make help`. What needs .venv makes it first.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ARGS ?=
JOBS ?= 4
BIN := .venv/bin
DEPENDENCIES := .venv/.dependencies-installed
STAMP := .venv/.riverrun-installed
TREES := features models stream tests tools examples benchmarks

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## show this list
	@echo 'riverrun: events in from Kafka, predictions out.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS="..." is passed on:  make demo ARGS="--break redis"   make test ARGS="-k window"'

.PHONY: setup
setup: $(STAMP) ## make .venv with riverrun in it (PYTHON=python3.12 chooses the interpreter)

$(DEPENDENCIES): requirements.lock tools/preflight.py
	@$(PYTHON) tools/preflight.py
	@echo '==> 1/3  virtual environment in .venv'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "==> 2/3  $$(grep -c '^[a-z].*==' requirements.lock) locked packages, about 200 MB the first time"
	@$(BIN)/python -m pip install --require-hashes --requirement requirements.lock
	@touch $@

$(STAMP): $(DEPENDENCIES) pyproject.toml
	@echo '==> 3/3  riverrun itself, editable'
	@$(BIN)/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	@touch $@
	@echo '==> ready: .venv/bin/riverrun, or make demo'

.PHONY: demo
demo: $(STAMP) ## watch events become predictions, with Kafka and Redis embedded (ARGS: see `riverrun demo --help`)
	@$(BIN)/riverrun demo $(ARGS)

.PHONY: test
test: $(STAMP) ## run the tests with branch coverage; says what was skipped and why (JOBS=0: in one process)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		--cov --cov-branch --cov-report=term $(ARGS)

.PHONY: parity
parity: $(STAMP) ## every published transaction, offline and served, against the published features and pandas
	@RIVERRUN_REQUIRE=kafka,redis,data $(BIN)/python -m pytest -m parity $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## two hundred faults of all kinds, in both modes (RIVERRUN_TEST_SEED repeats a run, RIVERRUN_CHAOS_FAULTS)
	@RIVERRUN_REQUIRE=kafka,redis,toxiproxy RIVERRUN_TEST_KILLS=$${RIVERRUN_TEST_KILLS:-50} \
		RIVERRUN_CHAOS_FAULTS=$${RIVERRUN_CHAOS_FAULTS:-200} RIVERRUN_TEST_SEED=$${RIVERRUN_TEST_SEED:-$$(date +%s)} \
		$(BIN)/python -m pytest tests/chaos -m "chaos or not chaos" $(ARGS)

FUZZER := build/fuzz/site/.installed

.PHONY: fuzz
fuzz: $(STAMP) $(FUZZER) ## a million hostile inputs, steered by coverage (FUZZ_RUNS=5000000, ARGS="--jobs 1 rows")
	@PYTHONPATH=build/fuzz/site $(BIN)/python -m tests.fuzz $(ARGS)

$(FUZZER): tests/fuzz/requirements.txt $(STAMP)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --upgrade --target $(@D) --requirement $<
	@touch $@

.PHONY: soak
soak: $(STAMP) ## workers under load and mild faults: memory, descriptors, threads (SOAK_MINUTES=30 SOAK_RATE=2000)
	@$(BIN)/python -m tests.soak

.PHONY: bench
bench: $(STAMP) ## the benchmark suite: limits, ours and peers side by side; build/bench.json (ARGS="--only throughput")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-check
bench-check: $(STAMP) ## fails where build/bench.json is worse than benchmarks/baseline.json beyond noise (ARGS=--accept)
	@$(BIN)/python -m benchmarks.check $(ARGS)

.PHONY: bench-features
bench-features: $(STAMP) ## what features cost, each benchmark one JSON object (wants a quiet machine)
	@$(BIN)/python -m benchmarks.evaluate
	@$(BIN)/python -m benchmarks.materialize
	@$(BIN)/python -m benchmarks.rebuild
	@$(BIN)/python -m benchmarks.offline

.PHONY: peers
peers: $(STAMP) ## environments in build/peers for what we are compared with (ARGS="quix" for one)
	@$(BIN)/python -m benchmarks.peers.setup $(ARGS)

.PHONY: bench-peers
bench-peers: $(STAMP) ## whether each peer writes the scores that LightGBM gives for the same events
	@$(BIN)/python -m pytest -m peers tests/benchmarks $(ARGS)

.PHONY: lint
lint: $(STAMP) ## style, format and the directions of imports
	@$(BIN)/ruff check $(TREES)
	@$(BIN)/ruff format --check $(TREES)
	@$(BIN)/lint-imports --no-cache

.PHONY: types
types: $(STAMP) ## mypy --strict over code and tests
	@$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## rewrite the code as `make lint` wants it
	@$(BIN)/ruff check --fix $(TREES)
	@$(BIN)/ruff format $(TREES)

.PHONY: kafka-up
kafka-up: $(STAMP) ## start Apache Kafka (Java 17, Maven) and a redis-server on free loopback ports
	@$(BIN)/python -m tools.servers up

.PHONY: kafka-down
kafka-down: ## stop what kafka-up started
	@test ! -e build/servers/running.json || $(BIN)/python -m tools.servers down

.PHONY: lock
lock: $(STAMP) ## resolve the lock files anew, with hashes (ARGS=--upgrade for the newest of everything)
	@$(call compile,requirements.lock,--extra dev)
	@$(call compile,requirements-score.lock,)

compile = UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile pyproject.toml --quiet --universal \
	--python-version 3.11 --generate-hashes --no-annotate $(2) $(ARGS) --output-file $(1)

.PHONY: lock-peers
lock-peers: $(STAMP) ## resolve what the peers' environments hold, from their requirements.in
	@for name in quix faust bytewax aiokafka feast; do \
		UV_CUSTOM_COMPILE_COMMAND='make lock-peers' $(BIN)/uv pip compile --quiet --universal \
			--python-version 3.11 --generate-hashes --no-annotate benchmarks/peers/$$name/requirements.in \
			$(ARGS) --output-file benchmarks/peers/$$name/requirements.txt; \
	done

.PHONY: build
build: $(STAMP) ## wheel and sdist in dist/
	@$(BIN)/python -m build --no-isolation

.PHONY: clean
clean: kafka-down ## remove everything that make made, .venv too
	rm -rf .venv build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
