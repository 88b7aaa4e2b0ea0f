"""A model of 60,000 parameters that learns a few answers by heart, in seconds."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import bloomdata
from bloomdata.train.generation_marks import marked_template

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = "abcd"
STEPS = 160


def question(number: int) -> str:
    return f"Letter {number}?"


def answer(number: int) -> str:
    return f"It is {LETTERS[number]}."


def write_tokenizer(folder: Path) -> bloomdata.Tokenizer:
    """Byte-level BPE of BLOOM's kind, in which the words of the answers are tokens."""
    words = " ".join(f"<human>: {question(number)}\n<bot>: {answer(number)}\n" for number in range(4))
    texts = folder / "texts.jsonl"
    texts.write_text(json.dumps({"text": words * 9}) + "\n", "utf-8")
    bloomdata.train_tokenizer([texts], folder / "tokenizer", vocab_size=300, family="bloom")
    return bloomdata.Tokenizer(folder / "tokenizer")


def write_model(folder: Path) -> Path:
    """A Llama of two layers in a folder of transformers, trained on conversations of three turns."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = write_tokenizer(folder)
    template = bloomdata.ChatTemplate("human_bot", tokenizer=tokenizer)
    drawn = random.Random(1)

    def row() -> list[int]:
        numbers = [drawn.randrange(4) for _ in range(3)]
        parts = (("user", question), ("assistant", answer))
        messages = [{"role": role, "content": text(number)} for number in numbers for role, text in parts]
        ids = tokenizer.encode(template.render(messages), add_special_tokens=False).tolist()
        return [*ids, tokenizer.eos_token_id]

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS)
    for _ in range(STEPS):
        ids = torch.tensor([row() for _ in range(16)])
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "model")
    for path in (folder / "tokenizer").glob("*.json"):
        (folder / "model" / path.name).write_bytes(path.read_bytes())
    (folder / "model" / "chat_template.jinja").write_text(marked_template("human_bot"), "utf-8")
    return folder / "model"
