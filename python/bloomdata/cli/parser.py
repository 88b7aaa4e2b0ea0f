"""All options of `bloomdata-cli`. Names and defaults are those of the Python functions (a test compares them)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bloomdata.cli.gdp import add_gdp

_FORMATS = ".jsonl .ndjson .json .txt (each plain, .gz or .zst), .parquet; files, folders or patterns"


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="bloomdata-cli",
        description="Turns raw text into files that a language model can train on.",
        epilog="A command that was killed goes on when it is run again. `bloomdata-cli VERB --help` says more.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, dest=argparse.SUPPRESS, help="show the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _shard(_add(verbs, "shard", "copy lines into compressed shards of at most so many lines"))
    _pack(_add(verbs, "pack", "tokenize documents into Megatron or HDF5 files"))
    _plan(_add(verbs, "plan", "predict what packings would do, from the lengths of documents"))
    _merge(_add(verbs, "merge", "join finished Megatron pairs"))
    add_gdp(verbs, _Formatter)
    _verify(_add(verbs, "verify", "check every hash, size and count of a finished folder"))
    _report(_add(verbs, "report", "show the books of a finished folder again"))
    _inspect(_add(verbs, "inspect", "show documents and rows as text"))
    return parser


class _Version(argparse.Action):
    """Asks the core for its version only when it is wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from bloomdata import _core

        sys.stdout.write(f"bloomdata-cli {_core.VERSION} ({_core.BUILD_PROFILE} build)\n")
        parser.exit()


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=summary, description=summary.capitalize() + ".", formatter_class=_Formatter)


def _splits(text: str) -> dict[str, float]:
    """`train=0.98,dev=0.01,test=0.01` or `dev=1000,test=1000`."""
    splits: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            splits[name] = int(share) if share.isdigit() else float(share)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=SHARE") from None
    if any(isinstance(share, float) for share in splits.values()):
        return {name: float(share) for name, share in splits.items()}
    return splits


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help=_FORMATS)
    parser.add_argument("--output", "-o", required=True, help="folder to write; new, empty, or of an earlier run")


def _bad_records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad-record",
        choices=("raise", "quarantine"),
        default="raise",
        help="stop at the first bad record, or keep bad records in quarantine.jsonl and count them",
    )


def _running(
    parser: argparse.ArgumentParser, *, threads: bool = True, overwrite: bool = True, html: bool = True
) -> None:
    group = parser.add_argument_group("running")
    if threads:
        group.add_argument("--num-threads", type=int, help="threads; one per processor if not given")
    if overwrite:
        group.add_argument("--overwrite", action="store_true", help="discard what an earlier run left in the output")
    group.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    group.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    if html:
        group.add_argument("--html", metavar="FILE", help="write the report as a web page, too; not into the output")


def _shard(parser: argparse.ArgumentParser) -> None:
    _inputs(parser)
    parser.add_argument("--max-lines", type=int, default=16_384, help="lines in a shard")
    parser.add_argument("--max-bytes", type=int, help="decompressed bytes in a shard")
    parser.add_argument("--compression", choices=("zstd", "gzip", "none"), default="zstd", help="of the shards")
    parser.add_argument("--level", type=int, default=3, help="compression level")
    parser.add_argument("--prefix", default="part", help="first part of shard names")
    parser.add_argument("--digits", type=int, default=5, help="digits of the number in shard names, at least")
    parser.add_argument("--first-index", type=int, default=0, help="number of the first shard")
    parser.add_argument("--text-field", default="text", help="key for the lines of .txt inputs")
    parser.add_argument(
        "--validate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check that every line is a JSON object",
    )
    _bad_records(parser)
    parser.add_argument("--shuffle", action="store_true", help="shuffle all lines, in bounded memory")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle and of splits by ratio")
    parser.add_argument(
        "--splits",
        type=_splits,
        help="shares (train=0.98,dev=0.01,test=0.01) or numbers of lines (dev=1000,test=1000)",
    )
    _running(parser)


def _pack(parser: argparse.ArgumentParser) -> None:
    _inputs(parser)
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json, a folder that holds one, or 'bytes'")
    parser.add_argument("--format", choices=("hdf5", "megatron"), default="hdf5", help="kind of the output files")
    parser.add_argument("--sequence-length", type=int, help="tokens in a row (hdf5)")
    parser.add_argument(
        "--packing",
        help="how articles become rows (hdf5): full, greedy, best_fit, single::truncate_right, ...; full if not given",
    )
    parser.add_argument(
        "--record",
        choices=("text", "prompt_completion"),
        default="text",
        help="what a record is: an object with text, or pairs of prompt and completion",
    )
    parser.add_argument(
        "--text-field",
        default=["text"],
        action="extend",
        nargs="+",
        help="field that holds the text, a.b for one inside another; several make one Megatron pair each",
    )
    _pairs(parser)
    parser.add_argument(
        "--window-tokens", type=int, default=1 << 23, help="tokens that packing best_fit looks at together"
    )
    parser.add_argument("--seed", type=int, default=0, help="of packing single::sample")
    parser.add_argument("--eos-token", help="token that ends a document, if the tokenizer's files do not say")
    parser.add_argument("--pad-token", help="token that pads the last row")
    parser.add_argument(
        "--add-special-tokens",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep tokens that the tokenizer adds itself (a leading <s>)",
    )
    parser.add_argument("--special-tokens", nargs="+", metavar="TOKEN", help="tokens to add to the vocabulary")
    parser.add_argument(
        "--append-eos",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="end every document with the end token",
    )
    parser.add_argument("--compression", choices=("gzip",), help="chunked, compressed HDF5")
    parser.add_argument("--rows-per-file", type=int, help="rows in an HDF5 file; 256 MiB of them if not given")
    parser.add_argument("--prefix", default="data", help="first part of file names")
    _bad_records(parser)
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=10.0, help="a killed run loses about this much work"
    )
    _running(parser)


