"""Measures what an evaluation in detail costs, as a share of the metrics alone.

    "$(bash benches/python.sh)" benches/evaluate.py [--bin target/release/mlapi] [--runs 5]

100,000 rows of 16 columns, seeded: two classes, seven classes and a number, each predicted by gradient boosting that was
fitted on 50,000 others. A time is the median of the runs, of the CPU that the program took (user and system), so that
what else the machine does counts less. The ratio of intervals is asked of no more than 2.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def tables(folder, n_train=50_000, n_test=100_000):
    random = np.random.default_rng(1)
    n = n_train + n_test
    x = random.normal(size=(n, 15))
    score = x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + np.sin(2 * x[:, 3])
    level = random.choice(list("abcdef"), n)
    seven = np.digitize(score + random.normal(size=n), [-2, -1, -0.3, 0.3, 1, 2])
    targets = {
        "two classes": np.where(score + random.logistic(size=n) > 0, "yes", "no"),
        "seven classes": [f"k{i}" for i in seven],
        "a number": np.round(score * 3 + random.normal(size=n), 3),
    }
    header = ",".join([f"x{i}" for i in range(15)] + ["c", "y"])
    numbers = [",".join(f"{value:.4f}" for value in row) for row in x]
    for name, target in targets.items():
        rows = [f"{numbers[i]},{level[i]},{target[i]}" for i in range(n)]
        stem = folder / name.replace(" ", "_")
        Path(f"{stem}_train.csv").write_text("\n".join([header, *rows[:n_train]]) + "\n")
        Path(f"{stem}_test.csv").write_text("\n".join([header, *rows[n_train:]]) + "\n")
        yield name, stem


def seconds(command):
    """The CPU time of a program."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "target/release/mlapi"))
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    flags = {
        "metrics": ["--no-intervals"],
        "intervals": [],
        "JSON with curves": ["--format", "json"],
        "everything": ["--detail", "--weak", "--by", "c", "--format", "json"],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, stem in tables(Path(folder)):
            model = f"{stem}.mlapi"
            train = ["train", f"{stem}_train.csv", "--test", f"{stem}_test.csv", "--algorithm", "gradient-boosting"]
            subprocess.run([arguments.bin, *train, "-q", "-o", model], check=True, stdout=subprocess.DEVNULL)
            base = None
            for what, more in flags.items():
                command = [arguments.bin, "eval", "-m", model, *more]
                median = statistics.median(seconds(command) for _ in range(arguments.runs))
                base = base or median
                print(f"{name}, {what}: {median:.2f} s, {median / base:.2f}x", flush=True)


main()
