"""Parts of tensors for ranks of tensor parallelism, and tensors of such parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from bloomdata.convert.tensors import LazyTensor, bytes_of, import_torch
from bloomdata.errors import ConfigError, CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    VocabPadding = Literal["repeat", "zeros"]

_PADDINGS = ("repeat", "zeros")


def pad_rows(tensor: LazyTensor, num_rows: int, vocab_padding: VocabPadding) -> LazyTensor:
    """A tensor with more rows.

    Args:
        tensor: The tensor.
        num_rows: Rows of the result.
        vocab_padding: `repeat` puts the last `n` rows once more behind it, where `n` rows are missing, as AscendSpeed
            does; `zeros` puts zeros.

    Raises:
        ConfigError: There is no padding of that name.
    """
    if vocab_padding not in _PADDINGS:
        raise ConfigError(f"vocab_padding: expected one of {', '.join(_PADDINGS)}, got {vocab_padding!r}")
    real = tensor.shape[0]
    if num_rows == real:
        return tensor

    def part(dimension: int, start: int, stop: int) -> Tensor:
        torch = import_torch()
        if dimension != 0:
            return part(0, 0, num_rows).narrow(dimension, start, stop - start).clone()
        rows = torch.zeros((stop - start, *tensor.shape[1:]), dtype=tensor.dtype)
        if start < real:
            last = min(stop, real)
            rows[: last - start] = tensor.part(0, start, last)
        if vocab_padding == "repeat":
            row = max(start, real)
            while row < stop:
                # With more missing rows than there are, around again.
                origin = (row - (num_rows - real)) % real
                count = min(stop - row, real - origin)
                rows[row - start : row - start + count] = tensor.part(0, origin, origin + count)
                row += count
        return rows

    return LazyTensor((num_rows, *tensor.shape[1:]), tensor.dtype, tensor.place, lambda: part(0, 0, num_rows), part)


def split(tensor: LazyTensor, dimension: int | None, rank: int, ranks: int) -> LazyTensor:
    """The part of a rank, all of it for None."""
    if dimension is None or ranks == 1:
        return tensor
    size, rest = divmod(tensor.shape[dimension], ranks)
    if rest:
        raise ConfigError(
            f"tensor_parallel: {tensor.place}: expected a divisor of {tensor.shape[dimension]}, got {ranks}"
        )
    start = rank * size
    return cut(tensor, dimension, start, start + size)


def cut(tensor: LazyTensor, dimension: int, start: int, stop: int) -> LazyTensor:
    """A part of a tensor."""
    shape = (*tensor.shape[:dimension], stop - start, *tensor.shape[dimension + 1 :])

    def part(other: int, first: int, last: int) -> Tensor:
        if other == dimension:
            return tensor.part(dimension, start + first, start + last)
        return tensor.part(dimension, start, stop).narrow(other, first, last - first).clone()

    return LazyTensor(shape, tensor.dtype, tensor.place, lambda: tensor.part(dimension, start, stop), part)


def join(parts: Sequence[LazyTensor], dimension: int) -> LazyTensor:
    """The parts of all ranks, one after the other.

    Raises:
        CorruptDataError: A part has another shape or type than the first.
    """
    first = parts[0]
    _check_equal(parts)
    size = first.shape[dimension]
    shape = (*first.shape[:dimension], size * len(parts), *first.shape[dimension + 1 :])

    def read_part(other: int, start: int, stop: int) -> Tensor:
        torch = import_torch()
        result = torch.empty((*shape[:other], stop - start, *shape[other + 1 :]), dtype=first.dtype)
        for number, piece in enumerate(parts):
            begin = number * size
            if other == dimension:
                low, high = max(start, begin), min(stop, begin + size)
                if low < high:
                    result.narrow(dimension, low - start, high - low).copy_(
                        piece.part(dimension, low - begin, high - begin)
                    )
            else:
                result.narrow(dimension, begin, size).copy_(piece.part(other, start, stop))
        return result

    return LazyTensor(shape, first.dtype, first.place, lambda: read_part(dimension, 0, shape[dimension]), read_part)


def average(name: str, parts: Sequence[LazyTensor], drift: dict[str, float]) -> LazyTensor:
    """A replicated tensor: that of the first rank, or the mean of all if they have drifted apart.

    Args:
        name: Its name.
        parts: The copies of all ranks.
        drift: Gets the largest difference between two ranks when the tensor is read, if there is one.

    Raises:
        CorruptDataError: A copy has another shape or type than the first.
    """
    first = parts[0]
    _check_equal(parts)

    def read() -> Tensor:
        torch = import_torch()
        tensor = first.read()
        others = [part.read() for part in parts[1:]]
        if all(bytes_of(other) == bytes_of(tensor) for other in others):
            return tensor
        wide = torch.stack([tensor, *others]).to(torch.float64)
        drift[name] = float((wide.amax(0) - wide.amin(0)).max())
        return wide.mean(0).to(first.dtype)

    return LazyTensor(first.shape, first.dtype, first.place, read)


def _check_equal(parts: Sequence[LazyTensor]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.shape != first.shape or part.dtype != first.dtype:
            raise CorruptDataError(f"{part.place}: expected {_words(first)} as in {first.place}, found {_words(part)}")


def _words(tensor: LazyTensor) -> str:
    kind: Any = tensor.dtype
    return f"{kind} {list(tensor.shape)}"
