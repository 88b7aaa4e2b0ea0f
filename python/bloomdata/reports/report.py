"""The report of a run: its manifest, printed as text here and as a web page in `html_report`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.options.paths import finished_path, output_path
from bloomdata.reports.metrics import metrics_table, unit_of
from bloomdata.reports.units import format_bytes
from bloomdata.reports.unread_keys import most_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Maximum number of inputs that are listed.
_MAX_INPUTS = 40
# The list of matches of `decontaminate`, and the maximum number that the web page shows.
_MATCHES_NAME, _MAX_MATCHES = "contamination.jsonl", 200


@dataclass(frozen=True, kw_only=True)
class Report:
    """The report of a finished run. `print(report)` shows the ledger.

    Attributes:
        folder: The folder that was written; its address, for one in a store.
        manifest: Contents of its `manifest.json`.
        seconds: Duration of this call, which is not part of the manifest. None for a folder that was only opened.
        was_finished: Whether the same run had finished before, so that nothing was done.
        was_resumed: Whether an earlier attempt was resumed.
        ignore_keys: Keys that `unread_keys` leaves out.
    """

    folder: Path | str
    manifest: dict[str, Any]
    seconds: float | None
    was_finished: bool
    was_resumed: bool
    ignore_keys: tuple[str, ...] = ()

    @classmethod
    def from_run(
        cls,
        folder: str | os.PathLike[str],
        result: tuple[str, bool, bool],
        seconds: float,
        *,
        ignore_keys: Iterable[str] = (),
    ) -> Self:
        """A report from the result of the core."""
        manifest, was_finished, was_resumed = result
        return cls(
            folder=Path(folder),
            manifest=json.loads(manifest),
            seconds=seconds,
            was_finished=was_finished,
            was_resumed=was_resumed,
            ignore_keys=tuple(ignore_keys),
        )

    @staticmethod
    def open(folder: str | os.PathLike[str]) -> Report:
        """The report of a finished folder, of the class of its verb.

        Raises:
            ConfigError: The folder is not finished.
            CorruptDataError: The manifest is damaged.
        """
        from bloomdata.manifest import has_books, read_manifest

        manifest = read_manifest(Path(finished_path(folder, "folder")))
        if not has_books(manifest):
            raise CorruptDataError(f"{Path(folder) / 'manifest.json'}: expected the manifest of a finished run")
        kinds = {
            "shard": ShardReport,
            "prepare": PrepareReport,
            "dedup": DedupReport,
            "decide": DedupReport,
            "signatures": SignaturesReport,
            "count": ShardReport,
            "train_tokenizer": ShardReport,
            "decontaminate": DecontaminateReport,
            "merge": MergeReport,
        }
        kind = kinds.get(manifest["verb"], PackReport)
        return kind(folder=Path(folder), manifest=manifest, seconds=None, was_finished=True, was_resumed=False)

    @property
    def ledger(self) -> dict[str, Any]:
        """Counts of every document and token, by what became of it (see `FORMAT.md`)."""
        ledger: dict[str, Any] = self.manifest["ledger"]
        return ledger

    @property
    def unread_keys(self) -> dict[str, int]:
        """Keys of kept records that nothing read although they hold a text, a list or an object: key to records.

        Empty if everything was read. The manifest's ledger has them all; those in `ignore_keys` are left out here.
        """
        unread: dict[str, int] = self.ledger.get("unread_keys", {})
        return {key: count for key, count in unread.items() if key not in self.ignore_keys}

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Files written: path, size, hash, counts."""
        outputs: list[dict[str, Any]] = self.manifest["outputs"]
        return outputs

    @property
    def fingerprint(self) -> str:
        """Hash over all outputs: equal fingerprints mean equal data."""
        return str(self.manifest["fingerprint"])

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {
            "folder": str(self.folder),
            "seconds": self.seconds,
            "was_finished": self.was_finished,
            "was_resumed": self.was_resumed,
            "manifest": self.manifest,
        }

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as one self-contained web page.

        Args:
            path: File to write or replace; not inside the folder, whose manifest lists every file.

        Raises:
            ConfigError: The path is inside the folder.
            OSError: The operating system reports an error.
        """
        from bloomdata.reports.html_page import write_page
        from bloomdata.reports.html_report import html_report
        from bloomdata.reports.html_unread import unread_section

        path = output_path(path, "html")
        check_outside(path, self.folder)
        sections = [("Keys that nothing read", unread_section(self.unread_keys)), *self._sections()]
        write_page(path, html_report(self.manifest, folder=str(self.folder), sections=sections))

    def __str__(self) -> str:
        rows = [("documents in", f"{self.ledger['documents_in']:,}")]
        rows += [("  kept", f"{self.ledger['documents_kept']:,}")]
        rows += [(f"  dropped: {why}", f"{n:,}") for why, n in self.ledger["documents_dropped"].items()]
        rows += [(f"  quarantined: {why}", f"{n:,}") for why, n in self.ledger["documents_quarantined"].items()]
        rows += self._rows()
        size = sum(output["size"] for output in self.outputs)
        rows += [("files written", f"{len(self.outputs):,}"), ("bytes written", format_bytes(size))]
        rows += [("fingerprint", self.fingerprint[:16])]
        lines = [f"{self.manifest['verb']} -> {self.folder}: {self._state()}", *_aligned(rows)]
        if table := self._table():
            lines += ["  metrics", *(f"  {line}" for line in _aligned(table))]
        lines += self._by_input()
        if unread := self.unread_keys:
            lines.append(f"  keys that nothing read: {most_found(unread)}")
        if ignored := self.manifest["ignored_inputs"]:
            lines.append(f"  not read: {len(ignored)} file(s), e.g. {ignored[0]} ({self._why_ignored()})")
            if "text beside records" in self.manifest.get("ignored_reasons", {}):
                lines.append("    text beside records is not taken for data; name its files, or '*.txt', to read it")
        return "\n".join(lines)

    def _why_ignored(self) -> str:
        """Counts of files that were not read, by reason; manifests of older versions have none."""
        reasons = self.manifest.get("ignored_reasons") or {"hidden, set aside, or of unknown format": None}
        return ", ".join(reason if count is None else f"{count} {reason}" for reason, count in reasons.items())

    def _state(self) -> str:
        if self.seconds is None:
            return "finished"
        if self.was_finished:
            return "finished before, inputs unchanged, nothing to do"
        rate = self.ledger["bytes_in"] / max(self.seconds, 1e-9)
        resumed = ", resumed" if self.was_resumed else f", {format_bytes(rate)}/s of input"
        return f"{self.seconds:.1f} s{resumed}"

    def _rows(self) -> list[tuple[str, str]]:
        return []

    def _table(self) -> list[tuple[str, str]]:
        return []

    def _sections(self) -> list[tuple[str, str]]:
        """Titles and HTML of sections that only this verb has."""
        return []

    def _by_input(self) -> list[str]:
        return []


def check_outside(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Checks that a web page is not inside its folder, where `verify` allows only the files in the manifest.

    Raises:
        ConfigError: The path is inside the folder.
    """
    if Path(path).resolve().is_relative_to(Path(folder).resolve()):
        raise ConfigError(f"html: expected a path outside of {os.fspath(folder)}, got {os.fspath(path)}")


