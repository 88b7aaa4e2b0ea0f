"""`convert ascend`: names and files of AscendSpeed's converter, written down by hand, and the way back."""

from __future__ import annotations

import json

import pytest
from convert_models import assert_same, copy_of, folder_of, load, new_model

from bloomdata import convert
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

pytestmark = pytest.mark.train

# Of a layer, and how it is cut for two ranks (hidden 32, 8 heads).
LAYER = {
    "input_layernorm.weight": [32],
    "input_layernorm.bias": [32],
    "self_attention.query_key_value.weight": [48, 32],
    "self_attention.query_key_value.bias": [48],
    "self_attention.dense.weight": [32, 16],
    "self_attention.dense.bias": [32],
    "post_attention_layernorm.weight": [32],
    "post_attention_layernorm.bias": [32],
    "mlp.dense_h_to_4h.weight": [64, 32],
    "mlp.dense_h_to_4h.bias": [64],
    "mlp.dense_4h_to_h.weight": [32, 64],
    "mlp.dense_4h_to_h.bias": [32],
}
EMBEDDING = {
    "tied_modules.embed.word_embeddings.weight": [128, 32],
    "tied_modules.embed.word_embeddings.norm.weight": [32],
    "tied_modules.embed.word_embeddings.norm.bias": [32],
}


def layers(*numbers):
    return {f"{number}.{name}": shape for number in numbers for name, shape in LAYER.items()}


def norm(number):
    return {f"{number}.final_layernorm.weight": [32], f"{number}.final_layernorm.bias": [32]}


def shapes(state):
    return {name: list(tensor.shape) for name, tensor in state.items()}


def load_file(path):
    import torch

    return torch.load(path, weights_only=True)


def test_names_and_files_of_one_stage(tmp_path):
    out = tmp_path / "out"
    convert.ascend(folder_of("bloom"), out, tensor_parallel=2)
    assert (out / "latest").read_text() == "release\n"
    assert sorted(path.name for path in (out / "release").iterdir()) == [
        "mp_rank_00_model_states.pt",
        "mp_rank_01_model_states.pt",
    ]
    for rank in (0, 1):
        state = load_file(out / "release" / f"mp_rank_0{rank}_model_states.pt")
        assert state.keys() == {"checkpoint_version", "module", "dp_world_size"}
        assert (state["checkpoint_version"], state["dp_world_size"]) == (3.0, 0)
        # Three layers, from 3 on; the last norm is at the number of layers + 4.
        assert shapes(state["module"]["module"]) == EMBEDDING | layers(3, 4, 5) | norm(7)


def test_names_and_files_of_a_pipeline(tmp_path):
    out = tmp_path / "out"
    convert.ascend(folder_of("bloom"), out, tensor_parallel=2, pipeline_layers=[2, 1])
    expected = [EMBEDDING | layers(3, 4)] * 2 + [layers(5) | norm(7)] * 2
    for number, names in enumerate(expected):
        state = load_file(out / "release" / f"mp_rank_{number:02d}_model_states.pt")
        assert shapes(state["module"]["module"]) == names
    assert len(list((out / "release").iterdir())) == 4


def test_names_and_files_of_megatron(tmp_path):
    out = tmp_path / "out"
    convert.ascend(folder_of("bloom"), out, tensor_parallel=2, format="megatron")
    assert (out / "latest_checkpointed_iteration.txt").read_text() == "release\n"
    assert sorted(path.name for path in (out / "release").iterdir()) == ["mp_rank_00", "mp_rank_01"]
    state = load_file(out / "release" / "mp_rank_01" / "model_optim_rng.pt")
    assert state["checkpoint_version"] == 3.0
    assert shapes(state["model"]) == EMBEDDING | layers(3, 4, 5) | norm(7)
    convert.ascend(folder_of("bloom"), tmp_path / "two", tensor_parallel=1, pipeline_layers=[1, 2], format="megatron")
    assert sorted(path.name for path in (tmp_path / "two" / "release").iterdir()) == [
        "mp_rank_00_000",
        "mp_rank_00_001",
    ]


