"""Predictions on Dask, by `map_partitions`.

    import mlapi.dask

    scored = mlapi.dask.predict(frame, "model.mlapi", keep="id")
"""

from __future__ import annotations

import os
from typing import Any

import dask
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from ._engine import Shipped, added_names, kept_names, read_names


def predict(
    frame: dd.DataFrame, model: str | os.PathLike[str], *, keep: str = "all", threads: int = 1
) -> dd.DataFrame:
    """A Dask DataFrame with the predictions of `frame`, computed when Dask asks for them.

    Columns: those that `keep` names (all, none, or names separated by commas), `prediction`, and for classes
    `probability` and one `probability_LABEL` each; partitions and index are those of `frame`. The model goes to the
    workers with the job; they have this package, and each keeps its program running between partitions. A row that does
    not fit fails its task with the program's message.
    """
    shipped = Shipped(model, keep, threads)
    # Nothing else is read from where the rows come from.
    frame = frame[read_names(keep, list(frame.columns), model)]
    return frame.map_partitions(_score, dask.delayed(shipped, pure=True), meta=_score(frame._meta, shipped))


def _score(part: pd.DataFrame, shipped: Any) -> pd.DataFrame:
    kept: pd.DataFrame = part[kept_names(shipped.keep, list(part.columns))]
    scores = shipped.model().score(part)
    names = added_names(list(kept.columns), scores.column_names)[len(kept.columns) :]

    def values(column: pa.ChunkedArray) -> Any:
        return pd.array(column, dtype="string[pyarrow]") if pa.types.is_string(column.type) else column.to_numpy()

    scored: pd.DataFrame = kept.assign(**dict(zip(names, map(values, scores.columns))))
    return scored
