"""What is refused: a hook before a text reaches the model, and one before its answer is shown."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("bloomdata.moderation")


class Verdict(NamedTuple):
    """What a judge finds in a text: its label, and how certain that is, from 0 to 1."""

    label: str
    score: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Moderation:
    """Refuses texts by a judge of them. Each decision is logged as `bloomdata.moderation`, without the text.

    Args:
        judge: Takes a text and returns a `Verdict`, or True for a text to refuse. See `judges`.
        labels: Labels that are refused.
        threshold: Score from which on they are.
        refusal: What is shown instead.
        checks_answers: Whether to judge answers, too. They are shown when they are complete, then.
        logs_text: Whether to log the texts.
    """

    judge: Callable[[str], Verdict | bool]
    labels: tuple[str, ...] = ("refused",)
    threshold: float = 0.5
    refusal: str = "I cannot help with that."
    checks_answers: bool = True
    logs_text: bool = False

    def refuses(self, text: str, where: Literal["prompt", "answer"]) -> bool:
        """Whether a text is refused."""
        found = self.judge(text)
        verdict = found if isinstance(found, Verdict) else Verdict("refused" if found else "accepted")
        is_refused = verdict.label in self.labels and verdict.score >= self.threshold
        decision = "refused" if is_refused else "accepted"
        words = f"{where} {decision}: {verdict.label} ({verdict.score:.3f})"
        _log.info("%s", f"{words}: {text!r}" if self.logs_text else words)
        return is_refused
