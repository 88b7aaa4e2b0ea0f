"""Recipes for training, schedules and guards: what needs no torch."""

import dataclasses
import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomdata.errors import ConfigError
from bloomdata.train.comparing import compare
from bloomdata.train.guards import Guard, LossScaler, StopRequest
from bloomdata.train.journal import read_log, sparkline
from bloomdata.train.options import BatchOptions, GuardOptions, PrecisionOptions, ScheduleOptions
from bloomdata.train.recipe import read_recipe
from bloomdata.train.schedules import batch_rows, learning_rate, samples_of, steps_of

LEAST = {"model": {"family": "llama"}, "data": {"sources": {"packed": 1.0}}, "stage": {"main": {"steps": 10}}}


def changed(section, **options):
    return {**LEAST, section: {**LEAST.get(section, {}), **options}}


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_a_recipe_is_read_with_variables_and_stages(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        """
[variables]
rows = "packed"
[model]
path = "{rows}/model"
[data]
sources = { "{rows}/a" = 0.7, "{rows}/b" = 0.3 }
[optimizer]
learning_rate = 1e-5
[stage.first]
epochs = 1
[stage.second]
steps = 7
[stage.second.optimizer]
weight_decay = 0.0
""",
        "utf-8",
    )
    first, second = read_recipe(path, variables={"rows": "other"})
    assert first.model.path == "other/model"
    assert first.data.sources == {"other/a": 0.7, "other/b": 0.3}
    assert (first.epochs, first.steps, second.steps) == (1, None, 7)
    assert (first.optimizer.weight_decay, second.optimizer.weight_decay) == (0.1, 0.0)
    assert second.optimizer.learning_rate == 1e-5
    assert json.loads(json.dumps(first.to_json()))["name"] == "first"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({**LEAST, "modell": {}}, r"recipe: unknown key 'modell'; did you mean 'model'\?"),
        (
            changed("optimizer", learning_rat=1),
            r"optimizer: unknown key 'learning_rat'; did you mean 'learning_rate'\?",
        ),
        (changed("optimizer", learning_rate="fast"), r"optimizer.learning_rate: expected float, found 'fast'"),
        (
            changed("optimizer", name="adam"),
            r"optimizer.name: expected one of 'adamw', 'adamw_8bit', 'muon', found 'adam'",
        ),
        (changed("optimizer", betas=[0.9]), r"optimizer.betas: expected two numbers"),
        (changed("batch", rows=True), r"batch.rows: expected int, found True"),
        (changed("batch", rows=0), r"batch: expected 1 row or more"),
        (
            changed("batch", ramp_start=3, ramp_increment=2, ramp_samples=9),
            r"ramp_increment to divide rows - ramp_start = 5",
        ),
        (changed("schedule", name="wsd"), r"schedule: expected cooldown_samples with 'wsd' only"),
        (changed("schedule", min_learning_rate=1.0), r"schedule.min_learning_rate: expected 0 to learning_rate 0.0001"),
        (changed("data", skip=[[5, 3]]), r"data.skip: expected \[start, end\] with 0 <= start <= end, found \[5, 3\]"),
        (changed("data", sources={}), r"data.sources: expected at least one packed folder, found none"),
        (changed("model", path="x"), r"model: expected path or family, found both"),
        (changed("log", trackers=["mlflow"]), r"log.trackers: expected tensorboard, wandb, trackio, found 'mlflow'"),
        ({**LEAST, "stage": {}}, r"expected at least one \[stage.NAME\]"),
        ({**LEAST, "stage": {"a": {}}}, r"stage.a: expected one of steps, epochs and samples, found none"),
        ({**LEAST, "stage": {"a": {"steps": 1, "epochs": 1}}}, r"found \['epochs', 'steps'\]"),
        ({**LEAST, "stage": {"a": {"steps": -1}}}, r"stage.a: steps: expected a number above 0, found -1"),
        ({**LEAST, "stage": {"a": {"steps": 1.5}}}, r"stage.a: steps: expected a number above 0, found 1.5"),
        ({**LEAST, "stage": {"a": 3}}, r"stage.a: expected a table, found 3"),
        ({**LEAST, "model": 3}, r"model: expected a table, found 3"),
    ],
)
def test_mistakes_are_named_with_their_key(recipe, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe)


