"""The loop: it learns no less and no more than there is to learn, resumes bit for bit, and stops when it should."""

import json
import math
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes import losses_of, recipe_of

import bloomdata
from bloomdata.errors import BloomdataError, ConfigError, CorruptDataError, MismatchError
from bloomdata.train import compare, read_recipe, run
from bloomdata.train.building import build_model
from bloomdata.train.checkpoints import list_checkpoints
from bloomdata.train.journal import read_log
from sample_files import LENGTH, write_rows

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def whole(markov, tmp_path_factory):
    """A run of 12 steps with a checkpoint every 4, and its result."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    recipe = recipe_of(markov.rows, steps=12, checkpoint={"every": 4, "keep": 0})
    return recipe, folder, run(recipe, folder=folder)


# --- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_model_learns_the_source_and_no_more(markov, tmp_path, family):
    recipe = recipe_of(
        markov.rows,
        family,
        steps=200,
        data={"evaluation": {"held-out": markov.evaluation}},
        batch={"rows": 32},
        optimizer={"learning_rate": 6e-3},
        schedule={"warmup_samples": 320, "decay_samples": 6400},
    )
    result = run(recipe, folder=tmp_path / "run")
    (found,) = [line["evaluation"]["held-out"] for line in result.log if "evaluation" in line]
    # Below the loss of the source, labels would have leaked; far above, nothing was learned.
    assert markov.oracle - 0.01 < found["loss"] < markov.oracle + 0.20
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    # A byte is a token here; the end of a document has no bytes.
    assert found["bits_per_byte"] == pytest.approx(found["loss"] / math.log(2) * 63 / 62, rel=1e-6)


def test_leaked_labels_fall_below_the_loss_of_the_source(markov, tmp_path, monkeypatch):
    """The control: with labels that are not shifted, the test above would see it."""
    from bloomdata.train import loop
    from bloomdata.train.loss import token_losses

    def leaked(logits, batch):
        return token_losses(logits, {**batch, "labels": torch.where(batch["labels"] >= 0, batch["input_ids"], -100)})

    monkeypatch.setattr(loop, "token_losses", leaked)
    result = run(recipe_of(markov.rows, steps=60, batch={"rows": 32}), folder=tmp_path / "run")
    assert result.final_loss < markov.oracle - 0.5


def test_files_of_both_formats_train_alike_bit_for_bit(markov, tmp_path):
    hdf5 = run(recipe_of(markov.rows, steps=6), folder=tmp_path / "hdf5")
    pair = run(recipe_of(markov.documents, steps=6, data={"sequence_length": 64}), folder=tmp_path / "pair")
    assert losses_of(hdf5) == losses_of(pair)


def test_microbatches_do_not_change_the_losses(markov, tmp_path):
    losses = [
        losses_of(run(recipe_of(markov.rows, batch={"micro_rows": rows}), folder=tmp_path / str(rows)))
        for rows in (1, 3, 8)
    ]
    assert np.allclose(losses[0], losses[2], rtol=1e-6)
    assert np.allclose(losses[1], losses[2], rtol=1e-6)


def test_one_batch_can_be_overfitted(markov, tmp_path):
    recipe = recipe_of(markov.rows, steps=80, schedule={"decay_samples": 6400, "warmup_samples": 0})
    result = run(recipe, folder=tmp_path / "run", overfit_one_batch=True)
    assert result.final_loss < 0.6 * markov.oracle


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("precision", {"compute": "bfloat16"}),
        ("precision", {"deterministic": True}),
        ("optimizer", {"name": "muon"}),
        ("optimizer", {"name": "adamw_8bit"}),
        ("model", {"activation_checkpointing": True}),
        ("model", {"stable_embedding": True}),
        ("model", {"shared_embedding": True}),
        ("model", {"lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]}}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_options_train_and_resume_bit_for_bit(markov, tmp_path, section, options):
    def recipe(steps):
        return recipe_of(markov.rows, steps=steps, checkpoint={"every": 3}, **{section: options})

    expected = losses_of(run(recipe(6), folder=tmp_path / "whole"))
    assert expected[-1] < expected[0]
    run(recipe(6), folder=tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step-00000006")
    shutil.rmtree(tmp_path / "parts" / "export", ignore_errors=True)
    assert losses_of(run(recipe(6), folder=tmp_path / "parts")) == expected


def test_activation_checkpointing_changes_no_loss(markov, tmp_path):
    plain = losses_of(run(recipe_of(markov.rows, "bloom"), folder=tmp_path / "a"))
    sparing = recipe_of(markov.rows, "bloom", model={"activation_checkpointing": True})
    assert losses_of(run(sparing, folder=tmp_path / "b")) == plain


def test_float16_halves_its_scale_until_gradients_are_finite(markov, tmp_path):
    recipe = recipe_of(
        markov.rows,
        steps=12,
        precision={"compute": "float16", "scale_power": 28, "scale_hysteresis": 1, "scale_window": 4},
    )
    result = run(recipe, folder=tmp_path / "run")
    scales = [line["loss_scale"] for line in result.log]
    skipped = [line.get("skipped") for line in result.log]
    assert skipped[0] == "overflow"
    assert scales[1] < scales[0]
    assert None in skipped


# --- resume ----------------------------------------------------------------------------------------------------------


def test_a_run_resumes_bit_for_bit_three_times_in_a_row(whole, tmp_path):
    recipe, folder, result = whole
    shutil.copytree(folder, tmp_path / "run")
    for last in (4, 8, 4):
        for step, path in list_checkpoints(tmp_path / "run" / "checkpoints").items():
            if step > last:
                shutil.rmtree(path)
        again = run(recipe, folder=tmp_path / "run")
        assert losses_of(again) == losses_of(result)
        assert [line["step"] for line in again.log] == list(range(1, 13))
    assert str(compare(folder, tmp_path / "run")) == "12 steps, all losses equal"


def test_a_finished_run_does_nothing(whole):
    recipe, folder, result = whole
    before = {path: path.stat().st_mtime_ns for path in (folder / "checkpoints").rglob("*")}
    again = run(recipe, folder=folder)
    assert again.log == result.log
    assert {path: path.stat().st_mtime_ns for path in (folder / "checkpoints").rglob("*")} == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_saves_and_ends_the_run(whole, tmp_path, name):
    recipe, _, result = whole

    def ask(line):
        if line["step"] == 6:
            os.kill(os.getpid(), getattr(signal, name))

    ended = run(recipe, folder=tmp_path / "run", on_line=ask)
    assert (ended.ended_by, ended.steps) == (name, 6)
    assert 6 in list_checkpoints(tmp_path / "run" / "checkpoints")
    assert f"stopped by {name}" in str(ended)
    assert losses_of(run(recipe, folder=tmp_path / "run")) == losses_of(result)


def test_another_recipe_or_other_data_are_refused_with_the_difference(whole, markov, tmp_path):
    recipe, folder, _ = whole
    other = {**recipe, "optimizer": {"learning_rate": 1e-3}}
    with pytest.raises(MismatchError, match=r"optimizer.learning_rate: expected 0.003, found 0.001"):
        run(other, folder=folder)
    with pytest.raises(MismatchError, match=r"data.sources"):
        run({**recipe, "data": {"sources": {markov.evaluation: 1.0}}}, folder=folder)
    # What changes nothing that was computed is free.
    run({**recipe, "log": {"every": 2}, "batch": {"rows": 8, "micro_rows": 4}}, folder=folder)
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected an empty folder or a run, found other files"):
        run(recipe, folder=tmp_path)


@pytest.mark.parametrize("damage", ["state", "cut", "missing"])
def test_a_damaged_checkpoint_is_an_error_that_names_the_last_good_one(whole, tmp_path, damage):
    recipe, folder, _ = whole
    shutil.copytree(folder, tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step-00000012"
    state, shard = newest / "bloomdata_state.json", next(newest.glob("*.distcp"))
    if damage == "state":
        state.write_text("{")
    elif damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    else:
        shard.unlink()
    with pytest.raises(CorruptDataError, match=r"the last good one is .*step-00000008: remove step-00000012"):
        run(recipe, folder=tmp_path / "run")


def test_a_checkpoint_that_is_half_written_is_not_seen(whole, tmp_path):
    recipe, folder, result = whole
    shutil.copytree(folder, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "step-00000012").rename(checkpoints / ".writing-00000012")
    assert losses_of(run(recipe, folder=tmp_path / "run")) == losses_of(result)
    assert not (checkpoints / ".writing-00000012").exists()


def test_old_checkpoints_go_but_for_the_ones_to_keep(markov, tmp_path):
    recipe = recipe_of(markov.rows, steps=12, checkpoint={"every": 1, "keep": 2, "keep_every": 5})
    run(recipe, folder=tmp_path / "run")
    assert list(list_checkpoints(tmp_path / "run" / "checkpoints")) == [5, 10, 11, 12]


def test_checkpoints_written_beside_training_resume_alike(whole, markov, tmp_path):
    _, _, result = whole
    recipe = recipe_of(markov.rows, steps=12, checkpoint={"every": 4, "keep": 0, "asynchronous": True})
    assert losses_of(run(recipe, folder=tmp_path / "run")) == losses_of(result)
    checkpoints = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert list(checkpoints) == [4, 8, 12]
    for step in (8, 12):
        shutil.rmtree(checkpoints[step])
    assert losses_of(run(recipe, folder=tmp_path / "run")) == losses_of(result)


def test_a_full_disk_does_not_stop_training_until_it_lasts(markov, tmp_path, monkeypatch):
    from bloomdata.train.engines.torch_engine import TorchEngine

    save, failing = TorchEngine.save, [True]

    def full(self, folder, *, asynchronous):
        if failing[0]:
            folder.mkdir(parents=True)
            (folder / "half.distcp").write_bytes(b"x")
            raise OSError(28, "No space left on device")
        return save(self, folder, asynchronous=asynchronous)

    monkeypatch.setattr(TorchEngine, "save", full)
    recipe = recipe_of(markov.rows, steps=6, checkpoint={"every": 2, "max_failures": 3})
    with pytest.raises(OSError, match="3 checkpoints in a row could not be written"):
        run(recipe, folder=tmp_path / "bad")
    lines = read_log(tmp_path / "bad" / "log.jsonl")
    events = [line["event"] for line in lines if "event" in line]
    assert len(events) == 3
    assert "No space left on device" in events[0]
    assert list((tmp_path / "bad" / "checkpoints").iterdir()) == []

    def mend(line):
        if "event" in line:
            failing[0] = False

    run(recipe, folder=tmp_path / "good", on_line=mend)
    assert list(list_checkpoints(tmp_path / "good" / "checkpoints")) == [4, 6]


# --- guards ----------------------------------------------------------------------------------------------------------


def test_steps_without_a_finite_loss_are_left_out_and_then_end_the_run(markov, tmp_path, monkeypatch):
    from bloomdata.train import loop
    from bloomdata.train.loss import token_losses

    calls = []

    def poisoned(logits, batch):
        calls.append(1)
        losses = token_losses(logits, batch)
        return losses * float("nan") if len(calls) in {3, 5, 6, 7} else losses

    monkeypatch.setattr(loop, "token_losses", poisoned)
    recipe = recipe_of(markov.rows, steps=10, guards={"max_non_finite": 2})
    with pytest.raises(BloomdataError, match=r"step 7: loss nan, .*: not finite; samples \[\d+, "):
        run(recipe, folder=tmp_path / "run")
    lines = read_log(tmp_path / "run" / "log.jsonl")
    assert ["skipped" in line for line in lines] == [False, False, True, False, True, True, True]
    assert len(lines[2]["sample_ids"]) == 8
    assert 7 in list_checkpoints(tmp_path / "run" / "checkpoints")


@pytest.mark.parametrize("reaction", ["stop", "skip"])
def test_a_spike_is_left_out_or_ends_the_run(markov, tmp_path, monkeypatch, reaction):
    from bloomdata.train import loop
    from bloomdata.train.loss import token_losses

    calls = []

    def spiking(logits, batch):
        calls.append(1)
        return token_losses(logits, batch) * (3 if len(calls) == 9 else 1)

    monkeypatch.setattr(loop, "token_losses", spiking)
    guards = {"spike_deviations": 8.0, "spike_window": 6, "on_spike": reaction}
    recipe = recipe_of(markov.rows, steps=12, guards=guards)
    if reaction == "stop":
        with pytest.raises(BloomdataError, match=r"step 9: loss .* a spike; samples"):
            run(recipe, folder=tmp_path / "run")
        return
    result = run(recipe, folder=tmp_path / "run")
    assert [line["step"] for line in result.log if "skipped" in line] == [9]


def test_skipped_ranges_are_not_seen(markov, tmp_path):
    plain = run(recipe_of(markov.rows, steps=4), folder=tmp_path / "a")
    recipe = recipe_of(markov.rows, steps=2, data={"skip": [[8, 24]]})
    skipping = run(recipe, folder=tmp_path / "b")
    assert losses_of(skipping)[0] == losses_of(plain)[0]
    assert losses_of(skipping)[1] != losses_of(plain)[1]


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"model": {"sizes": {"vocab_size": 100}}},
            "expected a vocabulary of at least 259, that of the data's tokenizer, found 100",
        ),
        (
            {"model": {"sizes": {"max_position_embeddings": 32}}},
            "expected rows of at most 32 tokens, the model's positions, found 64",
        ),
        ({"model": {"sizes": {"hiden_size": 64}}}, "model.sizes: 'hiden_size' is not a size of llama"),
        ({"model": {"family": "lama"}}, "model.family: expected a model type of transformers, found 'lama'"),
        ({"model": {"family": None, "sizes": {}}}, "model: expected path or family, found neither"),
        (
            {"model": {"family": None, "sizes": {}, "path": "nowhere"}},
            "expected a folder with config.json, found none in nowhere",
        ),
        ({"stage": {"main": {"samples": 5}}}, "batch.rows: expected at most 5, the stage's samples, found 8"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(markov, tmp_path, sections, message):
    with pytest.raises(ConfigError, match=message):
        run(recipe_of(markov.rows, **sections), folder=tmp_path / "run")


def test_rows_without_targets_are_refused(tmp_path):
    ids = np.random.default_rng(0).integers(3, 60, (40, LENGTH))
    recipe = recipe_of(str(write_rows(tmp_path / "prompts.hdf5", ids, np.zeros_like(ids))), steps=1)
    recipe["model"]["sizes"] = {**recipe["model"]["sizes"], "vocab_size": 64}
    with pytest.raises(ConfigError, match="expected tokens to train on, found none in"):
        run(recipe, folder=tmp_path / "run")
    recipe["data"]["prompt_loss_weight"] = 0.5
    assert run(recipe, folder=tmp_path / "run").final_loss > 0


def test_rows_of_another_length_are_refused(markov, tmp_path):
    with pytest.raises(ConfigError, match=r"expected 64, the length of the rows in .*, found 128"):
        run(recipe_of(markov.rows, data={"sequence_length": 128}), folder=tmp_path / "run")


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_documents_can_be_joined_as_upstream_does(markov, tmp_path, family):
    """A row as one document: the loss is that of a plain call of the model on the row."""
    joined = {"separate_documents": False, "sequence_length": 48, "separator": [10]}
    recipe = recipe_of(markov.documents, family, steps=1, data=joined, batch={"rows": 2})
    recipe["data"]["shuffle"] = False
    loss = run(recipe, folder=tmp_path / "run").final_loss
    (stage,) = read_recipe(recipe)
    model = build_model(stage.model, vocab_size=259)
    rows = bloomdata.TokenRows(bloomdata.open(markov.documents), 48, separator=[10])
    ids = torch.from_numpy(rows.read_batch([0, 1])["input_ids"])
    assert (ids == 10).any()
    theirs = model(input_ids=ids, labels=ids, use_cache=False).loss.item()
    assert loss == pytest.approx(theirs, abs=1e-5)


def test_documents_need_a_length(markov, tmp_path):
    with pytest.raises(ConfigError, match=r"data.sequence_length: expected a number, since"):
        run(recipe_of(markov.documents), folder=tmp_path / "run")


# --- several sources, stages, cooldown -------------------------------------------------------------------------------


def test_losses_of_sources_add_up(markov, tmp_path):
    recipe = recipe_of(markov.rows, steps=3)
    recipe["data"] = {"sources": {markov.rows: 0.75, markov.evaluation: 0.25}}
    for line in run(recipe, folder=tmp_path / "run").log:
        losses = list(line["sources"].values())
        assert min(losses) <= line["loss"] <= max(losses)
        assert line["tokens_without_padding"] == 8 * 64


def test_a_stage_begins_with_the_weights_of_the_one_before(markov, tmp_path):
    recipe = recipe_of(markov.rows, steps=10)
    recipe["stage"] = {"first": {"steps": 10}, "second": {"steps": 2, "optimizer": {"learning_rate": 1e-4}}}
    results = list(bloomdata.train.stages(recipe, folder=tmp_path / "run"))
    assert [result.stage for result in results] == ["first", "second"]
    first, second = (losses_of(result) for result in results)
    assert second[0] < first[0] - 0.5
    assert (tmp_path / "run" / "second" / "config.json").exists()
    with pytest.raises(ConfigError, match="expected a checkpoint of the stage before"):
        run(recipe, folder=tmp_path / "other", stage="second")


def test_a_cooldown_starts_at_a_checkpoint_and_leaves_the_run_alone(markov, tmp_path):
    recipe = recipe_of(
        markov.rows,
        steps=12,
        checkpoint={"every": 4, "keep": 0},
        schedule={"name": "wsd", "cooldown_samples": 32, "warmup_samples": 8, "decay_samples": 10_000},
    )
    main = run(recipe, folder=tmp_path / "run")
    cooled = run(recipe, folder=tmp_path / "run", cooldown_from=8)
    assert cooled.folder == str(tmp_path / "run" / "cooldown-00000008")
    rates = [line["learning_rate"] for line in cooled.log]
    assert [line["step"] for line in cooled.log] == [9, 10, 11, 12]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(3e-3)
    assert rates[-1] == pytest.approx(3e-3 / 4)
    assert cooled.log[0]["loss"] == next(line["loss"] for line in main.log if line["step"] == 9)
    with pytest.raises(ConfigError, match=r"cooldown_from: expected one of the checkpoints \[4, 8, 12\]"):
        run(recipe, folder=tmp_path / "run", cooldown_from=5)


def test_ramped_batches_see_every_sample_once(markov, tmp_path, monkeypatch):
    from bloomdata.train.data import Batches

    seen = []
    read = Batches.next

    def recording(self, samples):
        batch = read(self, samples)
        seen.append(self.sample_ids())
        return batch

    monkeypatch.setattr(Batches, "next", recording)
    batch = {"rows": 8, "ramp_start": 2, "ramp_increment": 2, "ramp_samples": 24}
    recipe = recipe_of(markov.rows, batch=batch, checkpoint={"every": 3, "keep": 0})
    recipe["stage"] = {"main": {"samples": 60}}
    result = run(recipe, folder=tmp_path / "run")
    sizes = [len(ids) for ids in seen]
    assert sizes[0] == 2
    assert sizes == sorted(sizes)
    assert sizes[-1] == 8
    everything = [sample for ids in seen for sample in ids]
    assert len(set(everything)) == len(everything) == result.log[-1]["samples"]
    # A resume within the ramp-up takes the same samples.
    for step, path in list_checkpoints(Path(result.folder) / "checkpoints").items():
        if step > 3:
            shutil.rmtree(path)
    first, seen[:] = list(seen), []
    assert losses_of(run(recipe, folder=tmp_path / "run")) == losses_of(result)
    assert seen == first[3:]


def test_a_signal_ends_an_evaluation_too(markov, tmp_path, monkeypatch):
    from bloomdata.train import evaluation

    passes = []
    losses = evaluation.token_loss

    def counting(*arguments):
        passes.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        return losses(*arguments)

    monkeypatch.setattr(evaluation, "token_loss", counting)
    recipe = recipe_of(markov.rows, steps=2, data={"evaluation": {"all": markov.rows}})
    ended = run(recipe, folder=tmp_path / "run")
    assert (ended.ended_by, ended.steps, len(passes)) == ("SIGTERM", 2, 1)
    assert not any("evaluation" in line for line in ended.log)
