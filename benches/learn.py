"""Measures mlapi's learners, compared with others, in memory. Started by benches/learn.sh.

Both sides are given the same doubles, take turns, and may use the same two cores. A time is
that of fitting alone (of the peer: `fit` on a numpy array, or `lightgbm.train` on a new
`Dataset`; of mlapi: recipe and learner in a fresh process of benches/fit.rs, reading the
files not counted), or of predicting alone. Figures are medians of the turns, a ratio is that
of the two medians, and the range after it is that of the single turns. Scores are made on
rows that neither side has seen, by scikit-learn's metrics for both.

Tables, made by scikit-learn with fixed seeds, 80 % of the rows to fit on:

binary      make_classification, 100,000 x 30, 12 informative
three       make_classification, 20,000 x 20, 12 informative, 3 classes
regression  make_friedman1, 20,000 x 20, noise 1
place       make_classification, 110,000 x 3, 3 informative, 3 classes; 10,000 rows to predict
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What benches/build.sh built.
BIN = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist"))
OUT = pathlib.Path("target/bench/learn")
THREADS = 2
# Before each turn: idle threads of the peer's libraries spin for a while before they sleep.
PAUSE = 0.2

for library in ("OMP", "OPENBLAS", "RAYON"):
    os.environ[f"{library}_NUM_THREADS"] = str(THREADS)

import lightgbm
import numpy
import sklearn
import xgboost
from sklearn import (
    calibration, datasets, ensemble, linear_model, metrics, model_selection, naive_bayes, neighbors, neural_network,
    svm, tree,
)  # fmt: skip
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")


# Tables


class Table:
    """Rows to fit on and others, as arrays and as the files that benches/fit.rs reads."""

    def __init__(self, name, x, y, classes, test_size=0.2):
        self.name, self.classes = name, classes
        split = model_selection.train_test_split(x, y, test_size=test_size, random_state=1)
        self.x, self.x_test, self.y, self.y_test = map(numpy.ascontiguousarray, split)
        self.folder = OUT / name
        self.folder.mkdir(parents=True, exist_ok=True)
        for file, values in (("x", self.x), ("y", self.y), ("x_test", self.x_test)):
            (self.folder / f"{file}.f64").write_bytes(values.astype("<f8").tobytes())
        shape = dict(rows=len(self.x), cols=x.shape[1], test_rows=len(self.x_test), classes=classes)
        (self.folder / "shape.json").write_text(json.dumps(shape))


class Alone:
    """A table whose peer is given standardised columns."""

    def __init__(self, table, prepared):
        self.name, self.classes, self.folder = table.name, table.classes, table.folder
        self.x, self.x_test = prepared
        self.y, self.y_test = table.y, table.y_test


def classification(name, rows, cols, classes, **options):
    x, y = datasets.make_classification(
        rows, cols, n_informative=12, n_redundant=4, n_classes=classes, random_state=1, **options
    )
    return Table(name, x, y, classes)


def regression(name, rows, cols):
    return Table(name, *datasets.make_friedman1(rows, cols, noise=1.0, random_state=1), classes=0)


# Sides


def ours(program, table, algorithm, settings):
    """Seconds of fitting and predicting, scores, and memory of one fresh process."""
    given = [f"{key}={value}" for key, value in settings.items()]
    command = [program, str(table.folder), algorithm, *given]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"learn.py: `{' '.join(command)}` failed:\n{done.stderr}")
    report = json.loads(done.stdout)
    scores = numpy.fromfile(table.folder / "scores.f64", "<f8")
    return report, scores.reshape(len(table.x_test), -1)


def theirs(table, make):
    """As `ours`, for an estimator of scikit-learn's kind."""
    estimator = make()
    started = time.perf_counter()
    estimator.fit(table.x, table.y)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    if table.classes:
        scores = estimator.predict_proba(table.x_test)
    else:
        scores = estimator.predict(table.x_test)
    report = dict(fit_seconds=fit_seconds, predict_seconds=time.perf_counter() - started)
    report["learn_seconds"] = fit_seconds
    return report, scores.reshape(len(table.x_test), -1)


