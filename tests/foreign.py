"""Models of XGBoost, LightGBM and CatBoost, imported and compared with their trainers.

    foreign.py MLAPI FOLDER FIXTURES [--quick] [NAME…]

Each case is trained, saved by the trainer's own exporter, imported, and predicts 2,000 ordinary rows and 600 adversarial
ones: numbers at the thresholds of the model and one unit in the last place (of single and of double precision) beside
them, missing values, zeros, unseen categories. Every probability or number has to be that of the trainer: within 1e-12 for
trainers that add up in double precision, within 1e-6 for XGBoost, which adds up in single precision (1e-5 of its numbers,
relative to their mean size). `--quick` trains
fewer rounds and takes fewer rows.

Models that mlapi trained are exported and compared with what LightGBM, SQLite, DuckDB and PostgreSQL make of them, within
1e-12, and with what onnxruntime makes of them, in double and in single precision.
"""

import io
import json
import os
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import catboost as cb
import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import xgboost as xgb

np.seterr(over="ignore")
QUICK = "--quick" in sys.argv
# The folder of the socket of a PostgreSQL server, if one runs.
POSTGRES = os.environ.get("FOREIGN_POSTGRES")
ARGS = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
MLAPI, FOLDER, FIXTURES, ONLY = ARGS[0], Path(ARGS[1]), Path(ARGS[2]), ARGS[3:]
ROUNDS = 20 if QUICK else 100
N_ORDINARY, N_ADVERSARIAL = (300, 200) if QUICK else (2000, 600)
N_TRAIN = 800 if QUICK else 3000
R = np.random.default_rng(7)
DOUBLE, SINGLE = 1e-12, 1e-6

NUMBERS = ["age", "income", "visits", "balance", "ratio", "flag"]
LEVELS = {"color": ["red", "green", "blue", "light blue", "x,y"], "city": [f"city {i}" for i in range(40)]}


def table(n):
    frame = pd.DataFrame(
        {
            "age": R.integers(18, 90, n).astype(float),
            "income": R.lognormal(10, 1, n).round(2),
            "visits": R.poisson(1.5, n).astype(float),
            "balance": R.normal(0, 1000, n),
            "ratio": R.random(n).astype(np.float32).astype(float),
            "flag": R.integers(0, 2, n).astype(float),
        }
    )
    for name in ["age", "balance"]:
        frame.loc[R.random(n) < 0.1, name] = np.nan
    for name, levels in LEVELS.items():
        frame[name] = pd.Categorical(R.choice(levels, n), categories=levels)
        frame.loc[R.random(n) < 0.05, name] = None
    return frame


def score(frame):
    age = frame.age.fillna(40)
    return (
        (age - 50) / 20
        + np.log(frame.income) / 3
        - 3
        + (frame.balance.fillna(-500) > 0) * 0.8
        + frame.color.cat.codes % 3 * 0.4
        + frame.city.cat.codes % 7 * 0.2
        + R.normal(0, 0.5, len(frame))
    ).to_numpy()


TRAIN = table(N_TRAIN)
SCORE = score(TRAIN)
TARGETS = {
    "two": (SCORE > np.median(SCORE)).astype(int),
    "three": np.digitize(SCORE, np.quantile(SCORE, [0.3, 0.7])),
    "number": SCORE * 12.5,
    "count": R.poisson(np.exp(SCORE / 3)).astype(float),
    "positive": np.exp(SCORE / 2) + 0.01,
}


def thresholds(path):
    """Every number that a model compares with, found in its file."""
    text = path.read_text(errors="replace") if path.suffix != ".ubj" else ""
    found = []
    if path.suffix == ".txt":
        for line in text.splitlines():
            if line.startswith("threshold="):
                found += [float(word) for word in line[10:].split()]
    elif path.suffix == ".json":
        def walk(value):
            if isinstance(value, dict):
                for key, inner in value.items():
                    if key == "split_conditions":
                        found.extend(inner)
                    elif key == "border":
                        found.append(inner)
                    else:
                        walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    if not isinstance(inner, (int, float)):
                        walk(inner)
        walk(json.loads(text))
    return np.unique(np.array(found or [0.0], float))


