"""OASST1, one message a record (BC-01)."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="oasst1",
    title="OASST1, one message a record",
    licence="Apache-2.0",
    schema="message_id, parent_id, role, text; lang, deleted, rank, emojis where an option needs them",
    options=MappingProxyType({"best": "emoji", "lang": [], "end_on": "any", "skip_deleted": False}),
    origin="BC-01",
)
