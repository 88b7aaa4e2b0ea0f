"""Writes the rows of finished runs to HDF5 files like those of generative_data_prep, optionally balanced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bloomdata.datasets.hdf5 import compressed_file
from bloomdata.datasets.opening import PackedDataset
from bloomdata.datasets.opening import open as open_dataset
from bloomdata.errors import ConfigError
from bloomdata.gdp.balance import balance

if TYPE_CHECKING:
    from pathlib import Path

    from bloomdata.datasets.hdf5 import Rows
    from bloomdata.gdp.balance import Stretch


def write_group(sources: list[Path], targets: list[Path], *, is_balanced: bool) -> list[int]:
    """Writes one file for each source; returns the number of rows of each.

    Args:
        sources: Finished folders of `pack`.
        targets: Files to write; existing files are overwritten.
        is_balanced: Whether to move rows until all files have the same number.

    Memory: twice the largest compressed file.
    """
    datasets = [_open(source) for source in sources]
    counts = [len(dataset) for dataset in datasets]
    plan = balance(counts) if is_balanced else [[(n, 0, count)] if count else [] for n, count in enumerate(counts)]
    for target, stretches in zip(targets, plan, strict=True):
        _write(target, datasets, stretches)
    return [sum(stop - start for _, start, stop in stretches) for stretches in plan]


def _open(folder: Path) -> PackedDataset:
    dataset = open_dataset(folder)
    if not isinstance(dataset, PackedDataset):
        raise ConfigError(f"{folder}: expected rows, found documents")
    return dataset


def _write(target: Path, datasets: list[PackedDataset], stretches: list[Stretch]) -> None:
    import numpy as np

    length, columns = datasets[0].sequence_length, datasets[0].columns
    num_rows = sum(stop - start for _, start, stop in stretches)

    def rows_of(name: str) -> Rows:
        def read(start: int, stop: int) -> np.ndarray:
            parts, at = [np.empty((0, length), "<i4")], 0
            for number, first, last in stretches:
                low, high = max(start, at), min(stop, at + last - first)
                if low < high:
                    parts.append(datasets[number][first + low - at : first + high - at][name])
                at += last - first
            return np.concatenate(parts)

        return read

    image = compressed_file({name: rows_of(name) for name in columns}, num_rows, length)
    temporary = target.with_name(f"{target.name}.tmp")
    with temporary.open("wb") as out:
        out.write(image)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(target)
