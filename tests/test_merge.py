"""`merge`: joined pairs are, byte for byte, what one run over all inputs would have written."""

import json
import struct

import pytest

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError, MismatchError
from reference import pack as reference

PARTS = {
    "a": [("one", "1"), ("", "2"), ("three", "")],
    "b": [("four", "4")],
    "c": [],
    "d": [("five", "5"), ("six" * 30, "6"), ("é", "")],
}
FIELDS = ["text", "note"]
NAME = "data_text_document"


def lines_of(records):
    return b"".join(json.dumps(dict(zip(FIELDS, record, strict=True))).encode() + b"\n" for record in records)


def pack(source, output, **options):
    return bloomdata.pack(str(source), output, **({"tokenizer": "bytes", "format": "megatron"} | options))


def pair_at(prefix):
    return tuple(prefix.with_name(prefix.name + suffix).read_bytes() for suffix in (".bin", ".idx"))


def everything_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_pair(prefix, target):
    for suffix, content in zip((".bin", ".idx"), pair_at(prefix), strict=True):
        target.with_name(target.name + suffix).write_bytes(content)
    return target


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Every part packed by itself into a folder of its name, and all of them at once into `all`."""
    folder = tmp_path_factory.mktemp("merge")
    for name, records in [*PARTS.items(), ("all", [record for part in PARTS.values() for record in part])]:
        (folder / f"{name}.jsonl").write_bytes(lines_of(records))
        pack(folder / f"{name}.jsonl", folder / name, text_field=FIELDS)
        pack(folder / f"{name}.jsonl", folder / f"{name}-text")
    return folder


def test_merged_folders_are_what_one_run_would_have_written(packed, tmp_path):
    report = bloomdata.merge([packed / name for name in PARTS], tmp_path / "out")
    for field in FIELDS:
        name = f"data_{field}_document"
        assert pair_at(tmp_path / "out" / name) == pair_at(packed / "all" / name)
        column = FIELDS.index(field)
        documents = [reference.tokens(record[column]) for part in PARTS.values() for record in part]
        assert pair_at(tmp_path / "out" / name) == reference.megatron(documents)
    together = json.loads((packed / "all" / "manifest.json").read_bytes())
    assert report.ledger == together["ledger"]
    assert {output["path"]: output for output in report.outputs} == {
        output["path"]: output for output in together["outputs"]
    }
    assert report.manifest["details"] == together["details"]
    bloomdata.verify(tmp_path / "out")


def test_the_books_of_a_merge_are_the_sum_of_all_books(tmp_path):
    for name, content in {"a": b'{"text":"x"}\nbad\n\n', "b": b'{"text":""}\n{}\n{"text":"y"}\n'}.items():
        (tmp_path / f"{name}.jsonl").write_bytes(content)
        pack(tmp_path / f"{name}.jsonl", tmp_path / name, on_bad_record="quarantine")
    ledger = bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out").ledger
    assert (ledger["documents_in"], ledger["documents_kept"]) == (6, 2)
    assert ledger["documents_dropped"] == {"blank line": 1, "empty text": 1}
    assert ledger["documents_quarantined"] == {"malformed JSON": 1, "missing field": 1}
    assert (ledger["bytes_in"], ledger["text_bytes"]) == (18 + 28, 2)
    assert (ledger["tokens_in"], ledger["tokens_out"]) == (4, 4)


def test_merged_bare_pairs_are_what_one_run_would_have_written(packed, tmp_path):
    prefixes = [packed / f"{name}-text" / NAME for name in PARTS]
    report = bloomdata.merge([prefixes[0], f"{prefixes[1]}.idx", f"{prefixes[2]}.bin", prefixes[3]], tmp_path / "out")
    assert pair_at(tmp_path / "out" / "merged_document") == pair_at(packed / "all-text" / NAME)
    documents = bloomdata.open(packed / "all-text")
    assert report.ledger["documents_in"] == report.ledger["documents_kept"] == len(documents)
    assert report.ledger["tokens_in"] == report.ledger["tokens_out"] == documents.num_tokens
    assert [document.tolist() for document in bloomdata.open(tmp_path / "out")] == [
        document.tolist() for document in documents
    ]
    bloomdata.verify(tmp_path / "out")


def test_the_prefix_names_a_merged_bare_pair(packed, tmp_path):
    prefixes = [packed / f"{name}-text" / NAME for name in "ab"]
    bloomdata.merge(prefixes, tmp_path / "out", prefix="corpus")
    assert sorted(everything_in(tmp_path / "out")) == ["corpus.bin", "corpus.idx", "manifest.json"]


def test_merging_merged_folders_is_merging_all_of_them(packed, tmp_path):
    bloomdata.merge([packed / "a", packed / "b"], tmp_path / "ab")
    bloomdata.merge([packed / "c", packed / "d"], tmp_path / "cd")
    nested = bloomdata.merge([tmp_path / "ab", tmp_path / "cd"], tmp_path / "nested")
    flat = bloomdata.merge([packed / name for name in PARTS], tmp_path / "flat")
    assert nested.outputs == flat.outputs
    assert nested.ledger == flat.ledger
    assert nested.fingerprint == flat.fingerprint


def test_one_folder_merges_to_itself(packed, tmp_path):
    report = bloomdata.merge([packed / "a"], tmp_path / "out")
    assert pair_at(tmp_path / "out" / NAME) == pair_at(packed / "a" / NAME)
    assert report.ledger == json.loads((packed / "a" / "manifest.json").read_bytes())["ledger"]


def test_a_folder_and_a_bare_pair_are_counted_once_each(packed, tmp_path):
    pair = copy_pair(packed / "b-text" / NAME, tmp_path / "pair")
    ledger = bloomdata.merge([packed / "a-text", pair], tmp_path / "out", prefix=NAME).ledger
    documents = bloomdata.open(tmp_path / "out")
    assert len(documents) == 3
    assert ledger["documents_kept"] == len(documents)
    assert ledger["tokens_in"] == ledger["tokens_out"] == documents.num_tokens


def test_documents_of_several_sequences_stay_together(tmp_path):
    for name, lengths, documents in [("a", [3, 2, 1], [0, 2, 2, 3]), ("b", [4, 5], [0, 2])]:
        pointers = [4 * sum(lengths[:number]) for number in range(len(lengths))]
        index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 4, len(lengths), len(documents))
        index += struct.pack(f"<{len(lengths)}i{len(lengths)}q{len(documents)}q", *lengths, *pointers, *documents)
        (tmp_path / f"{name}.idx").write_bytes(index)
        (tmp_path / f"{name}.bin").write_bytes(b"".join(struct.pack("<i", token) for token in range(sum(lengths))))
    report = bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    index = (tmp_path / "out" / "merged_document.idx").read_bytes()
    assert struct.unpack_from("<QBQQ", index, 9) == (1, 4, 5, 5)
    assert struct.unpack_from("<5i", index, 34) == (3, 2, 1, 4, 5)
    assert struct.unpack_from("<5q", index, 54) == (0, 12, 20, 24, 40)
    assert struct.unpack_from("<5q", index, 94) == (0, 2, 2, 3, 5)
    assert report.ledger["documents_kept"] == 4
    bloomdata.verify(tmp_path / "out")


def test_the_tokenizer_comes_along(tmp_path):
    vocab = {"a": 0, "</s>": 1, "<unk>": 2}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
    definition = {"version": "1.0", "model": model, "added_tokens": []}
    definition |= dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    (tmp_path / "a.txt").write_bytes(b"a\n")
    for name in "ab":
        pack(tmp_path / "a.txt", tmp_path / name, tokenizer=tmp_path / "tokenizer.json")
    report = bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    merged, packed = (json.loads((tmp_path / name / "manifest.json").read_bytes()) for name in ("out", "a"))
    sums = {"articles": 2, "length_histogram": [2 * count for count in packed["details"]["length_histogram"]]}
    assert merged["details"] == {**packed["details"], **sums}
    assert (tmp_path / "out" / "tokenizer" / "tokenizer.json").read_text() == json.dumps(definition)
    assert "tokenizer/tokenizer.json" in [output["path"] for output in report.outputs]
    bloomdata.verify(tmp_path / "out")
    pack(tmp_path / "a.txt", tmp_path / "parts", tokenizer=tmp_path / "tokenizer.json", parts=2)
    assert bloomdata.merge([tmp_path / "parts", tmp_path / "b"], tmp_path / "again").outputs == report.outputs


def test_folders_of_parts_are_merged_like_those_of_one_run(packed, tmp_path):
    """The pairs of all parts come in order, under the name without a number; nothing else is left of the parts."""
    sources = [str(packed / f"{name}.jsonl") for name in PARTS]
    options = {"tokenizer": "bytes", "format": "megatron", "text_field": FIELDS}
    bloomdata.pack(sources, tmp_path / "parts", parts=3, **options)
    bloomdata.pack(sources, tmp_path / "joined", parts=3, **options)
    bloomdata.finish(tmp_path / "joined", joined=True)
    report = bloomdata.merge([tmp_path / "parts", packed / "b", tmp_path / "joined"], tmp_path / "out")
    whole = bloomdata.merge([packed / name for name in ("all", "b", "all")], tmp_path / "whole")
    assert report.outputs == whole.outputs
    assert report.ledger == whole.ledger
    assert report.manifest["details"] == whole.manifest["details"]
    bloomdata.verify(tmp_path / "out")
    with pytest.raises(ConfigError, match="data_note_document is in 1 of 2 inputs"):
        bloomdata.merge([tmp_path / "parts", packed / "d-text"], tmp_path / "refused")


def test_a_finished_merge_does_nothing_when_it_is_called_again(packed, tmp_path):
    inputs = [packed / name for name in "ab"]
    first = bloomdata.merge(inputs, tmp_path / "out")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}
    again = bloomdata.merge(inputs, tmp_path / "out")
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").iterdir()}


def test_a_merge_of_other_inputs_or_in_another_order_is_refused_without_overwrite(packed, tmp_path):
    bloomdata.merge([packed / "a", packed / "b"], tmp_path / "out")
    for inputs in ([packed / "b", packed / "a"], [packed / "a"], [packed / "a", packed / "d"]):
        with pytest.raises(MismatchError):
            bloomdata.merge(inputs, tmp_path / "out")
        assert bloomdata.merge(inputs, tmp_path / f"new-{len(inputs)}", overwrite=True).ledger["documents_kept"]
    bloomdata.merge([packed / "d"], tmp_path / "out", overwrite=True)
    assert pair_at(tmp_path / "out" / NAME) == pair_at(packed / "d" / NAME)


def test_a_merge_never_destroys_its_own_inputs(packed, tmp_path):
    bloomdata.merge([packed / "a"], tmp_path / "out")
    before = everything_in(tmp_path / "out")
    with pytest.raises((ConfigError, MismatchError)):
        bloomdata.merge([tmp_path / "out", packed / "b"], tmp_path / "out", overwrite=True)
    assert everything_in(tmp_path / "out") == before


def test_inputs_with_different_fields_are_refused(packed, tmp_path):
    with pytest.raises(ConfigError, match=r"same fields"):
        bloomdata.merge([packed / "a", packed / "b-text"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_no_pairs_are_refused(packed, tmp_path):
    bloomdata.shard(str(packed / "a.jsonl"), tmp_path / "shards")
    bloomdata.pack(str(packed / "a.jsonl"), tmp_path / "rows", tokenizer="bytes", sequence_length=8)
    (tmp_path / "empty").mkdir()
    for inputs in ([tmp_path / "shards"], [tmp_path / "rows"], [tmp_path / "empty"], []):
        with pytest.raises(ConfigError):
            bloomdata.merge(inputs, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"none\.idx"):
        bloomdata.merge([tmp_path / "none"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_different_token_types_and_tokenizers_are_refused(packed, tmp_path):
    model = {"type": "WordLevel", "vocab": {"</s>": 0, "<unk>": 1}, "unk_token": "<unk>"}
    definition = {"version": "1.0", "model": model, "added_tokens": []}
    definition |= dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    pack(packed / "a.jsonl", tmp_path / "other", tokenizer=tmp_path / "tokenizer.json")
    with pytest.raises(MismatchError, match=r"other: tokenizer"):
        bloomdata.merge([packed / "a-text", tmp_path / "other"], tmp_path / "out")
    # A bare pair says nothing of its tokenizer; the folders around it still do.
    pair = copy_pair(packed / "b-text" / NAME, tmp_path / "pair")
    with pytest.raises(MismatchError, match=r"tokenizer"):
        bloomdata.merge([pair, packed / "a-text", tmp_path / "other"], tmp_path / "out", prefix=NAME)
    data, index = reference.megatron([[1, 2]], "i", 4)
    (tmp_path / "wide.bin").write_bytes(data)
    (tmp_path / "wide.idx").write_bytes(index)
    with pytest.raises(MismatchError, match=r"wide\.idx: token type"):
        bloomdata.merge([pair, tmp_path / "wide"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"X"),
        (9, b"\x02"),
        (17, b"\x06"),
        (18, b"\x09"),
        (26, b"\x09"),
        (34, b"\x09"),
        (42, b"\x01"),
        (50, b"\x02"),
        (58, b"\x01"),
        (66, b"\x00"),
        (66, b"\x07"),
        (74, b"\x01"),
    ],
    ids=[
        "magic",
        "version",
        "token type",
        "number of sequences",
        "number of documents",
        "a length",
        "the first pointer",
        "the second pointer",
        "the start of the document index",
        "the document index, another",
        "the document index, too high",
        "the end of the document index",
    ],
)
def test_a_damaged_index_is_refused_with_its_name(offset, value, tmp_path):
    data, index = reference.megatron([[1, 2, 3], [4, 5]])
    for name in "ab":
        (tmp_path / f"{name}.bin").write_bytes(data)
        (tmp_path / f"{name}.idx").write_bytes(index)
    assert bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "good").ledger["documents_kept"] == 4
    damaged = index[:offset] + value + index[offset + 1 :]
    assert damaged != index
    (tmp_path / "b.idx").write_bytes(damaged)
    if (offset, value) == (66, b"\x00"):
        # Entries 0, 0, 2: an empty document and one of two sequences. A valid index, and merged as such.
        bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
        found = [document.tolist() for document in bloomdata.open(tmp_path / "out")]
        assert found == [[1, 2, 3], [4, 5], [], [1, 2, 3, 4, 5]]
        return
    with pytest.raises(CorruptDataError, match=r"b\.(idx|bin)"):
        bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_tokens_that_are_missing_or_too_many_are_refused(packed, tmp_path):
    data, _ = pair_at(packed / "b-text" / NAME)
    pair = copy_pair(packed / "b-text" / NAME, tmp_path / "pair")
    for damaged in (data[:-1], data[:-2], data + b"\x00", data + b"\x00\x00", b""):
        (tmp_path / "pair.bin").write_bytes(damaged)
        with pytest.raises(CorruptDataError, match=r"pair\.(idx|bin)"):
            bloomdata.merge([packed / "a-text" / NAME, pair], tmp_path / f"out-{len(damaged)}")


def test_damage_in_one_pair_is_not_made_up_for_by_another(packed, tmp_path):
    """One `.bin` lost its last token and the other gained one: the sums still fit, the documents do not."""
    for name, change in (("a", lambda data: data[:-2]), ("b", lambda data: b"\x00\x00" + data)):
        pair = copy_pair(packed / "d-text" / NAME, tmp_path / name)
        path = pair.with_name(f"{name}.bin")
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BloomdataError, match=r"[ab]\.(idx|bin)"):
        bloomdata.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")


def test_a_field_with_a_slash_keeps_its_name(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a/b":"x"}\n')
    pack(tmp_path / "a.jsonl", tmp_path / "packed", text_field="a/b")
    bloomdata.verify(tmp_path / "packed")
    bloomdata.merge([tmp_path / "packed", tmp_path / "packed"], tmp_path / "out")
    bloomdata.verify(tmp_path / "out")
    assert len(bloomdata.open(tmp_path / "out")) == 2


def test_tokens_that_are_not_those_of_the_manifest_are_refused(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(lines_of(PARTS["a"]))
    pack(tmp_path / "in.jsonl", tmp_path / "a")
    path = tmp_path / "a" / f"{NAME}.bin"
    path.write_bytes(path.read_bytes().replace(b"o", b"0"))
    with pytest.raises(
        CorruptDataError, match=r"data_text_document\.bin: .*expected the hash \w+ of its manifest\.json"
    ):
        bloomdata.merge([tmp_path / "a"], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.bin"))