class LightGbm:
    """LightGBM's own interface: a `Dataset` is binned in `fit`, as our columns are."""

    def __init__(self, objective, rounds, **options):
        common = dict(num_leaves=31, learning_rate=0.1, max_bin=255, num_threads=THREADS, verbose=-1)
        self.parameters, self.rounds = common | dict(objective=objective) | options, rounds

    def fit(self, x, y):
        self.booster = lightgbm.train(self.parameters, lightgbm.Dataset(x, y), self.rounds)

    def predict(self, x):
        return self.booster.predict(x, num_threads=THREADS)

    def predict_proba(self, x):
        scores = self.predict(x)
        return scores if scores.ndim == 2 else numpy.column_stack([1 - scores, scores])


def quality(table, scores):
    """The figures of merit of some scores, by name."""
    if not table.classes:
        return dict(r2=metrics.r2_score(table.y_test, scores[:, 0]))
    out = dict(
        accuracy=metrics.accuracy_score(table.y_test, scores.argmax(1)),
        log_loss=metrics.log_loss(table.y_test, scores),
    )
    if table.classes == 2:
        out["auc"] = metrics.roc_auc_score(table.y_test, scores[:, 1])
    return out


# What is measured


class Job:
    """One comparison. `bars` are the ratio wanted of the times, and limits on the scores."""

    def __init__(self, name, table, algorithm, settings, peer, make, bar, merits, measure="fit"):
        self.name, self.table, self.algorithm, self.settings = name, table, algorithm, settings
        self.peer, self.make, self.bar, self.merits, self.measure = peer, make, bar, merits, measure

    def run(self, program, runs):
        samples, found, given = ([], []), [None, None], [None, None]
        sides = [
            lambda: ours(program, self.table, self.algorithm, self.settings),
            lambda: theirs(self.table, self.make),
        ]
        for turn in range(runs):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                time.sleep(PAUSE)
                report, scores = sides[side]()
                samples[side].append(report[f"{self.measure}_seconds"])
                found[side], given[side] = quality(self.table, scores), scores
        if "difference" in self.merits:
            found[0]["difference"], found[1]["difference"] = float(abs(given[0] - given[1]).max()), 0.0
        return self.result(samples, *found)

    def result(self, samples, own, peers):
        middle = [statistics.median(side) for side in samples]
        ratios = [theirs / ours for ours, theirs in zip(*samples)]
        row = dict(job=self.name, table=self.table.name, peer=self.peer, bar=self.bar, samples=samples)
        row |= dict(seconds=middle, ratio=middle[1] / middle[0], range=[min(ratios), max(ratios)])
        row |= dict(ours=own, theirs=peers, measure=self.measure)
        row["met"] = row["ratio"] >= self.bar
        row["merits"] = [(name, good(own[name], peers[name])) for name, good in self.merits.items()]
        verdicts = [] if self.bar == 0 else ["" if row["met"] else f"BELOW {self.bar}x"]
        verdicts += ["" if met else f"{name} MISSES ITS BAR" for name, met in row["merits"]]
        scores = ", ".join(f"{name} {own[name]:.4f} ({peers[name]:.4f})" for name in own)
        print(
            f"{self.name:22} {self.table.name:11} {self.peer:24} {middle[0]:8.3f} s {middle[1]:8.3f} s "
            f"{row['ratio']:6.2f}x ({row['range'][0]:.2f}-{row['range'][1]:.2f})  "
            f"{scores} {' '.join(filter(None, verdicts))}",
            flush=True,
        )
        return row


NOT_WORSE = {"accuracy": lambda own, peer: own >= peer - 0.003}
R2_NOT_WORSE = {"r2": lambda own, peer: own >= peer - 0.003}
AUC_AND_LOSS = {
    "auc": lambda own, peer: own >= peer - 0.001,
    "log_loss": lambda own, peer: own <= peer * 1.01,
}
LOSS = {"log_loss": lambda own, peer: own <= peer * 1.01}


