"""Measures how `mlapi train` chooses an algorithm. Started by benches/auto.sh.

peer      `mlapi train TRAIN --test TEST` against peers/auto_sklearn.py (LogisticRegression,
          RandomForest and HistGradientBoosting of scikit-learn, five-fold cross-validation,
          the best is kept), on the same rows. Wall time of the whole process, both free to
          use every core, medians of the turns; the ratio is that of the medians, the range
          that of the turns. Scores are those of each side's choice on TEST (accuracy, R2
          for numbers), which is the last fifth of the shuffled table; `-1 SE` is the peer's
          score less the standard error of a share (or of the mean squared error).
bound     Seconds of the whole of `mlapi train` on 100,000 x 30 against the seconds that
          `--algorithm gradient-boosting` and `--algorithm random-forest` spend on fitting
          alone: the bar is three times their sum.
fixtures  For each table of fixtures/, held-out scores of auto and of every algorithm by its
          name, means over seeds (each seed holds out other rows). The bar: the mean of auto
          is not more than one standard error of a held-out score below the best algorithm,
          which is known only afterwards. Not timed.

Tables of `peer` and `bound`: fixtures/, and scikit-learn's make_classification with a fixed
seed, 20,000 x 20 with 12 informative columns and 3 classes, 100,000 x 30 with two classes.
"""

import argparse
import collections
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy
import pandas
from sklearn import datasets

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What benches/build.sh built.
BIN = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist"))
OUT = pathlib.Path("target/bench/auto")
FIXTURES = ["iris", "wine", "breast_cancer", "digits", "diabetes", "penguins"]
ENV = {name: value for name, value in os.environ.items() if not name.startswith("MLAPI_")}


def run(command):
    """Seconds of a whole process, and the JSON it prints."""
    started = time.perf_counter()
    done = subprocess.run(command, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"auto.py: `{' '.join(command)}` failed:\n{done.stderr}")
    return elapsed, json.loads(done.stdout)


def train(mlapi, *arguments):
    return run([mlapi, "train", *map(str, arguments), "--format", "json", "--output", str(OUT / "auto.mlapi")])


def score(result):
    metrics = result["metrics"]
    return metrics["accuracy"] if "accuracy" in metrics else metrics["r2"]


def table(name):
    """A table with the target last."""
    if name in FIXTURES:
        return pandas.read_csv(f"fixtures/{name}.csv")
    rows, columns, classes = dict(large=(100_000, 30, 2), three=(20_000, 20, 3))[name]
    x, y = datasets.make_classification(
        rows, columns, n_informative=12, n_redundant=4, n_classes=classes, random_state=1
    )
    return pandas.DataFrame(x.round(6)).rename(columns="x{}".format).assign(y=y)


def write_parts(name):
    """The table as two files, the last fifth of its shuffled rows in the second."""
    rows = table(name)
    rows = rows.iloc[numpy.random.default_rng(1).permutation(len(rows))]
    cut = len(rows) * 4 // 5
    paths = OUT / f"{name}.train.csv", OUT / f"{name}.test.csv"
    for part, path in zip((rows[:cut], rows[cut:]), paths):
        part.to_csv(path, index=False)
    return paths


def standard_error(result):
    """The standard error of one held-out score."""
    metrics, n = result["metrics"], result["n_rows"]
    if "accuracy" in metrics:
        return math.sqrt(metrics["accuracy"] * (1 - metrics["accuracy"]) / n)
    # For normal errors, whose squares have a variance of twice their squared mean.
    return (1 - metrics["r2"]) * math.sqrt(2 / n)


def job_peer(mlapi, options):
    lines = [("table", "mlapi", "chosen", "score", "peer", "chosen", "score", "-1 SE", "", "ratio", "range", "bar", "")]
    for name, rounds in [("iris", 5), ("breast_cancer", 5), ("diabetes", 5), ("digits", 5), ("three", 3)]:
        if name not in options.tables.split(","):
            continue
        paths = write_parts(name)
        ours, theirs = [], []
        peer = [sys.executable, "benches/peers/auto_sklearn.py", *map(str, paths), str(OUT / "peer.joblib")]
        for _ in range(2 if options.quick else rounds):
            own_seconds, own = train(mlapi, paths[0], "--test", paths[1])
            seconds, other = run(peer)
            ours.append(own_seconds)
            theirs.append(seconds)
        ratios = [b / a for a, b in zip(ours, theirs)]
        ratio = statistics.median(theirs) / statistics.median(ours)
        figure = "r2" if name == "diabetes" else "accuracy"
        error = standard_error(dict(metrics={figure: other["score"]}, n_rows=own["n_rows"]))
        good = score(own) >= other["score"] - error
        lines.append(
            (name, f"{statistics.median(ours):.3f} s", own["algorithm"], f"{score(own):.4f}")
            + (f"{statistics.median(theirs):.2f} s", other["model"], f"{other['score']:.4f}")
            + (f"{other['score'] - error:.4f}", "met" if good else "not met", f"{ratio:.1f}x")
            + (f"{min(ratios):.1f}x to {max(ratios):.1f}x", ">= 5x", "met" if ratio >= 5 else "not met")
        )
    show("Whole processes, beside scikit-learn", lines)


