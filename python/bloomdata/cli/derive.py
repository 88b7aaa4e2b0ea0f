"""Options of a verb, from the signature and the docstring of its Python function.

The signature gives names, types, choices and defaults; the docstring's `Args:` the help, its `Command line:` the
examples. What stands here is only what those cannot say: groups, and how values of a few types are written.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.cli.values import Pairs, parse_json_object, parse_source, parse_splits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Options in the groups of `--help`, in this order; those of no group come first.
GROUPS = {
    "text": "tokenizer record text_field eos_token pad_token add_special_tokens special_tokens "
    "special_tokens_in_text append_eos split_sentences",
    "pairs of prompt and completion": "prompt_keyword completion_keyword category_keyword categories space_separator "
    "prompt_prefix prompt_postfix attention_boundary packing_boundary keep_prompt_only_sequences "
    "keep_end_only_sequences",
    "conversations": "style template template_variables template_date train_on messages_keyword role_keyword "
    "content_keyword ignore_fields tool_arguments source",
    "records": "records max_rows_per_input sampling repeat missing",
    "rows": "format sequence_length packing packings overlong window_tokens",
    "files": "max_lines max_bytes compression level prefix digits first_index rows_per_file shuffle seed splits "
    "validate allow_nan ensure_ascii",
    "duplicates": "exact exact_normalize min_characters keep against signatures report_only",
    "contamination": "evaluations action ngram threshold common preset",
    "answers": "temperature top_p top_k repetition_penalty max_new_tokens seed stop num_samples logprobs truncate_turn",
    "prompts": "preset template system prompt_field answer_field",
    "loading": "dtype max_memory_fraction gpu_memory cpu_memory adapter gguf_file batch_tokens",
    "parts": "parts part counting decide scratch scratch_limit",
    "run": "on_bad_record max_bad allow_empty ignore_keys memory_limit checkpoint_seconds num_threads overwrite",
}
# Values that are written in a form of their own.
_WRITTEN: dict[str, dict[str, Any]] = {
    "splits": {"type": parse_splits, "metavar": "NAME=SHARE,..."},
    "template_variables": {"type": parse_json_object, "metavar": "JSON"},
    "source": {"type": parse_source, "metavar": "NAME"},
    "repeat": {"action": Pairs, "metavar": "NAME=TIMES"},
    "categories": {"metavar": "FILE"},
    "definition": {"metavar": "FILE"},
    "checksums": {"metavar": "FILE"},
    "output": {"metavar": "FOLDER"},
    "template_date": {"metavar": "DATE"},
    "scratch_limit": {"metavar": "BYTES"},
    "scratch": {"metavar": "FOLDER"},
    "part": {"metavar": "N|slurm"},
    "memory_limit": {"metavar": "BYTES"},
    "evaluations": {"nargs": "+", "metavar": "FILE"},
    "gpu_memory": {"nargs": "+", "metavar": "ID:GIB"},
}
_LISTS = {"inputs", "sources"}
_SHORT = {"output": "-o", "gpu_memory": "-g", "cpu_memory": "-r"}
# Parameters that are options although Python takes them by their place, and how those are written.
_NAMED = {"output": "--output", "prompts": "--input", "k": "-k"}
# Parameters that are descriptions with options of their own: the class, and what stands before its options.
DESCRIPTIONS = {
    "near": ("bloomdata.options.near:MinHash", ""),
    "substring": ("bloomdata.options.near:Substring", "substring-"),
}


@dataclass(frozen=True)
class Docs:
    """What a docstring says.

    Attributes:
        summary: Its first line.
        arguments: The entries of `Args:` by name.
        examples: The lines of `Command line:`.
    """

    summary: str
    arguments: Mapping[str, str]
    examples: tuple[str, ...]


def read_docs(function: Callable[..., Any]) -> Docs:
    """Reads a docstring. An entry that refers to another verb (``As for `pack`.``) has that verb's text in front."""
    text = inspect.getdoc(function) or ""
    arguments = {}
    for name, entry in re.findall(r"^    \*{0,2}(\w+): (.*(?:\n        .*)*)", _section(text, "Args"), re.MULTILINE):
        words = " ".join(entry.split())
        if of := re.match(r"As for `(\w+)`[.;,]? ?", words):
            other = getattr(importlib.import_module("bloomdata"), of[1])
            rest = words[of.end() :]
            words = f"{read_docs(other).arguments.get(name, '')} {rest[:1].upper()}{rest[1:]}".strip()
        arguments[name] = words
    examples = [line.strip() for line in _section(text, "Command line").splitlines() if line.strip()]
    return Docs(text.split("\n", 1)[0], arguments, tuple(examples))


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    return found[1] if found else ""


