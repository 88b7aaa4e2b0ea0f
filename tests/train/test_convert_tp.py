"""`convert tp`: parts are those of the slow reference, and every way back gives the same bits."""

from __future__ import annotations

import json
import shutil

import pytest
from convert_models import SIZES, assert_same, copy_of, folder_of, load, new_model

from bloomdata import convert
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

pytestmark = pytest.mark.train

RANKS = {"bloom": (1, 2, 4, 8), "llama": (1, 2, 4), "gpt_neox": (1, 2, 4, 8)}
CASES = [(family, ranks) for family, counts in RANKS.items() for ranks in counts]


def shards_of(folder):
    from safetensors.torch import load_file

    return [load_file(path) for path in sorted(folder.glob("model-tp-*"))]


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["repeat", "zeros"])
@pytest.mark.parametrize(("family", "ranks"), [case for case in CASES if case[1] > 1])
def test_shards_are_those_of_the_reference(family, ranks, padding, tmp_path):
    from reference.convert_tensor_parallel import split

    source = folder_of(family)
    convert.tp(source, tmp_path / "out", tensor_parallel=ranks, vocab_divisible_by=8, vocab_padding=padding)
    rows = -(-100 // (8 * ranks)) * 8 * ranks
    expected = split(load(source), family, ranks, rows, padding)
    found = shards_of(tmp_path / "out")
    assert len(found) == ranks
    for ours, reference in zip(found, expected, strict=True):
        assert_same(ours, reference)


def test_padding_rows_are_the_last_rows_once_more_and_around_again_if_these_do_not_suffice(tmp_path):
    source = folder_of("bloom")
    convert.tp(source, tmp_path / "out", tensor_parallel=2, pad_vocab_size_to=250)
    import torch

    name = "transformer.word_embeddings.weight"
    rows = torch.cat([shard[name] for shard in shards_of(tmp_path / "out")])
    weight = load(source)[name]
    assert torch.equal(rows[:100], weight)
    assert torch.equal(rows[150:], weight)
    assert torch.equal(rows[100:150], weight[50:])


def test_a_forward_pass_over_shards_is_that_of_the_model(tmp_path):
    import torch

    from reference.convert_tensor_parallel import bloom_logits

    model = new_model("bloom", "float64")
    model.save_pretrained(tmp_path / "hf")
    ids = torch.randint(100, (12,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids[None]).logits[0]
    for ranks in (2, 4, 8):
        convert.tp(tmp_path / "hf", tmp_path / f"out{ranks}", tensor_parallel=ranks)
        found = bloom_logits(shards_of(tmp_path / f"out{ranks}"), ids, num_heads=8, num_layers=3)
        assert found.shape == (12, 128 * ranks)
        torch.testing.assert_close(found[:, :100], expected, atol=1e-6, rtol=0)


# --- and back ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("family", "ranks"), CASES)
def test_there_and_back_gives_the_same_bits(family, ranks, dtype, tmp_path):
    source = folder_of(family, dtype)
    convert.tp(source, tmp_path / "shards", tensor_parallel=ranks)
    report = convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1)
    assert report.drift == {}
    assert_same(load(tmp_path / "back"), load(source))
    assert {path.name for path in (tmp_path / "back").iterdir()} == {path.name for path in source.iterdir()} | {
        "convert.json"
    }
    for name in ("config.json", "generation_config.json", "tokenizer.json", "special_tokens_map.json"):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize(
    "options", [{"shard": "20KB"}, {"bare": True}, {"pickled": True}, {"bare": True, "pickled": True}], ids=str
)
@pytest.mark.parametrize("family", ["bloom", "llama"])
def test_sources_in_shards_without_prefix_and_in_pickles_give_the_same(family, options, tmp_path):
    source = folder_of(family, **options)
    expected = load(folder_of(family))
    if options.get("bare") and family == "bloom":
        expected = {name.removeprefix("transformer."): tensor for name, tensor in expected.items()}
    convert.tp(source, tmp_path / "shards", tensor_parallel=4)
    convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1, max_shard_bytes=30_000)
    index = json.loads((tmp_path / "back" / "model.safetensors.index.json").read_text())
    assert index["weight_map"].keys() == expected.keys()
    assert all((tmp_path / "back" / name).stat().st_size < 35_000 for name in index["weight_map"].values())
    assert_same(load(tmp_path / "back"), expected)


