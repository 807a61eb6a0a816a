"""Predictions from mlapi model files, in Python.

    import mlapi

    model = mlapi.load("model.mlapi")
    model.predict(table)          # pandas, polars, Arrow, NumPy, or a list of dicts
    model.predict_proba(table)

The program `mlapi` does the work in a child process; rows and predictions travel as Arrow record batches. There is no
server, and no model is ever unpickled. `MlapiClassifier` and `MlapiRegressor` are scikit-learn estimators that train
with it; `mlapi.spark`, `mlapi.ray` and `mlapi.dask` score the tables of these engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._child import MlapiError, find_program
from ._model import Model, load

if TYPE_CHECKING:
    from .sklearn import MlapiClassifier, MlapiRegressor

__all__ = ["MlapiClassifier", "MlapiError", "MlapiRegressor", "Model", "find_program", "load"]


def __getattr__(name: str) -> Any:
    # scikit-learn is imported by those who use it.
    if name in ("MlapiClassifier", "MlapiRegressor"):
        from . import sklearn

        return getattr(sklearn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
