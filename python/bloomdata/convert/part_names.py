"""The order of the parts of a split file, by their names; a part that is missing in between is an error."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DIGITS = "0123456789"
_HEXADECIMAL = "0123456789abcdef"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NUMBERED = re.compile(r"(.*?)(\d+)([-_]?of[-_]?)(\d+)(.*)")


def in_order(parts: Sequence[Path]) -> list[Path]:
    """Parts in their order.

    Raises:
        ConfigError: The names do not tell an order.
        CorruptDataError: A part is missing before the last one, or before one of a known number of parts.
    """
    by_name = {part.name: part for part in parts}
    if len(by_name) < len(parts):
        raise ConfigError("source: expected parts of different names, got some of one name in two folders")
    names = sorted(by_name)
    if all(_NUMBERED.fullmatch(name) for name in names):
        ordered = _numbered(names, by_name)
    elif len(names) == 1:
        ordered = names
    else:
        ordered = _suffixed(names, by_name)
    return [by_name[name] for name in ordered]


def _numbered(names: list[str], by_name: dict[str, Path]) -> list[str]:
    """Names with `1-of-3`."""
    found = {name: match.groups() for name in names if (match := _NUMBERED.fullmatch(name))}
    if len({(before, words, total, after) for before, _, words, total, after in found.values()}) > 1:
        raise ConfigError(f"source: expected parts of one file, got {names[0]} and {names[-1]}")
    total = int(next(iter(found.values()))[3])
    numbers = {int(groups[1]): name for name, groups in found.items()}
    first = 0 if 0 in numbers else 1
    for number in range(first, first + total):
        if number not in numbers:
            some = by_name[names[0]]
            raise CorruptDataError(f"{some}: expected {total} parts, found none with the number {number}")
    return [numbers[number] for number in sorted(numbers)]


def _suffixed(names: list[str], by_name: dict[str, Path]) -> list[str]:
    """Names with what `split` appends: letters, digits, or hexadecimal digits."""
    before = _common_start(names)
    after = _common_start([name[len(before) :][::-1] for name in names])[::-1]
    kinds = (
        (_DIGITS, r"\d*$", r"^\d*"),
        (_LETTERS, r"[a-z]*$", r"^[a-z]*"),
        (_HEXADECIMAL, r"[0-9a-f]*$", r"^[0-9a-f]*"),
    )
    for alphabet, at_end, at_start in kinds:
        # Letters of the suffix that all parts share belong to it too.
        start = len(re.sub(at_end, "", before))
        stop = len(re.sub(at_start, "", after))
        suffixes = {name: name[start : len(name) - stop] for name in names}
        if not all(suffix and set(suffix) <= set(alphabet) for suffix in suffixes.values()):
            continue
        if alphabet == _LETTERS and start == 0:
            suffixes = _without_stem(suffixes)
        return _in_sequence(suffixes, alphabet, by_name)
    raise ConfigError(
        f"source: expected names that differ in letters or digits at their ends, got {names[0]}, {names[1]}"
    )


def _common_start(names: list[str]) -> str:
    return "".join(letters[0] for letters in takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False)))


def _without_stem(suffixes: dict[str, str]) -> dict[str, str]:
    """Suffixes of names that are all letters: `xaa` of `split` ends in two of them, or more if all are `a`."""
    first = min(suffixes.values())
    length = max(2, len(first) - len(first.rstrip("a")))
    return {name: suffix[len(first) - length :] for name, suffix in suffixes.items()}


def _in_sequence(suffixes: dict[str, str], alphabet: str, by_name: dict[str, Path]) -> list[str]:
    ordered = sorted(suffixes, key=lambda name: suffixes[name])
    if alphabet == _DIGITS and not any(suffix.startswith("0") and len(suffix) > 1 for suffix in suffixes.values()):
        ordered = sorted(suffixes, key=lambda name: int(suffixes[name]))
    first = suffixes[ordered[0]]
    if set(first) != {alphabet[0]} and not (alphabet == _DIGITS and int(first) in {0, 1}):
        raise CorruptDataError(
            f"{by_name[ordered[0]]}: expected the first part, found {first!r} at the end of its name"
        )
    for name, following in pairwise(ordered):
        if suffixes[following] not in _next(suffixes[name], alphabet):
            wanted = _next(suffixes[name], alphabet)[0]
            raise CorruptDataError(
                f"{by_name[following]}: expected {wanted!r} after {suffixes[name]!r}, found {suffixes[following]!r}"
            )
    return ordered


def _next(suffix: str, alphabet: str) -> list[str]:
    """What may follow: one more, perhaps with one more digit; or what `split` does when it runs out of suffixes."""
    last = alphabet[-1]
    kept = suffix.rstrip(last)
    found = []
    if kept:
        found.append(kept[:-1] + alphabet[alphabet.index(kept[-1]) + 1] + alphabet[0] * (len(suffix) - len(kept)))
    elif alphabet == _DIGITS:
        found.append(str(int(suffix) + 1))
    # `yz` is followed by `zaaa`, so that names in alphabetic order are in order.
    stem = suffix.lstrip(last)
    if stem == alphabet[-2] + last * (len(stem) - 1):
        found.append(suffix[: len(suffix) - len(stem)] + last + alphabet[0] * (len(stem) + 1))
    return found or ["?"]
