"""`convert stages`: OpenChatKit's files of layers and stages, by names written down by hand, both ways."""

from __future__ import annotations

import json

import pytest
from convert_models import assert_same, copy_of, folder_of, load

from bloomdata import convert
from bloomdata.errors import ConfigError, CorruptDataError

pytestmark = pytest.mark.train

FAMILIES = ["bloom", "llama", "gpt_neox"]
# What OpenChatKit's classes of the first and the last module hold.
EMBEDDINGS = {
    "bloom": {"word_embeddings.weight", "word_embeddings_layernorm.weight", "word_embeddings_layernorm.bias"},
    "llama": {"embed_tokens.weight"},
    "gpt_neox": {"embed_in.weight"},
}
HEADS = {
    "bloom": {"ln_f.weight", "ln_f.bias", "lm_head.weight"},
    "llama": {"norm.weight", "lm_head.weight"},
    "gpt_neox": {"final_layer_norm.weight", "final_layer_norm.bias", "embed_out.weight"},
}
PREFIXES = {"bloom": "transformer.h.", "llama": "model.layers.", "gpt_neox": "gpt_neox.layers."}


def load_file(path):
    import torch

    return torch.load(path, weights_only=True)


def layer(family, number):
    """The tensors of a layer, without what stands before their names."""
    before = f"{PREFIXES[family]}{number}."
    return {name[len(before) :]: tensor for name, tensor in load(folder_of(family)).items() if name.startswith(before)}


@pytest.mark.parametrize("family", FAMILIES)
def test_files_of_layers_are_those_of_prepare_pretrained(family, tmp_path):
    out = tmp_path / "out"
    convert.stages(folder_of(family), out)
    assert {path.name for path in out.glob("*.pt")} == {
        "pytorch_embs.pt",
        "pytorch_0.pt",
        "pytorch_1.pt",
        "pytorch_2.pt",
        "pytorch_lm_head.pt",
    }
    assert load_file(out / "pytorch_embs.pt").keys() == EMBEDDINGS[family]
    assert load_file(out / "pytorch_lm_head.pt").keys() == HEADS[family]
    for number in range(3):
        assert_same(load_file(out / f"pytorch_{number}.pt"), layer(family, number))
    for name in ("config.json", "tokenizer.json"):
        assert (out / name).read_bytes() == (folder_of(family) / name).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("num_stages", "layers"), [(1, [3]), (2, [2, 1]), (3, [1, 1, 1])])
def test_files_of_stages_are_those_of_a_training_run(family, num_stages, layers, tmp_path):
    out = tmp_path / "out"
    convert.stages(folder_of(family), out, num_stages=num_stages)
    assert (out / "latest").read_text() == "0"
    assert json.loads((out / "checkpoint_0" / "meta.json").read_text()) == {"step": 0}
    done = 0
    for stage, count in enumerate(layers):
        state = load_file(out / "checkpoint_0" / f"prank_{stage}_checkpoint.pt")
        # The embedding is module 0 of the first stage, the head comes behind the layers of the last one.
        expected = {f"0.{name}" for name in EMBEDDINGS[family]} if stage == 0 else set()
        first = 1 if stage == 0 else 0
        expected |= {f"{first + n}.{name}" for n in range(count) for name in layer(family, done + n)}
        expected |= {f"{first + count}.{name}" for name in HEADS[family]} if stage == num_stages - 1 else set()
        assert state.keys() == expected
        for n in range(count):
            found = {
                name.split(".", 1)[1]: tensor for name, tensor in state.items() if name.startswith(f"{first + n}.")
            }
            assert_same(found, layer(family, done + n))
        done += count


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("num_stages", [None, 1, 2, 3])
def test_there_and_back_gives_the_same_bits(family, dtype, num_stages, tmp_path):
    convert.stages(folder_of(family, dtype), tmp_path / "files", num_stages=num_stages)
    convert.stages(tmp_path / "files", tmp_path / "back")
    assert_same(load(tmp_path / "back"), load(folder_of(family, dtype)))


def test_the_folder_of_a_step_does_as_well(tmp_path):
    convert.stages(folder_of("gpt_neox"), tmp_path / "files", num_stages=1)
    convert.stages(tmp_path / "files" / "checkpoint_0", tmp_path / "back", config=folder_of("gpt_neox"), verify=True)
    assert_same(load(tmp_path / "back"), load(folder_of("gpt_neox")))


