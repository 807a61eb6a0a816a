"""Predictions on PySpark, Ray and Dask, each as a local cluster of two workers.

    python tests/engines.py MLAPI FOLDER [--rows N] [spark] [ray] [dask]

For each engine, the predictions of `mlapi.ENGINE.predict` are those of `mlapi predict` of the whole table, bit for bit,
also with another model in a file of that name or in its place, and after a worker was killed while it was at work. Then
the job is timed beside the same job without a model, and beside the same job with a model of LightGBM or scikit-learn
(100 trees, 31 leaves each, as mlapi's) pickled into a function of pandas.

Processor time is that of all processes that the engine started, in seconds, counted by a control group. The jobs run in
turn, once to warm up and then three times; each figure is the least of the three.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier

COLUMNS = 20
PARTS = 8
NAMES = [f"x{i}" for i in range(COLUMNS)]
OUTPUT = ["id", "prediction", "probability", "probability_no", "probability_yes"]


def make_tables(folder: Path, rows: int) -> None:
    """Rows of 20 doubles, some missing, in one Arrow file and in several Parquet files; others to train on."""
    random = np.random.default_rng(7)
    for name, n in [("train", 20_000), ("rows", rows)]:
        values = random.normal(size=(n, COLUMNS)).round(6)
        score = values[:, 0] * values[:, 1] + np.sin(2 * values[:, 2]) + values[:, 3] ** 2 - 1
        target = np.where(score + random.normal(size=n) / 2 > 0, "yes", "no")
        values[random.random(values.shape) < 0.01] = np.nan
        table = pa.table({"id": np.arange(n), **{c: pa.array(values[:, i], from_pandas=True) for i, c in enumerate(NAMES)}})
        if name == "train":
            table.drop_columns("id").append_column("y", pa.array(target)).to_pandas().to_csv(folder / "train.csv", index=False)
            continue
        with pa.ipc.new_stream(str(folder / "rows.arrow"), table.schema) as stream:
            stream.write_table(table, max_chunksize=65_536)
        (folder / "rows").mkdir()
        for part in range(PARTS):
            start, end = n * part // PARTS, n * (part + 1) // PARTS
            pq.write_table(table.slice(start, end - start), folder / "rows" / f"{part}.parquet")


def train(mlapi: str, folder: Path) -> None:
    (folder / "other").mkdir()
    for name, trees in [("model.mlapi", 100), ("other/model.mlapi", 5)]:
        settings = ["--set", f"n_estimators={trees}", "--set", "max_leaf_nodes=31", "--set", "early_stopping=false"]
        command = [mlapi, "train", folder / "train.csv", "--algorithm", "boost", *settings, "--output", folder / name, "-q"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    table = pd.read_csv(folder / "train.csv")
    peers = {
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1),
        "scikit-learn": HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, early_stopping=False),
    }
    for name, model in peers.items():
        model.fit(table[NAMES], table["y"])
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model))


def expected(mlapi: str, folder: Path, model: str = "model.mlapi") -> pa.Table:
    started = time.perf_counter()
    before = os.times()
    command = [mlapi, "predict", "--model", folder / model, "--input", "-", "--input-format", "arrow"]
    command += ["--format", "arrow", "--keep", "id", "--probabilities", "--threads", "2"]
    with open(folder / "rows.arrow", "rb") as rows, open((folder / model).with_suffix(".arrow"), "wb") as out:
        subprocess.run(command, stdin=rows, stdout=out, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"mlapi predict: {time.perf_counter() - started:.2f} s, {used:.2f} s of processor time", flush=True)
    return pa.ipc.open_stream(str((folder / model).with_suffix(".arrow"))).read_all()


def same(found: pa.Table, wanted: pa.Table) -> None:
    """The same rows, bit for bit, in whatever order."""
    assert found.column_names == OUTPUT, found.column_names
    found = found.take(pc.sort_indices(found["id"]))
    assert found.num_rows == wanted.num_rows, (found.num_rows, wanted.num_rows)
    for name in OUTPUT:
        ours, theirs = found[name].combine_chunks(), wanted[name].combine_chunks()
        if pa.types.is_floating(theirs.type):
            assert ours.null_count == 0
            ours, theirs = ours.view(pa.int64()), theirs.view(pa.int64())
        assert ours.cast(theirs.type).equals(theirs), name


def pickled_scores(frame: pd.DataFrame, model: ClassifierMixin) -> pd.DataFrame:
    """What mlapi answers, by another model."""
    # Ray's frames have columns of Arrow, which LightGBM does not take.
    rows = frame[NAMES]
    if not all(isinstance(dtype, np.dtype) for dtype in rows.dtypes):
        rows = pd.DataFrame(rows.to_numpy(dtype="float64", na_value=np.nan), columns=NAMES)
    proba = model.predict_proba(rows)
    best = proba.argmax(axis=1)
    return pd.DataFrame(
        {
            "id": frame["id"].to_numpy(),
            "prediction": model.classes_[best],
            "probability": proba[np.arange(len(best)), best],
            "probability_no": proba[:, 0],
            "probability_yes": proba[:, 1],
        }
    )


def identity(table: pa.Table) -> pa.Table:
    """Columns of the same types, without a model. They are arrays of their own, as answers are: parts of others would be
    sent with these."""
    text = pa.repeat("no", table.num_rows)
    ident, *numbers = (pc.add(table[name], 0) for name in ("id", "x0", "x1", "x2"))
    return pa.table([ident, text, *numbers], names=OUTPUT)


class Spark:
    """`local-cluster`: a master, two workers, an executor each."""

    worker = "CoarseGrainedExecutorBackend"

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("engines")
        for name, value in environment.items():
            builder = builder.config(f"spark.executorEnv.{name}", value)
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
            "spark.log.level": "ERROR",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.local.dir": str(folder),
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        self.folder = folder

    def rows(self):
        return self.session.read.parquet(str(self.folder / "rows"))

    def mlapi(self, program: str | None = None, model: str = "model.mlapi"):
        import mlapi.spark

        return mlapi.spark.predict(self.rows(), str(self.folder / model), keep="id", program=program)

    def identity(self):
        def each(batches):
            for batch in batches:
                yield from identity(pa.Table.from_batches([batch])).combine_chunks().to_batches()

        return self.rows().mapInArrow(each, self.mlapi().schema)

    def pickled(self, name: str):
        model = self.session.sparkContext.broadcast((self.folder / f"{name}.pickle").read_bytes())

        def each(frames):
            trained = pickle.loads(model.value)
            for frame in frames:
                yield pickled_scores(frame, trained)

        return self.rows().mapInPandas(each, self.mlapi().schema)

    def run(self, job) -> pa.Table:
        out = str(self.folder / "out")
        job.write.mode("overwrite").parquet(out)
        return pq.read_table(out)

    def close(self) -> None:
        self.session.stop()


class Ray:
    worker = "ray::"

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        import ray

        os.environ.update(environment)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error", _temp_dir=f"/tmp/r{os.getpid()}")
        ray.data.DataContext.get_current().enable_progress_bars = False
        self.folder = folder

    def rows(self):
        import ray

        return ray.data.read_parquet(str(self.folder / "rows"), override_num_blocks=PARTS)

    def mlapi(self, program: str | None = None, model: str = "model.mlapi"):
        import mlapi.ray

        return mlapi.ray.predict(self.rows(), self.folder / model, keep="id")

    def identity(self):
        return self.rows().map_batches(identity, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)

    def pickled(self, name: str):
        import ray

        model = ray.put((self.folder / f"{name}.pickle").read_bytes())

        def each(frame: pd.DataFrame) -> pd.DataFrame:
            return pickled_scores(frame, pickle.loads(ray.get(model)))

        return self.rows().map_batches(each, batch_format="pandas", batch_size=None)

    def run(self, job) -> pa.Table:
        import ray

        return pa.concat_tables(ray.get(job.to_arrow_refs())).combine_chunks()

    def close(self) -> None:
        import ray

        ray.shutdown()
        shutil.rmtree(f"/tmp/r{os.getpid()}", ignore_errors=True)


class Dask:
    worker = "spawn_main"

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        import dask
        from distributed import Client, LocalCluster

        os.environ.update(environment)
        dask.config.set({"distributed.worker.memory.terminate": False, "temporary-directory": str(folder)})
        self.client = Client(LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None))
        self.folder = folder

    def rows(self):
        import dask.dataframe as dd

        return dd.read_parquet(sorted(map(str, (self.folder / "rows").iterdir())), split_row_groups=False)

    def mlapi(self, program: str | None = None, model: str = "model.mlapi"):
        import mlapi.dask

        return mlapi.dask.predict(self.rows(), self.folder / model, keep="id")

    def identity(self):
        def each(frame: pd.DataFrame) -> pd.DataFrame:
            text = pd.array(pa.repeat("no", len(frame)), dtype="string[pyarrow]")
            return frame[["id"]].assign(
                prediction=text, probability=frame["x0"], probability_no=frame["x1"], probability_yes=frame["x2"]
            )

        return self.rows().map_partitions(each)

    def pickled(self, name: str):
        import dask

        model = dask.delayed((self.folder / f"{name}.pickle").read_bytes(), pure=True)

        def each(frame: pd.DataFrame, model: bytes) -> pd.DataFrame:
            scores = pickled_scores(frame, pickle.loads(model))
            return scores.astype({"prediction": "string[pyarrow]"})

        return self.rows().map_partitions(each, model, meta=self.mlapi()._meta)

    def run(self, job) -> pa.Table:
        return pa.Table.from_pandas(job.compute(), preserve_index=False)

    def close(self) -> None:
        cluster = self.client.cluster
        self.client.close()
        cluster.close()


def account() -> tuple[Path, Callable[[], float]]:
    """A control group with this process and all that it starts, and the seconds that these used, the ended ones as well.

    The processes of an engine cannot be added up: a worker that it ends takes its time, and that of its children, along.
    """
    for root, file in [("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")]:
        group = Path(root) / f"mlapi-engines-{os.getpid()}"
        if not (Path(root) / "cgroup.procs").exists():
            continue
        for ended in Path(root).glob("mlapi-engines-*"):
            # Processes that outlived this one kept it.
            with contextlib.suppress(OSError):
                ended.rmdir()
        group.mkdir()
        (group / "cgroup.procs").write_text(str(os.getpid()))
        # Nanoseconds, or a line "usage_usec N".
        scale = 1e-6 if file == "cpu.stat" else 1e-9
        return group, lambda: int((group / file).read_text().split("\n")[0].split()[-1]) * scale
    sys.exit("processor time is counted by a control group, which this system has none of; --quick does without")


def timed(engine, jobs: dict[str, Callable], processor_time: Callable[[], float]) -> dict[str, tuple[float, float]]:
    """Wall and processor time of each job."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(4):
        for name, make in jobs.items():
            started, before = time.perf_counter(), processor_time()
            engine.run(make())
            found[name].append((time.perf_counter() - started, processor_time() - before))
    return {name: tuple(map(min, zip(*runs[1:]))) for name, runs in found.items()}


