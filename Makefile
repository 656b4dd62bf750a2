# The two commands of the README, and what they lean on. Needs Python 3.11+, pip and make.
#
#   make run     set-up, then the main job (DATASET=movielens | journey | journey-hard | smoke)
#   make test    set-up, then every test
#   make setup   set-up alone: a .venv with the exact versions of requirements.lock, and the data
#   make lab     JupyterLab

SHELL   := /bin/bash
PYTHON  ?= python3
DATASET ?= movielens
JOBS    ?= $(shell $(PYTHON) -c "import os; print(max(1, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()))")
BIN     := .venv/bin
ARGS    ?=

export JUPYTER_PLATFORM_DIRS := 1
export MPLBACKEND := Agg
export PYTHONHASHSEED := 0
export CUBLAS_WORKSPACE_CONFIG := :4096:8
# Spinning worker threads lose more than they win on a shared machine.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0
# glibc returns large blocks to the system at once; kept, a training step is a third shorter.
export MALLOC_MMAP_THRESHOLD_ ?= 8000000000
export MALLOC_TRIM_THRESHOLD_ ?= 8000000000

.PHONY: setup run test lab lint types clean

setup: .venv/.stamp

.venv/.stamp: requirements.lock pyproject.toml tools/setup.py
	@$(PYTHON) tools/setup.py
	@touch $@

run: setup
	@$(BIN)/rokkit run --params params/$(DATASET).yaml --jobs $(JOBS) $(ARGS)

test: setup
	@$(BIN)/python tools/run_tests.py --jobs $(JOBS) $(ARGS)

lab: setup
	@$(BIN)/jupyter lab notebooks

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info
