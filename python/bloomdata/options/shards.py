"""The core's configuration of shards, which several verbs write."""

from __future__ import annotations

from typing import Any

from bloomdata.options.checks import check_key


def shard_config(
    *,
    max_lines: int = 16_384,
    max_bytes: int | None = None,
    compression: str = "zstd",
    level: int = 3,
    prefix: str = "part",
    digits: int = 5,
    first_index: int = 0,
    text_field: str = "text",
    validate: bool = False,
    allow_nan: bool = False,
    records: str | None = None,
    on_bad_record: str = "raise",
    shuffle: bool = False,
    seed: int = 0,
    splits: dict[str, list[float]] | None = None,
) -> dict[str, Any]:
    """Options of shards, with the defaults of `shard`."""
    return {
        "max_lines": max_lines,
        "max_bytes": max_bytes,
        "compression": compression,
        "level": level,
        "prefix": prefix,
        "digits": digits,
        "first_index": first_index,
        "text_field": text_field,
        "validate": validate,
        "allow_nan": allow_nan,
        "records": check_key("records", records),
        "on_bad_record": on_bad_record,
        "shuffle": shuffle,
        "seed": seed,
        "splits": splits,
    }
