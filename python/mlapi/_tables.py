"""Tables of other packages as Arrow record batches, and predictions as what the table was.

pandas, polars and NumPy are recognised without being imported: whoever passes their tables has imported them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of a batch: enough for all cores, and few enough that answers come while the rest is being sent.
BATCH_ROWS = 32_768

# Rows up to which the time of a prediction is that of its calls, not of its values.
FEW_ROWS = 16

# Types of values whose column is of the same type whatever else is in the table.
SIMPLE = {float, int, bool, str}


def pyarrow() -> Any:
    """The package, or an error that names the remedy."""
    try:
        import pyarrow
        import pyarrow.ipc  # noqa: F401
    except ImportError:
        raise ImportError("predictions in Python need pyarrow: pip install 'mlapi[arrow]'") from None
    return pyarrow


class Form(NamedTuple):
    """How predictions are given back: one column under a name, or several under theirs."""

    column: Callable[[Any, str], Any]
    columns: Callable[[Sequence[Any], Sequence[str]], Any]


def read(data: Any, names: Sequence[str]) -> tuple[Sequence[pa.RecordBatch], Form]:
    """The batches of a table, at least one, and the form of its predictions.

    Columns are chosen by name if all of `names` are there; else all are passed on, so that the program can say what
    is missing. The columns of a NumPy array have these names in their order.
    """
    pa = pyarrow()
    package = type(data).__module__.partition(".")[0]
    if package == "pandas":
        return _pandas(data, names)
    if package == "polars":
        import polars as pl

        frame = data.collect() if isinstance(data, pl.LazyFrame) else data
        if not isinstance(frame, pl.DataFrame):
            raise TypeError(f"a table is expected, not a polars {type(data).__name__}; use a DataFrame")
        form = Form(
            lambda array, name: pl.Series(name, array),
            lambda arrays, labels: pl.DataFrame({label: array for label, array in zip(labels, arrays)}),
        )
        labels = frame.columns
        if names and labels != list(names) and set(names) <= set(labels):
            frame, labels = frame.select(names), list(names)
        kinds = set(frame.dtypes)
        if len(kinds) == 1 and kinds <= {pl.Float32, pl.Float64}:
            # One block of numbers, in which a missing value is NaN.
            return _numpy(frame.to_numpy(), labels), form
        return _batches(frame.to_arrow(), names), form
    if package == "numpy":
        return _numpy(data, names), NUMPY
    if isinstance(data, Mapping):
        raise TypeError("a row is expected in a list: predict([{…}])")
    if isinstance(data, list):
        form = Form(
            lambda array, name: array.tolist(),
            lambda arrays, labels: [dict(zip(labels, map(float, row))) for row in zip(*arrays)],
        )
        if not all(isinstance(row, Mapping) for row in data):
            raise TypeError("the rows of a list are dicts, of a value for each column")
        keys = list(dict.fromkeys(key for row in data for key in row))
        if names and set(names) <= set(keys):
            keys = list(names)
        if len(data) > FEW_ROWS:
            return _dicts(data, keys, names), form
        rows = [tuple(map(row.get, keys)) for row in data]
        return _few_rows(rows, keys, (), lambda: _dicts(data, keys, names)), form
    if not isinstance(data, (pa.Table, pa.RecordBatch)) and hasattr(data, "__arrow_c_stream__"):
        data = pa.table(data)
    if not isinstance(data, (pa.Table, pa.RecordBatch)):
        raise TypeError(
            f"a table is expected, not {type(data).__name__}: a DataFrame of pandas or polars, an Arrow table, "
            "a NumPy array of two dimensions, or a list of dicts"
        )
    form = Form(
        lambda array, name: pa.array(array, from_pandas=False),
        lambda arrays, labels: pa.table([pa.array(array) for array in arrays], names=list(labels)),
    )
    return _batches(data, names), form


def _numpy_columns(arrays: Sequence[Any], labels: Sequence[str]) -> Any:
    import numpy as np

    return np.column_stack(arrays)


NUMPY = Form(lambda array, name: array, _numpy_columns)


def _batches(table: pa.Table | pa.RecordBatch, names: Sequence[str]) -> list[pa.RecordBatch]:
    pa = pyarrow()
    if names and table.column_names != list(names) and set(names) <= set(table.column_names):
        table = table.select(list(names))
    # What pandas would like to know of the table is nothing to the program, and would be another schema.
    table = table.replace_schema_metadata(None)
    if isinstance(table, pa.RecordBatch) and table.num_rows <= BATCH_ROWS:
        return [table]
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    batches: list[Any] = table.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    if not batches:
        batches = [pa.RecordBatch.from_arrays([pa.array([], field.type) for field in table.schema], schema=table.schema)]
    return batches


def _pandas(data: Any, names: Sequence[str]) -> tuple[Sequence[pa.RecordBatch], Form]:
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"a table is expected, not a pandas {type(data).__name__}; data.to_frame() makes one")
    index = data.index
    form = Form(
        lambda array, name: pd.Series(array, index=index, name=name),
        lambda arrays, labels: pd.DataFrame(dict(zip(labels, arrays)), index=index),
    )
    # Each of these lists is made once: for a single row, they are what takes the time.
    labels = data.columns.tolist()
    if names and labels != list(names) and set(names) <= set(labels):
        data, labels = data[list(names)], list(names)
    kinds_of_columns = data.dtypes.tolist()
    kinds = set(kinds_of_columns)
    if len(kinds) == 1 and next(iter(kinds)).kind in "fiub" and data.columns.is_unique:
        # All columns are numbers of one kind: one block, which is cut without asking each column for its type.
        if type(next(iter(kinds))).__module__.startswith("numpy"):
            return _numpy(data.to_numpy(), labels if labels == names else [str(label) for label in labels]), form

    def by_column() -> list[pa.RecordBatch]:
        return _batches(_table({str(label): data[label] for label in labels}), ())

    if len(data) <= FEW_ROWS and data.columns.is_unique and set(map(type, labels)) == {str}:
        rows = list(map(tuple, data.to_numpy(dtype=object).tolist()))
        return _few_rows(rows, labels, kinds_of_columns, by_column), form
    return by_column(), form


def _dicts(data: list[Any], keys: Sequence[Any], names: Sequence[str]) -> list[pa.RecordBatch]:
    pa = pyarrow()
    if keys:
        try:
            batch = pa.RecordBatch.from_struct_array(pa.array(data, from_pandas=True))
            for field in batch.schema:
                _check_truths([row.get(field.name) for row in data], field.type)
            return _batches(batch, names)
        except (pa.ArrowException, TypeError):
            pass  # Column by column, the error has the name of the one that it is about.
    return _batches(_table({str(key): [row.get(key) for row in data] for key in keys}), names)


def _few_rows(
    rows: list[Any], names: Sequence[str], kinds: Sequence[Any], made: Callable[[], list[pa.RecordBatch]]
) -> list[pa.RecordBatch]:
    """The batch of few rows, each a tuple: all columns in one call, because a call for each takes longer than a prediction.

    A column has the type of its values. If it has none, it has the type that it had before, so that tables which lack
    different values are of one schema. `kinds` are those of a DataFrame's columns. What this does not know is `made`.
    """
    pa = pyarrow()
    key = (tuple(names), tuple(kinds))
    last = _last.get(key, (float,) * len(names))
    types = []
    for i, column in enumerate(zip(*rows)):
        if kinds and (kinds[i].kind != "O" or type(kinds[i]).__name__ == "StringDtype"):
            types.append(kinds[i])
            continue
        # Neither None nor NaN is a value.
        found = {type(v) for v in column if v is not None and not (type(v) is float and v != v)}
        if found == {int, float}:
            found = {float}
        if len(found) > 1 or not found <= SIMPLE:
            return made()
        types.append(found.pop() if found else last[i])
    if not types:
        return made()
    if len(_last) >= 64:
        _last.clear()
    _last[key] = tuple(types)
    try:
        return [pa.RecordBatch.from_struct_array(pa.array(rows, type=_row(key[0], tuple(types)), from_pandas=True))]
    except (pa.ArrowException, TypeError, OverflowError):
        return made()


# The types that columns of these names and kinds had last.
_last: dict[Any, tuple[Any, ...]] = {}


@functools.lru_cache(maxsize=64)
def _row(names: tuple[str, ...], types: tuple[Any, ...]) -> pa.DataType:
    """A row of columns of these names, and types of Python, NumPy, or pandas, whose texts are Arrow's large ones."""
    pa = pyarrow()
    simple = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}

    def arrow(kind: Any) -> Any:
        if type(kind).__name__ == "StringDtype":
            return pa.large_string()
        return simple.get(kind) or pa.from_numpy_dtype(kind)

    return pa.struct([(name, arrow(kind)) for name, kind in zip(names, types)])


