"""The core's configuration of chat templates: their source, and the variables they may use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping


_CONFIG = "tokenizer_config.json"


_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


def template_options(
    template: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    variables: Mapping[str, Any] | None = None,
    date: str | None = None,
    train_on: str = "all",
    tool_arguments: str = "given",
) -> dict[str, Any]:
    """The core's configuration of a template and how it is applied.

    Raises:
        ConfigError: An option is invalid.
    """
    check_choice("train_on", train_on, "all", "last", "each")
    check_choice("tool_arguments", tool_arguments, "given", "parsed")
    source = template_source(template)
    _check_numbers(variables or {}, "variables")
    known = special_tokens(tokenizer)
    if date is not None and "T" not in date:
        date += "T00:00:00"
    return {
        "template": source,
        "template_variables": {**known, **(variables or {})},
        "template_date": date,
        "train_on": train_on,
        "tool_arguments": tool_arguments,
    }


def template_source(template: str | os.PathLike[str]) -> str:
    """A built-in name or Jinja source unchanged, or the template in a file.

    Raises:
        ConfigError: The file has no template.
    """
    text = os.fspath(template)
    if "\n" in text or "{" in text:
        return text
    path = Path(text)
    if path.name == "tokenizer.json":
        path = path.parent
    if path.is_dir():
        path = path / "chat_template.jinja" if (path / "chat_template.jinja").exists() else path / _CONFIG
    if not path.is_file():
        return text
    content = path.read_text("utf-8")
    if path.suffix != ".json":
        return content
    try:
        source = json.loads(content).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"template: {path}: expected a JSON object: {error}") from error
    if isinstance(source, list):
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        raise ConfigError(f"template: {path}: expected a chat_template, found none")
    return source


def own_template(tokenizer: str | os.PathLike[str]) -> str:
    """The chat template stored with a tokenizer.

    Raises:
        ConfigError: The tokenizer has no chat template.
    """
    if os.fspath(tokenizer) == "bytes":
        raise ConfigError(f'template: the tokenizer "bytes" has no chat template; {_WHAT_TO_PASS}')
    folder = _folder_of(tokenizer)
    if not has_chat_template(folder):
        raise ConfigError(
            f"template: {folder} has no chat template (no chat_template.jinja, and no chat_template in {_CONFIG}); "
            f"{_WHAT_TO_PASS}"
        )
    return template_source(folder)


def _folder_of(tokenizer: str | os.PathLike[str]) -> Path:
    """The folder of a tokenizer's files."""
    path = Path(tokenizer)
    return path if path.is_dir() else path.parent


_WHAT_TO_PASS = (
    'pass template= with a name such as "human_bot" or "chatml", a .jinja file, or the source of a Jinja template'
)


def has_chat_template(tokenizer: str | os.PathLike[str]) -> bool:
    """Whether a chat template is stored with a tokenizer."""
    folder = _folder_of(tokenizer)
    try:
        source = template_source(folder)
    except ConfigError:
        return False
    return source != os.fspath(folder)


def special_tokens(tokenizer: str | os.PathLike[str] | None) -> dict[str, str]:
    """Special tokens by role, from the files beside a tokenizer."""
    if tokenizer is None or os.fspath(tokenizer) == "bytes":
        return {}
    folder = _folder_of(tokenizer)
    found: dict[str, str] = {}
    for name in ("special_tokens_map.json", _CONFIG):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ConfigError(f"tokenizer: {path}: expected JSON: {error}") from error
        for key in _SPECIAL:
            value = content.get(key) if isinstance(content, dict) else None
            token = value.get("content") if isinstance(value, dict) else value
            if isinstance(token, str):
                found[key] = token
    return found


def _check_numbers(value: Any, name: str) -> None:
    """Rejects integers outside the range of 64 bits, which would overflow in the core."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{name}: expected whole numbers of at most 64 bits, got {value}")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{name}: {key}")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item, name)
