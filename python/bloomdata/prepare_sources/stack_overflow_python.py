"""Stack Overflow's questions on Python."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="stack_overflow_python",
    title="Stack Overflow's questions on Python",
    licence="CC BY-SA 4.0",
    schema="title, question_body, answer_body",
    origin="AscendSpeed",
)
