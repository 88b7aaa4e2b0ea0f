"""Words, shingles, signatures, bands and keys of `dedup`: frozen, and those of the slow references."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomdata import MinHash, _core
from reference import dedup_units, exact_duplicates, minhash

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "dedup.toml").read_text("utf-8"))
# Where words begin and end, and letters that change more than their case.
LETTERS = st.sampled_from([*"aAbZ09 .-_'\n\t\u3000\u00a0éÉßİıſΣς中字かナไทยក་བོǅ½²x\u0301\U0001f600\u200d"])
TEXTS = st.text(LETTERS, max_size=40) | st.text(max_size=30).filter(dedup_units.is_known)
KINDS = [(unit, normalize) for unit in ("words", "characters") for normalize in ("fold", "none")]


def signature_of(text, unit, normalize, size, num_perm):
    config = {"num_perm": num_perm, "unit": unit, "normalize": normalize, "shingle_size": size}
    return _core.near_signature(text, json.dumps(config))


def text_of(entry):
    return entry["text"] if "text" in entry else " ".join(f"word{number}" for number in range(entry["count"]))


@pytest.mark.parametrize("entry", GOLDEN["units"], ids=lambda entry: f"{entry['unit']}-{entry['text'][:12]!r}")
def test_units_are_the_frozen_ones(entry):
    units, _ = signature_of(entry["text"], entry["unit"], entry["normalize"], 5, 8)
    assert [[start, end] for _, start, end in units] == entry["bytes"]
    assert [f"{found:016x}" for found, _, _ in units] == entry["hashes"]


@pytest.mark.parametrize("entry", GOLDEN["signature"], ids=lambda entry: entry["origin"])
def test_signatures_are_the_frozen_ones(entry):
    options = (entry["unit"], entry["normalize"], entry["size"], entry["num_perm"])
    units, signature = signature_of(text_of(entry), *options)
    # A document without units has ones everywhere: the reference has nothing.
    assert signature == (bytes.fromhex("".join(entry["hex"].split())) if units else b"\xff" * 2 * entry["num_perm"])


@pytest.mark.parametrize("entry", GOLDEN["bands"], ids=lambda entry: f"{entry['threshold']}-{entry['num_perm']}")
def test_bands_are_the_frozen_ones(entry):
    config = MinHash(entry["threshold"], num_perm=entry["num_perm"]).to_config()
    bands, rows, [chance] = _core.near_chances(json.dumps(config), [entry["threshold"]])
    assert (bands, rows) == (entry["bands"], entry["rows"])
    assert chance == pytest.approx(1 - (1 - entry["threshold"] ** rows) ** bands)


@pytest.mark.parametrize("entry", GOLDEN["exact"], ids=lambda entry: f"{entry['normalize']}-{entry['text'][:12]!r}")
def test_keys_of_texts_are_the_frozen_ones(entry):
    assert f"{_core.exact_key(entry['text'], entry['normalize']):032x}" == entry["key"]


@given(TEXTS, st.sampled_from(KINDS), st.sampled_from([1, 3, 5]), st.sampled_from([1, 7, 64, 128]))
def test_units_and_signatures_are_those_of_the_reference(text, kind, size, num_perm):
    units, signature = signature_of(text, *kind, size, num_perm)
    expected = dedup_units.units(text, *kind)
    assert units == expected
    shingles = dedup_units.shingles([found for found, _, _ in expected], size)
    if shingles:
        values = [int.from_bytes(signature[at : at + 2], "little") for at in range(0, 2 * num_perm, 2)]
        assert values == minhash.signature(shingles, num_perm)


@given(TEXTS, st.sampled_from(["none", "whitespace", "fold"]))
def test_keys_of_texts_are_those_of_the_reference(text, normalize):
    assert _core.exact_key(text, normalize) == exact_duplicates.key(text, normalize)


@given(st.integers(1, 99), st.sampled_from([1, 2, 64, 128, 256]))
def test_bands_are_those_of_the_reference(percent, num_perm):
    config = MinHash(percent / 100, num_perm=num_perm).to_config()
    assert _core.near_chances(json.dumps(config), [])[:2] == minhash.bands_for(percent / 100, num_perm)
