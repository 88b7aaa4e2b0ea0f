"""Judged answers: pairs of a chosen and a rejected one, or single ones with a label."""

from types import MappingProxyType

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="preference",
    title="Judged answers (DPO, KTO)",
    licence="the licence of your data",
    schema="prompt, chosen, rejected, each a text or messages; or prompt, completion, label (judgement=labelled)",
    options=MappingProxyType({"judgement": "compared"}),
    origin="bloomdata",
)