def test_a_recipe_that_is_no_toml_names_its_file(tmp_path):
    (tmp_path / "a.toml").write_text("[model", "utf-8")
    with pytest.raises(ConfigError, match=r"a.toml: "):
        read_recipe(tmp_path / "a.toml")
    with pytest.raises(FileNotFoundError):
        read_recipe(tmp_path / "b.toml")
    (tmp_path / "a.toml").write_text("[variables]\nx = 'y'\n", "utf-8")
    with pytest.raises(ConfigError, match=r"variables: expected some of \['x'\], got 'z'"):
        read_recipe(tmp_path / "a.toml", variables={"z": "1"})


# --- schedules -------------------------------------------------------------------------------------------------------


def rates(options, highest=1.0, total=1000, every=100):
    return [round(learning_rate(options, highest, samples, total), 4) for samples in range(0, total + 1, every)]


def test_schedules_by_hand():
    assert rates(ScheduleOptions(name="constant")) == [1.0] * 11
    assert rates(ScheduleOptions(name="linear")) == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    cosine = rates(ScheduleOptions(name="cosine", min_learning_rate=0.1))
    assert cosine == [round(0.1 + 0.9 * (1 + math.cos(math.pi * n / 10)) / 2, 4) for n in range(11)]
    root = rates(ScheduleOptions(name="inverse_sqrt", warmup_samples=100))
    assert root[1:3] == [round(math.sqrt(100 / 101), 4), round(math.sqrt(100 / 201), 4)]
    wsd = rates(ScheduleOptions(name="wsd", cooldown_samples=200, warmup_samples=100))
    assert wsd[1:] == [1.0] * 8 + [0.5, 0.0]
    assert learning_rate(ScheduleOptions(name="linear", warmup_samples=10), 1.0, 0, 100) == 0.1
    assert learning_rate(ScheduleOptions(name="cosine", decay_samples=500), 1.0, 700, 1000) == 0.0


@given(
    name=st.sampled_from(["constant", "linear", "cosine", "inverse_sqrt"]),
    warmup=st.integers(0, 400),
    floor=st.floats(0, 1),
    samples=st.integers(0, 2000),
)
def test_rates_stay_between_floor_and_highest_and_only_fall_after_the_warmup(name, warmup, floor, samples):
    options = ScheduleOptions(name=name, warmup_samples=warmup, min_learning_rate=floor)
    rate = learning_rate(options, 1.0, samples, 1000)
    assert 0 <= rate <= 1
    if samples >= warmup:
        assert rate >= floor - 1e-12
        assert learning_rate(options, 1.0, samples + 1, 1000) <= rate


def megatron_rows(start, increment, ramp_samples, rows, seen):
    """`RampupBatchsizeNumMicroBatchesCalculator` of Megatron-LM, written from its description."""
    if seen > ramp_samples:
        return rows
    steps = int(seen / (ramp_samples / ((rows - start) / increment)))
    return min(start + steps * increment, rows)


@given(
    start=st.integers(1, 8),
    increment=st.integers(1, 8),
    count=st.integers(1, 8),
    ramp_samples=st.integers(1, 3000),
    samples=st.integers(0, 4000),
)
def test_the_ramp_up_is_megatrons_and_its_sums_agree(start, increment, count, ramp_samples, samples):
    rows = start + increment * count
    options = BatchOptions(rows=rows, ramp_start=start, ramp_increment=increment, ramp_samples=ramp_samples)
    assert batch_rows(options, samples) == megatron_rows(start, increment, ramp_samples, rows, samples)
    # Steps one by one.
    steps, seen = 0, 0
    while seen + batch_rows(options, seen) <= samples:
        steps, seen = steps + 1, seen + batch_rows(options, seen)
    assert steps_of(options, samples) == steps
    assert samples_of(options, steps) == seen


# --- guards ----------------------------------------------------------------------------------------------------------


