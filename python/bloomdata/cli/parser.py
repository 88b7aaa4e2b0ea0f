"""All options of `bloomdata-cli`. Names and defaults are those of the Python functions (a test compares them)."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bloomdata.cli.fetch import FETCH_EXAMPLES, add_fetch
from bloomdata.cli.gdp import add_gdp
from bloomdata.cli.options import (
    FORMATS,
    add_bad_records,
    add_chats,
    add_inputs,
    add_pairs,
    add_records,
    add_rows_of_pairs,
    add_running,
    add_shards,
    add_special_tokens,
    add_tokenizer,
)
from bloomdata.cli.prepare import PREPARE_EXAMPLES, add_prepare
from bloomdata.cli.run import RUN_EXAMPLES, add_run
from bloomdata.cli.train import TRAIN_EXAMPLES, add_convert, add_extend, add_train


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but not those that say nothing; leaves the lines of examples as they are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS) or action.const is False:
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
    add_fetch(_add(verbs, "fetch", "get files from elsewhere, whole and compared with checksums", FETCH_EXAMPLES))
    _shard(_add(verbs, "shard", "copy lines into compressed shards of at most so many lines"))
    add_prepare(_add(verbs, "prepare", "turn records of a known source into conversations or texts", PREPARE_EXAMPLES))
    _pack(_add(verbs, "pack", "tokenize documents into Megatron or HDF5 files"))
    _count(_add(verbs, "count", "count the tokens of each input, without writing anything", _COUNT_EXAMPLES))
    _tokenize(_add(verbs, "tokenize", "turn texts into token ids on the standard output, or back", _TOKENIZE_EXAMPLES))
    add_train(_add(verbs, "train-tokenizer", "train a BPE tokenizer on texts", TRAIN_EXAMPLES))
    add_extend(_add(verbs, "extend-vocabulary", "put the tokens of one vocabulary behind those of another"))
    add_convert(_add(verbs, "convert-sentencepiece", "make a tokenizer.json of a SentencePiece model"))
    _plan(_add(verbs, "plan", "predict what packings would do, from the lengths of documents"))
    _merge(_add(verbs, "merge", "join finished Megatron pairs"))
    add_gdp(verbs, _Formatter)
    add_run(_add(verbs, "run", "run the steps of a recipe, or go on where it stopped", RUN_EXAMPLES))
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
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, examples: str | None = None
) -> argparse.ArgumentParser:
    description = summary.capitalize() + "."
    return verbs.add_parser(name, help=summary, description=description, epilog=examples, formatter_class=_Formatter)


def _shard(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    add_shards(parser, seed="of the shuffle and of splits by ratio")
    parser.add_argument("--max-bytes", type=int, help="decompressed bytes in a shard")
    parser.add_argument("--digits", type=int, default=5, help="digits of the number in shard names, at least")
    parser.add_argument("--first-index", type=int, default=0, help="number of the first shard")
    parser.add_argument("--text-field", default="text", help="key for the lines of .txt inputs")
    parser.add_argument(
        "--validate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="check that every line is a JSON object",
    )
    add_bad_records(parser)
    add_running(parser)


def _pack(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    add_tokenizer(parser)
    parser.add_argument("--format", choices=("hdf5", "megatron"), default="hdf5", help="kind of the output files")
    parser.add_argument("--sequence-length", type=int, help="tokens in a row (hdf5)")
    parser.add_argument(
        "--packing",
        help="how articles become rows (hdf5): full, greedy, best_fit, single::truncate_right, ...; full if not given",
    )
    add_records(parser, several="make one Megatron pair each")
    add_rows_of_pairs(add_pairs(parser))
    add_chats(parser)
    parser.add_argument(
        "--window-tokens", type=int, default=1 << 23, help="tokens that packing best_fit looks at together"
    )
    parser.add_argument("--seed", type=int, default=0, help="of packing single::sample")
    parser.add_argument("--pad-token", help="token that pads the last row")
    add_special_tokens(parser, append_eos=True)
    parser.add_argument("--compression", choices=("gzip",), help="chunked, compressed HDF5")
    parser.add_argument("--rows-per-file", type=int, help="rows in an HDF5 file; 256 MiB of them if not given")
    parser.add_argument("--prefix", default="data", help="first part of file names")
    add_bad_records(parser)
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=10.0, help="a killed run loses about this much work"
    )
    add_running(parser)


_COUNT_EXAMPLES = """\
examples:
  bloomdata-cli count raw/ --tokenizer tokenizer.json
  bloomdata-cli count wiki/ 'web/*.jsonl.zst' --tokenizer tokenizer.json --by-source
  bloomdata-cli count chats.jsonl --tokenizer bytes --record prompt_completion --append-eos --json
