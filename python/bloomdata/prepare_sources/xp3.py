"""xP3mt (OL-11)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="xp3",
    title="xP3mt",
    licence="Apache-2.0; its tasks come from data sets with licences of their own",
    schema="inputs, targets",
    origin="OL-11",
)
