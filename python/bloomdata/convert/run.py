"""The frame of all conversions: look at the output, read, write, and compare both sides."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bloomdata.convert.logits import compare, model_of
from bloomdata.convert.output import Output
from bloomdata.convert.report import ConversionReport, report_of
from bloomdata.convert.tensors import import_torch

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bloomdata.convert.checkpoints import Checkpoint
    from bloomdata.convert.output import OnProgress


def convert(
    verb: str,
    sources: Sequence[Path | None],
    output: str | os.PathLike[str],
    *,
    options: Mapping[str, Any],
    read: Callable[[], Checkpoint],
    write: Callable[[Output, Checkpoint], None],
    reread: Callable[[Path], Checkpoint],
    verify: bool,
    overwrite: bool,
    on_progress: OnProgress,
    tolerance: float = 0.0,
    source_model: Callable[[], Any] | None = None,
) -> ConversionReport:
    """Runs a conversion, unless the output already is its result.

    Args:
        verb: Its name.
        sources: Input folders and files; None for those that are not given.
        output: Output folder.
        options: What the output depends on beside the sources.
        read: Opens the source, with everything in it named and shaped as in the output's model.
        write: Writes the output.
        reread: Opens the output.
        verify: Whether to compare the logits of both sides.
        overwrite: Whether to discard an earlier conversion.
        on_progress: Called after every tensor.
        tolerance: Largest difference of logits that may be, relative to the largest logit.
        source_model: Makes the model of the source for `verify`; by default that of what `read` returns.

    Raises:
        ConfigError: An option is invalid, the output holds other files, or torch is not installed.
        MismatchError: The output holds another conversion, or logits differ.
    """
    import_torch()
    given = [source for source in sources if source is not None]
    with Output(output, verb, options, given, overwrite=overwrite, on_progress=on_progress) as out:
        manifest = out.finished
        if manifest is None:
            checkpoint = read()
            write(out, checkpoint)
            manifest = out.finish(
                {
                    "tensors": len(checkpoint.tensors),
                    "drift": dict(sorted(checkpoint.drift.items())),
                    "left_out": checkpoint.left_out,
                }
            )
    report = report_of(out.folder, manifest)
    if not verify:
        return report
    make = source_model or (lambda: model_of(read()))
    return dataclasses.replace(report, max_logit_difference=compare(make, reread(out.folder), tolerance))
