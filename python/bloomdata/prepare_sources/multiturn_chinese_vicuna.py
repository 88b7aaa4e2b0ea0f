"""Chinese-Vicuna's chats."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="multiturn_chinese_vicuna",
    title="Chinese-Vicuna's chats",
    licence="Apache-2.0, like its repository; answers of a GPT model, whose terms may apply",
    schema="input: [...], output: [...]",
    options=MappingProxyType({"turns": "joined"}),
    origin="bloomdata",
)