@pytest.mark.parametrize("family", ["bloom", "llama"])
def test_from_some_shards_to_others_is_the_same_as_from_the_model(family, tmp_path):
    source = folder_of(family, "bfloat16")
    for before, after in [(4, 2), (2, 4)] + [(8, 4), (8, 2), (2, 8)] * (family == "bloom"):
        names = [tmp_path / f"{before}", tmp_path / f"{before}-{after}", tmp_path / f"{after}"]
        convert.tp(source, names[0], tensor_parallel=before)
        convert.tp(names[0], names[1], tensor_parallel=after)
        convert.tp(source, names[2], tensor_parallel=after)
        for ours, direct in zip(shards_of(names[1]), shards_of(names[2]), strict=True):
            assert_same(ours, direct)


@pytest.mark.parametrize("family", ["mistral", "qwen2"])
def test_relatives_of_llama_have_its_layout(family, tmp_path):
    new_model(family, **SIZES["llama"]).save_pretrained(tmp_path / "hf")
    convert.tp(tmp_path / "hf", tmp_path / "shards", tensor_parallel=4)
    convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1, verify=True)
    assert_same(load(tmp_path / "back"), load(tmp_path / "hf"))
    biases = [name for name in load(tmp_path / "hf") if name.endswith("_proj.bias")]
    assert len(biases) == (9 if family == "qwen2" else 0)


def test_eight_to_one_to_two_to_one_is_the_model(tmp_path):
    source = folder_of("bloom")
    places = [source]
    for number, ranks in enumerate((8, 1, 2, 1)):
        places.append(tmp_path / str(number))
        convert.tp(places[-2], places[-1], tensor_parallel=ranks)
    assert_same(load(places[-1]), load(source))


@pytest.mark.parametrize("family", ["bloom", "llama", "gpt_neox"])
def test_transformers_loads_what_is_written(family, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    convert.tp(folder_of(family, bare=family == "bloom"), tmp_path / "shards", tensor_parallel=2)
    convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1, max_shard_bytes=30_000)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "back").eval()(ids).logits
        assert torch.equal(found, new_model(family)(ids).logits)


def test_a_head_that_is_not_tied_is_cut_too(tmp_path):
    new_model("bloom", tie_word_embeddings=False).save_pretrained(tmp_path / "hf")
    convert.tp(tmp_path / "hf", tmp_path / "shards", tensor_parallel=4)
    assert shards_of(tmp_path / "shards")[3]["lm_head.weight"].shape == (128, 32)
    convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1, verify=True)
    assert_same(load(tmp_path / "back"), load(tmp_path / "hf"))


def test_constants_of_old_files_are_left_out(tmp_path):
    import torch
    from safetensors.torch import save_file

    folder = copy_of(folder_of("llama"), tmp_path / "hf")
    old = {**load(folder), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    save_file(old, folder / "model.safetensors")
    report = convert.tp(folder, tmp_path / "shards", tensor_parallel=2)
    assert report.left_out == ("model.layers.0.self_attn.rotary_emb.inv_freq",)
    convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1)
    assert_same(load(tmp_path / "back"), load(folder_of("llama")))


# --- copies that drift apart ------------------------------------------------------------------------------------------


