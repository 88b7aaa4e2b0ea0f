"""Self-Instruct."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="self_instruct",
    title="Self-Instruct",
    licence="Apache-2.0; answers of a GPT model, whose terms may apply",
    schema="prompt, completion",
    origin="Open-Llama",
)