"""


def _count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help=FORMATS)
    add_tokenizer(parser)
    add_records(parser, several="are added up")
    add_pairs(parser)
    add_chats(parser)
    add_special_tokens(parser, append_eos=False)
    parser.add_argument(
        "--on-bad-record",
        choices=("raise", "quarantine"),
        default="raise",
        help="stop at the first bad record, or leave bad records out and count them",
    )
    by = parser.add_mutually_exclusive_group()
    by.add_argument("--by-file", dest="by", action="store_const", const="file", help="show a line for each file")
    by.add_argument(
        "--by-source",
        dest="by",
        action="store_const",
        const="source",
        help="show a line for each of the inputs as they are named here; so it is for more than 20 files",
    )
    add_running(parser, overwrite=False, html=False, prints=True)


_TOKENIZE_EXAMPLES = """\
examples:
  echo 'Hello world' | bloomdata-cli tokenize --tokenizer tokenizer.json
  bloomdata-cli tokenize raw/a.jsonl --tokenizer tokenizer.json --format counts
  bloomdata-cli tokenize notes.txt --whole --tokenizer tokenizer.json --format tokens
  bloomdata-cli tokenize notes.txt --tokenizer bytes | bloomdata-cli tokenize --decode --tokenizer bytes
"""


def _tokenize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="plain, .gz or .zst; - or none for the standard input. Every line without its \\n is a document; "
        "of .jsonl and .ndjson, the text of every record",
    )
    add_tokenizer(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--whole", action="store_true", help="every file is one document")
    kind.add_argument("--jsonl", action="store_true", help="records of JSON, whatever the names; so on standard input")
    parser.add_argument("--text-field", default="text", help="field that holds the text, a.b for one inside another")
    parser.add_argument(
        "--format",
        choices=("ids", "json", "tokens", "counts"),
        default="ids",
        help="a line of ids; a JSON array of ids, or of the tokens' names; or how many ids there are",
    )
    parser.add_argument(
        "--no-special-tokens",
        "--no-add-special-tokens",
        dest="add_special_tokens",
        action="store_false",
        default=True,
        help="add none that the tokenizer adds itself (a leading <s>); with --decode, leave special tokens out",
    )
    parser.add_argument(
        "--decode",
        action="store_true",
        help="lines of ids become texts: a JSON string a line, or with --whole the bare text of all lines of a file",
    )
    parser.add_argument("--num-threads", type=int, help="threads; one per processor if not given")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help=f"{FORMATS}; or one folder or pair that pack has written")
    parser.add_argument("--sequence-length", type=int, required=True, help="tokens in a row")
    parser.add_argument("--packings", nargs="+", metavar="PACKING", help="to compare; the common ones if not given")
    parser.add_argument("--tokenizer", help="for inputs that are not tokenized")
    parser.add_argument("--text-field", nargs="+", metavar="FIELD", help="field that holds the text")
    parser.add_argument("--record", choices=("text", "prompt_completion", "messages"), help="what a record is")
    add_chats(parser, defaults=False)
    parser.add_argument(
        "--packing-boundary", choices=("jsonl", "prompt_completion_pair"), help="what packing keeps together"
    )
    parser.add_argument("--on-bad-record", choices=("raise", "quarantine"), help="stop at bad ones, or leave them out")
    parser.add_argument(
        "--window-tokens", type=int, default=1 << 23, help="tokens that packing best_fit looks at together"
    )
    parser.add_argument("--seed", type=int, default=0, help="of packing single::sample")
    add_running(parser, overwrite=False, html=False, prints=True)


def _merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="folders of pack or merge, or pairs without .bin and .idx")
    parser.add_argument("--output", "-o", required=True, help="folder to write; new, empty, or of an earlier run")
    parser.add_argument("--prefix", default="merged_document", help="name of the pair when inputs are bare pairs")
    add_running(parser, threads=False)


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="written by shard, pack, merge or gdp pipeline")
    group = parser.add_argument_group("what a training run wants")
    group.add_argument("--sequence-length", type=int, help="tokens in a row")
    group.add_argument("--vocab-size", type=int, help="ids of the model")
    group.add_argument("--num-workers", type=int, help="training workers; each needs a file")
    group.add_argument("--batch-size", type=int, help="rows in a batch; no file may have fewer")
    group.add_argument("--evaluate", action="store_true", help="dev files are needed, too")
    add_running(parser, overwrite=False, html=False)


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
