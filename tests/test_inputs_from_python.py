"""Inputs and tokenizers that are Python objects, names of the hub, and arguments of wrong types."""

import datetime
import json
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, MismatchError
from files import write
from sharding import contents_of

ROWS = [{"text": f"row {number}", "n": number} for number in range(600)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
PACK = {"tokenizer": "bytes", "sequence_length": 32}


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def shard(inputs, output, **options):
    report = bloomdata.shard(inputs, output, **options)
    return [json.loads(line) for line in b"".join(contents_of(output).values()).splitlines()], report


KINDS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "iterator": iter,
    "map": lambda rows: map(dict, rows),
    "dict view": lambda rows: dict(enumerate(rows)).values(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_dictionaries_are_read_as_their_lines_are(kind, tmp_path):
    path = write(tmp_path / "a.jsonl", LINES)
    found, report = shard(KINDS[kind](ROWS), tmp_path / "out")
    assert found == ROWS
    assert bloomdata.verify(tmp_path / "out").files == len(report.outputs)
    of_file = bloomdata.pack(path, tmp_path / "file", **PACK)
    assert bloomdata.pack(KINDS[kind](ROWS), tmp_path / "rows", **PACK).fingerprint == of_file.fingerprint
    counted = bloomdata.count(KINDS[kind](ROWS), tokenizer="bytes")
    assert counted.tokens == bloomdata.count(path, tokenizer="bytes").tokens
    prepared = bloomdata.prepare("pile", KINDS[kind](ROWS), tmp_path / "texts")
    assert prepared.ledger["documents_kept"] == len(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_folder_answers_for_the_same_rows_only(kind, tmp_path):
    make = KINDS[kind]
    bloomdata.shard(make(ROWS), tmp_path / "out")
    assert bloomdata.shard(make(ROWS), tmp_path / "out").was_finished
    others = [*ROWS[:-1], {"text": "other", "n": 599}]
    with pytest.raises(MismatchError, match="rows of input"):
        bloomdata.shard(make(others), tmp_path / "out")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(), values, max_size=3), max_size=5))
def test_rows_are_what_json_dumps_makes_of_them(rows):
    with tempfile.TemporaryDirectory() as folder:
        if not rows:
            with pytest.raises(ConfigError, match="none given"):
                bloomdata.shard(rows, f"{folder}/out")
            return
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        path = write(Path(folder) / "a.jsonl", "".join(line + "\n" for line in lines).encode())
        quarantine = {"on_bad_record": "quarantine"}
        _, of_file = shard(path, Path(folder) / "file", **quarantine)
        _, of_rows = shard(rows, Path(folder) / "rows", **quarantine)
        assert contents_of(Path(folder) / "rows") == contents_of(Path(folder) / "file")
        for name in ("documents_in", "documents_kept", "documents_quarantined"):
            assert of_rows.ledger[name] == of_file.ledger[name]


