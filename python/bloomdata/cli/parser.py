"""The command line: one parser a verb, made when the verb is used. Options are derived from the Python functions."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from bloomdata.cli.derive import add_verb
from bloomdata.cli.nearest import nearest
from bloomdata.cli.own_options import add_running
from bloomdata.cli.parts import add_parts
from bloomdata.cli.verbs import VERBS, load

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but not those that say nothing; leaves the lines of examples as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS) or action.const is False:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Names the nearest option when one is mistyped, and shows its own usage."""

    def __init__(self, **settings: Any) -> None:
        # `--part` for `--parts` is a mistake, and no abbreviation.
        super().__init__(**{"allow_abbrev": False} | settings)
        self._given: list[str] = []

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As `argparse`, whose error says only what it does not know."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown))
        return options

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As `argparse`; the words are kept for errors."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and exits with 2. A required option may be missing because it was mistyped."""
        if message.startswith("the following arguments are required"):
            words = [word for word in self._given if word.startswith("--")]
            unknown = [word for word in words if word.split("=", 1)[0] not in self._option_string_actions]
            if unknown and nearest(unknown[0], self._option_string_actions):
                message = self._unknown(unknown)
        super().error(message)

    def _unknown(self, words: list[str]) -> str:
        told = []
        for word in words:
            meant = nearest(word, self._option_string_actions) if word.startswith("-") else None
            told.append(f"{word} (did you mean {meant}?)" if meant else word)
        return f"unrecognized arguments: {' '.join(told)}"


def parser_of(name: str) -> Parser:
    """The parser of a verb."""
    verb = VERBS[name]
    parser = Parser(
        prog=f"bloomdata-cli {name}",
        description=verb.summary[0].upper() + verb.summary[1:] + ".",
        formatter_class=_Formatter,
    )
    if verb.function is not None:
        function = load(verb.function)
        hands_on = [(load(place), names.split()) for place, names in verb.hands_on]
        # Variables of a recipe are given one by one; what runs parts has options of its own.
        add_verb(parser, function, without={"variables", "executor"}, hands_on=hands_on)
        if "executor" in inspect.signature(function).parameters:
            add_parts(parser)
    if verb.adds is not None:
        load(verb.adds, "bloomdata.cli")(parser)
    if verb.function is not None:
        add_running(parser, function)
    parser.set_defaults(verb=name)
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line."""
    if arguments and arguments[0] in VERBS:
        options: argparse.Namespace = parser_of(arguments[0]).parse_args(arguments[1:])
        return options
    verbs = "\n".join(f"  {name:<22} {verb.summary}" for name, verb in VERBS.items())
    parser = Parser(
        prog="bloomdata-cli",
        usage="bloomdata-cli VERB ... [options]",
        description="Turns raw text into files that a language model can train on.",
        epilog=f"verbs:\n{verbs}\n\nA command that was killed resumes when it is run again. "
        "`bloomdata-cli VERB --help` says more.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, dest=argparse.SUPPRESS, help="show the version and exit")
    parser.add_argument("verb", metavar="VERB", help=argparse.SUPPRESS)
    verb = parser.parse_known_args(arguments)[0].verb
    meant = "".join(f" (did you mean {name}?)" for name in difflib.get_close_matches(verb, VERBS, n=1))
    parser.error(f"VERB: expected one of {', '.join(VERBS)}, got {verb!r}{meant}")


class _Version(argparse.Action):
    """Asks the core for its version only when it is wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata import _core

        sys.stdout.write(f"bloomdata-cli {_core.VERSION} ({_core.BUILD_PROFILE} build)\n")
        parser.exit()
