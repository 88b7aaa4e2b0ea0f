"""`build`: an index of the passages of documents."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata import _core
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.options.checks import check_choice, check_counts
from bloomdata.options.inputs import file_inputs
from bloomdata.options.paths import output_path
from bloomdata.retrieval import folder as folders
from bloomdata.retrieval.encoders import open_encoder
from bloomdata.retrieval.growing import GrowingFolder
from bloomdata.retrieval.passages import FRAME_PASSAGES, read_passages
from bloomdata.retrieval.report import IndexReport
from bloomdata.retrieval.search import kind_of, write_index

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bloomdata.options.inputs import Inputs, OnProgress
    from bloomdata.retrieval.encoders import Encoder
    from bloomdata.retrieval.passages import Passage

# Passages between two checkpoints, encoded together. Batches do not depend on where a run was killed, so that neither
# do vectors.
_BLOCK_PASSAGES = 16 * FRAME_PASSAGES


def build(
    inputs: Inputs,
    output: str | os.PathLike[str],
    *,
    encoder: str = "hash",
    text_field: str = "text",
    passage_words: int = 64,
    dtype: Literal["float32", "float16"] = "float32",
    index: Literal["auto", "scan", "flat", "ivf"] = "auto",
    device: str | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
) -> IndexReport:
    """Cuts documents into passages and writes an index of their vectors.

    The folder has `vectors.npy`, `passages.jsonl.zst` with `passages.offsets.npy`, `manifest.json`, and where it helps
    `knn.index` of FAISS. Documents are read in a stream; memory does not grow with their number, except that an
    inverted file is made in memory. A killed run goes on behind its last 1,024 passages. On a CPU the same inputs give
    the same bytes.

    Args:
        inputs: Files, folders or patterns, as for `pack`.
        output: Folder to write: new, empty, or the output of an earlier call.
        encoder: `hash`, which needs no model; or a folder of sentence-transformers, or of any encoder of transformers,
            whose last states are then averaged.
        text_field: Field that holds the text, such as `data.text`.
        passage_words: Words of a passage; 0 for a whole document. In scripts without blanks, a character is a word.
        dtype: Type of the stored vectors; `float16` takes half the space.
        index: `scan` compares with all vectors and needs no FAISS, `flat` does so with FAISS, `ivf` with a part of
            them; `auto` is `scan`, for float16 `flat`, and for more than 200,000 passages `ivf`.
        device: Where a model works, such as `cuda:1`; by default a GPU, if there is one.
        overwrite: Whether to discard the output of an earlier run in `output`.
        on_progress: Function called regularly with (0, bytes read, passages, bytes written).

    Returns:
        Counts of the index.

    Raises:
        ConfigError: An option is invalid, a package is not installed, no document has text, or the folder holds other
            files.
        CorruptDataError: An input is damaged, a record is bad, or the encoder gives vectors that are not finite.
        MismatchError: The folder belongs to another call, or its inputs have changed.
        OSError: The operating system reports an error.

    Command line:
        bloomdata-cli retrieval build raw/*.jsonl --output index/
        bloomdata-cli retrieval build docs.jsonl.zst --output index/ --encoder minilm/ --passage-words 64

    Example:
        >>> bloomdata.retrieval.build("raw/*.jsonl", "index").passages
        2
    """
    check_choice("dtype", dtype, "float32", "float16")
    check_choice("index", index, "auto", "scan", "flat", "ivf")
    check_counts(passage_words=passage_words)
    paths = file_inputs(inputs)
    files = [str(path) for path, _ in _core.list_files(paths)]
    if not files:
        raise ConfigError("inputs: expected files, found none")
    folder = Path(output_path(output))
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_encoder(encoder, device=device)
    config = {
        "inputs": [[path, *_core.hash_file(path)] for path in files],
        "encoder": opened.facts,
        "text_field": text_field,
        "passage_words": passage_words,
        "dtype": dtype,
        "index": index,
    }
    if overwrite:
        folders.remove(folder)
    manifest = folders.finished_manifest(folder, config)
    if manifest is not None:
        return IndexReport.of(folder, manifest, was_finished=True)
    with GrowingFolder(folder, config) as growing:
        was_resumed = growing.was_resumed
        books = {"documents_in": 0, "documents_kept": 0, "text_bytes": 0}
        passages = read_passages(files, text_field=text_field, words=passage_words, books=books)
        if sum(1 for _ in islice(passages, growing.num_passages)) < growing.num_passages:
            raise MismatchError(f"inputs: expected {growing.num_passages} passages or more, found fewer; see overwrite")
        while block := list(islice(passages, _BLOCK_PASSAGES)):
            growing.append(block, _encoded(opened, block).astype(dtype))
            if on_progress is not None:
                on_progress(0, books["text_bytes"], growing.num_passages, 0)
        if not growing.num_passages:
            raise ConfigError(f"inputs: expected documents with text, found none in {', '.join(paths)}")
        kind = kind_of(index, growing.num_passages, dtype)
        names = growing.finish(dtype, None if kind == "scan" else _writer(kind))
        details = {"passages": growing.num_passages, "encoder_path": encoder, "index": kind}
        manifest = _finish(folder, config, names, books, details)
    return IndexReport.of(folder, manifest, was_resumed=was_resumed)


def _encoded(encoder: Encoder, block: list[Passage]) -> NDArray[np.float32]:
    vectors = encoder.encode([passage.text for passage in block])
    if not np.isfinite(vectors).all():
        bad = block[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        raise CorruptDataError(f"{bad.source}: line {bad.line}: the encoder gives a vector that is not finite")
    return vectors


def _writer(kind: str) -> Callable[[Path, NDArray[Any]], None]:
    return lambda path, vectors: write_index(path, vectors, kind)


def _finish(
    folder: Path, config: dict[str, Any], names: list[str], books: dict[str, int], details: dict[str, Any]
) -> dict[str, Any]:
    """Writes the manifest; what it says."""
    empty = books["documents_in"] - books["documents_kept"]
    tokens = ("tokens_in", "tokens_out", "tokens_padding", "tokens_truncated", "tokens_dropped")
    manifest = {
        "bloomdata_version": _core.VERSION,
        "verb": folders.VERB,
        "config": config,
        "inputs": [],
        "ignored_inputs": [],
        "outputs": [{"path": name} for name in names],
        "ledger": {
            **books,
            "documents_dropped": {"empty text": empty} if empty else {},
            "documents_quarantined": {},
            "bytes_in": books["text_bytes"],  # all that Python sees of the inputs
            **dict.fromkeys(tokens, 0),
        },
        "details": details,
    }
    found: dict[str, Any] = json.loads(_core.finish_folder(folder, json.dumps(manifest)))
    (folder / folders.JOURNAL).unlink()
    return found
