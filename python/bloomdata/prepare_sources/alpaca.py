"""Alpaca (MF-02)."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="alpaca",
    title="Alpaca",
    licence="CC BY-NC 4.0; answers of a GPT model, whose terms may bind",
    schema="instruction, output; input if any",
    options=MappingProxyType({"prompt": "plain", "compat": None}),
    origin="MF-02",
)
