"""`pipeline` and `data_prep` of generative_data_prep: text files to balanced, compressed HDF5 files.

Built from finished runs of `shard` and `pack` in a work folder, `.gdp`, so that a killed run resumes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.gdp.books import build_manifest, write_facts, write_log
from bloomdata.gdp.folder import find_tokenizer, write_checksums
from bloomdata.gdp.opening import WORK, open_folder
from bloomdata.gdp.options import bare, check_options, find_inputs, pack_options
from bloomdata.gdp.places import BAD_LINES, Origins, with_way_out
from bloomdata.gdp.splits import SplitCounts, split_counts
from bloomdata.gdp.write import write_group
from bloomdata.manifest import read_manifest
from bloomdata.options.checks import check_choice, check_counts, thread_count
from bloomdata.options.paths import output_path as local_path
from bloomdata.options.running import running
from bloomdata.reports.report import PackReport
from bloomdata.verbs.pack import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bloomdata.options.inputs import OnProgress

LOG = "logs.log"
# All files are open at once while lines are distributed.
_MAX_FILES = 10_000
_SHUFFLES = ("False", "on_RAM", "large_file")


def pipeline(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    pretrained_tokenizer: str | os.PathLike[str],
    max_seq_length: int = 2048,
    input_packing_config: str = "full",
    packing_boundary: str = "jsonl",
    attention_boundary: str = "jsonl",
    prompt_keyword: str = "prompt",
    completion_keyword: str = "completion",
    disable_space_separator: bool = False,
    keep_prompt_only_sequences: bool = False,
    prompt_prefix: str | None = None,
    prompt_postfix: str | None = None,
    categories_path: str | os.PathLike[str] | None = None,
    special_tokens: Sequence[str] | None = None,
    eos_token: str | None = None,
    pad_token: str | None = None,
    num_training_splits: int | None = None,
    num_dev_splits: int | None = None,
    num_test_splits: int | None = None,
    dev_ratio: float | None = None,
    test_ratio: float | None = None,
    shuffle: str = "False",
    seed: int = 0,
    do_not_balance_hdf5: bool = False,
    keep_split_jsonls: bool = False,
    ignore_input_format_error: bool = False,
    apply_chat_template: bool = False,
    num_workers: int | None = None,
    overwrite_output_path: bool = False,
    log_file_path: str | os.PathLike[str] | None = None,
    on_progress: OnProgress = None,
) -> PackReport:
    """Shuffles, splits, tokenizes, packs and balances, with the file names of generative_data_prep.

    Writes `train_1_of_32.hdf5` and so on, `dev_...`, `test_files/test_...` (text, never tokenized), `tokenizer/`,
    `metadata.yaml`, `sha256/files_metadata.json`, `category_to_id.json` with categories, `logs.log`, and
    `manifest.json` with the ledger. A killed run resumes when it is called again.

    Intended differences: every shuffle is seeded, uniform, and not limited by memory; files are never joined without a
    newline; invalid UTF-8 makes a bad record instead of U+FFFD; splits without rows get files of zero rows; bad lines
    are kept in `json_load_failed_lines.log` with file, line and reason. As there, the text of a last `.txt` line is not
    given a newline that it does not have, unless lines are shuffled.

    Args:
        input_path: A `.jsonl` or `.txt` file (also `.gz`, `.zst`), or a folder of `.jsonl` files, or else of `.txt`.
        output_path: Folder to write.
        pretrained_tokenizer: A `tokenizer.json`, a folder that holds one, or the name of a model on the Hugging Face
            hub.
        max_seq_length: Tokens in a row.
        input_packing_config: How articles become rows; `packing` of `bloomdata.pack`.
        packing_boundary: Whether packing keeps records (`jsonl`) or pairs together.
        attention_boundary: Whether the last token of a record (`jsonl`) or of a pair has type 3.
        prompt_keyword: Key of the prompt.
        completion_keyword: Key of the completion.
        disable_space_separator: Whether to put no space between prompt and completion.
        keep_prompt_only_sequences: Whether to keep pairs without a completion, and rows of prompts only.
        prompt_prefix: Text before prompts.
        prompt_postfix: Text after prompts.
        categories_path: File with a JSON list of category names.
        special_tokens: Tokens to add to the vocabulary.
        eos_token: The end-of-document token; by default the one that the tokenizer's files name.
        pad_token: The padding token; by default the tokenizer's own, else the end token.
        num_training_splits: Number of training files; by default 32, 128 or 256, depending on the size of the input.
        num_dev_splits: Number of dev files.
        num_test_splits: Number of test files.
        dev_ratio: Share of dev files, instead of counts.
        test_ratio: Share of test files, instead of counts.
        shuffle: Whether to shuffle lines: `"False"`, `"on_RAM"` or `"large_file"`; the last two are the same here.
        seed: Seed of the shuffle.
        do_not_balance_hdf5: Whether to leave files with different numbers of rows.
        keep_split_jsonls: Whether to keep the texts of the splits, in `splits/`.
        ignore_input_format_error: Whether to collect bad lines in `json_load_failed_lines.log` instead of stopping.
        apply_chat_template: Whether to render pairs with the tokenizer's chat template.
        num_workers: Number of threads; one per processor by default.
        overwrite_output_path: Whether to discard the output of an earlier run.
        log_file_path: Path of the log; `logs.log` in the output folder by default.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).

    Returns:
        A report with the ledger, as in `manifest.json` of the folder.

    Raises:
        ConfigError: An option is invalid.
        CorruptDataError: An input is damaged, or a record is bad.
        MismatchError: The folder belongs to a call with other options or inputs.

    Origin:
        sambanova/generative_data_prep at 693d6e3, and at a85c4d7, which BLOOMChat used.
    """
    begin = time.monotonic()
    check_choice("shuffle", shuffle, *_SHUFFLES)
    check_counts(seed=seed)
    inputs = find_inputs(Path(input_path))
    source = find_tokenizer(os.fspath(pretrained_tokenizer))
    counts = split_counts(
        sum(path.stat().st_size for path in inputs),
        num_training_splits=num_training_splits,
        num_dev_splits=num_dev_splits,
        num_test_splits=num_test_splits,
        dev_ratio=dev_ratio,
        test_ratio=test_ratio,
    )
    if counts.total > _MAX_FILES:
        raise ConfigError(f"num_training_splits: expected at most {_MAX_FILES} files of all splits, got {counts.total}")
    options = pack_options(
        max_seq_length=max_seq_length,
        input_packing_config=input_packing_config,
        packing_boundary=packing_boundary,
        attention_boundary=attention_boundary,
        prompt_keyword=prompt_keyword,
        completion_keyword=completion_keyword,
        disable_space_separator=disable_space_separator,
        keep_prompt_only_sequences=keep_prompt_only_sequences,
        prompt_prefix=prompt_prefix,
        prompt_postfix=prompt_postfix,
        categories_path=categories_path,
        special_tokens=special_tokens,
        eos_token=eos_token,
        pad_token=pad_token,
        ignore_input_format_error=ignore_input_format_error,
        apply_chat_template=apply_chat_template,
        tokenizer=source,
    )
    tokenizer = check_options(source, options)
    config = {
        **options,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "shuffle": shuffle,
        "seed": seed,
        "splits": [counts.train, counts.dev, counts.test],
        "balance": not do_not_balance_hdf5,
        "keep_split_jsonls": keep_split_jsonls,
        "inputs": [[os.fspath(path), path.stat().st_size] for path in inputs],
        "pretrained_tokenizer": os.fspath(pretrained_tokenizer),
    }
    folder = Path(local_path(output_path, "output_path"))
    threads = thread_count(num_workers)
    with open_folder(folder, inputs, config, overwrite=overwrite_output_path) as (done, was_resumed):
        if done is None:
            suffix = bare(inputs[0]).suffix
            run = Run(folder, inputs, source, options, config, threads, suffix, counts, on_progress)
            done = run.finish(None if log_file_path is None else Path(log_file_path))
            return report_of(folder, done, begin, was_finished=False, was_resumed=was_resumed)
        return report_of(folder, done, begin, was_finished=True, was_resumed=False)


@dataclass(frozen=True)
class Run:
    """A run in progress: its folder and options."""

    folder: Path
    inputs: list[Path]
    source: str
    options: dict[str, Any]
    config: dict[str, Any]
    threads: int
    suffix: str
    counts: SplitCounts
    on_progress: OnProgress

    def finish(self, log: Path | None) -> dict[str, Any]:
        """Does the work that earlier attempts have left; returns the manifest."""
        folder, work, suffix = self.folder, self.folder / WORK, self.suffix
        names = self.counts.names(suffix)
        is_shuffled = self.config["shuffle"] != "False"
        split = deal_lines(
            self.inputs,
            work,
            names,
            is_shuffled=is_shuffled,
            seed=self.config["seed"],
            threads=self.threads,
            on_progress=self.on_progress,
        )
        if split["ledger"]["documents_kept"] < self.counts.total:
            lines = split["ledger"]["documents_kept"]
            raise ConfigError(f"num_training_splits: expected at most {lines} files in all, got {self.counts.total}")
        texts = {name: work / "splits" / name for name in names}
        if suffix == ".txt" and not is_shuffled and not _core.ends_with_newline(os.fspath(self.inputs[-1])):
            last = names[(split["ledger"]["documents_kept"] - 1) % len(names)]
            texts[last] = without_newline(texts[last], work / "last" / last)
        origins = Origins(self.inputs, names, self.config["seed"] if is_shuffled else None)
        stems = {
            name: [file.removesuffix(suffix) for file in names if file.startswith(name)] for name in ("train", "dev")
        }
        manifests = {
            name: [self._pack(texts[f"{stem}{suffix}"], stem, origins) for stem in group]
            for name, group in stems.items()
        }
        rows = {
            name: write_group(
                [work / "rows" / stem for stem in group],
                [folder / f"{stem}.hdf5" for stem in group],
                is_balanced=self.config["balance"],
            )
            for name, group in stems.items()
        }
        _move_texts(texts, folder, keep=self.config["keep_split_jsonls"])
        origins.join_quarantines(work / "splits", work / "rows", folder / BAD_LINES)
        named = (self.source, self.config["pretrained_tokenizer"])
        facts = write_facts(folder, manifests, rows, self.options, named)
        log = folder / LOG if log is None else log
        manifest = build_manifest(folder, self.config, split, manifests, rows, facts, log)
        write_log(log, self.config, manifest["details"])
        write_checksums(folder)
        result: dict[str, Any] = json.loads(_core.finish_folder(folder, json.dumps(manifest)))
        shutil.rmtree(work)
        return result

    def _pack(self, text: Path, stem: str, origins: Origins) -> dict[str, Any]:
        """Packs one split file; returns its manifest."""
        try:
            report = pack(
                text,
                self.folder / WORK / "rows" / stem,
                tokenizer=self.source,
                num_threads=self.threads,
                allow_empty=True,
                on_progress=self.on_progress,
                **self.options,
            )
        except CorruptDataError as error:
            raise origins.of_error(error, text) from None
        return report.manifest


def data_prep(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    pretrained_tokenizer: str | os.PathLike[str],
    overwrite_output_path: bool = False,
    num_workers: int | None = None,
    on_progress: OnProgress = None,
    **options: Any,
) -> PackReport:
    """Packs one text file into one HDF5 file, without splits.

    Args:
        input_path: A `.jsonl` or `.txt` file.
        output_path: The `.hdf5` file to write.
        pretrained_tokenizer: A `tokenizer.json`, a folder that holds one, or the name of a model on the Hugging Face
            hub.
        overwrite_output_path: Whether to replace an existing file.
        num_workers: Number of threads; one per processor by default.
        on_progress: Function called regularly with (total bytes, bytes read, documents, bytes written).
        **options: Options of `pipeline` that say how records become rows: `max_seq_length`, `prompt_keyword`, ...

    Returns:
        A report with the ledger.

    Raises:
        ConfigError: An option is invalid, or the file already exists.
    """
    target = Path(local_path(output_path, "output_path"))
    if target.suffix != ".hdf5":
        raise ConfigError(f"output_path: expected a .hdf5 file, got {target}")
    if target.exists() and not overwrite_output_path:
        raise ConfigError(f"output_path: {target} exists (--overwrite_output_path replaces it)")
    work = target.with_name(f".{target.name}.gdp")
    source = find_tokenizer(os.fspath(pretrained_tokenizer))
    try:
        report = pack(
            find_inputs(Path(input_path)),
            work,
            tokenizer=source,
            num_threads=num_workers,
            allow_empty=True,
            overwrite=overwrite_output_path,
            on_progress=on_progress,
            **pack_options(**options, tokenizer=source),
        )
    except CorruptDataError as error:
        raise with_way_out(error) from None
    quarantine = work / "quarantine.jsonl"
    if quarantine.exists():
        # Several files of one folder have one each.
        shutil.copyfile(quarantine, target.with_name(f"{target.stem}.{BAD_LINES}"))
    write_group([work], [target], is_balanced=False)
    shutil.rmtree(work)
    return replace(report, folder=target)


def deal_lines(
    inputs: list[Path],
    work: Path,
    names: list[str],
    *,
    is_shuffled: bool,
    seed: int,
    threads: int,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Distributes the lines of all inputs to text files, line k to file k modulo their number; returns the manifest."""
    config = {
        "max_lines": (1 << 63) - 1,
        "max_bytes": None,
        "compression": "none",
        "level": 0,
        "prefix": "part",
        "digits": 5,
        "first_index": 0,
        "text_field": None,
        "validate": False,
        "on_bad_record": "raise",
        "shuffle": False,
        "seed": seed,
        "splits": None,
    }
    sources = [os.fspath(path) for path in inputs]
    if is_shuffled:
        shuffled = work / "shuffled"
        _shard(sources, shuffled, {**config, "shuffle": True}, threads, on_progress)
        sources = [os.fspath(shuffled)]
    manifest = _shard(sources, work / "splits", {**config, "splits": {"files": names}}, threads, on_progress)
    if is_shuffled:
        before = read_manifest(work / "shuffled")
        manifest["inputs"] = before["inputs"]
        manifest["ledger"]["bytes_in"] = before["ledger"]["bytes_in"]
    return manifest


