from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, final

from bloomdata.options.running import Running
from bloomdata.parts.sharing import Share
from bloomdata.storage.staging import Objects, Staging

__all__ = [
    "BUILD_PROFILE",
    "VERSION",
    "ChatTemplate",
    "EncodedFiles",
    "GptDataset",
    "KeyedOrder",
    "Mixture",
    "PackedRows",
    "RowRules",
    "Tokenizer",
    "builtin_template",
    "compressions",
    "count_part",
    "count_words",
    "decontaminate",
    "dedup",
    "dedup_part",
    "dedup_sets",
    "discard_parts",
    "encode_ends",
    "ends_with_newline",
    "exact_key",
    "find_lines",
    "finish",
    "finish_folder",
    "hash_file",
    "is_text_source",
    "legacy_intervals",
    "legacy_shuffle",
    "lengths",
    "list_files",
    "megatron_blend",
    "megatron_blend_exhaustively",
    "merge",
    "near_chances",
    "near_signature",
    "pack",
    "plan",
    "read_counts",
    "read_lines",
    "read_manifest",
    "read_records",
    "shard",
    "signatures",
    "split_matrix",
    "split_ranges",
    "train_on_parts",
    "train_tokenizer",
    "verify",
]

BUILD_PROFILE: Final[str]
VERSION: Final[str]

@final
class KeyedOrder:
    def __new__(cls, n: int, seed: int, source: int, epoch: int) -> KeyedOrder: ...
    def at(self, indices: Any) -> bytearray: ...
    def range(self, start: int, step: int, count: int) -> bytearray: ...
    def positions(self, values: Any) -> bytearray: ...

@final
class Mixture:
    def __new__(
        cls, weights: list[int], lengths: list[int], num_samples: int, seed: int, shuffles: bool
    ) -> Mixture: ...
    @property
    def block_samples(self) -> int: ...
    def counts(self, num_samples: int) -> list[int]: ...
    def locate(self, positions: Any) -> bytearray: ...

@final
class RowRules:
    def __new__(cls, rules: str) -> RowRules: ...
    def make(self, ids: Any, types: Any, length: int) -> tuple[bytearray, bytearray]: ...

@final
class PackedRows:
    def __new__(
        cls, sequence_length: int, files: list[tuple[int, tuple[str, int, str], tuple[str, int, str] | None]]
    ) -> PackedRows: ...
    def read(self, rules: RowRules, rows: Any) -> tuple[bytearray, bytearray]: ...

@final
class Tokenizer:
    def __new__(cls, options: str) -> Tokenizer: ...
    def encode(self, text: str, adds_special: bool) -> bytes: ...
    def encode_batch(
        self, texts: Any, adds_special: bool, keeps_ids: bool, num_threads: int
    ) -> tuple[memoryview, bytes]: ...
    def encode_files(
        self, inputs: list[str], text_field: str, adds_special: bool, leaves_bad_out: bool, num_threads: int
    ) -> EncodedFiles: ...
    def decode(self, ids: list[int], skip_special_tokens: bool) -> str: ...
    def id_to_token(self, token_id: int) -> str | None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def eos_token_id(self) -> int: ...
    @property
    def pad_token_id(self) -> int: ...
    @property
    def backend(self) -> str: ...
    @property
    def backend_reason(self) -> str | None: ...
    @property
    def fingerprint(self) -> str: ...

@final
class EncodedFiles:
    def next_batch(self) -> tuple[memoryview, bytes, bytes, str] | None: ...
    def finish(self) -> str | None: ...

@final
class ChatTemplate:
    def __new__(cls, options: str, tokenizer: Tokenizer | None) -> ChatTemplate: ...
    def render(self, record: str, add_generation_prompt: bool) -> str: ...
    def render_plain(
        self, messages: Any, tools: str | None, documents: str | None, add_generation_prompt: bool
    ) -> str | None: ...
    def render_trained(self, record: str) -> tuple[str, list[tuple[int, int]]]: ...

def builtin_template(name: str) -> str | None: ...
def encode_ends(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]: ...

