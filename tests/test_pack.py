"""`pack`: tokens, Megatron bytes and HDF5 rows as the reference makes them, the same in every run."""

import json
import os
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from damaged_corpus import write_corpus
from reference import jsonl
from reference import pack as reference
from reference.shard import Books

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "megatron.toml").read_text("utf-8"))
TEXTS = ["hello", "", "é€😀", "x" * 40, "a", "b\nc", "\u2028", "\x00", "y" * 17]
CONTENT = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in TEXTS)
SOUP = {
    "a.jsonl": b'\xef\xbb\xbf{"text":"a"}\n\nbad\n{}\n{"text":""}\n{"text":null}\n\xff\n"x"\n{"text":"last"}',
    "b.txt": b"one\n\xffy\n \r\ntwo\r\n",
    "c.json": b'[{"text":"in an array"}, 1, {"text": ["x"]}, {"text":"b\nc"}]',
    "d.jsonl": b"",
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def pack(inputs, output, **options):
    return bloomdata.pack(inputs, output, **({"tokenizer": "bytes", "num_threads": 2} | options))


def everything_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pair_in(folder, name="data_text_document"):
    return tuple((folder / f"{name}{suffix}").read_bytes() for suffix in (".bin", ".idx"))


def rows_in(folder):
    """All rows, as h5py reads them."""
    found = []
    for path in sorted(folder.glob("*.hdf5")):
        with h5py.File(path, "r") as file:
            found.append([file[name][:] for name in ("input_ids", "token_type_ids")])
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def documents_of(texts, **options):
    return [reference.tokens(text, **options) for text in texts if text]


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "a.jsonl", CONTENT)


@pytest.fixture(scope="module")
def word_tokenizers(tmp_path_factory):
    """Word-level tokenizers on both sides of Megatron's limit for two-byte tokens."""
    paths = {}
    for vocab_size in (65_499, 65_500):
        vocab = {f"w{number}": number for number in range(vocab_size - 2)}
        vocab |= {"</s>": vocab_size - 2, "<unk>": vocab_size - 1}
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
        definition = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "WhitespaceSplit"}}
        definition |= dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        definition["added_tokens"] = []
        paths[vocab_size] = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        paths[vocab_size].write_text(json.dumps(definition))
    return paths


@pytest.mark.parametrize("vector", GOLDEN["pair"], ids=lambda vector: vector["origin"])
def test_megatron_pairs_are_the_golden_ones_byte_for_byte(vector, tmp_path):
    num_fields = max((len(record) for record in vector["records"]), default=1)
    fields = [f"f{number}" for number in range(num_fields)]
    lines = [json.dumps(dict(zip(fields, record, strict=True))).encode() for record in vector["records"]]
    source = write(tmp_path / "a.jsonl", b"\n".join(lines))
    pack(source, tmp_path / "out", format="megatron", text_field=fields)
    expected = tuple(bytes.fromhex(vector[part]) for part in ("bin", "idx"))
    assert pair_in(tmp_path / "out", f"data_f{vector['field']}_document") == expected
    documents = [reference.tokens(record[vector["field"]]) for record in vector["records"]]
    assert reference.megatron(documents) == expected


@pytest.mark.parametrize("vector", GOLDEN["rows"], ids=lambda vector: vector["origin"])
def test_rows_of_packing_full_are_the_golden_ones(vector, tmp_path):
    lines = [json.dumps({"text": text}).encode() for text in vector["texts"]]
    length, append_eos = vector["sequence_length"], vector["append_eos"]
    source = write(tmp_path / "a.jsonl", b"\n".join(lines))
    pack(source, tmp_path / "out", sequence_length=length, append_eos=append_eos)
    found = rows_in(tmp_path / "out")
    assert [column.tolist() for column in found] == [vector["input_ids"], vector["token_type_ids"]]
    assert all(column.shape == (len(vector["input_ids"]), length) for column in found)
    expected = reference.full_rows(documents_of(vector["texts"], append_eos=append_eos), length)
    assert [column.tolist() for column in expected] == [vector["input_ids"], vector["token_type_ids"]]


