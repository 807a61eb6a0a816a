"""ONNX files of the libraries' own exporters, imported and compared with onnxruntime.

    foreign_onnx.py MLAPI FOLDER [--quick] [NAME…]

Each case is trained, exported, imported, and predicts 2,000 ordinary rows and 600 adversarial ones. Those of models of trees
lie at the thresholds and one unit in the last place (of single and of double precision) beside them, are missing or zero;
those of others are zero, tiny, or far out. Every probability has to be within 5e-6 of onnxruntime's
(1e-4 of naive Bayes, whose graph subtracts large logarithms in single precision), every number within
1e-5 relative to 1 or the mean size, and labels have to be equal. Rows of which onnxruntime makes no number, or which it
refuses, have to be refused; only cases that are marked so have any. `--quick` trains smaller models and takes fewer rows.
PyTorch and Keras are compared if they are installed.
"""

import json
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import catboost as cb
import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import xgboost as xgb
from onnxmltools.convert import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as TensorOfTools
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
ort.set_default_logger_severity(3)
QUICK = "--quick" in sys.argv
ARGS = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
MLAPI, FOLDER, ONLY = ARGS[0], Path(ARGS[1]), ARGS[2:]
ROUNDS = 10 if QUICK else 100
N_ORDINARY, N_ADVERSARIAL = (200, 200) if QUICK else (2000, 600)
N_TRAIN = 500 if QUICK else 2000
R = np.random.default_rng(11)

NUMBERS = ["a", "b", "c", "d", "e", "f"]
SEXES, CITIES = ["f", "m"], [f"city {i}" for i in range(12)]
WORDS = "the a Good bad film movie was very great boring plot of and I loved hated it".split()


def table(n):
    frame = pd.DataFrame(R.normal(size=(n, 6)) * [1, 10, 0.1, 1, 3, 1], columns=NUMBERS)
    frame["d"] = R.integers(0, 5, n).astype(float)
    frame["sex"], frame["city"] = R.choice(SEXES, n), R.choice(CITIES, n)
    frame["text"] = [" ".join(R.choice(WORDS, R.integers(1, 12))) for _ in range(n)]
    return frame


TRAIN = table(N_TRAIN)
X = TRAIN[NUMBERS].to_numpy(np.float32).astype(float)
SCORE = X[:, 0] + X[:, 1] / 8 + (X[:, 3] > 2) + R.normal(0, 0.5, N_TRAIN)
TWO = (SCORE > 0.4).astype(int)
THREE = np.digitize(SCORE, np.quantile(SCORE, [0.3, 0.7]))
NAMES = np.array(["low", "middle", "high"])[THREE]
GOOD = TRAIN["text"].str.contains("Good|great|loved").astype(int).to_numpy()
GAPS = np.where(R.random(X.shape) < 0.1, np.nan, X)


def thresholds(model):
    found = [np.zeros(1)]
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_values":
                found.append(np.unique(np.array(attribute.floats, float)))
            elif attribute.name in ("nodes_values_as_tensor", "nodes_splits"):
                found.append(np.unique(onnx.numpy_helper.to_array(attribute.t).astype(float)))
    return np.unique(np.concatenate(found))


def adversarial(frame, model, gaps):
    frame = frame.sample(N_ADVERSARIAL, random_state=1).reset_index(drop=True)
    found = thresholds(model)
    is_tree = len(found) > 1
    exact = found.astype(np.float32)
    up, down = np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))
    pool = [0.0, -0.0, 1e-36, -1e-30, 3.0, -25.0]
    if is_tree:
        beside = [np.nextafter(found, np.inf), np.nextafter(found, -np.inf), up, down]
        midway = [(exact.astype(float) + down) / 2, (exact.astype(float) + up) / 2]
        pool = np.concatenate([found, exact, *beside, *midway, pool, [1e30, -1e30]]).astype(float)
        pool = pool[np.isfinite(pool)]
    for name in [name for name in NUMBERS if name in frame]:
        taken = R.random(len(frame)) < 0.7
        frame.loc[taken, name] = R.choice(pool, taken.sum())
        if gaps:
            frame.loc[R.random(len(frame)) < 0.15, name] = np.nan
    if "city" in frame:
        frame.loc[R.random(len(frame)) < 0.1, "city"] = "never seen"
    if "text" in frame:
        frame.loc[R.random(len(frame)) < 0.1, "text"] = "wholly unknown, words! Film-movie x 7_a"
    return frame


