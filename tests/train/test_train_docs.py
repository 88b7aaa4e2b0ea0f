"""Commands and examples of the README and of docs/training.md that need torch run."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import transformers

import bloomdata
from bloomdata.cli import main
from bloomdata.cli.parser import parse

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = (ROOT / "docs" / "training.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The recipes and some packed folders, where the examples run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "recipes", "recipes")
    words = " ".join(f"word{number}" for number in range(40))
    Path("a.jsonl").write_text("".join(json.dumps({"text": words}) + "\n" for _ in range(40)), "utf-8")
    for name in ("packed", "books", "web", "held-out"):
        bloomdata.pack("a.jsonl", name, tokenizer="bytes", sequence_length=64, packing="full")
    for name in ("books", "web", "held-out"):
        shutil.copytree(name, f"packed/{name}")
    return tmp_path


def commands(text, verb):
    """Lines of the program with their words."""
    joined = text.replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ") for line in joined if re.match(r"\$ (bloomdata-cli|torchrun)", line)]
    words = [shlex.split(line, comments=True) for line in lines]
    at = [next(place for place, word in enumerate(one) if word in {"bloomdata-cli", "bloomdata"}) for one in words]
    found = [one[place + 1 :] for one, place in zip(words, at, strict=True)]
    return [one for one in found if one[0] == verb]


def test_the_smoke_recipe_of_the_readme_trains(folder, capsys):
    (command,) = [one for one in commands(README, "train") if "recipes/smoke.toml" in one]
    assert main(command) == 0
    assert "train smoke: done at step" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["train", "convert"])
def test_all_commands_of_the_pages_parse_and_name_recipes_that_exist(verb, folder):
    found = [*commands(README, verb), *commands(DOCS, verb)]
    assert found
    for command in found:
        if "--compare" not in command:
            options = parse(command)
            if verb == "train":
                assert Path(options.recipe).exists()


def test_the_python_examples_of_the_page_run(folder):
    run, loop = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    (recipe,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    for whole, part in (("rows = 128", "rows = 4"), ("epochs = 1", "steps = 1"), ("every = 500", "every = 1")):
        assert whole in recipe
        recipe = recipe.replace(whole, part)
    Path("recipe.toml").write_text(recipe, "utf-8")
    exec(compile(run, "training.md", "exec"), {"bloomdata": bloomdata})
    config = transformers.BloomConfig(vocab_size=259, hidden_size=32, n_layer=1, n_head=2)
    model = transformers.BloomForCausalLM(config)
    exec(compile(loop, "training.md", "exec"), {"bloomdata": bloomdata, "model": model})
    assert model.lm_head.weight.grad.abs().sum() > 0


def test_every_option_of_a_recipe_is_described():
    import dataclasses

    from bloomdata.train.recipe import _SECTIONS

    for name, kind in _SECTIONS.items():
        for field in dataclasses.fields(kind):
            assert re.search(rf"^        {field.name}: ", kind.__doc__, re.MULTILINE), f"{name}.{field.name}"
        assert f"`{name}`" in DOCS
