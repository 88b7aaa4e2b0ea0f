"""`convert mindformers`: names and order of a NumPy reference, MindSpore's own files, and the way back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from convert_mindspore import CHECKPOINT, CUTS, MERGED, STAGES
from convert_models import assert_same, copy_of, folder_of, load, new_model

from bloomdata import convert
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

pytestmark = pytest.mark.train

FORMATS = ["safetensors", "npz", "ckpt"]


def arrays_of(folder):
    """What a written file holds, by the libraries of its format, `.ckpt` by our own reader."""
    from safetensors.numpy import load_file

    from bloomdata.convert.mindspore_files import read_mindspore

    (path,) = folder.glob("combine.*")
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return dict(archive)
    if path.suffix == ".safetensors":
        return load_file(path)
    return {name: tensor.read().numpy() for name, tensor in read_mindspore(path).items()}


# --- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("bare", [False, True])
def test_names_and_order_are_those_of_the_reference(kind, bare, tmp_path):
    from reference.convert_mindformers import renamed

    source = folder_of("bloom", bare=bare)
    convert.mindformers(source, tmp_path / "out", format=kind)
    expected = renamed({name: tensor.numpy() for name, tensor in load(source).items()}, num_heads=8)
    found = arrays_of(tmp_path / "out")
    assert len(expected) == 5 + 3 * 16
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_there_and_back_gives_the_same_bits(kind, dtype, tmp_path):
    source = folder_of("bloom", dtype)
    if (kind, dtype) == ("npz", "bfloat16"):
        with pytest.raises(ConfigError, match="NumPy has no bfloat16; dtype='float32' keeps every value"):
            convert.mindformers(source, tmp_path / "out", format=kind)
        convert.mindformers(source, tmp_path / "ms", format=kind, dtype="float32")
        convert.mindformers(tmp_path / "ms", tmp_path / "back", dtype="bfloat16")
    else:
        convert.mindformers(source, tmp_path / "ms", format=kind)
        convert.mindformers(tmp_path / "ms", tmp_path / "back")
    assert_same(load(tmp_path / "back"), load(source))
    assert json.loads((tmp_path / "back" / "config.json").read_text())["dtype"] == dtype


def test_a_file_alone_does_as_well_and_becomes_another_kind(tmp_path):
    convert.mindformers(folder_of("bloom"), tmp_path / "a", format="ckpt")
    (tmp_path / "alone").mkdir()
    path = (tmp_path / "a" / "combine.ckpt").rename(tmp_path / "alone" / "bloom.ckpt")
    convert.mindformers(path, tmp_path / "b", format="npz", config=folder_of("bloom"), verify=True)
    convert.mindformers(tmp_path / "b", tmp_path / "back", verify=True)
    assert_same(load(tmp_path / "back"), load(folder_of("bloom")))


def test_a_head_of_its_own_has_no_prefix(tmp_path):
    new_model("bloom", tie_word_embeddings=False).save_pretrained(tmp_path / "hf")
    convert.mindformers(tmp_path / "hf", tmp_path / "out", format="npz")
    assert "head.weight" in arrays_of(tmp_path / "out")
    convert.mindformers(tmp_path / "out", tmp_path / "back")
    assert_same(load(tmp_path / "back"), load(tmp_path / "hf"))


def test_the_state_of_the_optimizer_is_left_out(tmp_path):
    convert.mindformers(folder_of("bloom"), tmp_path / "a", format="npz")
    arrays = arrays_of(tmp_path / "a")
    more = {f"{kind}.{name}": array for kind in ("adam_m", "adam_v", "accu_grads") for name, array in arrays.items()}
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b" / "run.npz", **arrays, **more, global_step=np.int32(5), scale_sense=np.float32(1))
    report = convert.mindformers(tmp_path / "b", tmp_path / "back", config=folder_of("bloom"))
    assert len(report.left_out) == 3 * len(arrays) + 2
    assert "161 tensors left out" in str(report)
    assert_same(load(tmp_path / "back"), load(folder_of("bloom")))


# --- MindSpore's own files --------------------------------------------------------------------------------------------


def test_checkpoints_of_mindspore_are_read_and_written_byte_for_byte(tmp_path):
    import torch

    from bloomdata.convert.mindspore_files import read_mindspore, write_mindspore
    from bloomdata.convert.output import NewFile

    path = tmp_path / "a.ckpt"
    path.write_bytes(CHECKPOINT)
    tensors = read_mindspore(path)
    found = {name: tensor.read() for name, tensor in tensors.items()}
    assert found.keys() == {"a.weight", "b", "c", "s"}
    assert torch.equal(found["a.weight"], torch.arange(6.0).view(2, 3))
    assert torch.equal(found["b"], torch.ones(4, dtype=torch.float16))
    assert torch.equal(found["c"], torch.ones(4, dtype=torch.bfloat16))
    assert torch.equal(found["s"], torch.tensor(3, dtype=torch.int32))
    with NewFile(tmp_path / "b.ckpt", lambda _: None) as file:
        write_mindspore(file, tensors)
    assert (tmp_path / "b.ckpt").read_bytes() == CHECKPOINT


def test_large_tensors_stand_in_pieces(tmp_path, monkeypatch):
    from bloomdata.convert import mindspore_files

    convert.mindformers(folder_of("bloom"), tmp_path / "whole", format="ckpt")
    monkeypatch.setattr(mindspore_files, "_PIECE_BYTES", 100)
    convert.mindformers(folder_of("bloom"), tmp_path / "pieces", format="ckpt")
    sizes = [(tmp_path / name / "combine.ckpt").stat().st_size for name in ("whole", "pieces")]
    assert sizes[1] > sizes[0] * 1.2
    convert.mindformers(tmp_path / "pieces", tmp_path / "back")
    assert_same(load(tmp_path / "back"), load(folder_of("bloom")))


@pytest.mark.parametrize("merged", [False, True])
def test_strategies_of_mindspore_put_ranks_together(merged, tmp_path):
    from bloomdata.convert.mindspore_strategies import read_ranks, read_strategies
    from reference.convert_mindformers import piece

    rng = np.random.default_rng(0)
    whole = {name: rng.standard_normal(cut[0]) for cuts in CUTS.values() for name, cut in cuts.items()}
    for stage, cuts in CUTS.items():
        for rank in range(8):
            folder = tmp_path / "ranks" / f"rank_{stage * 8 + rank}"
            folder.mkdir(parents=True)
            np.savez(folder / "a.npz", **{name: piece(whole[name], *cut[1:], rank) for name, cut in cuts.items()})
    if merged:
        (tmp_path / "strategy.ckpt").write_bytes(MERGED)
        strategies = read_strategies(tmp_path / "strategy.ckpt")
    else:
        (tmp_path / "strategies").mkdir()
        for stage, content in enumerate(STAGES):
            (tmp_path / "strategies" / f"s{stage}.ckpt").write_bytes(content)
        strategies = read_strategies(tmp_path / "strategies")
    assert {name for cuts in strategies.values() for name in cuts} == whole.keys()
    found = read_ranks(tmp_path / "ranks", strategies)
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].read().numpy(), array)


def json_strategy(arrays, mp, dp):
    """A strategy in JSON: embedding and matrices by rows over `mp`, the rest on all ranks."""
    items = {}
    for name, array in arrays.items():
        is_cut = array.ndim == 2
        items[name] = {
            "dev_matrix": [dp, mp],
            "tensor_map": [0, -1] if is_cut else [-1] * array.ndim,
            "field": 0,
            "opt_weight_shard_step": mp if is_cut else 0,
            "opt_weight_shard_size": dp if is_cut else 0,
        }
    return {"parallel_strategy_item": {"node": {"stage": 0}}, "parallel_layout_item": items}


@pytest.fixture
def ranks(tmp_path):
    """A model on two times two ranks with a parallel optimizer, and its strategy."""
    from reference.convert_mindformers import piece

    convert.mindformers(folder_of("bloom"), tmp_path / "one", format="npz")
    arrays = arrays_of(tmp_path / "one")
    strategy = json_strategy(arrays, mp=2, dp=2)
    for rank in range(4):
        folder = tmp_path / "ranks" / f"rank_{rank}"
        folder.mkdir(parents=True)
        parts = {
            name: piece(
                array, [2, 2], item["tensor_map"], item["opt_weight_shard_step"], item["opt_weight_shard_size"], rank
            )
            for (name, array), item in zip(arrays.items(), strategy["parallel_layout_item"].values(), strict=True)
        }
        np.savez(folder / "bloom-1.npz", **{name: np.zeros_like(part) for name, part in parts.items()})
        np.savez(folder / "bloom-2.npz", **parts, global_step=np.int32(7))
    (tmp_path / "strategy.json").write_text(json.dumps(strategy))
    return tmp_path / "ranks"


def test_folders_of_ranks_become_a_model_or_one_file(ranks, tmp_path):
    options = {"strategy": tmp_path / "strategy.json", "config": folder_of("bloom")}
    report = convert.mindformers(ranks, tmp_path / "hf", **options, verify=True)
    assert report.left_out == ("global_step",)
    assert_same(load(tmp_path / "hf"), load(folder_of("bloom")))
    convert.mindformers(ranks, tmp_path / "file", format="safetensors", **options)
    one, again = arrays_of(tmp_path / "one"), arrays_of(tmp_path / "file")
    assert one.keys() == again.keys()
    assert all(np.array_equal(one[name], again[name]) for name in one)


def test_ranks_need_a_strategy_and_must_all_be_there(ranks, tmp_path):
    options = {"config": folder_of("bloom")}
    with pytest.raises(ConfigError, match="strategy: expected strategy files for the 4 ranks"):
        convert.mindformers(ranks, tmp_path / "hf", **options)
    options["strategy"] = tmp_path / "strategy.json"
    copy = copy_of(ranks, tmp_path / "copy")
    for path in (copy / "rank_1").iterdir():
        path.unlink()
    with pytest.raises(CorruptDataError, match="rank_1: expected a checkpoint, found none"):
        convert.mindformers(copy, tmp_path / "hf", **options)
    copy = copy_of(ranks, tmp_path / "copy2")
    (copy / "rank_3").rename(tmp_path / "gone")
    with pytest.raises(CorruptDataError, match="expected 1 stages of 4 ranks, found 3 ranks"):
        convert.mindformers(copy, tmp_path / "hf", **options)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("keep", [0, 50, -30])
def test_truncated_files_are_refused(kind, keep, tmp_path):
    convert.mindformers(folder_of("bloom"), tmp_path / "a", format=kind)
    folder = copy_of(tmp_path / "a", tmp_path / "b")
    path = folder / f"combine.{kind}"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptDataError, match="expected"):
        convert.mindformers(folder, tmp_path / "back")
    assert not (tmp_path / "back" / "model.safetensors").exists()


def test_parts_that_do_not_fit_are_named(tmp_path):
    convert.mindformers(folder_of("bloom"), tmp_path / "a", format="npz")
    arrays = arrays_of(tmp_path / "a")
    name = "transformer.blocks.1.attention.dense2.weight"
    cases = {
        "missing": ({key: array for key, array in arrays.items() if key != name}, f"expected {name} of the same shape"),
        "shape": ({**arrays, name: arrays[name][:16]}, "of the same shape beside it"),
        "unknown": ({**arrays, "transformer.blocks.0.moe": arrays[name]}, r"expected weights of BLOOM, found .*\.moe"),
        "transposed": (
            {**arrays, "transformer.blocks.0.output.mapping.weight": np.zeros((128, 32), "f4")},
            r"\[128, 32\], found",
        ),
    }
    for kind, (content, words) in cases.items():
        (tmp_path / kind).mkdir()
        np.savez(tmp_path / kind / "x.npz", **content)
        with pytest.raises((CorruptDataError, UnsupportedFormatError), match=words):
            convert.mindformers(tmp_path / kind, tmp_path / "back", config=folder_of("bloom"))


def test_bad_options_and_other_families_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="format: expected one of huggingface, safetensors, npz, ckpt, got 'onnx'"):
        convert.mindformers(folder_of("bloom"), tmp_path / "out", format="onnx")
    with pytest.raises(UnsupportedFormatError, match="model_type: expected bloom, found 'llama'"):
        convert.mindformers(folder_of("llama"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ConfigError, match=r"source: .*expected one file of \.ckpt, \.safetensors, \.npz or rank_0, found 0"
    ):
        convert.mindformers(tmp_path / "empty", tmp_path / "out", config=folder_of("bloom"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x96\x01" * 3, "expected strategies of MindSpore, found none"),
        (b"\x1a\xff\xff\xff", "expected a (message|number) of protobuf"),
        (b"\x1a\x04\x0a\x02ab", "expected a parameter and its layout"),
        (b"hello world", "expected"),
    ],
)
def test_damaged_strategies_are_refused(content, words, tmp_path):
    from bloomdata.convert.mindspore_strategies import read_strategies

    path = tmp_path / "s.ckpt"
    path.write_bytes(content)
    with pytest.raises((ConfigError, CorruptDataError), match=words):
        read_strategies(path)
    for text in ("", "[]", '{"parallel_layout_item": {"a": {}}}'):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(CorruptDataError, match=r"s\.json: expected a strategy of MindSpore"):
            read_strategies(tmp_path / "s.json")


def test_a_missing_strategy_of_a_stage_is_noticed(tmp_path):
    from bloomdata.convert.mindspore_strategies import read_strategies

    path = tmp_path / "s1.ckpt"
    path.write_bytes(STAGES[1])
    with pytest.raises(CorruptDataError, match=r"expected stages 0 to 1, found \[1\]"):
        read_strategies(path)
