"""`gdp pipeline`: every file is what the reference says, for any inputs and options."""

from __future__ import annotations

import json
import pickle
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from article_runs import BYTES, CATEGORIES, PROPERTY, line, pairs
from bloomdata.errors import ConfigError
from bloomdata.gdp import pipeline
from bloomdata.gdp.balance import balance
from bloomdata.gdp.splits import split_counts
from gdp_runs import (
    Run,
    checksums_of,
    files_under,
    metadata_of,
    reference_articles,
    reference_result,
    rows_in,
    rows_of,
    run_pipeline,
    runs,
    tree,
    write_corpus,
    write_tokenizer,
)
from reference import gdp as reference
from reference.jsonl import records
from reference.shard import shuffled

GOLDEN = tomllib.loads((Path(__file__).parent / "golden" / "gdp.toml").read_text("utf-8"))
PLAIN = {"sequence_length": 8, "packing": "full"}


@pytest.fixture
def tokenizer_folder(tmp_path):
    return write_tokenizer(tmp_path / "model")


def objects(count, **others):
    return [(f"a{number:02}.jsonl", line({"completion": f"{number:02}"} | others)) for number in range(count)]


# --- numbers of files, and what balancing moves -----------------------------------------------------------------------


def counted(vector, count_splits, error, **names):
    options = {names.get(name, name): value for name, value in vector.items() if name != "counts"}
    input_bytes = options.pop("input_bytes", 0)
    if "counts" in vector:
        return count_splits(input_bytes, **options)
    with pytest.raises(error):
        count_splits(input_bytes, **options)
    return None


def ours(vector):
    names = {"train": "num_training_splits", "dev": "num_dev_splits", "test": "num_test_splits"}
    found = counted(vector, split_counts, ConfigError, **names)
    return None if found is None else [found.train, found.dev, found.test]


@pytest.mark.parametrize("vector", GOLDEN["split"] + GOLDEN["binary_split"])
def test_numbers_of_files_of_the_reference_are_the_golden_ones(vector):
    found = counted(vector, reference.split_counts, reference.SplitError)
    assert found == (tuple(vector["counts"]) if "counts" in vector else None)


@pytest.mark.parametrize("vector", GOLDEN["split"])
def test_numbers_of_files_are_the_golden_ones(vector):
    assert ours(vector) == vector.get("counts")


@pytest.mark.xfail(strict=True, reason="splits.split_counts divides binary fractions: 7 / (1 - 0.2 - 0.1) < 10")
@pytest.mark.parametrize("vector", GOLDEN["binary_split"])
def test_numbers_of_files_are_those_of_decimal_ratios(vector):
    assert ours(vector) == vector["counts"]


@pytest.mark.parametrize("vector", GOLDEN["balance"])
def test_rows_balanced_by_the_reference_are_the_golden_ones(vector):
    assert reference.balanced(vector["before"]) == vector["after"]


@given(files=st.lists(st.integers(0, 9), max_size=8))
def test_balancing_moves_the_rows_that_the_reference_moves(files):
    rows = [[(number, row) for row in range(count)] for number, count in enumerate(files)]
    moved = [[(n, row) for n, start, stop in parts for row in range(start, stop)] for parts in balance(files)]
    assert moved == reference.balanced(rows)
    assert Counter(row for file in moved for row in file) == Counter(row for file in rows for row in file)


# --- everything in the folder -----------------------------------------------------------------------------------------


def check(run, folder, vocabulary=BYTES, **others):
    """A run writes what the reference says, its books balance, and its checks pass. Returns its report."""
    report = run_pipeline(run, folder, vocabulary=vocabulary, keep_split_jsonls=True, **others)
    wanted, out = reference_result(run, vocabulary), folder / "out"
    assert rows_in(out) == wanted.rows
    check_datasets(out, run.options)
    check_texts(out, run, wanted.texts)
    found = metadata_of(out)
    vocab_size, model_type = found.pop("vocab_size"), found.pop("tokenizer_model_type")
    assert found == wanted.facts
    assert report.manifest["details"]["metadata"] == found | {
        "vocab_size": vocab_size,
        "tokenizer_model_type": model_type,
    }
    check_books(report, wanted)
    if run.options.get("seed") is None:  # `test_the_bytes_of_a_shuffle_...` is about shuffles
        assert report.ledger["bytes_in"] == sum(entry["content_bytes"] for entry in report.manifest["inputs"])
    check_quarantine(folder, run, wanted.books)
    assert json.loads((out / "sha256" / "files_metadata.json").read_bytes()) == checksums_of(out)
    assert {entry["path"] for entry in report.outputs} == {
        name for name in files_under(out) if name not in {"manifest.json", "logs.log", "sha256/files_metadata.json"}
    }
    assert len(bloomdata.open(out)) == sum(map(len, wanted.rows.values()))
    bloomdata.verify(out)
    return report


