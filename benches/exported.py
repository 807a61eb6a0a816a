"""Times of mlapi in process and of onnxruntime from Python for the same models.

    exported.py MLAPI ONE_ROW FOLDER [--quick]

Rows are of 20 or 30 columns of numbers. onnxruntime has one thread, and its array of a row is made beforehand, one per
column as the exported file takes them and, for trees, as one matrix as well: the graph without its inputs. Times are
medians of one row, and the best of nine of 2,000 rows.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

MLAPI, ONE_ROW, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
QUICK = "--quick" in sys.argv
N = 2000
MODELS = [
    ("logistic regression", 20, ["--algorithm", "logistic-regression"]),
    ("boosting, 100 rounds", 20, ["--algorithm", "gradient-boosting", "--set", "n_estimators=100"]),
    ("forest, 100 trees", 30, ["--algorithm", "random-forest", "--set", "n_estimators=100"]),
    ("network, 64-32", 20, ["--algorithm", "mlp", "--set", "hidden_layer_sizes=64-32"]),
    ("svm, rbf", 20, ["--algorithm", "svm"]),
    ("nearest neighbours", 20, ["--algorithm", "knn"]),
]


def table(n, n_columns, seed):
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, n_columns)).round(4)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(n_columns)])
    noise = r.normal(size=n)
    frame["y"] = np.where(x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * noise > 0, "yes", "no")
    return frame


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def timed(call, n):
    call()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times


def main():
    train, rows = FOLDER / "train.csv", FOLDER / "rows.csv"
    print(f"{'model':22} {'one row, µs':>24} {'a row of 2,000, µs':>26}")
    print(f"{'':22} {'mlapi':>7} {'ort':>7} {'':>8} {'mlapi':>8} {'ort':>7}")
    for name, n_columns, flags in MODELS:
        table(1000 if QUICK else 5000, n_columns, 1).to_csv(train, index=False)
        data = table(N, n_columns, 2)
        data.to_csv(rows, index=False)
        model, exported = FOLDER / "model.mlapi", FOLDER / "model.onnx"
        run(MLAPI, "-q", "train", train, *flags, "--output", model)
        run(MLAPI, "export", "--model", model, "--to", "onnx", "--output", exported)
        words = run(ONE_ROW, model, rows).split()
        ours = [float(words[1]) / 1000, float(words[-1]) / 1000]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        columns = {f"x{i}": data[[f"x{i}"]].to_numpy(float) for i in range(n_columns)}
        singles = [{name: column[i : i + 1] for name, column in columns.items()} for i in range(N)]
        each = iter(singles * 2)
        one = statistics.median(timed(lambda: session.run(None, next(each)), N // 2)) * 1e6
        many = min(timed(lambda: session.run(None, columns), 9)) / N * 1e6
        print(
            f"{name:22} {ours[0]:7.1f} {one:7.1f} {one / ours[0]:7.1f}× {ours[1]:8.2f} {many:7.2f} {many / ours[1]:7.1f}×",
            flush=True,
        )
    large(train)


def large(train):
    """A forest that keeps every training row in leaves of its own until the file is large."""
    n, n_trees = (2000, 20) if QUICK else (40_000, 250)
    table(n, 20, 3).assign(y=np.random.default_rng(4).normal(size=n)).to_csv(train, index=False)
    model = FOLDER / "large.mlapi"
    run(MLAPI, "-q", "train", train, "--algorithm", "random-forest", "--set", f"n_estimators={n_trees}", "--output", model)
    row = ",".join(["0.5"] * 20)
    seconds = min(timed(lambda: run(MLAPI, "predict", "--model", model, "--features", row), 3))
    size = os.path.getsize(model) / 1e6
    print(f"a forest of {size:.0f} MB: loaded, checked and one row predicted in {seconds:.2f} s")


main()
