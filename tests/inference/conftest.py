"""Tests of inference. Those named `test_model_*` need torch: `make test-train` runs them, a model for each file."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_model_*.py"]


@pytest.fixture(autouse=True)
def _only_our_warnings():
    """Warnings of torch and transformers are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if HAS_TORCH else "error")
        yield


@pytest.fixture(scope="session")
def answering(tmp_path_factory):
    """Folder of a small model that knows the answers of `small_models`."""
    from small_models import write_model

    return write_model(tmp_path_factory.mktemp("model"))