def kill_one_worker(engine, marker: str, killed: list[int]) -> None:
    """Kills the worker above the first slow program that runs, while it is at work."""
    while True:
        for process in psutil.Process().children(recursive=True):
            try:
                if marker not in " ".join(process.cmdline()):
                    continue
                workers = [w for w in process.parents() if engine.worker in " ".join(w.cmdline()) and w.pid != os.getpid()]
            except psutil.Error:
                continue
            if workers:
                time.sleep(0.2)
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(workers[0].pid)
                return
        time.sleep(0.02)


def check(name: str, folder: Path, mlapi: str, wanted: pa.Table, quick: bool) -> None:
    kinds = {"spark": Spark, "ray": Ray, "dask": Dask}
    path = os.environ["PYTHONPATH"]
    group, processor_time = (None, None) if quick else account()
    started = time.perf_counter()
    engine = kinds[name](folder, {"PYTHONPATH": path, "MLAPI_PROGRAM": mlapi})
    try:
        print(f"{name}: started in {time.perf_counter() - started:.1f} s", flush=True)
        same(engine.run(engine.mlapi()), wanted)
        print(f"{name}: {wanted.num_rows} predictions, each bit as of mlapi predict", flush=True)
        (folder / name).mkdir()
        for model in ("other/model.mlapi", "model.mlapi"):
            shutil.copy(folder / model, folder / name)
            same(engine.run(engine.mlapi(model=f"{name}/model.mlapi")), expected(mlapi, folder, model))
        print(f"{name}: the same with another model of that name, and with a new one in its place", flush=True)
        if not quick:
            peers = {peer: functools.partial(engine.pickled, peer) for peer in ("LightGBM", "scikit-learn")}
            times = timed(engine, {"no model": engine.identity, "mlapi": engine.mlapi, **peers}, processor_time)
            for job, (wall, used) in times.items():
                print(f"{name}: {job:12} {wall:6.2f} s, {used:6.2f} s of processor time", flush=True)
            base, ours = times["no model"][1], times["mlapi"][1]
            for peer in peers:
                theirs = times[peer][1]
                more = (theirs - base) / (ours - base) if ours - base > 0.05 * base else float("inf")
                added = f"{more:.1f} times what mlapi adds to" if more < 100 else "more than can be measured beside mlapi over"
                print(
                    f"{name}: {peer} takes {theirs / ours:.1f} times the processor time of mlapi, and {added} the job "
                    "without a model",
                    flush=True,
                )
    finally:
        engine.close()

    # A program that takes a second to start: the worker dies while it waits for answers.
    slow = folder / f"slow-{name}"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *--input*) sleep 1 ;; esac\nexec {mlapi} "$@"\n')
    slow.chmod(0o755)
    engine = kinds[name](folder, {"PYTHONPATH": path, "MLAPI_PROGRAM": str(slow)})
    try:
        killed: list[int] = []
        job = engine.mlapi(str(slow))
        killer = threading.Thread(target=kill_one_worker, args=(engine, slow.name, killed), daemon=True)
        killer.start()
        same(engine.run(job), wanted)
        assert killed, "no worker was killed"
        print(f"{name}: the same after worker {killed[0]} was killed", flush=True)
    finally:
        engine.close()
        if group is not None:
            (group.parent / "cgroup.procs").write_text(str(os.getpid()))
            with contextlib.suppress(OSError):
                group.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mlapi")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("engines", nargs="*")
    arguments = parser.parse_args()
    if not (arguments.folder / "rows.arrow").exists():
        make_tables(arguments.folder, arguments.rows)
        train(arguments.mlapi, arguments.folder)
    wanted = expected(arguments.mlapi, arguments.folder)
    engines = arguments.engines or ["spark", "ray", "dask"]
    if len(engines) > 1:
        for name in engines:
            # In a process of its own: an engine leaves threads and settings behind.
            options = ["--quick"] if arguments.quick else []
            subprocess.run([sys.executable, __file__, arguments.mlapi, arguments.folder, name, *options], check=True)
    else:
        # Workers whose parent has ended are children of this process, so that they are found.
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        # For the columns of the answers, which are found here.
        os.environ["MLAPI_PROGRAM"] = arguments.mlapi
        check(engines[0], arguments.folder, arguments.mlapi, wanted, arguments.quick)
        print(f"{engines[0]}: passed", flush=True)


if __name__ == "__main__":
    main()
