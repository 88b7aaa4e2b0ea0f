"""Tokenizers that are given as objects: of `tokenizers`, of `transformers`, or our own.

The core reads files, and a run that resumes must find the same ones: an object is written to a folder of the user's
cache that is named by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.options.hub_cache import cached_tokenizer
from bloomdata.options.paths import utf8_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What `bloomdata.Tokenizer` was made with and a verb takes as options of its own, with what stands for "not given".
_OPTIONS = {"eos_token": None, "pad_token": None, "add_special_tokens": True, "special_tokens": None}


def tokenizer_path(tokenizer: Any, option: str = "tokenizer") -> str:
    """The file or folder of a tokenizer: a path, `"bytes"`, a name in the local cache of the hub, or an object.

    Raises:
        ConfigError: It is something else, or a tokenizer of `transformers` without a `tokenizer.json`.
        FileNotFoundError: A name of the Hugging Face hub that is not in the local cache.
    """
    if isinstance(tokenizer, (str, os.PathLike)):
        return cached_tokenizer(utf8_path(tokenizer, option))
    if (own := _own_options(tokenizer)) is not None:
        return str(own["tokenizer"])
    if hasattr(tokenizer, "to_str") and hasattr(tokenizer, "get_vocab"):
        definition = tokenizer.to_str(pretty=True).encode()  # as its own `save` writes it
        return _stored(lambda folder: (folder / "tokenizer.json").write_bytes(definition))
    if hasattr(tokenizer, "save_pretrained") and hasattr(tokenizer, "apply_chat_template"):
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise ConfigError(
                f"{option}: expected a tokenizer with a tokenizer.json, got {type(tokenizer).__name__}, which has none"
            )
        return _stored(tokenizer.save_pretrained)
    raise ConfigError(
        f"{option}: expected a tokenizer.json, a folder that holds one, 'bytes', or a tokenizer of bloomdata, "
        f"tokenizers or transformers, got {type(tokenizer).__name__}"
    )


def with_own_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a verb, with the path of its `tokenizer`, and what a `bloomdata.Tokenizer` was made with.

    Options that are given stay: they are what the caller says of this run.
    """
    own = _own_options(options["tokenizer"]) or {}
    inherited = {
        name: own[name]
        for name, default in _OPTIONS.items()
        if name in own and name in options and options[name] == default and own[name]
    }
    if own and not own["add_special_tokens"]:
        inherited["add_special_tokens"] = False
    return {**options, **inherited, "tokenizer": tokenizer_path(options["tokenizer"])}


def _own_options(tokenizer: Any) -> dict[str, Any] | None:
    """The options of a `bloomdata.Tokenizer`; None for anything else."""
    options = getattr(tokenizer, "options", None)
    return dict(options) if type(tokenizer).__module__.startswith("bloomdata.") and options is not None else None


def _stored(write: Callable[[Path], object]) -> str:
    """The folder of the cache with what `write` writes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bloomdata" / "tokenizers"
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache))
    try:
        write(temporary)
        _forget_origin(temporary / "tokenizer_config.json")
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(temporary.iterdir()):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)} ".encode() + content)
        folder = cache / digest.hexdigest()
        if not folder.exists():
            temporary.chmod(0o755)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return str(folder)


def _forget_origin(path: Path) -> None:
    """Removes where a tokenizer was loaded from, which says nothing of what it does."""
    if path.is_file():
        config = json.loads(path.read_bytes())
        config.pop("name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")
