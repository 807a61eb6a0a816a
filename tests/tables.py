"""Started by tables.sh, in a folder of its own: MLAPI TABLES."""

import csv
import datetime
import io
import json
import math
import random
import subprocess
import sys

import duckdb
import pandas as pd

MLAPI, N_TABLES = sys.argv[1], int(sys.argv[2])

# What DuckDB calls the types of mlapi.
TYPES = {
    "number": {"BIGINT", "DOUBLE"},
    "boolean": {"BOOLEAN"},
    "date": {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
    "category": {"VARCHAR"},
}
WORDS = ["red", "green", "dark blue", "O'Brien", "x, y", "semi;colon", "a|b", 'say "so"', "Zürich", "two\nlines"]


def column(dice, n):
    """A type, and `n` cells as text."""
    kind = dice.choice(["whole", "decimal", "exponent", "boolean", "date", "time", "word", "word"])
    first = datetime.datetime(1990, 1, 1)
    cell = {
        "whole": lambda: str(dice.randint(-1000, 1_000_000)),
        "decimal": lambda: f"{dice.uniform(-1000, 1000):.{dice.randint(1, 6)}f}",
        "exponent": lambda: f"{dice.uniform(-1, 1) * 10 ** dice.randint(-12, 12):.5e}",
        "boolean": lambda: dice.choice(["true", "false"]),
        "date": lambda: (first + datetime.timedelta(days=dice.randint(0, 20_000))).strftime("%Y-%m-%d"),
        "time": lambda: (first + datetime.timedelta(seconds=dice.randint(0, 10**9))).strftime("%Y-%m-%d %H:%M:%S"),
        "word": lambda: dice.choice(WORDS),
    }[kind]
    return {"boolean": "boolean", "date": "date", "time": "date", "word": "category"}.get(kind, "number"), [
        cell() for _ in range(n)
    ]


def table(seed):
    """A table's bytes, its delimiter, and the type of each column."""
    dice = random.Random(seed)
    n, delimiter = dice.randint(60, 200), dice.choice(",,;\t|")
    columns = {f"c{i}": column(dice, n) for i in range(dice.randint(2, 6))}
    for kind, cells in columns.values():
        if dice.random() < 0.4:
            gap = dice.choice(["", "NA", "NULL"]) if kind == "number" else ""
            for row in dice.sample(range(n), n // 10):
                cells[row] = gap
    columns["label"] = ("category", [dice.choice(["no", "yes", "perhaps"]) for _ in range(n)])
    out = io.StringIO()
    quoting = dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=dice.choice(["\n", "\r\n"]))
    writer.writerow(columns)
    writer.writerows(zip(*(cells for _, cells in columns.values())))
    return out.getvalue().encode(), delimiter, {name: kind for name, (kind, _) in columns.items()}


def of_mlapi(path):
    """The schema of a model that has learned from all rows."""
    train = [MLAPI, "-q", "train", path, "--test", path, "--target", "label", "--algorithm", "naive-bayes"]
    done = subprocess.run(train, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr
    shown = subprocess.run([MLAPI, "inspect", "--format", "json"], capture_output=True, text=True, check=True)
    return json.loads(shown.stdout)["schema"], done.stderr


def differences(seed):
    text, delimiter, kinds = table(seed)
    path = "t.csv"
    with open(path, "wb") as file:
        file.write(text)
    schema, said = of_mlapi(path)
    if schema is None:
        yield f"mlapi refuses it: {said.strip()}"
        return
    sniffed = duckdb.sql(f"select Delimiter, Columns from sniff_csv('{path}', sample_size = -1)").fetchall()[0]
    types = {entry["name"]: entry["type"] for entry in sniffed[1]}
    # A table in which another character divides every line alike has more than one reading.
    if sniffed[0] == delimiter and schema["delimiter"] != ord(delimiter):
        yield f"mlapi divides at {chr(schema['delimiter'])!r}, DuckDB at {sniffed[0]!r}"
        return
    frame = pd.read_csv(path, sep=delimiter)
    features = {feature["name"]: feature for feature in schema["features"]}
    for name, kind in list(kinds.items())[:-1]:
        feature, found = features.get(name), frame[name]
        if feature is None:
            reason = [ignored["reason"] for ignored in schema["ignored"] if ignored["name"] == name]
            yield f"{name} ({kind}) is left out: {reason}"
            continue
        if feature["type"] != kind:
            yield f"{name} is {feature['type']}, not {kind}"
        if types.get(name) and types[name] not in TYPES[kind]:
            # Quoted numbers are texts to some; pandas decides then.
            if kind != "number" or not pd.api.types.is_numeric_dtype(found):
                yield f"{name} is {types[name]} to DuckDB, and {kind} to mlapi"
        if feature["missing"] != int(found.isna().sum()):
            yield f"{name} has {feature['missing']} gaps, {found.isna().sum()} in pandas"
        if kind == "category":
            counts = found.dropna().value_counts().to_dict()
            if dict(zip(feature["levels"], feature["counts"])) != counts:
                yield f"{name}: {feature['levels']} {feature['counts']}, {counts} in pandas"
            continue
        if kind == "date":
            seconds = (pd.to_datetime(found, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        else:
            seconds = found.dropna().astype(float)
        wanted = [float(seconds.min()), float(seconds.max()), float(seconds.mean())]
        for figure, value in zip(("min", "max", "mean"), wanted):
            if not math.isclose(feature[figure], value, rel_tol=1e-12 if figure == "mean" else 0, abs_tol=1e-12):
                yield f"{name}: {figure} {feature[figure]!r}, {value!r} in pandas"


n_wrong = 0
for seed in range(N_TABLES):
    for difference in differences(seed):
        n_wrong += 1
        print(f"table {seed}: {difference}")
print(f"{N_TABLES} tables, pandas {pd.__version__} and DuckDB {duckdb.__version__}: {n_wrong} differences")
sys.exit(n_wrong > 0)
