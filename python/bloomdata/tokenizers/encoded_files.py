"""Files as batches of ids, the result of `Tokenizer.encode_files`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bloomdata import _core
    from bloomdata.reports.token_counts import TokenCounts


class EncodedBatch(NamedTuple):
    """Ids of consecutive texts of one file.

    Attributes:
        ids: (num_tokens,) uint32, read-only, of all texts, concatenated.
        offsets: (num_texts + 1,) int64; the ids of text `i` are `ids[offsets[i]:offsets[i + 1]]`.
        path: The file.
        lines: (num_texts,) int64; the line or row of each text in the file, from 1, as in errors.
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    path: str
    lines: NDArray[np.int64]


class EncodedFiles:
    """Iterates over batches, which are prepared ahead.

    The memory of ids is reused once their array is no longer referenced; batches that you keep do not change.
    """

    def __init__(self, core: _core.EncodedFiles, arguments: list[str]) -> None:
        self._core = core
        self._arguments = arguments
        self._counts: TokenCounts | None = None

    @property
    def counts(self) -> TokenCounts | None:
        """Counts of each file, as from `count`, but including texts without ids; `None` before the end."""
        return self._counts

    def __iter__(self) -> EncodedFiles:
        return self

    def __next__(self) -> EncodedBatch:
        import numpy as np

        batch = self._core.next_batch()
        if batch is None:
            self._finish()
            raise StopIteration
        ids, lengths, lines, path = batch
        offsets = np.zeros(len(lengths) // 8 + 1, np.int64)
        np.cumsum(np.frombuffer(lengths, "<i8"), out=offsets[1:])
        return EncodedBatch(np.frombuffer(ids, "<u4"), offsets, path, np.frombuffer(lines, "<i8"))

    def _finish(self) -> None:
        from bloomdata.reports.token_counts import token_counts

        counts = self._core.finish()
        if counts is not None:
            self._counts = token_counts(json.loads(counts), self._arguments)
