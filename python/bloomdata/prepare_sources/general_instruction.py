"""Instruction, input and output, as the Megatron lineage reads them (AS-05)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="general_instruction",
    title="Instruction, input and output, as the Megatron lineage reads them",
    licence="that of your data",
    schema="instruction, input, output",
    origin="AS-05",
)