@pytest.mark.parametrize("append_eos", [True, False])
def test_a_megatron_pair_is_what_the_reference_writes(append_eos, source, tmp_path):
    report = pack(source, tmp_path / "out", format="megatron", append_eos=append_eos)
    documents = documents_of(TEXTS, append_eos=append_eos)
    assert pair_in(tmp_path / "out") == reference.megatron(documents)
    assert report.outputs[0]["tokens"] == sum(map(len, documents))
    assert (report.outputs[1]["documents"], report.outputs[1]["sequences"]) == (8, 8)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("sequence_length", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("append_eos", [True, False])
def test_hdf5_rows_are_those_of_the_reference(append_eos, sequence_length, compression, source, tmp_path):
    options = {"sequence_length": sequence_length, "append_eos": append_eos, "compression": compression}
    report = pack(source, tmp_path / "out", **options)
    documents = documents_of(TEXTS, append_eos=append_eos)
    for found, expected in zip(rows_in(tmp_path / "out"), reference.full_rows(documents, sequence_length), strict=True):
        assert found.dtype == np.dtype("<i4")
        assert np.array_equal(found, expected)
    ledger = report.ledger
    assert ledger["tokens_in"] == sum(map(len, documents))
    assert ledger["tokens_padding"] == -ledger["tokens_in"] % sequence_length
    assert ledger["tokens_out"] == ledger["tokens_in"] + ledger["tokens_padding"]
    bloomdata.verify(tmp_path / "out")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("rows_per_file", [1, 2, 3, 1000])
def test_only_the_last_hdf5_file_is_short(rows_per_file, compression, source, tmp_path):
    options = {"sequence_length": 7, "compression": compression}
    report = pack(source, tmp_path / "out", rows_per_file=rows_per_file, **options)
    ids, types = reference.full_rows(documents_of(TEXTS), 7)
    counts = [min(rows_per_file, len(ids) - start) for start in range(0, len(ids), rows_per_file)]
    assert [output["rows"] for output in report.outputs] == counts
    assert [output["path"] for output in report.outputs] == [f"data-{n:05}.hdf5" for n in range(len(counts))]
    found = rows_in(tmp_path / "out")
    assert np.array_equal(found[0], ids)
    assert np.array_equal(found[1], types)


def test_contiguous_hdf5_files_can_be_mapped_where_the_manifest_says(source, tmp_path):
    report = pack(source, tmp_path / "out", sequence_length=7)
    (output,) = report.outputs
    data = (tmp_path / "out" / output["path"]).read_bytes()
    with h5py.File(tmp_path / "out" / output["path"], "r") as file:
        assert sorted(file) == ["input_ids", "token_type_ids"]
        for name, place in output["datasets"].items():
            assert file[name].chunks is None
            assert file[name].id.get_offset() == place["offset"]
            assert list(file[name].shape) == place["shape"]
            assert file[name].dtype == np.dtype(place["dtype"]) == np.dtype("<i4")
            mapped = np.frombuffer(data, "<i4", file[name].size, place["offset"])
            assert np.array_equal(mapped.reshape(file[name].shape), file[name][:])


@pytest.mark.parametrize("num_characters", [1024, 5000, 100_000])
def test_contiguous_datasets_that_fill_a_page_start_on_one(num_characters, tmp_path):
    source = write(tmp_path / "a.txt", b"x" * num_characters)
    (output,) = pack(source, tmp_path / "out", sequence_length=16).outputs
    assert [place["offset"] % 4096 for place in output["datasets"].values()] == [0, 0]


def test_compressed_hdf5_files_are_chunked_as_generative_data_prep_writes_them(source, tmp_path):
    """SYSTEMS.md 2.6: little-endian int32, maxshape (unlimited, L), gzip at level 4, chunks chosen by h5py."""
    pack(source, tmp_path / "out", sequence_length=7, compression="gzip")
    with h5py.File(tmp_path / "out" / "data-00000.hdf5", "r") as file:
        assert sorted(file) == ["input_ids", "token_type_ids"]
        for dataset in file.values():
            assert dataset.dtype == np.dtype("<i4")
            assert dataset.maxshape == (None, 7)
            assert (dataset.compression, dataset.compression_opts) == ("gzip", 4)
            assert dataset.chunks is not None


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 5}], ids=str)
def test_the_ledger_and_the_quarantine_are_those_of_the_reference(options, tmp_path):
    inputs = [write(tmp_path / name, content) for name, content in SOUP.items()]
    books = Books()
    texts = reference.texts(list(zip(inputs, SOUP.values(), strict=True)), ["text"], books)
    report = pack(inputs, tmp_path / "out", on_bad_record="quarantine", **options)
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert all(entry.pop("detail") for entry in entries)
    assert entries == books.quarantine
    tokens = sum(len(reference.tokens(text)) for (text,) in texts)
    padding = -tokens % options.get("sequence_length", 1)
    assert report.ledger == {
        "documents_in": books.documents_in,
        "documents_kept": books.documents_kept,
        "documents_dropped": dict(books.documents_dropped),
        "documents_quarantined": dict(books.documents_quarantined),
        "bytes_in": books.bytes_in,
        "text_bytes": books.text_bytes,
        "tokens_in": tokens,
        "tokens_out": tokens + padding,
        "tokens_padding": padding,
        "tokens_truncated": 0,
        "tokens_dropped": 0,
    }
    assert (books.documents_in, books.documents_kept) == (17, 5)


