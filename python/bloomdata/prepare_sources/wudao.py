"""WuDaoCorpora 2.0 base (OL-05)."""

from bloomdata.prepare_sources.source import Source

SOURCE = Source(
    name="wudao",
    title="WuDaoCorpora 2.0 base",
    licence="WuDaoCorpora agreement: research, no redistribution",
    schema="title, content",
    origin="OL-05",
)
