"""Open Instruction Generalist."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="oig",
    title="Open Instruction Generalist",
    licence="Apache-2.0 as a whole; its files come from data sets with their own licences",
    schema="text; optionally meta: {source} or metadata: {source}",
    options=MappingProxyType({"drop_sources": ["prosocial"], "source_key": "meta", "parse": False}),
    origin="BLOOMChat",
)
