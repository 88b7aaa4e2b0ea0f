"""`make learn`: proves that the training loop learns, from raw text to a model that answers. Exits with 1 if not.

1. Text from a Markov source, whose loss no model can beat, becomes a tokenizer and rows, in HDF5 and Megatron files.
2. A Llama and a BLOOM come within 0.20 nats of the source, and not below it, as leaked labels would. Both formats
   train alike.
3. A second stage on prompts and completions learns the completions, and nothing of the prompts.
4. The same stage is killed by `kill -9` and resumed on two processes: the same losses to 1e-6.
5. The exported model answers in transformers.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import bloomdata
from bloomdata.cli import main as cli

FOLDER = Path("learn-output")
SYMBOLS = [chr(code) for code in range(48, 48 + 64)]
LENGTH = 128
STEPS = 200
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZES = {
    "llama": "hidden_size = 96, intermediate_size = 256, num_hidden_layers = 2, num_attention_heads = 4, "
    "num_key_value_heads = 4, max_position_embeddings = 512",
    "bloom": "hidden_size = 96, n_layer = 2, n_head = 4",
}
# Kills itself at the step of its last argument.
KILLED = """
import os, signal, sys
from bloomdata.train import run
def die(line):
    if line["step"] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
run(sys.argv[1], folder=sys.argv[2], on_line=die)
"""


def claim(holds: bool, text: str) -> None:
    """Prints a claim and ends the program if it does not hold."""
    print(f"{'yes' if holds else 'NO '}  {text}", flush=True)
    if not holds:
        sys.exit(1)


def write_markov(path: Path, chances: np.ndarray, rows: int, seed: int) -> float:
    """Writes documents of the source; returns its own loss on them, with the certain end of each document at 0."""
    draws = np.random.default_rng(seed)
    walks = np.empty((rows, LENGTH - 1), np.int64)
    walks[:, 0] = draws.integers(0, len(SYMBOLS), rows)
    sums = chances.cumsum(axis=1)
    for place in range(1, LENGTH - 1):
        before = walks[:, place - 1]
        walks[:, place] = (draws.random((rows, 1)) * sums[before, -1:] > sums[before]).sum(axis=1)
    texts = ["".join(SYMBOLS[symbol] for symbol in walk) for walk in walks]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return float(-np.log(chances[walks[:, :-1], walks[:, 1:]]).sum() / (rows * (LENGTH - 1)))


def write_pairs(path: Path, rows: int, seed: int) -> None:
    """Writes random prompts; the completion is the first letter, three times, in capitals."""
    draws = random.Random(seed)
    prompts = ["".join(draws.choices(LETTERS, k=8)) for _ in range(rows)]
    pairs = ({"prompt": prompt, "completion": prompt[0].upper() * 3} for prompt in prompts)
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")


def write_recipe(name: str, family: str, sources: str, stages: str, evaluation: str = "") -> Path:
    """Writes a recipe for a tiny model."""
    path = FOLDER / name
    path.write_text(
        f"""
[model]
family = "{family}"
sizes = {{ {SIZES[family]} }}
[data]
sources = {{ "{FOLDER / sources}" = 1.0 }}
sequence_length = {LENGTH}
{evaluation}
[batch]
rows = 16
[optimizer]
learning_rate = {6e-3 if family == "bloom" else 3e-3}
[schedule]
warmup_samples = 160
[checkpoint]
every = 50
{stages}
""",
        "utf-8",
    )
    return path


def command(*arguments: str) -> None:
    """Runs `bloomdata-cli`, and shows the command."""
    print(f"\n$ bloomdata-cli {' '.join(arguments)}", flush=True)
    if cli(list(arguments)) != 0:
        sys.exit(1)


def prepare() -> float:
    """Raw text, tokenizer, rows; returns the loss of the source on the evaluation set."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    chances = np.random.default_rng(0).dirichlet(np.full(len(SYMBOLS), 0.1), size=len(SYMBOLS))
    write_markov(FOLDER / "train.jsonl", chances, 16 * STEPS, seed=1)
    oracle = write_markov(FOLDER / "held-out.jsonl", chances, 64, seed=2)
    write_pairs(FOLDER / "pairs.jsonl", 3000, seed=3)
    tokenizer = str(FOLDER / "tokenizer")
    command(
        *("train-tokenizer", str(FOLDER / "train.jsonl"), "--output", tokenizer, "--vocab-size", "260"),
        *("--family", "bloom", "--quiet"),
    )
    common = ("--tokenizer", tokenizer, "--sequence-length", str(LENGTH), "--quiet")
    for name in ("train", "held-out"):
        output = str(FOLDER / name)
        command("pack", str(FOLDER / f"{name}.jsonl"), "--output", output, *common, "--packing", "full")
    megatron = str(FOLDER / "megatron")
    files = str(FOLDER / "train.jsonl")
    command("pack", files, "--output", megatron, "--tokenizer", tokenizer, "--format", "megatron", "--quiet")
    command(
        *("pack", str(FOLDER / "pairs.jsonl"), "--output", str(FOLDER / "pairs"), *common),
        *("--record", "prompt_completion", "--packing", "greedy"),
    )
    return oracle


