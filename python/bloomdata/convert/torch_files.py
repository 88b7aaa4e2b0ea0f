"""Files of `torch.save`: nothing but tensors and plain values is unpickled, and tensors are read one at a time."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

from bloomdata.convert.safetensors_files import file_tensor
from bloomdata.convert.tensors import LazyTensor, Tensors, import_torch
from bloomdata.errors import CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from bloomdata.convert.output import NewFile


def read_torch(path: Path, *within: tuple[str, ...]) -> Tensors:
    """The tensors of a file, in its order; other values are left out.

    Files of torch 1.5 and older are not zip archives, and are read whole.

    Args:
        path: The file.
        within: Keys of nested dicts that lead to the tensors, as `("module", "module")`; the first ones that exist are
            taken. By default the file itself is a dict of tensors.

    Raises:
        CorruptDataError: The file is damaged.
        UnsupportedFormatError: It holds objects of other kinds, which only code of the file could make, or no tensors.
    """
    torch = import_torch()
    state = _inner(_load(path, shapes_only=zipfile.is_zipfile(path)), within, path)
    return {name: _lazy(path, name, value, within) for name, value in state.items() if isinstance(value, torch.Tensor)}


def _lazy(path: Path, name: str, value: Tensor, within: tuple[tuple[str, ...], ...]) -> LazyTensor:
    value = value.detach()
    shape, offset = tuple(value.shape), getattr(value.untyped_storage(), "_checkpoint_offset", None)
    if offset is not None and value.is_contiguous():
        return file_tensor(path, name, shape, value.dtype, offset + value.storage_offset() * value.element_size())

    def read() -> Tensor:
        if offset is None:
            return value.clone(memory_format=import_torch().contiguous_format)
        # A transposed view: torch knows how to read it.
        found = _inner(_load(path, shapes_only=False), within, path)[name].detach()
        copy: Tensor = found.clone(memory_format=import_torch().contiguous_format)
        return copy

    return LazyTensor(shape, value.dtype, f"{path}: tensor {name}", read)


def _inner(state: Any, within: tuple[tuple[str, ...], ...], path: Path) -> Mapping[str, Any]:
    """The dict of tensors inside what a file holds."""
    for keys in within or ((),):
        inner = state
        for key in keys:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and all(isinstance(name, str) for name in inner):
            return inner
    wanted = " or ".join("".join(f"[{key!r}]" for key in keys) for keys in within)
    raise UnsupportedFormatError(f"{path}{wanted}: expected tensors by name, found {type(state).__name__}")


def _load(path: Path, *, shapes_only: bool) -> Any:
    """What a file holds. With `shapes_only`, storages are not read but know where they are in the file."""
    torch = import_torch()
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        # Megatron and DeepSpeed store their arguments beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            if not shapes_only:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
            with FakeTensorMode():
                return torch.load(path, weights_only=True)
    except pickle.UnpicklingError as error:
        first = str(error).strip().split("\n", 1)[0]
        raise UnsupportedFormatError(f"{path}: expected tensors and plain values only: {first}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).split("\n", 1)[0]
        raise CorruptDataError(f"{path}: expected a file of torch.save: {first}") from None


def save(file: NewFile, state: Any) -> None:
    """Writes what `torch.load` returns again; tensors must not share memory."""
    import_torch().save(state, file)
