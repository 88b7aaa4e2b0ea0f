"""The report of a finished run as one web page: no scripts, no external files, equal bytes for equal manifests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata.reports.html_charts import Cell, Segment, escape, share, stacked_bar, table
from bloomdata.reports.html_dedup import duplicates
from bloomdata.reports.html_page import page
from bloomdata.reports.metrics import metrics_table, unit_of
from bloomdata.reports.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Maximum number of inputs in the table of tokens; the rest is summed up.
NUM_SOURCES = 20
# Maximum number of files in a list; the manifest has all of them.
MAX_FILES = 200
HASH_CHARACTERS = 16
_COUNTS = ("rows", "lines", "documents", "sequences", "tokens", "token_types", "records", "matches", "ignored")
# Formats whose `content_bytes` are rows.
_TABLES = ("parquet", "arrow")


def html_report(manifest: dict[str, Any], *, folder: str, sections: Iterable[tuple[str, str]] = ()) -> str:
    """The report of a finished run as one web page.

    Args:
        manifest: Contents of `manifest.json`.
        folder: Name of the folder to show.
        sections: Titles and HTML of further sections, behind the ledger.

    Returns:
        Self-contained HTML; sections without data are left out.

    Example:
        >>> report = bloomdata.shard("raw/*.jsonl", "shards")
        >>> html_report(report.manifest, folder="shards").startswith("<!doctype html>")
        True
    """
    sections = (
        ("Key figures", _figures(manifest)),
        ("Ledger", _ledger(manifest)),
        ("Duplicates", duplicates(manifest)),
        *sections,
        ("Metrics", _metrics(manifest)),
        ("Lengths of documents", _lengths(manifest)),
        ("Tokens by input", _sources(manifest)),
        ("Documents left out, by reason", _reasons(manifest)),
        ("Padding", _padding(manifest)),
        ("Outputs", _outputs(manifest)),
        ("Inputs", _inputs(manifest)),
        ("Ignored inputs", _ignored(manifest)),
        ("Configuration", _configuration(manifest)),
    )
    return page(f"{manifest['verb']}: {folder}", _header(manifest, folder), sections)


def _header(manifest: dict[str, Any], folder: str) -> str:
    facts = [("Fingerprint", manifest["fingerprint"]), ("Version", f"bloomdata {manifest['bloomdata_version']}")]
    if tokenizer := manifest["details"].get("tokenizer"):
        facts.append(("Tokenizer", f"{tokenizer['backend']}, {tokenizer['vocab_size']:,} ids"))
    items = "\n".join(f"<dt>{name}</dt><dd><code>{escape(value)}</code></dd>" for name, value in facts)
    title = f"{escape(manifest['verb'])} &rarr; {escape(folder)}"
    return f'<header>\n<h1>{title}</h1>\n<dl class="facts">\n{items}\n</dl>\n</header>'


def _figures(manifest: dict[str, Any]) -> str:
    ledger = manifest["ledger"]
    figures = [
        ("Documents in", f"{ledger['documents_in']:,}"),
        ("Documents kept", f"{ledger['documents_kept']:,}"),
        ("Documents dropped", f"{sum(ledger['documents_dropped'].values()):,}"),
        ("Documents quarantined", f"{sum(ledger['documents_quarantined'].values()):,}"),
    ]
    if ledger["tokens_in"] or ledger["tokens_out"]:
        figures += [(f"Tokens {name}", f"{ledger[f'tokens_{name}']:,}") for name in ("in", "out")]
        figures += [("Padding, of tokens out", share(ledger["tokens_padding"], ledger["tokens_out"]))]
        figures += [(f"Tokens {name}", f"{ledger[f'tokens_{name}']:,}") for name in ("truncated", "dropped")]
    figures.append(("Bytes in", format_bytes(ledger["bytes_in"])))
    figures.append(("Bytes written", format_bytes(sum(output["size"] for output in manifest["outputs"]))))
    items = "\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    return f'<dl class="figures">\n{items}\n</dl>'


def _ledger(manifest: dict[str, Any]) -> str:
    ledger = manifest["ledger"]
    documents = [Segment("kept", ledger["documents_kept"], "kept")]
    documents += [Segment(name, count, colour) for name, count, colour in _left_out(ledger)]
    padding, out = ledger["tokens_padding"], ledger["tokens_out"]
    tokens = [
        Segment("text", out - padding, "kept"),
        Segment("padding", padding, "padding"),
        Segment("truncated", ledger["tokens_truncated"], "dropped"),
        Segment("dropped", ledger["tokens_dropped"], "lost"),
    ]
    parts = []
    if bar := stacked_bar("documents", "Where the documents went", documents, ("", "documents", "of all")):
        dropped, bad = (sum(ledger[f"documents_{fate}"].values()) for fate in ("dropped", "quarantined"))
        sums = f"= {ledger['documents_kept']:,} kept + {dropped:,} dropped + {bad:,} quarantined"
        sums = _muted(f"{ledger['documents_in']:,} in {sums}")
        parts.append(f"<h3>Documents</h3>\n{sums}\n{bar}")
    if bar := stacked_bar("tokens", "Where the tokens went", tokens, ("", "tokens", "of all")):
        sums = f"= {out:,} out + {ledger['tokens_truncated']:,} truncated + {ledger['tokens_dropped']:,} dropped"
        sums = _muted(f"{ledger['tokens_in']:,} in + {padding:,} padding {sums}")
        parts.append(f"<h3>Tokens</h3>\n{sums}\n{bar}")
    return "\n".join(parts)


def _left_out(ledger: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Documents that were not kept: fate and reason, count, colour. Adjacent ones differ in shade."""
    shades = ("", "-2", "-3")
    for fate, colour in (("dropped", "dropped"), ("quarantined", "bad")):
        for number, (reason, count) in enumerate(ledger[f"documents_{fate}"].items()):
            yield f"{fate}: {reason}", count, colour + shades[number % len(shades)]


