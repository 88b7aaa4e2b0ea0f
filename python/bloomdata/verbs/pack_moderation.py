"""The verb `pack_moderation`: labelled texts -> few-shot samples, as lines that `pack` truncates."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.paths import output_path
from bloomdata.tokenizers.few_shot import few_shot
from bloomdata.tokenizers.tokenizer import Tokenizer
from bloomdata.verbs.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.options.inputs import Inputs, OnProgress


@dataclass(frozen=True, kw_only=True)
class ModerationReport:
    """The result of `pack_moderation`. `print(report)` shows the ledger.

    Attributes:
        path: The file of samples.
        manifest: `config`, `output` (size, sha256) and `ledger`; also in `<path>.books/samples.json`.
        was_finished: Whether the same call had finished before.
        seconds: Duration of this call.
    """

    path: Path
    manifest: dict[str, Any]
    was_finished: bool
    seconds: float

    @property
    def ledger(self) -> dict[str, Any]:
        """`texts_in = texts_out + texts_dropped`, `tokens_in = tokens_out + tokens_truncated + tokens_dropped`.

        Tokens are counted over samples, headers included. `samples_short` counts samples with fewer tokens than a row.
        """
        ledger: dict[str, Any] = self.manifest["ledger"]
        return ledger

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        names = ("manifest", "was_finished", "seconds")
        return {"path": str(self.path), **{name: getattr(self, name) for name in names}}

    def __str__(self) -> str:
        rows = [f"  {name.replace('_', ' '):<20}{count:>16,}" for name, count in self.ledger.items()]
        return "\n".join([f"pack_moderation -> {self.path}", *rows])


@check_arguments
def pack_moderation(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | Tokenizer,
    sequence_length: int,
    add_special_tokens: bool = True,
    rest: Literal["keep", "drop"] = "keep",
    shuffle: bool = False,
    seed: int = 0,
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> ModerationReport:
    """Joins labelled texts into few-shot samples, one per line: a header of labels, then texts after blank lines.

    A sample takes texts until it has more than `sequence_length` tokens; see `few_shot`. Its line holds the whole text;
    `pack(..., packing="single::truncate_right")` with the same tokenizer and length truncates it. Truncating the text
    here could change ids.

    The texts are read by `prepare("moderation", ...)` into `<output>.books/texts`, whose ledger counts every record.

    Args:
        inputs: Files, folders or patterns, or one table in memory; every record has a field `text`.
        output: A `.jsonl` file to write.
        tokenizer: A `tokenizer.json`, a folder that holds one, `"bytes"`, or a `Tokenizer`.
        sequence_length: Tokens that `pack` truncates samples to.
        add_special_tokens: Whether to count the special tokens that the tokenizer adds.
        rest: What to do with a short last sample: `keep` it, or `drop` and count its texts.
        shuffle: Whether to shuffle all texts first, in bounded memory.
        seed: Seed of the shuffle.
        on_bad_record: Whether to stop at the first bad record (`raise`) or to collect bad records in
            `quarantine.jsonl` (`quarantine`).
        num_threads: Number of threads. Never changes the output.
        overwrite: Whether to discard the output of an earlier run.
        on_progress: Function called regularly with (total bytes, bytes read, records, bytes written).

    Returns:
        A report with the ledger.

    Raises:
        ConfigError: An option is invalid, or the output was not written by this verb.
        CorruptDataError: An input is damaged, or a record is bad.
        MismatchError: The output belongs to a call with other options or inputs.
        OSError: The operating system reports an error.

    Origin:
        `training/tasks/data_loaders/prosocial.py` of togethercomputer/OpenChatKit, which does this during training.

    Example:
        >>> report = bloomdata.pack_moderation("raw/a.jsonl", "few.jsonl", tokenizer="bytes", sequence_length=64)
        >>> report.ledger["texts_in"], report.ledger["samples"]
        (2, 2)
        >>> packed = bloomdata.pack("few.jsonl", "few", tokenizer="bytes", sequence_length=64,
        ...                         packing="single::truncate_right")
        >>> bloomdata.open("few")[0]["input_ids"].shape
        (64,)
    """
    check_choice("rest", rest, "keep", "drop")
    check_counts(sequence_length=sequence_length, seed=seed)
    path = Path(output_path(output))
    if path.suffix != ".jsonl":
        raise ConfigError(f"output: expected a .jsonl file, got {path}")
    start = time.monotonic()
    counter = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer(tokenizer)
    books = path.with_name(f"{path.name}.books")
    state = books / "samples.json"
    if path.exists() and not books.exists() and not overwrite:
        raise ConfigError(f"output: expected a file of an earlier call, got {path}; see overwrite")
    if overwrite:
        shutil.rmtree(books, ignore_errors=True)
    texts = prepare(
        "moderation",
        inputs,
        books / "texts",
        style="text",
        shuffle=shuffle,
        seed=seed,
        compression="none",
        on_bad_record=on_bad_record,
        num_threads=num_threads,
        on_progress=on_progress,
    )
    config = {
        "sequence_length": sequence_length,
        "tokenizer": counter.fingerprint,
        "add_special_tokens": add_special_tokens,
        "rest": rest,
        "texts": texts.fingerprint,
    }
    if manifest := _finished(state, path, config):
        return ModerationReport(path=path, manifest=manifest, was_finished=True, seconds=time.monotonic() - start)
    samples = few_shot(
        _texts_of(sorted((books / "texts").glob("part-*.jsonl"))),
        tokenizer=counter,
        sequence_length=sequence_length,
        add_special_tokens=add_special_tokens,
        num_threads=num_threads,
    )
    ledger = dict.fromkeys(_COUNTS, 0)
    digest = hashlib.sha256()
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        for sample in samples:
            ledger["texts_in"] += sample.num_texts
            ledger["tokens_in"] += sample.num_tokens
            if rest == "drop" and sample.num_tokens <= sequence_length:
                ledger["texts_dropped"] += sample.num_texts
                ledger["tokens_dropped"] += sample.num_tokens
                continue
            line = json.dumps({"text": sample.text}, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            digest.update(line)
            ledger["samples"] += 1
            ledger["samples_short"] += sample.num_tokens < sequence_length
            ledger["texts_out"] += sample.num_texts
            ledger["tokens_out"] += min(sample.num_tokens, sequence_length)
            ledger["tokens_truncated"] += max(0, sample.num_tokens - sequence_length)
        file.flush()
        os.fsync(file.fileno())
    size = temporary.stat().st_size
    temporary.replace(path)
    manifest = {"config": config, "output": {"size": size, "sha256": digest.hexdigest()}, "ledger": ledger}
    unfinished = state.with_name(f"{state.name}.tmp")
    unfinished.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    unfinished.replace(state)
    return ModerationReport(path=path, manifest=manifest, was_finished=False, seconds=time.monotonic() - start)


_COUNTS = (
    "texts_in",
    "texts_out",
    "texts_dropped",
    "samples",
    "samples_short",
    "tokens_in",
    "tokens_out",
    "tokens_truncated",
    "tokens_dropped",
)


def _finished(state: Path, path: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of an earlier call, if its output still exists."""
    try:
        manifest: dict[str, Any] = json.loads(state.read_bytes())
    except FileNotFoundError:
        return None
    for name, value in config.items():
        if (found := manifest["config"].get(name)) != value:
            raise MismatchError(f"{path}: {name}: expected {value}, found {found} of an earlier call; see overwrite")
    is_there = path.exists() and path.stat().st_size == manifest["output"]["size"]
    return manifest if is_there else None


def _texts_of(shards: list[Path]) -> Iterator[str]:
    for shard in shards:
        with shard.open("rb") as file:
            for line in file:
                yield json.loads(line)["text"]
