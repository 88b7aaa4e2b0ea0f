"""`generate` and chats beside bare transformers: what a stream adds, batches of a file, the second turn, the start.

    OMP_NUM_THREADS=2 .venv-train/bin/python benchmarks/bench_generate.py [--hidden-size 512] [--turns 5]

It needs what `make learn` installs. The model has random weights; all answers are checked to be the same ids before a
time counts. Then, in turns: one answer of `model.generate` and as a stream; prompts of mixed lengths one by one and in
batches; the first token behind a history of 1,000 tokens, with a fresh prompt and with the keys and values of the turn
before; and what opening a chat takes beyond loading the model. Medians, and the lowest ratio that was seen.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

import bloomdata
from bloomdata.inference import generate, load, open_chat, stream
from bloomdata.inference.running import PrefixCache

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = ("the", "a", "dog", "cat", "house", "big", "small", "red", "runs", "sees", "likes", "with", "and", "but")


def write_model(folder: Path, hidden_size: int) -> None:
    """A Llama with random weights that no token ends, and a tokenizer of words."""
    (folder / "texts.jsonl").write_text(json.dumps({"text": " ".join(WORDS) * 50}) + "\n", "utf-8")
    bloomdata.train_tokenizer([folder / "texts.jsonl"], folder, vocab_size=400, family="bloom")
    config = LlamaConfig(
        vocab_size=bloomdata.Tokenizer(folder).vocab_size,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 8 // 3,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=4096,
        eos_token_id=None,
        pad_token_id=3,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)


def text_of(num_words: int, seed: int) -> str:
    drawn = random.Random(seed)
    return " ".join(drawn.choice(WORDS) for _ in range(num_words))


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], turns: int, promise: str) -> None:
    """Times two in turn, and prints the median and the lowest ratio of ours to theirs."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(turns)]
    ratios = [our / their for our, their in pairs]
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{name:<34}{medians[0]:>9.3f} s{medians[1]:>9.3f} s   ratio {statistics.median(ratios):.3f} "
        f"(lowest {min(ratios):.3f}); {promise}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), options.hidden_size)
        measure(folder, options.turns)


def measure(folder: str, turns: int) -> None:
    model = load(folder)
    print(f"{'':<34}{'ours':>11}{'beside':>11}")
    prompt = text_of(100, 0)
    ids = torch.tensor([model.tokenizer.encode(prompt).tolist()])

    def bare() -> list[int]:
        with torch.inference_mode():
            found = model.network.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=128, eos_token_id=None
            )
        return found[0, ids.shape[1] :].tolist()

    plain = {"template": "none", "temperature": 0}

    def streamed() -> str:
        return "".join(stream(model, prompt, max_new_tokens=128, **plain))

    assert model.tokenizer.decode([*ids[0].tolist(), *bare()]).endswith(streamed())
    compare("stream of 128 tokens", streamed, bare, turns, "at most 1.03 of model.generate")

    drawn = random.Random(1)
    prompts = [text_of(drawn.randrange(5, 120), seed) for seed in range(24)]
    asked = {"max_new_tokens": 24, **plain}

    def batched() -> list[tuple[int, ...]]:
        return [one.ids for one in generate(model, prompts, batch_tokens=2048, **asked)]

    def one_by_one() -> list[tuple[int, ...]]:
        return [one.ids for one in generate(model, prompts, batch_tokens=1, **asked)]

    assert batched() == one_by_one()
    compare("24 prompts of 5 to 120 words", batched, one_by_one, turns, "at most 0.5 of one by one")

    chat = open_chat(model, template="human_bot", temperature=0, max_new_tokens=4)
    list(chat.reply(text_of(1000, 2)))
    first = {"kept": "", "fresh": ""}

    def second_turn(name: str) -> None:
        if name == "fresh":
            chat.backend._memory = PrefixCache()
        pieces = chat.reply("the dog runs")
        first[name] = next(pieces, "")
        pieces.close()

    pairs = []
    for _ in range(turns):
        fresh = seconds(lambda: second_turn("fresh"))
        pairs.append((seconds(lambda: second_turn("kept")), fresh))
        assert first["kept"] == first["fresh"]
    ratios = [kept / fresh for kept, fresh in pairs]
    kept, fresh = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"{'first token behind 1,000 tokens':<34}{kept:>9.3f} s{fresh:>9.3f} s   ratio {statistics.median(ratios):.3f} "
        f"(lowest {min(ratios):.3f}); at most 0.15 of a fresh prompt"
    )
    opened = statistics.median(seconds(lambda: open_chat(model, template="human_bot")) for _ in range(turns))
    print(f"{'a chat, beyond loading':<34}{opened * 1000:>8.1f} ms{'':>17}at most 50 ms")


if __name__ == "__main__":
    main()
