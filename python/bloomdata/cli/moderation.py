"""Options of moderation, which `generate` and `chat` have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_moderation(parser: argparse.ArgumentParser) -> None:
    """What judges texts, and what is shown instead of those that are refused."""
    group = parser.add_argument_group("moderation")
    for action in parser._actions:
        if action.dest == "moderation":
            action.help = "folder of a text classifier or of a moderation model, or module:function of a judge"
            action.metavar = "JUDGE"
    group.add_argument("--moderation-labels", nargs="+", metavar="LABEL", help="labels that are refused")
    group.add_argument("--moderation-threshold", type=float, metavar="N", help="score from which on they are")
    group.add_argument("--moderation-samples", metavar="FILE", help="few-shot samples that pack_moderation wrote")
    group.add_argument("--refusal", metavar="TEXT", help="what is shown instead of what is refused")
    group.add_argument("--log-moderation", action="store_true", help="log each decision to the standard error")
    group.add_argument("--log-moderated-text", action="store_true", help="and the text that was judged")


def take_moderation(given: dict[str, Any]) -> Any:
    """Takes these options out of the others; a `Moderation`, or None."""
    judge = given.pop("moderation", None)
    names = ("labels", "threshold", "samples")
    options: dict[str, Any] = {name: given.pop(f"moderation_{name}", None) for name in names}
    options["refusal"] = given.pop("refusal", None)
    logs, logs_text = given.pop("log_moderation", False), given.pop("log_moderated_text", False)
    if judge is None:
        return None
    import logging

    from bloomdata.inference.judges import open_moderation

    if logs or logs_text:
        log = logging.getLogger("bloomdata.moderation")
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
    chosen = {name: value for name, value in options.items() if value is not None}
    return open_moderation(judge, logs_text=logs_text, **chosen)
