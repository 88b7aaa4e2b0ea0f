"""Verbs that make tokenizers: `train-tokenizer`, `extend-vocabulary`, `convert-sentencepiece`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from bloomdata.cli.options import add_bad_records, add_running
from bloomdata.cli.progress import progress
from bloomdata.tokenizers.families import PIPELINES

if TYPE_CHECKING:
    import argparse

TRAIN_EXAMPLES = """examples:
  bloomdata-cli train-tokenizer corpus/ -o my-tokenizer --vocab-size 32000
  bloomdata-cli train-tokenizer 'shards/*.jsonl.zst' -o my-llama --family llama --vocab-size 32000
"""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Options of the verb; defaults are those of `bloomdata.train_tokenizer`."""
    parser.add_argument("inputs", nargs="+", help="files, folders or patterns, as for pack")
    parser.add_argument("--output", "-o", required=True, help="folder for tokenizer.json and what belongs to it")
    parser.add_argument("--vocab-size", type=int, required=True, help="tokens, with special ones and letters")
    parser.add_argument("--family", choices=sorted(PIPELINES), default="bloom", help="how words are cut")
    parser.add_argument("--definition", metavar="FILE", help="take normalizer, words and decoder from a tokenizer.json")
    parser.add_argument("--min-frequency", type=int, default=2, help="least count of a pair that is merged")
    parser.add_argument("--special-tokens", nargs="+", metavar="TOKEN", help="tokens with the lowest ids")
    parser.add_argument("--eos-token", help="which of the special tokens ends a document")
    parser.add_argument("--limit-alphabet", type=int, help="most characters with a token of their own (llama)")
    parser.add_argument("--max-token-length", type=int, help="tokens have fewer letters than this, or two")
    parser.add_argument("--text-field", default="text", help="field that holds the text, a.b for one inside another")
    add_bad_records(parser)
    add_running(parser, html=False)


def add_extend(parser: argparse.ArgumentParser) -> None:
    """Options of `extend-vocabulary`."""
    parser.add_argument("base", help="a .model or tokenizer.json; its ids stay")
    parser.add_argument("extra", help="one of the same kind, whose tokens are added")
    parser.add_argument("--output", "-o", required=True, help="a .model, or a folder for tokenizer.json")
    _making(parser)


def add_convert(parser: argparse.ArgumentParser) -> None:
    """Options of `convert-sentencepiece`."""
    parser.add_argument("model", help="a SentencePiece BPE .model")
    parser.add_argument("--output", "-o", required=True, help="folder for tokenizer.json and what belongs to it")
    parser.add_argument(
        "--allow-inexact", action="store_true", help="also with rules for characters that are not done exactly"
    )
    _making(parser)


def _making(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace a tokenizer that is there")
    parser.add_argument("--quiet", "-q", action="store_true", help="print errors only")
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")


def run_extend(options: argparse.Namespace) -> int:
    """Extends; prints the report."""
    from bloomdata.verbs.extend_vocabulary import extend_vocabulary

    return _show(extend_vocabulary(options.base, options.extra, options.output, overwrite=options.overwrite), options)


def run_convert(options: argparse.Namespace) -> int:
    """Converts; prints the report."""
    from bloomdata.verbs.convert_sentencepiece import convert_sentencepiece

    switches = {"allow_inexact": options.allow_inexact, "overwrite": options.overwrite}
    return _show(convert_sentencepiece(options.model, options.output, **switches), options)


def run_train(options: argparse.Namespace) -> int:
    """Trains; prints the report."""
    from bloomdata.verbs.train_tokenizer import train_tokenizer

    own = {"verb", "inputs", "output", "quiet", "json"}
    arguments = {name: value for name, value in vars(options).items() if name not in own}
    with progress("train-tokenizer", quiet=options.quiet or options.json) as on_progress:
        report = train_tokenizer(options.inputs, options.output, **arguments, on_progress=on_progress)
    return _show(report, options)


def _show(report: Any, options: argparse.Namespace) -> int:
    if options.json:
        sys.stdout.write(json.dumps(report.to_json()) + "\n")
    elif not options.quiet:
        sys.stdout.write(f"{report}\n")
    return 0
