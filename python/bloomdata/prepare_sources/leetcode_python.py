"""LeetCode solutions in Python (AS-05)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="leetcode_python",
    title="LeetCode solutions in Python",
    licence="none stated; the problems are LeetCode's",
    schema="code_with_problem, code_only, explanation_only",
    origin="AS-05",
)