def test_the_report_prints_every_line_of_the_ledger(tmp_path):
    inputs = [write(tmp_path / name, content) for name, content in SOUP.items()]
    text = str(pack(inputs, tmp_path / "out", on_bad_record="quarantine", sequence_length=5))
    for reason in ("dropped: blank line", "dropped: empty text", "quarantined: invalid UTF-8", "padding"):
        assert reason in text


def test_every_field_makes_a_pair_of_its_own(tmp_path):
    records = [{"a": "1", "b": {"c": "22"}}, {"a": "", "b": {"c": "333"}}, {"a": "", "b": {"c": ""}}]
    source = write(tmp_path / "a.jsonl", b"\n".join(json.dumps(record).encode() for record in records))
    report = pack(source, tmp_path / "out", format="megatron", text_field=["a", "b.c"], prefix="corpus")
    columns = {"a": ["1", ""], "b.c": ["22", "333"]}
    for field, texts in columns.items():
        expected = reference.megatron([reference.tokens(text) for text in texts])
        assert pair_in(tmp_path / "out", f"corpus_{field}_document") == expected
    assert report.ledger["documents_kept"] == 2
    assert report.ledger["documents_dropped"] == {"empty text": 1}
    assert report.ledger["tokens_in"] == report.ledger["tokens_out"] == 2 + 3 + 4
    assert report.ledger["text_bytes"] == 6


@pytest.mark.parametrize(("vocab_size", "kind", "code"), [(65_499, "H", 8), (65_500, "i", 4)])
def test_tokens_have_two_bytes_below_a_vocabulary_of_65500_and_else_four(
    vocab_size, kind, code, word_tokenizers, tmp_path
):
    source = write(tmp_path / "a.txt", b"w0 w65000 nothing\nw7\n \n")
    report = pack(source, tmp_path / "out", tokenizer=word_tokenizers[vocab_size], format="megatron")
    eos, unknown = vocab_size - 2, vocab_size - 1
    assert pair_in(tmp_path / "out") == reference.megatron([[0, 65000, unknown, eos], [7, eos]], kind, code)
    facts = report.manifest["details"]["tokenizer"]
    assert (facts["vocab_size"], facts["eos_token"], facts["eos_token_id"]) == (vocab_size, "</s>", eos)
    definition = (tmp_path / "out" / "tokenizer" / "tokenizer.json").read_bytes()
    assert definition == word_tokenizers[vocab_size].read_bytes()


def test_a_text_without_any_token_is_dropped_and_counted(word_tokenizers, tmp_path):
    source = write(tmp_path / "a.jsonl", b'{"text":" "}\n{"text":""}\n{"text":"w1"}\n')
    report = pack(source, tmp_path / "out", tokenizer=word_tokenizers[65_499], format="megatron")
    assert report.ledger["documents_dropped"] == {"empty text": 1, "no tokens": 1}
    assert report.ledger["documents_kept"] == 1