@pytest.fixture
def drifted(tmp_path):
    """Shards of two ranks; a layer norm of the second is higher by 0.5, a bias by 0.25 in one place."""
    from safetensors.torch import save_file

    folder = tmp_path / "drifted"
    convert.tp(folder_of("bloom"), folder, tensor_parallel=2)
    shard = shards_of(folder)[1]
    shard["transformer.ln_f.weight"] += 0.5
    shard["transformer.h.1.self_attention.dense.bias"][3] += 0.25
    save_file(shard, folder / "model-tp-01-of-02.safetensors")
    return folder


def test_copies_that_have_drifted_apart_are_reported_and_averaged(drifted, tmp_path):
    import torch

    report = convert.tp(drifted, tmp_path / "back", tensor_parallel=1, verify=True)
    names = ["transformer.h.1.self_attention.dense.bias", "transformer.ln_f.weight"]
    assert sorted(report.drift) == names
    assert [round(report.drift[name], 6) for name in names] == [0.25, 0.5]
    assert "2 replicated tensors differed" in str(report)
    assert "0.5 in transformer.ln_f.weight" in str(report)
    assert json.loads((tmp_path / "back" / "convert.json").read_text())["drift"] == report.drift
    first, second = shards_of(drifted)
    expected = {**load(folder_of("bloom")), **{name: (first[name] + second[name]) / 2 for name in names}}
    found = load(tmp_path / "back")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-7, rtol=1e-6)


def test_more_shards_of_drifted_ones_hold_equal_copies(drifted, tmp_path):
    report = convert.tp(drifted, tmp_path / "four", tensor_parallel=4)
    assert len(report.drift) == 2
    assert convert.tp(tmp_path / "four", tmp_path / "back", tensor_parallel=1).drift == {}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_ranks_that_do_not_divide_the_heads_are_refused(tmp_path):
    for family, ranks, words in [
        ("bloom", 3, "tensor_parallel: expected a divisor of 8 attention heads, got 3"),
        ("llama", 8, "expected a divisor of 4 key and value heads, got 8"),
        ("bloom", 0, "expected a number from 1 on, got 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            convert.tp(folder_of(family), tmp_path / "out", tensor_parallel=ranks)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pad_vocab_size_to": 98}, "pad_vocab_size_to: expected a multiple of 4 from 100 on, got 98"),
        ({"pad_vocab_size_to": 102}, "got 102"),
        ({"vocab_divisible_by": 0}, "vocab_divisible_by: expected a number from 1 on"),
        ({"vocab_padding": "ones"}, "vocab_padding: expected one of repeat, zeros, got 'ones'"),
    ],
)
def test_bad_paddings_are_refused(options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        convert.tp(folder_of("bloom"), tmp_path / "out", tensor_parallel=4, **options)


def test_a_missing_shard_is_named(tmp_path):
    convert.tp(folder_of("bloom"), tmp_path / "shards", tensor_parallel=4)
    (tmp_path / "shards" / "model-tp-02-of-04.safetensors").unlink()
    with pytest.raises(CorruptDataError, match=r"model-tp-02-of-04\.safetensors: expected 4 shards"):
        convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1)


def test_a_missing_shard_of_a_source_is_named(tmp_path):
    folder = copy_of(folder_of("bloom", shard="20KB"), tmp_path / "hf")
    lost = sorted(folder.glob("model-*"))[2]
    lost.unlink()
    with pytest.raises(CorruptDataError, match=f"{lost.name}: expected by model.safetensors.index.json, found none"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)


@pytest.mark.parametrize("keep", [0, 7, 100, -4])
def test_truncated_safetensors_are_refused(keep, tmp_path):
    folder = copy_of(folder_of("bloom"), tmp_path / "hf")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptDataError, match=r"model\.safetensors: expected (a header of )?\d+ bytes, found"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0, 100, -40])
def test_truncated_pickles_are_refused(keep, tmp_path):
    folder = copy_of(folder_of("bloom", pickled=True), tmp_path / "hf")
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((CorruptDataError, UnsupportedFormatError), match=r"pytorch_model\.bin: expected"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)


