"""Predictions on Apache Spark, by `mapInArrow` with one program for each partition.

    import mlapi.spark

    scored = mlapi.spark.predict(frame, "model.mlapi", keep="id")
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import pyarrow as pa
from pyspark import SparkContext, SparkFiles, cloudpickle
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import StructType

from . import _child, _engine


def predict(
    frame: DataFrame, model: str, *, keep: str = "all", threads: int = 1, program: str | None = None
) -> DataFrame:
    """A DataFrame with the predictions of `frame`, computed when Spark asks for them.

    Columns: those that `keep` names (all, none, or names separated by commas), `prediction`, and for classes
    `probability` and one `probability_LABEL` each. The model and the program go to the workers with the job, which
    need nothing but Python and pyarrow; `threads` is that of each task. `program` is one that runs on the workers; by
    default the one installed here. A row that does not fit fails its task with the program's message.
    """
    program = program or _child.find_program()
    context = frame.sparkSession.sparkContext
    # This module travels with the job.
    cloudpickle.register_pickle_by_value(_child)
    arguments = (_ship(context, model), _ship(context, program), keep, threads)
    # Nothing else is read from where the rows come from.
    names = _engine.read_names(keep, frame.columns, model)
    # To Spark, "a" and "A" may be one name.
    if len({name.lower() for name in frame.columns}) == len(frame.columns) and names != frame.columns:
        frame = frame.select([f"`{name.replace('`', '``')}`" for name in names])

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model, program, keep, threads = arguments
        settings = _child.options(SparkFiles.get(model), keep=keep, probabilities=classifies, threads=threads)
        return _child.Child(settings, SparkFiles.get(program)).answers(batches)

    zone = frame.sparkSession.conf.get("spark.sql.session.timeZone")
    written = _engine.output_schema(to_arrow_schema(frame.schema, timezone=zone), model, keep)
    classifies = "probability" in written.names
    kept = [frame.schema[name] for name in _engine.kept_names(keep, frame.columns)]
    added = from_arrow_schema(written).fields[len(kept) :]
    return frame.mapInArrow(score, StructType(kept + added))


def _ship(context: SparkContext, path: str) -> str:
    """Sends a file to the workers and returns its name there, which tells its content: Spark sends each name once, so that
    a model that was trained anew would not arrive. It is sent from a folder that lives as long as the context."""
    with open(path, "rb") as file:
        content = file.read()
    name = f"{hashlib.sha256(content).hexdigest()}-{os.path.basename(path)}"
    folder = os.path.join(SparkFiles.getRootDirectory(), "mlapi")
    os.makedirs(folder, exist_ok=True)
    sent = os.path.join(folder, name)
    if not os.path.exists(sent):
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as copy:
            copy.write(content)
        shutil.copymode(path, copy.name)
        os.replace(copy.name, sent)
    context.addFile(sent)
    return name