def check_datasets(out, options):
    """Little-endian int32, gzip 4, chunked, as wide as a row and growing; three of them with categories."""
    names = {"input_ids", "token_type_ids", *(["category_ids"] if options.get("categories") else [])}
    for path in out.glob("*.hdf5"):
        with h5py.File(path) as file:
            assert set(file) == names
            for dataset in file.values():
                assert (dataset.dtype.str, dataset.compression, dataset.compression_opts) == ("<i4", "gzip", 4)
                assert dataset.chunks is not None
                assert dataset.maxshape == (None, options["sequence_length"])
                assert dataset.shape[1] == options["sequence_length"]


def check_texts(out, run, texts):
    """Every text is where it belongs, byte for byte, and there are no other files."""
    suffix = ".txt" if ".txt" in run.files[0][0] else ".jsonl"
    for stem, text in texts.items():
        place = "test_files" if stem.startswith("test") else "splits"
        assert (out / place / f"{stem}{suffix}").read_bytes() == text
    names = [path.name for place in ("splits", "test_files") for path in out.glob(f"{place}/*")]
    assert sorted(names) == sorted(f"{stem}{suffix}" for stem in texts)
    assert not (out / ".gdp").exists()
    assert not list(out.rglob("*.tmp"))


def check_books(report, wanted):
    ledger, books = report.ledger, wanted.books
    assert {name: ledger[name] for name in wanted.tokens} == wanted.tokens
    assert (ledger["documents_in"], ledger["documents_kept"]) == (books.documents_in, books.documents_kept)
    assert ledger["documents_quarantined"] == dict(books.documents_quarantined)
    assert sum(ledger["documents_dropped"].values()) == books.documents_dropped.total()
    left = "test, left as text"
    assert ledger["documents_dropped"].get(left, 0) == books.documents_dropped[left]
    fates = sum(sum(ledger[f"documents_{fate}"].values()) for fate in ("dropped", "quarantined"))
    assert ledger["documents_in"] == ledger["documents_kept"] + fates
    assert ledger["tokens_in"] + ledger["tokens_padding"] == (
        ledger["tokens_out"] + ledger["tokens_truncated"] + ledger["tokens_dropped"]
    )


