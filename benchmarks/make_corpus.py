"""Builds a corpus of real text from what every machine with Python has: sources and docs, no network.

Files of Python's standard library, of the packages installed beside this Python, and of the system's documentation
and headers, each once, in the order of their names. The same files give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from measure import MB

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = {".py", ".pyi", ".md", ".rst", ".txt", ".h", ".hpp", ".c", ".pyx", ".pxd", ".js", ".css", ".html", ".xml"}
SYSTEM_FOLDERS = ["/usr/share/doc", "/usr/include", "/usr/share"]
FILE_BYTES = 64 * MB
# Longer files are tables of numbers or generated code.
MAX_FILE_BYTES = 2 * MB


def default_folders() -> list[Path]:
    """Where text is."""
    python = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib", "include")]
    return [Path(folder) for folder in [*python, *SYSTEM_FOLDERS]]


def documents(folders: list[Path]) -> Iterator[dict[str, str]]:
    """Every text file once: its name below the folder, and what it says."""
    seen = set()
    for folder in folders:
        paths = (path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in paths):
            # Packages beside the standard library are another Python's.
            if "__pycache__" in name or name.startswith("site-packages/") or not path.is_file():
                continue
            if path.stat().st_size > MAX_FILE_BYTES:
                continue
            content = path.read_bytes()
            digest = hashlib.blake2b(content).digest()
            if digest in seen or not content.strip():
                continue
            seen.add(digest)
            try:
                yield {"text": content.decode("utf-8"), "name": name}
            except UnicodeDecodeError:
                continue


def build(folders: list[Path], output: Path, limit_bytes: int) -> int:
    """Writes `part-000.jsonl.zst` and so on; bytes of JSONL."""
    import zstandard

    output.mkdir(parents=True)
    total = in_part = 0
    part: list[bytes] = []

    def finish() -> None:
        nonlocal in_part
        path = output / f"part-{len(list(output.iterdir())):03}.jsonl.zst"
        path.write_bytes(zstandard.ZstdCompressor(level=3).compress(b"".join(part)))
        part.clear()
        in_part = 0

    for document in documents(folders):
        line = json.dumps(document, ensure_ascii=False).encode() + b"\n"
        part.append(line)
        total, in_part = total + len(line), in_part + len(line)
        if in_part >= FILE_BYTES:
            finish()
        if total >= limit_bytes:
            break
    if part:
        finish()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("output", type=Path, help="folder to make")
    parser.add_argument("--mb", type=float, default=120, help="MB of JSONL")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders with text, searched first")
    options = parser.parse_args()
    total = build([*options.also, *default_folders()], options.output, int(options.mb * MB))
    print(f"{options.output}: {total / MB:.0f} MB of JSONL")
    if total < options.mb * MB:
        sys.exit(f"found less than {options.mb:g} MB: name more folders with --also")


if __name__ == "__main__":
    main()
