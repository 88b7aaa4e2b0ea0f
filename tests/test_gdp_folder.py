"""`gdp pipeline` and folders that are not empty: finished and unfinished runs, those of others, and overwriting."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path

import pytest

import bloomdata
from article_runs import line
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.gdp import data_prep, pipeline
from gdp_runs import files_under, tree, write_tokenizer

MODULE = sys.modules["bloomdata.gdp.pipeline"]
OPTIONS = {"pretrained_tokenizer": "bytes", "max_seq_length": 8, "num_training_splits": 2}
BAD = b"bad line\n"
CORE = pytest.mark.xfail(strict=True, reason="the message does not have the option's name")


class KilledError(BaseException):
    """In the place of a signal."""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line({"prompt": "p", "completion": f"{number}", "category": "x"}) for number in range(9)))
    return path


@pytest.fixture
def run(source, tmp_path):
    """A call with some options, others if asked for."""

    def call(**options):
        return pipeline(options.pop("input_path", source), tmp_path / "out", **OPTIONS | options)

    return call


@pytest.fixture
def unfinished(run, monkeypatch):
    """A folder of a run that was stopped before its end."""

    def stop(*_):
        raise OSError("stopped")

    monkeypatch.setattr(sys.modules["bloomdata.gdp.pipeline"], "write_facts", stop)
    with pytest.raises(OSError, match="stopped"):
        run()
    monkeypatch.undo()


def contents(folder):
    return {name: path.read_bytes() for name, path in files_under(folder).items()}


# --- refused before anything is done ----------------------------------------------------------------------------------

REFUSED = [
    ({"num_training_splits": 0}, "num_training_splits"),
    ({"num_dev_splits": 1}, "num_training_splits"),
    ({"num_training_splits": None, "num_dev_splits": 1, "num_test_splits": 1}, "num_training_splits"),
    ({"num_dev_splits": 1, "num_test_splits": 1, "dev_ratio": 0.1}, "ratio"),
    ({"num_dev_splits": 1, "num_test_splits": 1, "test_ratio": 0.0}, "ratio"),
    ({"num_dev_splits": 1, "test_ratio": 0.1}, "ratio"),
    ({"num_dev_splits": -1, "num_test_splits": 1}, "num_dev_splits"),
    ({"dev_ratio": 1.0}, "dev_ratio"),
    ({"test_ratio": -0.1}, "test_ratio"),
    ({"dev_ratio": 0.5, "test_ratio": 0.5}, "ratio"),
    ({"shuffle": "yes"}, "shuffle"),
    ({"categories_path": "b.jsonl"}, "categories"),
]
# These are found only when the core has the lines.
REFUSED_LATE = [
    ({"num_training_splits": 10}, "num_training_splits: expected at most 9 files in all, got 10"),
    ({"seed": -1}, "-1"),
]
REFUSED_BY_PACK = [
    ({"pretrained_tokenizer": "."}, "tokenizer"),
    ({"input_packing_config": "single"}, "packing"),
    ({"packing_boundary": "line"}, "packing_boundary"),
    ({"attention_boundary": "line"}, "attention_boundary"),
    ({"special_tokens": ["<a>"]}, "tokens"),
    ({"categories_path": "twice.json"}, "expected distinct names"),
    ({"categories_path": "object.json"}, "expected a list of names"),
    ({"max_seq_length": 0}, "max_seq_length"),
    ({"max_seq_length": -1}, "max_seq_length"),
]


@pytest.fixture
def beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.jsonl").write_text("not JSON")
    (tmp_path / "twice.json").write_text('["x", "x"]')
    (tmp_path / "object.json").write_text('{"x": 1}')
    (tmp_path / "null.json").write_text("null")
    (tmp_path / "text.json").write_text('"twice.json"')


@pytest.mark.parametrize(
    ("options", "message"),
    [*REFUSED, *REFUSED_BY_PACK, *REFUSED_LATE, ({"num_workers": 0}, "expected 1 or more, got 0")],
)
def test_options_that_cannot_work_are_refused(options, message, run, beside):
    with pytest.raises(ConfigError, match=message):
        run(**options)


@pytest.mark.parametrize(("options", "message"), REFUSED + REFUSED_BY_PACK)
def test_a_refused_call_leaves_nothing_behind(options, message, run, beside, tmp_path):
    with pytest.raises(ConfigError):
        run(**options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "message"), REFUSED_LATE)
def test_a_call_that_was_refused_does_not_stand_in_the_way_of_a_good_one(options, message, run, beside):
    with pytest.raises(ConfigError):
        run(**options)
    assert not run().was_finished


@pytest.mark.parametrize(
    "name",
    ["max_seq_length", "input_packing_config", "seed", pytest.param("num_workers", marks=CORE)],
)
def test_a_refused_option_is_named_as_it_was_given(name, run):
    with pytest.raises(ConfigError, match=f"(?<![a-z_]){name}:"):
        run(**{name: "nope" if name == "input_packing_config" else -1})


@pytest.mark.parametrize("name", ["null.json", "text.json"])
def test_a_file_of_categories_must_hold_a_list(name, run, beside):
    with pytest.raises(ConfigError, match="expected a list of names"):
        run(categories_path=name)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_files_of_too_few_lines_are_refused(content, source, run):
    """Blank lines are lines."""
    source.write_bytes(content)
    with pytest.raises(ConfigError, match="expected at most"):
        run(num_training_splits=3)


def test_an_input_that_is_not_there_or_none_of_ours_is_named(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.json").write_text("[]")
    for name, error in (("nothing.jsonl", FileNotFoundError), ("empty", ConfigError), ("a.json", ConfigError)):
        with pytest.raises(error, match=name):
            run(input_path=tmp_path / name)


# --- the same run again -----------------------------------------------------------------------------------------------

OTHERS = [
    {"seed": 1},
    {"shuffle": "on_RAM"},
    {"max_seq_length": 9},
    {"input_packing_config": "greedy::drop"},
    {"num_training_splits": 3},
    {"dev_ratio": 0.5},
    {"do_not_balance_hdf5": True},
    {"keep_split_jsonls": True},
    {"ignore_input_format_error": True},
    {"prompt_prefix": "<"},
    {"prompt_postfix": ">"},
    {"prompt_keyword": "q"},
    {"completion_keyword": "a"},
    {"disable_space_separator": True},
    {"keep_prompt_only_sequences": True},
    {"packing_boundary": "prompt_completion_pair"},
    {"attention_boundary": "prompt_completion_pair"},
    {"categories_path": "categories.json"},
    {"input_path": "b.jsonl"},
]


def prepare(options, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "categories.json").write_text('["x"]')
    shutil.copy(source, tmp_path / "b.jsonl")
    return options


def test_the_same_options_find_the_run_finished(run, tmp_path):
    first = run()
    before = contents(tmp_path / "out")
    again = run(num_workers=3, log_file_path=tmp_path / "other.log")
    assert (first.was_finished, again.was_finished) == (False, True)
    assert again.manifest == first.manifest
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("options", OTHERS)
def test_other_options_do_not_touch_a_finished_run(options, source, run, tmp_path, monkeypatch):
    run()
    before = contents(tmp_path / "out")
    with pytest.raises(MismatchError, match="overwrite_output_path"):
        run(**prepare(options, source, tmp_path, monkeypatch))
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("options", OTHERS)
def test_other_options_do_not_touch_an_unfinished_run(options, source, run, unfinished, tmp_path, monkeypatch):
    before = contents(tmp_path / "out")
    with pytest.raises(MismatchError, match="overwrite_output_path"):
        run(**prepare(options, source, tmp_path, monkeypatch))
    assert contents(tmp_path / "out") == before


def test_an_input_of_another_size_is_another_run(source, run):
    run()
    source.write_bytes(source.read_bytes() + line({"completion": "b"}))
    with pytest.raises(MismatchError):
        run()


def test_an_input_of_the_same_size_and_another_content_is_another_run(source, run):
    run()
    source.write_bytes(source.read_bytes().replace(b'"p"', b'"q"'))
    with pytest.raises(MismatchError):
        run()


def test_another_tokenizer_of_the_same_name_is_another_run(run, tmp_path):
    model = write_tokenizer(tmp_path / "model").tokenizer
    run(pretrained_tokenizer=model)
    definition = (model / "tokenizer.json").read_text()
    (model / "tokenizer.json").write_text(definition.replace("</s>", "<END>"))
    (model / "tokenizer_config.json").write_text('{"eos_token": "<END>"}')
    with pytest.raises(MismatchError):
        run(pretrained_tokenizer=model)


def test_a_finished_run_that_lacks_a_file_is_not_finished(run, tmp_path):
    run()
    (tmp_path / "out" / "train_1_of_2.hdf5").unlink()
    with pytest.raises((MismatchError, CorruptDataError, OSError)):
        run()


def test_a_run_that_goes_on_says_so(run, tmp_path, monkeypatch):
    die_at(monkeypatch, "write_group")
    with pytest.raises(KilledError):
        run()
    monkeypatch.undo()
    assert run().was_resumed


# --- folders of others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "train_1_of_2.hdf5", "manifest.json", "sub/x"])
def test_a_folder_of_others_is_refused_and_untouched(name, overwrite, run, tmp_path):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": true}')
    with pytest.raises((ConfigError, CorruptDataError)):
        run(overwrite_output_path=overwrite)
    assert contents(tmp_path / "out") == {name: b'{"mine": true}'}


def test_a_folder_that_happens_to_hold_a_work_folder_is_untouched(run, tmp_path):
    (tmp_path / "out" / ".gdp").mkdir(parents=True)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError):
        run()
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_files_put_where_a_call_was_refused_are_untouched(run, tmp_path):
    with pytest.raises(ConfigError, match="expected at most"):
        run(num_training_splits=10)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError):
        run()
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_output_of_another_verb_is_refused_and_untouched(overwrite, source, run, tmp_path):
    bloomdata.pack(source, tmp_path / "out", record="prompt_completion", tokenizer="bytes", sequence_length=8)
    before = contents(tmp_path / "out")
    with pytest.raises(ConfigError, match="output of"):
        run(overwrite_output_path=overwrite)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_place_of_the_folder_is_refused_and_untouched(overwrite, run, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OSError, match="out"):
        run(overwrite_output_path=overwrite)
    assert (tmp_path / "out").read_text() == "mine"


def test_the_output_may_lie_in_the_folder_of_the_inputs(source, run, tmp_path):
    (tmp_path / "raw").mkdir()
    shutil.copy(source, tmp_path / "raw")
    reports = [pipeline(tmp_path / "raw", tmp_path / "raw" / "out", **OPTIONS) for _ in range(2)]
    assert [report.was_finished for report in reports] == [False, True]
    with pytest.raises(ConfigError, match="output_path"):
        pipeline(tmp_path / "raw", tmp_path / "raw", **OPTIONS)


# --- overwriting ------------------------------------------------------------------------------------------------------


def test_overwriting_a_finished_run_leaves_nothing_of_it(run, tmp_path):
    run(keep_split_jsonls=True, num_training_splits=3, dev_ratio=0.5)
    report = run(overwrite_output_path=True)
    assert not report.was_finished
    found = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    run()
    assert tree(tmp_path / "out") == found
    bloomdata.verify(tmp_path / "out")


def test_overwriting_an_unfinished_run_leaves_nothing_of_it(run, unfinished, tmp_path):
    run(overwrite_output_path=True, num_training_splits=3)
    assert len(list((tmp_path / "out").glob("*.hdf5"))) == 3
    bloomdata.verify(tmp_path / "out")


def test_overwriting_does_not_remove_its_own_input(run, tmp_path):
    run(keep_split_jsonls=True)
    split = tmp_path / "out" / "splits" / "train_1_of_2.jsonl"
    before = split.read_bytes()
    with pytest.raises(ConfigError):
        run(input_path=split, overwrite_output_path=True)
    assert split.read_bytes() == before


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("call", [1, 2, 3, 5, 8, 12])
def test_overwriting_that_was_killed_can_be_done_again_and_does_not_look_finished(
    call, overwrite, run, tmp_path, monkeypatch
):
    """At the removal of any file or folder."""
    run()
    left = [call]

    def die(real):
        def remove(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                raise KilledError
            return real(*arguments, **options)

        return remove

    for name in ("unlink", "rmdir"):
        monkeypatch.setattr(os, name, die(getattr(os, name)))
    with pytest.raises(KilledError):
        run(overwrite_output_path=True)
    monkeypatch.undo()
    assert rerun_is_undisturbed(run, tmp_path, overwrite_output_path=overwrite)


# --- killed at the worst moments (others: `test_gdp_kill`) ------------------------------------------------------------


def die_at(monkeypatch, name):
    def die(*_, **__):
        raise KilledError

    monkeypatch.setattr(MODULE, name, die)


def replace_shutil(monkeypatch, **functions):
    monkeypatch.setattr(MODULE, "shutil", types.SimpleNamespace(**vars(shutil) | functions))


def rerun_is_undisturbed(run, tmp_path, **options):
    """The same call again leaves what a run leaves that nobody has killed."""
    run(**options)
    bloomdata.verify(tmp_path / "out")
    found = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    run()
    return found == tree(tmp_path / "out")


@pytest.mark.parametrize(
    "step", ["deal_lines", "pack", "write_group", "_move_texts", "write_facts", "build_manifest", "write_checksums"]
)
def test_a_run_killed_before_any_step_goes_on_to_the_same_bytes(step, run, tmp_path, monkeypatch):
    die_at(monkeypatch, step)
    with pytest.raises(KilledError):
        run()
    monkeypatch.undo()
    assert rerun_is_undisturbed(run, tmp_path)


def test_a_run_killed_before_its_manifest_has_its_name_goes_on_to_the_same_bytes(run, tmp_path, monkeypatch):
    real = MODULE._core

    def finish(folder, manifest):
        (folder / "manifest.json.tmp").write_text(manifest)
        raise KilledError

    names = {name: getattr(real, name) for name in dir(real)}
    monkeypatch.setattr(MODULE, "_core", types.SimpleNamespace(**names | {"finish_folder": finish}))
    with pytest.raises(KilledError):
        run()
    monkeypatch.undo()
    assert rerun_is_undisturbed(run, tmp_path)


@pytest.mark.parametrize("gone", [".", "rows", "config.json"])
def test_a_run_killed_while_its_work_folder_goes_goes_on_to_the_same_bytes(gone, run, tmp_path, monkeypatch):
    def half(folder):
        path = Path(folder) / gone
        if gone != ".":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise KilledError

    replace_shutil(monkeypatch, rmtree=half)
    with pytest.raises(KilledError):
        run()
    monkeypatch.undo()
    assert rerun_is_undisturbed(run, tmp_path)


# --- data_prep --------------------------------------------------------------------------------------------------------


@pytest.fixture
def prepare_file(source, tmp_path):
    def call(**options):
        options = {"pretrained_tokenizer": "bytes", "max_seq_length": 8} | options
        return data_prep(source, tmp_path / "out" / "a.hdf5", **options)

    return call


def test_a_file_that_is_there_is_replaced_only_if_asked(prepare_file, tmp_path):
    prepare_file()
    before = contents(tmp_path / "out")
    assert set(before) == {"a.hdf5"}
    with pytest.raises(ConfigError, match="exists"):
        prepare_file(max_seq_length=9)
    assert contents(tmp_path / "out") == before
    prepare_file(max_seq_length=9, overwrite_output_path=True)
    assert contents(tmp_path / "out").keys() == before.keys()
    assert contents(tmp_path / "out") != before


def test_overwriting_sets_a_bad_record_aside_that_has_stopped_data_prep(source, prepare_file):
    source.write_bytes(source.read_bytes() + BAD)
    with pytest.raises(CorruptDataError):
        prepare_file()
    prepare_file(ignore_input_format_error=True, overwrite_output_path=True)


def test_a_killed_data_prep_goes_on(source, prepare_file, tmp_path, monkeypatch):
    source.write_bytes(source.read_bytes() + BAD)
    die_at(monkeypatch, "write_group")
    with pytest.raises(KilledError):
        prepare_file(ignore_input_format_error=True)
    monkeypatch.undo()
    prepare_file(ignore_input_format_error=True)
    assert set(contents(tmp_path / "out")) == {"a.hdf5", "a.json_load_failed_lines.log"}


def test_data_prep_wants_a_name_that_ends_in_hdf5(source, tmp_path):
    with pytest.raises(ConfigError, match="hdf5"):
        data_prep(source, tmp_path / "a.h5", pretrained_tokenizer="bytes")
    assert not (tmp_path / "a.h5").exists()


def test_bad_records_of_data_prep_lie_beside_its_file(source, prepare_file, tmp_path):
    source.write_bytes(BAD + source.read_bytes())
    report = prepare_file(ignore_input_format_error=True)
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 1}
    entry = json.loads((tmp_path / "out" / "a.json_load_failed_lines.log").read_bytes())
    assert (entry["raw"], entry["line"], Path(entry["file"]).name) == ("bad line", 1, "a.jsonl")
