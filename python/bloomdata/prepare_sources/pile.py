"""The Pile (OL-05)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="pile",
    title="The Pile",
    licence="none for the whole; each of its parts has its own",
    schema="text",
    origin="OL-05",
)
