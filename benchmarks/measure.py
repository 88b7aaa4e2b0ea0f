"""Runs commands and measures them: wall time, CPU time, peak memory; medians of turns that alternate.

All benchmarks use this: `bench` opens one (machine, scratch folder, options), `Bench.compare` times cases in turn,
`claim` says whether a promise is kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 1_000_000
# Processors kept busy by others, above which timings are not to be trusted.
BUSY_CORES = 0.2
CLI = str(Path(sysconfig.get_path("scripts")) / "bloomdata-cli")
# Of rusage: kilobytes on Linux, bytes on macOS.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, kw_only=True)
class Case:
    """One contender.

    Attributes:
        name: For the table.
        command: What to run.
        content_bytes: Bytes of decompressed input, the measure of all rates.
        output: Removed before every run.
        times_of: Reads wall and CPU seconds from what the command prints, where only a part of it counts.
    """

    name: str
    command: list[str]
    content_bytes: int
    output: Path | None = None
    times_of: Callable[[str], tuple[float, float]] | None = None


@dataclass(frozen=True)
class Run:
    """One run of a case. CPU time is of all its processes; peak memory is of the largest of them."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    stdout: str


class Result:
    """All runs of a case: medians of times, the highest peak."""

    def __init__(self, case: Case, runs: list[Run]) -> None:
        self.case, self.runs = case, runs
        walls = [run.wall_seconds for run in runs]
        self.wall_seconds, self.fastest, self.slowest = statistics.median(walls), min(walls), max(walls)
        self.cpu_seconds = statistics.median(run.cpu_seconds for run in runs)
        self.peak_bytes = max(run.peak_bytes for run in runs)
        self.rate = case.content_bytes / MB / self.wall_seconds


@dataclass(frozen=True)
class Bench:
    """An open benchmark: its options, and a scratch folder that goes away with it."""

    options: Any
    scratch: Path
    environment: dict[str, str]

    def run(self, case: Case) -> Run:
        """Runs a case once, its output folder removed before."""
        if case.output is not None:
            shutil.rmtree(case.output, ignore_errors=True)
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen(
                case.command, stdout=subprocess.PIPE, stderr=errors, env=self.environment, cwd=self.scratch
            )
            guard = threading.Timer(self.options.timeout, process.kill)
            guard.start()
            stdout = process.stdout.read().decode() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
            guard.cancel()
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                errors.seek(0)
                sys.exit(f"{case.name}: failed ({process.returncode}): {errors.read().decode()[-2000:]}")
        cpu = usage.ru_utime + usage.ru_stime
        if case.times_of:
            wall, cpu = case.times_of(stdout)
        return Run(wall, cpu, usage.ru_maxrss * _MAXRSS_BYTES, stdout)

    def compare(self, cases: list[Case], repeat: int | None = None) -> list[Result]:
        """Runs the cases in turn, A B A B and so on, and removes their outputs."""
        runs: list[list[Run]] = [[] for _ in cases]
        for _ in range(repeat or self.options.repeat):
            for case, done in zip(cases, runs, strict=True):
                done.append(self.run(case))
                if case.output is not None:
                    shutil.rmtree(case.output, ignore_errors=True)
        return [Result(case, done) for case, done in zip(cases, runs, strict=True)]


@contextmanager
def bench(description: str, add_options: Callable[[argparse.ArgumentParser], Any] | None = None) -> Iterator[Bench]:
    """Parses options, refuses a debug build, limits processors, prints the machine, makes a scratch folder."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder of .jsonl.zst files, 100 MB or more decompressed")
    parser.add_argument("--text-field", default="text", help="field of the corpus that holds the text")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="where inputs and outputs go")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each case; medians are reported")
    parser.add_argument("--cores", type=int, default=2, help="processors that everything may use")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run is killed")
    if add_options:
        add_options(parser)
    options = parser.parse_args()
    refuse_debug_build()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    options.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bloomdata-bench-", dir=options.scratch) as folder:
        scratch = Path(folder)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # Everyone starts from compiled modules, and no checkout is littered with them.
        environment |= {"PYTHONPYCACHEPREFIX": str(scratch / "pycache"), "HF_HUB_OFFLINE": "1"}
        environment |= {"HF_HOME": str(scratch / "huggingface"), "TOKENIZERS_PARALLELISM": "true"}
        print(f"# {description}\n\n{machine(scratch)}\n", flush=True)
        yield Bench(options, scratch, environment)


def refuse_debug_build() -> None:
    """Ends the program when the core was built without optimisation."""
    from bloomdata import _core

    if _core.BUILD_PROFILE != "release":
        sys.exit(f"the core is a {_core.BUILD_PROFILE} build: measure release builds only (maturin develop --release)")


def machine(scratch: Path) -> str:
    """Processor, versions, file system of the scratch folder, other work: without these, a number says nothing."""
    import bloomdata

    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    busy = busy_cores()
    return (
        f"{names[0] if names else platform.processor()}, {cores} of {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}\n"
        f"bloomdata {bloomdata.__version__} (release), commit {commit}; scratch on {file_system(scratch)}; "
        f"{busy:.1f} cores busy before{': NOT ALONE, timings are preliminary' if busy > BUSY_CORES else ''}"
    )


def busy_cores() -> float:
    """Processors that were busy during one second, while this process did nothing."""
    samples = []
    for pause in (0, 1):
        time.sleep(pause)
        # User, nice, system, idle, waiting for the disk, and more, in ticks of all processors.
        ticks = [int(field) for line in _lines(Path("/proc/stat"))[:1] for field in line.split()[1:9]] or [0] * 8
        samples.append((sum(ticks), ticks[3] + ticks[4]))
    (total, idle), (total_after, idle_after) = samples
    return (os.cpu_count() or 1) * (1 - (idle_after - idle) / max(1, total_after - total)) if total_after else 0.0


def file_system(folder: Path) -> str:
    """Kind of the file system that holds a folder, such as `tmpfs` or `ext4`."""
    mounts = [line.split()[1:3] for line in _lines(Path("/proc/mounts"))]
    holding = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding)[1] if holding else "unknown"


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls `function` in a process of its own.

    Linux counts the memory of whoever starts a program as the program's own peak: this process must stay small.
    """
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, arguments)


def report_of(run: Run) -> dict[str, Any]:
    """What `bloomdata-cli VERB --json` printed."""
    report: dict[str, Any] = json.loads(run.stdout)
    return report


def print_table(results: list[Result], reference: Result | None = None) -> None:
    """A Markdown table; the last column is speed beside `reference`, by default the first row."""
    reference = reference or results[0]
    print("| case | wall s (fastest to slowest) | CPU s | MB/s | MB/s per core | peak MB | speed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for result in results:
        spread = f"{result.wall_seconds:.2f} ({result.fastest:.2f} to {result.slowest:.2f})"
        per_core = result.case.content_bytes / MB / result.cpu_seconds
        speed = reference.wall_seconds / result.wall_seconds
        print(
            f"| {result.case.name} | {spread} | {result.cpu_seconds:.2f} | {result.rate:.1f} | {per_core:.1f} "
            f"| {result.peak_bytes / MB:.0f} | {speed:.2f} |"
        )
    print("\nMB: 10^6 bytes of decompressed JSONL; per core: per second of CPU time; peak: of the largest process.\n")


def claim(what: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None) -> bool:
    """Prints whether a promise is kept; `run_all.py` collects these lines."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    bound = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
    print(f"{'met' if met else 'MISSED'}: {what}: {value:.3g} {unit} ({bound})", flush=True)
    return met
