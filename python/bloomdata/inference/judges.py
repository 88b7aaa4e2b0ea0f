"""What judges texts: a classifier, a model with examples, or a function."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.inference.generation import generate
from bloomdata.inference.model import load
from bloomdata.inference.moderation import Moderation, Verdict
from bloomdata.inference.weights import explained
from bloomdata.tokenizers.few_shot import LABELS, MODERATION_HEADER
from bloomdata.train.building import require_torch

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from bloomdata.inference.model import Model

# How GPT-JT-Moderation was asked.
_QUESTION = "{samples}\n\nInput: {text}\nLabel:"


def open_moderation(
    judge: str | os.PathLike[str],
    *,
    samples: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    **options: Any,
) -> Moderation:
    """A `Moderation` by the place of its judge.

    Args:
        judge: Folder of a text classifier of transformers; folder of a causal model, which is asked with `samples`; or
            `module:function` of a function that takes a text and returns True, or a `Verdict`.
        samples: What a causal model is shown first: a line of a file that `pack_moderation` writes; by default the
            header with OIG's labels alone.
        labels: Labels that are refused. By default `refused`, or of OIG's labels `needs intervention`.
        **options: `threshold`, `refusal`, `checks_answers` and `logs_text` of `Moderation`.

    Raises:
        ConfigError: There is no such judge, or it has none of the labels.
    """
    place = str(judge)
    if (Path(place) / "config.json").is_file():
        config = json.loads((Path(place) / "config.json").read_text("utf-8"))
        if any("SequenceClassification" in name for name in config.get("architectures") or ()):
            of_judge = tuple(config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"}).values())
            chosen = tuple(labels) if labels else ("refused",)
            if unknown := [label for label in chosen if label not in of_judge]:
                raise ConfigError(f"labels: {place} has {', '.join(of_judge)}, and not {unknown[0]!r}")
            return Moderation(judge=classifier(place), labels=chosen, name=place, **options)
        shown = MODERATION_HEADER if samples is None else _first_sample(Path(samples))
        chosen = tuple(labels) if labels else ("needs intervention",)
        return Moderation(judge=few_shot_judge(load(place), shown), labels=chosen, name=place, **options)
    module, _, name = place.partition(":")
    try:
        function = getattr(importlib.import_module(module), name) if name else None
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"moderation: {place}: {error}") from error
    if function is None:
        raise ConfigError(f"moderation: expected a folder of a model, or module:function, got {place!r}")
    return Moderation(judge=function, labels=tuple(labels or ("refused",)), name=place, **options)


def classifier(folder: str | os.PathLike[str]) -> Callable[[str], list[Verdict]]:
    """A judge that asks a text classifier of transformers; all labels with their probabilities."""
    require_torch()
    from transformers import pipeline

    with explained(str(folder)):
        classify = pipeline("text-classification", model=str(folder), top_k=None)

    def judge(text: str) -> list[Verdict]:
        (found,) = classify([text], truncation=True)
        return [Verdict(one["label"], float(one["score"])) for one in found]

    return judge


def few_shot_judge(model: Model, samples: str, labels: Sequence[str] = LABELS) -> Callable[[str], Verdict]:
    """A judge that asks a causal model for a label, behind a few-shot sample of `pack_moderation`.

    The label is the line that the model writes; what is no label is taken for no verdict, and logged as it is.
    """

    def judge(text: str) -> Verdict:
        asked = _QUESTION.format(samples=samples, text=text)
        settings: dict[str, Any] = {"template": "none", "temperature": 0, "stop": ["\n"], "truncate_turn": "left"}
        (found,) = generate(model, asked, max_new_tokens=16, **settings)
        said = found.text.strip()
        # The longest first: one label is the end of another.
        known = (label for label in sorted(labels, key=len, reverse=True) if said.startswith(label))
        return Verdict(next(known, said))

    return judge


def _first_sample(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            sample: str = json.loads(file.readline())["text"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"samples: {path}: expected a file of pack_moderation: {error}") from error
    return sample
