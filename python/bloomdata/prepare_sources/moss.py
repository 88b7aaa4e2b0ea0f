"""MOSS."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="moss",
    title="MOSS",
    licence="CC BY-NC 4.0 or CC BY 4.0, depending on the part; answers of a GPT model, whose terms may apply",
    schema="chat: {turn_1: {Human, MOSS}, ...}",
    origin="AscendSpeed",
)
