"""A model file whose predictions are asked for from Python."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _tables
from ._child import Child, MlapiError, options, run

if TYPE_CHECKING:
    import pyarrow as pa

# Programs kept running, one for each schema that tables have.
KEPT = 4

# Programs of the process that this one was forked from. They are kept, because to let go of them would end them.
_of_the_parent: list[Child] = []


class Model:
    """A model file. Made by `mlapi.load`.

    task        "classification" or "regression"
    algorithm   its name, as `mlapi train --algorithm` takes it
    target      the predicted column
    features    the names of the columns it needs
    classes_    the labels in the order of `predict_proba`: whole numbers or texts; empty in regression
    info        everything that `mlapi inspect --format json` prints: schema, metrics, importances, card

    The first prediction starts the program, which then waits for the next one; `close`, or the end of a `with` block,
    ends it. A model may be used from several threads, which take turns, after a fork, and pickled by its path.
    """

    def __init__(
        self,
        path: str,
        *,
        lenient: bool = False,
        threshold: float | None = None,
        threads: int | None = None,
        program: str | None = None,
    ) -> None:
        self.path = path
        self._settings: dict[str, Any] = {"lenient": lenient, "threshold": threshold, "threads": threads}
        self._program = program
        self._lock = threading.Lock()
        self._children: list[tuple[pa.Schema, Child]] = []
        self._process = os.getpid()
        self.info: dict[str, Any] = json.loads(run(["inspect", "--model", path, "--format", "json"], program))
        self.task: str = self.info["task"]
        self.algorithm: str = self.info["algorithm"]
        self.target: str = self.info["target"]
        self.features: list[str] = [feature["name"] for feature in self.info["schema"]["features"]]
        self.classes_: list[Any] = list(self.info.get("labels") or [])
        self._by_text = {_text(label): label for label in self.classes_}

    def predict(self, data: Any) -> Any:
        """The label or number predicted for each row.

        `data` is a DataFrame of pandas or polars, an Arrow table or record batch, a NumPy array of two dimensions with
        the columns of `features`, or a list of dicts. The answer is a Series, an Arrow array, a NumPy array or a list
        accordingly, with the index of a pandas DataFrame. Missing values and unseen categories are predicted. Raises
        MlapiError if a column is missing or a value has the wrong type, and says which.
        """
        batches, form = _tables.read(data, self.features)
        answers = self._ask(batches)
        if self.task == "regression":
            values = _joined([answer.column("prediction") for answer in answers])
        else:
            values = self._labels([answer.column("prediction") for answer in answers])
        return form.column(values, "prediction")

    def predict_proba(self, data: Any) -> Any:
        """The probability of each class for each row, in the order of `classes_`.

        The answer is a DataFrame, an Arrow table, a NumPy array of rows × classes or a list of dicts, as `data` is; its
        columns are named after the labels. Raises TypeError for a regression, and MlapiError as `predict` does.
        """
        if self.task == "regression":
            raise TypeError(f"{self.path} predicts numbers, which have no probabilities; use predict")
        batches, form = _tables.read(data, self.features)
        answers = self._ask(batches)
        texts = [_text(label) for label in self.classes_]
        columns = [_joined([answer.column(f"probability_{text}") for answer in answers]) for text in texts]
        return form.columns(columns, texts)

    def score(self, data: Any) -> pa.Table:
        """Everything that is predicted for each row, as an Arrow table.

        Columns: `prediction`; for classes also `probability`, that of the predicted class, and one `probability_LABEL`
        each. Labels are texts. Raises MlapiError as `predict` does.
        """
        pa = _tables.pyarrow()
        batches, _ = _tables.read(data, self.features)
        return pa.Table.from_batches(self._ask(batches))

    def score_batches(self, batches: Iterable[pa.RecordBatch], *, keep: str = "none") -> Iterator[pa.RecordBatch]:
        """Scores a stream of record batches of one schema in constant memory; one answer for each, in order.

        `keep` names columns to repeat, separated by commas, or is "all" or "none". The stream has a program of its own.
        """
        _tables.pyarrow()
        return self._start(keep).answers(batches)

    def close(self) -> None:
        """Ends the program. The next prediction starts it again."""
        with self._lock:
            self._after_fork()
            while self._children:
                self._children.pop()[1].kill()

    def _start(self, keep: str) -> Child:
        classifies = self.task == "classification"
        return Child(options(self.path, keep=keep, probabilities=classifies, **self._settings), self._program)

    def _ask(self, batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        schema = batches[0].schema
        with self._lock:
            self._after_fork()
            # To compare schemas is much quicker than to hash them. The one that was used last is the first.
            for i, (known, child) in enumerate(self._children):
                if known.equals(schema):
                    del self._children[i]
                    try:
                        answers = child.exchange(batches)
                    except MlapiError:
                        # Rows of earlier tables are counted in its message, or it was killed from outside. A new one
                        # gives the answers, or the message with the row of this table.
                        break
                    self._children.insert(0, (schema, child))
                    return answers
            child = self._start("none")
            answers = child.exchange(batches)
            self._children.insert(0, (schema, child))
            while len(self._children) > KEPT:
                self._children.pop()[1].kill()
            return answers

    def _after_fork(self) -> None:
        if self._process != os.getpid():
            _of_the_parent.extend(child for _, child in self._children)
            self._children.clear()
            self._process = os.getpid()

    def _labels(self, columns: list[Any]) -> Any:
        """The labels of texts, which are encoded first unless there are few rows: there are few labels."""
        pa = _tables.pyarrow()
        if len(columns) == 1 and len(columns[0]) <= _tables.FEW_ROWS:
            return _array([self._by_text.get(text, text) for text in columns[0].to_pylist()])
        encoded = pa.chunked_array(columns).combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        values = _array([self._by_text.get(text, text) for text in encoded.dictionary.to_pylist()])
        return values[encoded.indices.to_numpy(zero_copy_only=False)] if len(values) else values

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_process", None) == os.getpid():
            for _, child in self._children:
                child.kill()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "settings": {**self._settings, "program": self._program}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], **state["settings"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<mlapi.Model {self.path}: {self.algorithm} predicting {self.target}>"


def load(
    path: str | os.PathLike[str],
    *,
    lenient: bool = False,
    threshold: float | None = None,
    threads: int | None = None,
    program: str | None = None,
) -> Model:
    """Opens a model file.

    lenient     missing columns and values of the wrong type are missing values instead of errors
    threshold   predict the second of two classes if its probability is at least this
    threads     the number of threads; all cores by default
    program     the path of the program mlapi; by default the one that was installed with this package

    Raises MlapiError if the file is not there or is no model file.
    """
    return Model(os.fspath(path), lenient=lenient, threshold=threshold, threads=threads, program=program)


def _text(label: Any) -> str:
    return label if isinstance(label, str) else json.dumps(label)


def _array(labels: list[Any]) -> Any:
    import numpy as np

    whole = bool(labels) and all(isinstance(label, int) for label in labels)
    return np.array(labels, dtype=np.int64 if whole else object)


def _joined(columns: list[Any]) -> Any:
    import numpy as np

    arrays = [column.to_numpy(zero_copy_only=False) for column in columns]
    # A copy, because what lies in an Arrow buffer cannot be written to.
    return np.concatenate(arrays)
