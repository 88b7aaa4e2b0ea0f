"""The frame of a web page, without scripts and external files, and writing one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bloomdata.reports.html_charts import escape
from bloomdata.reports.html_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable


def page(title: str, header: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page of sections, each with its heading; sections without content are left out.

    Args:
        title: Title, as text.
        header: What stands above the sections, as HTML.
        sections: Headings and contents, as HTML.
    """
    body = "\n".join(f"<section>\n<h2>{name}</h2>\n{content}\n</section>" for name, content in sections if content)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{header}
{body}
</main>
</body>
</html>
"""


def write_page(path: str, text: str) -> None:
    """Writes a page beside its path, then renames it."""
    unfinished = Path(path).with_name(f".{Path(path).name}.part")
    try:
        unfinished.write_bytes(text.encode())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