def _metrics(manifest: dict[str, Any]) -> str:
    details = manifest["details"]
    if not details.get("metrics"):
        return ""
    splits = details.get("metrics_by_split", {})
    columns = [metrics_table(metrics, unit=unit_of(manifest)) for metrics in (details["metrics"], *splits.values())]
    rows = [(row[0][0], *(value for _, value in row)) for row in zip(*columns, strict=True)]
    return table("Metrics", ("", "all" if splits else "", *splits), rows)


def _lengths(manifest: dict[str, Any]) -> str:
    histogram = manifest["details"].get("length_histogram") or []
    first = next((power for power, count in enumerate(histogram) if count), None)
    if first is None:
        return ""
    total, highest = sum(histogram), max(histogram)
    rows = [
        (
            f"{1 << power:,} to {(2 << power) - 1:,}" if power else "1",
            f"{count:,}",
            Cell("", bar=count / highest, colour="kept"),
        )
        for power, count in enumerate(histogram)
        if power >= first
    ]
    text = _muted(f"{total:,} documents with tokens, as packing keeps them together, before it cuts them.")
    return text + "\n" + table("Documents by length", ("tokens", "documents", ""), rows, kind="histogram")


def _sources(manifest: dict[str, Any]) -> str:
    counts = [(entry["path"], entry.get("tokens", 0), entry.get("documents_kept", 0)) for entry in manifest["inputs"]]
    total = sum(tokens for _, tokens, _ in counts)
    if not total:
        return ""
    counts.sort(key=lambda entry: -entry[1])
    shown, rest = counts[:NUM_SOURCES], counts[NUM_SOURCES:]
    if rest:
        shown.append((f"{len(rest):,} more", sum(entry[1] for entry in rest), sum(entry[2] for entry in rest)))
    highest = max(tokens for _, tokens, _ in shown)
    rows = [
        (Cell(path, bar=tokens / highest, colour="kept"), f"{documents:,}", f"{tokens:,}", share(tokens, total))
        for path, tokens, documents in shown
    ]
    return table("Tokens by input", ("input", "documents", "tokens", "of all"), rows, kind="stack")


