"""Measures training on text. Started by benches/text.sh.

`mlapi train TRAIN --test TEST --algorithm logistic-regression` against peers/text_sklearn.py, which does the
same with TfidfVectorizer and LogisticRegression: read, vectorise, fit, evaluate, write the model. Each is a whole
process, both free to use every core; medians of the turns, which alternate after one that does not count.
Accuracy is that on TEST, every fifth row of fixtures/intents.csv, and its mean over five such splits; the bars
are 5 times sooner and at most 0.01 less.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What benches/build.sh built.
BIN = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist"))
OUT = ROOT / "target/bench/text"


def write(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def run(command):
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="two turns and one split")
    parser.add_argument("--mlapi", default=BIN / "mlapi")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with open(ROOT / "fixtures/intents.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    seconds, accuracies = {"mlapi": [], "scikit-learn": []}, {"mlapi": [], "scikit-learn": []}
    for split in range(1 if args.quick else 5):
        train, test = OUT / "train.csv", OUT / "test.csv"
        write(train, header, [row for i, row in enumerate(rows) if i % 5 != 4 - split])
        write(test, header, [row for i, row in enumerate(rows) if i % 5 == 4 - split])
        ours = [args.mlapi, "train", train, "--test", test, "--algorithm", "logistic-regression", "--format", "json", "-q", "-o", OUT / "m.mlapi"]
        theirs = [sys.executable, ROOT / "benches/peers/text_sklearn.py", train, test, OUT / "m.joblib"]
        for turn in range(3):
            for name, command in [("mlapi", ours), ("scikit-learn", theirs)]:
                taken, said = run(command)
                if turn:
                    seconds[name].append(taken)
            if turn == 0:
                accuracies["mlapi"].append(json.loads(run(ours)[1])["metrics"]["accuracy"])
                accuracies["scikit-learn"].append(float(said))
    print(f"{len(rows)} rows, {len(accuracies['mlapi'])} splits")
    for name in seconds:
        print(f"  {name:<13} {statistics.median(seconds[name]):8.3f} s  accuracy {statistics.mean(accuracies[name]):.4f}"
              f"  ({', '.join(f'{value:.4f}' for value in accuracies[name])})")
    ratio = statistics.median(seconds["scikit-learn"]) / statistics.median(seconds["mlapi"])
    away = statistics.mean(accuracies["mlapi"]) - statistics.mean(accuracies["scikit-learn"])
    print(f"  mlapi is {ratio:.1f} times as fast (bar 5), accuracy {away:+.4f} (bar -0.01)")


main()
