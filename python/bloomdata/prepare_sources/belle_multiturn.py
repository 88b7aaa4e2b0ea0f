"""BELLE: multiturn_chat_0.8M."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="belle_multiturn",
    title="BELLE: multiturn_chat_0.8M",
    licence="GPL-3.0, research only; answers of a GPT model, whose terms may apply",
    schema="instruction (history of Human: and Assistant:), output",
    options=MappingProxyType({"turns": "joined", "compat": "open_llama"}),
    origin="Open-Llama",
)
