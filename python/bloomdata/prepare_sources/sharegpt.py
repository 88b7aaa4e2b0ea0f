"""ShareGPT."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="sharegpt",
    title="ShareGPT",
    licence="none stated; chats shared by users, with answers of a GPT model, whose terms may apply",
    schema="conversations: [{from, value}]",
    options=MappingProxyType({"turns": "joined"}),
    origin="Open-Llama",
)