def damage(header, kind):
    entry = header["transformer.ln_f.bias"]
    if kind == "gap":
        entry["data_offsets"] = [number + 4 for number in entry["data_offsets"]]
    elif kind == "size":
        entry["shape"] = [31]
    elif kind == "negative":
        entry["shape"] = [-32]
    elif kind == "type":
        entry["dtype"] = "F5"
    elif kind == "list":
        return [1]
    return header


@pytest.mark.parametrize("kind", ["gap", "size", "negative", "type", "list"])
def test_damaged_headers_are_refused(kind, tmp_path):
    folder = copy_of(folder_of("bloom"), tmp_path / "hf")
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    text = json.dumps(damage(json.loads(data[8 : 8 + length]), kind)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises((CorruptDataError, UnsupportedFormatError), match=r"model\.safetensors: .*expected"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda state: state.update({"transformer.ln_f.bias": state["transformer.ln_f.bias"][:31]}),
            r"\[32\], found \[31\]",
        ),
        (
            lambda state: state.pop("transformer.h.1.mlp.dense_4h_to_h.bias"),
            r"h\.1\.mlp\.dense_4h_to_h\.bias: expected",
        ),
        (
            lambda state: state.update({"transformer.wpe.weight": state["transformer.ln_f.bias"]}),
            "found transformer.wpe",
        ),
        (
            lambda state: state.update({"transformer.h.3.ln": state["transformer.ln_f.bias"]}),
            r"found transformer\.h\.3",
        ),
    ],
    ids=["shape", "missing", "unknown", "layer"],
)
def test_tensors_that_do_not_fit_the_configuration_are_named(change, words, tmp_path):
    from safetensors.torch import save_file

    folder = copy_of(folder_of("bloom"), tmp_path / "hf")
    state = load(folder)
    change(state)
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "model.safetensors")
    with pytest.raises((CorruptDataError, UnsupportedFormatError), match=words):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)


def test_shards_of_other_shapes_are_named(tmp_path):
    from safetensors.torch import save_file

    convert.tp(folder_of("bloom"), tmp_path / "shards", tensor_parallel=2)
    path = tmp_path / "shards" / "model-tp-01-of-02.safetensors"
    shard = shards_of(tmp_path / "shards")[1]
    name = "transformer.h.0.mlp.dense_h_to_4h.bias"
    save_file({**shard, name: shard[name][:-1].clone()}, path)
    with pytest.raises(CorruptDataError, match=rf"01-of-02.*{name}: expected torch.float32 \[64\].*\[63\]"):
        convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1)
    save_file({key: tensor for key, tensor in shard.items() if key != name}, path)
    with pytest.raises(CorruptDataError, match=f"expected {name}"):
        convert.tp(tmp_path / "shards", tmp_path / "back", tensor_parallel=1)


def test_unknown_families_and_missing_configurations_are_refused(tmp_path):
    folder = copy_of(folder_of("bloom"), tmp_path / "hf")
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(UnsupportedFormatError, match=r"config\.json: model_type: expected one of bloom, llama.*'gpt2'"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)
    (folder / "config.json").write_text(json.dumps({"model_type": "bloom", "n_head": 8, "hidden_size": 32}))
    with pytest.raises(CorruptDataError, match="vocab_size: expected a number"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CorruptDataError, match=r"config\.json: expected a JSON object"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"expected a model's config\.json"):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        convert.tp(folder, tmp_path / "out", tensor_parallel=2)


def test_sizes_of_old_configurations_are_known(tmp_path):
    folder = copy_of(folder_of("bloom"), tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    old = {"n_embed": config.pop("hidden_size"), "num_attention_heads": config.pop("n_head")}
    old["num_hidden_layers"] = config.pop("n_layer")
    assert set(SIZES["bloom"]) == {"vocab_size", "hidden_size", "n_layer", "n_head"}
    (folder / "config.json").write_text(json.dumps(config | old))
    convert.tp(folder, tmp_path / "out", tensor_parallel=8)
    assert len(shards_of(tmp_path / "out")) == 8