def _reasons(manifest: dict[str, Any]) -> str:
    ledger = manifest["ledger"]
    found = sorted((entry for entry in _left_out(ledger) if entry[1]), key=lambda entry: -entry[1])
    rows = [
        (Cell(name, bar=count / found[0][1], colour=colour), f"{count:,}", share(count, ledger["documents_in"]))
        for name, count, colour in found
    ]
    return table("Documents left out", ("reason", "documents", "of all"), rows, kind="stack") if rows else ""


def _padding(manifest: dict[str, Any]) -> str:
    metrics = manifest["details"].get("metrics")
    if not metrics or not metrics["output_tokens"]:
        return ""
    is_text = manifest["config"].get("record") == "text"
    segments = (
        Segment("prompt", metrics["prompt_tokens"], "prompt"),
        Segment("text" if is_text else "completion", metrics["completion_tokens"], "kept"),
        Segment("padding", metrics["padding_tokens"], "padding"),
    )
    rows, length = metrics["sequences"], metrics["output_tokens"] // metrics["sequences"]
    mean = metrics["padding_tokens"] / rows
    text = _muted(f"{rows:,} rows of {length:,} tokens, of which {mean:,.1f} are padding on average.")
    return text + "\n" + stacked_bar("padding", "What rows hold", segments, ("", "tokens", "of all"))


def _outputs(manifest: dict[str, Any]) -> str:
    rows = []
    for output in manifest["outputs"]:
        counts = [f"{output[name]:,} {name.replace('_', ' ')}" for name in _COUNTS if name in output]
        cell = Cell(output["path"], note=f"BLAKE3 {output['hash'][:HASH_CHARACTERS]}")
        rows.append((cell, ", ".join(counts), format_bytes(output["size"])))
    return _files("Outputs", ("file", "holds", "size"), rows)


def _inputs(manifest: dict[str, Any]) -> str:
    with_tokens = any(entry.get("tokens") for entry in manifest["inputs"])
    with_documents = any(entry.get("documents_kept") for entry in manifest["inputs"])
    rows = []
    for entry in manifest["inputs"]:
        content = entry["content_bytes"]
        row: list[Cell | str] = [
            Cell(entry["path"], note=f"{entry['format']}, BLAKE3 {entry['hash'][:HASH_CHARACTERS]}")
        ]
        row.append(format_bytes(entry["size"]))
        row.append(f"{content:,} rows" if entry["format"] in _TABLES else format_bytes(content))
        row += [f"{entry.get('documents_kept', 0):,}"] * with_documents + [f"{entry.get('tokens', 0):,}"] * with_tokens
        rows.append(row)
    head = ["file", "size", "content", *["documents"] * with_documents, *["tokens"] * with_tokens]
    return _files("Inputs", head, rows)


def _files(caption: str, head: Any, rows: list[Any]) -> str:
    if not rows:
        return ""
    hidden = len(rows) - MAX_FILES
    more = _muted(f"and {hidden:,} more, which manifest.json lists") if hidden > 0 else ""
    return table(caption, head, rows[:MAX_FILES], kind="stack") + more


def _ignored(manifest: dict[str, Any]) -> str:
    paths = manifest["ignored_inputs"]
    if not paths:
        return ""
    items = "\n".join(f"<li><code>{escape(path)}</code></li>" for path in paths[:MAX_FILES])
    hidden = len(paths) - MAX_FILES
    more = _muted(f"and {hidden:,} more, which manifest.json lists") if hidden > 0 else ""
    reasons = manifest.get("ignored_reasons") or {}
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) or "hidden, or of unknown format"
    text = _muted(f"{len(paths):,} files were not read: {escape(why)}.")
    return f"{text}\n<ul>\n{items}\n</ul>{more}"


def _configuration(manifest: dict[str, Any]) -> str:
    rows = [(name, json.dumps(value, ensure_ascii=False)) for name, value in manifest["config"].items()]
    return table("Configuration", ("", ""), rows, kind="stack settings code") if rows else ""


def _muted(text: str) -> str:
    return f'<p class="muted">{escape(text)}</p>'
