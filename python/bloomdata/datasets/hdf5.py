"""h5py for the core: the layout of an HDF5 file with a given number of rows, and compressed files.

The core writes the rows directly at the offsets of the datasets. h5py only provides the bytes around them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py
    import numpy as np
    from numpy.typing import NDArray

Rows: TypeAlias = "Callable[[int, int], NDArray[np.int32]]"

# Datasets are aligned to pages, so that they can be mapped.
PAGE_BYTES = 4096
ITEM_BYTES = 4
NAMES = ("input_ids", "token_type_ids", "category_ids")

Layout: TypeAlias = "tuple[list[tuple[int, bytes]], list[int], int]"


class Hdf5Files:
    """Describes and compresses files of rows.

    Args:
        sequence_length: Tokens in a row.
        compression: `"gzip"`, or None for contiguous files.
        with_categories: Whether to add a third dataset, `category_ids`.
    """

    def __init__(self, sequence_length: int, compression: str | None, *, with_categories: bool = False) -> None:
        self._names = NAMES if with_categories else NAMES[:2]
        self._sequence_length = sequence_length
        self._compression = compression

    def layout(self, num_rows: int) -> Layout | None:
        """A contiguous file without its rows: (segments of bytes with offsets, offsets of datasets, file size)."""
        if self._compression is not None:
            return None
        import h5py

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "layout.hdf5"
            with h5py.File(
                path, "w", libver="earliest", alignment_threshold=PAGE_BYTES, alignment_interval=PAGE_BYTES
            ) as file:
                offsets = [self._create(file, name, num_rows) for name in self._names]
            file_bytes = path.stat().st_size
            data_bytes = num_rows * self._sequence_length * ITEM_BYTES
            # The file is sparse, since the rows were not written. Read only the bytes around them.
            segments = []
            with path.open("rb") as raw:
                at = 0
                for start in [*offsets, file_bytes]:
                    if start > at:
                        raw.seek(at)
                        segments.append((at, raw.read(start - at)))
                    at = start + data_bytes
        if num_rows == 0:
            return [(0, b"".join(segment for _, segment in segments))], [file_bytes] * len(offsets), file_bytes
        return segments, offsets, file_bytes

    def _create(self, file: h5py.File, name: str, num_rows: int) -> int:
        import h5py

        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5py.h5d.CONTIGUOUS)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        properties.set_obj_track_times(False)
        space = h5py.h5s.create_simple((num_rows, self._sequence_length))
        dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_I32LE, space, properties)
        offset = dataset.get_offset()
        return offset if offset is not None else PAGE_BYTES

    def compress(self, raw: str, offsets: list[int], num_rows: int) -> bytes:
        """A compressed file with the datasets at the given offsets of a file of raw rows."""
        import numpy as np

        length = self._sequence_length

        def rows_at(offset: int) -> Rows:
            def read(start: int, stop: int) -> NDArray[np.int32]:
                count, at = (stop - start) * length, offset + start * length * ITEM_BYTES
                return np.fromfile(raw, dtype="<i4", count=count, offset=at).reshape(-1, length)

            return read

        columns = {name: rows_at(offset) for name, offset in zip(self._names, offsets, strict=True)}
        return compressed_file(columns, num_rows, length)


def compressed_file(columns: dict[str, Rows], num_rows: int, length: int) -> bytes:
    """A file of chunked, gzip-compressed datasets, resized by a megabyte at a time as in generative_data_prep.

    It is built in memory, since the HDF5 library may crash on closing a file when the disk is full.

    Args:
        columns: Function for each dataset that returns the rows from `start` to `stop`, (stop - start, length) int32.
        num_rows: Rows of each dataset.
        length: Tokens in a row.
    """
    import h5py

    batch = max(1, (1 << 20) // (ITEM_BYTES * length))
    with h5py.File("rows", "w", libver="earliest", driver="core", backing_store=False) as file:
        for name, read in columns.items():
            dataset = file.create_dataset(name, (0, length), maxshape=(None, length), dtype="<i4", compression="gzip")
            for start in range(0, num_rows, batch):
                stop = min(num_rows, start + batch)
                dataset.resize(stop, axis=0)
                dataset[start:stop] = read(start, stop)
        file.flush()
        image: bytes = file.id.get_file_image()
        return image