def _table(columns: Mapping[str, Any]) -> pa.Table | pa.RecordBatch:
    """A table of columns in which NaN is a missing value."""
    pa = pyarrow()
    arrays = []
    for name, values in columns.items():
        try:
            arrays.append(pa.array(values, from_pandas=True))
            if isinstance(values, list) or values.dtype == object:
                _check_truths(values, arrays[-1].type)
        except (pa.ArrowException, TypeError) as error:
            raise TypeError(f'column "{name}": {error}; make its values of one type, such as texts') from None
    if any(isinstance(array, pa.ChunkedArray) for array in arrays):
        return pa.table(arrays, names=list(columns))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _check_truths(values: Any, kind: pa.DataType) -> None:
    """Arrow takes a truth value among numbers for 0 or 1."""
    import numpy as np

    types = pyarrow().types
    if (types.is_floating(kind) or types.is_integer(kind)) and {bool, np.bool_} & set(map(type, values)):
        raise TypeError("a truth value among numbers")


class _Blocks(Sequence["pa.RecordBatch"]):
    """Batches of an array of numbers, made when they are asked for: while one is predicted, the next is made."""

    def __init__(self, data: Any, names: Sequence[str]) -> None:
        self._data = data
        self._names = names
        self._first = self._made(0)

    def __len__(self) -> int:
        return max(-(-len(self._data) // BATCH_ROWS), 1)

    def __getitem__(self, i: Any) -> Any:
        i = range(len(self))[i]
        return self._made(i) if i else self._first

    def _made(self, i: int) -> pa.RecordBatch:
        import numpy as np

        pa = pyarrow()
        columns = np.ascontiguousarray(self._data[i * BATCH_ROWS : (i + 1) * BATCH_ROWS].T)
        # To the program, NaN in a column of numbers is a missing value: there is no need to look for it here.
        values, n_rows = pa.array(columns.ravel()), columns.shape[1]
        arrays = [values.slice(column * n_rows, n_rows) for column in range(len(self._names))]
        return pa.RecordBatch.from_arrays(arrays, names=self._names)


def _numpy(data: Any, names: Sequence[str]) -> Sequence[pa.RecordBatch]:
    """Batches of an array of two dimensions; NaN is a missing value."""
    if data.ndim != 2:
        raise ValueError(f"an array of two dimensions is expected, not {data.ndim}: rows and columns")
    if names and data.shape[1] != len(names):
        raise ValueError(f"{len(names)} columns are expected, not {data.shape[1]}: {', '.join(names)}")
    names = names or [f"column_{i + 1}" for i in range(data.shape[1])]
    if data.dtype.kind in "fiub":
        if 0 < len(data) <= FEW_ROWS and (few := _few(data, names)) is not None:
            return [few]
        return _Blocks(data, names)
    return _batches(_table(dict(zip(names, data.T))), ())


def _few(data: Any, names: Sequence[str]) -> pa.RecordBatch | None:
    """The batch of few rows in three calls instead of three for each column, or None if its values are laid out differently."""
    import numpy as np

    pa = pyarrow()
    layout = _layout(tuple(names), data.dtype, len(data))
    if layout is None:
        return None
    schema, head, padded_rows = layout
    body = np.zeros((len(names), padded_rows), data.dtype)
    body[:, : len(data)] = data.T
    return pa.ipc.read_record_batch(pa.py_buffer(head + body.tobytes()), schema)


@functools.lru_cache(maxsize=64)
def _layout(names: tuple[str, ...], dtype: Any, n_rows: int) -> tuple[pa.Schema, bytes, int] | None:
    """The schema of so many rows of one type without nulls, and their message in Arrow's format up to its body, which is
    one column after the other, each with padding; and the rows of a padded column.

    https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message
    """
    import numpy as np

    pa = pyarrow()
    columns = np.arange(len(names) * n_rows).astype(dtype).reshape(len(names), n_rows)
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=names)
    message = batch.serialize().to_pybytes()
    padded_rows = -(-n_rows * dtype.itemsize // 8) * 8 // dtype.itemsize
    body = np.zeros((len(names), padded_rows), dtype)
    body[:, :n_rows] = columns
    # Not so with booleans, which take a bit.
    if not names or not message.endswith(body.tobytes()):
        return None
    return batch.schema, message[: -body.nbytes], padded_rows
