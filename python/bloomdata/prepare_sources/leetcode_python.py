"""LeetCode solutions in Python."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="leetcode_python",
    title="LeetCode solutions in Python",
    licence="none stated; the problems are LeetCode's",
    schema="code_with_problem, code_only, explanation_only",
    origin="AscendSpeed",
)
