"""Values of options that are written in a form of their own."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def parse_splits(text: str) -> dict[str, float]:
    """`train=0.98,dev=0.01,test=0.01` or `dev=1000,test=1000`."""
    splits: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            splits[name] = int(share) if share.isdigit() else float(share)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected NAME=SHARE, got {part!r}") from None
    if any(isinstance(share, float) for share in splits.values()):
        return {name: float(share) for name, share in splits.items()}
    return splits


def parse_source(text: str) -> str | dict[str, Any]:
    """The name of a source, or a JSON object with its name and its options."""
    return parse_json_object(text) if text.startswith("{") else text


def parse_json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text!r}: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text!r}")
    return value


def parse_pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


class Pairs(argparse.Action):
    """Collects NAME=VALUE; values are JSON where they can be."""

    def __call__(  # noqa: D102 - argparse calls it
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object
    ) -> None:
        pairs: dict[str, Any] = getattr(namespace, self.dest) or {}
        given: Sequence[str] = values if isinstance(values, list) else [values]
        for text in given:
            try:
                name, value = parse_pair(text)
            except argparse.ArgumentTypeError as error:
                parser.error(f"argument {self.option_strings[0]}: {error}")
            try:
                pairs[name] = json.loads(value)
            except ValueError:
                pairs[name] = value
        setattr(namespace, self.dest, pairs)
