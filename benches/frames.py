"""Predictions of DataFrames: the Python package beside LightGBM in the same process.

    python benches/frames.py MLAPI FOLDER [--quick]

A model of gradient boosting, 100 trees of 31 leaves, is trained by each on the same 20,000 × 30 rows. Timed are
`predict_proba` of a DataFrame of 100,000 × 30 rows, from the DataFrame to the answer, with all cores and with one, and
`predict` of one row in several forms. Each figure is the median of the repetitions, both sides in turn; rows by
themselves take turns of 200 calls, and one is also asked for when nothing has been for 10 ms.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import mlapi
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

COLUMNS = 30


def table(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, COLUMNS)).round(6)
    frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(COLUMNS)])
    score = values[:, 0] * values[:, 1] + np.sin(2 * values[:, 2]) + values[:, 3] ** 2 - 1
    return frame.assign(y=(score + random.normal(size=rows) / 2 > 0).astype(int))


def medians(repetitions: int, *calls: Callable[[], object], turn: int = 1, pause: float = 0.0) -> list[float]:
    """Seconds of each call, the calls in turns of so many."""
    times: list[list[float]] = [[] for _ in calls]
    for repetition in range(repetitions // turn + 1):
        for kept, call in zip(times, calls):
            for _ in range(turn):
                if pause:
                    time.sleep(pause)
                started = time.perf_counter()
                call()
                if repetition:
                    kept.append(time.perf_counter() - started)
    return [statistics.median(kept) for kept in times]


def main() -> None:
    program, folder = sys.argv[1], Path(sys.argv[2])
    quick = "--quick" in sys.argv
    rows, many, few = (10_000, 200, 3) if quick else (100_000, 2000, 15)
    os.environ["MLAPI_PROGRAM"] = program
    train, new = table(20_000, 1), table(rows, 2).drop(columns="y")
    train.to_csv(folder / "train.csv", index=False)
    settings = [f"--set={s}" for s in ("n_estimators=100", "max_leaf_nodes=31", "early_stopping=false")]
    command = [program, "train", "train.csv", "--algorithm", "boost", *settings, "--quiet"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    fitted = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1).fit(train.drop(columns="y"), train["y"])

    for threads in (os.cpu_count() or 1, 1):
        model = mlapi.load(folder / "model.mlapi", threads=threads)
        ours, theirs = medians(
            few, lambda: model.predict_proba(new), lambda: fitted.predict_proba(new, num_threads=threads)
        )
        print(
            f"{rows:,} × {COLUMNS}, {threads} threads: mlapi {ours * 1e3:.0f} ms, LightGBM {theirs * 1e3:.0f} ms: "
            f"{theirs / ours:.2f}×",
            flush=True,
        )

    model = mlapi.load(folder / "model.mlapi", threads=1)
    one = new.head(1)
    forms = {
        "Arrow": pa.RecordBatch.from_pandas(one, preserve_index=False),
        "NumPy": one.to_numpy(),
        "list of a dict": one.to_dict("records"),
        "polars": pl.from_pandas(one),
        "pandas": one,
        "pandas of four types": one.astype({"x0": "float32", "x1": "int64"}).assign(x2="0.5"),
    }
    calls = {name: lambda form=form: model.predict(form) for name, form in forms.items()}
    *ours, theirs = medians(many, *calls.values(), lambda: fitted.predict(one, num_threads=1), turn=200)
    for name, seconds in zip(forms, ours):
        print(f"one row, {name}: {seconds * 1e6:.0f} µs")
    print(f"one row, LightGBM, pandas: {theirs * 1e6:.0f} µs")
    ours, theirs = medians(many // 10, calls["pandas"], lambda: fitted.predict(one, num_threads=1), pause=0.01)
    print(f"one row, pandas, after 10 ms: {ours * 1e6:.0f} µs, LightGBM {theirs * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
