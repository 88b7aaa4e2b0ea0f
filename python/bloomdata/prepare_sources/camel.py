"""camel-ai: math, physics, chemistry, biology."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="camel",
    title="camel-ai: math, physics, chemistry, biology",
    licence="CC BY-NC 4.0; answers of a GPT model, whose terms may apply",
    schema="message_1, message_2",
    origin="Open-Llama",
)