def add_verb(
    parser: argparse.ArgumentParser,
    function: Callable[..., Any],
    *,
    without: Iterable[str] = (),
    hands_on: Iterable[tuple[Callable[..., Any], Iterable[str]]] = (),
) -> None:
    """Adds all options of a verb, its usage and its examples.

    Args:
        parser: Where to.
        function: The verb.
        without: Parameters that have no option.
        hands_on: For a verb that takes `**options`: whose they are, and which. Those that are not given are None; what
            is the default there is in the help.
    """
    docs = read_docs(function)
    parameters = dict(inspect.signature(function).parameters)
    left_out = {"on_progress", "on_step", "on_line", *without}
    handed_on: dict[str, str] = {}
    for other, names in hands_on:
        theirs, texts = inspect.signature(other).parameters, read_docs(other).arguments
        handed_on |= {name: texts[name] for name in names}
        parameters |= {name: theirs[name].replace(default=None) for name in names}
    described = [name for name in DESCRIPTIONS if name in parameters]
    taken = {
        name: parameter
        for name, parameter in parameters.items()
        if name not in left_out and name not in described and parameter.kind is not parameter.VAR_KEYWORD
    }
    required = []
    for name, parameter in taken.items():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in _NAMED:
            nargs = "+" if name in _LISTS else None
            parser.add_argument(name, nargs=nargs, metavar=name.upper(), help=plain_words(docs.arguments.get(name, "")))
            required.append(name.upper() + ("..." if nargs else ""))
    # An option that is in several groups stands in that of which the verb has most.
    sizes = {group: len(taken.keys() & set(names.split())) for group, names in GROUPS.items()}
    by_size = sorted(GROUPS, key=lambda group: sizes[group])
    groups = {name: group for group in by_size for name in GROUPS[group].split()}
    parts: dict[str, Any] = {}
    order = [None, *GROUPS]
    options = [name for name in taken if name in _NAMED or taken[name].kind is inspect.Parameter.KEYWORD_ONLY]
    for name in sorted(options, key=lambda name: order.index(groups.get(name))):
        group = groups.get(name)
        if group is not None and group not in parts:
            parts[group] = parser.add_argument_group(group)
        text = docs.arguments.get(name) or handed_on.get(name, "")
        action = add_option(parts.get(group or "", parser), name, taken[name], text)
        if action.required:
            required.append(f"{action.option_strings[0]} {action.metavar or name.upper()}")
    for name in described:
        add_description(parser, name, docs.arguments.get(name, ""))
    parser.usage = " ".join([parser.prog, *required, "[options]"])
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in docs.examples)


def add_description(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Adds the options of a description, under a switch of its name; those that are not given are left out."""
    place, before = DESCRIPTIONS[name]
    module, kind = place.split(":")
    described = getattr(importlib.import_module(module), kind)
    docs = read_docs(described)
    group = parser.add_argument_group(f"{name}: {plain_words(docs.summary).rstrip('.')}")
    summary = plain_words(text).split(":")[0].split(";")[0]
    group.add_argument(f"--{name}", dest=f"{name}.", action="store_true", default=argparse.SUPPRESS, help=summary)
    for option, parameter in inspect.signature(described).parameters.items():
        action = add_option(group, f"{before}{option}", parameter, docs.arguments[option])
        action.dest = f"{name}.{option}"
        if parameter.default not in (None, True, False):
            action.help = f"{action.help} (default: {parameter.default})"
        action.default = argparse.SUPPRESS


def descriptions_of(options: dict[str, Any]) -> dict[str, Any]:
    """Options as the function takes them: those of a description become one."""
    plain: dict[str, Any] = {}
    for name, value in options.items():
        of, dot, option = name.partition(".")
        if not dot:
            plain[name] = value
        else:
            plain.setdefault(of, {}).update({option: value} if option else {})
    return plain


def add_option(group: Any, name: str, parameter: inspect.Parameter, text: str) -> argparse.Action:
    """Adds the option of one parameter."""
    names = [_NAMED.get(name, f"--{name.replace('_', '-')}"), *([_SHORT[name]] if name in _SHORT else [])]
    settings: dict[str, Any] = {"dest": name, "help": plain_words(text)}
    if parameter.default is parameter.empty:
        settings["required"] = True
    else:
        settings["default"] = parameter.default
    annotation = str(parameter.annotation)
    if annotation == "bool":
        settings["action"] = "store_true" if parameter.default is False else argparse.BooleanOptionalAction
    elif name in _WRITTEN:
        settings |= _WRITTEN[name]
    elif choices := re.match(r"Literal\[(.*?)\]", annotation):
        settings["choices"] = re.findall(r"""["']([^"']*)["']""", choices[1])
    elif annotation.startswith(("int", "float")):
        kind = int if annotation.startswith("int") else float
        settings |= {"type": kind, "metavar": "SECONDS" if name.endswith("_seconds") else "N"}
    elif "Sequence[str" in annotation:
        settings |= {"nargs": "+", "metavar": name.removesuffix("s").upper()}
    else:
        settings["metavar"] = name.upper()
    action: argparse.Action = group.add_argument(*names, **settings)
    return action


def plain_words(text: str) -> str:
    """An entry of a docstring as help: no quoting marks, no sentence that asks whether."""
    text = re.sub(r"`{1,2}\"?([^`]*?)\"?`{1,2}", lambda quoted: quoted[1], text)
    text = re.sub(r"^Whether to (?=\w)", "", text).strip().rstrip(".")
    # What only Python can hand over.
    text = re.sub(r",? or one datasets\.Dataset[^.]*", "", text)
    return (text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text).replace("%", "%%")
