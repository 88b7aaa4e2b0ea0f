"""The verb `finish`, and `on_ray`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bloomdata.options.arguments import check_arguments
from bloomdata.options.checks import thread_count
from bloomdata.options.paths import utf8_path
from bloomdata.parts.places import place_of
from bloomdata.parts.running import ended

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.reports.report import Report
    from bloomdata.reports.token_counts import TokenCounts
    from bloomdata.verbs.train_tokenizer import TrainReport


@check_arguments
def finish(
    folder: str | os.PathLike[str],
    *,
    joined: bool = False,
    allow_empty: bool = False,
    scratch: str | os.PathLike[str] | None = None,
    scratch_limit: int | str = "16GB",
    on_progress: OnProgress = None,
) -> Report | TokenCounts | TrainReport:
    """Makes one folder of the finished parts of a run: checks them, adds up their books, and lists their files.

    No data are read or moved, unless Megatron pairs are joined; parts of `count` are added up, and those of
    `train_tokenizer` become a tokenizer. `open`, `verify`, `GPTDataset` and the loader take the folder as that of any
    other run.

    Args:
        folder: Output of the run, which holds the parts; or its address in a store.
        joined: Whether to write one Megatron pair of those of all parts, as `merge` does. Then their own pairs are not
            needed any more.
        allow_empty: Whether the parts may have kept none of their records.
        scratch: Local folder for what comes from a store; by default one in the system's temporary folder. To join
            pairs, it takes the joined pair, the indices of all parts, and `scratch_limit`.
        scratch_limit: Bytes of tokens of parts that are brought there ahead at most; those of a larger part are there
            alone.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        The report of the run, with the sums of all parts; for `count` and `train_tokenizer` what those return.

    Raises:
        ConfigError: Parts are missing (the error names them), or none of their records was kept.
        MismatchError: A part belongs to another plan or version, or an input changed since the parts were planned.
        CorruptDataError: A manifest is damaged, or a pair that is joined.

    Command line:
        bloomdata-cli finish packed/
        bloomdata-cli finish megatron/ --joined
        bloomdata-cli finish s3://packed/run --joined --scratch /mnt/scratch

    Example:
        >>> for part in range(2):
        ...     _ = bloomdata.pack("raw/*.jsonl", "parts", tokenizer="bytes", sequence_length=8, parts=2, part=part)
        >>> bloomdata.finish("parts").ledger["documents_kept"]
        2
    """
    place = place_of(utf8_path(folder, "folder"), scratch, scratch_limit)
    report: Report = place.finish(joined=joined, limits=(allow_empty, None, None), on_progress=on_progress)
    result: Report | TokenCounts | TrainReport = ended(report, on_progress)
    return result


def on_ray(
    function: Callable[..., Any], *args: Any, address: str = "auto", num_threads: int | None = None, **options: Any
) -> Any:
    """Runs a verb in parts on a Ray cluster, then finishes the run.

    The driver holds no data: killed and called again, it goes on with the parts that are missing. A part whose machine
    died is tried three times; one whose data are bad is not. All machines must see the inputs and the output folder.

    Args:
        function: A verb that runs in parts, such as `bloomdata.pack`.
        args: Its arguments.
        address: Address of the cluster; `auto` for the one that this machine belongs to, `local` for a new one here.
        num_threads: Threads of a part, and the processors that Ray keeps for it; all of this machine by default.
        options: Options of the function, with `parts`.

    Returns:
        The report of the run.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster; what the function refuses.
    """
    from bloomdata.parts.ray_tasks import RayTasks

    threads = thread_count(num_threads)
    return function(*args, **options, num_threads=threads, executor=RayTasks(address, num_cpus=threads))
