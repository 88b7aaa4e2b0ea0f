"""`convert dcp`, `lora` and `grow`: equal to what torch, peft and a slow reference make in memory."""

from __future__ import annotations

import json

import pytest
from convert_models import assert_same, copy_of, folder_of, load, new_model

from bloomdata import convert
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError

pytestmark = pytest.mark.train


# --- torch.distributed.checkpoint -------------------------------------------------------------------------------------


def save_dcp(state, folder):
    import torch.distributed.checkpoint as checkpoints

    checkpoints.save(state, checkpoint_id=folder)
    return folder


@pytest.mark.parametrize("before", ["model", "app.model", None])
@pytest.mark.parametrize("family", ["bloom", "llama"])
def test_dcp_folders_become_the_model(family, before, tmp_path):
    import torch

    model = new_model(family, "bfloat16")
    state = model.state_dict()
    optimizer = {"state": {name: {"exp_avg": torch.zeros(3)} for name in state}, "lr": 0.1}
    for part in reversed(before.split(".") if before else []):
        state = {part: state}
    if before:
        state["optim"] = optimizer
    save_dcp(state, tmp_path / "dcp")
    report = convert.dcp(tmp_path / "dcp", tmp_path / "hf", config=folder_of(family), verify=True)
    assert bool(report.left_out) == bool(before)
    assert_same(load(tmp_path / "hf"), load(folder_of(family, "bfloat16")))


def test_names_of_wrappers_do_not_matter_and_the_configuration_may_be_above(tmp_path):
    state = {
        "module." + name.replace("mlp.", "_fsdp_wrapped_module.mlp._orig_mod."): tensor
        for name, tensor in new_model("llama").state_dict().items()
    }
    save_dcp(state, tmp_path / "run" / "step-1")
    (tmp_path / "run" / "config.json").write_bytes((folder_of("llama") / "config.json").read_bytes())
    convert.dcp(tmp_path / "run" / "step-1", tmp_path / "hf", dtype="float16")
    assert_same(load(tmp_path / "hf"), {name: tensor.half() for name, tensor in load(folder_of("llama")).items()})


def test_bad_dcp_folders_are_refused(tmp_path):
    options = {"config": folder_of("llama")}
    folder = save_dcp({"model": new_model("llama").state_dict()}, tmp_path / "dcp")
    with pytest.raises(ConfigError, match=r"expected a model's config\.json"):
        convert.dcp(folder, tmp_path / "hf")
    part = copy_of(folder, tmp_path / "part")
    next(part.glob("*.distcp")).unlink()
    with pytest.raises(CorruptDataError, match=r"\.distcp: expected by \.metadata, found none"):
        convert.dcp(part, tmp_path / "hf", **options)
    cut = copy_of(folder, tmp_path / "cut")
    data = next(cut.glob("*.distcp"))
    data.write_bytes(data.read_bytes()[:-2000])
    with pytest.raises(CorruptDataError, match="cut: tensor model"):
        convert.dcp(cut, tmp_path / "hf", **options)
    assert not list((tmp_path / "hf").glob("model*"))
    (cut / ".metadata").write_bytes(b"\x80\x04")
    with pytest.raises(CorruptDataError, match=r"\.metadata: expected the metadata of a checkpoint"):
        convert.dcp(cut, tmp_path / "hf", **options)
    (cut / ".metadata").unlink()
    with pytest.raises(ConfigError, match=r"expected a checkpoint with \.metadata, found none"):
        convert.dcp(cut, tmp_path / "hf", **options)
    two = save_dcp({"a": new_model("llama").state_dict(), "b": new_model("llama").state_dict()}, tmp_path / "two")
    with pytest.raises(CorruptDataError, match=r"expected one model\.embed_tokens\.weight in the state, found 2"):
        convert.dcp(two, tmp_path / "hf", **options)


# --- LoRA -------------------------------------------------------------------------------------------------------------

ADAPTERS = {
    "plain": ("bloom", {"target_modules": ["query_key_value", "dense"]}),
    "patterns": (
        "llama",
        {
            "target_modules": ["q_proj", "v_proj", "down_proj"],
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"v_proj": 32},
            "use_rslora": True,
        },
    ),
    "dora": ("llama", {"target_modules": ["q_proj", "up_proj"], "use_dora": True}),
    "whole modules": ("llama", {"target_modules": ["k_proj"], "modules_to_save": ["norm", "lm_head"]}),
    "biases": ("bloom", {"target_modules": ["dense_h_to_4h"], "bias": "lora_only"}),
    "embedding": ("llama", {"target_modules": ["embed_tokens", "o_proj"]}),
}


