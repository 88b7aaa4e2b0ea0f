"""The report of `dedup`."""

from __future__ import annotations

from typing import Any

from bloomdata.reports.report import ShardReport
from bloomdata.reports.units import format_bytes


class DedupReport(ShardReport):
    """The report of `dedup`."""

    @property
    def near(self) -> dict[str, Any] | None:
        """Facts on near duplicates (see `FORMAT.md`): bands, join, edges, and samples. None if none were looked for."""
        near: dict[str, Any] | None = self.manifest["details"].get("near")
        return near

    def _rows(self) -> list[tuple[str, str]]:
        details = self.manifest["details"]
        rows = super()._rows()
        if against := details["against"]:
            rows.append(("compared with, too", f"{sum(entry['documents'] for entry in against):,}"))
        dropped = sum(details["bytes_dropped"].values())
        rows.append(("bytes dropped", f"{format_bytes(dropped)}"))
        if repeated := details.get("repeated"):
            rows += [
                ("repeated passages", f"{repeated['spans']:,}"),
                ("  in documents", f"{repeated['documents']:,}"),
                ("  bytes", format_bytes(repeated["bytes"])),
                ("  of all words or lines", f"{repeated['units'] / max(repeated['of_units'], 1):.2%}"),
            ]
        if self.near is None:
            return rows
        join, edges, honesty = self.near["join"], self.near["edges"], self.near["honesty"]
        rows += [
            ("bands x rows", f"{self.near['bands']} x {self.near['rows']}"),
            ("candidate pairs", f"{join['candidates']:,}"),
            ("  similar", f"{edges['edges']:,}"),
        ]
        if left_out := join["pairs_left_out"]:
            rows.append(("  not looked at, in large buckets", f"{left_out:,}"))
        if below := edges["dropped_below_threshold"]:
            rows.append(("dropped, below the threshold", f"{below:,}"))
        rows.append((f"recall, of {honesty['sampled_documents']:,} documents", _share(honesty["recall"])))
        if not self.manifest["config"]["near"]["verify"]:
            rows.append(("precision, of sampled pairs", _share(honesty["precision"])))
        return rows


def _share(share: dict[str, Any]) -> str:
    """A share with its interval."""
    if not share["of"]:
        return "no pairs in the sample"
    low, high = share["interval"]
    return f"{share['hits']:,} of {share['of']:,} pairs ({low:.1%} to {high:.1%})"
