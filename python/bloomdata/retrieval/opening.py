"""A finished index: opened, and asked."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.manifest import read_manifest
from bloomdata.options.checks import check_counts
from bloomdata.retrieval import folder as folders
from bloomdata.retrieval.encoders import open_encoder
from bloomdata.retrieval.neighbours import extend
from bloomdata.retrieval.passages import PassageFile
from bloomdata.retrieval.report import Hit, Hits
from bloomdata.retrieval.search import FaissSearch, Scan, Search

if TYPE_CHECKING:
    import os
    from typing import Self

    from numpy.typing import NDArray

    from bloomdata.retrieval.encoders import Encoder


def open(folder: str | os.PathLike[str], *, encoder: str | None = None, device: str | None = None) -> PassageIndex:  # noqa: A001
    """Opens an index. The encoder is loaded at the first query.

    Args:
        folder: Written by `build`.
        encoder: Where the encoder is now; by default where it was for `build`.
        device: Where a model works; by default a GPU, if there is one.

    Raises:
        ConfigError: The folder is not an index.
        CorruptDataError: A file is missing, cut, or of another index.
        UnsupportedFormatError: The index has another version.
    """
    return PassageIndex(Path(folder), encoder, device)


def query(
    folder: str | os.PathLike[str],
    text: str,
    *,
    k: int = 3,
    neighbours: int = 5,
    neighbour_similarity: float = 0.5,
    encoder: str | None = None,
    device: str | None = None,
) -> Hits:
    """Finds the passages of an index that are nearest to a text.

    Args:
        folder: Written by `build`.
        text: What to look for.
        k: Number of hits.
        neighbours: Most passages on each side of a hit that are shown with it; 0 for none.
        neighbour_similarity: A neighbour belongs to a hit as long as its cosine with it is above this, and it is of the
            same document.
        encoder: Where the encoder is now; by default where it was for `build`.
        device: Where a model works; by default a GPU, if there is one.

    Returns:
        The hits, the best first.

    Raises:
        ConfigError: The folder is not an index, or an option is invalid.
        CorruptDataError: A file is missing, cut, or of another index.
        MismatchError: The encoder is not that of the index.

    Command line:
        bloomdata-cli retrieval query index/ "capital of France" -k 3
        bloomdata-cli retrieval query index/ "capital of France" -k 1 --neighbours 5 --neighbour-similarity 0.5 --json

    Example:
        >>> _ = bloomdata.retrieval.build("raw/*.jsonl", "index")
        >>> bloomdata.retrieval.query("index", "hello", k=1).hits[0].text
        'hello world'
    """
    index = open(folder, encoder=encoder, device=device)
    return index.query(text, k=k, neighbours=neighbours, neighbour_similarity=neighbour_similarity)


class PassageIndex:
    """An open index. Vectors and FAISS's index are mapped, so that opening reads almost nothing.

    Threads may share it; they encode one after the other.
    """

    def __init__(self, folder: Path, encoder: str | None, device: str | None) -> None:
        manifest = read_manifest(folder)
        if manifest["verb"] != folders.VERB:
            raise ConfigError(f"{folder}: expected an index of `{folders.VERB}`, found one of `{manifest['verb']}`")
        folders.check_outputs(folder, manifest)
        self._facts: dict[str, Any] = manifest["config"]["encoder"]
        details = manifest["details"]
        self._encoder_name, self._device = encoder or details["encoder_path"], device
        self._vectors: NDArray[Any] = np.load(folder / folders.VECTORS, mmap_mode="r")
        self._passages = PassageFile(
            folder / folders.PASSAGES, np.load(folder / folders.OFFSETS, mmap_mode="r", allow_pickle=False)
        )
        self._search: Search
        if details["index"] == "scan":
            self._search = Scan(self._vectors)
        else:
            is_inverted = details["index"] == "ivf"
            self._search = FaissSearch(folder / folders.INDEX, len(self), is_inverted=is_inverted)
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._vectors)

    def with_encoder(self, encoder: Encoder) -> Self:
        """Uses an encoder that is already open.

        Raises:
            MismatchError: It is not that of the index.
        """
        if encoder.facts["hash"] != self._facts["hash"]:
            raise MismatchError(
                f"encoder: expected that of the index, {self._facts['kind']} with hash {self._facts['hash'][:16]}, "
                f"found {encoder.facts['kind']} with {encoder.facts['hash'][:16]}"
            )
        self._encoder = encoder
        return self

    def query(self, text: str, *, k: int = 3, neighbours: int = 5, neighbour_similarity: float = 0.5) -> Hits:
        """Finds the nearest passages; arguments and result as of `bloomdata.retrieval.query`."""
        check_counts(k=k, neighbours=neighbours)
        if not text.strip():
            raise ConfigError("text: expected words to look for, found none")
        with self._lock:
            if self._encoder is None:
                self.with_encoder(open_encoder(self._encoder_name, device=self._device))
            assert self._encoder is not None
            vector = self._encoder.encode([text])[0]
        found = self._search.search(vector, k)
        return Hits(query=text, hits=[self._hit(row, score, neighbours, neighbour_similarity) for row, score in found])

    def context(self, query: str, k: int) -> list[tuple[str, str]]:
        """Ids and texts of the hits of a query, with the default neighbours: for a conversation."""
        return [(hit.id, hit.text) for hit in self.query(query, k=k).hits]

    def _hit(self, centre: int, score: float, neighbours: int, similarity: float) -> Hit:
        start, end = max(centre - neighbours, 0), min(centre + neighbours, len(self) - 1)
        around = self._passages.read(start, end)
        found = around[centre - start]
        vectors = self._vectors[start : end + 1].astype(np.float32)
        cosines = vectors @ vectors[centre - start]

        def is_near(row: int) -> bool:
            at = row - start
            return start <= row <= end and around[at].document == found.document and bool(cosines[at] > similarity)

        first, last = extend(centre, neighbours, is_near)
        passages = around[first - start : last - start + 1]
        return Hit(
            id=found.id,
            score=score,
            text="".join(passage.text for passage in passages),
            source=found.source,
            line=found.line,
            document=found.document,
            first=passages[0].number,
            last=passages[-1].number,
        )
