"""OIG-moderation."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="moderation",
    title="OIG-moderation",
    licence="Apache-2.0 as a whole; some of it comes from data sets with their own licences",
    schema="text",
    origin="OpenChatKit",
)