@final
class GptDataset:
    def __new__(cls, config: str) -> GptDataset: ...
    def __len__(self) -> int: ...
    def read(self, indices: Any, outputs: dict[str, Any], wants_boundaries: bool) -> bytes: ...
    def fingerprint(self) -> str: ...
    @property
    def sequences(self) -> tuple[int, int]: ...
    @property
    def plan(self) -> tuple[int, int, int | None] | None: ...
    def indices(self) -> list[tuple[str, bytes]] | None: ...
    def save_indices(self, prefix: str | PathLike[str], description: str | None) -> None: ...

def split_matrix(split: str) -> list[tuple[float, float] | None]: ...
def split_ranges(split: str, size: int, legacy: bool) -> list[tuple[int, int]]: ...
def legacy_shuffle(seed: int, arrays: Sequence[Any]) -> None: ...
def legacy_intervals(seed: int, highest: int, count: int) -> list[int]: ...
def megatron_blend(weights: Sequence[float], dataset_index: Any, dataset_sample_index: Any) -> list[int]: ...
def megatron_blend_exhaustively(sizes: Sequence[int], dataset_index: Any, dataset_sample_index: Any) -> list[int]: ...
def hash_file(path: str | PathLike[str]) -> tuple[int, str]: ...
def find_lines(
    inputs: list[str], lines: list[tuple[int, bytes]], seed: int | None
) -> list[tuple[Path, int, int] | None]: ...
def ends_with_newline(path: str) -> bool: ...
def finish(
    options: Running,
    joined: bool,
    stored: tuple[str, Staging] | None,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def discard_parts(folder: str | PathLike[str]) -> None: ...
def finish_folder(folder: str | PathLike[str], manifest: str) -> str: ...
def lengths(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    streams: Sequence[tuple[str, Any, str]],
    config: str,
    num_threads: int,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[bytes, str]: ...
def plan(lengths: bytes, sequence_length: int, packings: list[str], seed: int, window_tokens: int) -> str: ...
def train_tokenizer(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    streams: Sequence[tuple[str, Any, str]],
    config: str,
    num_threads: int,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> str: ...
def count_part(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    config: str,
    arguments: list[str],
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def count_words(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    config: str,
    facts: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def read_counts(folder: str | PathLike[str]) -> str: ...
def train_on_parts(
    folder: str | PathLike[str], config: str, on_progress: Callable[[int, int, int, int], object] | None
) -> str: ...
def compressions() -> list[str]: ...
def list_files(inputs: list[str]) -> list[tuple[Path, int]]: ...
def read_lines(path: str | PathLike[str], first: int, count: int) -> list[str]: ...
def read_records(source: str, records: list[str]) -> str: ...
def is_text_source(source: str) -> bool: ...
def read_manifest(folder: str | PathLike[str]) -> str | None: ...
def shard(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    streams: Sequence[tuple[str, Any, str]],
    config: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def decontaminate(
    inputs: tuple[list[str], bool, Share | None],
    evaluations: list[str],
    config: str,
    options: Running,
    memory: tuple[int, bool],
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def dedup(
    inputs: list[str],
    config: str,
    options: Running,
    memory: tuple[int, list[str]],
    decides: int | None,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool] | None: ...
def dedup_part(
    inputs: list[str],
    part: Share,
    config: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def dedup_sets(
    inputs: list[str],
    part: Share,
    config: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def exact_key(text: str, normalize: str) -> int: ...
def near_chances(config: str, similarities: list[float]) -> tuple[int, int, list[float]]: ...
def near_signature(text: str, config: str) -> tuple[list[tuple[int, int, int]], bytes]: ...
def signatures(
    inputs: list[str],
    part: Share | None,
    config: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def pack(
    inputs: tuple[list[str], bool, Share | None, Objects | None],
    streams: Sequence[tuple[str, Any, str]],
    config: str,
    options: Running,
    hdf5: object,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def merge(
    inputs: list[str],
    name: str,
    options: Running,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def verify(
    folder: str,
    num_threads: int,
    without_parts: bool,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> str: ...
