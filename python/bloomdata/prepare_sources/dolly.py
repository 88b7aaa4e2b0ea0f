"""databricks-dolly-15k."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="dolly",
    title="databricks-dolly-15k",
    licence="CC BY-SA 3.0",
    schema="instruction, context, response",
    origin="BLOOMChat",
)
