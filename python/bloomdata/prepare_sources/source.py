"""What there is to know about a source before its data is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of `prepare`.

    Attributes:
        name: As in `prepare(name, ...)`, on the command line and in the core.
        title: What its people call it.
        licence: Note on the licence of the data; no advice, and data sets change theirs.
        schema: Fields of a record.
        options: Options with their defaults.
        origin: Whose conversion it is: a row of the tables of features, or `bloomdata` where it is ours.
    """

    name: str
    title: str
    licence: str
    schema: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    origin: str
