"""BELLE: train_0.5M, 1M, 2M, school_math_0.25M."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="belle",
    title="BELLE: train_0.5M, 1M, 2M, school_math_0.25M",
    licence="GPL-3.0, research only; answers of a GPT model, whose terms may apply",
    schema="instruction, output",
    origin="Open-Llama",
)