def job_bound(mlapi, options):
    path = OUT / "large.csv"
    table("large").to_csv(path, index=False)
    samples = collections.defaultdict(list)
    for _ in range(1 if options.quick else 3):
        seconds, auto = train(mlapi, path)
        samples["auto, whole process"].append(seconds)
        for algorithm in ("gradient-boosting", "random-forest"):
            _, result = train(mlapi, path, "--algorithm", algorithm)
            samples[f"{algorithm}, fit alone"].append(result["fit_seconds"])
    medians = {name: statistics.median(values) for name, values in samples.items()}
    auto_seconds, *others = medians.values()
    ratio = auto_seconds / sum(others)
    lines = [(name, f"{value:.2f} s") for name, value in medians.items()]
    lines.append(("auto / (boosting + forest)", f"{ratio:.2f}", "<= 3", "met" if ratio <= 3 else "not met"))
    lines.append(("chosen", f"{auto['algorithm']}, accuracy {score(auto):.4f}"))
    lines += [(f"  {row['algorithm']}", f"{row['mean']:.4f}", f"{row['seconds']:.2f} s") for row in auto["leaderboard"]]
    show("100,000 x 30", lines)


def job_fixtures(mlapi, options):
    seeds = range(1, 4) if options.quick else range(1, 11)
    lines = [("table", "auto", "chosen", "best by its name", "score", "difference", "1 SE", "")]
    for name in FIXTURES:
        path = f"fixtures/{name}.csv"
        auto = [train(mlapi, path, "--seed", seed)[1] for seed in seeds]
        chosen = collections.Counter(result["algorithm"] for result in auto)
        algorithms = {row["algorithm"] for result in auto for row in result["leaderboard"]} | {"gradient-boosting"}
        singles = {}
        for algorithm in sorted(algorithms):
            results = [train(mlapi, path, "--seed", seed, "--algorithm", algorithm)[1] for seed in seeds]
            singles[algorithm] = statistics.mean(map(score, results)), statistics.mean(map(standard_error, results))
        best = max(singles, key=lambda algorithm: singles[algorithm][0])
        own, (other, error) = statistics.mean(map(score, auto)), singles[best]
        lines.append(
            (name, f"{own:.4f}", ", ".join(f"{n} {a}" for a, n in chosen.most_common()), best)
            + (f"{other:.4f}", f"{own - other:+.4f}", f"{error:.4f}", "met" if own >= other - error else "not met")
        )
    show(f"Held-out scores, means over {len(seeds)} seeds", lines)


def show(title, lines):
    print(f"\n{title}")
    columns = max(map(len, lines))
    lines = [line + ("",) * (columns - len(line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True)


def main():
    jobs = dict(peer=job_peer, bound=job_bound, fixtures=job_fixtures)
    parser = argparse.ArgumentParser(prog="benches/auto.sh", description="Measures the choice of `mlapi train`.")
    parser.add_argument("--quick", action="store_true", help="fewer runs and tables, for a first look")
    parser.add_argument("--only", metavar="JOBS", help="some of peer,bound,fixtures")
    parser.add_argument("--mlapi", metavar="FILE", help="the binary to measure (default: the one benches/build.sh built)")
    parser.add_argument("--tables", default="iris,breast_cancer,diabetes,digits,three", help="tables of peer")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(jobs)
    if unknown := set(chosen) - set(jobs):
        parser.error(f"--only knows peer, bound and fixtures, not {', '.join(sorted(unknown))}")
    mlapi = str(pathlib.Path(options.mlapi).resolve() if options.mlapi else BIN / "mlapi")
    os.chdir(ROOT)
    if not os.access(mlapi, os.X_OK):
        parser.error(f"there is no program {mlapi}")
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}")
    for name in chosen:
        jobs[name](mlapi, options)


if __name__ == "__main__":
    main()