# On unseen rows the optimum does not have the least loss, but one near that of any solver.
OPTIMUM = {"log_loss": lambda own, peer: own <= peer * 1.001}
SAME_LINE = {"r2": lambda own, peer: abs(own - peer) <= 1e-3}
SAME_SCORES = {name: lambda own, peer: abs(own - peer) <= 1e-12 for name in ("accuracy", "log_loss")}


def tree_jobs(tables):
    """The bar: trees not worse than scikit-learn's, and this many times as fast."""
    families = [
        ("random-forest", {"n_estimators": 100}, ensemble.RandomForestClassifier, ensemble.RandomForestRegressor, 5),
        ("extra-trees", {"n_estimators": 100}, ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor, 2),
        ("decision-tree", {}, tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, 5),
    ]
    for name, settings, classifier, regressor, bar in families:
        for table in tables:
            options = dict(random_state=1) | ({"n_jobs": THREADS} if settings else {}) | settings
            make = classifier if table.classes else regressor
            merits = NOT_WORSE if table.classes else R2_NOT_WORSE
            peer = f"sklearn {make.__name__}"[:24]
            yield Job(name, table, name, settings, peer, lambda m=make, o=options: m(**o), bar, merits)


def boosting_jobs(tables):
    rounds = 100
    settings = dict(preset="lightgbm", n_estimators=rounds, max_leaf_nodes=31, learning_rate=0.1, early_stopping="false")
    for table in tables:
        objective = {0: "regression", 2: "binary"}.get(table.classes, "multiclass")
        options = {"num_class": table.classes} if table.classes > 2 else {}
        merits = {0: R2_NOT_WORSE, 2: AUC_AND_LOSS}.get(table.classes, LOSS)

        def light(objective=objective, options=options):
            return LightGbm(objective, rounds, **options)

        def hist(table=table):
            kind = ensemble.HistGradientBoostingClassifier if table.classes else ensemble.HistGradientBoostingRegressor
            return kind(max_iter=rounds, max_leaf_nodes=31, learning_rate=0.1, early_stopping=False)

        def extreme(table=table):
            kind = xgboost.XGBClassifier if table.classes else xgboost.XGBRegressor
            return kind(
                n_estimators=rounds, max_leaves=31, max_depth=0, grow_policy="lossguide", learning_rate=0.1,
                max_bin=255, tree_method="hist", n_jobs=THREADS,
            )  # fmt: skip

        name = "gradient-boosting"
        yield Job(name, table, name, settings, "LightGBM", light, 1, merits)
        yield Job(name, table, name, settings, "HistGradientBoosting", hist, 1.3, {})
        yield Job(name, table, name, settings, "XGBoost hist", extreme, 1.3, {})


