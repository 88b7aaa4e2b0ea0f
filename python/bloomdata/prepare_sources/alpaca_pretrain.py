"""Alpaca as text, as the Megatron lineage writes it (AS-05)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="alpaca_pretrain",
    title="Alpaca as text, as the Megatron lineage writes it",
    licence="CC BY-NC 4.0; answers of a GPT model, whose terms may bind",
    schema="instruction, output; input if any",
    origin="AS-05",
)
