"""MindSpore's `.ckpt`, safetensors and `.npz`: read a tensor at a time, and write tensor by tensor."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bloomdata.convert.protobuf import Field, bytes_field, read_bytes, read_fields, read_numbers, varint
from bloomdata.convert.safetensors_files import checked, file_tensor, read_safetensors, write_safetensors
from bloomdata.convert.tensors import LazyTensor, Tensors, bytes_of, import_torch
from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from torch import Tensor

    from bloomdata.convert.output import NewFile

SUFFIXES = (".ckpt", ".safetensors", ".npz")
# MindSpore writes larger tensors in pieces of this size.
_PIECE_BYTES = 1 << 29
# MindSpore's names of types -> torch's.
_TYPES = {
    "Float64": "float64",
    "Float32": "float32",
    "Float16": "float16",
    "BFloat16": "bfloat16",
    "Int64": "int64",
    "Int32": "int32",
    "Int16": "int16",
    "Int8": "int8",
    "UInt8": "uint8",
    "Bool": "bool",
}


def read_mindspore(path: Path) -> Tensors:
    """The tensors of a file, in its order.

    Raises:
        CorruptDataError: The file is damaged.
        UnsupportedFormatError: It is of another kind.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".ckpt":
        return _read_ckpt(path)
    raise UnsupportedFormatError(f"{path}: expected one of {', '.join(SUFFIXES)}")


def write_mindspore(file: NewFile, tensors: Mapping[str, LazyTensor]) -> None:
    """Writes a file of the kind that its name says; one tensor is in memory at a time.

    Raises:
        ConfigError: An `.npz` would have to hold bfloat16, which NumPy lacks.
    """
    if file.path.suffix == ".safetensors":
        write_safetensors(file, tensors)
    elif file.path.suffix == ".npz":
        _write_npz(file, tensors)
    else:
        _write_ckpt(file, tensors)


# --- .ckpt: message Checkpoint { repeated Value { tag = 1, Tensor { dims = 1, type = 2, content = 3 } = 2 } = 1 } -----


@dataclass
class _Entry:
    """A tensor of a `.ckpt`: its bytes stand in pieces of at most 512 MiB, each under its name."""

    shape: tuple[int, ...]
    kind: str
    pieces: list[Field]


def _read_ckpt(path: Path) -> Tensors:
    entries: dict[str, _Entry] = {}
    with path.open("rb") as file:
        for value in read_fields(file, path, 0, path.stat().st_size):
            if value.number != 1 or value.start is None:
                raise CorruptDataError(f"{path}: expected a checkpoint of MindSpore, found other bytes")
            fields = {field.number: field for field in read_fields(file, path, value.start, value.start + value.value)}
            if 1 not in fields or 2 not in fields or fields[2].start is None:
                raise UnsupportedFormatError(f"{path}: expected a name and a tensor at {value.start}, found none")
            name = read_bytes(file, fields[1]).decode("utf-8", "replace")
            entry = _read_entry(file, path, fields[2])
            if name in entries:
                entries[name].pieces += entry.pieces
            else:
                entries[name] = entry
    # Texts and numbers, such as the epoch, may stand beside tensors.
    return {name: _ckpt_tensor(path, name, entry) for name, entry in entries.items() if entry.kind != "str"}


def _read_entry(file: BinaryIO, path: Path, message: Field) -> _Entry:
    assert message.start is not None
    entry = _Entry((), "", [])
    for field in read_fields(file, path, message.start, message.start + message.value):
        if field.number == 1:
            entry.shape += tuple(read_numbers(file, path, field))
        elif field.number == 2 and field.start is not None:
            entry.kind = read_bytes(file, field).decode("utf-8", "replace")
        elif field.number == 3 and field.start is not None:
            entry.pieces.append(field)
    return entry


