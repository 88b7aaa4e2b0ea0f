"""The Pile."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="pile",
    title="The Pile",
    licence="none for the whole; each part has its own",
    schema="text",
    origin="Open-Llama",
)
