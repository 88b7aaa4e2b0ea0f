"""Which argument each input file came from: the core lists files argument by argument, in the order given."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Files of ours that folders and patterns leave out, as in `sources/folders.rs`.
_BOOKKEEPING = {"manifest.json", "journal.jsonl", "quarantine.jsonl", "fetched.json"}


def sources_of(arguments: list[str], files: list[str]) -> list[str]:
    """Names the argument of each file; the folder of each file where that cannot be told.

    Args:
        arguments: Files, folders and patterns, as for `pack`.
        files: What the core made of them. Every argument gave at least one, and no file belongs to two.

    Returns:
        One source for each file.

    Example:
        >>> sources_of(["a/*.jsonl", "b/{x,y}.txt"], ["a/1.jsonl", "a/2.jsonl", "b/y.txt"])
        ['a/*.jsonl', 'a/*.jsonl', 'b/{x,y}.txt']
    """
    if len(arguments) == 1:
        return arguments * len(files)
    gives = [_matcher(argument) for argument in arguments]
    sources: list[str] = []
    at = 0
    for file in files:
        if sources and not gives[at](file):
            at += 1
        if at == len(arguments) or not gives[at](file):
            break
        sources.append(arguments[at])
    if len(sources) == len(files) and at == len(arguments) - 1:
        return sources
    return [str(PurePosixPath(file).parent) for file in files]


def _matcher(argument: str) -> Callable[[str], bool]:
    """Whether a file comes from an argument."""
    if Path(argument).is_dir():
        folder = argument if argument.endswith("/") else argument + "/"
        return lambda file: file.startswith(folder) and _is_listed(file.removeprefix(folder), is_folder=True)
    if Path(argument).exists() or not _is_wild(argument):
        return lambda file: file == argument
    # As the core normalises it: single slashes, and no `.` but a leading one.
    parts = [part for number, part in enumerate(argument.split("/")) if part not in {"", "."} or number == 0]
    literal = list(takewhile(lambda part: not _is_wild(part), parts))
    base = "".join(part + "/" for part in literal)
    rest = parts[len(literal) :]
    shows_hidden = any(part.startswith(".") for part in rest)
    try:
        matches = re.compile(_expression("/".join(rest)), re.DOTALL).fullmatch
    except re.error:
        return lambda _: False

    def gives(file: str) -> bool:
        inner = PurePosixPath(file.removeprefix(base))
        is_listed = file.startswith(base) and _is_listed(str(inner), shows_hidden=shows_hidden)
        # A folder that matches is named, and not looked into.
        is_inside = any(matches(str(parent)) for parent in inner.parents if parent.name)
        return is_listed and matches(str(inner)) is not None and not is_inside

    return gives


def _is_wild(part: str) -> bool:
    return any(character in part for character in "*?[{")


def _is_listed(inner: str, *, is_folder: bool = False, shows_hidden: bool = False) -> bool:
    """Whether a folder or a pattern lists a file, by its path in it."""
    *folders, name = inner.split("/")
    if name in _BOOKKEEPING or name.endswith(".tmp"):
        return False
    if (name.startswith(".") and not shows_hidden) or any(folder.startswith(".") for folder in folders):
        return False
    return not (is_folder and any(folder.startswith("_") for folder in folders))


def _expression(pattern: str) -> str:
    """A pattern of the crate `globset`, whose stars do not match slashes, as a regular expression."""
    tokens = r"(?P<any>(?:^|(?<=/))\*\*/)|(?P<tail>(?:^|(?<=/))\*\*$)|(?P<set>\[[!^]?\]?[^\]]*\])|(?P<escaped>\\.)|."
    simple = {"*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}
    expression, depth = "", 0
    for token in re.finditer(tokens, pattern, re.DOTALL):
        text = token.group()
        match token.lastgroup:
            case "any":
                expression += "(?:.*/)?"
            case "tail":
                expression += ".*"
            case "set":
                inner = text[1:-1].replace("\\", "\\\\").replace("[", "\\[")
                expression += f"[^{inner[1:]}]" if inner.startswith(("!", "^")) else f"[{inner}]"
            case "escaped":
                expression += re.escape(text[1])
            case _:
                depth += (text == "{") - (text == "}")
                expression += "|" if text == "," and depth else simple.get(text, re.escape(text))
    return expression