def test_the_stages_of_bloom_176b(tmp_path):
    new_model("bloom", n_layer=70, hidden_size=8, n_head=2).save_pretrained(tmp_path / "hf")
    convert.ascend(tmp_path / "hf", tmp_path / "out", pipeline_layers=[6] * 11 + [4])
    last = load_file(tmp_path / "out" / "release" / "mp_rank_11_model_states.pt")["module"]["module"]
    assert {name.split(".")[0] for name in last} == {"69", "70", "71", "72", "74"}
    convert.ascend(tmp_path / "out", tmp_path / "back")
    assert_same(load(tmp_path / "back"), load(tmp_path / "hf"))


def test_parts_are_those_of_tensor_parallelism(tmp_path):
    import torch

    from reference.convert_tensor_parallel import split

    convert.ascend(folder_of("bloom"), tmp_path / "out", tensor_parallel=4, vocab_divisible_by=8)
    for rank, part in enumerate(split(load(folder_of("bloom")), "bloom", 4, 128)):
        state = load_file(tmp_path / "out" / "release" / f"mp_rank_0{rank}_model_states.pt")["module"]["module"]
        embedding = state["tied_modules.embed.word_embeddings.weight"]
        assert torch.equal(embedding, part["transformer.word_embeddings.weight"])
        name = "self_attention.dense.weight"
        assert torch.equal(state[f"4.{name}"], part[f"transformer.h.1.{name}"])
        # Every tensor has a storage of its own: a view would have brought the whole tensor into the file.
        assert embedding.untyped_storage().nbytes() == embedding.nbytes


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tensor_parallel": 8},
        {"tensor_parallel": 2, "pipeline_layers": [1, 1, 1]},
        {"tensor_parallel": 2, "pipeline_layers": [2, 1], "format": "megatron"},
        {"tensor_parallel": 4, "format": "megatron", "vocab_padding": "zeros"},
    ],
    ids=str,
)
def test_there_and_back_gives_the_same_bits(options, dtype, bare, tmp_path):
    convert.ascend(folder_of("bloom", dtype, bare=bare), tmp_path / "ascend", **options)
    report = convert.ascend(tmp_path / "ascend", tmp_path / "back")
    assert report.drift == {}
    assert_same(load(tmp_path / "back"), load(folder_of("bloom", dtype)))
    assert (tmp_path / "back" / "tokenizer.json").exists()


def test_other_numbers_of_ranks_and_stages_are_as_from_the_model(tmp_path):
    source = folder_of("bloom", "float16")
    convert.ascend(source, tmp_path / "a", tensor_parallel=8, pipeline_layers=[1, 2])
    convert.ascend(tmp_path / "a", tmp_path / "b", tensor_parallel=2, pipeline_layers=[2, 1])
    convert.ascend(source, tmp_path / "c", tensor_parallel=2, pipeline_layers=[2, 1])
    files = sorted((tmp_path / "b" / "release").iterdir())
    assert len(files) == 4
    for path in files:
        direct = load_file(tmp_path / "c" / "release" / path.name)["module"]["module"]
        assert_same(load_file(path)["module"]["module"], direct)


