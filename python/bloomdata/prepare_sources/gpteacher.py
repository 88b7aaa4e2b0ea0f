"""GPTeacher."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="gpteacher",
    title="GPTeacher",
    licence="MIT; answers of a GPT model, whose terms may apply",
    schema="instruction, response; optionally input",
    options=MappingProxyType({"prompt": "plain", "compat": None}),
    origin="bloomdata",
)
