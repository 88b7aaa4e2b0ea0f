"""Lines of files become shards: what `bloomdata.shard` must write, before compression."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from reference.jsonl import BadRecordError, decode, is_blank, parse_object, records

Files = list[tuple[str, bytes]]  # names and decompressed content


@dataclass
class Books:
    """Fate of every record."""

    documents_in: int = 0
    documents_kept: int = 0
    documents_dropped: Counter = field(default_factory=Counter)
    documents_quarantined: Counter = field(default_factory=Counter)
    bytes_in: int = 0
    text_bytes: int = 0
    quarantine: list[dict] = field(default_factory=list)
    articles: list[list] = field(default_factory=list)  # of each kept document

    def drop_after_all(self, lost: Counter):
        """Documents that packing leaves out were kept until then."""
        self.documents_kept -= lost.total()
        self.documents_dropped += lost

    def set_aside(self, name, record, reason):
        self.documents_quarantined[reason] += 1
        entry = {"file": name, "line": record.line, "offset": record.offset, "reason": reason}
        try:
            entry["raw"] = record.raw.decode("utf-8")
        except UnicodeDecodeError:
            entry["raw_hex"] = record.raw.hex()
        self.quarantine.append(entry)


def mix(value: int) -> int:
    """Finaliser of SplitMix64."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


def key(seed: int, stream: int, index: int) -> int:
    """The frozen random number of a position: stream 1 for splits, 2 for shuffles."""
    golden = 0x9E3779B97F4A7C15
    state = mix((seed + golden) % 2**64) ^ mix((stream * golden + 1) % 2**64)
    return mix((state + (index + 1) * golden) % 2**64)


def lines(files: Files, books: Books, *, text_field: str = "text") -> list[bytes]:
    """The lines to store, in input order."""
    kept = []
    for name, content in files:
        books.bytes_in += len(content)
        for record in records(name, content):
            books.documents_in += 1
            if is_blank(record.raw):
                books.documents_dropped["blank line"] += 1
                continue
            try:
                if ".txt" in name:
                    text = decode(record.raw.removesuffix(b"\r"))
                    line = json.dumps({text_field: text}, ensure_ascii=False, separators=(",", ":")).encode()
                else:
                    parse_object(record.raw)
                    line = record.raw
            except BadRecordError as reason:
                books.set_aside(name, record, str(reason))
                continue
            books.documents_kept += 1
            books.text_bytes += len(line)
            kept.append(line)
    return kept


def shuffled(kept: list[bytes], seed: int) -> list[bytes]:
    return [kept[n] for n in sorted(range(len(kept)), key=lambda n: (key(seed, 2, n), n))]


def split_of(number: int, splits: dict, seed: int) -> str:
    """Where line `number`, from 0, goes: by counts (int) or by shares (float)."""
    if all(isinstance(share, int) for share in splits.values()):
        dev, test = splits.get("dev", 0), splits.get("test", 0)
        return "test" if number < test else "dev" if number < test + dev else "train"
    draw = (key(seed, 1, number) >> 11) / 2**53
    train, dev = splits.get("train", 0.0), splits.get("dev", 0.0)
    return "train" if draw < train else "dev" if draw < train + dev else "test"


def cut(kept: list[bytes], max_lines: int, max_bytes: int | None = None) -> list[bytes]:
    """Contents of the shards of one series; a line that is longer than `max_bytes` stands alone."""
    shards: list[list[bytes]] = []
    for line in kept:
        size = sum(len(other) + 1 for other in shards[-1]) if shards else 0
        too_long = max_bytes is not None and size + len(line) + 1 > max_bytes
        if not shards or len(shards[-1]) == max_lines or too_long:
            shards.append([])
        shards[-1].append(line)
    return [b"".join(line + b"\n" for line in shard) for shard in shards]


def shard(files: Files, *, max_lines=16_384, max_bytes=None, text_field="text", shuffle=False, seed=0, splits=None):
    """Contents of all shards by name, without the suffix of the compression; and the books."""
    books = Books()
    kept = lines(files, books, text_field=text_field)
    if shuffle:
        kept = shuffled(kept, seed)
    series: dict[str, list[bytes]] = {}
    for number, line in enumerate(kept):
        series.setdefault(f"{split_of(number, splits, seed)}/" if splits else "", []).append(line)
    contents = {
        f"{folder}part-{number:05}.jsonl": content
        for folder, part in series.items()
        for number, content in enumerate(cut(part, max_lines, max_bytes))
    }
    return contents, books
