# One environment for everything. `make VENV=/elsewhere demo` puts it elsewhere; `PYTHON=python3.12` chooses the Python.
VENV ?= .venv
PYTHON ?= python3
TESTS_AT_ONCE ?= 2
READY := $(VENV)/.ready
export PATH := $(abspath $(VENV))/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo study test test-slow test-all check bench format record clean

help: ## List the targets.
	@awk -F ': .*## ' '/^[a-z-]+:.*##/ { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Make toy scenes, train three detectors, compare them: results/demo/report.html.
	@python -m workflow.follow demo --cores all --rerun-incomplete
	@$(MAKE) --no-print-directory record
	@cat logs/report/demo.log

study: $(READY) ## Repeat the comparison over five seeds: results/study/study.md (an hour on 2 cores).
	@python -m workflow.follow study --cores all --rerun-incomplete --config training_threads=1
	@cat results/study/study.md

test: $(READY) ## Run the tests, two files at a time with one core each; `make test TESTS_AT_ONCE=4` runs four.
	OMP_NUM_THREADS=1 pytest -n $(TESTS_AT_ONCE) --dist loadfile --durations=25 $(ARGS)

# pytest exits with 5 if ARGS select no test of a part.
test-slow: $(READY) ## Run the slow tests, two files at a time; then those of a SLURM cluster, one at a time.
	OMP_NUM_THREADS=1 pytest -m 'slow and not cluster' -n $(TESTS_AT_ONCE) --dist loadfile \
		--no-loadscope-reorder --durations=60 $(ARGS) || [ $$? = 5 ]
	pytest -m 'slow and cluster' --durations=15 $(ARGS) || [ $$? = 5 ]

test-all: test test-slow ## Run the tests and the slow tests.

check: $(READY) ## Format, lint, types, workflow format, generated tables.
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile workflow
	python -m docs.tables --check

bench: $(READY) ## Compare variants side by side, 15 minutes or more; `make bench ARGS=step` runs one comparison.
	python -m benchmarks $(ARGS)

format: $(READY) ## Rewrite the files as `make check` wants them.
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow
	python -m docs.tables

# `dvc status` later compares with this record: the bytes of data/ and, after the demo, what the demo read and wrote.
record: $(READY) ## Record data/ and the demo in DVC: data.dvc, dvc.lock.
	@if ! git rev-parse --git-dir > /dev/null 2>&1; then echo "not a git repository: nothing recorded in DVC"; \
	elif [ ! -d data ]; then echo "data/ does not exist: nothing to record" >&2; exit 1; \
	else dvc commit --force data.dvc > /dev/null && \
		if [ -f results/demo/curves.json ] && [ -d data/raw/toy ] && [ -d data/views/toy ]; then \
			dvc commit --force demo > /dev/null; fi; fi

clean: ## Remove the demo's runs and results, logs and caches; keep data, environment and other runs.
	rm -rf runs/demo runs/demo_baseline runs/demo_views results/demo results/demo_baseline results/demo_views logs
	rm -rf .mypy_cache .pytest_cache .ruff_cache build *.egg-info

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found: install Python 3.10 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "vclr needs Python 3.10 or newer, $(PYTHON) is older: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "$(PYTHON) cannot create environments: install python3-venv (sudo apt install python3-venv)" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); this takes about two minutes"
	@$(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true   # pip compiles one file at a time
	@touch $@
