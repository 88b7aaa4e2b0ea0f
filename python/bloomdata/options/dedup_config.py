"""The core's configuration of `dedup`, which `signatures` has, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.options.shards import shard_config

if TYPE_CHECKING:
    from collections.abc import Sequence


def dedup_config(
    *,
    exact: str | None,
    exact_normalize: str,
    near: dict[str, Any] | None,
    text_field: str,
    on_bad_record: str,
    report_only: bool,
    repeated: dict[str, Any] | None = None,
    keep: str = "first",
    against: Sequence[str] = (),
    **shards: Any,
) -> dict[str, Any]:
    """The core's configuration of `dedup`."""
    return {
        "text_field": text_field,
        "exact": {"normalize": exact_normalize} if exact == "document" else None,
        "near": near,
        "repeated": repeated,
        "keep": keep,
        "report_only": report_only,
        "against": list(against),
        "shards": shard_config(text_field=text_field, on_bad_record=on_bad_record, **shards),
    }
