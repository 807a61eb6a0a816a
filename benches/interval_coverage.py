"""How often intervals and sets hold what they promise, from `train` to `eval`.

    "$(bash benches/python.sh)" benches/interval_coverage.py [--bin target/release/mlapi] [--sets 200] [--held-out 80]
        [--kind KIND] [--algorithm NAME]

Each of the made data sets, seeded, has 320 rows that are fitted, and --held-out others. The model predicts 50,000 further
rows of the same origin, which tell its true metrics up to a tenth of what 1,000 rows leave open. Boosting has 50 trees, so
that hundreds of fits take minutes. Printed are

- of `--interval 0.9` and `--conformal 0.9`: the share of the 50,000 rows whose interval or set holds the truth, its mean over
  the data sets with its standard error;
- of the 95 % intervals of metrics that the held-out rows give: the share of the data sets whose interval holds the metric
  of the 50,000 rows, with the standard error of such a share at 0.95.

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
N_TRAIN, N_FRESH = 320, 50_000
FLAGS = {"boost": ["--set", "n_estimators=50"]}


def rows(seed, kind, n):
    """A header and rows of five numbers and a target with noise that no model can predict."""
    random = np.random.default_rng([seed, len(kind)])
    x = random.normal(size=(n, 5))
    score = x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + np.sin(2 * x[:, 3])
    if kind == "numbers":
        # Skewed, and wider where e is large; far from 0, near which a relative error has no mean.
        target = np.round(50 + 3 * score + random.gumbel(size=n) * (1 + 0.5 * (x[:, 4] > 0)), 4)
    elif kind == "two classes":
        target = np.where(score + random.logistic(size=n) > 0, "yes", "no")
    else:
        target = [f"k{i}" for i in np.digitize(score + random.normal(size=n), [-1, 0, 1])]
    return ["a,b,c,d,e,y", *(",".join(f"{v:.4f}" for v in row) + f",{y}" for row, y in zip(x, target))]


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


def measure(arguments, kind, algorithm, folder):
    """The coverage of each data set, and for each metric whether its interval held."""
    fresh, data, model = (str(folder / name) for name in ("fresh.csv", "data.csv", "m.mlapi"))
    flag = "--interval" if kind == "numbers" else "--conformal"
    share = arguments.held_out / (N_TRAIN + arguments.held_out)
    options = ["--algorithm", algorithm, *FLAGS.get(algorithm, []), "--test-size", str(share), flag, str(LEVEL)]
    Path(fresh).write_text("\n".join(rows(10**6, kind, N_FRESH)) + "\n")
    shares, held = [], {}
    for seed in range(arguments.sets):
        Path(data).write_text("\n".join(rows(seed, kind, N_TRAIN + arguments.held_out)) + "\n")
        run([arguments.bin, "-q", "train", data, *options, "-o", model])
        command = [arguments.bin, "-q", "eval", "--model", model, "--format", "json"]
        own, other = json.loads(run(command)), json.loads(run([*command, fresh, "--no-intervals"]))
        assert own["n_rows"] == arguments.held_out
        shares.append(other["coverage"]["share"])
        truth = metrics_of(other["metrics"])
        for name, (low, high) in own["intervals"].items():
            if truth.get(name) is not None:
                held.setdefault(name, []).append(low <= truth[name] <= high)
    return flag, shares, held


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "target/release/mlapi"))
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=80)
    parser.add_argument("--algorithm", action="append")
    parser.add_argument("--kind", action="append", choices=KINDS)
    arguments = parser.parse_args()
    is_short = False
    for kind in arguments.kind or KINDS:
        linear = "ridge" if kind == "numbers" else "logreg"
        for algorithm in arguments.algorithm or [linear, "boost"]:
            with tempfile.TemporaryDirectory() as folder:
                flag, shares, held = measure(arguments, kind, algorithm, Path(folder))
            n = len(shares)
            # The rows that all data sets are measured on are a sample themselves.
            mean, error = np.mean(shares), np.hypot(np.std(shares) / n**0.5, (LEVEL * (1 - LEVEL) / N_FRESH) ** 0.5)
            is_short |= mean + 3 * error < LEVEL
            print(f"{kind}, {algorithm}, {n} data sets: {flag} {LEVEL} holds {mean:.4f} ± {error:.4f}")
            for name, hits in held.items():
                print(f"    95 % interval of {name:<20} {np.mean(hits):.3f} ± {(0.95 * 0.05 / n) ** 0.5:.3f}", flush=True)
    sys.exit(int(is_short))


main()
