# Two commands for a newcomer: `make run` and `make test`. Everything else is for people who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
.DEFAULT_GOAL := help

.PHONY: help setup setup-dev setup-locked lock sbom run test check bench chaos soak fuzz clean

help:  ## what can be done here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.server: pyproject.toml constraints.txt
	@echo "[1/2] environment in $(VENV) (once, about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("Watchkeeper needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "[2/2] installing watchkeeper[server] …"
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[server]' 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -c 'import watchkeeper.compose' || { echo "The install did not finish; run 'make setup' again and read the lines above."; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.server
	@echo "installing what the tests need …"
	@$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[server,dev]' 2>&1 | grep -v '^WARNING: Location' || true
	@$(BIN)/python -c 'import pytest, pyright' || { echo "The install did not finish; run 'make setup-dev' again and read the lines above."; exit 1; }
	@sh tests/browser/install.sh
	@touch $@

setup: $(VENV)/.server  ## create .venv and install watchkeeper[server]

setup-dev: $(VENV)/.dev  ## the same, with what the tests need

run: $(VENV)/.server  ## start the demo: the whole loop on a support assistant's traffic
	@$(BIN)/watchkeeper demo $(ARGS)

# Four processes on two cores, because many tests wait for a server; each file in one of them, so that its fixtures are made once.
# Servers and commands are started again and again: what they compile is kept.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev  ## install what the tests need and run them (the long campaigns are `make chaos`)
	@echo "running the tests, those of the pages in a real browser too (some ten minutes) …"
	@$(BIN)/python -m pytest tests -n 4 --dist loadscope --no-loadscope-reorder -m "not slow" $(ARGS)
	@echo "All tests passed. Next: 'make run' shows the product, 'make check' also formats, lints and type-checks."

check: $(VENV)/.dev  ## format, lint, types, then every test: what a change must pass
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	@$(MAKE) --no-print-directory test

bench: export OPENBLAS_NUM_THREADS = 1
bench: export PYTHONPATH = .
bench: $(VENV)/.dev  ## print every figure the documentation claims
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done
	@echo "== bench/drift"; $(BIN)/python -m bench.drift $(ARGS)

chaos: $(VENV)/.dev  ## hold every promise of docs/reliability.md at full size (ARGS=D4: one; ARGS="--share 0.2": smaller)
	@$(BIN)/python -m tests.flow.campaigns $(ARGS)

soak: $(VENV)/.dev  ## half an hour of steady load: memory, files, threads and answers must not creep
	$(BIN)/python -m tests.flow.soak $(ARGS)

fuzz: $(VENV)/.dev  ## coverage-guided bodies for the decoder
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --disable-pip-version-check -q atheris==3.0.0
	$(BIN)/python -m tests.flow.fuzz_decoder -runs=1000000 -max_len=600 $(ARGS) .fuzz

# Tools that read the environment and are no part of it.
.tools/.made:
	@$(PYTHON) -m venv .tools && .tools/bin/python -m pip install --disable-pip-version-check -q uv==0.13.9 cyclonedx-bom==7.5.0
	@touch $@

lock: .tools/.made  ## write requirements.lock: the versions of constraints.txt with their hashes, for every platform
	echo hatchling | .tools/bin/uv pip compile -q pyproject.toml - --extra server -c constraints.txt --universal \
		--python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements.lock

setup-locked:  ## create .venv with nothing but what requirements.lock names by hash
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation .

sbom: $(VENV)/.server .tools/.made  ## write sbom.json: what is installed, as CycloneDX
	.tools/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible -o sbom.json

clean:  ## remove the environment and caches
	rm -rf $(VENV) .tools .fuzz .chaos .pytest_cache .ruff_cache build dist
