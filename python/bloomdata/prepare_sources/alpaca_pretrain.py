"""Alpaca as text, as AscendSpeed writes it."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="alpaca_pretrain",
    title="Alpaca as text, as AscendSpeed writes it",
    licence="CC BY-NC 4.0; answers of a GPT model, whose terms may apply",
    schema="instruction, output; optionally input",
    origin="AscendSpeed",
)