def _ckpt_tensor(path: Path, name: str, entry: _Entry) -> LazyTensor:
    torch = import_torch()
    dtype = getattr(torch, _TYPES.get(entry.kind, ""), None)
    if dtype is None:
        raise UnsupportedFormatError(f"{path}: tensor {name}: expected one of {', '.join(_TYPES)}, got {entry.kind!r}")
    num_bytes = sum(piece.value for piece in entry.pieces)
    # MindSpore 1 stores numbers with the shape (0,).
    shape = () if entry.shape == (0,) and num_bytes else entry.shape
    if num_bytes != math.prod(shape) * dtype.itemsize:
        expected = math.prod(shape) * dtype.itemsize
        raise CorruptDataError(f"{path}: tensor {name}: expected {expected} bytes, found {num_bytes}")
    starts = [piece.start or 0 for piece in entry.pieces]
    if len(starts) == 1:
        return file_tensor(path, name, shape, dtype, starts[0])
    flat = [
        file_tensor(path, name, (piece.value,), torch.uint8, start)
        for piece, start in zip(entry.pieces, starts, strict=True)
    ]

    def read() -> Tensor:
        tensor = torch.empty(shape, dtype=dtype)
        target, end = tensor.reshape(-1).view(torch.uint8), 0
        for piece in flat:
            start, end = end, end + piece.shape[0]
            target[start:end] = piece.read()
        return tensor

    return LazyTensor(shape, dtype, f"{path}: tensor {name}", read)


def _write_ckpt(file: NewFile, tensors: Mapping[str, LazyTensor]) -> None:
    kinds = {getattr(import_torch(), name): kind for kind, name in _TYPES.items()}
    for name, tensor in tensors.items():
        dims = b"".join(b"\x08" + varint(size) for size in tensor.shape)
        if tensor.dtype not in kinds:
            raise ConfigError(f"{tensor.place}: expected one of {', '.join(_TYPES.values())}, found {tensor.dtype}")
        head = dims + bytes_field(2, kinds[tensor.dtype].encode())
        content = bytes_of(checked(tensor))
        for start in range(0, max(len(content), 1), _PIECE_BYTES):
            piece = content[start : start + _PIECE_BYTES]
            # Lengths first, so that the bytes of the tensor need not be copied together.
            length = varint(3 << 3 | 2) + varint(len(piece))
            message = len(head) + len(length) + len(piece)
            before = bytes_field(1, name.encode()) + varint(2 << 3 | 2) + varint(message)
            file.write(varint(1 << 3 | 2) + varint(len(before) + message) + before + head + length)
            file.write(piece)
        file.count_tensor()


# --- .npz -------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path) -> Tensors:
    import numpy as np

    torch = import_torch()
    tensors: Tensors = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    shape, is_fortran, dtype = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")(
                        file
                    )
                name = member.removesuffix(".npy")
                kind = getattr(torch, dtype.name, None)
                if kind is None or is_fortran or dtype.byteorder == ">":
                    raise UnsupportedFormatError(
                        f"{path}: tensor {name}: expected numbers in row order, little-endian, found {dtype}"
                    )
                tensors[name] = LazyTensor(shape, kind, f"{path}: tensor {name}", partial(_read_npy, path, member))
    except (zipfile.BadZipFile, ValueError, AttributeError, EOFError) as error:
        raise CorruptDataError(f"{path}: expected arrays of NumPy: {error}") from None
    return tensors


def _read_npy(path: Path, member: str) -> Tensor:
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            tensor: Tensor = import_torch().from_numpy(np.lib.format.read_array(file, allow_pickle=False))
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise CorruptDataError(f"{path}: tensor {member.removesuffix('.npy')}: {error}") from None
    return tensor


def _write_npz(file: NewFile, tensors: Mapping[str, LazyTensor]) -> None:
    import numpy as np

    for tensor in tensors.values():
        if tensor.dtype == import_torch().bfloat16:
            raise ConfigError(f"{tensor.place}: NumPy has no bfloat16; dtype='float32' keeps every value")
    # The stored time is that of ZipInfo by default, 1980, so that the same tensors give the same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # only `write` is used
        for name, tensor in tensors.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, checked(tensor).numpy(), allow_pickle=False)
            file.count_tensor()
