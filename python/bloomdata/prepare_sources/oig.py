"""Open Instruction Generalist (BC-05)."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="oig",
    title="Open Instruction Generalist",
    licence="Apache-2.0 as a whole; its files come from sources with licences of their own",
    schema="text; meta: {source} or metadata: {source} if any",
    options=MappingProxyType({"drop_sources": ["prosocial"], "source_key": "meta", "parse": False}),
    origin="BC-05",
)
