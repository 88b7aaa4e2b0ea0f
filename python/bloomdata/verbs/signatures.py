"""The verb `signatures`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import check_choice
from bloomdata.options.dedup_config import dedup_config
from bloomdata.options.inputs import file_inputs
from bloomdata.options.near import MinHash, described
from bloomdata.options.paths import output_path
from bloomdata.options.running import running
from bloomdata.parts.running import in_parts
from bloomdata.parts.sharing import share_of, written
from bloomdata.reports.report import SignaturesReport

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.parts.gathering import Executor


@check_arguments
@in_parts
def signatures(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    near: MinHash | Mapping[str, Any] | Literal["none"] | None = None,
    exact: Literal["document", "none"] | None = "document",
    exact_normalize: Literal["none", "whitespace", "fold"] = "none",
    text_field: str = "text",
    on_bad_record: Literal["raise", "quarantine"] = "raise",
    parts: int = 1,
    part: int | str | None = None,
    executor: Executor | None = None,  # noqa: ARG001 - what `in_parts` reads
    scratch: str | os.PathLike[str] | None = None,  # noqa: ARG001 - what `in_parts` reads
    num_threads: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> SignaturesReport:
    """Does the first pass of `dedup` alone: signatures and keys of all documents, one `.sig` file for each input.

    So the work on a large corpus can be shared among machines: each signs some of the files, and one `dedup` with
    `signatures=` reads what they have written. Options must be those of that call.

    A killed run resumes behind the last input that was done; a finished run does nothing.

    Args:
        inputs: As for `dedup`.
        output: As for `dedup`.
        near: As for `dedup`; here a `MinHash()` by default. Its threshold and bands do not matter. With `"none"`, only
            keys of whole texts are made.
        exact: Whether keys of whole texts are wanted, too: `document`, or `none`.
        exact_normalize: As for `dedup`.
        text_field: As for `dedup`.
        on_bad_record: As for `dedup`.
        parts: Number of parts, as for `shard`; files are not cut. `dedup` reads the folder of all parts once it is
            finished.
        part: The only part to run, as for `shard`.
        executor: Runs the parts, as for `shard`.
        scratch: Local folder for what goes to a store, as for `shard`.
        num_threads: As for `dedup`.
        overwrite: As for `dedup`.
        on_progress: As for `dedup`.

    Returns:
        A report of what was read and written.

    Raises:
        ConfigError: An option is invalid, or the folder holds other files.
        CorruptDataError: An input is damaged, or a record is bad.
        MismatchError: The folder belongs to a call with other options or inputs.
        OSError: The operating system reports an error.

    Command line:
        bloomdata-cli signatures shards/ --output signatures/
        bloomdata-cli signatures shards/ --output signatures/ --parts 16 --local 4
        bloomdata-cli signatures shards/part-0000*.jsonl.zst --output signatures-0/ --near --num-perm 256

    Example:
        >>> report = bloomdata.signatures("raw/*.jsonl", "signatures")
        >>> [output["path"] for output in report.outputs]
        ['00000.sig']
        >>> report = bloomdata.dedup("raw/*.jsonl", "signed", near=bloomdata.MinHash(0.8), signatures="signatures")
        >>> report.ledger["documents_kept"]
        2
    """
    exact = None if exact == "none" else exact
    check_choice("exact", exact, "document", None)
    description = None if near == "none" else described(MinHash, "near", near) or MinHash()
    if description is not None and description.index != "sorted":
        raise ConfigError(
            f"index: expected 'sorted', since Bloom filters need no signatures, got {description.index!r}"
        )
    config = dedup_config(
        exact=exact,
        exact_normalize=exact_normalize,
        near=None if description is None else description.to_config(),
        text_field=text_field,
        on_bad_record=on_bad_record,
        report_only=True,
    )
    paths = file_inputs(inputs)
    options = running(output_path(output), num_threads, overwrite=overwrite)
    start = time.monotonic()
    share = share_of(parts, part)
    result = _core.signatures(paths, share, json.dumps(config), options, on_progress)
    return SignaturesReport.from_run(written(output, share), result, time.monotonic() - start)
