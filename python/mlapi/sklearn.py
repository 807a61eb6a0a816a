"""scikit-learn estimators that train with mlapi: `MlapiClassifier` and `MlapiRegressor`.

They clone, pickle, cross-validate and stand in pipelines as any other. A fitted one holds its model file, which `save`
writes for `mlapi serve`.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from . import _tables
from ._child import run
from ._model import Model

TARGET = "target"
WEIGHT = "weight"
DATA = "rows.parquet"

# The running programs of fitted estimators, and the folders of their files. Not attributes, because to predict must not
# change an estimator.
_opened: weakref.WeakKeyDictionary[_Mlapi, tuple[Model, tempfile.TemporaryDirectory[str]]] = (
    weakref.WeakKeyDictionary()
)


class _Mlapi(BaseEstimator):
    """What both estimators share: a table is written, `mlapi train` reads it, and its model file is kept."""

    model_bytes_: bytes
    columns_: list[str]

    def __init__(
        self,
        algorithm: str = "auto",
        *,
        settings: Mapping[str, Any] | None = None,
        metric: str | None = None,
        test_size: float | None = None,
        random_state: Any = 42,
        threads: int | None = None,
        program: str | None = None,
    ) -> None:
        self.algorithm = algorithm
        self.settings = settings
        self.metric = metric
        self.test_size = test_size
        self.random_state = random_state
        self.threads = threads
        self.program = program

    def _arguments(self) -> list[str]:
        return []

    def _train(self, rows: tuple[Sequence[pa.RecordBatch], list[str | None]], y: Any, weights: Any, task: str) -> None:
        batches, types = rows
        table = pa.Table.from_batches(batches)
        target, weight = TARGET, WEIGHT
        while target in table.column_names:
            target += "_"
        while weight in table.column_names:
            weight += "_"
        arguments = ["--task", task, "--target", target, "--algorithm", self.algorithm, "--quiet", "--color", "never"]
        for name, kind in zip(table.column_names, types):
            if kind is not None:
                arguments += ["--type", f"{name}={kind}"]
        if weights is not None:
            table = table.append_column(weight, pa.array(_check_sample_weight(weights, y)))
            arguments += ["--weight", weight]
        table = table.append_column(target, pa.array(y))
        for key, value in (self.settings or {}).items():
            arguments += ["--set", f"{key}={_setting(value)}"]
        if self.metric is not None:
            arguments += ["--metric", self.metric]
        if self.threads is not None:
            arguments += ["--threads", str(self.threads)]
        # An int is the seed itself, so that the command line gives the same model.
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(2**31)
        arguments += ["--seed", str(seed), *self._arguments()]
        with tempfile.TemporaryDirectory(prefix="mlapi-") as folder:
            # Names without the folder, because the card keeps them: the same rows give the same bytes.
            pyarrow.parquet.write_table(table, os.path.join(folder, DATA), compression="snappy")
            if self.test_size is None:
                arguments += ["--test", DATA]
            else:
                arguments += ["--test-size", repr(float(self.test_size)), "--refit"]
            run(["train", DATA, "--output", "model.mlapi", *arguments], self.program, folder)
            with open(os.path.join(folder, "model.mlapi"), "rb") as file:
                self.model_bytes_ = file.read()
        _opened.pop(self, None)

    def _rows(self, X: Any, y: Any) -> tuple[tuple[Sequence[pa.RecordBatch], list[str | None]], Any]:
        """The rows and the targets of training."""
        if y is None:
            name = type(self).__name__
            raise ValueError(f"This {name} estimator requires y to be passed, but the target y is None.")
        rows = self._read(X, reset=True)
        y = column_or_1d(np.asarray(y), warn=True)
        check_consistent_length(X, y)
        return rows, y

    def _read(self, X: Any, *, reset: bool) -> tuple[Sequence[pa.RecordBatch], list[str | None]]:
        """The rows, and the type of each column if its dtype tells."""
        if _is_table(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            names = [] if reset else self._model().features
            batches, _ = _tables.read(X, [] if reset else [n for n in self.columns_ if n in names] or self.columns_)
            schema = batches[0].schema
            if reset:
                self.columns_ = list(schema.names)
                if batches[0].num_rows == 0:
                    raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
            return batches, [_column_type(field.type) for field in schema]
        X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan")
        if reset:
            self.columns_ = [f"x{i}" for i in range(X.shape[1])]
        return _tables._numpy(X, self.columns_), ["number"] * X.shape[1]

    def _model(self) -> Model:
        """The model that predicts; its file is written when it is first needed, and again after unpickling."""
        opened = _opened.get(self)
        if opened is None:
            folder = tempfile.TemporaryDirectory(prefix="mlapi-")
            path = os.path.join(folder.name, "model.mlapi")
            self.save(path)
            opened = _opened[self] = (Model(path, threads=self.threads, program=self.program), folder)
        return opened[0]

    def _answers(self, X: Any) -> list[pa.RecordBatch]:
        check_is_fitted(self, "model_bytes_")
        batches, _ = self._read(X, reset=False)
        return self._model()._ask(batches)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file."""
        check_is_fitted(self, "model_bytes_")
        with open(path, "wb") as file:
            file.write(self.model_bytes_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class MlapiClassifier(ClassifierMixin, _Mlapi):
    """A classifier trained by mlapi.

    Parameters
    ----------
    algorithm     as `mlapi train --algorithm`; "auto" compares several by cross-validation
    settings      hyperparameters under scikit-learn's names, such as {"n_estimators": 300}
    metric        what "auto" chooses by; log loss by default
    calibrate     "auto", "none", "sigmoid", "isotonic" or "temperature"
    class_weight  "balanced" gives every class the same total weight; a dict gives the weight of each class
    test_size     share of the rows held out for the figures in the model file, which is then fitted again on all rows;
                  None trains on all rows at once, and the figures are those of the training rows
    random_state  seed of all random choices
    threads       number of threads; all cores by default
    program       path of the program mlapi

    X is an array of numbers, or a DataFrame of pandas or polars or an Arrow table with columns of numbers, booleans,
    categories, dates and texts. NaN and None are missing values.

    Attributes
    ----------
    classes_      the labels, sorted
    model_bytes_  the model file
    """

    def __init__(
        self,
        algorithm: str = "auto",
        *,
        settings: Mapping[str, Any] | None = None,
        metric: str | None = None,
        calibrate: str | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        test_size: float | None = None,
        random_state: Any = 42,
        threads: int | None = None,
        program: str | None = None,
    ) -> None:
        super().__init__(
            algorithm,
            settings=settings,
            metric=metric,
            test_size=test_size,
            random_state=random_state,
            threads=threads,
            program=program,
        )
        self.calibrate = calibrate
        self.class_weight = class_weight

    def _arguments(self) -> list[str]:
        arguments = [] if self.calibrate is None else ["--calibrate", self.calibrate]
        return arguments + (["--balance"] if self.class_weight == "balanced" else [])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MlapiClassifier:
        """Trains on rows X with labels y. Raises ValueError with the program's message if that is not possible."""
        rows, y = self._rows(X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only, {self.classes_[0]!r}; a classifier needs two classes or more")
        weights = sample_weight
        if isinstance(self.class_weight, Mapping):
            weights = _check_sample_weight(weights, y) * compute_sample_weight(dict(self.class_weight), y)
        for texts in (_label_texts(self.classes_), _numbered(self.classes_)):
            self._train(rows, np.array(texts, dtype=object)[codes], weights, "classification")
            order = {text: i for i, text in enumerate(texts)}
            labels = [str(label) for label in self._model().classes_]
            if order.keys() >= set(labels):
                break
        self._order = [order[label] for label in labels]
        return self

    def predict(self, X: Any) -> Any:
        """The label of each row, as an array."""
        answers = self._answers(X)
        order = {str(label): i for label, i in zip(self._model().classes_, self._order)}
        texts = pa.chunked_array([answer.column("prediction") for answer in answers]).to_pylist()
        return self.classes_[np.array([order[text] for text in texts], dtype=np.intp)]

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class of `classes_`, as an array of rows × classes."""
        answers = self._answers(X)
        proba = np.zeros((sum(answer.num_rows for answer in answers), len(self.classes_)))
        for label, i in zip(self._model().classes_, self._order):
            column = [answer.column(f"probability_{label}") for answer in answers]
            proba[:, i] = pa.chunked_array(column).to_numpy()
        return proba


class MlapiRegressor(RegressorMixin, _Mlapi):
    """A regressor trained by mlapi. Parameters, X and `model_bytes_` are those of `MlapiClassifier`; `metric` is the
    root mean squared error by default.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MlapiRegressor:
        """Trains on rows X with numbers y. Raises ValueError with the program's message if that is not possible."""
        rows, y = self._rows(X, y)
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y").astype(float)
        self._train(rows, y, sample_weight, "regression")
        return self

    def predict(self, X: Any) -> Any:
        """The number predicted for each row, as an array."""
        answers = self._answers(X)
        return pa.chunked_array([answer.column("prediction") for answer in answers]).to_numpy()


def _is_table(X: Any) -> bool:
    package = type(X).__module__.partition(".")[0]
    return package in ("pandas", "polars", "pyarrow") and hasattr(X, "shape") and len(X.shape) == 2


# Words that a column of labels may hold for a missing value, or that are read as a truth value.
WORDS = set(
    "na n/a nan null none nil n.a n.a. n/k nk n/d nd n.d. missing unknown true false on off t f y n".split()
    + ["no data", "not available", "not applicable", "not known"]
)


def _label_texts(classes: Any) -> list[str]:
    """The labels as they stand in the model file: as texts if each is certain to be read as itself, else numbered."""
    if classes.dtype.kind in "iub":
        return [str(label) for label in classes.tolist()]
    texts = [str(label) for label in classes]
    plain = all(
        text[:1].isalpha() and text.isprintable() and text == text.strip() and text.lower() not in WORDS for text in texts
    )
    return texts if plain and len(set(texts)) == len(texts) else _numbered(classes)


def _numbered(classes: Any) -> list[str]:
    return [f"class {i}" for i in range(len(classes))]


def _column_type(kind: pa.DataType) -> str | None:
    """The type that a column has whatever its values are; None where they decide, as between category and text."""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "date"
    return "category" if pa.types.is_dictionary(kind) else None


def _setting(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_setting, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