def test_the_loss_scale_moves_as_megatrons_does():
    options = PrecisionOptions(compute="float16", scale_power=4, scale_window=3, scale_hysteresis=2, scale_min=2.0)
    scaler = LossScaler(options)
    seen = []
    for is_finite in [False, False, False, True, True, True, False, False, True, False, False, False, False]:
        scaler.update(is_finite=is_finite)
        seen.append(scaler.scale)
    # One overflow is tolerated, then each halves; three good steps double, and one is tolerated again.
    assert seen == [16, 8, 4, 4, 4, 8, 8, 4, 4, 2, 2, 2, 2]
    other = LossScaler(options)
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()


def test_other_precisions_have_no_scale():
    scaler = LossScaler(PrecisionOptions(compute="bfloat16"))
    scaler.update(is_finite=False)
    assert scaler.scale == 1.0


def test_undefined_losses_are_skipped_and_stop_after_some_in_a_row():
    guard = Guard(GuardOptions(max_non_finite=2))
    nan, inf = float("nan"), float("inf")
    verdicts = [guard.judge(*pair)[0] for pair in [(1, 1), (nan, 1), (1, inf), (2, 1), (nan, nan), (inf, 1), (1, nan)]]
    assert verdicts == ["step", "skip", "skip", "step", "skip", "skip", "stop"]


def test_an_overflow_is_no_fault_where_it_is_expected():
    guard = Guard(GuardOptions(max_non_finite=0))
    assert guard.judge(1.0, float("inf"), may_overflow=True) == ("skip", "overflow")
    assert guard.judge(float("nan"), 1.0, may_overflow=True)[0] == "stop"
    # A scale that cannot be lower ends a run that would skip every step for ever.
    scaler = LossScaler(PrecisionOptions(compute="float16", scale_power=1, scale_min=1.0, scale_hysteresis=1))
    assert scaler.may_overflow
    scaler.update(is_finite=False)
    assert not scaler.may_overflow
    assert guard.judge(1.0, float("inf"), may_overflow=scaler.may_overflow)[0] == "stop"


@given(st.lists(st.floats(1, 10), min_size=8, max_size=8), st.floats(0, 30))
def test_a_spike_is_above_the_median_by_deviations(losses, loss):
    guard = Guard(GuardOptions(spike_deviations=4, spike_window=8, on_spike="skip"))
    assert [guard.judge(one, 1.0)[0] for one in losses] == ["step"] * 8
    median = statistics.median(losses)
    deviation = max(1e-6, statistics.median(abs(one - median) for one in losses))
    assert guard.judge(loss, 1.0)[0] == ("skip" if loss > median + 4 * deviation else "step")


def test_signals_are_noted_and_their_handlers_restored():
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening() as stop:
        assert stop.name is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.name == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before


# --- logs ------------------------------------------------------------------------------------------------------------


def write_log(folder, losses):
    folder.mkdir()
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in losses.items()]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n" + '{"step": 9, "lo', "utf-8")


def test_runs_are_compared_by_their_losses(tmp_path):
    for name, losses in {"a": {1: 5.0, 2: 4.0, 3: 3.0}, "b": {1: 5.0, 2: 4.5, 3: 2.0, 4: 1.0}, "c": {7: 1.0}}.items():
        write_log(tmp_path / name, losses)
    assert [line["step"] for line in read_log(tmp_path / "a" / "log.jsonl")] == [1, 2, 3]
    found = compare(tmp_path / "a", tmp_path / "b")
    assert dataclasses.astuple(found) == (3, 2, 1.0, 3)
    assert compare(tmp_path / "a", tmp_path / "a").first_difference is None
    with pytest.raises(ConfigError, match="expected steps in common"):
        compare(tmp_path / "a", tmp_path / "c")
    with pytest.raises(ConfigError, match=r"nowhere: expected a run with losses in log.jsonl"):
        compare(tmp_path / "a", tmp_path / "nowhere")


def test_a_sparkline_shows_the_course():
    assert sparkline([]) == ""
    assert sparkline([1.0]) == "▁"
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert len(sparkline(list(range(1000)))) == 40


def test_variables_are_strings():
    with pytest.raises(ConfigError, match=r"recipe: \[variables\]: expected strings, found other values"):
        read_recipe({**LEAST, "variables": {"rows": 3}})
