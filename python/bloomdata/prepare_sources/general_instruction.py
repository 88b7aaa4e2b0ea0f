"""Instruction, input and output, as AscendSpeed reads them."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="general_instruction",
    title="Instruction, input and output, as AscendSpeed reads them",
    licence="the licence of your data",
    schema="instruction, input, output",
    origin="AscendSpeed",
)
