"""A tensor that is read when it is needed, and bytes of tensors. Every format of this package is a dict of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

# Names of types in the header of a safetensors file -> their names in torch.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}

_CAST_TYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class LazyTensor:
    """A tensor of a file, or one that is made of such tensors.

    Attributes:
        shape: Its shape.
        dtype: Its type, as `torch.dtype`.
        place: The file and the name in it, for errors.
        read: Reads all of it, as a tensor that shares memory with nothing.
        read_part: Reads `start` to `stop` of a dimension; where there is none, all of the tensor is read for a part.
    """

    shape: tuple[int, ...]
    dtype: Any
    place: str
    read: Callable[[], Tensor]
    read_part: Callable[[int, int, int], Tensor] | None = None

    @property
    def num_bytes(self) -> int:
        """Its size."""
        size: int = math.prod(self.shape) * self.dtype.itemsize
        return size

    def part(self, dimension: int, start: int, stop: int) -> Tensor:
        """The part from `start` to `stop` of a dimension."""
        if (start, stop) == (0, self.shape[dimension]):
            return self.read()
        if self.read_part is not None:
            return self.read_part(dimension, start, stop)
        return self.read().narrow(dimension, start, stop - start).clone()


Tensors = dict[str, LazyTensor]


def import_torch() -> Any:
    """The module torch.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import torch
    except ImportError:
        raise ConfigError("convert needs torch: pip install 'bloomdata[train]'") from None
    return torch


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, little-endian, without a copy where it is contiguous."""
    torch = import_torch()
    return memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def cast(tensors: Mapping[str, LazyTensor], dtype: str | None) -> Tensors:
    """All floating-point tensors in another type, or as they are for None.

    Raises:
        ConfigError: There is no such type.
    """
    if dtype is None:
        return dict(tensors)
    if dtype not in _CAST_TYPES:
        raise ConfigError(f"dtype: expected one of {', '.join(_CAST_TYPES)}, got {dtype!r}")
    target = getattr(import_torch(), dtype)
    return {
        name: _cast(tensor, target) if tensor.dtype.is_floating_point else tensor for name, tensor in tensors.items()
    }


def cast_tolerance(dtype: str | None) -> float:
    """How far logits may be apart, relative to the largest one, when weights have got another type."""
    return 0.02 if dtype in {"float16", "bfloat16"} else 0.0


def _cast(tensor: LazyTensor, dtype: Any) -> LazyTensor:
    return LazyTensor(
        tensor.shape,
        dtype,
        tensor.place,
        lambda: tensor.read().to(dtype),
        lambda dimension, start, stop: tensor.part(dimension, start, stop).to(dtype),
    )


def total_bytes(tensors: Mapping[str, LazyTensor]) -> int:
    """The size of all tensors together."""
    return sum(tensor.num_bytes for tensor in tensors.values())