def check_quarantine(folder, run, books):
    """Every bad line is there, in the order of the inputs, with its place in the user's file."""
    path = folder / "out" / "json_load_failed_lines.log"
    found = [json.loads(entry) for entry in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []
    raw = [entry.get("raw", entry.get("raw_hex")) for entry in found]
    assert sorted(raw) == sorted(entry.get("raw", entry.get("raw_hex")) for entry in books.quarantine)
    inputs = {name: records(name, content) for name, content in run.files}
    places = []
    for entry in found:
        name = Path(entry["file"]).name
        assert entry["file"] == str(folder / "raw" / name)
        record = inputs[name][entry["line"] - 1]
        assert record.offset == entry["offset"]
        assert record.raw == (bytes.fromhex(entry["raw_hex"]) if "raw_hex" in entry else entry["raw"].encode())
        places.append((name, entry["line"]))
    assert places == sorted(set(places))


@settings(PROPERTY, max_examples=60)
@given(run=runs())
def test_every_file_of_any_input_with_any_options_is_that_of_the_reference(run):
    with tempfile.TemporaryDirectory() as name:
        check(run, Path(name))


@settings(PROPERTY, max_examples=6)
@given(values=st.lists(pairs, min_size=4, max_size=40), seed=st.integers(0, 9))
def test_a_shuffle_keeps_all_articles_and_gives_the_same_bytes_for_any_number_of_workers(values, seed):
    run = Run([("a.jsonl", b"".join(map(line, values)))], (2, 1, 0), PLAIN | {"packing": "single::drop", "seed": seed})
    run.options["sequence_length"] = 400
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = []
        for output, others in (("1", {"num_workers": 1}), ("4", {"num_workers": 4}), ("5", {"shuffle": "large_file"})):
            run_pipeline(run, folder, output=output, **others)
            trees.append(tree(folder / output))
        assert trees[0] == trees[1]
        assert trees[0].keys() == trees[2].keys()
        assert {n: c for n, c in trees[0].items() if n != "manifest.json"} == {
            n: c for n, c in trees[2].items() if n != "manifest.json"
        }
        rows = [row for of in rows_in(folder / "1").values() for row in of]
        found = Counter(tuple(token for token in row if token[1] != 2) for row in rows)
        assert found == Counter(map(tuple, reference_articles(run)))


def test_another_seed_is_another_order(tmp_path):
    run = Run([("a.jsonl", b"".join(content for _, content in objects(30)))], (3, 0, 0), dict(PLAIN))
    found = {}
    for seed in (None, 0, 1):
        run.options["seed"] = seed
        run_pipeline(run, tmp_path, output=f"{seed}")
        found[seed] = str(rows_in(tmp_path / f"{seed}"))
    assert len(set(found.values())) == 3


def test_a_tokenizer_of_its_own_gives_the_rows_of_the_reference(tokenizer_folder, tmp_path):
    content = b"".join(map(line, [{"prompt": "a é", "completion": "b<s>"}, [{"completion": "c"}, {"completion": "d"}]]))
    run = Run([("a.jsonl", content), ("b.jsonl.gz", content)], (2, 1, 0), PLAIN | {"packing": "greedy"})
    check(run, tmp_path, tokenizer_folder)


# --- the data ---------------------------------------------------------------------------------------------------------


def test_files_without_rows_hold_datasets_without_rows(tmp_path):
    """One row for two training files; the only dev article is too long."""
    lines = [{"completion": "a"}, {"completion": ""}, {"completion": 20 * "b"}]
    options = PLAIN | {"packing": "greedy::drop", "categories": CATEGORIES}
    report = check(Run([("a.jsonl", b"".join(map(line, lines)))], (2, 1, 0), options), tmp_path)
    assert [len(rows) for rows in rows_in(tmp_path / "out").values()] == [0, 1, 0]
    found = report.manifest["details"]["metadata"]
    assert (found["max_batch_size_train"], found["max_batch_size_dev"]) == (0, 0)


def test_there_is_no_largest_batch_without_dev_files(tmp_path):
    run_pipeline(Run(objects(2), (2, 0, 0), dict(PLAIN)), tmp_path)
    assert "max_batch_size_dev: null\n" in (tmp_path / "out" / "metadata.yaml").read_text()


def test_metadata_is_yaml(tokenizer_folder, tmp_path):
    yaml = pytest.importorskip("yaml")
    run_pipeline(Run(objects(3), (2, 1, 0), dict(PLAIN)), tmp_path, vocabulary=tokenizer_folder)
    found = yaml.safe_load((tmp_path / "out" / "metadata.yaml").read_text("utf-8"))
    assert found == metadata_of(tmp_path / "out")
    assert found["tokenizer_model_type"] == "<class 'transformers.models.gpt2.configuration_gpt2.GPT2Config'>"
    assert found["vocab_size"] == 259


@pytest.mark.parametrize("kind", ["a: b", "yes", "7", "#1"])
def test_metadata_is_yaml_whatever_the_model_is_called(kind, tokenizer_folder, tmp_path):
    yaml = pytest.importorskip("yaml")
    (tokenizer_folder.tokenizer / "config.json").write_text(json.dumps({"model_type": kind}))
    run_pipeline(Run(objects(1), (1, 0, 0), dict(PLAIN)), tmp_path, vocabulary=tokenizer_folder)
    found = yaml.safe_load((tmp_path / "out" / "metadata.yaml").read_text("utf-8"))
    assert found["tokenizer_model_type"] == kind


def test_rows_that_are_moved_in_many_batches_are_all_there(tmp_path):
    """Rows of which a megabyte holds four; 23 in one file, 1 and 0 in the others."""
    texts = [n * "x" for n in (23 * 2**16 - 2, 10, 0)]
    files = [("a.jsonl", b"".join(line({"completion": text}) for text in texts))]
    options = {"sequence_length": 2**16, "packing": "full", "balance": False}
    arrays = {}
    for balanced in (False, True):
        run = Run(files, (3, 0, 0), options | {"balance": balanced})
        run_pipeline(run, tmp_path, output=str(balanced))
        paths = [tmp_path / str(balanced) / f"train_{n}_of_3.hdf5" for n in (1, 2, 3)]
        arrays[balanced] = [[row.tobytes() for row in h5py.File(path)["input_ids"][:]] for path in paths]
    assert [len(rows) for rows in arrays[False]] == [23, 1, 0]
    assert reference.balanced(arrays[False]) == arrays[True]
    assert np.frombuffer(arrays[False][0][0], "<i4")[:3].tolist() == [32, 120, 120]


def test_files_of_more_than_nine_splits_are_found_in_their_order(tmp_path):
    """Names of files do not sort as numbers do."""
    run = Run(objects(24), (12, 12, 0), PLAIN | {"packing": "single::drop"})
    check(run, tmp_path)
    for number in range(12):
        text = "".join(chr(i) for i, kind, _ in rows_of(tmp_path / "out" / f"dev_{number + 1}_of_12.hdf5")[0])[:3]
        assert text == f" {number + 12}"


@pytest.mark.parametrize("balanced", [True, False])
def test_train_and_dev_are_balanced_apart(balanced, tmp_path):
    texts = [40, 1, 1, 1, 40, 1]
    files = [("a.jsonl", b"".join(line({"completion": n * "x"}) for n in texts))]
    check(Run(files, (4, 2, 0), PLAIN | {"balance": balanced}), tmp_path)
    counts = [len(rows) for rows in rows_in(tmp_path / "out").values()]
    assert counts == ([4, 3, 3, 2, 2, 2] if balanced else [6, 1, 6, 1, 1, 1])


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_jsonl_files_of_a_folder_are_read_and_others_are_not(tmp_path):
    others = [("b.txt", b"no\n"), ("c.json", b'[{"completion": "no"}]'), ("d.md", b"no")]
    run_pipeline(Run([*objects(3), *others], (3, 0, 0), dict(PLAIN)), tmp_path, keep_split_jsonls=True)
    texts = [path.read_bytes() for path in sorted((tmp_path / "out" / "splits").iterdir())]
    assert texts == [content for _, content in objects(3)]


def test_hidden_files_of_a_folder_are_not_read(tmp_path):
    report = run_pipeline(Run([(".h.jsonl", b"no\n"), *objects(2)], (2, 0, 0), dict(PLAIN)), tmp_path)
    assert report.ledger["documents_in"] == 2


@pytest.mark.parametrize("name", ["a.txt.jsonl", "notes.txt-1.jsonl.gz"])
def test_a_file_is_jsonl_by_the_end_of_its_name(name, tmp_path):
    run_pipeline(Run([(name, objects(1)[0][1])], (1, 0, 0), dict(PLAIN)), tmp_path)
    assert [token for token, _, _ in rows_in(tmp_path / "out")["train_1_of_1"][0][:4]] == [*b" 00", BYTES.eos]


@pytest.mark.parametrize("name", ["a[1].jsonl", "a*.jsonl", "{a,b}.jsonl", "ü b.jsonl", "combined_output_1.jsonl"])
def test_a_file_of_any_name_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(objects(1)[0][1])
    pipeline(tmp_path / name, tmp_path / "out", pretrained_tokenizer="bytes", max_seq_length=8, num_training_splits=1)
    assert len(rows_in(tmp_path / "out")["train_1_of_1"]) == 1


def test_defaults_are_32_files_full_rows_of_2048_and_no_shuffle(tmp_path):
    path = write_corpus(tmp_path / "a.jsonl", 500)
    pipeline(path, tmp_path / "out", pretrained_tokenizer="bytes")
    wanted = reference.pipeline(
        [(path.name, path.read_bytes())],
        (32, 0, 0),
        encode=BYTES.encode,
        bos=BYTES.bos,
        eos=BYTES.eos,
        pad=BYTES.pad,
        sequence_length=2048,
        packing="full",
    )
    assert rows_in(tmp_path / "out") == wanted.rows
    assert set(files_under(tmp_path / "out")) == {
        *(f"{stem}.hdf5" for stem in reference.stems(32, 0, 0)),
        *("logs.log", "manifest.json", "metadata.yaml", "sha256/files_metadata.json"),
        "tokenizer/user_input_tokenizer/huggingface_model_id.txt",
    }


@pytest.mark.xfail(strict=True, reason="a split file that begins with a line's U+FEFF loses it as if it were a mark")
@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"a\n\xef\xbb\xbfb\n"), ("a.jsonl", b'{}\n\xef\xbb\xbf{"completion":"b"}\n')]
)
def test_a_line_is_the_same_in_any_place(name, content, tmp_path):
    """The second line comes first in its file; alone in JSON lines, the character is malformed."""
    check(Run([(name, content)], (2, 0, 0), dict(PLAIN)), tmp_path)


