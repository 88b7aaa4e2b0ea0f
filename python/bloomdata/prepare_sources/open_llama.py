"""Any instruction data of Open-Llama (OL-06)."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="open_llama",
    title="Any instruction data of Open-Llama",
    licence="that of each data set",
    schema="keys of self_instruct, belle, instruct_to_code, sharegpt, xp3, camel or grade_school_math",
    options=MappingProxyType({"turns": "joined"}),
    origin="OL-06",
)
