"""Any records with any options: rows, types, categories, metrics and books are those of the reference."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from article_runs import PACKINGS, PAIR, PROPERTY, check, line, pack, rows_in, runs
from files import everything_in
from reference.articles import COMPLETION, SEPARATOR


@PROPERTY
@given(run=runs)
def test_rows_of_any_records_are_those_of_the_reference(run):
    files, options = run
    with tempfile.TemporaryDirectory() as name:
        report = check(files, Path(name, "out"), **options)
        ledger = report.ledger
        assert ledger["tokens_in"] + ledger["tokens_padding"] == (
            ledger["tokens_out"] + ledger["tokens_truncated"] + ledger["tokens_dropped"]
        )
        if not options["keep_prompt_only_sequences"]:
            trained = {COMPLETION, SEPARATOR} if options["keep_end_only_sequences"] else {COMPLETION}
            assert all(any(kind in trained for _, kind, _ in row) for row in rows_in(report.folder))


@pytest.mark.parametrize("packing", PACKINGS)
@settings(PROPERTY, max_examples=15)
@given(run=runs)
def test_rows_of_every_packing_are_those_of_the_reference(packing, run):
    files, options = run
    options = {name: value for name, value in options.items() if name != "window_tokens"} | {"packing": packing}
    if packing.startswith("best_fit"):
        options["window_tokens"] = 25
    with tempfile.TemporaryDirectory() as name:
        check(files, Path(name, "out"), **options)


@PROPERTY
@given(run=runs)
def test_one_thread_and_four_write_the_same_bytes(run):
    files, options = run
    options |= {"on_bad_record": "quarantine"}
    with tempfile.TemporaryDirectory() as name:
        one = pack(files, Path(name, "1"), num_threads=1, **options)
        four = pack(files, Path(name, "4"), num_threads=4, checkpoint_seconds=0.0, **options)
        assert everything_in(one.folder) == everything_in(four.folder)


@pytest.mark.parametrize("packing", PACKINGS)
def test_many_records_in_several_files_are_the_same_for_any_number_of_threads(packing, tmp_path):
    random_numbers = random.Random(7)

    def text(longest):
        return "".join(random_numbers.choices("ab cd", k=random_numbers.randrange(longest)))

    def value():
        turns = [{"prompt": text(30), "completion": text(60)} for _ in range(random_numbers.choice([1, 1, 1, 3]))]
        return turns[0] if len(turns) == 1 else turns

    files = [(f"{number}.jsonl", b"".join(line(value()) for _ in range(500))) for number in range(4)]
    options = {"sequence_length": 64, "packing": packing, "packing_boundary": PAIR, "rows_per_file": 100}
    if packing.startswith("best_fit"):
        options["window_tokens"] = 3000
    one = check(files, tmp_path / "1", num_threads=1, **options)
    four = pack(files, tmp_path / "4", num_threads=4, on_bad_record="quarantine", **options)
    assert everything_in(one.folder) == everything_in(four.folder)