def test_the_bytes_of_a_shuffle_are_those_of_its_inputs(tmp_path):
    run = Run([("a.jsonl", objects(1)[0][1][:-1])], (1, 0, 0), PLAIN | {"seed": 0})
    report = run_pipeline(run, tmp_path)
    assert report.ledger["bytes_in"] == len(run.files[0][1]) == report.manifest["inputs"][0]["content_bytes"]


# --- bad lines --------------------------------------------------------------------------------------------------------


def test_a_bad_line_stops_the_run_and_is_named(tmp_path):
    run = Run([("a.jsonl", b'{"completion":"a"}\nbad line\n')], (2, 0, 0), dict(PLAIN))
    with pytest.raises(bloomdata.CorruptDataError, match="malformed JSON"):
        run_pipeline(run, tmp_path, ignore_input_format_error=False)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_a_bad_line_is_named_by_the_file_of_the_user_and_the_option_of_the_command(compression, seed, tmp_path):
    files = [
        (f"a.jsonl{compression}", b'{"completion":"a"}\n'),
        (f"b.jsonl{compression}", b'\n{"completion":"b"}\n\nbad line\n'),
    ]
    run = Run(files, (2, 0, 0), PLAIN | {"seed": seed})
    with pytest.raises(bloomdata.CorruptDataError, match="malformed JSON") as caught:
        run_pipeline(run, tmp_path, ignore_input_format_error=False)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'raw' / files[1][0]}: line 4: offset 21: ")
    assert message.endswith("(--ignore_input_format_error sets such records aside)")
    assert caught.value.record[:3] == (str(tmp_path / "raw" / files[1][0]), 4, 21)
    assert pickle.loads(pickle.dumps(caught.value)).record == caught.value.record
    # What the message advises can be done at once.
    assert run_pipeline(run, tmp_path).ledger["documents_quarantined"] == {"malformed JSON": 1}


