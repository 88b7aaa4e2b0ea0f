"""grade-school-math-instructions."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="grade_school_math",
    title="grade-school-math-instructions",
    licence="derived from GSM8K (MIT); see the dataset card",
    schema="INSTRUCTION, RESPONSE",
    origin="Open-Llama",
)
