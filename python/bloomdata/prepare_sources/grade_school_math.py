"""grade-school-math-instructions (OL-11)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="grade_school_math",
    title="grade-school-math-instructions",
    licence="made from GSM8K, which is MIT; look at the card of the data",
    schema="INSTRUCTION, RESPONSE",
    origin="OL-11",
)