def linear_jobs(scale):
    """Linear models and naive Bayes. Both sides standardise and fit ("with scaling"), or learn from
    what is standardised already, of mlapi the learner alone."""
    digits = datasets.load_digits()
    binary = classification("binary", 100_000 // scale, 30, 2)
    wide = Table("digits", digits.data, digits.target, 10, test_size=0.2)
    options = dict(n_features=100, n_informative=20, noise=20.0, random_state=1)
    independent = Table("independent", *datasets.make_regression(25_000 // scale, **options), classes=0)
    # A hundred columns with twenty hidden causes.
    random = numpy.random.default_rng(1)
    x = random.standard_normal((25_000 // scale, 20)) @ random.standard_normal((20, 100))
    x += 0.5 * random.standard_normal(x.shape)
    y = x[:, :10] @ random.standard_normal(10) + 5 * random.standard_normal(len(x))
    correlated = Table("correlated", x, y, classes=0)
    logistic, lasso, net = linear_model.LogisticRegression, linear_model.Lasso, linear_model.ElasticNet
    for table in (binary, wide):
        yield from scaled_jobs("logistic-regression", table, logistic, {}, {}, OPTIMUM)
    for table in (independent, correlated):
        for name, kind in (("lasso", lasso), ("elastic-net", net)):
            for alpha in (1.0, 0.1):
                # With the same stopping rule, and each with its default, with which mlapi goes on for six more digits.
                equal, given = dict(alpha=alpha, tol=1e-4, max_iter=1000), dict(alpha=alpha)
                yield from scaled_jobs(name, table, kind, equal, given, {}, f" {alpha}")
                yield from scaled_jobs(name, table, kind, given, given, SAME_LINE, f" {alpha} exact", learn=False)
    # 80 % are fitted on.
    table = classification("bayes", 125_000 // scale, 30, 2)
    yield Job("naive-bayes", table, "naive-bayes", {}, "GaussianNB", naive_bayes.GaussianNB, 2, SAME_SCORES)
    yield Job(
        "naive-bayes predict", table, "naive-bayes", {}, "GaussianNB", naive_bayes.GaussianNB, 1, SAME_SCORES,
        measure="predict",
    )  # fmt: skip


def scaled_jobs(name, table, kind, settings, given, merits, suffix="", learn=True):
    peer = kind.__name__
    scaled = StandardScaler().fit(table.x)
    prepared = scaled.transform(table.x), scaled.transform(table.x_test)

    def make():
        return make_pipeline(StandardScaler(), kind(**given))

    # The recipe finds medians, too, so this ratio has no bar.
    yield Job(name + suffix, table, name, settings, f"{peer} with scaling", make, 0, merits)
    if learn:
        alone = Alone(table, prepared)
        yield Job(name + suffix, alone, name, settings, f"{peer} alone", lambda: kind(**given), 1, {}, measure="learn")
def scaled(estimator):
    """Behind a StandardScaler, which mlapi's recipe does too."""
    return make_pipeline(StandardScaler(), estimator)


def neighbour_jobs(tables, scale):
    """Prediction from the nearest rows, uniform shares equal to the last bit."""
    x, y = datasets.make_classification(
        110_000 // scale, 3, n_informative=3, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=1
    )
    place = Table("place", x, y, 3, test_size=10_000 // scale)
    for table in (*tables, place):
        for weights, metric in (("uniform", "euclidean"), ("distance", "euclidean"), ("uniform", "manhattan")):
            settings = dict(weights=weights, metric=metric)
            kind = neighbors.KNeighborsClassifier if table.classes else neighbors.KNeighborsRegressor

            def make(kind=kind, settings=settings):
                return scaled(kind(n_jobs=THREADS, **settings))

            limit = 0 if table.classes and weights == "uniform" else 1e-6
            merits = dict(difference=lambda own, peer, limit=limit: own <= limit)
            name = f"knn {weights} {metric}"
            yield Job(name, table, "knn", settings, f"sklearn {kind.__name__}"[:24], make, 1, merits, "predict")


def network_jobs(tables):
    for table in tables:
        settings = dict(max_iter=20)
        kind = neural_network.MLPClassifier if table.classes else neural_network.MLPRegressor

        def make(kind=kind, settings=settings):
            return scaled(kind(random_state=1, **settings))

        near = {"accuracy" if table.classes else "r2": lambda own, peer: own >= peer - 0.01}
        yield Job("mlp 20 epochs", table, "mlp", settings, f"sklearn {kind.__name__}"[:24], make, 1, near)
class Svm:
    """scikit-learn's SVC or SVR on standardised numbers; what it decides as log-odds."""

    def __init__(self, estimator):
        self.pipeline = make_pipeline(StandardScaler(), estimator)

    def fit(self, x, y):
        self.pipeline.fit(x, y)

    def predict(self, x):
        return self.pipeline.predict(x)

    def predict_proba(self, x):
        p = 1 / (1 + numpy.exp(-self.pipeline.decision_function(x)))
        return numpy.column_stack([1 - p, p])


def svm_jobs(rows):
    """The bar: fits and predicts no slower than scikit-learn."""
    table = classification("svm", rows * 5 // 4, 20, 2)
    plain = {"probability": "false"}
    for measure in ("fit", "predict"):
        name = f"svm rbf {measure}"
        yield Job(name, table, "svm", plain, "SVC", lambda: Svm(svm.SVC()), 1, NOT_WORSE, measure)

    def calibrated():
        estimator = make_pipeline(StandardScaler(), svm.SVC())
        return calibration.CalibratedClassifierCV(estimator, ensemble=False, n_jobs=THREADS)

    yield Job("svm probabilities", table, "svm", {}, "SVC, calibrated, 2 jobs", calibrated, 1, NOT_WORSE)
    linear = {"probability": "false", "kernel": "linear"}
    yield Job("svm linear", table, "svm", linear, "SVC", lambda: Svm(svm.SVC(kernel="linear")), 1, NOT_WORSE)
    table = regression("svr", rows * 5 // 4, 20)
    yield Job("svm rbf regression", table, "svm", {}, "SVR", lambda: Svm(svm.SVR()), 1, R2_NOT_WORSE)


def svm_objective(program, rows):
    """The dual objective of our weights and of libsvm's, both computed in doubles."""
    table = classification("svm", rows * 5 // 4, 20, 2)
    ours(program, table, "svm", {"probability": "false"})
    vectors = numpy.fromfile(table.folder / "kernel.vectors.f64").reshape(-1, 20)
    beta = numpy.fromfile(table.folder / "kernel.coefficients.f64")
    gamma = numpy.fromfile(table.folder / "kernel.function.f64")[1]

    def objective(vectors, beta, gamma):
        kernel = metrics.pairwise.rbf_kernel(vectors, gamma=gamma)
        return beta @ kernel @ beta / 2 - numpy.abs(beta).sum()

    peer = svm.SVC().fit(StandardScaler().fit_transform(table.x), table.y)
    found = [objective(vectors, beta, gamma), objective(peer.support_vectors_, peer.dual_coef_[0], peer._gamma)]
    relative = (found[0] - found[1]) / abs(found[1])
    print(
        f"svm dual objective {found[0]:.6f} with {len(beta)} vectors, libsvm's {found[1]:.6f} with "
        f"{len(peer.support_)}: {relative:+.1e} relative{'' if relative <= 1e-4 else ', ABOVE 1e-4'}",
        flush=True,
    )
    return [dict(job="svm objective", objectives=found, relative=relative, met=relative <= 1e-4)]


def prediction_jobs(rows):
    """Prediction by a boosted model of 100 rounds that was fitted on a part of the rows."""
    x, y = datasets.make_classification(rows + 20_000, 30, n_informative=12, n_redundant=4, random_state=1)
    table = Table("predict", x, y, 2, test_size=rows)
    settings = dict(preset="lightgbm", n_estimators=100, early_stopping="false")
    yield Job(
        f"predict {rows:,} rows", table, "gradient-boosting", settings, "LightGBM", lambda: LightGbm("binary", 100),
        2, {}, measure="predict",
    )  # fmt: skip


def growth(program, runs, rows):
    """How the time to fit grows with ten times the rows."""
    out = []
    tables = [classification(f"growth-{n}", n * 5 // 4, 30, 2) for n in (rows, rows * 10)]
    for algorithm in ("decision-tree", "random-forest", "extra-trees", "gradient-boosting"):
        settings = {} if algorithm == "decision-tree" else {"n_estimators": 20}
        if algorithm == "gradient-boosting":
            settings = dict(preset="lightgbm", n_estimators=100, early_stopping="false")
        samples = [[], []]
        for _ in range(runs):
            for own, table in zip(samples, tables):
                own.append(ours(program, table, algorithm, settings)[0]["fit_seconds"])
        small, large = map(statistics.median, samples)
        met = large / small <= 12
        print(
            f"{algorithm:22} {rows:,} rows {small:.3f} s, ten times as many {large:.3f} s: {large / small:.1f} times "
            f"as long{'' if met else ', ABOVE 12'}",
            flush=True,
        )
        out.append(dict(job=f"growth {algorithm}", rows=rows, samples=samples, ratio=large / small, met=met))
    return out


def memory(program, rows):
    """Peak resident size of a whole process that fits, less its model, relative to the matrix as 32-bit floats."""
    table = classification("memory", rows * 5 // 4, 30, 2)
    matrix = rows * 30 * 4 / 1024
    out = []
    for algorithm in ("decision-tree", "random-forest", "extra-trees", "gradient-boosting"):
        settings = {} if algorithm == "decision-tree" else {"n_estimators": 10}
        report = ours(program, table, algorithm, settings)[0]
        ratio = (report["peak_kib"] - report["model_kib"]) / matrix
        print(
            f"{algorithm:22} peak {report['peak_kib'] / 1024:.1f} MiB fitting {rows:,} x 30, of it the model "
            f"{report['model_kib'] / 1024:.1f} MiB; the rest is {ratio:.2f} times the matrix as f32{'' if ratio < 3 else ', ABOVE 3'}",
            flush=True,
        )
        out.append(dict(job=f"memory {algorithm}", ratio=ratio, met=ratio < 3) | report)
    return out


def main():
    parser = argparse.ArgumentParser(prog="benches/learn.sh", description="Measures mlapi's learners, compared with others.")
    parser.add_argument("--quick", action="store_true", help="one run each on smaller tables, for a first look")
    parser.add_argument("--only", metavar="TEXT", help="jobs whose name, table or peer holds this text")
    parser.add_argument("--runs", type=int, help="turns of each side (5)")
    parser.add_argument("--program", default=str(BIN / "fit"), help="another build of fit.rs")
    options = parser.parse_args()
    runs = options.runs or (1 if options.quick else 5)
    os.chdir(ROOT)
    scale = 10 if options.quick else 1
    versions = {m.__name__: m.__version__ for m in (sklearn, lightgbm, xgboost, numpy)}
    load = os.getloadavg()[0]
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{os.cpu_count()} cores, {THREADS} threads a side, load average {load:.2f}; mlapi, then the peer")
    started = time.monotonic()
    tables = [
        classification("binary", 100_000 // scale, 30, 2),
        classification("three", 20_000 // scale, 20, 3),
        regression("regression", 20_000 // scale, 20),
    ]
    jobs = [*tree_jobs(tables), *boosting_jobs(tables)]
    jobs += [*neighbour_jobs(tables[1:], scale), *network_jobs(tables[1:])]
    jobs += svm_jobs(8_000 // scale)

    def wanted(*words):
        return not options.only or any(options.only in word for word in words)

    rows = [job.run(options.program, runs) for job in jobs if wanted(job.name, job.table.name, job.peer)]
    rows += [job.run(options.program, runs) for job in linear_jobs(scale) if wanted(job.name, job.table.name, job.peer)]
    if wanted("svm objective"):
        rows += svm_objective(options.program, 8_000 // scale)
    if wanted("predict"):
        rows += [job.run(options.program, runs) for job in prediction_jobs(1_000_000 // scale)]
    if wanted("growth"):
        rows += growth(options.program, runs, 20_000 // scale)
    if wanted("memory"):
        rows += memory(options.program, 100_000 // scale)
    results = dict(versions=versions, cores=os.cpu_count(), system=platform.platform(), load_average=load, rows=rows)
    (OUT / "results.json").write_text(json.dumps(results, indent=1, default=float) + "\n")
    print(f"Measured in {time.monotonic() - started:.0f} s; every sample is in {OUT / 'results.json'}.")


if __name__ == "__main__":
    sys.exit(main())