def feed(session, rows):
    inputs = session.get_inputs()
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(string)": object}
    if len(inputs) == 1:
        values = rows.to_numpy(kinds[inputs[0].type])
        return {inputs[0].name: values.reshape(len(rows), *[d for d in inputs[0].shape[1:]]) if len(inputs[0].shape) > 2 else values}
    return {i.name: rows[[i.name]].to_numpy(kinds[i.type]) for i in inputs}


def row_by_row(session, rows):
    """The outputs of each row; of one that is refused, those of the first row as missing numbers."""
    parts = []
    for i in range(len(rows)):
        try:
            parts.append(session.run(None, feed(session, rows.iloc[i : i + 1])))
        except Refused:
            parts.append(None)
    none = [np.full_like(made, np.nan, float) for made in next(part for part in parts if part)]
    return [part or none for part in parts]


def theirs(model, rows, refuses=False):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    first = session.get_inputs()[0].shape[0]
    if first == 1 or refuses:
        parts = row_by_row(session, rows) if refuses else [session.run(None, feed(session, rows.iloc[i : i + 1])) for i in range(len(rows))]
        made = [np.concatenate([part[i] for part in parts]) for i in range(len(names))]
    else:
        made = session.run(None, feed(session, rows))
    for name, values in zip(names, made):
        if isinstance(values, list):
            return pd.DataFrame(values)
    floats = {name: v for name, v in zip(names, made) if v.dtype in (np.float32, np.float64)}
    chosen = [name for name in floats if "prob" in name] or list(floats)
    return pd.DataFrame(floats[chosen[0]].reshape(len(rows), -1))


