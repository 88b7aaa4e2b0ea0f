"""Tables in memory as inputs: their identity, and a stream of their rows that is safe to read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata.errors import CorruptDataError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Table(NamedTuple):
    """A table as the core takes it.

    `kind` says what identifies it: a hash of its rows for a `table`, the fingerprint in its label for a `dataset`, and
    for a `stream`, which can be read only once, its rows after they have been read.
    """

    label: str
    rows: Any
    kind: str


def table_of(inputs: Any) -> Table | None:
    """A table from a `datasets.Dataset` or an object with `__arrow_c_stream__`; None for anything else."""
    if _is_dataset(inputs):
        facts = f"{len(inputs)} rows, {inputs.features}, {getattr(inputs, '_fingerprint', '')}"
        return Table(_label("dataset", facts), _dataset_stream(inputs), "dataset")
    if not hasattr(inputs, "__arrow_c_stream__"):
        return None
    facts = f"{getattr(inputs, 'num_rows', '?')} rows, {getattr(inputs, 'schema', '')}"
    # An object with a length keeps its rows; one without yields them only once.
    can_repeat = hasattr(inputs, "num_rows") or hasattr(inputs, "__len__")
    rows = _Validated(inputs) if _is_of_pyarrow(inputs) else inputs
    return Table(_label("arrow", facts), rows, "table" if can_repeat else "stream")


def column_names(inputs: Any) -> list[str] | None:
    """Column names of a table in memory, empty if unknown; None for anything else."""
    if not _is_dataset(inputs) and not hasattr(inputs, "__arrow_c_stream__"):
        return None
    with contextlib.suppress(UnicodeDecodeError):
        for found in (
            getattr(inputs, "column_names", None),
            getattr(getattr(inputs, "schema", None), "names", None),
            getattr(inputs, "columns", None),
        ):
            if isinstance(found, Iterable) and all(isinstance(name, str) for name in found):
                return list(found)
    return []


def check_array(values: Any) -> None:
    """Validates a pyarrow array with all its buffers, whose sizes the C interface does not pass on.

    Raises:
        ValueError: Damaged offsets, indices or UTF-8.
    """
    if _is_of_pyarrow(values) and hasattr(values, "validate"):
        values.validate(full=True)


class _Validated:
    """Rows of a pyarrow table, each batch validated before it is passed on."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow as pa

        # Validate before the C interface: it does not pass on buffer sizes, so offsets could not be checked later.
        table = self._table
        _check_names(table.schema)
        batches = [table] if isinstance(table, pa.RecordBatch) else getattr(table, "to_batches", lambda: table)()
        checked = pa.RecordBatchReader.from_batches(table.schema, _checked(batches))
        return checked.__arrow_c_stream__(requested_schema)


def _check_names(fields: Any) -> None:
    """Rejects column names, at any depth, that are not UTF-8: the reader of the C interface cannot."""
    for field in fields:
        try:
            _ = field.name
        except UnicodeDecodeError as error:
            raise CorruptDataError(f"schema: expected column names in UTF-8, found {error.object!r}") from None
        inner = field.type
        _check_names([inner.field(number) for number in range(inner.num_fields)])


def _checked(batches: Any) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)
        yield batch


def _is_dataset(inputs: Any) -> bool:
    return hasattr(inputs, "with_format") and hasattr(inputs, "features") and hasattr(inputs, "num_rows")


def _is_of_pyarrow(inputs: Any) -> bool:
    return "pyarrow" in sys.modules and type(inputs).__module__.split(".")[0] == "pyarrow"


def _label(kind: str, facts: str) -> str:
    import hashlib

    return f"<{kind} {hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()}>"


def _dataset_stream(dataset: Any) -> Any:
    """A `datasets.Dataset` as an Arrow stream, in the order of the dataset (after `select` and `shuffle`)."""
    import pyarrow as pa

    def batches() -> Iterator[Any]:
        for table in dataset.with_format("arrow").iter(batch_size=1000):
            yield from _checked(table.to_batches())

    return pa.RecordBatchReader.from_batches(dataset.features.arrow_schema, batches())
