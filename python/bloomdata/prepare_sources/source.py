"""The description of a `prepare` source."""

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
        name: Name in `prepare(name, ...)`, on the command line and in the core.
        title: Name that its publishers use.
        licence: Note on the licence of the data. It is not legal advice, and licences may change.
        schema: Fields of a record.
        options: Options with their defaults.
        origin: Project whose conversion is reproduced, or `bloomdata` if it is our own.
    """

    name: str
    title: str
    licence: str
    schema: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    origin: str