def pretrain(oracle: float) -> None:
    """Both families on the source, the first from both formats."""
    from bloomdata.train import compare
    from bloomdata.train.journal import read_log

    evaluation = f'evaluation = {{ held-out = "{FOLDER / "held-out"}" }}'
    for family in SIZES:
        recipe = write_recipe(f"{family}.toml", family, "train", f"[stage.main]\nsteps = {STEPS}", evaluation)
        folder = FOLDER / family
        command("train", str(recipe), "--folder", str(folder))
        found = [line["evaluation"]["held-out"] for line in read_log(folder / "log.jsonl") if "evaluation" in line]
        loss = found[-1]["loss"]
        learned = oracle - 0.01 < loss < oracle + 0.20
        claim(learned, f"{family} learned the source: loss {loss:.4f}, the source's own {oracle:.4f}")
    recipe = write_recipe("megatron.toml", "llama", "megatron", f"[stage.main]\nsteps = {STEPS}")
    command("train", str(recipe), "--folder", str(FOLDER / "llama-megatron"), "--quiet")
    found = compare(FOLDER / "llama", FOLDER / "llama-megatron")
    claim(found.first_difference is None, f"HDF5 and Megatron files train alike, bit for bit: {found}")


def fine_tune() -> Path:
    """The second stage, whole; then killed and resumed on two processes. Returns the export of the latter."""
    from bloomdata.train import compare

    text = f"[stage.main]\nsteps = {STEPS}"
    recipe = write_recipe("pairs.toml", "llama", "pairs", text)
    recipe.write_text(
        recipe.read_text("utf-8").replace(
            f'family = "llama"\nsizes = {{ {SIZES["llama"]} }}', f'path = "{FOLDER / "llama" / "export"}"'
        ),
        "utf-8",
    )
    whole, killed = FOLDER / "pairs-whole", FOLDER / "pairs-killed"
    command("train", str(recipe), "--folder", str(whole))
    print("\n$ python -c '... os.kill(os.getpid(), signal.SIGKILL)'    # at step 130", flush=True)
    ended = subprocess.run([sys.executable, "-c", KILLED, recipe, killed, "130"], check=False)
    claim(ended.returncode == -signal.SIGKILL, "killed by kill -9 at step 130, with a checkpoint of step 100")
    arguments = [
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "bloomdata",
        "train",
        str(recipe),
        "--folder",
        str(killed),
    ]
    print(f"\n$ torchrun {' '.join(arguments[1:])}", flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-m", "torch.distributed.run", *arguments], env=environment, check=False)
    claim(ran.returncode == 0, "resumed on two processes")
    found = compare(whole, killed)
    claim(found.steps == STEPS and found.largest < 1e-6, f"the same losses to 1e-6: {found}")
    return killed / "export"


def answer(export: Path) -> None:
    """Losses by kind of token, and answers in transformers."""
    import torch
    import transformers

    from bloomdata.train import packed_inputs
    from bloomdata.train.loss import token_losses

    model = transformers.AutoModelForCausalLM.from_pretrained(export)
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)
    rows = bloomdata.open(FOLDER / "pairs").with_rules(prompt_loss_weight=1.0)
    types = rows[:16]["token_type_ids"]
    batch = {name: torch.from_numpy(values) for name, values in rows.read_batch(np.arange(16)).items()}
    with torch.no_grad():
        losses = token_losses(model(**packed_inputs(model, batch)).logits, batch)[:, :-1].numpy()
    targets, counted = types[:, 1:], batch["loss_weights"][:, :-1].numpy() > 0
    completion = float(losses[(targets == 1) & counted].mean())
    prompt = float(losses[(targets == 0) & counted].mean())
    claim(completion < 0.02, f"completions were learned: loss {completion:.4f}")
    chance = math.log(len(LETTERS))
    claim(prompt > chance + 0.3, f"prompts were not: loss {prompt:.2f}, where training on them gives {chance:.2f}")
    draws, right = random.Random(7), 0
    for _ in range(50):
        text = "".join(draws.choices(LETTERS, k=8))
        ids = tokenizer(text + " ", return_tensors="pt")["input_ids"]
        output = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        right += tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True) == text[0].upper() * 3
    claim(right >= 48, f"the exported model answers in transformers: {right} of 50 new prompts right")


def main() -> None:
    """Runs everything."""
    start = time.monotonic()
    oracle = prepare()
    pretrain(oracle)
    answer(fine_tune())
    print(f"\nAll of it in {time.monotonic() - start:.0f} s; see {FOLDER}/ for logs, checkpoints and exports.")


if __name__ == "__main__":
    main()