def test_folders_of_a_training_run_are_read(tmp_path):
    """A number in `latest`, a copy of the embedding in the last stage, arguments beside the weights, drifted norms."""
    import argparse

    import torch

    convert.ascend(folder_of("bloom"), tmp_path / "a", tensor_parallel=2, pipeline_layers=[2, 1], format="megatron")
    run = tmp_path / "run"
    (tmp_path / "a" / "release").rename(tmp_path / "a" / "iter_0001000")
    (tmp_path / "a" / "latest_checkpointed_iteration.txt").write_text("1000")
    for name in ("convert.json", "config.json", "tokenizer.json"):
        (tmp_path / "a" / name).unlink()
    (tmp_path / "a").rename(run)
    for rank in (0, 1):
        first, last = (run / "iter_0001000" / f"mp_rank_0{rank}_00{stage}" / "model_optim_rng.pt" for stage in (0, 1))
        state, embedding = load_file(last), load_file(first)["model"]["tied_modules.embed.word_embeddings.weight"]
        state["model"]["tied_modules.embed.word_embeddings.weight"] = embedding
        state["model"]["7.final_layernorm.weight"] += rank
        state["args"] = argparse.Namespace(num_layers=3)
        torch.save(state, last)
    with pytest.raises(ConfigError, match=r"expected a model's config\.json.*config=FOLDER"):
        convert.ascend(run, tmp_path / "back")
    report = convert.ascend(run, tmp_path / "back", config=folder_of("bloom"), verify=True)
    assert report.drift == {"transformer.ln_f.weight": pytest.approx(1.0)}
    expected = load(folder_of("bloom"))
    expected["transformer.ln_f.weight"] = expected["transformer.ln_f.weight"] + 0.5
    found = load(tmp_path / "back")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=0)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pipeline_layers": [2, 2]}, "pipeline_layers: expected numbers from 1 on with a sum of 3, got 2,2"),
        ({"pipeline_layers": [3, 0]}, "got 3,0"),
        ({"tensor_parallel": 3}, "tensor_parallel: expected a divisor of 8 attention heads, got 3"),
        ({"format": "nemo"}, "format: expected one of deepspeed, megatron, got 'nemo'"),
    ],
)
def test_bad_options_are_refused(options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        convert.ascend(folder_of("bloom"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_other_families_are_refused(tmp_path):
    with pytest.raises(UnsupportedFormatError, match="model_type: expected bloom, found 'llama'"):
        convert.ascend(folder_of("llama"), tmp_path / "out")


@pytest.fixture
def written(tmp_path):
    convert.ascend(folder_of("bloom"), tmp_path / "ascend", tensor_parallel=2, pipeline_layers=[2, 1])
    return copy_of(tmp_path / "ascend", tmp_path / "copy")


def test_missing_files_are_named(written, tmp_path):
    (written / "release" / "mp_rank_01_model_states.pt").unlink()
    with pytest.raises(CorruptDataError, match=r"mp_rank_01_model_states\.pt: expected, found none"):
        convert.ascend(written, tmp_path / "back")


def test_a_missing_last_file_is_noticed(written, tmp_path):
    (written / "release" / "mp_rank_03_model_states.pt").unlink()
    with pytest.raises(CorruptDataError, match="expected a multiple of 2 files, found 3"):
        convert.ascend(written, tmp_path / "back")


def test_a_missing_stage_is_noticed(written, tmp_path):
    for rank in (2, 3):
        (written / "release" / f"mp_rank_0{rank}_model_states.pt").unlink()
    with pytest.raises(CorruptDataError, match=r"transformer\.h\.2\.input_layernorm\.weight: expected, found none"):
        convert.ascend(written, tmp_path / "back")


def test_names_of_no_layer_are_refused(written, tmp_path):
    config = json.loads((written / "config.json").read_text())
    (written / "config.json").write_text(json.dumps({**config, "n_layer": 2}))
    with pytest.raises(UnsupportedFormatError, match=r"tensor 5\..*: expected weights of 2 layers of BLOOM"):
        convert.ascend(written, tmp_path / "back")


def test_a_name_of_another_folder_in_latest_is_refused(written, tmp_path):
    (written / "latest").write_text("../ascend/release")
    with pytest.raises(CorruptDataError, match="latest: expected the name of a folder beside it"):
        convert.ascend(written, tmp_path / "back")


def test_pickles_that_would_run_code_are_refused(written, tmp_path):
    import torch

    class Attack:
        def __reduce__(self):
            return (print, ("attacked",))

    path = written / "release" / "mp_rank_00_model_states.pt"
    torch.save({"module": Attack()}, path)
    with pytest.raises(UnsupportedFormatError, match=r"mp_rank_00_model_states\.pt: expected tensors and plain values"):
        convert.ascend(written, tmp_path / "back")
