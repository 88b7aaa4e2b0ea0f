"""`inspect`: rows, documents and lines as text, in colours where a terminal shows them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

import bloomdata
from bloomdata.cli import main

RECORDS = [
    [{"prompt": "ab", "completion": "c", "category": "code"}, {"prompt": "", "completion": "d", "category": "prose"}],
    {"prompt": "é", "completion": "x\ny"},
]
BLOCKS = [
    "[PROMPT 2]\nab\n[COMPLETION 5]\n c<eos> d\n[SEPARATOR 1] ========\n<eos>\n",
    "[PROMPT 2]\né\n[COMPLETION 4]\n x\ny\n[SEPARATOR 1] ========\n<eos>\n",
]
ROW = f"--- row 0\n{BLOCKS[0]}{BLOCKS[1]}[PADDING 1]\n"
ROW_WITH_CATEGORIES = """\
--- row 0
[PROMPT 2, category code]
ab
[COMPLETION 3, category code]
 c<eos>
[COMPLETION 2, category prose]
 d
[SEPARATOR 1, category prose] ========
<eos>
[PROMPT 2, no category]
é
[COMPLETION 4, no category]
 x
y
[SEPARATOR 1, no category] ========
<eos>
[PADDING 1]
"""
COLOURED = """\
\x1b[36m[PROMPT 2]\x1b[0m
\x1b[36mé\x1b[0m
\x1b[32m[COMPLETION 4]\x1b[0m
\x1b[32m x\x1b[0m
\x1b[32my\x1b[0m
\x1b[1;35m[SEPARATOR 1] ========\x1b[0m
\x1b[1;35m<eos>\x1b[0m
\x1b[90m[PADDING 1]\x1b[0m
"""
OPTIONS = {"tokenizer": "bytes", "record": "prompt_completion"}
HDF5 = {"packing": "greedy", "sequence_length": 16}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A working folder with the same records in every kind of folder; nothing said about colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    bloomdata.pack("a.jsonl", "rows", **OPTIONS, **HDF5)
    bloomdata.pack("a.jsonl", "categories", **OPTIONS, **HDF5, categories=["code", "prose"])
    bloomdata.pack("a.jsonl", "megatron", **OPTIONS, format="megatron")
    bloomdata.shard("a.jsonl", "lines", validate=False)
    return tmp_path


@pytest.fixture
def shown(capsys):
    """What `inspect` prints, without the line that says what is opened."""

    def inspect(*arguments, status=0):
        assert main(["inspect", *arguments]) == status
        out, err = capsys.readouterr()
        return out.partition("\n")[2] if status == 0 else err

    return inspect


def test_a_row_is_shown_by_runs_of_types(shown):
    assert shown("rows") == ROW
    assert shown("rows/data-00000.hdf5", "--tokenizer", "bytes") == ROW


def test_what_is_opened_is_named_first(capsys):
    assert main(["inspect", "rows"]) == 0
    assert capsys.readouterr().out.startswith("PackedDataset(1 file(s): 1 rows of 16 tokens)\n")


def test_a_row_has_its_categories_by_name(shown):
    assert shown("categories") == ROW_WITH_CATEGORIES


def test_categories_without_names_are_numbers(shown, tmp_path):
    shutil.copy("categories/data-00000.hdf5", "bare.hdf5")
    text = ROW_WITH_CATEGORIES.replace("category code", "category 0").replace("category prose", "category 1")
    assert shown("bare.hdf5", "--tokenizer", "bytes") == text


def test_rows_of_text_hold_text(shown):
    bloomdata.pack(
        "a.jsonl", "text", tokenizer="bytes", sequence_length=4, text_field="prompt", on_bad_record="quarantine"
    )
    assert shown("text") == "--- row 0\n[TEXT 2]\né\n[SEPARATOR 1] ========\n<eos>\n[PADDING 1]\n"


def test_ids_stand_above_the_text_or_alone(shown):
    assert shown("rows", "--ids").startswith("--- row 0\n[PROMPT 2]\n97 98\nab\n[COMPLETION 5]\n32 99 258 32 100\n c")
    shutil.copy("rows/data-00000.hdf5", "bare.hdf5")
    for options in ([], ["--ids"]):
        assert shown("bare.hdf5", *options).startswith(
            "--- row 0\n[PROMPT 2]\n97 98\n[COMPLETION 5]\n32 99 258 32 100\n[SEP"
        )


def test_long_texts_are_cut_and_say_so(shown):
    assert "\n c<eo... (4 more characters)\n" in shown("rows", "--max-characters", "5")


def test_documents_with_token_types_are_shown_as_rows_are(shown):
    expected = f"--- document 0: 8 tokens\n{BLOCKS[0]}--- document 1: 7 tokens\n{BLOCKS[1]}"
    for path in ("megatron", "megatron/data_text_document", "megatron/data_text_document.idx"):
        assert shown(path) == expected
    bloomdata.merge(["megatron"], "merged")
    assert shown("merged") == expected


def test_documents_without_token_types_are_plain_text(shown):
    for suffix in (".bin", ".idx"):
        shutil.copy(f"megatron/data_text_document{suffix}", f"alone_document{suffix}")
    text = shown("alone_document", "--tokenizer", "bytes")
    assert text == "--- document 0: 8 tokens\nab c<eos> d<eos>\n--- document 1: 7 tokens\né x\ny<eos>\n"


def test_token_types_themselves_are_numbers(shown):
    assert shown("megatron/data_text_token_types", "--row", "1") == "--- document 1: 7 tokens\n0 0 1 1 1 1 3\n"


def test_token_types_that_do_not_fit_are_an_error(shown, tmp_path):
    (tmp_path / "b.jsonl").write_text('{"prompt": "other", "completion": "lengths"}\n' * 2)
    (tmp_path / "c.jsonl").write_text('{"prompt": "fewer", "completion": "documents"}\n')
    for other, reason in (("b", "document 0: 14 types, expected 8"), ("c", "1 documents, expected 2")):
        bloomdata.pack(f"{other}.jsonl", other, **OPTIONS, format="megatron")
        for suffix in (".bin", ".idx"):
            shutil.copy(f"{other}/data_text_token_types{suffix}", "megatron")
        assert reason in shown("megatron", status=1)


@pytest.mark.parametrize("folder", ["megatron", "lines"])
def test_row_is_index_and_a_count_of_one(folder, shown, capsys):
    assert shown(folder, "--row", "1") == shown(folder, "--index", "1", "--count", "1")
    assert shown(folder, "--row", "1") != shown(folder, "--row", "0")


@pytest.mark.parametrize(("folder", "size"), [("rows", 1), ("megatron", 2), ("lines", 2)])
def test_a_row_that_is_not_there_is_an_error(folder, size, shown):
    for index in (size, 99, -1):
        assert f"index: {index}, but {folder} has {size}" in shown(folder, "--row", str(index), status=1)


def test_lines_of_shards_are_shown_as_they_are(capsys):
    assert main(["inspect", "lines", "--row", "1"]) == 0
    line = json.dumps(RECORDS[1])
    assert capsys.readouterr().out == f"--- line 1 (part-00000.jsonl.zst)\n{line}\n"


def test_colours_are_there_on_demand(shown, monkeypatch):
    text = shown("rows", "--color", "always")
    assert text.endswith(COLOURED)
    assert text.startswith("--- row 0\n\x1b[36m[PROMPT 2]\x1b[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("rows", "--color", "always") == text


def test_colours_are_there_on_terminals_unless_forbidden(shown, monkeypatch):
    coloured = shown("rows", "--color", "always")
    assert shown("rows", "--color", "auto") == ROW
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert shown("rows") == coloured
    assert shown("rows", "--color", "never") == ROW
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("rows") == ROW
    monkeypatch.setenv("NO_COLOR", "")  # as good as not set: https://no-color.org
    assert shown("rows") == coloured


def test_documents_have_colours_too(shown):
    assert shown("megatron", "--row", "1", "--color", "always").endswith(COLOURED.rpartition("\x1b[90m")[0])


def test_texts_do_not_reach_the_terminal_as_commands(shown, tmp_path):
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": "\x1b[2J\r\x07", "completion": "a\tb\u009b"}))
    bloomdata.pack("b.jsonl", "b", **OPTIONS, packing="greedy", sequence_length=32)
    text = shown("b")
    assert "\n\\x1b[2J\\x0d\\x07\n" in text
    assert "\n a\tb\\x9b\n" in text
