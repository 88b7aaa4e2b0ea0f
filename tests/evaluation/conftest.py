"""A small model that the tests of evaluation share."""

from __future__ import annotations

import json
import random

import pytest

import bloomdata


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A Llama of random weights over bytes, with its tokenizer, and rows packed with it."""
    transformers = pytest.importorskip("transformers", reason="needs torch and transformers")
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("evaluation")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: at for at, name in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder / "model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), max_position_embeddings=256, bos_token_id=0, eos_token_id=1, **sizes
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "model")
    source = random.Random(0)
    texts = [" ".join(source.choices(["red", "fox", "世界", "stones"], k=source.randint(1, 30))) for _ in range(60)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "docs.jsonl").write_text(lines)
    options = {"tokenizer": folder / "model" / "tokenizer.json", "eos_token": "</s>"}
    bloomdata.pack(folder / "docs.jsonl", folder / "rows", sequence_length=64, packing="full", **options)
    bloomdata.pack(folder / "docs.jsonl", folder / "pair", format="megatron", **options)
    return folder
