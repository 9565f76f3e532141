# Every target is one or two commands that can also be typed by hand; scripts/bootstrap.py makes what they need.
PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 1200

.DEFAULT_GOAL := help
.PHONY: help demo lab test lint bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: ## install, run notebooks/quickstart.ipynb on a LocalCluster, print what it finds
	@$(PYTHON) scripts/bootstrap.py demo
	@$(BIN)/python scripts/demo.py

lab: ## install, open notebooks/quickstart.ipynb in JupyterLab (ARGS="--no-browser" for JupyterLab's options)
	@$(PYTHON) scripts/bootstrap.py lab
	@$(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks/quickstart.ipynb

# Tests start some thousand processes: without bytecode each of them compiles himalia, which doubles what a start costs.
export PYTHONDONTWRITEBYTECODE :=

test: lint ## install what tests need, check the code, run all tests, notebooks and the browser's tests
	@$(PYTHON) scripts/bootstrap.py browser
	@echo "[himalia] simulation ($(SEEDS) seeds) and unit tests, on all cores"
	@HIMALIA_SEEDS=$(SEEDS) $(BIN)/python -m pytest -q -n logical --dist worksteal tests/simulation tests/unit; \
	failed=$$?; \
	echo "[himalia] integration and notebooks: two at a time for each core, since these wait for other processes"; \
	$(BIN)/python -m pytest -n auto --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout 120 \
		tests/integration tests/notebooks notebooks || failed=$$?; \
	echo "[himalia] browser: two at a time; dashboards don't give way to the other's pages"; \
	HIMALIA_DASHBOARD_NICE=0 $(BIN)/python -m pytest -n 2 --dist loadfile tests/browser && exit $$failed

lint: ## ruff and mypy --strict over code, tests and scripts
	@$(PYTHON) scripts/bootstrap.py test
	@echo "[himalia] ruff, ruff format, mypy --strict"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --num-workers auto

bench: ## himalia beside distributed, ray and concurrent.futures (ARGS="--help" for choices)
	@$(PYTHON) scripts/bootstrap.py bench
	@.venv-bench/bin/python -m tests.benchmarks $(ARGS)

clean: ## remove the environments and everything that was made
	rm -rf .venv .venv-bench build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find cluster widgets labextension tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
