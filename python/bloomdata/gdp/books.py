"""The manifest of a run of `pipeline`, merged from those of its parts, and the files derived from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bloomdata import _core
from bloomdata.gdp.folder import CHECKSUMS, copy_tokenizer, model_type, write_metadata
from bloomdata.gdp.opening import WORK, WRITTEN
from bloomdata.gdp.places import BAD_LINES

if TYPE_CHECKING:
    from pathlib import Path


def write_facts(
    folder: Path,
    manifests: dict[str, list[dict[str, Any]]],
    rows: dict[str, list[int]],
    options: dict[str, Any],
    tokenizer: tuple[str, str],
) -> dict[str, Any]:
    """Writes the files beside the rows; returns details for the manifest."""
    first = manifests["train"][0]
    used = first["details"]["tokenizer"]["path"]
    beside = folder / WORK / "rows" / f"train_1_of_{len(rows['train'])}"
    copy_tokenizer(None if used is None else beside / used, *tokenizer, folder, first["details"]["tokenizer"])
    if options["categories"] is not None:
        ids = {name: number for number, name in enumerate(options["categories"])}
        (folder / "category_to_id.json").write_text(json.dumps(ids) + "\n", "utf-8")
    metrics = {name: _sum([manifest["details"]["metrics"] for manifest in group]) for name, group in manifests.items()}
    metadata: dict[str, Any] = {
        "max_seq_length": options["sequence_length"],
        "token_type_ids": True,
        "vocab_size": first["details"]["tokenizer"]["vocab_size"],
        "tokenizer_model_type": model_type(tokenizer[0]),
        "number_of_training_files": len(rows["train"]),
        "number_of_dev_files": len(rows["dev"]),
        "number_of_test_files": len(list((folder / "test_files").glob("*"))),
    }
    for name, counts in rows.items():
        metadata[f"max_batch_size_{name}"] = min(counts) if counts else None
        of = metrics[name]
        lost = of.get("dropped_from_packing_tokens", 0) + of.get("dropped_from_all_prompt_tokens", 0)
        kept = of.get("prompt_tokens", 0) + of.get("completion_tokens", 0)
        metadata |= {
            f"{name}_input_tokens": kept + lost,
            f"{name}_output_tokens": of.get("output_tokens", 0),
            f"{name}_tokens_dropped_from_packing": of.get("dropped_from_packing_tokens", 0),
            f"{name}_tokens_dropped_from_all_prompt": of.get("dropped_from_all_prompt_tokens", 0),
        }
        for key in ("prompt_tokens", "completion_tokens", "padding_tokens", "sequences", "articles"):
            metadata[f"{name}_{key}"] = of.get(key, 0)
    write_metadata(folder, metadata)
    total = _sum(list(metrics.values()))
    return {"metrics": total, "metrics_by_split": metrics, "metadata": metadata}


def _sum(counts: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(of.get(name, 0) for of in counts) for name in sorted({name for of in counts for name in of})}


def build_manifest(
    folder: Path,
    config: dict[str, Any],
    split: dict[str, Any],
    manifests: dict[str, list[dict[str, Any]]],
    rows: dict[str, list[int]],
    facts: dict[str, Any],
    log: Path,
) -> dict[str, Any]:
    """The merged manifest of all parts."""
    parts = [manifest for group in manifests.values() for manifest in group]
    ledger: dict[str, Any] = {}
    for name, value in parts[0]["ledger"].items():
        if name == "unread_keys":  # not in every ledger
            continue
        of = [part["ledger"][name] for part in parts]
        ledger[name] = _sum(of) if isinstance(value, dict) else sum(of)
    if unread := _sum([part["ledger"].get("unread_keys", {}) for part in parts]):
        ledger["unread_keys"] = unread
    ledger["bytes_in"] = split["ledger"]["bytes_in"]
    left = split["ledger"]["documents_kept"] - ledger["documents_in"]
    if left:
        ledger["documents_in"] += left
        ledger["documents_dropped"]["test, left as text"] = left
    outputs: list[dict[str, Any]] = []
    logs = [log.relative_to(folder).as_posix()] if log.is_relative_to(folder) else []
    unhashed = [*logs, CHECKSUMS]
    row_counts = {f"{name}_{n}_of_{len(of)}.hdf5": count for name, of in rows.items() for n, count in enumerate(of, 1)}
    bad_lines = sum(ledger["documents_quarantined"].values())
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.endswith(".tmp") and WRITTEN.fullmatch(name.removesuffix(".tmp")):
            path.unlink()
        elif path.is_file() and not name.startswith(f"{WORK}/") and name not in unhashed:
            details = {"records": bad_lines} if name == BAD_LINES else {}
            outputs.append({"path": name, **details, **({"rows": row_counts[name]} if name in row_counts else {})})
    histograms = [part["details"]["length_histogram"] for part in parts]
    longest = max(map(len, histograms))
    return {
        "bloomdata_version": _core.VERSION,
        "verb": "gdp",
        "config": config,
        "inputs": split["inputs"],
        "ignored_inputs": [],
        "outputs": outputs,
        "ledger": ledger,
        "details": {
            **parts[0]["details"],
            **facts,
            "length_histogram": [sum(h[i] for h in histograms if i < len(h)) for i in range(longest)],
            "unhashed_outputs": unhashed,
        },
    }


def write_log(path: Path, config: dict[str, Any], details: dict[str, Any]) -> None:
    """Writes version, options and metrics to the log."""
    lines = [f"bloomdata {_core.VERSION}", *(f"{name}: {config[name]}" for name in config)]
    for name, metrics in details["metrics_by_split"].items():
        lines += [f"{name} {key}: {value}" for key, value in metrics.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