def _longest(entry: dict[str, Any]) -> str:
    """The upper limit of the last bucket of a histogram by powers of two."""
    return f"{2 ** len(entry['length_histogram']) - 1:,}"


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    value_width = max(len(value) for _, value in rows)
    return [f"  {name:<{width}}  {value:>{value_width}}" for name, value in rows]


def _share(share: dict[str, Any]) -> str:
    """A share with its interval."""
    if not share["of"]:
        return "no pairs in the sample"
    low, high = share["interval"]
    return f"{share['hits']:,} of {share['of']:,} pairs ({low:.1%} to {high:.1%})"


class ShardReport(Report):
    """The report of `shard`."""

    def _rows(self) -> list[tuple[str, str]]:
        return [("input", format_bytes(self.ledger["bytes_in"]))]


class PrepareReport(ShardReport):
    """The report of `prepare`."""

    def _rows(self) -> list[tuple[str, str]]:
        inputs = self.manifest["inputs"]
        rows = [*super()._rows(), ("documents", f"{self.manifest['details']['lines']:,}")]
        if turns := sum(entry.get("turns", 0) for entry in inputs):
            rows.append(("  answers", f"{turns:,}"))
        missing = self.manifest["config"]["prepare"]["missing_inputs"]
        return [*rows, *[("missing", name) for name in missing]]


