"""`train --sample` beside a sample drawn here: the rows that are not in it, written as a file of their own and evaluated by
`mlapi eval`, have to get the figures that training gave them.

    python3 tests/sample.py [MLAPI]     (default: target/release/mlapi)

The draw is that of docs/reach.md: numbers by SplitMix64 (Steele, Lea and Flood 2014) of seed and line, the smallest of each
value of the target by its share.
"""

import collections
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).resolve().parent.parent
mlapi = Path(sys.argv[1] if len(sys.argv) > 1 else root / "target/release/mlapi").resolve()
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
MASK = (1 << 64) - 1


def number(seed, line):
    z = (seed + (line + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def run(*args):
    done = subprocess.run([mlapi, *args], capture_output=True, text=True)
    assert done.returncode == 0, (args, done.stderr)
    return json.loads(done.stdout)


def sampled(labels, size, seed, start=2):
    """The rows of a sample, by number; the first is on line `start`."""
    counts = collections.Counter(labels)
    one = len(counts) > 200
    strata = collections.defaultdict(list)
    for row, label in enumerate(labels):
        strata["" if one else label].append((number(seed, row + start), row))
    n = len(labels)
    quotas = {stratum: len(rows) * size // n for stratum, rows in strata.items()}
    remainders = sorted(strata, key=lambda stratum: -(len(strata[stratum]) * size % n))
    for stratum in remainders[: size - sum(quotas.values())]:
        quotas[stratum] += 1
    return {row for stratum, rows in strata.items() for _, row in sorted(rows)[: max(1, quotas[stratum])]}


random.seed(4)
rows = [[f"{random.random() * 10:.3f}", f"{random.gauss(0, 1):.3f}", random.choice(["red", "green", "blue", ""])] for _ in range(40_000)]


def noisy(row):
    return float(row[0]) + 2 * float(row[1]) + (3 if row[2] == "red" else 0) + random.gauss(0, 2)


targets = {
    "two classes": ["yes" if noisy(row) > 8 else "no" for row in rows],
    "four classes": [["a", "b", "c", "d"][min(3, max(0, int(noisy(row) // 3)))] for row in rows],
    "numbers": [f"{noisy(row):.4f}" for row in rows],
}


def as_csv(name, rows):
    with open(name, "w") as file:
        file.write("\n".join(["x,z,color,y", *(",".join(row) for row in rows), ""]))


def as_ndjson(name, rows):
    """Each row without the members that are missing in it."""
    with open(name, "w") as file:
        for x, z, color, y in rows:
            row = {"x": float(x), "z": float(z), "color": color, "y": float(y) if y[-1].isdigit() else y}
            file.write(json.dumps({key: value for key, value in row.items() if value != ""}) + "\n")


def same(ours, theirs, place):
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), place
        for key in theirs:
            same(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(theirs, float):
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12), (place, ours, theirs)
    else:
        assert ours == theirs, (place, ours, theirs)


for name, target in targets.items():
    for write, end, start in [(as_csv, "csv", 2), (as_ndjson, "ndjson", 1)]:
        table = [[*row, label] for row, label in zip(rows, target)]
        write(f"big.{end}", table)
        algorithm = "ridge" if name == "numbers" else "logreg"
        flags = ["--sample", "3000", "--algorithm", algorithm, "--seed", "11", "--format", "json"]
        trained = run("train", f"big.{end}", *flags)
        drawn = sampled(target, 3000, 11, start)
        write(f"rest.{end}", [row for i, row in enumerate(table) if i not in drawn])
        evaluated = run("eval", f"rest.{end}", "--format", "json")
        assert trained["n_rows"] == evaluated["n_rows"] == len(rows) - len(drawn)
        for part in ["metrics", "baseline"]:
            same(trained[part], evaluated[part], f"{name}, {end}: {part}")
        if name != "numbers":
            assert trained["confusion_matrix"] == evaluated["confusion_matrix"]
            for ours, theirs in zip(trained["classes"], evaluated["classes"]):
                same(ours, theirs, f"{name}, {end}: classes")
        print(f"-- a sample of {name}, {end}: the {trained['n_rows']} other rows have the figures of a file of their own", flush=True)