def adversarial(frame, found):
    frame = frame.sample(N_ADVERSARIAL, random_state=1).reset_index(drop=True)
    exact = found.astype(np.float32)
    pool = np.concatenate(
        [
            found,
            np.nextafter(found, np.inf),
            np.nextafter(found, -np.inf),
            exact.astype(float),
            np.nextafter(exact, np.float32(np.inf)).astype(float),
            np.nextafter(exact, np.float32(-np.inf)).astype(float),
            # Midway between two numbers of single precision, where rounding turns.
            (exact.astype(float) + np.nextafter(exact, np.float32(-np.inf)).astype(float)) / 2,
            (exact.astype(float) + np.nextafter(exact, np.float32(np.inf)).astype(float)) / 2,
            [0.0, -0.0, 1e-36, -1e-36, 1e-30, 1e30, -1e30],
        ]
    )
    pool = pool[np.isfinite(pool) & (np.abs(pool) < 3e38)]
    for name in frame.columns:
        if name in LEVELS:
            continue
        taken = R.random(len(frame)) < 0.7
        frame.loc[taken, name] = R.choice(pool, taken.sum())
        frame.loc[R.random(len(frame)) < 0.15, name] = np.nan
        frame.loc[R.random(len(frame)) < 0.1, name] = 0.0
    return frame


def write_rows(frame, path):
    shown = frame.copy()
    for name in shown.columns:
        if name in LEVELS:
            shown[name] = shown[name].astype(object)
            # A missing category of the trainer is an unseen one here, now and then.
            missing = shown[name].isna() & (R.random(len(shown)) < 0.5)
            shown.loc[missing, name] = "never seen"
        elif not np.issubdtype(shown[name].dtype, np.integer):
            shown[name] = [None if np.isnan(value) else repr(float(value)) for value in shown[name]]
    shown.to_csv(path, index=False)


