"""Readable numbers."""

from __future__ import annotations


def format_bytes(count: float) -> str:
    """A readable number of bytes: `1.5 MB` is 1,500,000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
