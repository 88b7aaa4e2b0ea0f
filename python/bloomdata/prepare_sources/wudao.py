"""WuDaoCorpora 2.0 base."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="wudao",
    title="WuDaoCorpora 2.0 base",
    licence="WuDaoCorpora agreement: research, no redistribution",
    schema="title, content",
    origin="Open-Llama",
)
