# make demo, make test: each makes .venv with all it needs the first time, and then uses it.
#   make test ARGS="-k phantom"     pass words on
#   make test TORCH=torch           install exactly this torch, whatever its size
#   make demo PYTHON=python3.12     with this Python
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test benchmarks pictures lint format wheel clean setup-demo setup-test

ARGS ?=
PYTHON ?=
TORCH ?=
VENV := .venv/bin
export TORCH

# python3 first; one from 3.10 to 3.13 is liked best, because slicer-core has wheels for these.
define SETUP
@found=; \
for p in $(PYTHON) $(if $(PYTHON),,python3 python3.13 python3.12 python3.11 python3.10); do \
  if $$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
    && { $$p -c 'import ensurepip' 2>/dev/null || $$p -c 'import pip' 2>/dev/null; }; \
  then found=$$p; break; fi; \
done; \
if [ -z "$$found" ]; then \
  for p in $(PYTHON) $(if $(PYTHON),,python3 python3.14 python3.15 python); do \
    if $$p -c 'import sys, venv; sys.exit(sys.version_info[:2] < (3, 10))' 2>/dev/null \
      && { $$p -c 'import ensurepip' 2>/dev/null || $$p -c 'import pip' 2>/dev/null; }; \
    then found=$$p; break; fi; \
  done; \
fi; \
if [ -z "$$found" ]; then \
  echo "DeepGMM needs Python 3.10 or newer with venv and pip, and found none on the PATH." >&2; \
  echo "Install one (Debian, Ubuntu: apt install python3-venv; macOS: brew install python@3.12;" >&2; \
  echo "Fedora: dnf install python3), or name it: make $(1) PYTHON=/path/to/python3" >&2; \
  exit 1; \
fi; \
exec $$found tools/bootstrap.py $(1)
endef

help:
	@echo "make demo     set up, then segment the embedded sample"
	@echo "make test     set up, then run all tests      (ARGS=\"-k phantom\" passes words to pytest)"
	@echo "make benchmarks  run all benchmarks into Docs/measurements.md (ARGS=--quick to try them)"
	@echo "make pictures  draw the Slicer panel's pictures into Docs/pictures/slicer"
	@echo "make lint     ruff, mypy and the floors"
	@echo "make format   let ruff tidy the code"
	@echo "make wheel    build the wheel and the source archive into dist/"
	@echo "make clean    remove .venv and everything built"

setup-demo:
	$(call SETUP,demo)

setup-test:
	$(call SETUP,test)

demo: setup-demo
	@$(VENV)/deepgmm demo $(ARGS)

# One thread a process: two test processes on two cores otherwise fight for them. Bytecode is kept,
# below .venv, also where the environment wants none: else each process of the tests compiles torch
# and its kin anew, for five seconds.
test: setup-test
	@PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/.venv/bytecode" \
	  OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)/python -m pytest -n 2 --dist loadfile $(ARGS)

# As they say themselves: two threads, nothing beside.
benchmarks: setup-test
	@$(VENV)/python Benchmarks/run_all.py $(ARGS)

# The Slicer panel's, on stand-ins, for Docs/slicer.md.
pictures: setup-test
	@QT_QPA_PLATFORM=offscreen DEEPGMM_SCREENSHOTS=Docs/pictures/slicer \
	  $(VENV)/python -m pytest -q Testing/panel/test_tutorial.py
	@rm -f Docs/pictures/slicer/look-*.png

lint: setup-test
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports

format: setup-test
	@$(VENV)/ruff check --fix-only .
	@$(VENV)/ruff format .

wheel: setup-test
	@rm -rf build
	@$(VENV)/python -m build --outdir dist .

clean:
	rm -rf .venv build dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf DeepGMMSegmentation/Logic/*.egg-info
