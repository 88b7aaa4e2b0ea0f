"""Tests that need torch; `make test-train` runs them in one process, in an environment of its own."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]


@pytest.fixture(autouse=True)
def _only_our_warnings():
    """Warnings of torch and transformers are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def markov(tmp_path_factory):
    """A packed folder of rows from a Markov source, one for evaluation, and the loss of the source itself on it."""
    from markov import write_markov

    return write_markov(tmp_path_factory.mktemp("markov"))
