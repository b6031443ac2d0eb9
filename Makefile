# Everything runs in this environment, made by the first target that needs it.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test bench generate check-generated lint format clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

install: $(STAMP) ## Make the environment with pinned versions.

demo: $(STAMP) ## Run a simulated Coder and the exporter against it.
	$(BIN)/insights-exporter demo

test: $(STAMP) ## Run all tests, with the real programs they need.
	tests/support/install-binaries.sh
# One process more than the usual two cores, as some tests wait for real programs.
	$(BIN)/pytest --numprocesses 3 --dist worksteal

bench: $(STAMP) ## Compare with other ways to do the same; takes a while.
	$(BIN)/python -m benchmarks --write

lint: $(STAMP) ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src tests benchmarks dashboards tools

generate: $(STAMP) ## Write the pages that are made from code.
	$(BIN)/python -m dashboards.generator
	$(BIN)/python -m tools.alerts
	$(BIN)/python -m tools.docs

check-generated: $(STAMP) ## Fail where such a page differs from the code.
	$(BIN)/python -m tools.docs --check
	$(BIN)/python -m dashboards.generator --check
	$(BIN)/python -m tools.alerts --check

format: $(STAMP) ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and caches.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
