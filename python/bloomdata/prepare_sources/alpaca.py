"""Alpaca."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="alpaca",
    title="Alpaca",
    licence="CC BY-NC 4.0; answers of a GPT model, whose terms may apply",
    schema="instruction, output; optionally input",
    options=MappingProxyType({"prompt": "plain", "compat": None}),
    origin="mindformers",
)
