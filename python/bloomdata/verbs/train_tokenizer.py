"""The verb `train_tokenizer`: trains a vocabulary on texts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import thread_count
from bloomdata.options.inputs import split_inputs
from bloomdata.options.paths import is_address, output_path
from bloomdata.options.running import running
from bloomdata.parts.running import in_parts
from bloomdata.parts.sharing import PLAN_NAME, share_of, written
from bloomdata.storage.reading import staged
from bloomdata.tokenizers.folder import prepare_folder
from bloomdata.verbs.trained_from import Origin
from bloomdata.verbs.training import FILES, Training

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor
    from bloomdata.reports.report import Report


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """The result of `train_tokenizer`.

    Attributes:
        path: The `tokenizer.json`; of one part of a run, the file of its words.
        vocab_size: Size of the vocabulary; smaller than requested if no other pair was frequent enough. 0 for a part,
            which only counts words.
        num_merges: Number of merges; 0 for a part.
        num_words: Pre-tokens in the texts.
        distinct_words: Distinct pre-tokens.
        inputs: For each input `path`, `documents`, `text_bytes`, and the numbers of `dropped` and `bad` records.
    """

    path: Path
    vocab_size: int
    num_merges: int
    num_words: int
    distinct_words: int
    inputs: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {**vars(self), "path": str(self.path)}

    def __str__(self) -> str:
        documents = sum(counts["documents"] for counts in self.inputs)
        size = sum(counts["text_bytes"] for counts in self.inputs)
        left_out = sum(counts["dropped"] + counts["bad"] for counts in self.inputs)
        made = f"{self.vocab_size:,} tokens, {self.num_merges:,} merges" if self.vocab_size else "words of a part"
        return (
            f"{made} in {self.path}\n"
            f"from {documents:,} documents, {size:,} bytes, "
            f"{self.num_words:,} words ({self.distinct_words:,} different)"
            + (f"; {left_out:,} records left out" if left_out else "")
        )


@check_arguments
@in_parts
def train_tokenizer(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    vocab_size: int,
    family: Literal["bloom", "gpt2", "llama3", "qwen2", "starcoder", "llama"] = "bloom",
    definition: str | os.PathLike[str] | None = None,
    min_frequency: int = 2,
    special_tokens: Sequence[str] | None = None,
    eos_token: str | None = None,
    limit_alphabet: int | None = None,
    max_token_length: int | None = None,
    sentencepiece: bool = False,
    text_field: str = "text",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    allow_duplicate_inputs: bool = False,
    parts: int = 1,
    part: int | str | None = None,
    executor: Executor | None = None,  # noqa: ARG001 - what `in_parts` reads
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> TrainReport:
    """Trains a BPE tokenizer and writes a folder that `tokenizers`, `transformers` and `pack` load.

    A call with the same options and unchanged inputs as a finished one does nothing; `trained_from.json` in the folder
    records both.

    The merges are those of `BpeTrainer` of `tokenizers` for the same pre-tokens, for any number of threads and any
    order of documents. Every distinct pre-token is kept in memory; the texts are not.

    Args:
        inputs: Files, folders or patterns, or one table in memory.
        output: Folder for `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.
        vocab_size: Size of the vocabulary, including special tokens and the byte alphabet.
        family: Pre-tokenizer and alphabet: `bloom`, `gpt2`, `llama3`, `qwen2`, `starcoder` (bytes), or `llama`
            (characters, with a fallback to bytes for rare ones; every digit is a token).
        definition: A `tokenizer.json` whose normalizer, pre-tokenizer, post-processor and decoder replace those of the
            family; its vocabulary and added tokens are ignored.
        min_frequency: Minimum count of a pair to be merged.
        special_tokens: Tokens with the lowest ids, in this order; those of the family by default.
        eos_token: The end-of-document token, one of `special_tokens`; that of the family by default.
        limit_alphabet: Maximum number of characters with their own token (`llama`); a quarter of `vocab_size` by
            default.
        max_token_length: Exclusive limit of the length of merged tokens of more than two characters (bytes, except
            for `llama`).
        sentencepiece: Whether to write a SentencePiece model, `tokenizer.model`, too (`llama`). `tokenizer.json` then
            has the ids of that model: every two neighbours that form a token merge, not only the pair that training
            merged, and every text gets a space in front.
        text_field: Field that holds the text; `a.b` is a nested field.
        on_bad_record: Whether to stop at the first bad record (`raise`) or to skip and count bad records
            (`quarantine`).
        allow_duplicate_inputs: Whether to read both of two files with the same content, or of one name in two formats
            or compressions (`a.jsonl` and `a.jsonl.gz`), which is an error otherwise.
        parts: Number of parts, as for `shard`. Each counts the words of its inputs; the end of the run adds them up and
            trains once, so the tokenizer is that of one run.
        part: The only part to run, as for `shard`; `finish` makes the tokenizer.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what comes from a store, as for `shard`; only parts read from one.
        scratch_limit: Bytes that lie there at a time, as for `shard`.
        num_threads: Number of threads; one per processor by default.
        overwrite: Whether to replace an existing tokenizer in the folder.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Raises:
        ConfigError: An option is invalid, or the folder already has a tokenizer.
        MismatchError: The folder belongs to parts with other options or inputs.
        CorruptDataError: An input is damaged, or a record is bad.

    Command line:
        bloomdata-cli train-tokenizer corpus/ --output my-tokenizer --vocab-size 32000
        bloomdata-cli train-tokenizer 'shards/*.jsonl.zst' --output my-llama --family llama --vocab-size 32000
        bloomdata-cli train-tokenizer shards/ --output my-llama --family llama --vocab-size 32000 --sentencepiece
        bloomdata-cli train-tokenizer shards/ --output my-tokenizer --vocab-size 32000 --parts 16 --local 4

    Example:
        >>> report = bloomdata.train_tokenizer("corpus/*.jsonl.zst", "my-tokenizer", vocab_size=32_000)
        ... # doctest: +SKIP
    """
    training = Training.of(
        vocab_size=vocab_size,
        family=family,
        definition=definition,
        min_frequency=min_frequency,
        special_tokens=special_tokens,
        eos_token=eos_token,
        limit_alphabet=limit_alphabet,
        max_token_length=max_token_length,
        sentencepiece=sentencepiece,
        text_field=text_field,
        on_bad_record=on_bad_record,
    )
    config = training.to_config()
    share = share_of(parts, part)
    given = split_inputs(inputs, objects=share is not None)
    if share is not None:
        options = running(output_path(output), num_threads, overwrite=overwrite)
        facts = json.dumps(training.to_plan())
        with staged(given, scratch, scratch_limit, are_cut=True) as objects:
            shared = (given.paths, allow_duplicate_inputs, share, objects)
            result = _core.count_words(shared, config, facts, options, on_progress)
        return _part_report(written(output, share), json.loads(result[0]))
    origin = None
    if not given.tables:
        paths = [str(path) for path, _ in _core.list_files(given.paths)]
        origin = Origin.of(config, training.roles, paths, training.beside)
    if origin is not None and not overwrite and (known := origin.finished(Path(output_path(output)))):
        return TrainReport(**known)
    folder = prepare_folder(output, overwrite=overwrite)
    if overwrite:
        # An earlier run may have been one in parts.
        _core.discard_parts(folder)
    elif (folder / PLAN_NAME).exists():
        raise ConfigError(f"output: {folder} holds the parts of a run; `finish` makes a tokenizer of them")
    files = (given.paths, allow_duplicate_inputs, None, None)
    made = json.loads(_core.train_tokenizer(files, given.streams, config, thread_count(num_threads), on_progress))
    report = _write(folder, training, made)
    if origin is not None:
        origin.write(report.path, report.to_json())
    return report


def _write(folder: Path, training: Training, made: dict[str, Any]) -> TrainReport:
    """Writes the tokenizer of a vocabulary."""
    path, num_merges = training.write(folder, made)
    return TrainReport(
        path=path,
        vocab_size=len(made["tokens"]),
        num_merges=num_merges,
        num_words=made["num_words"],
        distinct_words=made["distinct_words"],
        inputs=_inputs(made["inputs"]),
    )


def _inputs(counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a report tells of each input."""
    return [{name: value for name, value in one.items() if name != "argument"} for one in counts]


def _part_report(folder: Path, manifest: dict[str, Any]) -> TrainReport:
    """What a part has counted."""
    words = next(output for output in manifest["outputs"] if "words" in output)
    return TrainReport(
        path=folder / words["path"],
        vocab_size=0,
        num_merges=0,
        num_words=words["occurrences"],
        distinct_words=words["words"],
        inputs=_inputs(json.loads(_core.read_counts(folder))),
    )


def train_on_parts(report: Report, on_progress: OnProgress = None) -> TrainReport:
    """Makes the tokenizer of a run in parts, once all of them are one folder; what is there already is kept.

    Raises:
        MismatchError: A file of words is another one than its part wrote.
        CorruptDataError: It is damaged.
    """
    folder, manifest = Path(report.folder), report.manifest
    if known := manifest["details"].get("vocabulary"):
        inputs = _inputs(json.loads(_core.read_counts(folder)))
        return TrainReport(path=folder / "tokenizer.json", inputs=inputs, **known)
    training = Training.of_plan(manifest["config"])
    config = training.to_config()
    made = json.loads(_core.train_on_parts(folder, config, on_progress))
    trained = _write(folder, training, made)
    paths = [one["path"] for one in made["inputs"]]
    if not any(map(is_address, paths)):
        origin = Origin.of(config, training.roles, paths, training.beside)
        # Parts know the hashes of files that they have read as a whole.
        whole = [one for one in manifest["inputs"] if "range" not in one and one["format"] != "arrow"]
        origin.write(trained.path, trained.to_json(), {one["path"]: [one["size"], one["hash"]] for one in whole})
    names = ("vocab_size", "num_merges", "num_words", "distinct_words")
    manifest["details"]["vocabulary"] = {name: getattr(trained, name) for name in names}
    files = sorted(path.name for path in folder.iterdir() if path.name in FILES)
    manifest["outputs"] += [{"path": name, "size": 0, "hash": ""} for name in files]
    _core.finish_folder(folder, json.dumps(manifest))
    return trained
