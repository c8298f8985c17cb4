# make lab, make test: each sets up what it needs, is safe to repeat, and quick when nothing changed.
# STACK=current takes the newest PyTorch (.ci/setup.sh), VENV=folder another environment than .venv. PYTHON=python3.12 chooses the Python of a new one. BROWSER=no leaves the browser tests out. ARGS goes to pytest, which runs in JOBS processes (0: in itself, for --pdb).
.PHONY: lab test test-current core lint types bench gpu-check soak demo setup browser clean
.DEFAULT_GOAL := help

export VENV ?= .venv
BIN := $(VENV)/bin
BROWSER ?= yes
JOBS ?= 2
# What meets PyTorch, NumPy, transformers and asyncio: run on both stacks.
CORE := tests/checkpoint tests/voice tests/t3/test_same_tokens.py tests/s3gen tests/hift tests/chunks tests/client \
	tests/test_loader.py tests/test_generator.py
# No model hub: a test that would download fails instead.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

help:
	@echo "make lab    set up and open notebooks/01_stream.ipynb in JupyterLab"
	@echo "make test   set up and run every check: lint, types, tests, browser tests"
	@echo "make test-current   the tests of the core on the newest PyTorch, in .venv-current"
	@echo "make demo   speak a sentence into demo.wav and print what it took"
	@echo "also: lint, types, bench, gpu-check, soak (ARGS=\"--minutes 5\"), clean"

setup:
	@.ci/setup.sh

browser: setup
ifneq ($(BROWSER),no)
	@tests/e2e/install_browser.sh
endif

lab: setup
	@.ci/lab.sh

test: browser lint types
	$(OFFLINE) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(if $(filter no,$(BROWSER)),-m "not e2e") $(ARGS)

test-current: # beside .venv, which it leaves alone
	@$(MAKE) --no-print-directory core STACK=current VENV=.venv-current

core: setup
	$(OFFLINE) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(CORE) $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: setup
	$(BIN)/mypy

demo: setup
	$(BIN)/streamtts say "The words arrive while they are still being made." --out demo.wav

gpu-check: setup
	$(OFFLINE) $(BIN)/streamtts doctor --gpu --out gpu-check $(ARGS)

bench: setup
	$(BIN)/streamtts bench --json bench.json

soak: setup
	$(OFFLINE) $(BIN)/python tests/soak.py $(ARGS)

clean: # .venv stays: it is gigabytes to fetch again; rm -rf .venv is the way to a fresh one
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.wav bench.json
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
