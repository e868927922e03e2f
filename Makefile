# `make demo` and `make test` do all the set-up: a virtual environment in .venv, the packages, the compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# DepthAI 2 and 3 are one package and cannot share an environment.
V2 := .venv-v2/.ready

.PHONY: demo docs test test-browser test-slow lint bench coverage fp16-catalogue setup clean
.DEFAULT_GOAL := test

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	# pip compiles what it installs, but not an editable checkout
	$(BIN)/python -m compileall -q src
	$(BIN)/blobsmith toolchain install
	touch $(READY)

demo: $(READY)
	$(BIN)/blobsmith demo --all -o out/demo

# Builds out/site without a network.
docs: $(READY)
	$(BIN)/python docs/make.py

$(V2): tests/v2/environment.py | $(READY)
	$(BIN)/python -m tests.v2.environment

test: $(READY) $(V2)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2

# Needs a Chromium on the PATH (Debian: apt-get install chromium).
test-browser: $(READY)
	$(BIN)/python -m pytest -m "browser and not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks.spine
	$(BIN)/python -m benchmarks.emulator_speed
	$(BIN)/python -m benchmarks.fp16_analysis
	$(BIN)/python -m benchmarks.cost_calibration

coverage: $(READY)
	$(BIN)/blobsmith coverage examples/catalogue.py -o docs/coverage.md

# A verdict for every case of the catalogue, held against the emulator; about 15 minutes.
fp16-catalogue: $(READY)
	$(BIN)/python -m benchmarks.fp16_catalogue

clean:
	rm -rf $(VENV) .venv-v2 out
