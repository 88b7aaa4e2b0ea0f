"""Pairs of prompt and completion."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="prompt_completion",
    title="Pairs of prompt and completion",
    licence="the licence of your data",
    schema="prompt, completion, or a list of such objects",
    options=MappingProxyType({"prompt_keyword": "prompt", "completion_keyword": "completion"}),
    origin="generative_data_prep",
)
