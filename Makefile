# One entry for people and for CI. `make help` lists the targets.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)

.PHONY: help build demo test test-train test-slow test-peers learn lint format bench check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# What the demo needs: no more than the library itself.
.venv/base: pyproject.toml
	@if ! command -v uv >/dev/null 2>&1; then python3 -m venv .venv && .venv/bin/pip install -q uv; fi
	@test -x $(PYTHON) || $(UV) venv -q .venv
	@$(UV) pip install -q -p .venv maturin numpy h5py rich zstandard
	@touch $@

# Tools and oracles of developers: the group `development` of pyproject.toml.
.venv/ready: .venv/base
	@$(UV) pip install -q -p .venv --group development
	@touch $@

# maturin installs what is built as editable; uv must not look for the package itself.
BUILD = VIRTUAL_ENV=$(CURDIR)/.venv PATH=$(CURDIR)/.venv/bin:$(PATH) .venv/bin/maturin develop -q --uv

build: .venv/base ## Build the core (release) and install the package into .venv
	@test -d target/release || echo "The first build takes about 6 minutes on 2 cores, later ones half a minute."
	@$(BUILD) --release

demo: build ## Shard and pack real text of this machine, and show the first rows
	$(PYTHON) benchmarks/demo.py

# All of the workspace: alone, the core would build most of its dependencies again, with fewer features.
test: build .venv/ready ## Run the tests of Rust and Python
	cargo test -q --release --workspace
	$(PYTHON) -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "not slow and not peers and not train"

# Torch is some GB, and torchvision beside it would break BLOOM: an environment of its own, which only this needs.
# Models of tests are so small that a second thread of torch only waits.
.venv-train/ready: pyproject.toml .venv/base
	@test -x .venv-train/bin/python || $(UV) venv -q -p $(PYTHON) .venv-train
	@$(UV) pip install -q -p .venv-train --group train
	@touch $@

test-train: build .venv-train/ready ## Run the tests that need torch (installs it: some GB)
	OMP_NUM_THREADS=1 PYTHONPATH=python .venv-train/bin/python -m pytest -q -n 2 --dist loadfile -m "train and not slow" \
		tests/train tests/inference tests/retrieval tests/evaluation

learn: build .venv-train/ready ## Prove that the loop learns: from raw text to a model that answers, in three minutes
	OMP_NUM_THREADS=1 PYTHONPATH=python .venv-train/bin/python benchmarks/learn.py

test-slow: build .venv/ready ## Run the tests that take minutes, too
	$(PYTHON) -m pytest -q -m "not peers and not train"

test-peers: build .venv/ready .venv-train/ready ## Compare with Megatron-core and DeepSpeed (installs torch: some GB)
	$(UV) pip install -q -p .venv "megatron-core==0.16.1" torch
	$(PYTHON) -m pytest -q -m peers
	$(UV) pip install -q -p .venv-train accelerate ninja setuptools
	$(UV) pip install -q -p .venv-train --no-build-isolation deepspeed
	PYTHONPATH=python .venv-train/bin/python -m pytest -q -m train tests/train tests/inference

# Clippy comes before the build: it sets PyO3 up otherwise, and the core would be linked again, for minutes.
lint: .venv/ready ## Check style, types and lints
	cargo fmt --check
	cargo clippy -q --release --workspace --all-targets -- -D warnings
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	@$(MAKE) --no-print-directory build
	$(PYTHON) -m mypy.stubtest bloomdata._core

format: .venv/ready ## Format all code
	cargo fmt
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

bench: .venv/ready ## Time everything beside its peers, built as wheels are (CORPUS=folder of .jsonl.zst)
	@$(BUILD) --profile dist
	$(PYTHON) benchmarks/run_all.py $(if $(CORPUS),--corpus $(CORPUS))

check: lint test test-train ## What CI runs

clean: ## Remove everything that was built
	rm -rf target .venv .venv-train demo-output learn-output .mypy_cache .pytest_cache .ruff_cache .hypothesis