def _pairs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pairs of prompt and completion")
    group.add_argument("--prompt-keyword", default="prompt", help="key of the prompt")
    group.add_argument("--completion-keyword", default="completion", help="key of the completion")
    group.add_argument("--category-keyword", default="category", help="key of the category")
    group.add_argument("--categories", metavar="FILE", help="JSON list of names; adds category_ids to the rows")
    group.add_argument(
        "--space-separator",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put one space in front of completions, and none behind prompts",
    )
    group.add_argument("--prompt-prefix", help="in front of prompts that are not empty")
    group.add_argument("--prompt-postfix", help="behind prompts that are not empty")
    boundaries = ("jsonl", "prompt_completion_pair")
    group.add_argument(
        "--attention-boundary", choices=boundaries, default="jsonl", help="what ends with a token of type 3"
    )
    group.add_argument("--packing-boundary", choices=boundaries, default="jsonl", help="what packing keeps together")
    group.add_argument(
        "--keep-prompt-only-sequences", action="store_true", help="keep pairs and rows on which nothing is trained"
    )


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help=f"{_FORMATS}; or one folder or pair that pack has written")
    parser.add_argument("--sequence-length", type=int, required=True, help="tokens in a row")
    parser.add_argument("--packings", nargs="+", metavar="PACKING", help="to compare; the common ones if not given")
    parser.add_argument("--tokenizer", help="for inputs that are not tokenized")
    parser.add_argument("--text-field", nargs="+", metavar="FIELD", help="field that holds the text")
    parser.add_argument("--record", choices=("text", "prompt_completion"), help="what a record is")
    parser.add_argument(
        "--packing-boundary", choices=("jsonl", "prompt_completion_pair"), help="what packing keeps together"
    )
    parser.add_argument("--on-bad-record", choices=("raise", "quarantine"), help="stop at bad ones, or leave them out")
    parser.add_argument(
        "--window-tokens", type=int, default=1 << 23, help="tokens that packing best_fit looks at together"
    )
    parser.add_argument("--seed", type=int, default=0, help="of packing single::sample")
    _running(parser, overwrite=False, html=False)


def _merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="folders of pack or merge, or pairs without .bin and .idx")
    parser.add_argument("--output", "-o", required=True, help="folder to write; new, empty, or of an earlier run")
    parser.add_argument("--prefix", default="merged_document", help="name of the pair when inputs are bare pairs")
    _running(parser, threads=False)


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="written by shard, pack, merge or gdp pipeline")
    group = parser.add_argument_group("what a training run wants")
    group.add_argument("--sequence-length", type=int, help="tokens in a row")
    group.add_argument("--vocab-size", type=int, help="ids of the model")
    group.add_argument("--num-workers", type=int, help="training workers; each needs a file")
    group.add_argument("--batch-size", type=int, help="rows in a batch; no file may have fewer")
    group.add_argument("--evaluate", action="store_true", help="dev files are needed, too")
    _running(parser, overwrite=False, html=False)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="written by shard, pack, merge or gdp pipeline")
    parser.add_argument("--html", metavar="FILE", help="write a web page instead; not into the folder")


class _Row(argparse.Action):
    """`--row N` is `--index N --count 1`."""

    def __call__(self, _: object, namespace: argparse.Namespace, value: Any, *__: object) -> None:
        namespace.index, namespace.count = value, 1


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="a folder of shard, pack or merge, a Megatron pair, or an HDF5 file")
    parser.add_argument("--index", type=int, default=0, help="first document, row or line, counted from 0")
    parser.add_argument("--count", type=int, default=3, help="how many")
    parser.add_argument(
        "--row", type=int, action=_Row, metavar="N", dest=argparse.SUPPRESS, help="the same as --index N --count 1"
    )
    parser.add_argument("--field", help="which field of a folder that holds several")
    parser.add_argument("--tokenizer", help="if there is none beside the data")
    parser.add_argument("--max-characters", type=int, default=1000, help="of each; 0 for all")
    parser.add_argument("--ids", action="store_true", help="show token ids, too")
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours for types of tokens; auto: on terminals, unless NO_COLOR is set",
    )
