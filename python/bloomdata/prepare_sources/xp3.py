"""xP3mt."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="xp3",
    title="xP3mt",
    licence="Apache-2.0; its tasks come from data sets with their own licences",
    schema="inputs, targets",
    origin="Open-Llama",
)
