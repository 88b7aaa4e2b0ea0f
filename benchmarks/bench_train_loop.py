"""The training loop beside a bare one of torch, and beside TRL's SFTTrainer, on the same documents.

    OMP_NUM_THREADS=1 .venv-train/bin/python benchmarks/bench_train_loop.py [--rows 4] [--steps 20]

It needs what `make learn` installs, and trl for the comparison with it. The text is the source of Python's library.
First it is checked that ours and the bare loop have the same loss at the first step. Then, in turns, three times each:
seconds a step of both; tokens without padding a second of ours and of `SFTTrainer(packing=True)`. Then: the share of
time spent waiting for data, seek and resume of the data, and how long a checkpoint stops the loop, synchronous and
asynchronous.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sysconfig
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import bloomdata
from bloomdata.train import packed_inputs, token_loss
from bloomdata.train.building import build_model
from bloomdata.train.checkpoints import Checkpointer
from bloomdata.train.data import open_data
from bloomdata.train.engines import build_engine
from bloomdata.train.loop import Loop
from bloomdata.train.recipe import read_recipe

SIZES = {
    "llama": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "max_position_embeddings": 2048,
    },
    "bloom": {"hidden_size": 256, "n_layer": 4, "n_head": 8, "hidden_dropout": 0.0, "attention_dropout": 0.0},
}


def write_text(path: Path, count: int = 400) -> None:
    """Functions of the standard library, one a document, so that rows hold several."""
    library = Path(sysconfig.get_paths()["stdlib"])
    with path.open("w", encoding="utf-8") as out:
        for file in sorted(library.glob("*.py"))[:count]:
            for part in file.read_text("utf-8", errors="replace").split("\n\n\n"):
                if len(part) > 40:
                    out.write(json.dumps({"text": part[:3000]}) + "\n")


def recipe_of(folder: Path, family: str, length: int, rows: int, steps: int, **sections: Any) -> dict[str, Any]:
    """A recipe on the packed rows of one length."""
    return {
        "model": {"family": family, "sizes": {**SIZES[family], "vocab_size": 300}},
        "data": {"sources": {str(folder / f"rows-{length}"): 1.0}},
        "batch": {"rows": rows},
        "optimizer": {"learning_rate": 1e-4},
        "schedule": {"name": "constant"},
        "checkpoint": {"export": False},
        "stage": {"main": {"steps": steps}},
        **sections,
    }


class Ours:
    """The loop, step by step."""

    def __init__(self, recipe: dict[str, Any], folder: Path) -> None:
        (stage,) = read_recipe(recipe)
        data = open_data(stage)
        self.engine = build_engine("torch", stage)
        self.engine.prepare(build_model(stage.model))
        self.lines: list[dict[str, Any]] = []
        self.checkpointer = Checkpointer(folder / "checkpoints", self.engine, stage.checkpoint, print)
        self.loop = Loop(stage, data, self.engine, self.checkpointer, self.lines.append, folder)

    def step(self) -> None:
        """One step."""
        self.loop._train_step()


class Bare:
    """A loop as one would write it."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        (stage,) = read_recipe(recipe)
        self.model = build_model(stage.model)
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        rest = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
        loader = bloomdata.DataLoader(
            open_data(stage).dataset, batch_size=stage.batch.rows, epochs=None, format="torch"
        )
        self.batches = iter(loader)
        self.losses: list[float] = []

    def step(self) -> None:
        """One step."""
        batch = next(self.batches)
        loss, weight = token_loss(self.model(**packed_inputs(self.model, batch)).logits, batch)
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(float(loss / weight))


def seconds(step: Any, steps: int) -> float:
    """Median seconds of a step."""
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def against_bare(folder: Path, family: str, length: int, rows: int, steps: int) -> None:
    """Seconds a step, in turns."""
    recipe = recipe_of(folder, family, length, rows, 10_000)
    ours, bare = Ours(recipe, folder / f"ours-{family}-{length}"), Bare(recipe)
    for one in (ours, bare):
        one.step()
    assert abs(ours.lines[0]["loss"] - bare.losses[0]) < 1e-5, (ours.lines[0]["loss"], bare.losses[0])
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(3):
        found["bare"].append(seconds(bare.step, steps))
        found["ours"].append(seconds(ours.step, steps))
    mine, theirs = statistics.median(found["ours"]), statistics.median(found["bare"])
    waiting = statistics.median(line["data_wait"] for line in ours.lines[1:])
    tokens = statistics.median(line["tokens_without_padding"] for line in ours.lines[1:]) / mine
    print(
        f"{family} L={length}: step {mine * 1e3:.1f} ms, bare loop {theirs * 1e3:.1f} ms, ratio {mine / theirs:.3f}; "
        f"{tokens:,.0f} tokens/s; waiting for data {waiting:.2%}",
        flush=True,
    )


