"""Instruct-to-Code (OL-10)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="instruct_to_code",
    title="Instruct-to-Code",
    licence="none stated; look at the card of the data",
    schema="instruction, answer",
    origin="OL-10",
)
