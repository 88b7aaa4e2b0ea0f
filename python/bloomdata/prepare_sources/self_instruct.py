"""Self-Instruct (OL-06)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="self_instruct",
    title="Self-Instruct",
    licence="Apache-2.0; answers of a GPT model, whose terms may bind",
    schema="prompt, completion",
    origin="OL-06",
)
