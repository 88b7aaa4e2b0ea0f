"""`bloomdata-cli gdp`: the flags of generative_data_prep, its scripts, and its API for training arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bloomdata
from article_runs import BYTES, articles_in, line
from bloomdata.cli import main
from bloomdata.errors import BloomdataError, ConfigError, MismatchError
from bloomdata.gdp import run_with_training_args
from gdp_runs import (
    Run,
    metadata_of,
    reference_result,
    rows_in,
    rows_of,
    tree,
    write_corpus,
    write_tokenizer,
)
from reference.rows import rows
from reference.shard import Books

COMMON = [
    *["--input_path", "--input_file_path", "--output_path", "--overwrite_output_path", "--pretrained_tokenizer"],
    *["--special_tokens_dict", "--max_seq_length", "--input_packing_config", "--packing_boundary"],
    *["--attention_boundary", "--prompt_keyword", "--completion_keyword", "--disable_space_separator"],
    *["--keep_prompt_only_sequences", "--prompt_prefix", "--prompt_postfix", "--categories_path"],
    *["--apply_chat_template", "--ignore_input_format_error", "--num_workers"],
]
OF_PIPELINE = [
    *["--num_training_splits", "--num_dev_splits", "--num_test_splits", "--dev_ratio", "--test_ratio", "--shuffle"],
    *["--do_not_balance_hdf5", "--keep_split_jsonls", "--log_file_path"],
]
PACKINGS = ["full", "greedy"]
PACKINGS += [f"{kind}::{rule}" for kind in ("single", "greedy") for rule in ("drop", "truncate_left", "truncate_right")]
RECORD = {"q": "a ", "a": " b", "category": "x"}


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line({"prompt": "p", "completion": f"{number}"}) for number in range(20)))
    return path


@pytest.fixture
def model(tmp_path):
    return write_tokenizer(tmp_path / "model")


def gdp(*arguments, status=0):
    """Runs the program in this process."""
    assert main(["gdp", *map(str, arguments)]) == status


def call(command, source, output, *more, status=0, tokenizer="bytes"):
    paths = ["--input_path", source, "--output_path", output, "--pretrained_tokenizer", tokenizer]
    gdp(command, *paths, "--max_seq_length", 8, "--silent", *more, status=status)


def refusal(capsys, *arguments):
    """What is said of wrong usage."""
    with pytest.raises(SystemExit) as caught:
        main(["gdp", *map(str, arguments)])
    assert caught.value.code == 2
    return capsys.readouterr().err


# --- flags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "flags"), [("pipeline", COMMON + OF_PIPELINE), ("data_prep", [*COMMON, "--silent"])]
)
def test_every_flag_is_there(command, flags, capsys):
    with pytest.raises(SystemExit):
        main(["gdp", command, "--help"])
    shown = capsys.readouterr().out
    assert [flag for flag in flags if flag not in shown] == []


@pytest.mark.parametrize("flag", ["--tokenizer_class", "--vocab_file", "--merges_file"])
def test_flags_that_are_gone_are_refused_by_name(flag, source, capsys):
    options = ["--input_path", source, "--output_path", "out", "--pretrained_tokenizer", "bytes"]
    assert f"unrecognized arguments: {flag}" in refusal(capsys, "pipeline", *options, flag, "gpt2")
    assert not Path("out").exists()


@pytest.mark.parametrize("command", ["pipeline", "data_prep"])
def test_chat_templates_are_refused_before_anything_is_done(command, source, capsys):
    call(command, source, "out.hdf5", "--apply_chat_template", status=1)
    assert "apply_chat_template" in capsys.readouterr().err
    assert not Path("out.hdf5").exists()


def test_one_name_of_the_input_is_needed_and_one_is_enough(source, capsys):
    options = ["pipeline", "--output_path", "out", "--pretrained_tokenizer", "bytes"]
    assert "--input_path" in refusal(capsys, *options)
    assert "not allowed" in refusal(capsys, *options, "--input_path", source, "--input_file_path", source)


@pytest.mark.parametrize("missing", ["--output_path", "--pretrained_tokenizer"])
def test_other_flags_that_are_needed_are_named(missing, source, capsys):
    options = {"--input_path": source, "--output_path": "out", "--pretrained_tokenizer": "bytes"}
    del options[missing]
    assert missing in refusal(capsys, "pipeline", *(word for pair in options.items() for word in pair))


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_packing_is_there(packing, source):
    call("pipeline", source, "out", "--num_training_splits", 2, "--input_packing_config", packing)
    run = Run([("a.jsonl", source.read_bytes())], (2, 0, 0), {"sequence_length": 8, "packing": packing})
    assert rows_in(Path("out")) == reference_result(run).rows


def test_greedy_is_greedy_drop(source):
    for number, packing in enumerate(["greedy", "greedy::drop"]):
        call("data_prep", source, f"{number}.hdf5", "--input_packing_config", packing)
    assert Path("0.hdf5").read_bytes() == Path("1.hdf5").read_bytes()


@pytest.mark.parametrize("command", ["pipeline", "data_prep"])
def test_flags_that_say_how_records_become_rows_are_heard(command, tmp_path, monkeypatch):
    """Among them those that generative_data_prep itself hands to the wrong parameters in `data_prep`."""
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(line([RECORD, {"q": "c", "a": ""}, RECORD]))
    Path("names.json").write_text('["w", "x"]')
    words = ["--prompt_prefix", "<", "--prompt_postfix", ">", "--prompt_keyword", "q", "--completion_keyword", "a"]
    words += ["--categories_path", "names.json", "--attention_boundary", "prompt_completion_pair"]
    words += ["--keep_prompt_only_sequences", "--packing_boundary", "prompt_completion_pair"]
    words += ["--input_packing_config", "single::truncate_right", "--disable_space_separator"]
    words += ["--num_training_splits", 1] if command == "pipeline" else []
    call(command, "a.jsonl", "out.hdf5", *words)
    found = rows_of(Path("out.hdf5/train_1_of_1.hdf5" if command == "pipeline" else "out.hdf5"))
    shown = ["".join(chr(i) if i < 256 else {256: "P", 258: "E"}[i] for i, _, _ in row) for row in found]
    assert shown == ["<a > bEP", "<c>EPPPP", "<a > bEP"]
    assert [[kind for _, kind, _ in row] for row in found] == [
        [0, 0, 0, 0, 1, 1, 3, 2],
        [0, 0, 0, 3, 2, 2, 2, 2],
        [0, 0, 0, 0, 1, 1, 3, 2],
    ]
    assert {category for row in (found[0], found[2]) for _, kind, category in row if kind != 2} == {1}
    assert {category for _, _, category in found[1]} == {-1}


def test_flags_that_say_what_is_written_are_heard(source):
    words = ["--num_training_splits", 2, "--num_dev_splits", 2, "--num_test_splits", 1, "--shuffle", "large_file"]
    words += ["--seed", 5, "--do_not_balance_hdf5", "--keep_split_jsonls", "--log_file_path", "my.log"]
    call("pipeline", source, "out", *words, "--num_workers", 1, "--ignore_input_format_error")
    options = {"sequence_length": 8, "packing": "full", "seed": 5, "balance": False}
    run = Run([("a.jsonl", source.read_bytes())], (2, 2, 1), options)
    assert rows_in(Path("out")) == reference_result(run).rows
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *["dev_1_of_2.hdf5", "dev_2_of_2.hdf5", "manifest.json", "metadata.yaml", "sha256", "splits", "test_files"],
        *["tokenizer", "train_1_of_2.hdf5", "train_2_of_2.hdf5"],
    ]
    assert Path("my.log").exists()
    call("pipeline", source, "out", "--num_training_splits", 2, status=1)
    call("pipeline", source, "out", "--num_training_splits", 2, "--overwrite_output_path")
    assert not Path("out/splits").exists()


def test_the_report_is_text_json_or_nothing(source, capsys):
    paths = ["--input_path", source, "--pretrained_tokenizer", "bytes", "--max_seq_length", 8]
    gdp("pipeline", *paths, "--output_path", "a", "--num_training_splits", 2)
    assert "documents in" in capsys.readouterr().out
    gdp("pipeline", *paths, "--output_path", "b", "--num_training_splits", 2, "--json")
    assert json.loads(capsys.readouterr().out)["manifest"]["ledger"]["documents_in"] == 20
    gdp("pipeline", *paths, "--output_path", "c", "--num_training_splits", 2, "--silent")
    gdp("data_prep", *paths, "--output_path", "d.hdf5", "--silent")
    assert capsys.readouterr().out == ""


def test_a_tokenizer_that_is_nowhere_is_named(source, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = ["--input_path", source, "--output_path", "out", "--pretrained_tokenizer", "no/such-model"]
    command = [sys.executable, "-m", "bloomdata", "gdp", "pipeline", *words]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "pretrained_tokenizer: 'no/such-model'" in process.stderr
    assert "Traceback" not in process.stderr
    assert not Path("out").exists()


# --- BLOOMChat --------------------------------------------------------------------------------------------------------


def test_the_scripts_of_bloomchat_run_with_only_the_command_changed(model, tmp_path, monkeypatch):
    """tokenization_oa_dolly.sh, by SYSTEMS.md 1.3."""
    for name in ("data_prep", "tokenization_prep"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "tokenization_prep")
    path = write_corpus(tmp_path / "data_prep" / "oasst1_dolly.jsonl", 300)
    script = """
        gdp pipeline --input_file_path ../data_prep/oasst1_dolly.jsonl --output_path ./oasst1_dolly_out/ --dev_ratio 0.0
        --test_ratio 0.0 --shuffle on_RAM --pretrained_tokenizer ../model --max_seq_length 2048
        --input_packing_config greedy --num_training_splits 8
    """
    process = subprocess.run([sys.executable, "-m", "bloomdata", *script.split()], capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    options = {"sequence_length": 2048, "packing": "greedy::drop", "seed": 0}
    run = Run([(path.name, path.read_bytes())], (8, 0, 0), options)
    out = Path("oasst1_dolly_out")
    assert rows_in(out) == reference_result(run, model).rows
    assert len(rows_in(out)) == 8
    bloomdata.verify(out)


# --- special tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "vocab_size"),
    [
        ('{"additional_special_tokens": ["<a>", "<b>"]}', 261),
        ("{'additional_special_tokens': ['<a>', '<b>']}", 261),
        ("{'sep_token': '<a>', 'additional_special_tokens': ['<a>', '</s>']}", 260),
        ("{}", 259),
    ],
)
def test_special_tokens_are_added(text, vocab_size, model, source):
    source.write_bytes(line({"completion": "<a>"}))
    call("data_prep", source, "a.hdf5", "--special_tokens_dict", text, tokenizer=model.tokenizer)
    call(
        *["pipeline", source, "out", "--special_tokens_dict", text, "--num_training_splits", 1],
        tokenizer=model.tokenizer,
    )
    assert metadata_of(Path("out"))["vocab_size"] == vocab_size
    found = [token for token, _, _ in rows_of(Path("a.hdf5"))[0]]
    assert rows_of(Path("out/train_1_of_1.hdf5")) == rows_of(Path("a.hdf5"))
    assert (found[1] == 259) == (vocab_size > 259)


@pytest.mark.parametrize("text", ["{'eos_token': '<end>', 'pad_token': '<fill>'}", '{"eos_token": "<end>"}'])
def test_special_tokens_end_and_pad_rows_when_that_is_their_role(text, model, source):
    source.write_bytes(line({"completion": "a"}))
    call("data_prep", source, "a.hdf5", "--special_tokens_dict", text, tokenizer=model.tokenizer)
    tokens = [token for token, _, _ in rows_of(Path("a.hdf5"))[0]]
    assert tokens[2:] == [259, *5 * [260 if "fill" in text else 258]]


@pytest.mark.parametrize("text", ["nope", "[]", "7", '{"a": 1}', '{"a": null}', '{"a": [1]}', "{'a': 'b'"])
@pytest.mark.parametrize("command", ["pipeline", "data_prep"])
def test_special_tokens_that_are_none_are_refused(text, command, model, source, capsys):
    call(command, source, "out.hdf5", "--special_tokens_dict", text, tokenizer=model.tokenizer, status=1)
    assert "special_tokens_dict" in capsys.readouterr().err
    assert not Path("out.hdf5").exists()


def test_a_special_token_may_hold_an_apostrophe(model, source):
    text = json.dumps({"additional_special_tokens": ["<user's>"]})
    call("data_prep", source, "a.hdf5", "--special_tokens_dict", text, tokenizer=model.tokenizer)


def test_a_special_token_with_properties_is_its_content_or_refused(model, source):
    """As Hugging Face writes them in special_tokens_map.json."""
    text = json.dumps({"pad_token": {"content": "<fill>", "lstrip": False, "special": True}})
    words = ["--special_tokens_dict", text, "--num_training_splits", 1]
    try:
        call("pipeline", source, "out", *words, tokenizer=model.tokenizer)
    except AssertionError:  # refused
        return
    assert metadata_of(Path("out"))["vocab_size"] == 260


# --- data_prep --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.jsonl", "b.txt"])
def test_data_prep_writes_all_rows_into_one_file(name, source, capsys):
    content = source.read_bytes() + b"\n" + line({"completion": "é"})[:-1]
    Path(name).write_bytes(content)
    call("data_prep", name, "sub/a.hdf5", "--input_packing_config", "greedy::truncate_left")
    found = articles_in([(name, content)], BYTES, Books(), {})
    assert rows_of(Path("sub/a.hdf5")) == rows(found, 8, "greedy::truncate_left", BYTES.pad)[0]
    assert [path.name for path in Path("sub").iterdir()] == ["a.hdf5"]
    assert len(bloomdata.open("sub/a.hdf5")) == len(rows_of(Path("sub/a.hdf5")))


# --- training arguments -----------------------------------------------------------------------------------------------

# Bytes of input, devices, tokens in a step of a device: files. 3 bytes are a token.
SPLITS = [
    (32 * 8 * 3, 1, 1, 32),
    (32 * 8 * 3, 2, 1, 32),
    (32 * 8 * 3 - 1, 2, 1, 4),
    (35 * 8 * 3, 5, 1, 35),
    (35 * 8 * 3 - 1, 5, 1, 10),
    (40 * 8 * 3 * 6, 20, 6, 40),
    (40 * 8 * 3 * 6 - 1, 20, 6, None),
    (2 * 8 * 3 * 12, 1, 12, 2),
    (2 * 8 * 3 * 12 - 1, 1, 12, None),
]


def train(model, size, **options):
    """Runs it on so many bytes in lines of one byte."""
    Path("raw.txt").write_bytes((b"a\n" * size)[:size])
    arguments = {"checkpoint_path": model, "number_of_rdus": 1, "grad_accum_steps": 1, "pef_batch_size": 1}
    return run_with_training_args("raw.txt", "out", **arguments | options)


@pytest.mark.parametrize(("size", "devices", "step", "files"), SPLITS)
def test_there_are_as_many_files_as_devices_need(size, devices, step, files, model, source):
    options = {"number_of_rdus": devices, "grad_accum_steps": 2 if step % 2 == 0 else 1}
    options["pef_batch_size"] = step // options["grad_accum_steps"]
    if files is None:
        with pytest.raises(ConfigError, match="expected more text"):
            train(model.tokenizer, size, **options)
        assert not Path("out").exists()
        return
    train(model.tokenizer, size, **options)
    assert metadata_of(Path("out"))["number_of_training_files"] == files


def test_training_arguments_have_the_defaults_of_the_original(model, source):
    report = train(model.tokenizer, 800)
    config = report.manifest["config"]
    assert (config["packing"], config["shuffle"], config["sequence_length"]) == ("greedy::drop", "on_RAM", 8)
    assert metadata_of(Path("out"))["number_of_dev_files"] == 0


@pytest.mark.parametrize(
    ("facts", "options", "length"),
    [
        ({"max_position_embeddings": 16}, {}, 16),
        ({"n_positions": 16}, {}, 16),
        ({"max_position_embeddings": 16, "n_positions": 4}, {}, 16),
        ({"n_positions": 16}, {"max_seq_length": 5}, 5),
    ],
)
def test_the_length_of_rows_is_that_of_the_model_unless_given(facts, options, length, tmp_path, source):
    model = write_tokenizer(tmp_path / "other", **{"n_positions": None} | facts)
    train(model.tokenizer, 4000, **options)
    assert metadata_of(Path("out"))["max_seq_length"] == length


def test_a_share_of_the_files_is_for_evaluation(model, source):
    train(model.tokenizer, 4000, number_of_rdus=4, evaluation_ratio=0.2)
    found = metadata_of(Path("out"))
    assert (found["number_of_training_files"], found["number_of_dev_files"]) == (32, 8)


def test_another_tokenizer_than_the_model_s_is_used(model, tmp_path, source):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"n_positions": 8, "vocab_size": 259}')
    train(tmp_path / "empty", 800, custom_tokenizer_path=model.tokenizer)
    assert metadata_of(Path("out"))["vocab_size"] == 259


def test_a_model_that_does_not_say_how_long_its_rows_are_is_refused(tmp_path, source):
    model = write_tokenizer(tmp_path / "other", n_positions=None)
    with pytest.raises(ConfigError, match="max_seq_length"):
        train(model.tokenizer, 800)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path, source):
    model = write_tokenizer(tmp_path / "other", vocab_size=258)
    with pytest.raises(MismatchError, match="vocab_size"):
        train(model.tokenizer, 800)


def test_a_tokenizer_with_more_ids_than_the_model_writes_nothing(tmp_path, source):
    model = write_tokenizer(tmp_path / "other", vocab_size=258)
    with pytest.raises(MismatchError):
        train(model.tokenizer, 800)
    assert not Path("out").exists()


@pytest.mark.parametrize("content", ["nope", "[]"])
def test_a_damaged_description_of_a_model_is_refused(content, model, source):
    (model.tokenizer / "config.json").write_text(content)
    with pytest.raises(BloomdataError):
        train(model.tokenizer, 800)


@pytest.mark.parametrize("name", ["grad_accum_steps", "pef_batch_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_of_a_step_that_cannot_be_are_refused(name, value, model, source):
    with pytest.raises(ConfigError, match=name):
        train(model.tokenizer, 800, **{name: value})


def test_a_length_of_nothing_is_refused(model, source):
    with pytest.raises(ConfigError):
        train(model.tokenizer, 800, max_seq_length=0)


@pytest.mark.parametrize("value", [None, False, True])
def test_chat_templates_are_not_applied_and_refused_when_asked_for(value, model, source):
    if value:
        with pytest.raises(ConfigError, match="apply_chat_template"):
            train(model.tokenizer, 800, apply_chat_template=value)
    else:
        train(model.tokenizer, 800, apply_chat_template=value)


def test_training_arguments_and_flags_write_the_same(model, source):
    train(model.tokenizer, 800)
    words = ["--num_training_splits", 32, "--shuffle", "on_RAM", "--input_packing_config", "greedy::drop"]
    words += ["--dev_ratio", 0.0, "--test_ratio", 0.0]
    call("pipeline", "raw.txt", "flags", *words, tokenizer=model.tokenizer)
    assert tree(Path("out")) == tree(Path("flags"))
