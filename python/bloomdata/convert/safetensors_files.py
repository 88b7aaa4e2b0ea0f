"""safetensors files: read a tensor or a part of one at a time, and write tensor by tensor.

The format is a length (8 bytes), a header in JSON, and the bytes of all tensors without holes. We read it with plain
reads instead of a memory map, so that memory does not grow with what was read, and check it before any is used.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from bloomdata.convert.tensors import DTYPES, LazyTensor, Tensors, bytes_of, import_torch
from bloomdata.errors import CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bloomdata.convert.output import NewFile

# As the reference implementation: larger headers are damage or an attack.
_MAX_HEADER_BYTES = 100_000_000


def read_safetensors(path: Path) -> Tensors:
    """The tensors of a file, in the order of the file.

    Raises:
        CorruptDataError: The file is truncated or its header is damaged.
        UnsupportedFormatError: A tensor has a type that torch lacks.
    """
    header, first_byte = _read_header(path)
    tensors: Tensors = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        tensor = _tensor(path, name, entry, first_byte + start)
        if start != end or stop - start != tensor.num_bytes:
            raise CorruptDataError(
                f"{path}: tensor {name}: expected {tensor.num_bytes} bytes at {end}, found {stop - start} at {start}"
            )
        tensors[name], end = tensor, stop
    if path.stat().st_size != first_byte + end:
        raise CorruptDataError(f"{path}: expected {first_byte + end} bytes, found {path.stat().st_size}")
    return tensors


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The entries of all tensors, and where the first one starts."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise CorruptDataError(f"{path}: expected a header of {length} bytes, found a file of {size} bytes")
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        valid = all(_is_entry(entry) for entry in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        valid = False
    if not valid:
        raise CorruptDataError(f"{path}: expected a safetensors header, found other bytes")
    return header, 8 + length


def _is_entry(entry: dict[str, Any]) -> bool:
    start, stop = entry["data_offsets"]
    numbers = all(type(number) is int and number >= 0 for number in (start, stop, *entry["shape"]))
    return numbers and isinstance(entry["dtype"], str)


def _tensor(path: Path, name: str, entry: dict[str, Any], offset: int) -> LazyTensor:
    torch = import_torch()
    dtype = getattr(torch, DTYPES.get(entry["dtype"], ""), None)
    if dtype is None:
        raise UnsupportedFormatError(
            f"{path}: tensor {name}: expected one of {', '.join(DTYPES)}, got {entry['dtype']}"
        )
    return file_tensor(path, name, tuple(entry["shape"]), dtype, offset)


def file_tensor(path: Path, name: str, shape: tuple[int, ...], dtype: Any, offset: int) -> LazyTensor:
    """A tensor whose bytes stand at an offset of a file, row by row."""

    def read_runs(shape: tuple[int, ...], starts: range, num_bytes: int) -> Tensor:
        """Reads `num_bytes` at each of the offsets, one after the other, into a tensor."""
        tensor = import_torch().empty(shape, dtype=dtype)
        target = bytes_of(tensor)
        with path.open("rb", buffering=0) as file:
            for number, start in enumerate(starts):
                file.seek(offset + start)
                _read_into(file, target[number * num_bytes : (number + 1) * num_bytes], path, name)
        return tensor

    def read() -> Tensor:
        return read_runs(shape, range(1), math.prod(shape) * dtype.itemsize)

    def read_part(dimension: int, start: int, stop: int) -> Tensor:
        # One run of bytes for each index of the dimensions before the one that is cut.
        inner = math.prod(shape[dimension + 1 :]) * dtype.itemsize
        step = shape[dimension] * inner
        starts = range(start * inner, math.prod(shape[:dimension]) * step, step) if step else range(0)
        return read_runs((*shape[:dimension], stop - start, *shape[dimension + 1 :]), starts, (stop - start) * inner)

    return LazyTensor(shape, dtype, f"{path}: tensor {name}", read, read_part)


def _read_into(file: Any, target: memoryview, path: Path, name: str) -> None:
    while target:
        # Linux reads at most 2 GiB at a time.
        count = file.readinto(target)
        if not count:
            raise CorruptDataError(
                f"{path}: tensor {name}: expected {len(target)} more bytes, found the end of the file"
            )
        target = target[count:]


def write_safetensors(file: NewFile, tensors: Mapping[str, LazyTensor]) -> None:
    """Writes a file; one tensor is in memory at a time."""
    names = {getattr(import_torch(), name): short for short, name in DTYPES.items() if hasattr(import_torch(), name)}
    # Larger types first, so that every tensor is aligned to its type.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.num_bytes
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in ordered:
        file.write(bytes_of(checked(tensor)))
        file.count_tensor()


def checked(tensor: LazyTensor) -> Tensor:
    """Reads a tensor, whose shape and type must be those that were announced.

    Raises:
        CorruptDataError: They are not.
    """
    found = tensor.read()
    if tuple(found.shape) != tensor.shape or found.dtype != tensor.dtype:
        raise CorruptDataError(
            f"{tensor.place}: expected {tensor.dtype} {list(tensor.shape)}, found {found.dtype} {list(found.shape)}"
        )
    return found
