"""Random soups of records in random files: `shard` and `pack` do what the slow reference does, and lose nothing."""

import json
import tempfile
import tomllib
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bloomdata
from files import everything_in
from packing import rows_in
from reference import jsonl
from reference import pack as reference_pack
from reference.shard import Books
from reference.shard import shard as reference_shard

# A soup may hold nothing that is kept.
shard, pack = (
    partial(verb, allow_empty=True, allow_duplicate_inputs=True) for verb in (bloomdata.shard, bloomdata.pack)
)

settings.register_profile("files", parent=settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("files")

# Texts: everything that some reader or writer of lines has once taken for an end, a quote, or nothing at all.
CHARACTERS = 'ab "\\/\n\r\t\x00\x0b\x0c\x1c\x7f\x85\xa0é€\u2028\u2029\ufeff\uffff😀\U0010ffff{}[]:,'
texts = st.one_of(st.text(CHARACTERS, max_size=8), st.text(max_size=20))
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
objects = st.builds(
    lambda rest, text, behind: {**rest, "text": text, **behind},
    st.dictionaries(texts, values, max_size=2),
    texts,
    st.dictionaries(st.sampled_from(["a", "Text", "meta", ""]), values, max_size=2),
)


@st.composite
def good_lines(draw, source=objects):
    """Objects as different programs write them."""
    value = draw(source)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , \t", " :\r ")]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators)
    return (
        draw(st.sampled_from(["", " ", "\t"])).encode()
        + text.encode("utf-8", "replace")
        + draw(st.sampled_from([b"", b" "]))
    )


@st.composite
def damaged_lines(draw):
    """A good line with a byte changed, left out or put in; mostly bad, sometimes still good."""
    line = bytearray(draw(good_lines()))
    at = draw(st.integers(0, len(line) - 1))
    if draw(st.booleans()):
        line[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    else:
        line[at:at] = draw(st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"\\ud800", b"0", b"\x00", b"\xff", b"\n"]))
    return bytes(line)


VECTORS = tomllib.loads((Path(__file__).parent / "golden" / "records.toml").read_text("utf-8"))["record"]
golden_lines = st.sampled_from([bytes.fromhex(v["hex"]) if "hex" in v else v["raw"].encode() for v in VECTORS])
soup_lines = st.one_of(good_lines(), good_lines(), good_lines(values), damaged_lines(), golden_lines)
marks = st.sampled_from([b"", b"", b"\xef\xbb\xbf"])


@st.composite
def line_files(draw, kind, lines=soup_lines):
    """Lines with any line ends, with or without a byte order mark and a last newline."""
    found = draw(st.lists(lines, max_size=8))
    ends = [draw(st.sampled_from([b"\n", b"\n", b"\r\n"])) for _ in found]
    if ends and draw(st.booleans()):
        ends[-1] = b""
    return kind, draw(marks) + b"".join(line + end for line, end in zip(found, ends, strict=True))


@st.composite
def json_files(draw):
    """An array, or values one after the other of which the first is an object."""
    found = draw(st.lists(st.one_of(objects, objects, values), max_size=5))
    indent, ensure_ascii = draw(st.sampled_from([None, 0, 2])), draw(st.booleans())
    if draw(st.booleans()):
        text = json.dumps(found, indent=indent, ensure_ascii=ensure_ascii)
    else:
        between = draw(st.sampled_from(["\n", " ", "\r\n\r\n"]))
        parts = [json.dumps(value, indent=indent, ensure_ascii=ensure_ascii) for value in [{"text": "first"}, *found]]
        text = between.join(parts) + draw(st.sampled_from(["", "\n"]))
    return ".json", draw(marks) + text.encode("utf-8", "replace")


@st.composite
def stored_files(draw, files):
    """Files of records, each with its compression and the cuts between its members or frames."""
    stored = []
    for kind, content in draw(st.lists(files, min_size=1, max_size=4)):
        suffix = draw(st.sampled_from(["", ".gz", ".zst"]))
        cuts = draw(st.lists(st.integers(0, len(content)), max_size=4)) if suffix else []
        stored.append((kind + suffix, content, cuts))
    return stored