def test_tokens_are_those_of_the_tokenizers_package(word_tokenizers, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    texts = ["w1 w2", "w3  w4\tw5", "é w6", "w65497"]
    source = write(tmp_path / "a.txt", "\n".join(texts).encode())
    path = word_tokenizers[65_499]
    pack(source, tmp_path / "out", tokenizer=path, format="megatron")
    oracle = tokenizers.Tokenizer.from_file(str(path))
    expected = [[*oracle.encode(text).ids, 65_497] for text in texts]
    assert [document.tolist() for document in bloomdata.open(tmp_path / "out")] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"format": "megatron"},
        {"sequence_length": 100, "rows_per_file": 3000},
        {"sequence_length": 64, "compression": "gzip"},
    ],
    ids=str,
)
def test_any_number_of_threads_writes_the_same_bytes(options, tmp_path):
    words = [b"%d" % (number * 2654435761 % 2**32) for number in range(500)]
    lines = [b'{"text":"%s"}' % b" ".join(words[number % 99 : number % 99 + number % 200]) for number in range(2000)]
    content = b"\n".join([*lines, b"bad", b"", b'{"text":""}', *lines[:100]])
    cuts = list(range(50_000, len(content), 300_000))
    inputs = [
        write(tmp_path / f"{number}.jsonl{suffix}", jsonl.stored(content, suffix, cuts if suffix else None))
        for number, suffix in enumerate([".zst", "", ".gz", ".zst"])
    ]
    folders = {}
    for num_threads, checkpoint_seconds in [(1, 10.0), (2, 0.0), (4, 0.0)]:
        folder = tmp_path / f"out-{num_threads}"
        times = {"num_threads": num_threads, "checkpoint_seconds": checkpoint_seconds}
        pack(inputs, folder, on_bad_record="quarantine", **times, **options)
        folders[num_threads] = everything_in(folder)
    assert folders[1] == folders[2] == folders[4]
    documents = 4 * [reference.tokens(json.loads(line)["text"]) for line in [*lines, *lines[:100]] if len(line) > 11]
    if options.get("format") == "megatron":
        assert pair_in(tmp_path / "out-1") == reference.megatron(documents)
    else:
        found = rows_in(tmp_path / "out-1")
        assert all(map(np.array_equal, found, reference.full_rows(documents, options["sequence_length"])))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_documents_longer_than_a_file_of_rows_are_cut_and_nothing_is_lost(compression, tmp_path):
    texts = ["a" * 1000, "b", "c" * 333, "d" * 64]
    source = write(tmp_path / "a.txt", "\n".join(texts).encode())
    report = pack(source, tmp_path / "out", sequence_length=16, rows_per_file=4, compression=compression)
    assert len(report.outputs) == 22
    found = rows_in(tmp_path / "out")
    assert all(map(np.array_equal, found, reference.full_rows(documents_of(texts), 16)))


@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 7}], ids=str)
def test_a_finished_run_does_nothing_when_it_is_called_again(options, source, tmp_path):
    first = pack(source, tmp_path / "out", **options)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    again = pack(source, tmp_path / "out", num_threads=4, checkpoint_seconds=1.0, **options)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert before == after


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sequence_length", 8),
        ("rows_per_file", 2),
        ("compression", "gzip"),
        ("text_field", "other"),
        ("append_eos", False),
        ("add_special_tokens", False),
        ("prefix", "other"),
        ("on_bad_record", "quarantine"),
        ("tokenizer", None),
    ],
)
def test_a_rerun_with_another_option_is_refused_and_the_option_is_named(
    option, value, source, word_tokenizers, tmp_path
):
    changed = {option: value if option != "tokenizer" else word_tokenizers[65_499]}
    pack(source, tmp_path / "out", sequence_length=7)
    before = everything_in(tmp_path / "out")
    with pytest.raises(MismatchError, match=rf"\b{option}\b"):
        pack(source, tmp_path / "out", **({"sequence_length": 7} | changed))
    assert everything_in(tmp_path / "out") == before
    if option == "text_field":
        return
    pack(source, tmp_path / "out", **({"sequence_length": 7, "overwrite": True} | changed))
    pack(source, tmp_path / "new", **({"sequence_length": 7} | changed))
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "new")


