"""Predictions on Ray Data, by `map_batches`.

    import mlapi.ray

    scored = mlapi.ray.predict(dataset, "model.mlapi", keep="id")
"""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import ray
from ray.data import Dataset

from ._engine import Shipped


def predict(
    dataset: Dataset,
    model: str | os.PathLike[str],
    *,
    keep: str = "all",
    batch_size: int | None = None,
    threads: int = 1,
    **options: Any,
) -> Dataset:
    """A dataset with the predictions of `dataset`, computed when Ray asks for them.

    Columns: those that `keep` names (all, none, or names separated by commas), `prediction`, and for classes
    `probability` and one `probability_LABEL` each. The model goes to the workers with the job; they have this package
    (`runtime_env={"pip": ["mlapi[arrow]"]}`), and each keeps its program running between batches. Further options are
    those of `map_batches`. A row that does not fit fails its task with the program's message.
    """
    shipped = ray.put(Shipped(model, keep, threads))

    def score(table: pa.Table) -> pa.Table:
        return ray.get(shipped).score(table)

    options.setdefault("zero_copy_batch", True)
    return dataset.map_batches(score, batch_format="pyarrow", batch_size=batch_size, **options)
