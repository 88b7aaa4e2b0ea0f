"""OIG-moderation (OC-06)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="moderation",
    title="OIG-moderation",
    licence="Apache-2.0 as a whole; some of it comes from sources with licences of their own",
    schema="text",
    origin="OC-06",
)