any_files = st.one_of(line_files(".jsonl"), line_files(".jsonl"), line_files(".txt"), json_files())
soups = stored_files(any_files)
good_soups = stored_files(line_files(".jsonl", good_lines()))


@contextmanager
def written(soup):
    """A folder with the files of a soup; yields it, and what the reference reads: names and contents."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for number, (suffix, content, cuts) in enumerate(soup):
            path = folder / f"{number}{suffix}"
            path.write_bytes(jsonl.stored(content, path.suffix, cuts))
            files.append((str(path), content))
        yield folder, files


def names_of(files):
    return [name for name, _ in files]


def shards_in(folder):
    """Decompressed shards by name."""
    contents = {}
    for path in folder.rglob("part-*"):
        name = path.relative_to(folder).as_posix().removesuffix(".zst")
        data = path.read_bytes()
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        contents[name] = reader.read() if path.suffix == ".zst" else data
    return contents


def check_books(report, books, **tokens):
    """The ledger and the quarantine say what the reference says, and they balance."""
    ledger = report.ledger
    for name in (
        "documents_in",
        "documents_kept",
        "documents_dropped",
        "documents_quarantined",
        "bytes_in",
        "text_bytes",
    ):
        assert ledger[name] == getattr(books, name), name
    path = report.folder / "quarantine.jsonl"
    entries = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]] if path.exists() else []
    assert all(entry.pop("detail") for entry in entries)
    assert entries == books.quarantine
    dropped, quarantined = (sum(ledger[f"documents_{fate}"].values()) for fate in ("dropped", "quarantined"))
    assert ledger["documents_in"] == ledger["documents_kept"] + dropped + quarantined
    assert {name: ledger[name] for name in ledger if name.startswith("tokens")} == {
        **dict.fromkeys(("tokens_in", "tokens_out", "tokens_padding", "tokens_truncated", "tokens_dropped"), 0),
        **tokens,
    }


@settings(max_examples=60)
@given(soup=soups, max_lines=st.integers(1, 9), max_bytes=st.none() | st.integers(1, 200))
def test_shards_of_any_soup_are_those_of_the_reference(soup, max_lines, max_bytes):
    with written(soup) as (folder, files):
        options = {"max_lines": max_lines, "max_bytes": max_bytes}
        report = shard(
            names_of(files), folder / "out", on_bad_record="quarantine", compression="none", num_threads=2, **options
        )
        contents, books = reference_shard(files, **options)
        assert shards_in(folder / "out") == contents
        check_books(report, books)
        bloomdata.verify(folder / "out")


@settings(max_examples=60)
@given(soup=soups)
def test_megatron_pairs_of_any_soup_are_those_of_the_reference(soup):
    with written(soup) as (folder, files):
        report = pack(
            names_of(files),
            folder / "out",
            tokenizer="bytes",
            format="megatron",
            on_bad_record="quarantine",
            num_threads=2,
        )
        books = Books()
        kept = reference_pack.texts(files, ["text"], books)
        documents = [reference_pack.tokens(text) for (text,) in kept]
        pair = tuple((folder / "out" / f"data_text_document{suffix}").read_bytes() for suffix in (".bin", ".idx"))
        assert pair == reference_pack.megatron(documents)
        tokens = sum(map(len, documents))
        check_books(report, books, tokens_in=tokens, tokens_out=tokens)
        bloomdata.verify(folder / "out")


@settings(max_examples=30)
@given(soup=soups, sequence_length=st.integers(1, 40), rows_per_file=st.integers(1, 5) | st.none())
def test_rows_of_any_soup_are_those_of_the_reference(soup, sequence_length, rows_per_file):
    with written(soup) as (folder, files):
        options = {"sequence_length": sequence_length, "rows_per_file": rows_per_file}
        report = pack(
            names_of(files), folder / "out", tokenizer="bytes", on_bad_record="quarantine", num_threads=2, **options
        )
        books = Books()
        kept = reference_pack.texts(files, ["text"], books)
        documents = [reference_pack.tokens(text) for (text,) in kept]
        rows = reference_pack.full_rows(documents, sequence_length)
        assert all(map(np.array_equal, rows_in(folder / "out"), rows))
        tokens = sum(map(len, documents))
        padding = int((rows[1] == reference_pack.PADDING).sum())
        dropped = tokens + padding - rows[0].size
        check_books(
            report,
            books,
            tokens_in=tokens,
            tokens_out=rows[0].size,
            tokens_padding=padding,
            tokens_dropped=dropped,
        )
        dataset = bloomdata.open(folder / "out")
        assert len(dataset) == len(rows[0])
        assert np.array_equal(dataset[:]["input_ids"], rows[0])
        bloomdata.verify(folder / "out")


@settings(max_examples=30)
@given(
    soup=soups, options=st.sampled_from([{"shuffle": True}, {"max_lines": 3}, {"splits": {"train": 0.5, "test": 0.5}}])
)
def test_one_thread_and_four_shard_the_same_bytes(soup, options):
    with written(soup) as (folder, files):
        for num_threads in (1, 4):
            output = folder / f"out-{num_threads}"
            shard(names_of(files), output, on_bad_record="quarantine", num_threads=num_threads, **options)
        assert everything_in(folder / "out-1") == everything_in(folder / "out-4")


@settings(max_examples=30)
@given(
    soup=soups,
    options=st.sampled_from(
        [
            {"format": "megatron"},
            {"sequence_length": 5, "rows_per_file": 3},
            {"sequence_length": 64, "compression": "gzip"},
        ]
    ),
)
def test_one_thread_and_four_pack_the_same_bytes(soup, options):
    with written(soup) as (folder, files):
        for num_threads in (1, 4):
            pack(
                names_of(files),
                folder / f"out-{num_threads}",
                tokenizer="bytes",
                on_bad_record="quarantine",
                num_threads=num_threads,
                checkpoint_seconds=0.0 if num_threads == 4 else 10.0,
                **options,
            )
        assert everything_in(folder / "out-1") == everything_in(folder / "out-4")


@settings(max_examples=30)
@given(soup=good_soups, max_lines=st.integers(1, 5), compression=st.sampled_from(["zstd", "gzip", "none"]))
def test_texts_come_back_from_shards_that_were_packed(soup, max_lines, compression):
    with written(soup) as (folder, files):
        shard(names_of(files), folder / "shards", max_lines=max_lines, compression=compression)
        lines = [line for _, content in files for line in content.removeprefix(jsonl.BYTE_ORDER_MARK).split(b"\n")]
        expected = [text for line in lines if line.strip() and (text := json.loads(line)["text"])]
        if not any(line.strip() for line in lines):
            return  # no line, no shard, nothing to pack
        pack(str(folder / "shards"), folder / "megatron", tokenizer="bytes", format="megatron")
        tokenizer = bloomdata.Tokenizer("bytes")
        dataset = bloomdata.open(folder / "megatron")
        assert [tokenizer.decode(document[:-1]) for document in dataset] == expected
        assert [document[-1] for document in dataset] == [tokenizer.eos_token_id] * len(expected)
        # Also the last row, when it holds nothing but the end of the last text.
        options = {"tokenizer": "bytes", "sequence_length": 9, "keep_prompt_only_sequences": True}
        pack(str(folder / "shards"), folder / "hdf5", **options)
        rows = bloomdata.open(folder / "hdf5")[:]
        ids, types = rows["input_ids"].ravel(), rows["token_type_ids"].ravel()
        ends = [0, *(np.flatnonzero(types == reference_pack.LAST) + 1).tolist()]
        assert [tokenizer.decode(ids[start : end - 1]) for start, end in pairwise(ends)] == expected
        assert np.all(ids[ends[-1] :] == tokenizer.pad_token_id)
        assert np.all(types[ends[-1] :] == reference_pack.PADDING)


shares = st.lists(st.integers(0, 10), min_size=3, max_size=3).filter(any)
ratios = shares.map(
    lambda parts: {n: part / sum(parts) for n, part in zip(("train", "dev", "test"), parts, strict=True)}
)
counts = st.fixed_dictionaries({}, optional={"dev": st.integers(0, 9), "test": st.integers(0, 9)}).filter(bool)


@settings(max_examples=40)
@given(
    num_lines=st.integers(0, 40),
    splits=ratios | counts,
    seed=st.integers(0, 2**63 - 1),
    shuffle=st.booleans(),
    max_lines=st.integers(1, 20),
)
def test_splits_are_those_of_the_reference_and_every_line_is_in_one(num_lines, splits, seed, shuffle, max_lines):
    content = b"".join(b'{"text":"%d"}\n' % number for number in range(num_lines))
    with written([(".jsonl", content, [])]) as (folder, files):
        options = {"splits": splits, "seed": seed, "shuffle": shuffle, "max_lines": max_lines}
        report = shard(names_of(files), folder / "out", **options)
        found = shards_in(folder / "out")
        assert found == reference_shard(files, **options)[0]
        lines = [line for shard in found.values() for line in shard.splitlines()]
        assert sorted(lines) == sorted(content.splitlines())
        assert sum(output["lines"] for output in report.outputs) == num_lines


@settings(max_examples=30)
@given(soup=soups, seed=st.integers(0, 2**63 - 1), max_lines=st.integers(1, 9))
def test_a_shuffle_is_the_permutation_of_the_reference(soup, seed, max_lines):
    with written(soup) as (folder, files):
        bad = {"on_bad_record": "quarantine"}
        options = {"shuffle": True, "seed": seed, "max_lines": max_lines}
        report = shard(names_of(files), folder / "out", **options, **bad)
        contents, books = reference_shard(files, **options)
        assert shards_in(folder / "out") == contents
        check_books(report, books)
        shard(names_of(files), folder / "in-order", **bad)
        shuffled, in_order = (
            sorted(line for shard in shards_in(folder / name).values() for line in shard.split(b"\n")[:-1])
            for name in ("out", "in-order")
        )
        assert shuffled == in_order


@settings(max_examples=30)
@given(
    records=st.lists(
        st.fixed_dictionaries({}, optional={"a": texts, "b": texts | st.none(), "c": st.just("x")}), max_size=8
    ),
    append_eos=st.booleans(),
)
def test_pairs_of_several_fields_stay_side_by_side(records, append_eos):
    content = b"".join(json.dumps(record).encode("utf-8", "replace") + b"\n" for record in records)
    with written([(".jsonl", content, [])]) as (folder, files):
        report = pack(
            names_of(files),
            folder / "out",
            tokenizer="bytes",
            format="megatron",
            text_field=["b", "a"],
            append_eos=append_eos,
            on_bad_record="quarantine",
        )
        books = Books()
        kept = reference_pack.texts(files, ["b", "a"], books)
        total = 0
        for column, field in enumerate("ba"):
            documents = [reference_pack.tokens(found[column], append_eos=append_eos) for found in kept]
            prefix = folder / "out" / f"data_{field}_document"
            pair = tuple(prefix.with_suffix(suffix).read_bytes() for suffix in (".bin", ".idx"))
            assert pair == reference_pack.megatron(documents)
            dataset = bloomdata.open(folder / "out", field=field)
            assert [document.tolist() for document in dataset] == documents
            total += sum(map(len, documents))
        check_books(report, books, tokens_in=total, tokens_out=total)
        bloomdata.verify(folder / "out")


@settings(max_examples=25)
@given(soup=soups, data=st.data())
def test_merging_packed_parts_is_packing_everything_at_once(soup, data):
    with written(soup) as (folder, files):
        options = {"tokenizer": "bytes", "format": "megatron", "on_bad_record": "quarantine"}
        cut = data.draw(st.integers(0, len(files)))
        parts = [part for part in (files[:cut], files[cut:]) if part]
        for number, part in enumerate(parts):
            pack(names_of(part), folder / f"part-{number}", **options)
        merged = bloomdata.merge([folder / f"part-{number}" for number in range(len(parts))], folder / "merged")
        whole = pack(names_of(files), folder / "whole", **options)
        assert merged.ledger == whole.ledger
        for suffix in (".bin", ".idx"):
            name = f"data_text_document{suffix}"
            assert (folder / "merged" / name).read_bytes() == (folder / "whole" / name).read_bytes()
        bloomdata.verify(folder / "merged")
