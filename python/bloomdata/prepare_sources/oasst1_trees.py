"""OASST1, one tree per record."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="oasst1_trees",
    title="OASST1, one tree per record",
    licence="Apache-2.0",
    schema="prompt: {role, text, replies: [...]}; lang, deleted, rank, emojis if an option needs them",
    options=MappingProxyType({"best": "emoji", "lang": [], "end_on": "any", "skip_deleted": False}),
    origin="BLOOMChat",
)
