"""`bloomdata-cli gdp pipeline` and `gdp data_prep`: generative_data_prep's own flags (GD-01), underscores and all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    import argparse

_EXAMPLES = """examples:
  bloomdata-cli gdp pipeline --input_path chats.jsonl --output_path out/ --pretrained_tokenizer bloom/ \\
      --max_seq_length 2048 --input_packing_config greedy --shuffle on_RAM --num_training_splits 8
  bloomdata-cli gdp data_prep --input_path a.jsonl --output_path a.hdf5 --pretrained_tokenizer bloom/
"""
_BOUNDARIES = ("jsonl", "prompt_completion_pair")


def add_gdp(parser: argparse.ArgumentParser) -> None:
    """Both commands."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    formatter = parser.formatter_class
    # As those of generative_data_prep, both take abbreviations.
    pipeline = commands.add_parser(
        "pipeline",
        help="shuffle, split, tokenize, pack, balance",
        usage="bloomdata-cli gdp pipeline --input_path PATH --output_path FOLDER --pretrained_tokenizer NAME [options]",
        epilog=_EXAMPLES,
        formatter_class=formatter,
        allow_abbrev=True,
    )
    _common(pipeline)
    counts = pipeline.add_argument_group("splits")
    for name in ("training", "dev", "test"):
        counts.add_argument(f"--num_{name}_splits", type=int, help=f"{name} files")
    counts.add_argument("--dev_ratio", type=float, help="share of dev files, instead of a count")
    counts.add_argument("--test_ratio", type=float, help="share of test files, instead of a count")
    counts.add_argument(
        "--shuffle", choices=("False", "on_RAM", "large_file"), default="False", help="both shuffles are the same here"
    )
    counts.add_argument("--seed", type=int, default=0, help="of the shuffle (not a flag of generative_data_prep)")
    counts.add_argument("--do_not_balance_hdf5", action="store_true", help="let files keep the rows of their own text")
    counts.add_argument("--keep_split_jsonls", action="store_true", help="keep the texts of the splits")
    pipeline.add_argument("--log_file_path", help="logs.log in the output folder if not given")
    data_prep = commands.add_parser(
        "data_prep",
        help="one file into one .hdf5 file",
        usage="bloomdata-cli gdp data_prep --input_path FILE --output_path FILE --pretrained_tokenizer NAME [options]",
        epilog=_EXAMPLES,
        formatter_class=formatter,
        allow_abbrev=True,
    )
    _common(data_prep)
    parser.usage = "bloomdata-cli gdp {pipeline,data_prep} [options]"
    parser.epilog = _EXAMPLES


def _common(parser: argparse.ArgumentParser) -> None:
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("--input_path", help="a .jsonl or .txt file, or a folder of them")
    names.add_argument("--input_file_path", dest="input_path", help="the same, by its older name")
    parser.add_argument("--output_path", required=True, help="folder (pipeline) or .hdf5 file (data_prep)")
    parser.add_argument("--overwrite_output_path", action="store_true", help="discard what an earlier run left")
    parser.add_argument(
        "--pretrained_tokenizer", required=True, help="a tokenizer.json, its folder, or a name on the Hugging Face hub"
    )
    parser.add_argument("--special_tokens_dict", help="JSON of tokens to add; single quotes will do")
    parser.add_argument("--max_seq_length", type=int, default=2048, help="tokens in a row")
    parser.add_argument(
        "--input_packing_config", default="full", help="full, greedy::drop, single::drop, best_fit, ..."
    )
    parser.add_argument("--packing_boundary", choices=_BOUNDARIES, default="jsonl", help="what packing keeps together")
    parser.add_argument("--attention_boundary", choices=_BOUNDARIES, default="jsonl", help="what ends with a separator")
    parser.add_argument("--prompt_keyword", default="prompt", help="key of the prompt")
    parser.add_argument("--completion_keyword", default="completion", help="key of the completion")
    parser.add_argument("--prompt_prefix", help="in front of prompts")
    parser.add_argument("--prompt_postfix", help="behind prompts")
    parser.add_argument("--categories_path", help="JSON list of the names of categories")
    parser.add_argument("--disable_space_separator", action="store_true", help="put no space in front of completions")
    parser.add_argument(
        "--keep_prompt_only_sequences", action="store_true", help="keep rows on which nothing is trained"
    )
    parser.add_argument(
        "--ignore_input_format_error", action="store_true", help="set bad lines aside in json_load_failed_lines.log"
    )
    parser.add_argument(
        "--apply_chat_template", action="store_true", help="put the tokenizer's chat template around pairs"
    )
    parser.add_argument("--num_workers", type=int, help="threads; one per processor if not given")
    parser.add_argument("--silent", "--quiet", "-q", dest="quiet", action="store_true", help="print errors only")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")


def special_tokens(text: str | None) -> tuple[list[str], dict[str, str]]:
    """Tokens to add, and which of them end and pad documents (GD-28).

    Raises:
        ConfigError: Text that is not a JSON object of tokens.
    """
    if text is None:
        return [], {}
    try:
        try:
            named = json.loads(text)
        except ValueError:
            named = json.loads(text.replace("'", '"'))
        named = {role: value["content"] if isinstance(value, dict) else value for role, value in named.items()}
        tokens = [token for value in named.values() for token in ([value] if isinstance(value, str) else value)]
        tokens = [token["content"] if isinstance(token, dict) else token for token in tokens]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ConfigError(f"special_tokens_dict: expected a JSON object of tokens, got {text!r}") from error
    if not all(isinstance(token, str) for token in tokens):
        raise ConfigError(f"special_tokens_dict: expected tokens only, got {text!r}")
    roles = {role: named[role] for role in ("eos_token", "pad_token") if isinstance(named.get(role), str)}
    return tokens, roles


def run_gdp(options: argparse.Namespace, on_progress: Any) -> Any:
    """Runs the command; a report."""
    from bloomdata.gdp import data_prep, pipeline

    tokens, roles = special_tokens(options.special_tokens_dict)
    own = {
        "verb",
        "command",
        "quiet",
        "json",
        "special_tokens_dict",
        "input_path",
        "output_path",
    }
    arguments = {name: value for name, value in vars(options).items() if name not in own}
    arguments |= {"special_tokens": tokens, **roles, "on_progress": on_progress}
    if options.command == "pipeline":
        return pipeline(options.input_path, options.output_path, **arguments)
    return data_prep(options.input_path, options.output_path, **arguments)


def main(options: argparse.Namespace) -> int:
    """Runs the command, and shows its report."""
    from bloomdata.cli.commands import show
    from bloomdata.cli.progress import progress

    with progress(f"gdp {options.command}", quiet=options.quiet or options.json) as on_progress:
        report = run_gdp(options, on_progress)
    return show(report, options)