def test_weights_may_get_another_type(tmp_path):
    report = convert.stages(folder_of("llama"), tmp_path / "files", dtype="float16", verify=True)
    assert 0 < report.max_logit_difference < 0.1
    convert.stages(tmp_path / "files", tmp_path / "back")
    assert_same(load(tmp_path / "back"), {name: tensor.half() for name, tensor in load(folder_of("llama")).items()})
    assert json.loads((tmp_path / "back" / "config.json").read_text())["dtype"] == "float16"


def test_a_head_that_was_trained_apart_from_its_embedding_is_kept(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    convert.stages(folder_of("bloom"), tmp_path / "files")
    head = load_file(tmp_path / "files" / "pytorch_lm_head.pt")
    head["lm_head.weight"] += 1
    torch.save(head, tmp_path / "files" / "pytorch_lm_head.pt")
    convert.stages(tmp_path / "files", tmp_path / "back", verify=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "back")
    assert torch.equal(model.lm_head.weight, head["lm_head.weight"])
    assert not torch.equal(model.lm_head.weight, model.transformer.word_embeddings.weight)


def test_constants_in_files_of_a_run_are_left_out(tmp_path):
    import torch

    convert.stages(folder_of("gpt_neox"), tmp_path / "files", num_stages=1)
    path = tmp_path / "files" / "checkpoint_0" / "prank_0_checkpoint.pt"
    state = load_file(path)
    state |= {"1.attention.bias": torch.ones(1, 1, 4, 4), "1.attention.rotary_emb.inv_freq": torch.ones(2)}
    torch.save(state, path)
    report = convert.stages(tmp_path / "files", tmp_path / "back")
    assert len(report.left_out) == 2
    assert_same(load(tmp_path / "back"), load(folder_of("gpt_neox")))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_stages", "words"),
    [(0, "expected a number from 1 to 3 layers, got 0"), (4, "expected a number from 1 to 3 layers, got 4")],
)
def test_bad_numbers_of_stages_are_refused(num_stages, words, tmp_path):
    with pytest.raises(ConfigError, match=f"num_stages: {words}"):
        convert.stages(folder_of("llama"), tmp_path / "out", num_stages=num_stages)


def test_stages_of_stages_are_refused(tmp_path):
    convert.stages(folder_of("llama"), tmp_path / "files", num_stages=3)
    with pytest.raises(ConfigError, match="num_stages: expected a folder of Hugging Face as the source"):
        convert.stages(tmp_path / "files", tmp_path / "out", num_stages=1)


@pytest.mark.parametrize("lost", ["pytorch_1.pt", "pytorch_2.pt", "pytorch_lm_head.pt"])
def test_missing_files_of_layers_are_noticed(lost, tmp_path):
    convert.stages(folder_of("llama"), tmp_path / "files")
    files = copy_of(tmp_path / "files", tmp_path / "copy")
    (files / lost).unlink()
    words = "expected 3 layers, found 2" if lost == "pytorch_2.pt" else f"{lost}: expected, found none"
    with pytest.raises(CorruptDataError, match=words):
        convert.stages(files, tmp_path / "back")


@pytest.mark.parametrize(
    ("lost", "words"), [(0, "prank_0_checkpoint.pt: expected"), (1, "prank_1"), (2, "expected an emb")]
)
def test_missing_stages_are_noticed(lost, words, tmp_path):
    convert.stages(folder_of("llama"), tmp_path / "files", num_stages=3)
    files = copy_of(tmp_path / "files", tmp_path / "copy")
    (files / "checkpoint_0" / f"prank_{lost}_checkpoint.pt").unlink()
    with pytest.raises(CorruptDataError, match=words):
        convert.stages(files, tmp_path / "back")


def test_a_layer_that_a_stage_lacks_is_noticed(tmp_path):
    import torch

    convert.stages(folder_of("llama"), tmp_path / "files", num_stages=1)
    path = tmp_path / "files" / "checkpoint_0" / "prank_0_checkpoint.pt"
    torch.save({name: tensor for name, tensor in load_file(path).items() if not name.startswith("2.")}, path)
    with pytest.raises(CorruptDataError, match=r"expected modules 0 to 4, found \[0, 1, 3, 4\]"):
        convert.stages(tmp_path / "files", tmp_path / "back")


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"source: .*: expected pytorch_embs\.pt or prank_0_checkpoint\.pt"):
        convert.stages(tmp_path / "empty", tmp_path / "out", config=folder_of("llama"))
