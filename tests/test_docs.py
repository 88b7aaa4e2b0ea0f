"""Examples in docstrings and in the README run, and the README names what exists."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from pathlib import Path

import pytest

import bloomdata

ROOT = Path(__file__).parents[1]


NAMES = ["shard", "pack", "count", "plan", "merge", "verify", "check_consumer", "open", "Tokenizer"]
NAMES += ["Permutation", "PackedDataset", "TokenRows", "BlendedDataset", "DataLoader"]
NAMES += ["IndexedDatasetWriter", "ShardedIndexedDataset", "GPTDataset", "MegatronBlend"]
NAMES += ["ChatTemplate", "prepare", "run", "dedup", "MinHash", "signatures", "decontaminate"]
NAMES += ["fetch", "few_shot", "pack_moderation", "prefix_lm", "ul2r", "finish"]


@pytest.fixture(autouse=True)
def chats(raw):
    """Files that the README names, where it runs."""
    dolly = '{"instruction": "Say hi", "context": "", "response": "Hi."}\n'
    Path("dolly.jsonl").write_text(dolly)
    Path("preferences.jsonl").write_text('{"prompt": "Hi?", "chosen": "Hello.", "rejected": "No."}\n')
    message = '{"message_id": "%s", "parent_id": %s, "role": "%s", "text": "%s"}\n'
    rows = [("1", "null", "prompter", "Hi?"), ("2", '"1"', "assistant", "Hello.")]
    Path("oasst1.jsonl").write_text("".join(message % row for row in rows))
    Path("recipes").mkdir()
    shutil.copy(ROOT / "recipes" / "bloomchat.toml", "recipes")
    Path("evals").mkdir()
    Path("evals/questions.jsonl").write_text('{"id": 1, "question": "one two three four five six seven eight nine"}\n')


@pytest.mark.parametrize("name", NAMES)
def test_every_example_of_a_docstring_runs(name, raw):
    thing = getattr(bloomdata, name)
    Path("dolly.jsonl").write_text('{"instruction": "Hi", "context": "", "response": "Hello"}\n')
    assert ">>>" in thing.__doc__, f"{name} has no example"
    test = doctest.DocTestParser().get_doctest(thing.__doc__, {"bloomdata": bloomdata, "Path": Path}, name, None, 0)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_python_example_of_the_readme_runs(raw, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "documents in" in capsys.readouterr().out


def test_every_command_of_the_readme_runs(raw, monkeypatch, capsys):
    from bloomdata.cli import main

    text = (ROOT / "README.md").read_text("utf-8").replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ bloomdata-cli ")]
    assert len(lines) >= 9
    Path("chats.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 8)
    for line in lines:
        command = shlex.split(line, comments=True)[1:]
        # These need torch: tests/train/test_train_docs.py, tests/inference/test_inference_docs.py.
        if command[0] in {"train", "convert", "generate", "chat", "web", "serve", "evaluate"}:
            continue
        words = ["bytes" if word in {"tokenizer.json", "bloom/"} else word for word in command]
        words = [word.replace("tokenizer=tokenizer.json", "tokenizer=bytes") for word in words]
        words = ["0" if words[i - 1] == "--index" else word for i, word in enumerate(words)]
        if words[0] == "merge":
            for number in ("1", "2"):
                shutil.copytree("megatron", f"megatron-{number}")
        if "--list" in words:
            with pytest.raises(SystemExit, match="0"):
                main(words)
            continue
        assert main(words) == 0, capsys.readouterr().err


def test_the_commands_and_the_example_of_the_page_on_parts_run(raw, capsys):
    from bloomdata.cli import main
    from bloomdata.cli.parser import parse

    text = (ROOT / "docs" / "parts.md").read_text("utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "parts.md", "exec"), {})
    lines = re.findall(r"^\$ bloomdata-cli (.*)$", text, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.replace("tokenizer.json", "bytes").split(" > ")[0], comments=True)
        if "--ray" in words or "s3://" in line:  # tests/test_parts_ray.py, tests/storage
            parse(words)
        else:
            assert main(words) == 0, capsys.readouterr().err
    assert "8 parts: 8 done\n" in capsys.readouterr().out
    assert Path("megatron/data_text_document.idx").exists()


def test_the_changelog_names_the_version():
    assert f"## {bloomdata.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