def _shard(
    sources: list[str], output: Path, config: dict[str, Any], threads: int, on_progress: OnProgress
) -> dict[str, Any]:
    run = running(os.fspath(output), threads, overwrite=False)
    manifest: dict[str, Any] = json.loads(
        _core.shard((sources, True, None, None), [], json.dumps(config), run, on_progress)[0]
    )
    return manifest


def without_newline(path: Path, target: Path) -> Path:
    """A copy of a file of lines without the newline that ends it; one of an earlier attempt stays as it is."""
    if not target.exists():
        temporary = target.with_name(f"{target.name}.tmp")
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, temporary)
        with temporary.open("r+b") as file:
            file.truncate(path.stat().st_size - 1)
            os.fsync(file.fileno())
        temporary.replace(target)
    return target


def _move_texts(texts: dict[str, Path], folder: Path, *, keep: bool) -> None:
    """Copies the test files, which stay text, and the other splits if `keep` is set."""
    for name, path in sorted(texts.items()):
        if name.startswith("test_"):
            target = folder / "test_files" / name
        elif keep:
            target = folder / "splits" / name
        else:
            continue
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def report_of(
    folder: Path, manifest: dict[str, Any], begin: float, *, was_finished: bool, was_resumed: bool
) -> PackReport:
    """The manifest as a report."""
    seconds = time.monotonic() - begin
    return PackReport(
        folder=folder, manifest=manifest, seconds=seconds, was_finished=was_finished, was_resumed=was_resumed
    )