def test_values_of_other_libraries_and_odd_strings(tmp_path):
    odd = [{"text": "a", "x": np.float32(0.5), "y": np.arange(2), "d": datetime.date(2026, 1, 2)}, {"text": "\ud800"}]
    found, _ = shard(odd, tmp_path / "out")
    assert found == [{"text": "a", "x": 0.5, "y": [0, 1], "d": "2026-01-02"}, {"text": "\ud800"}]
    found, report = shard([{"text": "a", "x": math.nan}, {"text": "b"}], tmp_path / "nan", on_bad_record="quarantine")
    assert found == [{"text": "b"}]
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 1}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a"}, 5], "row 1: expected a dictionary, got int"),
        ([{"text": "a", "image": b"x"}], "row 0: 'image': expected a value of JSON: found bytes"),
        ([{"text": {1, 2}}], "row 0: 'text'"),
        ([{"text": "a", 5: "b"}], "row 0: expected keys that are strings, got 5"),
        ([1, 2], "expected paths or dictionaries, got an iterable of int"),
        ([["a.jsonl"]], "expected paths or dictionaries"),
        ({"text": ["a"]}, "inputs: expected paths, .* got dict"),
        ({"a.jsonl"}, "inputs: expected paths, .* got set"),
        (b"a.jsonl", "inputs: expected paths, .* got bytes"),
        (None, "inputs: expected paths, .* got NoneType"),
    ],
)
def test_rows_that_are_none_are_named(rows, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        bloomdata.shard(rows, tmp_path / "out")


def test_an_exception_of_a_generator_comes_out_as_it_is(tmp_path):
    def rows():
        yield {"text": "a"}
        raise ZeroDivisionError("of the user")

    for verb in (bloomdata.shard, lambda inputs, output: bloomdata.pack(inputs, output, **PACK)):
        with pytest.raises(ZeroDivisionError, match="of the user"):
            verb(rows(), tmp_path / "out")


def test_paths_from_any_iterable(tmp_path):
    write(tmp_path / "in" / "a.jsonl", LINES)
    write(tmp_path / "in" / "b.jsonl", LINES + b'{"text": "last"}\n')
    assert shard(sorted((tmp_path / "in").glob("*")), tmp_path / "list")[1].ledger["documents_kept"] == 1201
    assert shard((tmp_path / "in").glob("a*"), tmp_path / "glob")[0] == ROWS
    report = bloomdata.dedup((tmp_path / "in").glob("*"), tmp_path / "clean")
    assert report.ledger["documents_kept"] == 601
    with pytest.raises(ConfigError, match="read more than once, got a table in memory; `shard` it first"):
        bloomdata.dedup(ROWS, tmp_path / "no")


def test_streams_of_datasets_are_read_and_splits_are_named(tmp_path):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_list(ROWS)
    streams = [dataset.to_iterable_dataset(), datasets.IterableDataset.from_generator(lambda: iter(ROWS))]
    for number, stream in enumerate([*streams, streams[0].filter(lambda row: row["n"] < 600)]):
        assert shard(stream, tmp_path / str(number))[0] == ROWS
    chats = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    for number, inputs in enumerate([chats, iter(chats), datasets.Dataset.from_list(chats).to_iterable_dataset()]):
        output = tmp_path / f"chats-{number}"
        assert bloomdata.pack(inputs, output, template="human_bot", **PACK).ledger["documents_kept"] == 1
    for kind in (datasets.DatasetDict, datasets.IterableDatasetDict):
        part = dataset if kind is datasets.DatasetDict else streams[0]
        with pytest.raises(ConfigError, match=r"splits \['train', 'test'\]: name one of them, such as data\['train'\]"):
            bloomdata.shard(kind({"train": part, "test": part}), tmp_path / "out")


def tokenizer_of_words(**special):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"<eos>": 0, "<unk>": 1, "row": 2, **{str(number): 3 + number for number in range(600)}}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.add_special_tokens(["<eos>"])
    return made


def test_tokenizers_may_be_objects(tmp_path):
    made = tokenizer_of_words()
    made.save(str(tmp_path / "tokenizer.json"))
    options = {"sequence_length": 8, "eos_token": "<eos>"}
    of_file = bloomdata.pack(ROWS, tmp_path / "file", tokenizer=tmp_path / "tokenizer.json", **options)
    of_object = bloomdata.pack(ROWS, tmp_path / "object", tokenizer=made, **options)
    assert of_object.fingerprint == of_file.fingerprint
    assert bloomdata.pack(ROWS, tmp_path / "object", tokenizer=made, **options).was_finished
    own = bloomdata.Tokenizer(tmp_path / "tokenizer.json", eos_token="<eos>")
    of_own = bloomdata.pack(ROWS, tmp_path / "own", tokenizer=own, sequence_length=8)
    assert of_own.fingerprint == of_file.fingerprint
    assert (
        bloomdata.count(ROWS, tokenizer=own).tokens == bloomdata.count(ROWS, tokenizer=made, eos_token="<eos>").tokens
    )
    assert bloomdata.Tokenizer(made, eos_token="<eos>").encode("row 7").tolist() == [2, 10]
    assert len(list((tmp_path / "cache" / "bloomdata" / "tokenizers").iterdir())) == 1


def test_tokenizers_of_transformers_bring_their_special_tokens_and_template(tmp_path):
    transformers = pytest.importorskip("transformers")
    template = "{% for m in messages %}{{ m.role }} {{ m.content }}<eos>{% endfor %}"
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer_of_words(), eos_token="<eos>")
    made.chat_template = template
    chats = [{"messages": [{"role": "user", "content": "row 1"}, {"role": "assistant", "content": "row 2"}]}]
    report = bloomdata.pack(chats, tmp_path / "out", tokenizer=made, sequence_length=16)
    assert (
        bloomdata.open(tmp_path / "out")[0]["input_ids"][:8].tolist()
        == made("user row 1<eos>assistant row 2<eos>", add_special_tokens=False)["input_ids"]
    )
    assert report.ledger["documents_kept"] == 1


@pytest.mark.parametrize("tokenizer", [5, object(), len, {"a": 1}, b"bytes", ["bytes"], None])
def test_other_tokenizers_are_config_errors(tokenizer, tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer: expected .*, got"):
        bloomdata.pack(ROWS, tmp_path / "out", tokenizer=tokenizer, sequence_length=8)
    with pytest.raises(ConfigError, match=r"tokenizer: expected .*, got"):
        bloomdata.count(ROWS, tokenizer=tokenizer)
    with pytest.raises(ConfigError, match=r"tokenizer: expected .*, got"):
        bloomdata.Tokenizer(tokenizer)


def in_hub(kind, name, files, tmp_path):
    """Files in the cache of the hub, as links to blobs."""
    folder = tmp_path / "cache" / "huggingface" / "hub" / f"{kind}--{name.replace('/', '--')}"
    write(folder / "refs" / "main", b"0123abcd")
    for number, (path, content) in enumerate(files.items()):
        write(folder / "blobs" / str(number), content)
        link = folder / "snapshots" / "0123abcd" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(folder / "blobs" / str(number), link.parent))


