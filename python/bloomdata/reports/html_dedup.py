"""What the web page of a run of `dedup` says of duplicates: bands, candidates, how good the answer is, passages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.reports.html_charts import Cell, curve, escape, share, table
from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence


def duplicates(manifest: dict[str, Any]) -> str:
    """The section of a run of `dedup`; an empty string for other verbs, and for a part, which only writes."""
    details, config = manifest["details"], manifest["config"]
    if manifest["verb"] not in ("dedup", "decide") or "documents_compared" not in details:
        return ""
    parts = [_dropped(manifest)]
    if near := details.get("near"):
        parts.append(_bands(near, config["near"]))
        parts += [_filters(near["bloom"])] if "bloom" in near else [_candidates(near), _honesty(near, config)]
    if repeated := details.get("repeated"):
        parts.append(_repeated(repeated))
    return "\n".join(part for part in parts if part)


def _dropped(manifest: dict[str, Any]) -> str:
    ledger, details = manifest["ledger"], manifest["details"]
    against = sum(entry["documents"] for entry in details["against"])
    text = f"{details['documents_compared']:,} documents were compared"
    text += f", of which {against:,} are those of other files that only were compared with." if against else "."
    rows = []
    for reason, size in details["bytes_dropped"].items():
        documents = ledger["documents_dropped"].get(reason, 0)
        rows.append((reason, f"{documents:,}", share(documents, ledger["documents_in"]), format_bytes(size)))
    return _muted(text) + "\n" + table("Documents dropped", ("reason", "documents", "of all", "bytes"), rows)


def _bands(near: dict[str, Any], config: dict[str, Any]) -> str:
    bands, rows, threshold = near["bands"], near["rows"], config["threshold"]
    text = f"{bands:,} bands of {rows:,} rows, from signatures of {config['num_perm']:,} slots. "
    if "bloom" in near:
        text += "A document that shares a band with a kept one is dropped."
    else:
        text += f"A pair that shares a band is compared; from a similarity of {threshold:g} on, it is similar."
    chances = {f"{similarity:.2f}": f"{chance:.4f}" for similarity, chance in near["curve"]}
    drawing = curve("chances", "Chance of being compared, by similarity", near["curve"], mark=threshold)
    listed = table("Chance of being compared", ("similarity", "chance"), chances.items(), kind="histogram")
    return f"<h3>Bands</h3>\n{_muted(text)}\n<figure>{drawing}{_folded('All chances', listed)}</figure>"


def _filters(bloom: dict[str, Any]) -> str:
    text = "Bands were kept in Bloom filters: no text was compared, and no kept document is named."
    rows = [
        ("documents in the filters", f"{bloom['documents']:,}"),
        ("bytes of the filters", format_bytes(bloom["bytes"])),
        ("false positives, computed", f"{bloom['false_positive_rate']:.2e}"),
        ("  of random documents", f"{bloom['probes_found']:,} of {bloom['probes']:,}"),
    ]
    return f"<h3>Filters</h3>\n{_muted(text)}\n{table('Filters', ('', ''), rows)}"


def _candidates(near: dict[str, Any]) -> str:
    join, edges = near["join"], near["edges"]
    facts = [
        ("documents whose bands were compared", join["documents_compared"]),
        ("pairs that share a band", join["pairs_in_buckets"]),
        ("  whose signatures are close enough", join["candidates"]),
        ("  that are similar", edges["edges"]),
        ("pairs not looked at, in large buckets", join["pairs_left_out"]),
        ("documents in the largest bucket", join["largest_bucket"]),
        ("dropped, below the threshold", edges["dropped_below_threshold"]),
    ]
    rows = [(name, f"{count:,}") for name, count in facts]
    parts = ["<h3>Candidates</h3>", table("Candidates", ("", ""), rows)]
    if any(edges["candidates_by_similarity"]):
        parts.append(_by_similarity("Candidates by similarity", edges["candidates_by_similarity"]))
    return "\n".join(parts)


def _by_similarity(caption: str, counts: Sequence[int]) -> str:
    """Counts from 0.0, 0.1, ... 0.9 on, and of equal sets last."""
    highest = max(counts)
    names = [f"{at / 10:.1f} to {(at + 1) / 10:.1f}" for at in range(len(counts) - 1)] + ["1.0"]
    rows = [
        (name, f"{count:,}", Cell("", bar=count / highest, colour="dropped"))
        for name, count in zip(names, counts, strict=True)
    ]
    return table(caption, ("similarity", "pairs", ""), rows, kind="histogram")


def _honesty(near: dict[str, Any], config: dict[str, Any]) -> str:
    honesty = near["honesty"]
    compared = "as all candidates are" if config["near"]["verify"] else "which the run itself did not do"
    text = f"Recall: of all similar pairs of {honesty['sampled_documents']:,} sampled documents, those that are "
    text += f"candidates. Precision: of pairs taken for similar, those that are, compared by their texts, {compared}."
    rows = []
    for name in ("recall", "precision"):
        found = honesty[name]
        low, high = found["interval"]
        value = f"{found['share']:.2%}" if found["of"] else "-"
        rows.append((name, f"{found['hits']:,} of {found['of']:,}", value, f"{low:.2%} to {high:.2%}"))
    head = ("", "pairs", "share", "95% interval")
    return f"<h3>Recall and precision</h3>\n{_muted(text)}\n{table('Recall and precision', head, rows)}"


def _repeated(repeated: dict[str, Any]) -> str:
    rows = [
        ("passages", f"{repeated['spans']:,}"),
        ("documents with any", f"{repeated['documents']:,}"),
        ("  dropped", f"{repeated['documents_dropped']:,}"),
        ("bytes", format_bytes(repeated["bytes"])),
        ("of all words or lines", share(repeated["units"], repeated["of_units"])),
    ]
    return f"<h3>Repeated passages</h3>\n{table('Repeated passages', ('', ''), rows)}"


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _muted(text: str) -> str:
    return f'<p class="muted">{escape(text)}</p>'
