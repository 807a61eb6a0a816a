"""Times of mlapi in process and of onnxruntime from Python for the same models, and how long large models take to load.

    exported.py MLAPI ONE_ROW FOLDER [--quick] [--only models|large]

Two tables: models of mlapi that were exported to ONNX, and models of scikit-learn, LightGBM, XGBoost and CatBoost that
their own exporters wrote as ONNX and mlapi imported. Both sides are in process and have one thread: mlapi scores rows that
one_row.rs has read, onnxruntime is called from Python with arrays that were made beforehand, of one column each where the
file has one input per column, else one matrix of single precision. Neither side reads a file within the time. Rows are of
20 or 30 numbers; those with a one-hot encoder have two categories beside three numbers.

Times are medians of one row by itself, and the best of nine of 2,000 rows in one call. The two sides take turns, model by
model. The last lines
compare the least of each kind with a bar; they are no test.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(3)
ARGS = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
MLAPI, ONE_ROW, FOLDER = ARGS[0], ARGS[1], Path(ARGS[2])
ONLY = ARGS[3] if "--only" in sys.argv else None
QUICK = "--quick" in sys.argv
N = 2000
N_TRAIN = 1000 if QUICK else 5000
EXPORTED = [
    ("logistic regression", "linear", 20, ["--algorithm", "logistic-regression"]),
    ("boosting, 100 rounds", "trees", 20, ["--algorithm", "gradient-boosting", "--set", "n_estimators=100"]),
    ("forest, 100 trees", "trees", 30, ["--algorithm", "random-forest", "--set", "n_estimators=100"]),
    ("network, 64-32", "linear", 20, ["--algorithm", "mlp", "--set", "hidden_layer_sizes=64-32"]),
    ("svm, rbf", "other", 20, ["--algorithm", "svm"]),
    ("nearest neighbours", "other", 20, ["--algorithm", "knn"]),
]
# One row, batches of trees, batches of linear models and networks: how many times as fast as onnxruntime.
BARS = [("one row", 3.0), ("trees, a row of 2,000", 1.5), ("linear and networks, a row of 2,000", 0.5)]
WORST = {name: [] for name, _ in BARS}


def table(n, n_columns, seed):
    r = np.random.default_rng(seed)
    x = r.normal(size=(n, n_columns)).round(4)
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(n_columns)])
    noise = r.normal(size=n)
    frame["y"] = np.where(x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * noise > 0, "yes", "no")
    return frame


def mixed(n, seed):
    r = np.random.default_rng(seed)
    frame = table(n, 3, seed)
    frame.insert(3, "sex", r.choice(["f", "m"], n))
    frame.insert(4, "city", r.choice([f"city {i}" for i in range(12)], n))
    return frame


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout


def timed(call, n):
    call()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return times


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def arrays_of(session, data):
    """What the session is given for all rows."""
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    inputs = session.get_inputs()
    if len(inputs) == 1:
        return {inputs[0].name: np.ascontiguousarray(data.to_numpy(kinds[inputs[0].type]))}
    return {each.name: data[[each.name]].to_numpy(kinds[each.type]) for each in inputs}


def measure(name, kind, model, exported, data):
    rows = FOLDER / "rows.csv"
    data.to_csv(rows, index=False)
    session = session_of(exported)
    arrays = arrays_of(session, data.drop(columns="y"))
    singles = [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(N)]
    each = iter(singles * 2)
    words = run(ONE_ROW, model, rows).split()
    ours = [float(words[1]) / 1000, float(words[-1]) / 1000]
    one = statistics.median(timed(lambda: session.run(None, next(each)), N // 2)) * 1e6
    many = min(timed(lambda: session.run(None, arrays), 9)) / N * 1e6
    print(
        f"{name:34} {ours[0]:7.2f} {one:8.2f} {one / ours[0]:6.1f}× {ours[1]:8.3f} {many:8.3f} {many / ours[1]:6.2f}×",
        flush=True,
    )
    WORST["one row"].append((one / ours[0], name))
    batch = {"trees": BARS[1][0], "linear": BARS[2][0]}.get(kind)
    if batch:
        WORST[batch].append((many / ours[1], name))


def head(title):
    print(f"\n{title:34} {'one row, µs':>24} {'a row of 2,000, µs':>26}")
    print(f"{'':34} {'mlapi':>7} {'ort':>8} {'':>7} {'mlapi':>8} {'ort':>8}")


def exported():
    head("models of mlapi, exported")
    train, model, path = FOLDER / "train.csv", FOLDER / "model.mlapi", FOLDER / "model.onnx"
    for name, kind, n_columns, flags in EXPORTED:
        table(N_TRAIN, n_columns, 1).to_csv(train, index=False)
        run(MLAPI, "-q", "train", train, *flags, "--output", model)
        run(MLAPI, "export", "--model", model, "--to", "onnx", "--output", path)
        measure(name, kind, model, path, table(N, n_columns, 2))


def imported():
    import catboost as cb
    import lightgbm as lgb
    import xgboost as xgb
    from onnxmltools.convert import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as FloatOfTools
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    head("models of other trainers, imported")
    model, path = FOLDER / "model.mlapi", FOLDER / "model.onnx"
    train, rows = {n: table(N_TRAIN, n, 1) for n in (20, 30)}, {n: table(N, n, 2) for n in (20, 30)}
    few = 1000

    def x_of(n_columns):
        return train[n_columns].drop(columns="y").to_numpy(np.float32).astype(float)

    def two(n_columns=20):
        return (train[n_columns]["y"] == "yes").to_numpy().astype(int)

    def three():
        return np.digitize(x_of(20)[:, 0] + x_of(20)[:, 1], [-0.6, 0.6])

    def score(n_columns=20):
        return x_of(n_columns)[:, 0] + x_of(n_columns)[:, 1] * x_of(n_columns)[:, 2]

    def measure_onnx(name, kind, data):
        columns = [column for column in data if column != "y"]
        run(MLAPI, "-q", "import", path, "--features", ",".join(columns), "--target", "y", "--output", model)
        measure(name, kind, model, path, data)

    def sklearn(name, kind, estimator, y, n_columns=20, n=None, double=False):
        estimator.fit(x_of(n_columns)[:n], y[:n])
        options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
        tensor = DoubleTensorType if double else FloatTensorType
        made = to_onnx(estimator, initial_types=[("X", tensor([None, n_columns]))], options=options)
        path.write_bytes(made.SerializeToString())
        measure_onnx(name, kind, rows[n_columns])

    def tools(name, estimator, convert, y):
        estimator.fit(x_of(20), y)
        made = convert(estimator, initial_types=[("X", FloatOfTools([None, 20]))], target_opset=15, **({"zipmap": False} if convert is convert_lightgbm else {}))
        path.write_bytes(made.SerializeToString())
        measure_onnx(name, "trees", rows[20])

    jobs = dict(n_jobs=1)
    logistic = lambda: make_pipeline(StandardScaler(), LogisticRegression())
    sklearn("scaler, logistic regression", "linear", logistic(), two())
    sklearn("the same, three classes", "linear", logistic(), three())
    sklearn("the same in double precision", "linear", logistic(), two(), double=True)
    sklearn("scaler, ridge", "linear", make_pipeline(StandardScaler(), Ridge()), score())
    mixed_train, mixed_rows = mixed(N_TRAIN, 1), mixed(N, 2)
    numbers, words = ["x0", "x1", "x2"], ["sex", "city"]
    for name, scale in [
        ("imputer, scaler, one-hot, logistic", make_pipeline(SimpleImputer(), StandardScaler())),
        ("scaler, one-hot, logistic", StandardScaler()),
    ]:
        prepared = ColumnTransformer([("n", scale, numbers), ("k", OneHotEncoder(handle_unknown="ignore"), words)], sparse_threshold=0)
        estimator = make_pipeline(prepared, LogisticRegression())
        estimator.fit(mixed_train[numbers + words], (mixed_train["y"] == "yes").astype(int))
        kinds = [(c, (FloatTensorType if c in numbers else StringTensorType)([None, 1])) for c in numbers + words]
        made = to_onnx(estimator, initial_types=kinds, options={id(estimator): {"zipmap": False}})
        path.write_bytes(made.SerializeToString())
        measure_onnx(name, "linear", mixed_rows)
    net = MLPClassifier((64, 32), max_iter=20)
    sklearn("scaler, MLP 64-32", "linear", make_pipeline(StandardScaler(), net), two())
    sklearn("forest, 100 trees", "trees", RandomForestClassifier(100, **jobs), two(30), 30)
    sklearn("forest of numbers, 50 trees", "trees", RandomForestRegressor(50, **jobs), score(30), 30)
    sklearn("gradient boosting, 50", "trees", GradientBoostingClassifier(n_estimators=50), two())
    sklearn("histogram boosting, 100", "trees", HistGradientBoostingClassifier(max_iter=100), two())
    sklearn("the same, three classes", "trees", HistGradientBoostingClassifier(max_iter=100), three())
    tools("LightGBM, 100", lgb.LGBMClassifier(n_estimators=100, verbose=-1, **jobs), convert_lightgbm, two())
    tools("LightGBM, 100, three classes", lgb.LGBMClassifier(n_estimators=100, verbose=-1, **jobs), convert_lightgbm, three())
    tools("XGBoost, 100", xgb.XGBClassifier(n_estimators=100, **jobs), convert_xgboost, two())
    tools("XGBoost, 100, three classes", xgb.XGBClassifier(n_estimators=100, **jobs), convert_xgboost, three())
    cat = cb.CatBoostClassifier(iterations=100, verbose=0, allow_writing_files=False, thread_count=1)
    cat.fit(x_of(20), two())
    cat.save_model(str(path), format="onnx")
    measure_onnx("CatBoost, 100", "trees", rows[20])
    sklearn("SVC, rbf, with probabilities", "other", make_pipeline(StandardScaler(), SVC(probability=True)), two(), n=few)
    sklearn("nearest neighbours, 1,000 rows", "other", KNeighborsClassifier(), two(), n=few)
    sklearn("naive Bayes", "other", GaussianNB(), two())


def verdict():
    print()
    for name, bar in BARS:
        if WORST[name]:
            ratio, model = min(WORST[name])
            n_met = sum(ratio >= bar for ratio, _ in WORST[name])
            print(f"{name}: {n_met} of {len(WORST[name])} are {bar:g}× as fast as onnxruntime, the least {ratio:.2f}× ({model})")


def large():
    """Models of more than 100 MB, as the files of XGBoost, LightGBM and ONNX that are imported, and as model files."""
    import lightgbm as lgb
    import xgboost as xgb

    n, share = (4000, 20) if QUICK else (40_000, 1)
    data = table(n, 20, 3).assign(y=np.random.default_rng(4).normal(size=n))
    train, model = FOLDER / "train.csv", FOLDER / "large.mlapi"
    data.to_csv(train, index=False)
    row = ",".join(["0.5"] * 20)
    print("\nlarge models, in seconds: the best of three runs of the program")

    def loaded(what):
        seconds = min(timed(lambda: run(MLAPI, "predict", "--model", model, "--features", row), 3))
        print(f"{what:34} {os.path.getsize(model) / 1e6:7.0f} MB  loaded, checked and one row predicted: {seconds:5.2f}", flush=True)

    def imported(what, path):
        seconds = min(timed(lambda: run(MLAPI, "-q", "import", path, "--output", model), 3))
        print(f"{what:34} {os.path.getsize(path) / 1e6:7.0f} MB  imported: {seconds:5.2f}", flush=True)
        loaded("  as a model file")

    forest = ["--algorithm", "random-forest", "--set", f"n_estimators={100 // share}"]
    run(MLAPI, "-q", "train", train, *forest, "--output", model)
    loaded("forest of mlapi")
    for dialect, flags in (("", []), (", --compat", ["--compat"])):
        path = FOLDER / "large.onnx"
        run(MLAPI, "export", "--model", FOLDER / "large.mlapi", "--to", "onnx", *flags, "--output", path)
        os.replace(model, FOLDER / "own.mlapi")
        imported(f"ONNX{dialect}", path)
        os.replace(FOLDER / "own.mlapi", model)
        path.unlink()
    x, y = data.drop(columns="y").to_numpy(), data["y"].to_numpy()
    # A few trees, repeated up to the size: to train hundreds of thousands of leaves takes many minutes.
    wanted = 104e6 / share
    settings = dict(objective="regression", num_leaves=8000 // share, min_data_in_leaf=1, min_sum_hessian_in_leaf=0, verbose=-1)
    text = lgb.train(settings, lgb.Dataset(x, y), 4).model_to_string()
    head, trees = text.split("\n\nTree=0", 1)
    trees, tail = ("Tree=0" + trees).split("end of trees", 1)
    trees = [tree.partition("\n")[2] for tree in re.split(r"(?=Tree=\d+\n)", trees) if tree]
    n_trees = int(wanted / len(text) * len(trees))
    trees = [f"Tree={i}\n{trees[i % len(trees)]}" for i in range(n_trees)]
    sizes = " ".join(str(len(tree)) for tree in trees)
    path = FOLDER / "large.txt"
    path.write_text(re.sub("tree_sizes=.*", f"tree_sizes={sizes}", head) + "\n\n" + "".join(trees) + "end of trees" + tail)
    assert lgb.Booster(model_file=path).num_trees() == n_trees
    imported("LightGBM", path)
    settings = dict(grow_policy="lossguide", max_leaves=8000 // share, max_depth=0, min_child_weight=0, tree_method="hist")
    path = FOLDER / "large.json"
    xgb.train(settings, xgb.DMatrix(x, y), 4).save_model(path)
    document = json.loads(path.read_text())
    trees = document["learner"]["gradient_booster"]["model"]
    n_trees = int(wanted / os.path.getsize(path) * 4)
    trees["trees"] = [{**trees["trees"][i % 4], "id": i} for i in range(n_trees)]
    trees["tree_info"], trees["iteration_indptr"] = [0] * n_trees, list(range(n_trees + 1))
    trees["gbtree_model_param"]["num_trees"] = str(n_trees)
    path.write_text(json.dumps(document, separators=(",", ":")))
    imported("XGBoost, json", path)
    booster = xgb.Booster(model_file=path)
    path = FOLDER / "large.ubj"
    booster.save_model(path)
    imported("XGBoost, ubj", path)


if ONLY != "large":
    exported()
    imported()
    verdict()
if ONLY != "models":
    large()
