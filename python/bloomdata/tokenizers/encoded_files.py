"""Files as batches of ids: what `Tokenizer.encode_files` returns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bloomdata import _core
    from bloomdata.reports.token_counts import TokenCounts


class EncodedBatch(NamedTuple):
    """Texts of one file that stand behind each other, as ids.

    Attributes:
        ids: (num_tokens,) uint32, read-only, of all texts one behind the other.
        offsets: (num_texts + 1,) int64; text `i` has `ids[offsets[i]:offsets[i + 1]]`.
        path: The file.
        lines: (num_texts,) int64; the number of each text's line, or row, in the file, from 1, as errors name it.
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    path: str
    lines: NDArray[np.int64]


class EncodedFiles:
    """Iterates over batches. The next ones are made while one is worked on.

    Memory of ids is used again once nobody holds their array; a batch that is kept stays as it is.
    """

    def __init__(self, core: _core.EncodedFiles, arguments: list[str]) -> None:
        self._core = core
        self._arguments = arguments
        self._counts: TokenCounts | None = None

    @property
    def counts(self) -> TokenCounts | None:
        """What each file held, as from `count`, but a text without ids is a document, too; `None` before the end."""
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
