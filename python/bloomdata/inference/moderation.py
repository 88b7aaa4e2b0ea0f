"""What is refused: a hook before a text reaches the model, and one before its answer is shown."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bloomdata.errors import ConfigError

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
        judge: Takes a text and returns a `Verdict` or several, or True for a text to refuse. `judges` has some.
        labels: Labels that are refused.
        threshold: Score from which on they are.
        refusal: What is shown instead.
        checks_answers: Whether to judge answers, too. They are shown when they are complete, then.
        logs_text: Whether to log the texts.
        name: Of the judge, for the books of a file.

    Raises:
        ConfigError: The threshold is not from 0 to 1, or the refusal is empty.
    """

    judge: Callable[[str], Verdict | list[Verdict] | bool]
    labels: tuple[str, ...] = ("refused",)
    threshold: float = 0.5
    refusal: str = "I cannot help with that."
    checks_answers: bool = True
    logs_text: bool = False
    name: str = "callable"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold: expected 0 to 1, got {self.threshold}")
        if not self.refusal:
            raise ConfigError("refusal: expected a text, got an empty one")

    def refuses(self, text: str, where: Literal["prompt", "answer"]) -> bool:
        """Whether a text is refused."""
        found = self.judge(text)
        if isinstance(found, bool):
            found = Verdict("refused" if found else "accepted")
        verdicts = [found] if isinstance(found, Verdict) else found
        counted = [verdict for verdict in verdicts if verdict.label in self.labels and verdict.score >= self.threshold]
        words = ", ".join(f"{label} {score:.3f}" for label, score in counted or verdicts)
        decision = f"{where} {'refused' if counted else 'accepted'}: {words}"
        _log.info("%s", f"{decision}: {text!r}" if self.logs_text else decision)
        return bool(counted)

    def to_json(self) -> dict[str, Any]:
        """What decisions depend on."""
        return {"judge": self.name, "labels": self.labels, "threshold": self.threshold, "refusal": self.refusal}
