"""A training run as a web page: the curve of its losses, its evaluations, its recipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.reports.html_charts import curve, escape, table
from bloomdata.reports.html_page import page
from bloomdata.train.journal import read_log

if TYPE_CHECKING:
    from pathlib import Path

# Points of the curve: as many as a screen can show.
_POINTS = 400


def html_run(folder: Path) -> str:
    """The page of a run.

    Raises:
        ConfigError: The folder has no run.
    """
    if not (folder / "config.json").exists():
        raise ConfigError(f"{folder}: expected a run with config.json, found none")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    log = read_log(folder / "log.jsonl")
    name = f"train {config['recipe']['name']}: {folder}"
    versions = ", ".join(f"{package} {version}" for package, version in config["versions"].items())
    facts = [("Data", config["data_fingerprint"]), ("Versions", versions)]
    items = "\n".join(f"<dt>{key}</dt><dd><code>{escape(value)}</code></dd>" for key, value in facts)
    header = f'<header>\n<h1>{escape(name)}</h1>\n<dl class="facts">\n{items}\n</dl>\n</header>'
    recipe = json.dumps(config["recipe"], indent=2, ensure_ascii=False)
    sections = [
        ("Loss", _losses([line for line in log if "loss" in line])),
        ("Evaluations", _evaluations(log)),
        ("Events", _events(log)),
        ("Recipe", f"<pre>{escape_lines(recipe)}</pre>"),
    ]
    return page(name, header, sections)


def _losses(lines: list[dict[str, Any]]) -> str:
    """The curve, from the first step to the last, and its numbers at ten steps."""
    finite = [line for line in lines if line["loss"] == line["loss"] and "skipped" not in line]
    if not finite:
        return ""
    every = max(1, len(finite) // _POINTS)
    shown = finite[::every]
    last, highest = finite[-1]["step"], max(line["loss"] for line in shown)
    points = [(line["step"] / last, line["loss"] / highest) for line in shown]
    drawn = curve("loss", f"Loss by step, from 0 to {highest:.4g}", points, mark=0.0)
    columns = ("step", "loss", "learning rate", "gradient norm", "tokens/s")
    rows = [
        (
            f"{line['step']:,}",
            f"{line['loss']:.4f}",
            f"{line['learning_rate']:.3g}",
            f"{line['gradient_norm']:.3g}",
            f"{line['tokens_per_second']:,.0f}",
        )
        for line in [*finite[:: max(1, len(finite) // 9)], finite[-1]]
    ]
    return f"<figure>{drawn}{table('Losses', columns, rows)}</figure>"


def _evaluations(log: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"step {line['step']:,}: {name}",
            f"{found['loss']:.4f}",
            f"{found['perplexity']:.4g}",
            f"{found['bits_per_byte']:.4f}" if "bits_per_byte" in found else "-",
        )
        for line in log
        for name, found in line.get("evaluation", {}).items()
    ]
    return table("Evaluations", ("set", "loss", "perplexity", "bits per byte"), rows) if rows else ""


def _events(log: list[dict[str, Any]]) -> str:
    lines = [line for line in log if "event" in line or "skipped" in line]
    rows = [(f"step {line['step']:,}", line.get("event", line.get("skipped", ""))) for line in lines]
    return table("Events", ("step", "event"), rows) if rows else ""


def escape_lines(text: str) -> str:
    """Escaped text with its line breaks."""
    return "\n".join(escape(line) for line in text.split("\n"))
