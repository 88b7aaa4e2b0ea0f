"""What a run exports loads in transformers with the same logits, tokenizer, template and settings; the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from recipes import SIZES, losses_of, recipe_of

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError
from bloomdata.train import packed_inputs, run, token_loss
from bloomdata.train.costs import flops, num_parameters
from bloomdata.train.data import open_data
from bloomdata.train.recipe import read_recipe

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def chats(tmp_path_factory):
    """Packed chats with a real tokenizer and a template; each question has one answer."""
    folder = tmp_path_factory.mktemp("chats")
    lines = []
    for number in range(200):
        asked = {"role": "user", "content": f"Letter {number % 4}?"}
        lines.append(
            json.dumps({"messages": [asked, {"role": "assistant", "content": f"It is {'abcd'[number % 4]}."}]})
        )
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    texts = "\n".join(json.dumps({"text": "".join(chr(code) for code in range(32, 127))}) for _ in range(3))
    (folder / "texts.jsonl").write_text(texts, "utf-8")
    bloomdata.train_tokenizer([folder / "texts.jsonl"], folder / "tokenizer", vocab_size=300, family="bloom")
    options = {
        "tokenizer": folder / "tokenizer",
        "template": "human_bot",
        "sequence_length": 128,
        "packing": "best_fit",
    }
    bloomdata.pack(folder / "chats.jsonl", folder / "packed", **options)
    return folder


@pytest.fixture(scope="module", params=["llama", "bloom"])
def exported(request, chats, tmp_path_factory):
    """A model trained on the chats until it answers, and its folder."""
    folder = tmp_path_factory.mktemp(f"exported-{request.param}")
    recipe = recipe_of(
        str(chats / "packed"),
        request.param,
        steps=320,
        optimizer={"learning_rate": 6e-3},
        schedule={"decay_samples": 2560, "warmup_samples": 16},
        checkpoint={"export": True},
        log={"prompts": ["<human>: Letter 2?\n<bot>:"], "max_new_tokens": 12},
    )
    return run(recipe, folder=folder / "run"), chats


def test_an_exported_model_answers_in_transformers(exported):
    result, _ = exported
    model = transformers.AutoModelForCausalLM.from_pretrained(result.export)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.export)
    assert model.generation_config.use_cache
    for number in range(4):
        asked = [{"role": "user", "content": f"Letter {number}?"}]
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        answer = model.generate(**ids, max_new_tokens=30, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(answer, skip_special_tokens=True) == f" It is {'abcd'[number]}."
        assert answer[-1] == model.generation_config.eos_token_id
    (line,) = [line for line in result.log if "continuations" in line]
    assert line["continuations"][0]["continuation"].startswith(" It is c.")


def test_an_exported_model_has_the_loss_of_the_last_evaluation(exported):
    result, chats = exported
    model = transformers.AutoModelForCausalLM.from_pretrained(result.export)
    read = bloomdata.open(chats / "packed").read_batch(np.arange(4))
    batch = {name: torch.from_numpy(values) for name, values in read.items()}
    with torch.no_grad():
        loss, weight = token_loss(model(**packed_inputs(model, batch)).logits, batch)
    assert loss / weight < 0.2


@pytest.mark.parametrize("exported", ["llama"], indirect=True)
def test_a_lora_is_merged_into_the_export(chats, exported, tmp_path):
    result, _ = exported
    recipe = recipe_of(str(chats / "packed"), steps=3, checkpoint={"export": True})
    recipe["model"] = {"path": result.export, "lora": {"r": 4, "target_modules": ["q_proj", "v_proj"]}}
    tuned = run(recipe, folder=tmp_path / "run")
    before = transformers.AutoModelForCausalLM.from_pretrained(result.export).state_dict()
    after = transformers.AutoModelForCausalLM.from_pretrained(tuned.export).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("q_proj" in name or "v_proj" in name for name in changed)


def test_a_stable_embedding_is_named_in_the_export(markov, tmp_path):
    recipe = recipe_of(markov.rows, steps=2, checkpoint={"export": True}, model={"stable_embedding": True})
    result = run(recipe, folder=tmp_path / "run")
    assert "embed_norm" in (Path(result.export) / "README.md").read_text("utf-8")
    from safetensors import safe_open

    with safe_open(Path(result.export) / "model.safetensors", "pt") as tensors:
        assert any(name.endswith("embed_norm.weight") for name in tensors.keys())  # noqa: SIM118 - no mapping


def test_bits_per_byte_compare_between_tokenizers(chats, tmp_path):
    """The same text under two tokenizers, and a model that gives every token the same chance."""
    from bloomdata.train.tokens import num_bytes

    text = {"text": "The quick brown fox: naïve café, 東京."}
    (tmp_path / "a.jsonl").write_text(json.dumps(text) + "\n", "utf-8")
    for name, tokenizer in (("own", chats / "tokenizer"), ("bytes", "bytes")):
        folder = tmp_path / name
        bloomdata.pack(tmp_path / "a.jsonl", folder, tokenizer=tokenizer, sequence_length=128, packing="greedy")
        found = open_data(read_recipe(recipe_of(str(folder), steps=1))[0]).tokenizer
        batch = bloomdata.open(folder).with_rules().read_batch([0])
        # The first token of a row is no target.
        first = len(bloomdata.Tokenizer(tokenizer).decode(batch["input_ids"][0, :1].tolist()).encode())
        assert num_bytes(found, batch) == len(text["text"].encode()) - first


def test_a_dry_run_shows_costs_and_rows(chats, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
[variables]
rows = "{chats / "packed"}"
[model]
family = "bloom"
sizes = {{ hidden_size = 4096, n_layer = 30, n_head = 32, vocab_size = 250_880 }}
[data]
sources = {{ "{{rows}}" = 1.0 }}
[stage.main]
epochs = 2
""",
        "utf-8",
    )
    assert main(["train", str(recipe), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "7,069,016,064 parameters" in shown
    assert "105.34 GiB a rank, without activations: weights 26.33 GiB" in shown
    assert "[[ It is a.</s>]]" in shown
    assert " epochs" in shown


def test_the_command_line_trains_resumes_compares_and_fails_plainly(markov, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
[model]
family = "llama"
sizes = {json.dumps(SIZES["llama"]).replace('":', '" =')}
[data]
sources = {{ "{markov.rows}" = 1.0 }}
[optimizer]
learning_rate = 3e-3
[stage.main]
steps = 3
""",
        "utf-8",
    )
    for name in ("a", "b"):
        assert main(["train", str(recipe), "--folder", str(tmp_path / name)]) == 0
        shown = capsys.readouterr()
        assert "train main: done at step 3; loss 5." in shown.out
        assert "step 1: loss 5." in shown.err
    assert main(["train", str(recipe), "--folder", str(tmp_path / "a"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3
    with pytest.raises(SystemExit) as ended:
        main(["train", "--compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert ended.value.code == 0
    log = tmp_path / "b" / "log.jsonl"
    log.write_text(log.read_text().replace('"loss": 5', '"loss": 6', 1))
    with pytest.raises(SystemExit) as ended:
        main(["train", "--compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert ended.value.code == 1
    assert "3 steps: the first to differ is 1; largest difference 1 at step 1" in capsys.readouterr().out
    assert main(["train", str(recipe), "--folder", str(tmp_path / "c"), "--engine", "fsdp2"]) == 1
    assert "fsdp2 needs torchrun" in capsys.readouterr().err
    assert main(["train", str(recipe), "--folder", "s3://bucket/run"]) == 1
    assert "--folder: expected a path on this machine, got 's3://bucket/run'" in capsys.readouterr().err
    assert main(["train"]) == 1
    assert "recipe: expected a TOML file, got none" in capsys.readouterr().err


def test_a_run_is_shown_as_text_and_as_a_page(markov, tmp_path, capsys):
    recipe = recipe_of(
        markov.rows,
        steps=12,
        data={"evaluation": {"held-out": markov.evaluation}},
        log={"evaluate_every": 6, "trackers": ["tensorboard"], "profile_steps": 2},
    )
    run(recipe, folder=tmp_path / "run")
    assert main(["report", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "train main: done at step 12; loss 5." in shown
    assert "held-out: loss " in shown
    assert main(["report", str(tmp_path / "run"), "--html", str(tmp_path / "run.html")]) == 0
    page = (tmp_path / "run.html").read_text("utf-8")
    assert page.count("<polyline") == 1
    assert page.count("step 6: held-out") == page.count("step 12: held-out") == 1
    assert "&quot;learning_rate&quot;: 0.003" in page
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert json.loads((tmp_path / "run" / "profile.json").read_text("utf-8"))["traceEvents"]


def test_floating_point_operations_are_those_that_torch_counts():
    """Matrix products by torch's own counter; documents as long as the row, attention without the causal half."""
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=64, **SIZES["llama"], attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config)
    ids = torch.randint(0, 64, (2, 32))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    without, pairs = flops(model, 64, 0), flops(model, 0, 2 * 32**2)
    # Norms are parameters but no matrix products: below one percent.
    assert counter.get_total_flops() == pytest.approx(without + 2 * pairs, rel=0.01)
    assert num_parameters(model) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("engine", "section", "message"),
    [
        ("fsdp2", {"optimizer": {"name": "adamw_8bit"}}, "fsdp2 does not work with adamw_8bit"),
        ("fsdp2", {"optimizer": {"name": "muon"}}, "fsdp2 does not work with muon"),
        ("fsdp2", {"model": {"lora": {"r": 2}}}, "fsdp2 does not work with model.lora"),
        ("deepspeed", {"model": {"compile": True}}, "deepspeed does not work with model.compile"),
        ("megatron", {}, "engine: expected one of torch, fsdp2, deepspeed, accelerate, got 'megatron'"),
    ],
)
def test_engines_refuse_what_does_not_work(markov, tmp_path, engine, section, message):
    with pytest.raises(ConfigError, match=message):
        run(recipe_of(markov.rows, **section), folder=tmp_path / "run", engine=engine)


def test_importing_the_library_loads_no_torch(tmp_path):
    import subprocess
    import sys

    program = "import sys, bloomdata.cli, bloomdata.train.running; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
    assert losses_of
    assert shutil


@pytest.mark.parametrize(
    "name", ["human_bot", "user_system", "alpaca", "chatml", "llama2", "llama3", "zephyr", "mistral"]
)
@pytest.mark.parametrize("asks", [False, True])
def test_exported_templates_mark_what_pack_trains_on(name, asks):
    from transformers.utils.chat_template_utils import render_jinja_template

    from bloomdata.train.generation_marks import marked_template

    special = {"bos_token": "<s>", "eos_token": "</s>"}
    messages = [{"role": role, "content": f" {role} {turn} \n"} for turn in (1, 2) for role in ("user", "assistant")]
    ours = bloomdata.ChatTemplate(name, variables=special)
    (text,), (spans,) = render_jinja_template(
        [messages], chat_template=marked_template(name), return_assistant_tokens_mask=True, **special
    )
    expected = ours.render_trained(messages)
    assert text == expected.text
    assert [text[start:end] for start, end in spans] == [text[start:end] for start, end in expected.trained]
    if asks:
        (text,), _ = render_jinja_template(
            [messages[:1]], chat_template=marked_template(name), add_generation_prompt=True, **special
        )
        assert text == ours.render(messages[:1], add_generation_prompt=True)


def test_templates_by_other_names_have_no_marks():
    from bloomdata.train.generation_marks import marked_template

    assert marked_template("mine.jinja") is None
