"""Run by `torchrun --nproc-per-node 2`: every case that needs two processes, in one launch; writes a JSON file."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from recipes import losses_of, recipe_of

from bloomdata.evaluation import evaluate
from bloomdata.train import run

ENGINES = ("torch", "fsdp2", "accelerate", "deepspeed")


def main(folder: Path, rows: str, evaluation: str, engines: list[str]) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    found: dict[str, object] = {}

    def train(name: str, recipe: dict, **options: object) -> list[float]:
        result = run(recipe, folder=folder / name, **options)
        dist.barrier()
        losses = losses_of(result) if rank == 0 else []
        found[name] = losses
        if rank == 0:
            evaluations = [line["evaluation"]["held-out"] for line in result.log if "evaluation" in line]
            found[f"{name}-evaluation"] = evaluations
        return losses

    def recipe(family: str, **sections: dict) -> dict:
        sections.setdefault("checkpoint", {"every": 4, "keep": 0, "export": True})
        return recipe_of(
            rows, family, batch={"micro_rows": 2}, data={"evaluation": {"held-out": evaluation}}, **sections
        )

    for engine in engines:
        for family in ("llama", "bloom"):
            name = f"{engine}-{family}"
            train(name, recipe(family), engine=engine)
            # Resumes: the second half again.
            if rank == 0:
                shutil.copytree(folder / name, folder / f"{name}-again")
                shutil.rmtree(folder / f"{name}-again" / "checkpoints" / "step-00000008")
            dist.barrier()
            train(f"{name}-again", recipe(family), engine=engine)
    # Written by one process, resumed by two, by either engine.
    for engine in ("torch", "fsdp2"):
        if rank == 0:
            shutil.copytree(folder / "one", folder / f"one-then-{engine}")
            shutil.rmtree(folder / f"one-then-{engine}" / "checkpoints" / "step-00000008")
        dist.barrier()
        train(f"one-then-{engine}", recipe("llama"), engine=engine)
    train("bfloat16", recipe("llama", precision={"compute": "bfloat16"}), engine="fsdp2")
    train("asynchronous", recipe("llama", checkpoint={"every": 4, "keep": 0, "asynchronous": True}), engine="fsdp2")
    try:
        run(recipe_of(rows, batch={"rows": 7}), folder=folder / "uneven")
    except ValueError as error:
        found["uneven"] = str(error)
    # One rank fails to save: all go on.
    from bloomdata.train.engines.torch_engine import TorchEngine

    save = TorchEngine.save

    def failing(self: TorchEngine, path: Path, *, asynchronous: bool) -> object:
        result = save(self, path, asynchronous=asynchronous)
        if "00000004" in path.name and rank == 1:
            raise OSError(28, "No space left on device")
        return result

    TorchEngine.save = failing  # type: ignore[method-assign]
    train("one-rank-fails", recipe("llama"))
    TorchEngine.save = save  # type: ignore[method-assign]
    found["evaluate"] = evaluate(folder / "one" / "export", data=[evaluation], batch_size=3).data[evaluation]
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found), "utf-8")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].split(","))
