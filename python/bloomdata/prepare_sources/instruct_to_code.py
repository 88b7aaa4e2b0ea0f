"""Instruct-to-Code."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="instruct_to_code",
    title="Instruct-to-Code",
    licence="none stated; see the dataset card",
    schema="instruction, answer",
    origin="Open-Llama",
)