def run(*words):
    done = subprocess.run([MLAPI, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"mlapi {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def softmax(scores):
    power = np.exp(scores - scores.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


Refused = ort.capi.onnxruntime_pybind11_state.Fail
CASES = []


def case(name, columns=NUMBERS, gaps=False, classes=True, flags=(), link=None, form=None, refuses=False):
    def add(make):
        CASES.append((name, columns, gaps, classes, list(flags), link, form, refuses, make))
        return make

    return add


def sklearn_case(name, model, y=None, x=None, columns=NUMBERS, kinds=None, form=None, gaps=False, double=False, link=None, trainer=False, refuses=False):
    classes = y is not None and np.asarray(y).dtype.kind in "iUO"

    @case(f"sklearn-{name}", columns, gaps, classes, form=form, link=link, refuses=refuses)
    def make():
        rows = X if x is None else x
        model.fit(rows, y)
        kind = DoubleTensorType if double else FloatTensorType
        # onnxruntime has no ZipMap of doubles.
        options = {id(model): {"zipmap": False}} if double or (refuses and classes) else None
        made = to_onnx(model, initial_types=kinds or [("X", kind([None, len(columns)]))], options=options)
        if not trainer:
            return made
        # onnxruntime adds up hundreds of kernels in single precision; scikit-learn is nearer to what the file says.
        ask = model.predict_proba if classes else model.predict
        return made, lambda rows: pd.DataFrame(ask(rows.to_numpy(np.float32).astype(float)))


def by_column(columns):
    return [(c, (FloatTensorType if c in NUMBERS else StringTensorType)([None, 1])) for c in columns]


N = 20 if QUICK else 100
sklearn_case("logistic", make_pipeline(StandardScaler(), LogisticRegression()), NAMES, form="linear-softmax")
sklearn_case("logistic-two", make_pipeline(RobustScaler(), LogisticRegression()), TWO, form="linear-sigmoid")
sklearn_case("logistic-double", make_pipeline(StandardScaler(), LogisticRegression()), TWO, double=True, form="linear-sigmoid")
sklearn_case("logistic-three-double", make_pipeline(StandardScaler(), LogisticRegression()), NAMES, double=True, form="linear-softmax")
sklearn_case("logistic-gaps", make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), TWO, GAPS, gaps=True, form="linear-sigmoid")
sklearn_case("ridge", make_pipeline(MinMaxScaler(), Ridge()), SCORE * 10, form="linear")
sklearn_case("polynomial", make_pipeline(StandardScaler(), PolynomialFeatures(2), LinearRegression()), SCORE)
sklearn_case("pca", make_pipeline(StandardScaler(), PCA(3), LogisticRegression()), THREE)
sklearn_case("sgd", make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")), TWO)
sklearn_case("tree", DecisionTreeClassifier(max_depth=8), NAMES, form="trees")
sklearn_case("forest", RandomForestClassifier(N, max_depth=12), TWO, form="trees")
sklearn_case("forest-three", RandomForestClassifier(N // 2), NAMES, form="trees")
sklearn_case("forest-number", RandomForestRegressor(N // 2), SCORE * 10, form="trees")
sklearn_case("extra-trees-scaled", make_pipeline(StandardScaler(), ExtraTreesClassifier(N // 2, max_depth=9)), THREE, form="trees")
sklearn_case("gradient-boosting", GradientBoostingClassifier(n_estimators=N // 2), TWO, form="trees-sigmoid")
sklearn_case("gradient-boosting-three", GradientBoostingClassifier(n_estimators=N // 4), NAMES, form="trees-softmax")
sklearn_case("gradient-boosting-number", GradientBoostingRegressor(n_estimators=N // 2), SCORE, form="trees")
sklearn_case("hist", HistGradientBoostingClassifier(max_iter=ROUNDS), TWO, GAPS, gaps=True, form="trees-sigmoid")
sklearn_case("hist-three", HistGradientBoostingClassifier(max_iter=ROUNDS // 2), NAMES, GAPS, gaps=True, form="trees-softmax")
sklearn_case("hist-number", HistGradientBoostingRegressor(max_iter=ROUNDS), SCORE, GAPS, gaps=True, form="trees")
sklearn_case("svc", SVC(probability=True), TWO)
sklearn_case("svc-three", SVC(probability=True), NAMES)
sklearn_case("svc-scaled", make_pipeline(StandardScaler(), SVC(probability=True)), THREE)
sklearn_case("svc-poly", SVC(kernel="poly", degree=2, probability=True), TWO, trainer=True)
sklearn_case("svc-linear", SVC(kernel="linear", probability=True), TWO, trainer=True)
sklearn_case("svr", SVR(), SCORE, form="kernel", trainer=True)
sklearn_case("linear-svc", LinearSVC(), THREE, link=softmax)
sklearn_case("nb", GaussianNB(), THREE)
sklearn_case("nb-bernoulli", BernoulliNB(), TWO)
sklearn_case("knn", KNeighborsClassifier(5), NAMES)
sklearn_case("knn-number", KNeighborsRegressor(5, weights="distance"), SCORE)
sklearn_case("mlp", make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=20)), TWO, form="net-sigmoid")
sklearn_case("mlp-three", make_pipeline(StandardScaler(), MLPClassifier((16,), activation="tanh", max_iter=20)), NAMES, form="net-softmax")
sklearn_case("mlp-number", make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16, 8), activation="logistic", max_iter=20)), SCORE, form="net")
sklearn_case("voting", VotingClassifier([("l", LogisticRegression()), ("t", DecisionTreeClassifier(max_depth=3))], voting="soft", flatten_transform=False), TWO)
sklearn_case("bagging", BaggingClassifier(DecisionTreeClassifier(max_depth=3), 5), TWO)
sklearn_case("adaboost", AdaBoostClassifier(n_estimators=5), THREE)
sklearn_case("binned", make_pipeline(KBinsDiscretizer(4, encode="onehot-dense"), LogisticRegression()), TWO)
sklearn_case("normalizer", make_pipeline(Normalizer(), LogisticRegression()), TWO)
MIXED = ["a", "b", "d", "sex", "city"]
WITH_GAPS = TRAIN[MIXED].assign(a=GAPS[:, 0])
prepared = ColumnTransformer(
    [
        ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["a", "b", "d"]),
        ("k", OneHotEncoder(handle_unknown="ignore"), ["sex", "city"]),
    ],
    sparse_threshold=0,
)
sklearn_case("columns", make_pipeline(prepared, LogisticRegression()), NAMES, WITH_GAPS, MIXED, by_column(MIXED), "linear-softmax", gaps=True)
sklearn_case("columns-mlp", make_pipeline(prepared, MLPClassifier((8,), max_iter=9)), TWO, WITH_GAPS, MIXED, by_column(MIXED), "net-sigmoid", gaps=True)
sklearn_case("columns-forest", make_pipeline(prepared, RandomForestClassifier(N // 4)), NAMES, WITH_GAPS, MIXED, by_column(MIXED), "trees", gaps=True)
sklearn_case("columns-boosting", make_pipeline(prepared, HistGradientBoostingClassifier(max_iter=ROUNDS // 2)), TWO, WITH_GAPS, MIXED, by_column(MIXED), "trees-sigmoid", gaps=True)
ordinal = ColumnTransformer(
    [("n", "passthrough", ["a", "b", "d"]), ("k", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["sex", "city"])]
)
sklearn_case("ordinal-forest", make_pipeline(ordinal, RandomForestClassifier(N // 4)), TWO, TRAIN[MIXED], MIXED, by_column(MIXED))

def plain(scaler=None, **kwargs):
    """Without an imputer: of a missing number nothing is made."""
    return ColumnTransformer([("n", scaler or StandardScaler(), ["a", "b", "d"]), ("k", OneHotEncoder(**kwargs), ["sex", "city"])])


for name, model, y, form in [
    ("", LogisticRegression(), TWO, "linear-sigmoid"),
    ("-three", LogisticRegression(), NAMES, "linear-softmax"),
    ("-ridge", Ridge(), SCORE * 10, "linear"),
    ("-poisson", PoissonRegressor(), np.exp(SCORE / 4), "linear-exponential"),
    ("-mlp", MLPClassifier((8,), max_iter=9), TWO, "net-sigmoid"),
    ("-mlp-tanh", MLPClassifier((8, 4), activation="tanh", max_iter=9), NAMES, "net-softmax"),
    ("-mlp-number", MLPRegressor(hidden_layer_sizes=(8,), max_iter=9), SCORE, "net"),
]:
    known = dict(handle_unknown="ignore")
    for kind, encoder in [("plain", known), ("closed", {})] + ([("dropped", dict(drop="first"))] if "three" in name else []):
        sklearn_case(f"columns-{kind}{name}", make_pipeline(plain(**encoder), model), y, TRAIN[MIXED], MIXED, by_column(MIXED), form, gaps=True, refuses=True)
sklearn_case("columns-passed", make_pipeline(plain("passthrough", handle_unknown="ignore"), LogisticRegression()), TWO, TRAIN[MIXED], MIXED, by_column(MIXED), "linear-sigmoid", gaps=True, refuses=True)
sklearn_case("columns-plain-forest", make_pipeline(plain(handle_unknown="ignore"), RandomForestClassifier(N // 4)), TWO, TRAIN[MIXED], MIXED, by_column(MIXED), "trees", gaps=True)
sklearn_case("columns-closed-forest", make_pipeline(plain(), RandomForestClassifier(N // 4)), TWO, TRAIN[MIXED], MIXED, by_column(MIXED), refuses=True)
sklearn_case("matrix-refuses", make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=9)), TWO, form="net-sigmoid", gaps=True, refuses=True)
TEXT = [("text", StringTensorType([None, 1]))]
for kind, vectorizer in [
    ("tfidf", TfidfVectorizer(lowercase=False, token_pattern="[a-zA-Z0-9_]+", ngram_range=(1, 2))),
    ("counts", CountVectorizer(lowercase=False, token_pattern="[a-zA-Z0-9_]+", binary=False)),
]:
    sklearn_case(f"text-{kind}", make_pipeline(vectorizer, LogisticRegression()), GOOD, TRAIN["text"], ["text"], TEXT)


def tools_case(name, model, convert, y, form, gaps=True):
    @case(name, gaps=gaps, classes=np.asarray(y).dtype.kind in "iUO", form=form)
    def make():
        model.fit(GAPS if gaps else X, y)
        return convert(model, initial_types=[("X", TensorOfTools([None, len(NUMBERS)]))], target_opset=15)


settings = dict(n_estimators=ROUNDS, n_jobs=1)
tools_case("lightgbm-two", lgb.LGBMClassifier(verbose=-1, **settings), convert_lightgbm, TWO, "trees-sigmoid")
tools_case("lightgbm-two-tensors", lgb.LGBMClassifier(verbose=-1, **settings), partial(convert_lightgbm, zipmap=False), TWO, "trees-sigmoid")
tools_case("lightgbm-three", lgb.LGBMClassifier(verbose=-1, **settings), convert_lightgbm, THREE, "trees-softmax")
tools_case("lightgbm-number", lgb.LGBMRegressor(verbose=-1, **settings), convert_lightgbm, SCORE * 10, "trees")
tools_case("xgboost-two", xgb.XGBClassifier(**settings), convert_xgboost, TWO, "trees-sigmoid")
tools_case("xgboost-three", xgb.XGBClassifier(**settings), convert_xgboost, THREE, "trees-softmax")
tools_case("xgboost-number", xgb.XGBRegressor(**settings), convert_xgboost, SCORE * 10, "trees")


@case("lightgbm-categories")
def _():
    model = lgb.LGBMClassifier(n_estimators=ROUNDS, verbose=-1, n_jobs=1)
    model.fit(X, TWO, categorical_feature=[3])
    return convert_lightgbm(model, initial_types=[("X", TensorOfTools([None, len(NUMBERS)]))], target_opset=15)


def catboost_case(name, kind, y, form):
    @case(f"catboost-{name}", gaps=True, classes=y.dtype.kind in "iUO", form=form)
    def make():
        model = kind(iterations=ROUNDS, verbose=0, allow_writing_files=False, thread_count=1)
        model.fit(GAPS, y)
        path = FOLDER / f"catboost-{name}.trained.onnx"
        model.save_model(str(path), format="onnx")
        return onnx.load(path)


catboost_case("two", cb.CatBoostClassifier, TWO, "trees-sigmoid")
catboost_case("three", cb.CatBoostClassifier, NAMES, "trees-softmax")
catboost_case("number", cb.CatBoostRegressor, SCORE, "trees")


def torch_cases():
    try:
        import torch
    except ImportError:
        print("torch is not installed; its exports are left out")
        return
    torch.manual_seed(1)
    nn = torch.nn

    def exported(net, example, **kwargs):
        net.eval()
        path = FOLDER / "torch.onnx"
        kwargs.setdefault("dynamic_axes", {"x": {0: "n"}})
        torch.onnx.export(net, (example,), str(path), input_names=["x"], output_names=["y"], dynamo=False, **kwargs)
        return onnx.load(path)

    def modern(net, example):
        net.eval()
        path = FOLDER / "torch.onnx"
        rows = torch.export.Dim("n", min=1)
        program = torch.onnx.export(net, (example,), dynamo=True, dynamic_shapes=({0: rows},), input_names=["x"], output_names=["y"])
        program.save(str(path), external_data=False)
        return onnx.load(path)

    def fitted(net, y, loss):
        x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(30):
            optimizer.zero_grad()
            loss(net(x), y).backward()
            optimizer.step()
        return net

    example = torch.zeros(2, 6)
    plain = lambda k: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, k))
    LABELS = ["--labels", "low,middle,high"]

    @case("torch-logits", flags=LABELS, link=softmax)
    def _():
        return exported(fitted(plain(3), THREE, nn.CrossEntropyLoss()), example)

    @case("torch-softmax", form="net-softmax", flags=LABELS)
    def _():
        return exported(nn.Sequential(fitted(plain(3), THREE, nn.CrossEntropyLoss()), nn.Softmax(dim=1)), example)

    @case("torch-modern", form="net-softmax", flags=LABELS)
    def _():
        return modern(nn.Sequential(fitted(plain(3), THREE, nn.CrossEntropyLoss()), nn.Softmax(dim=1)), example)

    @case("torch-number", classes=False, form="net")
    def _():
        return modern(plain(1), example)

    @case("torch-norm-gelu", flags=LABELS)
    def _():
        net = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 16), nn.LayerNorm(16), nn.SiLU(), nn.Linear(16, 3))
        return modern(nn.Sequential(fitted(net, THREE, nn.CrossEntropyLoss()), nn.Softmax(dim=1)), example)

    @case("torch-fixed-batch", flags=LABELS)
    def _():
        net = nn.Sequential(fitted(plain(3), THREE, nn.CrossEntropyLoss()), nn.Softmax(dim=1))
        return exported(net, example[:1], dynamic_axes=None)

    pixels = [f"p{i}" for i in range(64)]

    @case("torch-cnn", columns=pixels, flags=["--labels", "0,1,2,3"])
    def _():
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 4), nn.Softmax(dim=1),
        )
        return modern(net, torch.zeros(2, 1, 8, 8))


def keras_cases():
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ImportError:
        print("keras is not installed; its exports are left out")
        return

    @case("keras-two", flags=["--labels", "no,yes"])
    def _():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(32, "relu"), keras.layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy")
        model.fit(X, TWO, epochs=1, verbose=0)
        model.export(FOLDER / "keras.onnx", format="onnx", verbose=False)
        return onnx.load(FOLDER / "keras.onnx")


def rows_of(columns, model, gaps):
    if columns[0] == "p0":
        return pd.DataFrame(R.normal(size=(256, len(columns))).astype(np.float32).astype(float), columns=columns)
    frame = table(N_ORDINARY)[columns]
    if gaps:
        for name in [name for name in NUMBERS if name in frame and (len(columns) == 6 or name == "a")]:
            frame.loc[R.random(len(frame)) < 0.1, name] = np.nan
    wild = adversarial(table(N_ADVERSARIAL)[columns], model, gaps)
    return pd.concat([frame, wild], ignore_index=True)


def check(name, columns, gaps, classes, flags, link, form, refuses, make):
    model = make()
    model, trainer = model if isinstance(model, tuple) else (model, None)
    path, out = FOLDER / f"{name}.onnx", FOLDER / f"{name}.out.csv"
    path.write_bytes(model.SerializeToString())
    rows = rows_of(columns, model, gaps)
    data = FOLDER / f"{name}.csv"
    shown = rows.copy()
    for column in shown:
        if shown[column].dtype == float:
            shown[column] = [None if np.isnan(value) else repr(float(value)) for value in shown[column]]
    shown.to_csv(data, index=False)
    expected = trainer(rows) if trainer else theirs(model, rows, refuses)
    mlapi = FOLDER / f"{name}.mlapi"
    run("import", path, "--features", ",".join(columns), "--target", "y", *flags, "--output", mlapi)
    inspected = json.loads(run("inspect", "--model", mlapi, "--format", "json"))
    found = inspected.get("form") or inspected["card"]["hyperparameters"]["objective"]
    run("predict", "--model", mlapi, "--input", data, *(["--probabilities"] if classes else []), "--keep", "none", "--output", out, *(["--on-error", "null"] if refuses else []))
    # A refused row is an empty line.
    predicted = pd.read_csv(out, dtype={"prediction": str} if classes else None, skip_blank_lines=False)
    values = expected.to_numpy(float)
    if refuses:
        none, ours = np.isnan(values).any(axis=1), predicted["prediction"].isna().to_numpy()
        assert none.any() and (none == ours).all(), f"{name}: {none.sum()} rows are refused by onnxruntime, {ours.sum()} by mlapi"
        rows, predicted = (of[~none].reset_index(drop=True) for of in (rows, predicted))
        values = values[~none]
    if link:
        values = link(values)
    if classes:
        if values.shape[1] == 1:
            values = np.hstack([1 - values, values])
        labels = [str(label) for label in inspected["labels"]]
        if expected.shape[1] > 1 and not isinstance(expected.columns, pd.RangeIndex):
            assert labels == [str(label) for label in expected.columns], (labels, list(expected.columns))
        ours = predicted[[f"probability_{label}" for label in labels]].to_numpy(float)
        difference = np.abs(ours - values).max(axis=1)
        order = np.sort(values, axis=1)
        clear = order[:, -1] - order[:, -2] > 1e-5
        same = predicted["prediction"].astype(str).to_numpy() == np.array(labels)[values.argmax(axis=1)]
        assert same[clear].all(), f"{name}: {(~same[clear]).sum()} labels differ"
        # The graph of naive Bayes subtracts log-likelihoods of hundreds in single precision.
        limit = 1e-4 if name == "sklearn-nb" else 5e-6
    else:
        values = values[:, 0]
        scale = max(1, np.abs(values).mean())
        difference = np.abs(predicted["prediction"].to_numpy(float) - values) / np.maximum(scale, np.abs(values))
        limit = 1e-5
    worst = int(np.nanargmax(difference))
    assert not np.isnan(difference).any(), f"{name}: {np.isnan(difference).sum()} predictions are no numbers"
    assert difference[worst] <= limit, f"{name}: row {worst} differs by {difference[worst]:.3g}\n{rows.iloc[worst]}"
    return difference[worst], len(rows), found, form


def main():
    if not QUICK or "--nets" in sys.argv:
        torch_cases()
        keras_cases()
    n = 0
    failed = []
    for name, *rest in CASES:
        if ONLY and not any(word in name for word in ONLY):
            continue
        try:
            difference, n_rows, found, form = check(name, *rest)
            wrong = "" if form is None or form == found or (form.startswith("trees") and found == "trees") else f", is no {form}"
            print(f"{name:32} {n_rows} rows, largest difference {difference:.1e}, {found}{wrong}", flush=True)
            if wrong:
                failed.append(name)
        except Exception as error:
            print(f"{name:32} FAILED: {str(error)[:1500]}", flush=True)
            failed.append(name)
        n += 1
    assert not failed, f"{len(failed)} of {n} models: {', '.join(failed)}"
    print(f"{n} ONNX models are predicted as onnxruntime predicts them")


main()
