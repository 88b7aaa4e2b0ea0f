"""`make demo`: shards and packs real text that every machine has, and shows what came out.

The text is the sources and documentation of Python's own standard library, plus a few chats written for this file.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
import sysconfig
from pathlib import Path

import bloomdata
from bloomdata.cli import main

FOLDER = Path("demo-output")
CHATS = [
    "<human>: What does a shard hold?\n<bot>: At most 16,384 lines, each one JSON object.\n",
    "<human>: And if a line is broken?\n<bot>: You get file, line and byte offset, or a quarantine that counts it.\n",
    "<human>: ¿Y si el proceso muere?\n<bot>: Run the same command again: it goes on, and the bytes are the same.\n",
]


def write_raw(folder: Path) -> int:
    """Writes one JSONL file of modules and one of chats; returns their bytes."""
    folder.mkdir(parents=True)
    library = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "__pycache__"}
    with (folder / "python.jsonl").open("w", encoding="utf-8") as out:
        for path in sorted(library.rglob("*")):
            if path.suffix in {".py", ".txt", ".rst"} and not skipped & set(path.parts) and path.is_file():
                text = path.read_text("utf-8", errors="replace")
                out.write(json.dumps({"text": text, "source": str(path.relative_to(library))}) + "\n")
    with (folder / "chats.jsonl").open("w", encoding="utf-8") as out:
        for chat in CHATS:
            out.write(json.dumps({"text": chat}, ensure_ascii=False) + "\n")
    return sum(path.stat().st_size for path in folder.iterdir())


def write_instructions(path: Path) -> None:
    """Writes functions of the standard library as instructions: the docstring asks, the code answers."""
    with path.open("w", encoding="utf-8") as out:
        for module in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
            tree = ast.parse(module.read_text("utf-8", errors="replace"))
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and (asked := ast.get_docstring(node)):
                    pair = {"prompt": f"# {asked}", "completion": ast.unparse(node)}
                    out.write(json.dumps(pair, ensure_ascii=True) + "\n")


def run(*arguments: str) -> None:
    """Runs `bloomdata-cli` and shows the command."""
    print(f"\n$ bloomdata-cli {' '.join(arguments)}", flush=True)
    if main(list(arguments)) != 0:
        sys.exit(1)


def demo() -> None:
    """The main job, end to end."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    raw, shards, rows, pair = (str(FOLDER / name) for name in ("raw", "shards", "rows", "megatron"))
    print(f"{write_raw(Path(raw)) / 1e6:.0f} MB of JSONL from Python's standard library, and {len(CHATS)} chats")
    run("shard", raw, "--output", shards, "--max-lines", "1024")
    run("pack", shards, "--output", rows, "--tokenizer", "bytes", "--sequence-length", "2048")
    run("pack", shards, "--output", pair, "--tokenizer", "bytes", "--format", "megatron")
    instructions, chats = FOLDER / "instructions.jsonl", str(FOLDER / "instruction-rows")
    write_instructions(instructions)
    pairs = ["--tokenizer", "bytes", "--sequence-length", "2048", "--record", "prompt_completion"]
    run("plan", str(instructions), *pairs)
    run("pack", str(instructions), "--output", chats, *pairs, "--packing", "best_fit")
    for folder in (shards, rows, pair, chats):
        run("verify", folder)
    run("inspect", rows, "--count", "1", "--max-characters", "300")
    run("inspect", pair, "--count", "2", "--max-characters", "300")
    run("inspect", chats, "--count", "1", "--max-characters", "200")
    dataset = bloomdata.open(rows)
    print(f"\n>>> bloomdata.open({rows!r})[0]['input_ids']\n{dataset[0]['input_ids']}")


if __name__ == "__main__":
    demo()