def against_trl(folder: Path, family: str, length: int, rows: int, steps: int) -> None:
    """Tokens without padding a second, in turns."""
    try:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer
    except ImportError:
        print("trl is not installed: not compared")
        return
    recipe = recipe_of(folder, family, length, rows, 10_000)
    texts = [json.loads(line)["text"] for line in (folder / "text.jsonl").read_text("utf-8").splitlines()]
    tokenizer = bloomdata.Tokenizer("bytes")
    ids = [[*tokenizer.encode(text).tolist(), tokenizer.eos_token_id] for text in texts]
    rates: dict[str, list[float]] = {"ours": [], "trl": []}
    for _ in range(3):
        options = SFTConfig(
            output_dir=str(folder / "trl"),
            max_length=length,
            packing=True,
            per_device_train_batch_size=rows,
            max_steps=steps,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            learning_rate=1e-4,
            gradient_checkpointing=False,
            bf16=False,
            seed=0,
        )
        (stage,) = read_recipe(recipe)
        trainer = SFTTrainer(
            build_model(stage.model),
            args=options,
            train_dataset=Dataset.from_dict({"input_ids": ids}),
            processing_class=_words(),
        )
        packed = sum(len(row) for row in trainer.train_dataset["input_ids"]) / len(trainer.train_dataset)
        start = time.perf_counter()
        trainer.train()
        rates["trl"].append(steps * rows * packed / (time.perf_counter() - start))
        ours = Ours(recipe, folder / f"trl-{family}-{length}")
        ours.step()
        start = time.perf_counter()
        for _ in range(steps):
            ours.step()
        total = sum(line["tokens_without_padding"] for line in ours.lines[1:])
        rates["ours"].append(total / (time.perf_counter() - start))
    mine, theirs = (statistics.median(rates[name]) for name in ("ours", "trl"))
    note = " (its documents attend to each other)" if family == "bloom" else ""
    print(f"{family} L={length}: {mine:,.0f} tokens/s, TRL {theirs:,.0f}{note}, ratio {mine / theirs:.2f}", flush=True)


def _words() -> Any:
    """A tokenizer that TRL asks for; the documents come as ids."""
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"<pad>": 256, "<eos>": 258, "a": 0}, unk_token="a"))
    tokenizer.add_special_tokens(["<pad>", "<eos>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def seeks(folder: Path, rows: int) -> None:
    """Milliseconds of a seek, and of a resume."""
    dataset = bloomdata.open(folder / "rows-512")
    loader = bloomdata.DataLoader(dataset, batch_size=rows, epochs=None, format="torch")
    steps = np.random.default_rng(0).integers(0, 10**9, 20)
    times = [seconds(lambda step=step: loader.batch(int(step)), 1) for step in steps]
    state = loader.state_dict() | {"consumed_samples": 10**9 * rows}

    def resume() -> None:
        again = bloomdata.DataLoader(dataset, batch_size=rows, epochs=None, format="torch")
        again.load_state_dict(state)
        next(iter(again))

    print(
        f"seek {statistics.median(times) * 1e3:.2f} ms, resume with the first batch {seconds(resume, 9) * 1e3:.2f} ms"
    )


def saves(folder: Path) -> None:
    """How long a checkpoint stops the loop."""
    model = {"family": "llama", "sizes": {**SIZES["llama"], "vocab_size": 300, "num_hidden_layers": 12}}
    stopped = {}
    for is_beside in (False, True):
        checkpoint = {"asynchronous": is_beside, "keep": 1, "export": False}
        recipe = recipe_of(folder, "llama", 512, 2, 10_000, model=model, checkpoint=checkpoint)
        ours = Ours(recipe, folder / f"save-{is_beside}")
        ours.step()
        times = []
        for number in range(5):
            ours.step()
            start = time.perf_counter()
            ours.checkpointer.save(number + 1, ours.loop.state_dict(), wait=False)
            times.append(time.perf_counter() - start)
            # Time to write it, as between two checkpoints of a run.
            for _ in range(4):
                ours.step()
        ours.checkpointer.finish()
        stopped[is_beside] = statistics.median(times)
        size = sum(file.stat().st_size for file in (folder / f"save-{is_beside}").rglob("*.distcp"))
    print(
        f"a checkpoint of {size / 1e6:.0f} MB stops the loop for {stopped[False] * 1e3:.0f} ms, written beside it for "
        f"{stopped[True] * 1e3:.0f} ms: {stopped[True] / stopped[False]:.2f}"
    )


def main() -> None:
    """Runs everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4, help="rows of a step")
    parser.add_argument("--steps", type=int, default=20, help="steps of a measurement")
    parser.add_argument("--only", choices=("bare", "trl", "data", "save"), help="one comparison alone")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_text(folder / "text.jsonl")
        for length in (512, 1024):
            output = folder / f"rows-{length}"
            bloomdata.pack(folder / "text.jsonl", output, tokenizer="bytes", sequence_length=length, packing="best_fit")
        for family in SIZES if options.only in {None, "bare"} else ():
            for length in (512, 1024):
                against_bare(folder, family, length, options.rows, options.steps)
        for family in SIZES if options.only in {None, "trl"} else ():
            against_trl(folder, family, 1024, options.rows, options.steps)
        if options.only in {None, "data"}:
            seeks(folder, options.rows)
        if options.only in {None, "save"}:
            saves(folder)


if __name__ == "__main__":
    main()
