"""The verb `merge`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bloomdata import _core
from bloomdata.options.arguments import check_arguments
from bloomdata.options.paths import finished_path, output_path
from bloomdata.options.running import running
from bloomdata.reports.report import MergeReport

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from bloomdata.options.inputs import OnProgress


@check_arguments
def merge(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    prefix: str = "merged_document",
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> MergeReport:
    """Concatenates finished Megatron pairs, as if their documents had been written to one pair.

    Args:
        inputs: Folders written by `pack(format="megatron")`, also in parts, or by `merge`, or paths of pairs without
            `.bin` and `.idx`.
        output: Folder to write.
        prefix: Name of the merged pair if the inputs are bare pairs; pairs of folders keep their names.
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        A report with the sum of the ledgers of all inputs.

    Raises:
        ConfigError: The inputs hold different fields, or no pairs.
        CorruptDataError: An index is damaged.
        MismatchError: The inputs have different token types or tokenizers.

    Origin:
        `IndexedDatasetBuilder.add_index` of Megatron-core; pointers and sums are 64-bit.

    Command line:
        bloomdata-cli merge megatron-1/ megatron-2/ --output merged/
        bloomdata-cli merge a_document b_document --output merged/ --prefix ab_document

    Example:
        >>> for name in ("a", "b"):
        ...     _ = bloomdata.pack("raw/*.jsonl", name, tokenizer="bytes", format="megatron")
        >>> bloomdata.merge(["a", "b"], "merged").ledger["documents_kept"]
        4
    """
    options = running(output_path(output), 1, overwrite=overwrite)
    start = time.monotonic()
    result = _core.merge([finished_path(path, "inputs") for path in inputs], prefix, options, on_progress)
    return MergeReport.from_run(output, result, time.monotonic() - start)