def run(*words):
    done = subprocess.run([MLAPI, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"mlapi {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


CASES = []


def case(name, suffix, tolerance, columns=None, sample=False):
    def add(make):
        CASES.append((name, suffix, tolerance, columns, sample, make))
        return make

    return add


WITH_LEVELS = [*NUMBERS, *LEVELS]


def xgboost_case(name, target, suffix=".json", columns=NUMBERS, kind=None, arrays=False, **settings):
    @case(f"xgboost-{name}", suffix, SINGLE, columns, arrays)
    def make(path):
        kinds = {"two": xgb.XGBClassifier, "three": xgb.XGBClassifier}
        rounds = settings.pop("n_estimators", ROUNDS)
        frame = TRAIN[columns].to_numpy(float) if arrays else TRAIN[columns]
        model = (kind or kinds.get(target, xgb.XGBRegressor))(
            n_estimators=rounds, enable_categorical=columns is not NUMBERS, n_jobs=2, **settings
        )
        fit = {}
        if "early_stopping_rounds" in settings:
            fit = {"eval_set": [(table(200)[columns], R.choice(TARGETS[target], 200))], "verbose": False}
        model.fit(frame, TARGETS[target], **fit)
        model.save_model(path)
        predict = model.predict_proba if target in kinds else model.predict
        if settings.get("objective") == "multi:softmax":
            # Its predictions are labels; the probabilities behind them are those of the other objective.
            booster = model.get_booster()
            booster.set_param({"objective": "multi:softprob"})
            predict = lambda rows: booster.predict(xgb.DMatrix(rows))
        return lambda rows: predict(rows.to_numpy(float) if arrays else rows)


def lightgbm_case(name, target, columns=NUMBERS, arrays=False, **settings):
    @case(f"lightgbm-{name}", ".txt", DOUBLE, columns, arrays)
    def make(path):
        kinds = {"two": lgb.LGBMClassifier, "three": lgb.LGBMClassifier}
        frame = TRAIN[columns].to_numpy(float) if arrays else TRAIN[columns]
        model = kinds.get(target, lgb.LGBMRegressor)(n_estimators=ROUNDS, verbose=-1, n_jobs=2, **settings)
        model.fit(frame, TARGETS[target])
        model.booster_.save_model(path)
        predict = model.predict_proba if target in kinds else model.predict
        return lambda rows: predict(rows.to_numpy(float) if arrays else rows)


def catboost_case(name, target, labels=None, **settings):
    @case(f"catboost-{name}", ".json", DOUBLE, NUMBERS)
    def make(path):
        kinds = {"two": cb.CatBoostClassifier, "three": cb.CatBoostClassifier}
        model = kinds.get(target, cb.CatBoostRegressor)(
            iterations=ROUNDS, verbose=0, allow_writing_files=False, thread_count=2, **settings
        )
        y = TARGETS[target]
        model.fit(TRAIN[NUMBERS], y if labels is None else np.array(labels)[y])
        model.save_model(str(path), format="json")
        return model.predict_proba if target in kinds else model.predict


xgboost_case("two", "two")
xgboost_case("two-ubjson", "two", ".ubj")
xgboost_case("two-arrays", "two", arrays=True)
xgboost_case("base-score", "two", base_score=0.2)
xgboost_case("three", "three")
xgboost_case("three-softmax", "three", objective="multi:softmax")
xgboost_case("categories", "two", columns=WITH_LEVELS, max_cat_to_onehot=4)
xgboost_case("categories-ubjson", "three", ".ubj", columns=WITH_LEVELS)
xgboost_case("number", "number")
xgboost_case("absolute-error", "number", objective="reg:absoluteerror")
xgboost_case("huber", "number", objective="reg:pseudohubererror")
xgboost_case("quantile", "number", objective="reg:quantileerror", quantile_alpha=0.8)
xgboost_case("poisson", "count", objective="count:poisson")
xgboost_case("gamma", "positive", objective="reg:gamma")
xgboost_case("tweedie", "positive", objective="reg:tweedie")
xgboost_case("forest", "two", kind=xgb.XGBRFClassifier)
xgboost_case("forest-three", "three", kind=xgb.XGBRFClassifier)
xgboost_case("rounds-of-forests", "three", num_parallel_tree=4, n_estimators=8)
xgboost_case("dart", "two", booster="dart", rate_drop=0.2)
xgboost_case("lossguide", "two", grow_policy="lossguide", max_leaves=40, max_depth=0)
xgboost_case("early-stopping", "two", early_stopping_rounds=3)
lightgbm_case("two", "two")
lightgbm_case("two-arrays", "two", arrays=True)
lightgbm_case("sigmoid", "two", sigmoid=2.5)
lightgbm_case("three", "three")
lightgbm_case("categories", "two", columns=WITH_LEVELS)
lightgbm_case("categories-three", "three", columns=WITH_LEVELS)
lightgbm_case("number", "number")
lightgbm_case("l1", "number", objective="l1")
lightgbm_case("huber", "number", objective="huber")
lightgbm_case("quantile", "number", objective="quantile", alpha=0.7)
lightgbm_case("poisson", "count", objective="poisson")
lightgbm_case("gamma", "positive", objective="gamma")
lightgbm_case("tweedie", "positive", objective="tweedie")
lightgbm_case("dart", "two", boosting_type="dart")
lightgbm_case("forest", "two", boosting_type="rf", bagging_freq=1, bagging_fraction=0.6)
lightgbm_case("forest-three", "three", boosting_type="rf", bagging_freq=1, bagging_fraction=0.6)
lightgbm_case("zeros-missing", "two", zero_as_missing=True)
lightgbm_case("no-missing", "two", use_missing=False)
catboost_case("two", "two")
catboost_case("two-labels", "two", labels=["no", "yes"])
catboost_case("three", "three", labels=["low", "middle", "high"])
catboost_case("number", "number")
catboost_case("absolute-error", "number", loss_function="MAE")
catboost_case("quantile", "number", loss_function="Quantile:alpha=0.8")
catboost_case("poisson", "count", loss_function="Poisson")
catboost_case("tweedie", "positive", loss_function="Tweedie:variance_power=1.5")
catboost_case("lossguide", "two", grow_policy="Lossguide")
catboost_case("depthwise-three", "three", grow_policy="Depthwise")
catboost_case("missing-above", "two", nan_mode="Max")


def check(name, suffix, tolerance, columns, arrays, make):
    path = FOLDER / f"{name}{suffix}"
    predict = make(path)
    found = thresholds(path)
    if suffix == ".ubj":
        twin = FOLDER / f"{name}.json"
        booster = xgb.Booster(model_file=path)
        booster.save_model(twin)
        found = thresholds(twin)
    ordinary = table(N_ORDINARY)[columns]
    rows = pd.concat([ordinary, adversarial(table(N_ADVERSARIAL)[columns], found)], ignore_index=True)
    for column in LEVELS:
        if column in rows:
            rows[column] = pd.Categorical(rows[column], categories=LEVELS[column])
    expected = np.asarray(predict(rows), float)
    data, model, out = FOLDER / f"{name}.csv", FOLDER / f"{name}.mlapi", FOLDER / f"{name}.out.csv"
    write_rows(rows, data)
    flags = ["--features", ",".join(columns)] if arrays else []
    run("import", path, *flags, "--output", model, "--target", "y")
    probabilities = ["--probabilities"] if expected.ndim == 2 else []
    run("predict", "--model", model, "--input", data, *probabilities, "--keep", "none", "--output", out)
    predicted = pd.read_csv(out)
    if expected.ndim == 2:
        probabilities = predicted[[c for c in predicted.columns if c.startswith("probability_")]].to_numpy()
        assert probabilities.shape == expected.shape, (probabilities.shape, expected.shape)
        difference = np.abs(probabilities - expected).max(axis=1)
        # At a tie within the tolerance either label will do.
        order = np.sort(expected, axis=1)
        clear = order[:, -1] - order[:, -2] > 2 * tolerance
        labels = np.array(json.loads(run("inspect", "--model", model, "--format", "json"))["labels"])
        same = predicted["prediction"].to_numpy() == labels[expected.argmax(axis=1)]
        assert same[clear].all(), f"{name}: {(~same[clear]).sum()} labels differ"
    else:
        # A sum in single precision is as exact as its largest parts, whatever remains of it.
        scale = max(1, np.abs(expected).mean()) if tolerance == SINGLE else 1
        tolerance = 10 * tolerance if tolerance == SINGLE else tolerance
        difference = np.abs(predicted["prediction"].to_numpy() - expected) / np.maximum(scale, np.abs(expected))
    worst = int(np.nanargmax(difference))
    assert not np.isnan(difference).any() and difference[worst] <= tolerance, (
        f"{name}: row {worst} differs by {difference[worst]:.3g}, limit {tolerance}\n{rows.iloc[worst]}"
    )
    if name in LEAVE:
        schema = json.loads(run("inspect", "--model", model, "--format", "json"))["schema"]
        plain = rows.astype({column: object for column in LEVELS if column in rows})
        print(f"{name}: exported, " + ", ".join(onnx_words(name, model, plain, schema, single) for single in [False, True]))
    return difference[worst], len(rows)


# Imported models that are exported again: links, classes, zeros that are missing, sets of levels.
LEAVE = ["xgboost-poisson", "xgboost-categories", "xgboost-three", "lightgbm-zeros-missing", "lightgbm-categories-three",
         "lightgbm-forest", "catboost-number"]

GRADIENT = ["--algorithm", "gradient-boosting"]
EXPORTS = [
    ("boosting-three", "penguins.csv", "species", GRADIENT),
    ("boosting-two", "breast_cancer.csv", "diagnosis", GRADIENT),
    ("boosting-number", "diabetes.csv", "progression", GRADIENT),
    ("boosting-levels", "visits.csv", "bought", [*GRADIENT, "--drop", "shop", "--set", "n_estimators=20"]),
    ("forest-three", "penguins.csv", "species", ["--algorithm", "random-forest", "--set", "n_estimators=10"]),
    ("forest-two", "breast_cancer.csv", "diagnosis", ["--algorithm", "random-forest", "--set", "n_estimators=20"]),
    ("extra-trees", "diabetes.csv", "progression", ["--algorithm", "extra-trees", "--set", "n_estimators=10", "--set", "max_depth=12"]),
    ("tree", "penguins.csv", "species", ["--algorithm", "decision-tree"]),
    ("linear-two", "breast_cancer.csv", "diagnosis", ["--algorithm", "logistic-regression"]),
    ("linear-three", "penguins.csv", "species", ["--algorithm", "logistic-regression"]),
    ("linear-number", "diabetes.csv", "progression", ["--algorithm", "ridge"]),
]
# What ONNX alone can say.
FOR_ONNX = [
    ("means", "visits.csv", "bought", [*GRADIENT, "--set", "n_estimators=20"]),
    ("linear-means", "visits.csv", "bought", ["--algorithm", "logistic-regression"]),
    ("dates", "rentals.csv", "bicycles", [*GRADIENT, "--set", "n_estimators=20"]),
    ("linear-dates", "rentals.csv", "bicycles", ["--algorithm", "ridge"]),
    ("bayes-three", "penguins.csv", "species", ["--algorithm", "naive-bayes"]),
    ("bayes-two", "breast_cancer.csv", "diagnosis", ["--algorithm", "naive-bayes"]),
    ("bayes-counts", "digits.csv", "digit", ["--algorithm", "naive-bayes"]),
    ("net-three", "penguins.csv", "species", ["--algorithm", "mlp"]),
    ("net-number", "diabetes.csv", "progression", ["--algorithm", "mlp", "--set", "activation=tanh"]),
    ("svm-two", "breast_cancer.csv", "diagnosis", ["--algorithm", "svm"]),
    ("svm-three", "penguins.csv", "species", ["--algorithm", "svm"]),
    ("svm-votes", "penguins.csv", "species", ["--algorithm", "svm", "--set", "probability=false"]),
    ("svm-polynomial", "wine.csv", "cultivar", ["--algorithm", "svm", "--set", "kernel=poly"]),
    ("svm-linear", "diabetes.csv", "progression", ["--algorithm", "svm", "--set", "kernel=linear"]),
    ("nearest-three", "penguins.csv", "species", ["--algorithm", "knn"]),
    ("nearest-weighted", "diabetes.csv", "progression", ["--algorithm", "knn", "--set", "weights=distance", "--set", "metric=manhattan"]),
    ("auto-three", "penguins.csv", "species", []),
    ("auto-number", "diabetes.csv", "progression", []),
    ("auto-dates", "rentals.csv", "bicycles", []),
    ("sigmoid", "breast_cancer.csv", "diagnosis", [*GRADIENT, "--calibrate", "sigmoid"]),
    ("isotonic", "penguins.csv", "species", [*GRADIENT, "--calibrate", "isotonic"]),
    ("temperature", "wine.csv", "cultivar", ["--algorithm", "random-forest", "--calibrate", "temperature"]),
    ("threshold", "breast_cancer.csv", "diagnosis", [*GRADIENT, "--optimize", "cost", "--cost", "fp=1,fn=20"]),
]
# A table that `mixed` makes. Its skewed targets are learned as logarithms, powers and ranks.
MIXED = "mixed.csv"


def of_mixed(target, *flags):
    others = [other for other in ["grade", "won", "cost", "gain", "debt"] if other != target]
    return MIXED, target, [*(word for other in others for word in ["--drop", other]), *flags]


FOR_ONNX += [
    ("mixed-boosting", *of_mixed("grade", *GRADIENT, "--set", "n_estimators=20")),
    ("mixed-linear", *of_mixed("won", "--algorithm", "logistic-regression")),
    ("mixed-bayes", *of_mixed("grade", "--algorithm", "naive-bayes")),
    ("mixed-svm", *of_mixed("grade", "--algorithm", "svm", "--calibrate", "sigmoid")),
    ("mixed-auto", *of_mixed("won")),
    ("mixed-cost", *of_mixed("cost")),
    ("mixed-gain", *of_mixed("gain")),
    ("mixed-debt", *of_mixed("debt")),
]
# Those that --quick takes.
QUICK_EXPORTS = ["boosting-three", "boosting-levels", "forest-three", "linear-three", "linear-number", "means", "linear-dates",
                 "bayes-three", "net-three", "svm-three", "nearest-three", "isotonic", "threshold", "mixed-boosting", "mixed-cost"]


def with_lightgbm(name, model, rows, schema, expected):
    path = FOLDER / f"{name}.txt"
    run("export", "--model", model, "--to", "lightgbm", "--output", path)
    frame = pd.DataFrame(index=rows.index)
    for feature in schema["features"]:
        cells = rows[feature["name"]]
        if feature["type"] == "category":
            cells = cells.astype(object).where(cells.notna()).map(text, na_action="ignore")
            cells = pd.Categorical(cells.where(cells.isin(feature["levels"])), categories=feature["levels"])
        elif feature["type"] == "boolean":
            cells = cells.map({True: 1.0, False: 0.0, "yes": 1.0, "no": 0.0, 1: 1.0, 0: 0.0})
        frame[feature["name"]] = cells
    predicted = np.asarray(lgb.Booster(model_file=path).predict(frame))
    if expected.shape[1] == 2:
        expected = expected[:, 1]
    return np.abs(predicted.reshape(expected.shape) - expected) / np.maximum(1, np.abs(expected))


def text(cell):
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def with_sql(name, model, rows, schema, expected):
    path = FOLDER / f"{name}.sql"
    run("export", "--model", model, "--to", "sql", "--output", path)
    labels = schema["target"]["labels"]
    columns = [f"probability_{label}" for label in labels] or ["prediction"]
    differences = {}
    connection = sqlite3.connect(":memory:")
    rows.to_sql("rows", connection, index_label="row number")
    found = {"SQLite": pd.read_sql(path.read_text(), connection)}
    try:
        import duckdb

        database = duckdb.connect()
        database.register("rows", rows.reset_index(names="row number"))
        found["DuckDB"] = database.execute(path.read_text()).df()
    except ImportError:
        print("duckdb is not installed")
    if POSTGRES:
        found["PostgreSQL"] = with_postgres(name, path, rows, schema, expected)
    for database, answer in found.items():
        answer = answer.sort_values("row number")
        values = answer[columns].to_numpy(float)
        differences[database] = np.abs(values - expected) / np.maximum(1, np.abs(expected))
        if labels:
            most = np.array(labels, object)[expected.argmax(axis=1)]
            assert (answer["prediction"].astype(str).to_numpy() == most).all(), f"{name}: labels differ in {database}"
    return differences


def with_postgres(name, path, rows, schema, expected):
    table = FOLDER / f"{name}.rows.csv"
    types, shown = [], rows.reset_index(names="row number")
    for feature in schema["features"]:
        cells = shown[feature["name"]]
        is_number = feature["type"] == "number"
        types.append((feature["name"], "double precision" if is_number else "text"))
        if not is_number:
            shown[feature["name"]] = cells.astype(object).where(cells.notna()).map(text, na_action="ignore")
    shown = shown[["row number", *(column for column, _ in types)]]
    shown.to_csv(table, index=False)
    columns = ", ".join('"' + column.replace('"', '""') + f'" {kind}' for column, kind in [("row number", "bigint"), *types])
    query = "\n".join(line for line in path.read_text().rstrip().rstrip(";").splitlines() if not line.startswith("--"))
    script = (
        f'DROP TABLE IF EXISTS "rows";\nCREATE TABLE "rows" ({columns});\n\\copy "rows" FROM {str(table)!r} CSV HEADER\n'
        f"COPY (\n{query}\n) TO STDOUT CSV HEADER;\n"
    )
    done = subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", POSTGRES, "-U", "mlapi", "postgres"],
        input=script, capture_output=True, text=True,
    )
    assert done.returncode == 0, f"{name} in PostgreSQL: {done.stderr[:2000]}"
    return pd.read_csv(io.StringIO(done.stdout), dtype={"prediction": object} if schema["target"]["labels"] else None)


def feeds(rows, schema, inputs):
    """Rows as an exported ONNX file takes them: one input of one column each."""
    arrays = {}
    for feature in schema["features"]:
        cells, name = rows[feature["name"]], feature["name"]
        if feature["type"] == "category":
            values = cells.astype(object).where(cells.notna(), "").map(text).to_numpy(object)
        elif feature["type"] == "date":
            values = cells.map(seconds).to_numpy(float)
        elif feature["type"] == "boolean":
            values = cells.map({True: 1.0, False: 0.0, "yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}).to_numpy(float)
        else:
            values = pd.to_numeric(cells, errors="coerce").to_numpy(float)
        if inputs[name] == "tensor(float)":
            values = values.astype(np.float32)
        arrays[name] = values.reshape(-1, 1)
    return arrays


def seconds(cell):
    for form in ["%Y-%m-%dT%H:%M:%S", "%d/%m/%Y", "%Y年%m月%d日"]:
        try:
            return (datetime.strptime(cell, form) - datetime(1970, 1, 1)).total_seconds()
        except (TypeError, ValueError):
            continue
    return np.nan


def splits(path):
    """Every number that the trees of an ONNX file compare with."""
    found = []
    for node in onnx.load(path).graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_splits":
                found.append(onnx.numpy_helper.to_array(attribute.t))
    return np.unique(np.concatenate([*found, [0.0]]).astype(float))


def with_onnx(name, model, rows, schema, single):
    """The difference of each row, and the number of labels that differ."""
    path = FOLDER / f"{name}{'.single' if single else ''}.onnx"
    run("export", "--model", model, "--to", "onnx", *(["--compat"] if single else []), "--output", path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    numbers = [f["name"] for f in schema["features"] if f["type"] == "number"]
    hard = rows.sample(min(200, len(rows)), random_state=2).copy()
    pool = splits(FOLDER / f"{name}.onnx")
    # Numbers of the size of the table's: a far-out row overflows elsewhere.
    pool = np.concatenate([pool, np.nextafter(pool, np.inf), np.nextafter(pool, -np.inf), np.float32(pool).astype(float)])
    if len(pool) > 4:
        for column in numbers:
            hard[column] = hard[column].astype(float)
            low, high = hard[column].min(), hard[column].max()
            near = pool[(pool >= low - abs(low)) & (pool <= high + abs(high))]
            if len(near):
                taken = R.random(len(hard)) < 0.5
                hard.loc[taken, column] = R.choice(near, taken.sum())
    rows = pd.concat([rows, hard], ignore_index=True)
    if single:
        # Rounded before both see them.
        for column in numbers:
            rows[column] = rows[column].astype(np.float32).astype(float)
    labels = schema["target"]["labels"]
    expected, label = predicted_by_mlapi(f"{name}.onnx", model, rows, labels)
    inputs = {one.name: one.type for one in session.get_inputs()}
    found = session.run(None, feeds(rows, schema, inputs))
    # Sums are as exact as their parts, and so are numbers between far-apart ones.
    scale = np.maximum(max(1, np.abs(expected).mean()), np.abs(expected))
    difference = np.abs(found[-1].reshape(expected.shape) - expected) / scale
    assert not np.isnan(difference).any(), f"{name}: not a number in row {np.isnan(difference).any(axis=1).argmax()}"
    n_differ = 0
    if labels:
        assert not single or found[1].dtype == np.float32
        n_differ = int((found[0].astype(str) != label.astype(str)).sum())
    # One row alone is as the row among others.
    alone = session.run(None, feeds(rows.iloc[[7]], schema, inputs))
    assert np.allclose(alone[-1].ravel(), found[-1][7].ravel(), rtol=1e-5 if single else 1e-12, atol=1e-6 if single else 1e-15), name
    return difference.max(axis=1), n_differ


def predicted_by_mlapi(name, model, rows, labels):
    data, out = FOLDER / f"{name}.csv", FOLDER / f"{name}.out.csv"
    rows.to_csv(data, index=False)
    probabilities = ["--probabilities"] if labels else []
    run("predict", "--model", model, "--input", data, *probabilities, "--keep", "none", "--output", out, "--lenient")
    answer = pd.read_csv(out, dtype={"prediction": object} if labels else None)
    return answer[[f"probability_{label}" for label in labels] or ["prediction"]].to_numpy(float), answer["prediction"].to_numpy()


# In single precision a few rows lie beside a threshold that they are rounded across: the days of a date and sums.
ONNX_DOUBLE, ONNX_SINGLE, FAR = 1e-11, 1e-3, 0.01


def onnx_words(name, model, rows, schema, single):
    difference, n_differ = with_onnx(name, model, rows, schema, single)
    limit = ONNX_SINGLE if single else ONNX_DOUBLE
    far = difference > limit
    assert far.sum() <= (FAR * len(far) if single else 0), f"{name} in onnxruntime: {difference.max():.3g}"
    assert n_differ <= (FAR * len(far) if single else 0), f"{name} in onnxruntime: {n_differ} labels differ"
    words = f"onnxruntime {'single' if single else 'double'} {difference[~far].max():.1e}"
    if far.any():
        words += f", {far.sum()} of {len(far)} rows across a threshold"
    return words + (f" ({n_differ} labels)" if schema["target"]["labels"] else "")


def mixed(path):
    """A table of what the fixtures lack: booleans in words, levels that are quoted, numbers or null words elsewhere, dates
    before 1970 and after 2100, columns without a value here and there, whole numbers as labels, skewed targets."""
    n = 900
    frame = table(n)
    frame["member"] = R.choice(["yes", "no"], n)
    frame["open"] = R.choice(["true", "false"], n)
    frame["code"] = R.choice(["007", "42", "it's", 'a "b"', "größer", "x,y"], n)
    days = R.integers(-40_000, 60_000, n)
    frame["day"] = [f"{datetime(1970, 1, 1) + timedelta(days=int(d)):%Y-%m-%dT%H:%M:%S}" for d in days]
    frame["seen"] = [f"{datetime(1970, 1, 1) + timedelta(days=int(d), hours=int(d) % 24 + 5):%Y-%m-%dT%H:%M:%S}" for d in days]
    s = score(frame) + (frame["member"] == "yes") * 1.0 + (days % 365) / 200
    frame["grade"] = np.digitize(s, np.quantile(s, [0.3, 0.7])) * 5
    frame["won"] = (s > np.median(s)).astype(int)
    frame["cost"] = np.exp(s).round(3)
    frame["gain"] = (np.sinh(s - s.mean()) * 100).round(3)
    frame["debt"] = -np.exp(-0.7 * s).round(4)
    for name in ["member", "code", "day"]:
        frame.loc[R.random(n) < 0.07, name] = None
    frame.to_csv(path, index=False)


def check_export(name, fixture, target, flags, only_onnx):
    model = FOLDER / f"{name}.mlapi"
    source = (FOLDER if fixture == MIXED else FIXTURES) / fixture
    if fixture == MIXED and not source.exists():
        mixed(source)
    run("train", source, "--target", target, *flags, "--output", model)
    rows = pd.read_csv(source, dtype={"code": str, "open": object}).drop(columns=target)
    schema = json.loads(run("inspect", "--model", model, "--format", "json"))["schema"]
    rows = rows[[feature["name"] for feature in schema["features"]]]
    if len(rows) > 3000:
        rows = rows.sample(3000, random_state=3)
    hard = rows.sample(min(200, len(rows)), random_state=1).copy()
    for column in hard.columns:
        hard.loc[R.random(len(hard)) < 0.2, column] = None
        if hard[column].dtype == object or str(hard[column].dtype) == "str":
            hard.loc[R.random(len(hard)) < 0.1, column] = "never seen"
    rows = pd.concat([rows, hard], ignore_index=True)
    labels = schema["target"]["labels"]
    words = [onnx_words(name, model, rows, schema, single) for single in [False, True]]
    found = {}
    if not only_onnx:
        expected, _ = predicted_by_mlapi(name, model, rows, labels)
        if not name.startswith("linear"):
            found["LightGBM"] = with_lightgbm(name, model, rows, schema, expected)
        found |= with_sql(name, model, rows, schema, expected)
    for reader, differences in found.items():
        assert differences.max() <= DOUBLE, f"{name} in {reader}: {differences.max():.3g}"
        words.append(f"{reader} {differences.max():.1e}")
    return ", ".join(words)


def main():
    n = 0
    for name, *rest in CASES:
        if ONLY and not any(word in name for word in ONLY):
            continue
        difference, n_rows = check(name, *rest)
        print(f"{name:32} {n_rows} rows, largest difference {difference:.1e}", flush=True)
        n += 1
    print(f"{n} models are predicted as their trainers predict them")
    for only_onnx, cases in [(False, EXPORTS), (True, FOR_ONNX)]:
        for name, *rest in cases:
            if QUICK and not ONLY and name not in QUICK_EXPORTS:
                continue
            if not ONLY or any(word in f"export-{name}" for word in ONLY):
                print(f"export-{name:25} largest difference: {check_export(name, *rest, only_onnx)}", flush=True)


main()
