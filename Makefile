# One entry for people and for CI. `make help` lists the targets.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)

.PHONY: help build demo test test-slow test-peers lint format stubs bench check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/ready: pyproject.toml
	@if ! command -v uv >/dev/null 2>&1; then python3 -m venv .venv && .venv/bin/pip install -q uv; fi
	@test -x $(PYTHON) || $(UV) venv -q .venv
	$(UV) pip install -q -p .venv numpy h5py rich datasets hypothesis jinja2 maturin mypy pytest pytest-timeout pytest-xdist ruff tokenizers zstandard
	@touch $@

build: .venv/ready ## Build the core (release) and install the package into .venv
	VIRTUAL_ENV=$(CURDIR)/.venv PATH=$(CURDIR)/.venv/bin:$(PATH) .venv/bin/maturin develop -q --release --uv

demo: build ## Shard and pack real text of this machine, and show the first rows
	$(PYTHON) benchmarks/demo.py

# All of the workspace: alone, the core would build most of its dependencies again, with fewer features.
test: build ## Run the tests of Rust and Python
	cargo test -q --release --workspace
	$(PYTHON) -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "not slow and not peers"

test-slow: build ## Run the tests that take minutes, too
	$(PYTHON) -m pytest -q -m "not peers"

test-peers: build ## Compare with Megatron-core (installs torch: some GB)
	$(UV) pip install -q -p .venv "megatron-core==0.16.1" torch
	$(PYTHON) -m pytest -q -m peers

# Clippy comes before the build: it sets PyO3 up otherwise, and the core would be linked again, for minutes.
lint: .venv/ready ## Check style, types and lints
	cargo fmt --check
	cargo clippy -q --release --workspace --all-targets -- -D warnings
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	@$(MAKE) --no-print-directory build
	.venv/bin/python -m mypy.stubtest bloomdata._core

format: .venv/ready ## Format all code
	cargo fmt
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: build ## Time everything beside its peers (CORPUS=folder of .jsonl.zst)
	$(PYTHON) benchmarks/run_all.py $(if $(CORPUS),--corpus $(CORPUS))

check: lint test ## What CI runs

clean: ## Remove everything that was built
	rm -rf target .venv demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