def test_names_of_the_hub_are_looked_up_in_the_local_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    in_hub(
        "datasets", "me/rows", {"data/part-0.jsonl": LINES, "README.md": b"#", "dataset_infos.json": b"{}"}, tmp_path
    )
    assert shard("me/rows", tmp_path / "out")[0] == ROWS
    assert shard("hf://datasets/me/rows/data/*.jsonl", tmp_path / "inner")[0] == ROWS
    in_hub("datasets", "me/splits", {"train-0.jsonl": LINES, "test-0.jsonl": b"{}\n", "val.jsonl": b"{}\n"}, tmp_path)
    with pytest.raises(
        ConfigError, match=r"me/splits has the splits \['train', 'test', 'validation'\]: name the files"
    ):
        bloomdata.shard("me/splits", tmp_path / "no")
    assert shard("hf://datasets/me/splits/**/*train*", tmp_path / "train")[0] == ROWS
    for name in ("me/unknown", "hf://datasets/me/unknown"):
        with pytest.raises(FileNotFoundError, match=r"not in the local cache .*nothing is downloaded.*hf download"):
            bloomdata.shard(name, tmp_path / "no")
    write(tmp_path / "me" / "rows" / "a.jsonl", b'{"text": "of this folder"}\n')
    assert shard("me/rows", tmp_path / "local")[0] == [{"text": "of this folder"}]


def test_tokenizers_of_the_hub_are_looked_up_in_the_local_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    definition = tokenizer_of_words().to_str().encode()
    for name in ("gpt0", "me/words"):
        in_hub("models", name, {"tokenizer.json": definition}, tmp_path)
        report = bloomdata.pack(ROWS, tmp_path / name, tokenizer=name, eos_token="<eos>", sequence_length=8)
        assert report.ledger["documents_kept"] == 600
    with pytest.raises(FileNotFoundError, match=r"not in the local cache .*`hf download me/unknown`"):
        bloomdata.pack(ROWS, tmp_path / "out", tokenizer="me/unknown", sequence_length=8)


def wrong_arguments():
    run = {"inputs": "a.jsonl", "output": "out"}
    pack = {**run, "tokenizer": "bytes", "sequence_length": 8}
    yield from (("shard", run, name) for name in ("output", "max_lines", "compression", "prefix", "validate", "splits"))
    packed = ("output", "sequence_length", "packing", "text_field", "template", "source", "eos_token", "special_tokens")
    yield from (("pack", pack, name) for name in (*packed, "ignore_fields", "num_threads", "overwrite", "append_eos"))
    prepare = {"source": "sharegpt", **run}
    yield from (("prepare", prepare, name) for name in ("source", "output", "style", "repeat", "ensure_ascii", "seed"))
    yield from (("dedup", run, name) for name in ("output", "exact", "min_characters", "text_field", "report_only"))
    yield from (("count", {"inputs": "a.jsonl", "tokenizer": "bytes"}, name) for name in ("record", "text_field"))
    yield from (("verify", {"folder": "out"}, name) for name in ("folder", "num_threads"))
    yield from (("merge", {"inputs": ["a"], "output": "out"}, name) for name in ("inputs", "output", "prefix"))


@pytest.mark.parametrize(("verb", "arguments", "name"), list(wrong_arguments()))
def test_wrong_types_are_config_errors_that_name_the_argument(verb, arguments, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", LINES)
    for value in (object(), {"source": "sharegpt", "turns": 5}, 1.5, [object()], sys):
        with pytest.raises(ConfigError, match=rf"^{name}(: | of )"):
            getattr(bloomdata, verb)(**{**arguments, name: value})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_an_interrupted_run_over_a_generator_says_that_it_cannot_be_resumed(tmp_path):
    def rows(fails):
        for number in range(50_000):
            if fails and number == 40_000:
                raise ZeroDivisionError
            yield {"text": f"a row of some length, number {number}"}

    options = {"max_lines": 1000, "num_threads": 1}
    with pytest.raises(ZeroDivisionError):
        bloomdata.shard(rows(True), tmp_path / "out", **options)
    if (tmp_path / "out" / "journal.jsonl").exists():
        with pytest.raises(ConfigError, match="read once only: an interrupted run over it cannot be resumed"):
            bloomdata.shard(rows(False), tmp_path / "out", **options)
    assert bloomdata.shard(rows(False), tmp_path / "out", overwrite=True, **options).ledger["documents_kept"] == 50_000
