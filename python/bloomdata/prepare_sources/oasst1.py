"""OASST1, one message per record."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="oasst1",
    title="OASST1, one message per record",
    licence="Apache-2.0",
    schema="message_id, parent_id, role, text; lang, deleted, rank, emojis if an option needs them",
    options=MappingProxyType({"best": "emoji", "lang": [], "end_on": "any", "skip_deleted": False}),
    origin="BLOOMChat",
)
