"""Recipes as TOML files: their content, and the variables that strings in them name."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: It is not TOML, or not UTF-8; the message names the file.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{os.fspath(path)}: {error}") from error


def variables_of(content: Mapping[str, Any], given: Mapping[str, str] | None, place: str) -> dict[str, str]:
    """The values of the variables of a recipe: those of its table `variables`, or those that are given instead.

    Raises:
        ConfigError: A value is no string, or a variable is given that the recipe does not have.
    """
    known = content.get("variables", {})
    if not isinstance(known, dict) or not all(isinstance(value, str) for value in known.values()):
        raise ConfigError(f"{place}: [variables]: expected strings, found other values")
    if unset := set(given or {}) - set(known):
        raise ConfigError(f"{place}: variables: expected some of {sorted(known)}, got {sorted(unset)[0]!r}")
    return {**known, **(given or {})}


def fill(value: Any, variables: Mapping[str, str], *, keys: bool = False) -> Any:
    """Replaces `{name}` by its value in all strings.

    Unknown names stay as they are, since a template may contain braces.

    Args:
        value: A value of TOML.
        variables: Values by name.
        keys: Whether to replace names in the keys of tables, too.
    """
    if isinstance(value, list):
        return [fill(one, variables, keys=keys) for one in value]
    if isinstance(value, dict):
        pairs = ((fill(key, variables) if keys else key, one) for key, one in value.items())
        return {key: fill(one, variables, keys=keys) for key, one in pairs}
    if isinstance(value, str):
        for name, text in variables.items():
            value = value.replace(f"{{{name}}}", text)
    return value
