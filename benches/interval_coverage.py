"""How often intervals and sets hold what they promise, from `train` to `eval`.

    "$(bash benches/python.sh)" benches/interval_coverage.py [--bin target/release/mlapi] [--sets 200] [--kind KIND] [--algorithm NAME]

Each of the made data sets, seeded, has 400 rows, of which training holds out a fifth. The model predicts 2,000 other rows
of the same origin. Printed are

- of `--interval 0.9` and `--conformal 0.9`: the share of the 2,000 rows whose interval or set holds the truth, its mean over
  the data sets with its standard error;
- of the 95 % intervals of metrics that the 80 held-out rows give: the share of the data sets whose interval holds the metric
  of the 2,000 other rows, which is nearly the model's true one, with the standard error of such a share.

The exit status is 1 if a mean coverage of intervals or sets lies below what was asked for by more than three standard errors.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
LEVEL = 0.9
KINDS = ["numbers", "two classes", "four classes"]
N_TRAIN, N_FRESH = 400, 2000


def data_set(seed, kind):
    """Five numbers and a target with noise that no model can predict."""
    random = np.random.default_rng([seed, len(kind)])
    n = N_TRAIN + N_FRESH
    x = random.normal(size=(n, 5))
    score = x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + np.sin(2 * x[:, 3])
    if kind == "numbers":
        # Skewed, and wider where e is large; far from 0, near which a relative error has no mean.
        target = np.round(50 + 3 * score + random.gumbel(size=n) * (1 + 0.5 * (x[:, 4] > 0)), 4)
    elif kind == "two classes":
        target = np.where(score + random.logistic(size=n) > 0, "yes", "no")
    else:
        target = [f"k{i}" for i in np.digitize(score + random.normal(size=n), [-1, 0, 1])]
    rows = [",".join(f"{v:.4f}" for v in row) + f",{y}" for row, y in zip(x, target)]
    header = "a,b,c,d,e,y"
    return ["\n".join([header, *part]) + "\n" for part in (rows[:N_TRAIN], rows[N_TRAIN:])]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def metrics_of(result, prefix=""):
    """The metrics by their names, such as f1.macro."""
    found = {}
    for name, value in result.items():
        if isinstance(value, dict):
            found |= metrics_of(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "target/release/mlapi"))
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--algorithm", action="append")
    parser.add_argument("--kind", action="append", choices=KINDS)
    arguments = parser.parse_args()
    is_short = False
    for kind in arguments.kind or KINDS:
        flag = "--interval" if kind == "numbers" else "--conformal"
        linear = "ridge" if kind == "numbers" else "logreg"
        for algorithm in arguments.algorithm or [linear, "boost"]:
            shares, held = [], {}
            with tempfile.TemporaryDirectory() as folder:
                paths = [str(Path(folder) / name) for name in ("train.csv", "fresh.csv", "m.mlapi")]
                for seed in range(arguments.sets):
                    for path, text in zip(paths, data_set(seed, kind)):
                        Path(path).write_text(text)
                    train, fresh, model = paths
                    run([arguments.bin, "-q", "train", train, "--algorithm", algorithm, flag, str(LEVEL), "-o", model])
                    command = [arguments.bin, "-q", "eval", "--model", model, "--format", "json"]
                    own, other = json.loads(run(command)), json.loads(run([*command, fresh, "--no-intervals"]))
                    shares.append(other["coverage"]["share"])
                    truth = metrics_of(other["metrics"])
                    for name, (low, high) in own["intervals"].items():
                        if truth.get(name) is not None:
                            held.setdefault(name, []).append(low <= truth[name] <= high)
            mean, error = np.mean(shares), np.std(shares) / np.sqrt(len(shares))
            is_short |= mean + 3 * error < LEVEL
            print(f"{kind}, {algorithm}, {len(shares)} data sets: {flag} {LEVEL} holds {mean:.4f} ± {error:.4f}")
            for name, hits in held.items():
                share = np.mean(hits)
                print(f"    95 % interval of {name:<20} {share:.3f} ± {np.sqrt(share * (1 - share) / len(hits)):.3f}")
    sys.exit(int(is_short))


main()