@given(numbers=st.lists(st.integers(0, 3), min_size=2, max_size=40), seed=st.none() | st.integers(0, 9))
@settings(PROPERTY, max_examples=10)
def test_equal_bad_lines_keep_their_own_places(numbers, seed):
    """Those that go to the texts of the test files are none of them."""
    lines = [b"bad\n" if number else b'{"completion":"a"}\n' for number in numbers]
    run = Run([("a.jsonl", b"".join(lines))], (1, 0, 1), PLAIN | {"seed": seed})
    order = range(len(lines)) if seed is None else shuffled(range(len(lines)), seed)
    with tempfile.TemporaryDirectory() as name:
        run_pipeline(run, Path(name))
        log = Path(name) / "out" / "json_load_failed_lines.log"
        found = [json.loads(line)["line"] for line in log.read_text().splitlines()] if log.exists() else []
    assert found == sorted(number + 1 for number in list(order)[::2] if numbers[number])


@pytest.mark.parametrize(("last", "seed"), [(b"b", None), (b"b\n", None), (b"b", 0)])
def test_a_last_line_of_text_is_given_no_newline_that_it_does_not_have(last, seed, tmp_path):
    """But by a shuffle, in which it is no last line."""
    run = Run([("a.txt", b"a"), ("b.txt.gz", b"a\n" + last)], (3, 0, 0), PLAIN | {"seed": seed})
    check(run, tmp_path)
    texts = [path.read_bytes() for path in sorted((tmp_path / "out" / "splits").iterdir())]
    assert sorted(texts) == [b"a\n", b"a\n", last if seed is None else b"b\n"]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_a_bad_line_may_hold_any_character(character, tmp_path):
    bad = f"bad {character} line".encode()
    run = Run([("a.jsonl", bad + b"\n" + objects(1)[0][1])], (2, 0, 0), dict(PLAIN))
    check(run, tmp_path)


