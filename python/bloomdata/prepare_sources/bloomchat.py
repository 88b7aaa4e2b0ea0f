"""OASST1 and Dolly, as BLOOMChat joins them."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="bloomchat",
    title="OASST1 and Dolly, as BLOOMChat joins them",
    licence="Apache-2.0 (OASST1) and CC BY-SA 3.0 (Dolly)",
    schema="records of oasst1 (those with message_id) and of dolly",
    options=MappingProxyType({"best": "emoji", "lang": [], "end_on": "any", "skip_deleted": False}),
    origin="BLOOMChat",
)
