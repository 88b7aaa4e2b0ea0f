"""ShareGPT (OL-09)."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="sharegpt",
    title="ShareGPT",
    licence="none stated; chats that people shared, with answers of a GPT model, whose terms may bind",
    schema="conversations: [{from, value}]",
    options=MappingProxyType({"turns": "joined"}),
    origin="OL-09",
)
