"""Explanations of boosted trees, compared with LightGBM, XGBoost and shap.

    bash benches/explain.sh [--quick] [--mlapi FILE]

10,000 rows of 30 numbers (--quick: 1,000), 100 trees of 31 leaves each, one thread. Every library explains trees that it
grew itself on the same table; the figure is microseconds a row, the median of three runs that take turns.

    mlapi      `explain MODEL TABLE`, in process: all rows, and one by one (explain.rs)
    LightGBM   Booster.predict(pred_contrib=True)
    XGBoost    Booster.predict(pred_contribs=True)
    shap       TreeExplainer(HistGradientBoostingClassifier).shap_values, its own C code
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import lightgbm
import numpy as np
import shap
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier

BIN = Path(os.environ["BENCH_BIN"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--mlapi", default=str(BIN / "mlapi"))
    arguments = parser.parse_args()
    n_rows, n_columns = (1_000 if arguments.quick else 10_000), 30
    random = np.random.default_rng(7)
    x = random.normal(size=(20_000, n_columns))
    score = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3:9].sum(axis=1) / 3 + random.normal(size=len(x))
    y = (score > 0).astype(int)
    rows = x[:n_rows]

    light = lightgbm.train(
        {"objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "num_threads": 1, "verbose": -1},
        lightgbm.Dataset(x, y), num_boost_round=100)
    xgb = xgboost.train(
        {"objective": "binary:logistic", "max_leaves": 31, "grow_policy": "lossguide", "max_depth": 0,
         "tree_method": "hist", "eta": 0.1, "nthread": 1}, xgboost.DMatrix(x, y), num_boost_round=100)
    hist = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=31, early_stopping=False).fit(x, y)
    explainer = shap.TreeExplainer(hist)
    matrix = xgboost.DMatrix(rows, nthread=1)

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        head = ",".join([f"x{i}" for i in range(n_columns)] + ["y"])
        np.savetxt(folder / "all.csv", np.column_stack([x, y]), delimiter=",", header=head, comments="", fmt="%.9g")
        text = (folder / "all.csv").read_text().splitlines(keepends=True)
        (folder / "rows.csv").write_text("".join(text[: n_rows + 1]))
        subprocess.run(
            [arguments.mlapi, "train", "all.csv", "--algorithm", "boost", "--set", "n_estimators=100",
             "--set", "max_leaf_nodes=31", "--set", "learning_rate=0.1", "--quiet"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL)

        def mlapi():
            done = subprocess.run([BIN / "explain", "model.mlapi", "rows.csv"], cwd=folder, check=True,
                                  capture_output=True, text=True)
            return json.loads(done.stdout)

        peers = {
            "LightGBM pred_contrib": lambda: light.predict(rows, pred_contrib=True, num_threads=1),
            "XGBoost pred_contribs": lambda: xgb.predict(matrix, pred_contribs=True),
            "shap TreeExplainer": lambda: explainer.shap_values(rows),
        }
        own, times = [], {name: [] for name in peers}
        for _ in range(3):
            own.append(mlapi())
            for name, run in peers.items():
                started = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - started) / n_rows * 1e6)

    median = {key: statistics.median(run[key] for run in own) for key in own[0]}
    print(f"mlapi                   {median['explain']:8.1f} µs a row, {median['explain_one']:.1f} one by one, "
          f"{median['predict']:.1f} without; misses the score by {median['largest']:.1e}")
    for name, found in times.items():
        found = statistics.median(found)
        print(f"{name:<23} {found:8.1f} µs a row, {found / median['explain']:.1f} times as long")


if __name__ == "__main__":
    sys.exit(main())
