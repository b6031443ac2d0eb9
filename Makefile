# The virtual environment of all targets. The first target that needs it creates it.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage fuzz bench generate check-generated lint lock format clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(STAMP): pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

install: $(STAMP) ## Create the virtual environment with pinned versions.

demo: $(STAMP) ## Run the exporter with a simulated Coder.
	$(BIN)/insights-exporter demo

test: $(STAMP) ## Run all tests; as root, install the programs that they need.
	tests/support/install-binaries.sh
	tests/deploy/install-tools.sh
# Three processes on two cores, because some tests wait for other programs.
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest --numprocesses 3 --dist worksteal

coverage: $(STAMP) ## Run all tests and report branch coverage.
	tests/support/install-binaries.sh
	$(BIN)/pytest --numprocesses 3 --dist worksteal --cov --cov-report=term --cov-report=html

fuzz: $(STAMP) ## Poll a simulated Coder with mutated answers and kill exporters; takes minutes.
	$(BIN)/python -m tests.fuzz --answers 20000 --kills 100 --seed 1

bench: $(STAMP) ## Run the benchmarks and write docs/performance.md; takes minutes.
	$(BIN)/python -m benchmarks --write

lint: $(STAMP) ## Check style, types and layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tests benchmarks dashboards tools
	$(BIN)/lint-imports

generate: $(STAMP) ## Write all generated files.
	$(BIN)/python -m dashboards.generator
	$(BIN)/python -m tools.alerts
	$(BIN)/python -m tools.docs
	$(BIN)/python -m tools.chart

check-generated: $(STAMP) ## Fail if a generated file is stale.
	$(BIN)/python -m tools.docs --check
	$(BIN)/python -m dashboards.generator --check
	$(BIN)/python -m tools.alerts --check
	$(BIN)/python -m tools.chart --check

lock: $(STAMP) ## Write the lock files with hashes; needs the network.
	$(BIN)/python -m tools.lock

format: $(STAMP) ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage
