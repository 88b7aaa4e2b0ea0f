from collections.abc import Callable
from os import PathLike
from typing import Any, Final, final

__all__ = [
    "BUILD_PROFILE",
    "VERSION",
    "KeyedOrder",
    "Mixture",
    "PackedRows",
    "RowRules",
    "Tokenizer",
    "finish_folder",
    "hash_file",
    "lengths",
    "merge",
    "pack",
    "plan",
    "read_lines",
    "shard",
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
    ) -> tuple[bytes, bytes]: ...
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

def hash_file(path: str | PathLike[str]) -> tuple[int, str]: ...
def finish_folder(folder: str | PathLike[str], manifest: str) -> str: ...
def lengths(
    inputs: list[str],
    streams: list[tuple[str, Any]],
    config: str,
    num_threads: int,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[bytes, str]: ...
def plan(lengths: bytes, sequence_length: int, packings: list[str], seed: int, window_tokens: int) -> str: ...
def train_tokenizer(
    inputs: list[str],
    streams: list[tuple[str, Any]],
    config: str,
    num_threads: int,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> str: ...
def read_lines(path: str | PathLike[str], first: int, count: int) -> list[str]: ...
def shard(
    inputs: list[str],
    streams: list[tuple[str, Any]],
    config: str,
    options: tuple[str, int, bool, float],
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def pack(
    inputs: list[str],
    streams: list[tuple[str, Any]],
    config: str,
    options: tuple[str, int, bool, float],
    hdf5: object,
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def merge(
    inputs: list[str],
    name: str,
    options: tuple[str, int, bool, float],
    on_progress: Callable[[int, int, int, int], object] | None,
) -> tuple[str, bool, bool]: ...
def verify(folder: str, num_threads: int, on_progress: Callable[[int, int, int, int], object] | None) -> str: ...
