"""What the engines have in common: a model that travels to the workers, and the columns of its answers."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from ._child import Child, options
from ._model import Model
from ._tables import pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

# The models of this worker, by the digest of their files and the settings.
_opened: dict[tuple[str, str], Model] = {}
_lock = threading.Lock()


@functools.cache
def _folder() -> str:
    """A folder of this process, which a fork of it leaves alone."""
    path, process = tempfile.mkdtemp(prefix="mlapi-"), os.getpid()

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return path


class Shipped:
    """A model file as bytes, for workers that share no folder with the one who sends it.

    A worker writes it once, and keeps the program running between its tasks.
    """

    def __init__(self, path: str | os.PathLike[str], keep: str, threads: int | None) -> None:
        with open(path, "rb") as file:
            self.content = file.read()
        self.digest = hashlib.sha256(self.content).hexdigest()
        self.keep = keep
        self.threads = threads

    def model(self) -> Model:
        """The model in this worker."""
        key = (self.digest, repr(self.threads))
        with _lock:
            if key not in _opened:
                path = os.path.join(_folder(), f"{self.digest}.mlapi")
                with open(path, "wb") as file:
                    file.write(self.content)
                _opened[key] = Model(path, threads=self.threads)
            return _opened[key]

    def score(self, table: pa.Table) -> pa.Table:
        """The table of predictions, beside the columns to keep."""
        pa = pyarrow()
        kept = kept_names(self.keep, table.column_names)
        scores = self.model().score(table)
        columns = [table.column(name) for name in kept] + scores.columns
        return pa.table(columns, names=added_names(kept, scores.column_names))


def kept_names(keep: str, names: list[str]) -> list[str]:
    """The columns to repeat: all, none, or those that are named."""
    if keep in ("all", "none"):
        return list(names) if keep == "all" else []
    return [name.strip() for name in keep.split(",")]


def read_names(keep: str, names: list[str], model: str | os.PathLike[str]) -> list[str]:
    """The columns that are read: those to keep and the features. All columns if one of these is missing, so that the program
    says so."""
    features, kept = Model(os.fspath(model)).features, kept_names(keep, names)
    if not set(features) <= set(names) or not set(kept) <= set(names):
        return names
    wanted = {*features, *kept}
    return [name for name in names if name in wanted]


def added_names(kept: list[str], added: list[str]) -> list[str]:
    """The names of the columns; an added one that is called as a kept one gets a number, as in the program."""
    names = list(kept)
    for name in added:
        free, n = name, 0
        while free in names:
            n += 1
            free = f"{name}_{n}"
        names.append(free)
    return names


def output_schema(schema: pa.Schema, model: str, keep: str) -> pa.Schema:
    """The columns that the program answers rows of `schema` with."""
    pa = pyarrow()
    classifies = Model(model).task == "classification"
    empty = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    child = Child(options(model, keep=keep, probabilities=classifies))
    (answer,) = child.answers([empty])
    return answer.schema
