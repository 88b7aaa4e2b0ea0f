"""The verb `pack_moderation`: labelled texts -> samples of several of them, as lines that `pack` cuts."""

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
    """What `pack_moderation` returns. `print(report)` shows the books.

    Attributes:
        path: The file of samples.
        manifest: `config`, `output` (size, sha256) and `ledger`; also in `<path>.books/samples.json`.
        was_finished: Whether the same call had finished before.
        seconds: How long it took.
    """

    path: Path
    manifest: dict[str, Any]
    was_finished: bool
    seconds: float

    @property
    def ledger(self) -> dict[str, Any]:
        """`texts_in = texts_out + texts_dropped`, `tokens_in = tokens_out + tokens_truncated + tokens_dropped`.

        Tokens are those of samples, with the header of each. `samples_short` has fewer tokens than a row.
        """
        ledger: dict[str, Any] = self.manifest["ledger"]
        return ledger

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        names = ("manifest", "was_finished", "seconds")
        return {"path": str(self.path), **{name: getattr(self, name) for name in names}}

    def __str__(self) -> str:
        rows = [f"  {name.replace('_', ' '):<20}{count:>16,}" for name, count in self.ledger.items()]
        return "\n".join([f"pack_moderation -> {self.path}", *rows])


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
    """Joins labelled texts to few-shot samples, one a line: the header of labels, then texts, blank lines between.

    A sample takes texts until it has more than `sequence_length` tokens; see `few_shot`. Its line holds all of it:
    `pack(..., packing="single::truncate_right")` with the same tokenizer and length cuts it to the ids wanted. Texts
    cannot be cut at tokens without changing ids.

    The texts are read by `prepare("moderation", ...)` into `<output>.books/texts`, whose books hold every record.

    Args:
        inputs: As for `prepare`; records with `text`.
        output: A `.jsonl` file.
        tokenizer: As for `pack`, or a `Tokenizer`.
        sequence_length: Tokens that `pack` cuts samples to.
        add_special_tokens: As for `pack`; whether to count what the tokenizer adds itself.
        rest: What the last sample does that is short: it stays, or its texts are dropped and counted.
        shuffle: Whether to shuffle all texts first, in bounded memory.
        seed: Of the shuffle.
        on_bad_record: As for `prepare`.
        num_threads: Threads. Never changes the output.
        overwrite: Whether to discard what an earlier run left.
        on_progress: As for `prepare`.

    Returns:
        The books.

    Raises:
        ConfigError: An option that cannot work, or an output of somebody else.
        CorruptDataError: A damaged input, or a bad record.
        MismatchError: The output belongs to a call with other options or inputs.
        OSError: What the system reports.

    Origin:
        `training/tasks/data_loaders/prosocial.py` of OpenChatKit (OC-06), which does so while it trains.

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
        raise ConfigError(f"output: {path} is no .jsonl file")
    start = time.monotonic()
    counter = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer(tokenizer)
    books = path.with_name(f"{path.name}.books")
    state = books / "samples.json"
    if path.exists() and not books.exists() and not overwrite:
        raise ConfigError(f"output: {path} is there, and not ours; see overwrite")
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
    """The manifest of an earlier call, if there was one and its output is still there."""
    try:
        manifest: dict[str, Any] = json.loads(state.read_bytes())
    except FileNotFoundError:
        return None
    for name, value in config.items():
        if (found := manifest["config"].get(name)) != value:
            raise MismatchError(f"{path}: {name}: expected {value}, was written with {found}; see overwrite")
    is_there = path.exists() and path.stat().st_size == manifest["output"]["size"]
    return manifest if is_there else None


def _texts_of(shards: list[Path]) -> Iterator[str]:
    for shard in shards:
        with shard.open("rb") as file:
            for line in file:
                yield json.loads(line)["text"]