# --- beside the data --------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_kept_as_used_and_as_given(tokenizer_folder, tmp_path):
    run_pipeline(Run(objects(1), (1, 0, 0), dict(PLAIN)), tmp_path, vocabulary=tokenizer_folder)
    kept, given_ = tmp_path / "out" / "tokenizer", tmp_path / "out" / "tokenizer" / "user_input_tokenizer"
    names = ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert {path.name for path in kept.iterdir()} >= {*names, "user_input_tokenizer"}
    assert {path.name: path.read_bytes() for path in given_.iterdir()} == {
        name: (tokenizer_folder.tokenizer / name).read_bytes() for name in names
    }
    assert bloomdata.Tokenizer(kept).encode("a é").tolist() == tokenizer_folder.encode("a é")


def test_special_tokens_are_in_the_kept_tokenizer_and_not_in_the_given_one(tokenizer_folder, tmp_path):
    run = Run([("a.jsonl", line({"completion": "<user>a"}))], (1, 0, 0), dict(PLAIN))
    run_pipeline(run, tmp_path, vocabulary=tokenizer_folder, special_tokens=["<user>"])
    kept = tmp_path / "out" / "tokenizer"
    assert bloomdata.Tokenizer(kept).encode("<user>").tolist() == [259]
    assert bloomdata.Tokenizer(kept / "user_input_tokenizer").vocab_size == 259
    assert metadata_of(tmp_path / "out")["vocab_size"] == 260
    assert [token for token, _, _ in rows_in(tmp_path / "out")["train_1_of_1"][0]][1] == 259


@pytest.mark.parametrize("role", ["eos_token", "pad_token"])
def test_the_kept_tokenizer_knows_the_tokens_that_end_and_pad_the_rows(role, tokenizer_folder, tmp_path):
    run = Run(objects(1), (1, 0, 0), dict(PLAIN))
    run_pipeline(run, tmp_path, vocabulary=tokenizer_folder, special_tokens=["<new>"], **{role: "<new>"})
    tokens = [token for token, _, _ in rows_in(tmp_path / "out")["train_1_of_1"][0]]
    kept = bloomdata.Tokenizer(tmp_path / "out" / "tokenizer")
    assert [kept.eos_token_id, kept.pad_token_id] == [tokens[3], tokens[4]]


def test_categories_are_kept_as_a_map(tmp_path):
    names = ["b", "ä", "a"]
    run = Run(objects(2, category="ä"), (1, 0, 0), PLAIN | {"categories": names, "packing": "single::drop"})
    check(run, tmp_path)
    assert json.loads((tmp_path / "out" / "category_to_id.json").read_bytes()) == {"b": 0, "ä": 1, "a": 2}
    assert [category for _, _, category in rows_in(tmp_path / "out")["train_1_of_1"][0]] == [1, 1, 1, 1] + 4 * [-1]


def test_the_log_holds_options_and_metrics_wherever_it_is(tmp_path):
    run_pipeline(Run(objects(2), (2, 0, 0), dict(PLAIN)), tmp_path, log_file_path=tmp_path / "my.log")
    assert not (tmp_path / "out" / "logs.log").exists()
    assert "train sequences: 2\n" in (tmp_path / "my.log").read_text("utf-8")
    bloomdata.verify(tmp_path / "out")


def test_the_log_may_lie_in_the_output_folder(tmp_path):
    run = Run(objects(2), (2, 0, 0), dict(PLAIN))
    (tmp_path / "out").mkdir()
    run_pipeline(run, tmp_path, log_file_path=tmp_path / "out" / "my.log")
    bloomdata.verify(tmp_path / "out")
