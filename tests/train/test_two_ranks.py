"""Two processes under torchrun give the losses of one, resume each other's checkpoints, and stop together."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recipes import losses_of, recipe_of

from bloomdata.evaluation import evaluate
from bloomdata.train import run
from bloomdata.train.checkpoints import list_checkpoints

pytestmark = pytest.mark.train

HERE = Path(__file__).parent
ENGINES = ["torch", "fsdp2", *(name for name in ("accelerate", "deepspeed") if importlib.util.find_spec(name))]
FAMILIES = ["llama", "bloom"]


def torchrun(*arguments, **options):
    tests = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": "/dev/null"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, **options)


def recipe_for(markov, family="llama"):
    checkpoint = {"every": 4, "keep": 0, "export": True}
    data = {"evaluation": {"held-out": markov.evaluation}}
    return recipe_of(markov.rows, family, batch={"micro_rows": 2}, data=data, checkpoint=checkpoint)


@pytest.fixture(scope="module")
def found(markov, tmp_path_factory):
    """Losses of all cases, by name; `one` is a single process."""
    folder = tmp_path_factory.mktemp("ranks")
    one = {"llama": run(recipe_for(markov), folder=folder / "one")}
    one["bloom"] = run(recipe_for(markov, "bloom"), folder=folder / "one-bloom")
    ended = torchrun(HERE / "two_ranks.py", folder, markov.rows, markov.evaluation, ",".join(ENGINES))
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder, one, json.loads((folder / "found.json").read_text("utf-8"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_has_the_losses_of_one_process(found, engine, family):
    _, one, losses = found
    assert np.allclose(losses[f"{engine}-{family}"], losses_of(one[family]), rtol=0, atol=1e-6)


def test_an_exported_model_has_the_evaluation_of_its_training(found, markov):
    folder, one, losses = found
    (expected,) = [line["evaluation"]["held-out"] for line in one["llama"].log if "evaluation" in line]
    alone = evaluate(folder / "one" / "export", data=[markov.evaluation]).data[markov.evaluation]
    assert alone == pytest.approx(expected, rel=1e-6)
    assert losses["evaluate"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_resumes_bit_for_bit(found, engine, family):
    _, _, losses = found
    assert len(losses[f"{engine}-{family}"]) == 8
    assert losses[f"{engine}-{family}-again"] == losses[f"{engine}-{family}"]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_evaluates_and_exports_alike(found, engine):
    folder, one, losses = found
    from safetensors.torch import load_file

    (expected,) = [line["evaluation"]["held-out"] for line in one["llama"].log if "evaluation" in line]
    (evaluation,) = losses[f"{engine}-llama-evaluation"]
    assert evaluation["targets"] == expected["targets"]
    assert evaluation["loss"] == pytest.approx(expected["loss"], abs=1e-6)
    assert evaluation["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], abs=1e-6)
    theirs = load_file(folder / f"{engine}-llama" / "export" / "model.safetensors")
    ours = load_file(Path(one["llama"].export) / "model.safetensors")
    assert set(theirs) == set(ours)
    assert all(torch.allclose(theirs[name].float(), ours[name], atol=1e-5) for name in ours)


@pytest.mark.parametrize("engine", ["torch", "fsdp2"])
def test_two_processes_resume_what_one_wrote(found, engine):
    _, one, losses = found
    assert np.allclose(losses[f"one-then-{engine}"], losses_of(one["llama"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["torch", "fsdp2"])
def test_one_process_resumes_what_two_wrote(found, markov, tmp_path, engine):
    folder, one, _ = found
    shutil.copytree(folder / f"{engine}-llama", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000008")
    again = run(recipe_for(markov), folder=tmp_path / "run")
    assert np.allclose(losses_of(again), losses_of(one["llama"]), rtol=0, atol=1e-6)


def test_bfloat16_and_asynchronous_checkpoints_work_when_sharded(found):
    folder, one, losses = found
    assert np.allclose(losses["bfloat16"], losses_of(one["llama"]), rtol=0.02)
    assert np.allclose(losses["asynchronous"], losses_of(one["llama"]), rtol=0, atol=1e-6)
    assert list(list_checkpoints(folder / "asynchronous" / "checkpoints")) == [4, 8]


def test_a_batch_that_ranks_cannot_share_is_refused(found):
    assert found[2]["uneven"] == "batch: expected multiples of 2 ranks, found 7 rows"


def test_a_checkpoint_that_one_rank_cannot_write_is_left_out_by_all(found):
    folder, one, losses = found
    assert np.allclose(losses["one-rank-fails"], losses_of(one["llama"]), rtol=0, atol=1e-6)
    assert list(list_checkpoints(folder / "one-rank-fails" / "checkpoints")) == [8]


def test_all_ranks_stop_when_one_is_killed_and_a_rerun_goes_on(found, markov, tmp_path):
    _, one, _ = found
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(recipe_for(markov)), "utf-8")
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import json, os, signal
from bloomdata.train import loop, run
step = loop.Loop._train_step
def dying(self):
    if self.step == 6 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    step(self)
loop.Loop._train_step = dying
run(json.load(open({str(recipe)!r})), folder={str(tmp_path / "run")!r})
""",
        "utf-8",
    )
    ended = torchrun(program)
    assert ended.returncode != 0
    assert list(list_checkpoints(tmp_path / "run" / "checkpoints")) == [4]
    again = run(json.loads(recipe.read_text("utf-8")), folder=tmp_path / "run")
    assert np.allclose(losses_of(again), losses_of(one["llama"]), rtol=0, atol=1e-6)