def test_a_rerun_with_another_format_or_verb_is_refused(source, tmp_path):
    pack(source, tmp_path / "out", sequence_length=7)
    with pytest.raises(MismatchError, match=r"\bformat\b"):
        pack(source, tmp_path / "out", format="megatron")
    with pytest.raises(MismatchError, match=r"\bverb\b"):
        bloomdata.shard(source, tmp_path / "out")


def test_a_tokenizer_at_another_path_with_the_same_content_is_the_same(word_tokenizers, source, tmp_path):
    folder = tmp_path / "copied"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(word_tokenizers[65_499].read_bytes())
    pack(source, tmp_path / "out", sequence_length=7, tokenizer=word_tokenizers[65_499])
    assert pack(source, tmp_path / "out", sequence_length=7, tokenizer=folder).was_finished


@pytest.mark.parametrize(
    "options",
    [
        {"format": "megatron"},
        {"format": "megatron", "text_field": ["text", "other"]},
        {"sequence_length": 16, "rows_per_file": 20},
        {"sequence_length": 16, "rows_per_file": 20, "compression": "gzip"},
    ],
    ids=str,
)
def test_a_run_that_failed_goes_on_once_its_cause_is_gone_and_writes_the_same_bytes(options, tmp_path):
    """The last input comes back as it should have been: same size, same time, so the same run."""
    good = [b'{"text":"%d","other":"%x"}' % (number**3, number) for number in range(500)]
    contents = [b"\n".join([*good, b"bad", line]) for line in good[:4]]
    inputs = [write(tmp_path / f"{number}.jsonl", content) for number, content in enumerate(contents)]
    options |= {"on_bad_record": "quarantine", "checkpoint_seconds": 0.0}
    pack(inputs, tmp_path / "whole", **options)
    broken = tmp_path / "3.jsonl"
    times = broken.stat().st_atime_ns, broken.stat().st_mtime_ns
    broken.write_bytes(b"\x1f\x8b" + contents[3][2:])
    os.utime(broken, ns=times)
    with pytest.raises(UnsupportedFormatError, match=r"3\.jsonl"):
        pack(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(MismatchError, match=r"\bappend_eos\b"):
        pack(inputs, tmp_path / "out", append_eos=False, **options)
    broken.write_bytes(contents[3])
    os.utime(broken, ns=times)
    report = pack(inputs, tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
@pytest.mark.parametrize("options", [{"format": "megatron"}, {"sequence_length": 64, "rows_per_file": 5000}], ids=str)
def test_a_run_that_failed_inside_of_a_file_goes_on_there(options, name, suffix, tmp_path):
    """The file comes back as it should have been: same size, same time, so the same run."""
    source = tmp_path / (name + suffix)
    options |= {"checkpoint_seconds": 0.0}
    pack(write_corpus(source), tmp_path / "whole", **options)
    with pytest.raises(CorruptDataError, match=re.escape(str(source))):
        pack(write_corpus(source, damaged=True), tmp_path / "out", **options)
    assert len((tmp_path / "out" / "journal.jsonl").read_bytes().splitlines()) > 1
    report = pack(write_corpus(source), tmp_path / "out", **options)
    assert report.was_resumed
    assert everything_in(tmp_path / "out") == everything_in(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "sequence_length"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"sequence_length": -1}, "sequence_length"),
        ({"sequence_length": 2**31 + 1}, "sequence_length"),
        ({"sequence_length": 8, "format": "megatron"}, "sequence_length"),
        ({"sequence_length": 8, "rows_per_file": 0}, "rows_per_file"),
        ({"sequence_length": 8, "compression": "lzf"}, "compression"),
        ({"format": "megatron", "compression": "gzip"}, "compression"),
        ({"format": "parquet"}, "format"),
        ({"sequence_length": 8, "packing": "greedy"}, "packing"),
        ({"format": "megatron", "packing": "full"}, "packing"),
        ({"sequence_length": 8, "text_field": ["a", "b"]}, "text_field"),
        ({"format": "megatron", "text_field": []}, "text_field"),
        ({"format": "megatron", "text_field": ["a", "a"]}, "text_field"),
        ({"format": "megatron", "text_field": "a..b"}, "text_field"),
        ({"format": "megatron", "text_field": ""}, "text_field"),
        ({"sequence_length": 8, "tokenizer": "no such file"}, "tokenizer"),
        ({"sequence_length": 8, "eos_token": "</s>"}, "eos_token"),
        ({"sequence_length": 8, "prefix": "a/b"}, "prefix"),
        ({"format": "megatron", "checkpoint_seconds": -1.0}, "checkpoint_seconds"),
        ({"sequence_length": 8, "checkpoint_seconds": -1.0}, "checkpoint_seconds"),
        ({"sequence_length": 8, "on_bad_record": "skip"}, "on_bad_record"),
        ({"sequence_length": 8, "num_threads": 0}, "num_threads"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name(options, named, source, tmp_path):
    with pytest.raises(ConfigError, match=rf"\b{named}\b"):
        pack(source, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("rows_per_file", [2**40, 2**62, 2**63])
def test_more_rows_than_a_file_can_hold_are_refused_and_not_waited_for(rows_per_file, source, tmp_path):
    """In a process of its own, so that a hang ends."""
    program = (
        "import sys, bloomdata\n"
        "try:\n"
        f"    bloomdata.pack({source!r}, {str(tmp_path / 'out')!r}, tokenizer='bytes', sequence_length=2048,"
        f" rows_per_file={rows_per_file})\n"
        "except bloomdata.ConfigError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=20, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rows_per_file" in done.stdout


def test_a_tokenizer_file_that_is_none_is_refused_with_its_name(source, tmp_path):
    path = write(tmp_path / "tokenizer.json", b"{}")
    with pytest.raises(CorruptDataError, match=re.escape(path)):
        pack(source, tmp_path / "out", sequence_length=8, tokenizer=path)


def test_special_tokens_are_named_by_the_caller_or_by_the_files_beside_the_tokenizer(word_tokenizers, source, tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(word_tokenizers[65_499].read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "w5"}, "pad_token": "w6"}))
    tokenizer = bloomdata.Tokenizer(folder)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (5, 6)
    tokenizer = bloomdata.Tokenizer(folder, eos_token="w8", pad_token="w9")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (8, 9)
    tokenizer = bloomdata.Tokenizer(word_tokenizers[65_499])
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (65_497, 65_497)
    with pytest.raises(ConfigError, match=r"eos_token.*nope"):
        pack(source, tmp_path / "out", sequence_length=8, tokenizer=folder, eos_token="nope")


def test_rows_of_tables_are_packed_as_lines_are(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    rows = [{"text": text, "n": 1} for text in [*TEXTS, None]]
    table = arrow.Table.from_pylist(rows)
    report = pack(table, tmp_path / "out", format="megatron", on_bad_record="quarantine")
    assert pair_in(tmp_path / "out") == reference.megatron(documents_of(TEXTS))
    assert report.ledger["documents_quarantined"] == {"null field": 1}
    assert report.ledger["documents_dropped"] == {"empty text": 1}
    with pytest.raises(ConfigError, match=r"text_field.*'?other"):
        pack(table, tmp_path / "other", format="megatron", text_field="other")


def test_the_index_of_a_pair_is_what_struct_reads(source, tmp_path):
    """The table of SYSTEMS.md 6.1, field by field."""
    pack(source, tmp_path / "out", format="megatron")
    data, index = pair_in(tmp_path / "out")
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, num_sequences, num_entries = struct.unpack_from("<QBQQ", index, 9)
    assert (version, code, num_sequences, num_entries) == (1, 8, 8, 9)
    lengths = struct.unpack_from("<8i", index, 34)
    pointers = struct.unpack_from("<8q", index, 34 + 4 * 8)
    documents = struct.unpack_from("<9q", index, 34 + 12 * 8)
    assert len(index) == 34 + 12 * 8 + 8 * 9
    assert pointers == tuple(2 * sum(lengths[:number]) for number in range(8))
    assert 2 * sum(lengths) == len(data)
    assert documents == tuple(range(9))
