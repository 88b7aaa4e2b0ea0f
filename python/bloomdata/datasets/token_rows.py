"""Tokenized documents as rows of one length: joined, cut or padded on reading."""

from __future__ import annotations

import bisect
import dataclasses
import operator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bloomdata import _core
from bloomdata.datasets.label_rules import LabelRules
from bloomdata.datasets.packed_files import file_facts
from bloomdata.datasets.samples import checked_indices, digest, one_sample
from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bloomdata.datasets.indexed_dataset import IndexedDataset
    from bloomdata.datasets.samples import Batch

Mode = Literal["concat", "groups", "split", "truncate", "sample"]
# Token types of packed files.
_COMPLETION, _PADDING, _LAST = 1, 2, 3
# Size and source of keyed orders, distinct from those of blends and loaders.
_DRAWS = (1 << 62, 1 << 40)


class TokenRows:
    """Rows of `sequence_length` tokens from documents, by index: the streams of other tools with random access.

    Row i is a function of (documents, options, i). `DataLoader` and `BlendedDataset` shuffle all rows by a keyed order
    instead of a buffer, so rows can be read in any order, and no row is lost or repeated when a run resumes.

    - `concat`: all documents concatenated, each after the `separator`. OpenChatKit (with a newline as separator),
      Open-Llama v1. As there, the tokens after the last full row are dropped. No index.
    - `groups`: the same for groups of `num_sequences` documents, each padded at the end. Open-Llama v2, which drops an
      incomplete last group; here it is kept. An index of 8 bytes per group.
    - `split`: full pieces of one document; the rest of a document, or a short document, is dropped. Open-Llama v2. An
      index of 8 bytes per document.
    - `truncate`: the first tokens of a document, padded. Open-Llama v2. No index.
    - `sample`: a window of a document, padded: its start with probability 1/4, else a random one. Open-Llama v2, which
      overwrites the last token by an end token; here no token is changed. For one seed, the window is the same in
      every epoch. No index.

    The last token of a document has type 3: it ends the document for labels, positions and `cu_seqlens`. The tools
    above do not separate documents in rows; `rules=LabelRules(eod_mask_loss=False, reset_position_ids=False,
    reset_attention_mask=False)` matches them.

    Args:
        documents: An `IndexedDataset`.
        sequence_length: Tokens in a row, 1 or more.
        mode: How documents become rows, see above.
        separator: Tokens before every document, for `concat` and `groups`.
        pad_token_id: Token that pads rows; required for `groups`, `truncate` and `sample`.
        num_sequences: Number of documents in a group.
        seed: Seed of the windows of `sample`.
        rules: Rules by which rows become samples; see `LabelRules`.

    Raises:
        ConfigError: An option is invalid.

    Example:
        >>> _ = bloomdata.pack("raw/*.jsonl", "documents", tokenizer="bytes", format="megatron")
        >>> rows = bloomdata.TokenRows(bloomdata.open("documents"), 8, separator=[10])
        >>> rows.read_batch([0])["input_ids"][0, 0]
        np.int64(10)
    """

    def __init__(
        self,
        documents: IndexedDataset,
        sequence_length: int,
        *,
        mode: Mode = "concat",
        separator: Sequence[int] = (),
        pad_token_id: int | None = None,
        num_sequences: int | None = None,
        seed: int = 0,
        rules: LabelRules | None = None,
    ) -> None:
        self.documents, self.sequence_length = documents, operator.index(sequence_length)
        self.mode, self.rules, self.seed = mode, rules or LabelRules(), operator.index(seed)
        self.separator = np.asarray(list(separator), np.int32)
        if not hasattr(documents, "sequence_pointers"):
            raise ConfigError(f"documents: expected documents of a Megatron pair, got {documents!r}")
        if self.sequence_length < 1:
            raise ConfigError(f"sequence_length: expected 1 or more, got {sequence_length}")
        if mode not in {"concat", "groups", "split", "truncate", "sample"}:
            raise ConfigError(f"mode: expected 'concat', 'groups', 'split', 'truncate' or 'sample', got {mode!r}")
        if len(self.separator) and mode not in {"concat", "groups"}:
            raise ConfigError(f"separator: expected none with mode {mode!r}, got {list(separator)}")
        if (mode == "groups") != (num_sequences is not None) or (num_sequences is not None and num_sequences < 1):
            raise ConfigError(f"num_sequences: expected 1 or more with mode 'groups', else None, got {num_sequences}")
        if pad_token_id is None and mode in {"groups", "truncate", "sample"}:
            raise ConfigError(f"pad_token_id: expected a token to pad rows with mode {mode!r}, got None")
        self.pad_token_id = 0 if pad_token_id is None else operator.index(pad_token_id)
        self.num_sequences = num_sequences
        self._ends: NDArray[np.int64] | None = None
        if mode in {"split", "groups"}:
            self._ends = np.cumsum(self._rows_of_parts())
        self._draws = [_core.KeyedOrder(_DRAWS[0], self.seed, _DRAWS[1], number) for number in range(2)]

    def _rows_of_parts(self) -> NDArray[np.int64]:
        """Number of rows of every document or group."""
        if self.mode == "split":
            return np.diff(self._starts(np.arange(len(self.documents) + 1), 0)) // self.sequence_length
        edges = np.append(np.arange(0, len(self.documents), self.num_sequences or 1), len(self.documents))
        return -(-np.diff(self._starts(edges, len(self.separator))) // self.sequence_length)

    def _starts(self, documents: NDArray[np.int64], separator: int) -> NDArray[np.int64]:
        """Number of tokens before each of the documents, with separators."""
        indexed = self.documents
        sequences = np.asarray(indexed.document_indices[documents])
        total = indexed.num_tokens * indexed.dtype.itemsize
        if len(indexed.sequence_pointers):
            last = np.minimum(sequences, len(indexed.sequence_pointers) - 1)
            pointers = np.where(sequences == len(indexed.sequence_pointers), total, indexed.sequence_pointers[last])
        else:
            pointers = np.zeros(len(sequences), np.int64)
        starts: NDArray[np.int64] = pointers // indexed.dtype.itemsize + documents * separator
        return starts

    def _start(self, document: int) -> int:
        """Number of tokens of the stream before a document."""
        indexed = self.documents
        sequence = int(indexed.document_indices[document])
        if sequence == len(indexed.sequence_pointers):
            tokens = int(indexed.num_tokens)
        else:
            tokens = int(indexed.sequence_pointers[sequence]) // indexed.dtype.itemsize
        return tokens + document * len(self.separator)

    @property
    def num_stream_tokens(self) -> int:
        """Number of tokens of all documents, with separators."""
        return self._start(len(self.documents))

    def __len__(self) -> int:
        if self.mode == "concat":
            return self.num_stream_tokens // self.sequence_length
        if self._ends is not None:
            return int(self._ends[-1]) if len(self._ends) else 0
        return len(self.documents)

    @property
    def fingerprint(self) -> str:
        """Hash of the documents and of every option that affects rows."""
        named = getattr(self.documents, "fingerprint", None)
        prefix = self.documents.path_prefix
        facts = [named] if isinstance(named, str) else file_facts([f"{prefix}.idx", f"{prefix}.bin"])
        options = [self.mode, self.sequence_length, self.separator.tolist(), self.pad_token_id, self.num_sequences]
        return digest(["token-rows-1", *options, self.seed if self.mode == "sample" else None, facts])

    def with_rules(self, **rules: Any) -> TokenRows:
        """The same rows with other rules for labels; see `LabelRules`."""
        return TokenRows(
            self.documents,
            self.sequence_length,
            mode=self.mode,
            separator=self.separator.tolist(),
            pad_token_id=self.pad_token_id if self.mode in {"groups", "truncate", "sample"} else None,
            num_sequences=self.num_sequences,
            seed=self.seed,
            rules=dataclasses.replace(self.rules, **rules),
        )

    def read_batch(self, indices: ArrayLike) -> Batch:
        """Rows as samples; see `PackedDataset.read_batch`.

        Raises:
            IndexError: A row does not exist.
        """
        rows = checked_indices(indices, len(self), "row")
        shape = (len(rows), self.sequence_length)
        ids = np.full(shape, self.pad_token_id, np.int32)
        types = np.full(shape, _PADDING, np.int32)
        for at, row in enumerate(rows.tolist()):
            self._fill(row, ids[at], types[at])
        return self.rules.make(ids, types)

    def __getitem__(self, index: int) -> Batch:
        return one_sample(self, index)

    def _fill(self, row: int, ids: NDArray[np.int32], types: NDArray[np.int32]) -> None:
        at = 0
        for tokens, ends in self._pieces(row):
            ids[at : at + len(tokens)] = tokens
            types[at : at + len(tokens)] = _COMPLETION
            at += len(tokens)
            if ends:
                types[at - 1] = _LAST

    def _pieces(self, row: int) -> Iterator[tuple[NDArray[Any], bool]]:
        """The pieces of a row, and whether each ends a document."""
        length = self.sequence_length
        if self.mode == "concat":
            yield from self._joined(row * length, (row + 1) * length, 0)
        elif self._ends is not None:
            part = int(np.searchsorted(self._ends, row, side="right"))
            offset = (row - (int(self._ends[part - 1]) if part else 0)) * length
            if self.mode == "split":
                yield self._piece(part, offset)
            else:
                first = part * (self.num_sequences or 1)
                last = min(first + (self.num_sequences or 1), len(self.documents))
                begin = self._start(first) + offset
                yield from self._joined(begin, min(begin + length, self._start(last)), first)
        else:
            yield self._piece(row, self._window(row) if self.mode == "sample" else 0)

    def _piece(self, document: int, offset: int) -> tuple[NDArray[Any], bool]:
        total = self._start(document + 1) - self._start(document) - len(self.separator)
        count = min(self.sequence_length, total - offset)
        return self.documents.get(document, offset, count), count > 0 and offset + count == total

    def _joined(self, begin: int, end: int, first: int) -> Iterator[tuple[NDArray[Any], bool]]:
        """Tokens `begin` to `end` of the stream."""
        documents = range(len(self.documents))
        document = bisect.bisect_right(documents, begin, lo=first, key=self._start) - 1
        at = begin
        while at < end:
            start, stop = self._start(document), self._start(document + 1)
            if at - start < len(self.separator):
                piece = self.separator[at - start : at - start + end - at]
                yield piece, False
                at += len(piece)
            if at < min(stop, end):
                offset = at - start - len(self.separator)
                count = min(stop, end) - at
                yield self.documents.get(document, offset, count), at + count == stop
                at += count
            document += 1

    def _window(self, document: int) -> int:
        """The start of the window of a document."""
        over = self._start(document + 1) - self._start(document) - self.sequence_length
        chooses, place = (int(np.frombuffer(draw.at(np.array([document], np.int64)), "<i8")[0]) for draw in self._draws)
        if over <= 0 or chooses * 4 < _DRAWS[0]:
            return 0
        return place * (over + 1) // _DRAWS[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _rebuild,
            (
                self.documents,
                self.sequence_length,
                {
                    "mode": self.mode,
                    "separator": self.separator.tolist(),
                    "pad_token_id": self.pad_token_id,
                    "num_sequences": self.num_sequences,
                    "seed": self.seed,
                    "rules": self.rules,
                },
            ),
        )

    def __repr__(self) -> str:
        return (
            f"TokenRows({self.documents!r}, mode={self.mode!r}: {len(self):,} rows of {self.sequence_length:,} tokens)"
        )


def _rebuild(documents: IndexedDataset, sequence_length: int, options: dict[str, Any]) -> TokenRows:
    return TokenRows(documents, sequence_length, **options)
