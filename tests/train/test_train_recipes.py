"""Shipped recipes for training: they say what the upstream projects do, and a tiny model trains by each of them."""

import itertools
import math
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from recipes import SIZES, losses_of

from bloomdata.train import run, stages
from bloomdata.train.building import build_model
from bloomdata.train.costs import num_parameters
from bloomdata.train.recipe import read_recipe
from bloomdata.train.schedules import batch_rows, learning_rate

pytestmark = pytest.mark.train

FOLDER = Path(__file__).parents[2] / "recipes"
PATHS = {path.stem: path for path in sorted(FOLDER.glob("*.toml")) if "[stage." in path.read_text("utf-8")}
# Of tiny models: what of the shipped sizes is not a size.
KEPT = ("hidden_dropout", "attention_dropout", "initializer_range", "rms_norm_eps")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the scripts and configurations of a project say; rows and samples over all devices."""

    family: str
    parameters: int | None
    stages: dict[str, tuple[str, int]]
    rate: float
    rows: int
    schedule: str = "cosine"
    minimum: float = 0.0
    warmup: int = 0
    decay: int | None = None
    decayed: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    length: int | None = None
    sources: int = 1
    weights: float = 1.0
    prompts: float = 0.0
    compute: str = "bfloat16"
    scale: tuple[int, int, int, float] | None = None
    ramp: tuple[int, int, int] = (0, 0, 0)
    every: int = 0
    seed: int = 0
    # Whether the data are Megatron files.
    documents: bool = False
    stable: bool = False
    shared: bool | None = None


def bloom(hidden, layers):
    """Parameters of BLOOM, summed up matrix by matrix."""
    block = 4 * hidden**2 + 4 * hidden + 8 * hidden**2 + 5 * hidden + 4 * hidden
    return 250_880 * hidden + 2 * hidden + layers * block + 2 * hidden


OIG = {"sources": 26, "weights": 0.2 + 0.5 + 0.2 + 0.01 + 6 * 0.1 + 2 * 0.05 + 12 * 0.01 + 0.1 + 0.01}
CHAT = {"schedule": "linear", "decayed": 0.01, "betas": (0.9, 0.999), "eps": 1e-6, "prompts": 1.0, "seed": 42}
TR11 = {"warmup": 183_105, "decay": 200_000_000, "minimum": 6e-6, "length": 2048, "seed": 42, "documents": True}
ALPACA = {"family": "bloom", "stages": {"train": ("epochs", 10)}, "rate": 1e-6, "minimum": 1e-7, "length": 2048}
OPEN = {"family": "llama", "rate": 2e-4}

FACTS = {
    "smoke": Facts(
        family="llama",
        parameters=None,
        stages={"smoke": ("steps", 20)},
        rate=3e-3,
        rows=8,
        minimum=3e-4,
        warmup=16,
        length=None,
        compute="float32",
        shared=True,
    ),
    "bloomchat-train": Facts(
        family="bloom",
        parameters=176_247_271_424,
        stages={"oig": ("epochs", 1), "oasst1-dolly": ("epochs", 3)},
        rate=1e-5,
        rows=8 * 16,
        schedule="constant",
    ),
    "openchatkit-20b": Facts(
        family="gpt_neox",
        parameters=20_554_567_680,
        stages={"finetune": ("steps", 20_000)},
        rate=1e-6,
        rows=64,
        warmup=10 * 64,
        decay=20_000 * 64,
        length=2048,
        every=100,
        **CHAT,
        **OIG,
    ),
    "openchatkit-7b": Facts(
        family="gpt_neox",
        parameters=6_857_302_016,
        stages={"finetune": ("steps", 20_000)},
        rate=1e-5,
        rows=32 * 2,
        warmup=10 * 32 * 2,
        decay=20_000 * 32 * 2,
        length=2048,
        compute="float16",
        scale=(15, 1000, 2, 1.0),
        every=100,
        **CHAT,
        **OIG,
    ),
    "openchatkit-3b": Facts(
        family="gpt_neox",
        parameters=2_775_864_320,
        stages={"finetune": ("steps", 10)},
        rate=1e-5,
        rows=32,
        decay=10 * 32,
        length=2048,
        compute="float16",
        scale=(15, 1000, 2, 1.0),
        every=10,
        **CHAT,
    ),
    "openchatkit-llama-7b-32k": Facts(
        family="llama",
        parameters=6_738_415_616,
        stages={"finetune": ("steps", 10)},
        rate=2e-5,
        rows=4,
        decay=10 * 4,
        length=32_768,
        every=10,
        **CHAT,
    ),
    # Steps of Open-Llama are microbatches of 2 rows on each of 8 processes.
    "open-llama-pretrain-v1": Facts(
        parameters=6_885_879_808,
        stages={"pretrain": ("samples", 1_000_000 * 16)},
        rows=2 * 8 * 12,
        warmup=2000 * 16,
        length=1024,
        every=800,
        documents=True,
        stable=True,
        shared=True,
        **OPEN,
    ),
    "open-llama-pretrain-v2": Facts(
        parameters=7_039_569_920,
        stages={"pretrain": ("samples", 500_000 * 16)},
        rows=2 * 8 * 12,
        warmup=2000 * 16,
        length=2048,
        every=1000,
        documents=True,
        shared=False,
        **OPEN,
    ),
    "open-llama-instruct-v1": Facts(
        parameters=6_885_879_808,
        stages={"instruct": ("steps", 40_000)},
        rows=2 * 8,
        warmup=100 * 16,
        length=1024,
        prompts=1.0,
        every=1000,
        stable=True,
        shared=True,
        **OPEN,
    ),
    "open-llama-instruct-v2": Facts(
        parameters=7_039_569_920,
        stages={"instruct": ("steps", 20_000)},
        rows=2 * 8,
        warmup=500 * 16,
        length=2048,
        prompts=1.0,
        every=1000,
        shared=False,
        **OPEN,
    ),
    "bloom-7b1": Facts(
        family="bloom",
        parameters=7_069_016_064,
        stages={"pretrain": ("samples", 220_000_000)},
        rate=1.2e-4,
        rows=512,
        compute="float16",
        scale=(12, 500, 2, 1.0),
        ramp=(192, 16, 9_765_625),
        every=250,
        **TR11,
    ),
    "bloom-550m": Facts(
        family="bloom",
        parameters=559_214_592,
        stages={"pretrain": ("steps", 5)},
        rate=3e-4,
        rows=16,
        minimum=6e-6,
        decay=320_000 * 16,
        length=1024,
        compute="float16",
        scale=(12, 500, 2, 1.0),
        every=250,
        seed=42,
        documents=True,
    ),
    "bloom-176b": Facts(
        family="bloom",
        parameters=176_247_271_424,
        stages={"pretrain": ("samples", 220_000_000)},
        rate=6e-5,
        rows=2048,
        ramp=(192, 16, 9_765_625),
        every=100,
        **TR11,
    ),
    # Rows are micro_batch_num x batch_size x data_parallel.
    "mindformers-bloom-560m": Facts(
        parameters=559_214_592,
        rows=1 * 1 * 1,
        warmup=1000 * 1,
        decay=4000 * 1,
        compute="float16",
        scale=(32, 1000, 1, 1.0),
        every=1000,
        **ALPACA,
    ),
    "mindformers-bloom-7b1": Facts(
        parameters=7_069_016_064,
        rows=2 * 4 * 1,
        warmup=1000 * 8,
        decay=4000 * 8,
        compute="float16",
        scale=(32, 1000, 1, 1.0),
        every=1000,
        **ALPACA,
    ),
    "mindformers-bloom-65b": Facts(
        parameters=bloom(8192, 80),
        rows=48 * 1 * 2,
        warmup=1000 * 96,
        decay=4000 * 96,
        every=1000,
        **ALPACA,
    ),
    "mindformers-bloom-176b": Facts(
        parameters=176_247_271_424,
        rows=48 * 1 * 1,
        warmup=1000 * 48,
        decay=4000 * 48,
        every=1000,
        **ALPACA,
    ),
}


def test_every_recipe_for_training_is_in_the_table():
    assert sorted(PATHS) == sorted(FACTS)


# --- what they say ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FACTS)
def test_a_recipe_says_what_its_project_does(name):
    facts, plan = FACTS[name], read_recipe(PATHS[name])
    assert {stage.name: length_of(stage) for stage in plan} == facts.stages
    for stage in plan:
        optimizer, schedule, batch, precision = stage.optimizer, stage.schedule, stage.batch, stage.precision
        assert (optimizer.name, optimizer.learning_rate, optimizer.clip_norm) == ("adamw", facts.rate, 1.0)
        assert (tuple(optimizer.betas), optimizer.eps) == (facts.betas, facts.eps)
        assert optimizer.weight_decay == facts.decayed
        assert (schedule.name, schedule.min_learning_rate) == (facts.schedule, facts.minimum)
        assert (schedule.warmup_samples, schedule.decay_samples) == (facts.warmup, facts.decay)
        assert batch.rows == facts.rows
        assert (batch.ramp_start, batch.ramp_increment, batch.ramp_samples) == facts.ramp
        assert stage.data.sequence_length == facts.length
        assert stage.data.by == "samples"
        assert len(stage.data.sources) == facts.sources
        assert math.fsum(stage.data.sources.values()) == pytest.approx(facts.weights)
        assert stage.data.prompt_loss_weight == facts.prompts
        assert (stage.model.seed, stage.data.seed) == (facts.seed, facts.seed)
        assert (stage.model.dtype, precision.compute) == ("float32", facts.compute)
        if facts.scale is not None:
            scale = (precision.scale_power, precision.scale_window, precision.scale_hysteresis, precision.scale_min)
            assert scale == facts.scale
        assert (stage.model.stable_embedding, stage.model.shared_embedding) == (facts.stable, facts.shared)
        assert (stage.model.path is None) == (stage.model.family is not None)
        if facts.every:
            assert stage.checkpoint.every == facts.every


def length_of(stage):
    """The length of a stage, as the recipe has it."""
    lengths = {"steps": stage.steps, "epochs": stage.epochs, "samples": stage.samples}
    ((kind, length),) = [(kind, length) for kind, length in lengths.items() if length is not None]
    return kind, length


@pytest.mark.parametrize("name", ["bloom-7b1", "bloom-176b"])
def test_the_rate_and_the_batch_of_bloom_follow_samples(name):
    facts, (stage,) = FACTS[name], read_recipe(PATHS[name])

    def rate(samples):
        return learning_rate(stage.schedule, stage.optimizer.learning_rate, samples, stage.samples)

    assert rate(183_105) == facts.rate
    # Halfway between warm-up and the end of the decay.
    assert rate((200_000_000 + 183_105) // 2) == pytest.approx((facts.rate + 6e-6) / 2, rel=1e-6)
    assert rate(200_000_000) == rate(219_999_999) == pytest.approx(6e-6)
    sizes = [batch_rows(stage.batch, samples) for samples in range(0, 10_000_000, 1000)]
    assert sorted(set(sizes)) == sizes[:1] + list(range(208, facts.rows + 1, 16))
    assert (sizes[0], sizes == sorted(sizes)) == (192, True)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("openchatkit-20b", {"p3": 0.5, "ni": 0.2, "chip2": 0.01, "multi_news": 0.05, "abstract_infill": 0.1}),
        ("openchatkit-7b", {"p3": 0.5, "flan": 0.2, "soda_dialog": 0.1, "openai_summarize_tldr": 0.05, "cuad": 0.01}),
    ],
)
def test_a_variable_moves_all_parts_of_oig(name, weights):
    (stage,) = read_recipe(PATHS[name], variables={"data": "elsewhere"})
    assert weights.items() <= {path.removeprefix("elsewhere/"): one for path, one in stage.data.sources.items()}.items()
    assert len(set(stage.data.sources)) == 26


@pytest.mark.parametrize("name", [name for name, path in PATHS.items() if "\nfamily" in path.read_text("utf-8")])
def test_random_weights_have_the_published_number_of_parameters(name):
    (stage,) = read_recipe(PATHS[name])
    found = num_parameters(build_model(stage.model, vocab_size=259, weights=False))
    assert found == (FACTS[name].parameters or found)


@pytest.mark.parametrize("name", [name for name in FACTS if name != "smoke"])
def test_the_header_names_the_memory_and_a_command_that_fits(name):
    text = PATHS[name].read_text("utf-8")
    head = list(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    words = " ".join(line.removeprefix("#").strip() for line in head)
    assert max(map(len, text.splitlines())) <= 120
    assert "ot run at full size here" in words
    total = 16 * FACTS[name].parameters
    assert f"16 bytes for each of {FACTS[name].parameters:,} parameters: {gigabytes(total)}" in words

    lines = [line.removeprefix("#   ").strip().removesuffix("\\") for line in head if line.startswith("#   ")]
    command = shlex.split("".join(lines))
    given = {word: value for word, value in itertools.pairwise(command) if word.startswith("--") and word != "--set"}
    variables = dict(value.split("=") for word, value in itertools.pairwise(command) if word == "--set")
    assert f"recipes/{name}.toml" in command
    ranks = int(given.get("--nnodes", 1)) * int(given.get("--nproc-per-node", 1))
    for stage in read_recipe(PATHS[name], variables=variables):
        batch = stage.batch
        assert [rows % ranks for rows in (batch.rows, batch.ramp_start, batch.ramp_increment)] == [0, 0, 0]
        if ranks > 1:
            assert (given["--engine"], stage.precision.compute) == ("fsdp2", "bfloat16")
            assert f"{gigabytes(total / ranks)} on each" in words
    if total // 4 > 80e9:
        assert f"holds all of the model in float32 in memory of the CPU: {gigabytes(total / 4)}" in words


def gigabytes(size):
    """As headers have it."""
    return f"{size / 1e9:,.0f} GB"


# --- what they do ----------------------------------------------------------------------------------------------------


def tiny(name, markov, folder, *, lora=False):
    """The recipe for a tiny model of its family and small rows; all else as shipped.

    Every source is a link to one packed folder.
    """
    text, facts = PATHS[name].read_text("utf-8"), FACTS[name]
    if lora:
        text = re.sub(r"(?m)^# (?=lora = )", "", text)
    recipe = tomllib.loads(text)
    variables = recipe["variables"]
    variables |= {key: str(folder / key) for key in variables if key != "compute"}
    for source in itertools.chain.from_iterable(one.data.sources for one in read_recipe(recipe)):
        Path(source).parent.mkdir(parents=True, exist_ok=True)
        Path(source).symlink_to(markov.documents if facts.documents else markov.rows)

    model = recipe["model"]
    model.pop("path", None)
    kept = {key: value for key, value in model.get("sizes", {}).items() if key in KEPT}
    model |= {"family": facts.family, "sizes": SIZES[facts.family] | kept}
    recipe["batch"]["rows"] = min(8, facts.rows)
    if facts.ramp[0]:
        recipe["batch"] |= {"ramp_start": 2, "ramp_increment": 2, "ramp_samples": 12}
    if facts.length is not None:
        recipe["data"]["sequence_length"] = 64
    recipe["log"] = {**recipe.get("log", {}), "every": 1}
    # A loss scale of 2^32 must fall first.
    steps = 6 if facts.ramp[0] else 20 if facts.scale is not None and facts.scale[0] == 32 else 3
    for stage in recipe["stage"].values():
        for kind in ("samples", "epochs"):
            stage.pop(kind, None)
        stage["steps"] = steps
    return recipe


@pytest.mark.parametrize(
    ("name", "lora"), [*((name, False) for name in FACTS), ("openchatkit-3b", True), ("open-llama-instruct-v2", True)]
)
def test_a_tiny_model_trains_by_the_recipe(name, lora, markov, tmp_path):
    if lora:
        pytest.importorskip("peft")
    facts, recipe = FACTS[name], tiny(name, markov, tmp_path, lora=lora)
    assert ("lora" in recipe["model"]) == lora
    results = list(stages(recipe, folder=tmp_path / "run"))
    assert [result.stage for result in results] == list(facts.stages)
    for result in results:
        lines = [line for line in result.log if "loss" in line]
        assert len(lines) == recipe["stage"][result.stage]["steps"] == result.steps
        assert all(math.isfinite(line["loss"]) for line in lines)
        assert lines[0]["learning_rate"] == pytest.approx(facts.rate / max(1, facts.warmup))
        trained = [line for line in lines if "skipped" not in line]
        assert trained[-1] is lines[-1]
        assert all(0 < line["gradient_norm"] < math.inf for line in trained)
        if facts.scale is None:
            assert trained == lines
        else:
            overflows = {line["skipped"] for line in lines if "skipped" in line}
            assert overflows <= {"overflow"}
        if facts.ramp[0]:
            assert [line["tokens"] // 64 for line in lines] == [2, 2, 4, 6, 8, 8]
        if facts.sources > 1:
            assert len(set(itertools.chain.from_iterable(line["sources"] for line in lines))) > 5
        assert (Path(result.export) / "config.json").exists()


def test_the_smoke_test_learns_as_it_is_shipped(markov, tmp_path):
    losses = losses_of(run(PATHS["smoke"], folder=tmp_path / "run", variables={"data": markov.rows}))
    assert len(losses) == 20
    assert losses[-1] < losses[0] - 0.5


def test_instructions_are_tuned_from_the_weights_that_pretraining_exported(markov, tmp_path):
    from safetensors.torch import load_file

    pretrain = tiny("open-llama-pretrain-v1", markov, tmp_path)
    pretrain["schedule"]["warmup_samples"] = 0
    exported = run(pretrain, folder=tmp_path / "run").export
    (stage,) = read_recipe(PATHS["open-llama-instruct-v1"], variables={"model": exported})
    norm = build_model(stage.model).get_input_embeddings().embed_norm
    expected = load_file(Path(exported) / "model.safetensors")
    assert torch.equal(norm.weight, expected["model.embed_tokens.embed_norm.weight"])
