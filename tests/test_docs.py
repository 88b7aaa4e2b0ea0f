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
NAMES += ["ShardedIndexedDataset", "GPTDataset", "MegatronBlend"]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_of_a_docstring_runs(name, raw):
    thing = getattr(bloomdata, name)
    assert ">>>" in thing.__doc__, f"{name} has no example"
    test = doctest.DocTestParser().get_doctest(thing.__doc__, {"bloomdata": bloomdata}, name, None, 0)
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
        words = ["bytes" if word in {"tokenizer.json", "bloom/"} else word for word in command]
        words = ["0" if words[i - 1] == "--index" else word for i, word in enumerate(words)]
        if words[0] == "merge":
            for number in ("1", "2"):
                shutil.copytree("megatron", f"megatron-{number}")
        assert main(words) == 0, capsys.readouterr().err


def test_the_changelog_names_the_version():
    assert f"## {bloomdata.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
