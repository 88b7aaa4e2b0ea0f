"""The metrics table of generative_data_prep, from the counts in the manifest of an HDF5 pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def metrics_table(metrics: Mapping[str, int], *, unit: str = "Articles") -> list[tuple[str, str]]:
    """Names and values, as they are shown; `-` where there is nothing to divide by.

    Args:
        metrics: `manifest["details"]["metrics"]`. Tokens that end an attention unit count as completion.
        unit: What is packed: articles are a word of generative_data_prep alone.

    Returns:
        Counts, averages per article, and shares. The input consists of the tokens in rows and those left out; rows of
        prompts only count with their whole length.

    Origin:
        `processors/metrics.py` of sambanova/generative_data_prep.

    Example:
        >>> counts = {"sequences": 2, "articles": 3, "prompt_tokens": 6, "completion_tokens": 8, "padding_tokens": 2}
        >>> counts |= {"output_tokens": 16, "dropped_from_packing_tokens": 6, "dropped_from_all_prompt_tokens": 0}
        >>> dict(metrics_table(counts))["Data Utilization"]
        '70.00%'
    """
    prompt, completion, output = (metrics[f"{name}_tokens"] for name in ("prompt", "completion", "output"))
    dropped, all_prompt = (metrics[f"dropped_from_{name}_tokens"] for name in ("packing", "all_prompt"))
    used = prompt + completion
    tokens_in = used + dropped + all_prompt
    articles = metrics["articles"]
    return [
        ("Sequences", f"{metrics['sequences']:,}"),
        (unit, f"{articles:,}"),
        ("Dataset Tokens", f"{output:,}"),
        ("Prompt Tokens", f"{prompt:,}"),
        ("Completion Tokens", f"{completion:,}"),
        ("Padding Tokens", f"{metrics['padding_tokens']:,}"),
        ("Average Completion Length", _ratio(completion, articles, ",.2f")),
        ("Average Prompt Length", _ratio(prompt, articles, ",.2f")),
        ("Data Utilization", _ratio(used, tokens_in)),
        ("Dropped From Packing %", _ratio(dropped, tokens_in)),
        ("Dropped From All Prompt %", _ratio(all_prompt, tokens_in)),
        ("Sequence Utilization", _ratio(used, output)),
        ("Seq Completion Utilization", _ratio(completion, output)),
    ]


def _ratio(part: int, whole: int, form: str = ".2%") -> str:
    return format(part / whole, form) if whole else "-"


def unit_of(manifest: Mapping[str, Any]) -> str:
    """What the rows of a folder are made of, as its report calls it."""
    return "Articles" if manifest["verb"] == "gdp" else "Documents"