class DedupReport(ShardReport):
    """The report of `dedup`."""

    @property
    def near(self) -> dict[str, Any] | None:
        """Facts on near duplicates (see `FORMAT.md`): bands, join, edges, and samples. None if none were looked for."""
        near: dict[str, Any] | None = self.manifest["details"].get("near")
        return near

    def _rows(self) -> list[tuple[str, str]]:
        details = self.manifest["details"]
        rows = super()._rows()
        if against := details.get("against"):
            rows.append(("compared with, too", f"{sum(entry['documents'] for entry in against):,}"))
        # A part knows only what it wrote.
        if (dropped := details.get("bytes_dropped")) is not None:
            rows.append(("bytes dropped", f"{format_bytes(sum(dropped.values()))}"))
        if repeated := details.get("repeated"):
            rows += [
                ("repeated passages", f"{repeated['spans']:,}"),
                ("  in documents", f"{repeated['documents']:,}"),
                ("  bytes", format_bytes(repeated["bytes"])),
                ("  of all words or lines", f"{repeated['units'] / max(repeated['of_units'], 1):.2%}"),
            ]
        if self.near is None:
            return rows
        if bloom := self.near.get("bloom"):
            rate, found = bloom["false_positive_rate"], f"{bloom['probes_found']:,} of {bloom['probes']:,}"
            rows += [
                ("bands x rows", f"{self.near['bands']} x {self.near['rows']}, in Bloom filters"),
                ("false positives, computed", f"{rate:.2e}"),
                ("  of random documents", found),
            ]
            return rows
        join, edges, honesty = self.near["join"], self.near["edges"], self.near["honesty"]
        rows += [
            ("bands x rows", f"{self.near['bands']} x {self.near['rows']}"),
            ("candidate pairs", f"{join['candidates']:,}"),
            ("  similar", f"{edges['edges']:,}"),
        ]
        if left_out := join["pairs_left_out"]:
            rows.append(("  not looked at, in large buckets", f"{left_out:,}"))
        if below := edges["dropped_below_threshold"]:
            rows.append(("dropped, below the threshold", f"{below:,}"))
        rows.append((f"recall, of {honesty['sampled_documents']:,} documents", _share(honesty["recall"])))
        if not self.manifest["config"]["near"]["verify"]:
            rows.append(("precision, of sampled pairs", _share(honesty["precision"])))
        return rows


class SignaturesReport(ShardReport):
    """The report of `signatures`."""