def save_adapter(family, folder, dtype="float32", **options):
    """A trained adapter: none of its tensors is as it was made."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)
    model = get_peft_model(new_model(family, dtype), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.01 if "magnitude" in name else 0.1))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_merged_weights_are_pefts_bit_for_bit(kind, dtype, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    family, options = ADAPTERS[kind]
    adapter = save_adapter(family, tmp_path / "adapter", dtype, **options)
    source = folder_of(family, dtype)
    beside = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source), adapter)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        expected_logits = beside.eval()(input_ids=ids).logits
    expected = beside.merge_and_unload().state_dict()
    report = convert.lora(source, adapter, tmp_path / "merged", verify=True, max_shard_bytes=20_000)
    found = load(tmp_path / "merged")
    assert_same(found, {name: tensor for name, tensor in expected.items() if name in load(source)})
    changed = [name for name, tensor in load(source).items() if not torch.equal(found[name], tensor)]
    assert changed
    assert report.max_logit_difference < 0.05
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()(ids).logits
    torch.testing.assert_close(logits, expected_logits, atol=1e-4 if dtype == "float32" else 0.2, rtol=1e-3)


def test_a_merged_model_does_not_depend_on_how_often_it_is_read(tmp_path):
    from bloomdata.convert.adapters import open_merged

    adapter = save_adapter("bloom", tmp_path / "adapter", **ADAPTERS["plain"][1])
    checkpoint = open_merged(folder_of("bloom"), adapter)
    first = {name: tensor.read() for name, tensor in checkpoint.tensors.items()}
    assert_same({name: tensor.read() for name, tensor in checkpoint.tensors.items()}, first)


def test_bad_adapters_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    adapter = save_adapter("bloom", tmp_path / "adapter", target_modules=["dense"])
    with pytest.raises((CorruptDataError, UnsupportedFormatError, ConfigError), match="adapter"):
        convert.lora(folder_of("llama"), adapter, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"adapter: .*: expected adapter_config\.json, found none"):
        convert.lora(folder_of("bloom"), folder_of("llama"), tmp_path / "out")
    copy = copy_of(adapter, tmp_path / "copy")
    state = load_file(copy / "adapter_model.safetensors")
    name = "base_model.model.transformer.h.1.self_attention.dense.lora_A.weight"
    save_file({**state, name: state[name][:, :-1].clone()}, copy / "adapter_model.safetensors")
    with pytest.raises(CorruptDataError, match=r"h\.1\.self_attention\.dense\.lora_A\.weight: expected \[4, 32\]"):
        convert.lora(folder_of("bloom"), copy, tmp_path / "out")
    save_file({key: tensor for key, tensor in state.items() if key != name}, copy / "adapter_model.safetensors")
    with pytest.raises(CorruptDataError, match=r"expected \[4, 32\] in the adapter, found none"):
        convert.lora(folder_of("bloom"), copy, tmp_path / "out")
    save_file({**state, name.replace("lora_A", "lora_X"): state[name].clone()}, copy / "adapter_model.safetensors")
    with pytest.raises(UnsupportedFormatError, match=r"lora_X\.weight: expected LoRA of a weight of the model"):
        convert.lora(folder_of("bloom"), copy, tmp_path / "out")
    (copy / "adapter_model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(CorruptDataError, match=r"copy: expected adapter_model\.safetensors"):
        convert.lora(folder_of("bloom"), copy, tmp_path / "out")
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "PREFIX_TUNING"}))
    with pytest.raises(UnsupportedFormatError, match="peft_type: expected LORA, found PREFIX_TUNING"):
        convert.lora(folder_of("bloom"), copy, tmp_path / "out")


# --- vocabulary -------------------------------------------------------------------------------------------------------

VOCABULARY = {
    "bloom": ["transformer.word_embeddings.weight"],
    "llama": ["model.embed_tokens.weight", "lm_head.weight"],
    "gpt_neox": ["gpt_neox.embed_in.weight", "embed_out.weight"],
}


@pytest.mark.parametrize("family", VOCABULARY)
def test_grown_models_keep_their_rows_and_load(family, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    report = convert.grow(folder_of(family), tmp_path / "grown", vocab_size=1100, verify=True)
    assert report.max_logit_difference < 1e-4
    old, new = load(folder_of(family)), load(tmp_path / "grown")
    for name in VOCABULARY[family]:
        assert torch.equal(new[name][:100], old[name])
        rows = new[name][100:]
        assert rows.shape == (1000, 32)
        # Open-Llama: normally distributed, times 0.001.
        assert abs(float(rows.mean())) < 5e-5
        assert abs(float(rows.std()) - 0.001) < 5e-5
        del old[name], new[name]
    assert_same(new, old)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "grown").eval()
    assert model.config.vocab_size == 1100
    assert model.get_output_embeddings().weight.shape == (1100, 32)
    with torch.no_grad():
        logits = model(torch.tensor([[5, 1099]])).logits
        expected = new_model(family)(torch.tensor([[5]])).logits
    torch.testing.assert_close(logits[:, :1, :100], expected, atol=1e-4, rtol=1e-4)


def test_new_rows_depend_on_the_seed_and_on_the_tensor_only(tmp_path):
    import torch

    def grown(name, **options):
        convert.grow(folder_of("llama"), tmp_path / name, vocab_size=110, **options)
        return load(tmp_path / name)

    first, again, other = grown("a"), grown("b", max_shard_bytes=10_000), grown("c", seed=1)
    assert_same(again, first)
    rows = [state[name][100:] for state in (first, other) for name in VOCABULARY["llama"]]
    assert all(not torch.equal(rows[i], rows[j]) for i in range(4) for j in range(i))
    wide = grown("d", standard_deviation=0.5)
    assert float(wide["lm_head.weight"][100:].std()) > 0.3


def test_vocabularies_do_not_shrink(tmp_path):
    with pytest.raises(ConfigError, match="vocab_size: expected 100 or more, got 99"):
        convert.grow(folder_of("llama"), tmp_path / "out", vocab_size=99)
    with pytest.raises(ConfigError, match="standard_deviation: expected a number from 0 on"):
        convert.grow(folder_of("llama"), tmp_path / "out", vocab_size=120, standard_deviation=-1)
    report = convert.grow(folder_of("llama"), tmp_path / "same", vocab_size=100)
    assert_same(load(report.folder), load(folder_of("llama")))


@pytest.mark.parametrize("count", [1, 2])
def test_metas_files_of_llama_grow_as_well(count, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from reference.convert_meta_llama import logits, meta_state, shards

    state = meta_state(load(folder_of("llama")), head=4)
    folder = tmp_path / "meta"
    folder.mkdir()
    for number, shard in enumerate(shards(state, count)):
        torch.save({**shard, "rope.freqs": torch.ones(2)}, folder / f"consolidated.{number:02d}.pth")
    params = {
        "dim": 32,
        "n_layers": 3,
        "n_heads": 8,
        "n_kv_heads": 4,
        "norm_eps": 1e-6,
        "vocab_size": -1,
        "multiple_of": 4,
    }
    (folder / "params.json").write_text(json.dumps(params))
    (folder / "tokenizer.model").write_bytes(b"pieces")
    convert.grow(folder, tmp_path / "hf", vocab_size=105, verify=True)
    assert (tmp_path / "hf" / "tokenizer.model").read_bytes() == b"pieces"
    found, expected = load(tmp_path / "hf"), load(folder_of("llama"))
    assert_same({name: tensor[:100] if tensor.shape[0] == 105 else tensor for name, tensor in found.items()}, expected)
    ids = torch.tensor([5, 7, 90, 3, 3, 12])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float64).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(ids[None]).logits[0, :, :100], logits(state, ids, 8, 4), atol=1e-6, rtol=1e-6)
    if count == 2:
        (folder / "consolidated.01.pth").rename(folder / "consolidated.02.pth")
        with pytest.raises(CorruptDataError, match=r"consolidated\.01\.pth: expected, found none"):
            convert.grow(folder, tmp_path / "other", vocab_size=105)
    (folder / "params.json").write_text('{"dim": 32}')
    with pytest.raises((CorruptDataError, MismatchError), match="expected"):
        convert.grow(copy_of(folder, tmp_path / "copy"), tmp_path / "other", vocab_size=105)
