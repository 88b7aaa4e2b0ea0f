"""The files of an index while they grow: a journal says what is on the disk, and a later run goes on behind it.

An unfinished folder has `journal.jsonl`, whose first line is the configuration and each later one a checkpoint, and its
files with the suffix `.tmp`. They get their names, and the folder its manifest, when all passages are in them.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib import format as npy

from bloomdata.convert.output import lock_folder
from bloomdata.errors import CorruptDataError
from bloomdata.fetching.books import sync_path, write_synced
from bloomdata.retrieval.folder import FILES, INDEX, JOURNAL, OFFSETS, PASSAGES, VECTORS, read_journal
from bloomdata.retrieval.passages import FRAME_PASSAGES, to_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from bloomdata.retrieval.passages import Passage


class GrowingFolder:
    """An unfinished folder.

    Args:
        folder: The folder, which is there.
        config: Everything that decides the output.

    Attributes:
        num_passages: Passages that are safe.
        was_resumed: Whether an earlier run has left some.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self._config = config
        self.num_passages = 0
        self.was_resumed = False
        self._dimension = 0
        self._files: dict[str, Any] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        folder = self.folder
        with ExitStack() as stack:
            lock = lock_folder(folder, "another run builds an index in this folder")
            stack.callback(os.close, lock)
            if not (folder / JOURNAL).exists():
                write_synced(folder / JOURNAL, (json.dumps(self._config) + "\n").encode())
            checkpoints = read_journal(folder)[1:]
            # Without a last line that was cut.
            lines = (json.dumps(line) + "\n" for line in (self._config, *checkpoints))
            write_synced(folder / JOURNAL, "".join(lines).encode())
            state: dict[str, Any] = {"passages": 0, "dimension": 0, "bytes": {}}
            state |= checkpoints[-1] if checkpoints else {}
            self.num_passages, self._dimension = state["passages"], state["dimension"]
            self.was_resumed = bool(self.num_passages)
            for name in FILES:
                # A run that was killed between the first name and the manifest.
                if (folder / name).exists():
                    (folder / name).replace(_growing(folder, name))
            for name in (VECTORS, PASSAGES, OFFSETS):
                opened = _opened(_growing(folder, name), state["bytes"].get(name, 0))
                self._files[name] = stack.enter_context(opened)
            self._journal = stack.enter_context((folder / JOURNAL).open("a", encoding="utf-8"))
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def append(self, passages: list[Passage], vectors: NDArray[Any]) -> None:
        """Adds a block, and returns when it is on the disk. All blocks but the last have whole frames."""
        files, dimension = self._files, vectors.shape[1]
        if not self.num_passages:
            self._dimension = dimension
            files[VECTORS].write(_header(vectors.dtype, (0, dimension)))
            files[OFFSETS].write(_header(np.dtype("<i8"), (0,)))
        for start in range(0, len(passages), FRAME_PASSAGES):
            files[OFFSETS].write(np.int64(files[PASSAGES].tell()).astype("<i8").tobytes())
            files[PASSAGES].write(to_frame(passages[start : start + FRAME_PASSAGES]))
        files[VECTORS].write(vectors.tobytes())
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        self.num_passages += len(passages)
        ends = {name: file.tell() for name, file in files.items()}
        state = {"passages": self.num_passages, "dimension": dimension, "bytes": ends}
        self._journal.write(json.dumps(state) + "\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def finish(self, dtype: str, write_index: Callable[[Path, NDArray[Any]], None] | None) -> list[str]:
        """Gives all files their sizes and names; their names.

        Args:
            dtype: Of the vectors.
            write_index: Is called with the path of the index and the mapped vectors; None for no index.
        """
        files, folder = self._files, self.folder
        files[OFFSETS].write(np.int64(files[PASSAGES].tell()).astype("<i8").tobytes())
        frames = -(-self.num_passages // FRAME_PASSAGES)
        _write_header(files[VECTORS], np.dtype(dtype), (self.num_passages, self._dimension))
        _write_header(files[OFFSETS], np.dtype("<i8"), (frames + 1,))
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        names = [VECTORS, PASSAGES, OFFSETS]
        if write_index is not None:
            vectors = np.load(_growing(folder, VECTORS), mmap_mode="r")
            write_index(_growing(folder, INDEX), vectors)
            sync_path(_growing(folder, INDEX))
            names.append(INDEX)
        for name in names:
            _growing(folder, name).replace(folder / name)
        sync_path(folder)
        return names


def _growing(folder: Path, name: str) -> Path:
    return folder / f"{name}.tmp"


def _opened(path: Path, size: int) -> Any:
    """A file for writing behind its first `size` bytes."""
    found = path.stat().st_size if path.exists() else 0
    if found < size:
        raise CorruptDataError(f"{path}: expected {size} bytes of an unfinished run, found {found}; see overwrite")
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(size)
    file.seek(size)
    return file


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of an `.npy` file. NumPy leaves room in it for the first dimension to grow."""
    header = io.BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(header, described)
    return header.getvalue()


def _write_header(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    file.seek(0)
    file.write(_header(dtype, shape))
    file.seek(0, os.SEEK_END)
