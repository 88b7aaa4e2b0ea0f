"""All instruction data of Open-Llama."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="open_llama",
    title="All instruction data of Open-Llama",
    licence="the licence of each data set",
    schema="keys of self_instruct, belle, instruct_to_code, sharegpt, xp3, camel or grade_school_math",
    options=MappingProxyType({"turns": "joined"}),
    origin="Open-Llama",
)
