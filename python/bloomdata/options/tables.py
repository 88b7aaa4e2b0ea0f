"""Tables in memory as inputs: their identity, and a stream of their rows that is safe to read.

A `datasets.Dataset` gives the values that it shows: of its columns, those that `set_format` chose; with a transform of
`with_transform`, the rows that the transform makes. Formats such as `torch` are other containers of the same values.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from bloomdata.errors import ConfigError, CorruptDataError
from bloomdata.options.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator


class Table(NamedTuple):
    """A table as the core takes it.

    `kind` says what identifies it: a hash of its rows for a `table`, the fingerprint in its label for a `dataset`, and
    for a `stream`, which can be read only once, its rows after they have been read. `columns` are their names, as far
    as they are known.
    """

    label: str
    rows: Any
    kind: str
    columns: list[str]


def table_of(inputs: Any) -> Table | None:
    """A table from a dataset, an object with `__arrow_c_stream__`, or dictionaries; None for anything else.

    Raises:
        ConfigError: Splits of which one must be chosen, or rows that are no dictionaries.
    """
    if _is_dataset(inputs):
        return _dataset(inputs)
    if hasattr(inputs, "__arrow_c_stream__"):
        return _arrow(inputs)
    if isinstance(inputs, Mapping):
        if splits := [str(name) for name, part in inputs.items() if _is_dataset(part) or _is_streamed(part)]:
            raise ConfigError(
                f"inputs: expected one dataset, got a {type(inputs).__name__} with the splits {splits}: name one of "
                f"them, such as data[{splits[0]!r}]"
            )
        return None
    if _is_streamed(inputs):
        facts = f"{inputs.features}, {getattr(inputs, '_fingerprint', '')}"
        names = getattr(inputs, "column_names", None)
        return Table(_label("stream of rows", facts), Rows(inputs), "stream", list(names or []))
    return None


def table_of_rows(first: Any, rows: Iterable[Any], *, can_repeat: bool) -> Table:
    """A table from dictionaries, of which `first` is the first; None if there is none."""
    if first is not None and not isinstance(first, Mapping):
        raise ConfigError(f"inputs: expected paths or dictionaries, got an iterable of {type(first).__name__}")
    facts = f"{len(rows)} rows" if can_repeat and isinstance(rows, (list, tuple)) else "rows"
    columns = [key for key in first or {} if isinstance(key, str)]
    return Table(_label("rows", f"{facts}, {columns}"), Rows(rows), "table" if can_repeat else "stream", columns)


def table_of_iterable(inputs: Any) -> Table | list[Any] | None:
    """A table from any other iterable of dictionaries, or its paths as a list; None for what cannot be iterated.

    What can be iterated once only, such as a generator, is a `stream`: a run over it cannot be resumed.
    """
    if isinstance(inputs, (bytes, bytearray, Mapping, set, frozenset)) or not isinstance(inputs, Iterable):
        return None
    iterator = iter(inputs)
    first = next(iterator, None)
    if isinstance(inputs, (list, tuple)):
        return table_of_rows(first, inputs, can_repeat=True)
    rest: Iterable[Any] = iterator if first is None else chain([first], iterator)
    if first is None or isinstance(first, Mapping):
        return table_of_rows(first, rest, can_repeat=False)
    return list(rest)


def _arrow(inputs: Any) -> Table:
    facts = f"{getattr(inputs, 'num_rows', '?')} rows, {getattr(inputs, 'schema', '')}"
    # An object with a length keeps its rows; one without yields them only once.
    can_repeat = hasattr(inputs, "num_rows") or hasattr(inputs, "__len__")
    rows = _Validated(inputs) if _is_of_pyarrow(inputs) else inputs
    return Table(_label("arrow", facts), rows, "table" if can_repeat else "stream", _column_names(inputs))


def _dataset(dataset: Any) -> Table:
    shown = dict(getattr(dataset, "format", None) or {})
    facts = f"{len(dataset)} rows, {dataset.features}, {getattr(dataset, '_fingerprint', '')}"
    if shown.get("type") == "custom":
        # What a transform makes is known only when it has run, and may differ each time.
        return Table(_label("dataset with a transform", facts), Rows(dataset), "stream", [])
    columns = list(shown.get("columns") or dataset.column_names)
    if columns != list(dataset.column_names) and not shown.get("output_all_columns"):
        dataset = dataset.select_columns(columns)
        facts += f", columns {columns}"
    return Table(_label("dataset", facts), _dataset_stream(dataset), "dataset", columns)


def _column_names(inputs: Any) -> list[str]:
    """Column names of a table in memory, empty if unknown."""
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


def _is_streamed(inputs: Any) -> bool:
    """Whether it is a `datasets.IterableDataset`."""
    return hasattr(inputs, "features") and hasattr(inputs, "take") and not hasattr(inputs, "num_rows")


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