class DecontaminateReport(ShardReport):
    """The report of `decontaminate`."""

    @property
    def contaminated(self) -> int:
        """Documents that hold at least one row."""
        # A counting phase does not know.
        return int(self.manifest["details"].get("documents_contaminated", 0))

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Counts of each evaluation file: rows, rows too short to look for, rows found, documents, matches."""
        sets: list[dict[str, Any]] = self.manifest["details"].get("evaluations", [])
        return sets

    def matches(self) -> Iterator[dict[str, Any]]:
        """All matches, one after the other, as in `contamination.jsonl` (see `FORMAT.md`)."""
        paths = [Path(self.folder) / output["path"] for output in self.outputs]
        for path in paths:
            # Parts have a list each.
            if path.name == _MATCHES_NAME:
                with path.open("rb") as file:
                    yield from map(json.loads, file)

    def _rows(self) -> list[tuple[str, str]]:
        details = self.manifest["details"]
        if not self.evaluations:
            return super()._rows()
        return [
            *super()._rows(),
            ("contaminated", f"{self.contaminated:,}"),
            ("n-grams", f"{details['ngrams']:,}"),
            ("  too common", f"{details['ngrams_common']:,}"),
        ]

    def _by_input(self) -> list[str]:
        """A line for each evaluation file."""
        lines = []
        for entry in self.evaluations:
            short = f", {entry['rows_too_short']:,} too short" if entry["rows_too_short"] else ""
            found = f"{entry['rows_found']:,} of {entry['rows']:,} rows found{short}"
            lines.append(f"    {Path(entry['path']).name}  {found}, in {entry['documents']:,} documents")
        return ["  evaluations", *lines] if lines else []

    def _sections(self) -> list[tuple[str, str]]:
        from bloomdata.reports.html_matches import matches_section, sets_section

        shown = list(islice(self.matches(), _MAX_MATCHES))
        total = sum(entry["matches"] for entry in self.evaluations)
        return [("Evaluations", sets_section(self.evaluations)), ("Matches", matches_section(shown, total))]


class PackReport(Report):
    """The report of `pack`."""

    @property
    def metrics(self) -> dict[str, int]:
        """Counts of rows and their tokens (HDF5); empty for Megatron files."""
        metrics: dict[str, int] = self.manifest["details"].get("metrics", {})
        return metrics

    def _rows(self) -> list[tuple[str, str]]:
        ledger = self.ledger
        rows = [("text", format_bytes(ledger["text_bytes"])), ("tokens in", f"{ledger['tokens_in']:,}")]
        rows += [("  padding", f"{ledger['tokens_padding']:,}")]
        for name in ("truncated", "dropped"):
            if ledger[f"tokens_{name}"]:
                rows.append((f"  {name}", f"{ledger[f'tokens_{name}']:,}"))
        rows += [("tokens out", f"{ledger['tokens_out']:,}")]
        inputs = self.manifest["inputs"]
        counts = {
            "answers": "turns",
            "switched off": "turns_switched_off",
            "trained on": "tokens_trained",
            "after the last answer, left out": "tokens_after_last_answer",
            "cut off prompts": "prompt_tokens_cut",
            "special tokens in texts": "special_tokens_in_text",
        }
        for name, key in counts.items():
            if count := sum(entry.get(key, 0) for entry in inputs):
                rows.append((f"  {name}", f"{count:,}"))
        if tokenizer := self.manifest["details"].get("tokenizer"):
            rows.append(("tokenizer", f"{tokenizer['backend']}, {tokenizer['vocab_size']:,} ids"))
        return rows

    def _table(self) -> list[tuple[str, str]]:
        config = self.manifest["config"]
        is_plain = config.get("record") != "prompt_completion" and config.get("packing") == "full"
        return [] if is_plain or not self.metrics else metrics_table(self.metrics, unit=unit_of(self.manifest))

    def _by_input(self) -> list[str]:
        """A line for each input of conversations, if there is more than one."""
        inputs = [entry for entry in self.manifest["inputs"] if "length_histogram" in entry]
        if len(inputs) < 2:
            return []
        shown = []
        for entry in inputs[:_MAX_INPUTS]:
            documents, tokens = entry["documents_kept"], entry["tokens"]
            trained = entry.get("tokens_trained", 0)
            facts = f"{documents:,} documents, {entry.get('turns', 0):,} answers, {tokens:,} tokens"
            share = f"{trained:,} trained on ({trained / max(tokens, 1):.0%}), up to {_longest(entry)} tokens long"
            shown.append((Path(entry["path"]).name, f"{facts}, {share}"))
        rest = [f"    and {len(inputs) - _MAX_INPUTS} more"] if len(inputs) > _MAX_INPUTS else []
        width = max(len(name) for name, _ in shown)
        return ["  inputs", *(f"    {name:<{width}}  {facts}" for name, facts in shown), *rest]


class MergeReport(PackReport):
    """The report of `merge`."""
