"""Names of the Hugging Face hub: their files in the local cache, if they are there. Nothing is downloaded."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_MODEL = re.compile(r"[\w.-]+(/[\w.-]+)?")
_ADDRESS = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(/.*)?")
# Words in the names of files that say of which split they are, as `datasets` reads them.
_WORDS = "train|training|test|testing|eval|evaluation|dev|validation|valid|val"
_SPLIT = re.compile(rf"(?:^|[/._ -])({_WORDS})(?=[/._ 0-9-])")
_SPLITS = {"training": "train", "testing": "test", "eval": "test", "evaluation": "test"}
_SPLITS |= dict.fromkeys(("dev", "valid", "val"), "validation")


def cache_folder() -> Path:
    """Where `huggingface_hub` keeps files: `HF_HUB_CACHE`, else `hub` in `HF_HOME`."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def cached_dataset(text: str) -> str:
    """The files of a dataset that is named as on the hub, such as `owner/name` or `hf://datasets/owner/name/*.parquet`.

    Other paths, and those that exist here, come back as they are.

    Raises:
        ConfigError: The dataset has several splits, of which one must be named.
        FileNotFoundError: The dataset is not in the local cache.
    """
    address = _ADDRESS.fullmatch(text)
    if address is None and (_NAME.fullmatch(text) is None or os.path.lexists(text)):
        return text
    name, inner = (address[1], (address[2] or "").strip("/")) if address else (text, "")
    snapshot = _snapshot("datasets", name)
    if snapshot is None:
        raise _not_there(text, f"hf download --repo-type dataset {name}")
    if inner:
        return str(snapshot / inner)
    splits = _splits(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
    if len(splits) > 1:
        raise ConfigError(
            f"inputs: {text} has the splits {splits}: name the files of one, such as "
            f"'hf://datasets/{name}/**/*{splits[0]}*' (they are in {snapshot})"
        )
    return str(snapshot)


def cached_tokenizer(text: str) -> str:
    """The folder of a tokenizer that is named as on the hub, such as `gpt2` or `owner/name`; else the text as it is.

    Raises:
        FileNotFoundError: It is a name with an owner, and not in the local cache.
    """
    if _MODEL.fullmatch(text) is None or os.path.lexists(text) or text == "bytes":
        return text
    snapshot = _snapshot("models", text)
    if snapshot is not None:
        return str(snapshot)
    if _NAME.fullmatch(text) and not text.endswith((".json", ".model")):
        raise _not_there(text, f"hf download {text}")
    return text


def _snapshot(kind: str, name: str) -> Path | None:
    """The files of the main branch, or of the only revision that is there."""
    folder = cache_folder() / f"{kind}--{name.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        found = sorted((folder / "snapshots").iterdir()) if (folder / "snapshots").is_dir() else []
        return found[0] if len(found) == 1 else None
    snapshot = folder / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def _splits(names: Iterable[str]) -> list[str]:
    found = {_SPLITS.get(word, word) for name in names for word in _SPLIT.findall(name.lower())}
    return sorted(found, key=lambda name: (name != "train", name))


def _not_there(text: str, command: str) -> FileNotFoundError:
    reason = (
        f"no such file or folder, and not in the local cache of the Hugging Face hub ({cache_folder()}); nothing is "
        f"downloaded here, `{command}` does"
    )
    return FileNotFoundError(errno.ENOENT, reason, text)
