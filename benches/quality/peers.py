"""Fits one peer on one part of a table and predicts the other. Started by benches/quality/quality.py.

    python peers.py PEER TRAIN.csv TEST.csv TARGET TASK OUT.npz [SECONDS]

OUT.npz has `labels` and `probabilities` (a column per label) for classification, and `predictions` for regression.

script    what a careful person writes with scikit-learn: a ColumnTransformer, and the best of logistic regression or
          ridge, 300 trees in a forest, and HistGradientBoosting, by log loss or RMSE over five folds (three above
          10,000 rows, for the time). Categories are one-hot, levels of fewer than five rows together; boosting has
          its own categories, and the forest gets those of more than ten levels as numbers (one-hot it takes hours).
          Text is TF-IDF; the forest and boosting get 50 of its components.
lightgbm  defaults; categories by pandas' dtype
catboost  defaults, with categories and texts named as such; with more than three classes, for which its own
          preparation of text takes a quarter of an hour, text is the same 50 components as above
flaml     AutoML within SECONDS
autogluon preset medium_quality within SECONDS, without networks: LightGBM, CatBoost, XGBoost, forests, extra trees, and
          their weighted ensemble; in an environment of its own

SECONDS are processor time, so that what else the machine does decides nothing.

All use one thread and see the same columns: what looks like a date becomes year, month, day, weekday, hour and days.
"""

import sys
import tempfile
import warnings

import numpy
import pandas

warnings.filterwarnings("ignore")


def read(path, target, task):
    rows = pandas.read_csv(path, low_memory=False, dtype={target: str} if task == "classification" else None)
    return rows.drop(columns=target), rows[target]


def is_number(values):
    return pandas.api.types.is_numeric_dtype(values) and not pandas.api.types.is_bool_dtype(values)


def as_dates(values):
    return pandas.to_datetime(values, errors="coerce", format="mixed", utc=True)


def is_date(values):
    """Whether nearly all values are dates. Words such as `May` are none, nor are ranges such as `2-10`."""
    values = values.dropna().astype(str)
    if len(values) == 0 or not values.str.contains(r"\d[-/. ]\w+[-/. ]+\d").mean() > 0.95:
        return False
    return as_dates(values[:500]).notna().mean() > 0.95


def is_text(values):
    values = values.dropna().astype(str)
    return len(values) > 0 and values.nunique() > 0.5 * len(values) and values.str.split().str.len().mean() >= 3


def columns(train, test):
    """Both parts with dates as numbers and everything else that is no number as text, and the kinds of columns."""
    numbers, categories, texts = [], [], []
    parts = [train.copy(), test.copy()]
    for column in train:
        if is_number(train[column]):
            numbers.append(column)
            for part in parts:
                part[column] = pandas.to_numeric(part[column], errors="coerce").astype(float)
        elif is_date(train[column]):
            for part in parts:
                dates = as_dates(part.pop(column)).dt
                for name in ("year", "month", "day", "dayofweek", "hour"):
                    part[f"{column} {name}"] = getattr(dates, name).astype(float)
                days = dates.tz_localize(None).to_numpy().astype("datetime64[s]").astype(float) / 86400
                part[f"{column} days"] = numpy.where(part[f"{column} year"].isna(), numpy.nan, days)
            numbers += [f"{column} {name}" for name in ("year", "month", "day", "dayofweek", "hour", "days")]
        else:
            for part in parts:
                missing = part[column].isna()
                part[column] = part[column].astype(str).astype(object).where(~missing, None)
            (texts if is_text(train[column]) else categories).append(column)
    return *parts, numbers, categories, texts


def filled(column):
    return column.fillna("")


def words(components=None):
    """TF-IDF of a column of texts, or a number of its components."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    steps = [FunctionTransformer(filled), TfidfVectorizer(min_df=2, max_features=20000)]
    if components:
        steps.append(TruncatedSVD(components, random_state=0))
    return make_pipeline(*steps)


def script(train, target, test, task, kinds):
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import log_loss, root_mean_squared_error
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers, categories, texts = kinds

    number = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    one_hot = make_pipeline(
        SimpleImputer(strategy="most_frequent", keep_empty_features=True, missing_values=None),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5),
    )

    def codes(missing):
        return OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=missing, encoded_missing_value=missing, max_categories=254
        )

    def linear(model):
        parts = [("numbers", number, numbers), ("categories", one_hot, categories)]
        parts += [(f"text {column}", words(), column) for column in texts]
        return make_pipeline(ColumnTransformer(parts), model)

    def forest(model):
        few = [column for column in categories if train[column].nunique() <= 10]
        many = [column for column in categories if column not in few]
        parts = [("numbers", number, numbers), ("few", one_hot, few), ("many", codes(-1), many)]
        parts += [(f"text {column}", words(50), column) for column in texts]
        return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model)

    def boosting(model):
        parts = [("numbers", "passthrough", numbers), ("categories", codes(numpy.nan), categories)]
        parts += [(f"text {column}", words(50), column) for column in texts]
        model.set_params(categorical_features=list(range(len(numbers), len(numbers) + len(categories))) or None)
        return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model)

    folds = 5 if len(train) <= 10_000 else 3
    if task == "classification":
        models = [
            linear(LogisticRegression(max_iter=1000)),
            forest(RandomForestClassifier(300, random_state=0)),
            boosting(HistGradientBoostingClassifier(random_state=0)),
        ]
        split, method = StratifiedKFold(folds, shuffle=True, random_state=0), "predict_proba"
        labels = numpy.unique(target)
        loss = lambda predicted: log_loss(target, predicted, labels=labels)
    else:
        models = [
            linear(Ridge()),
            forest(RandomForestRegressor(300, random_state=0)),
            boosting(HistGradientBoostingRegressor(random_state=0)),
        ]
        split, method = KFold(folds, shuffle=True, random_state=0), "predict"
        loss = lambda predicted: root_mean_squared_error(target, predicted)
    losses = [loss(cross_val_predict(model, train, target, cv=split, method=method)) for model in models]
    best = models[int(numpy.argmin(losses))].fit(train, target)
    if task == "classification":
        return best.classes_, best.predict_proba(test)
    return best.predict(test)


def with_categories(train, test, names):
    for column in names:
        levels = pandas.Index(train[column].dropna().unique())
        for part in (train, test):
            part[column] = pandas.Categorical(part[column].where(part[column].isin(levels), None), categories=levels)


def lightgbm(train, target, test, task, kinds):
    from lightgbm import LGBMClassifier, LGBMRegressor

    with_categories(train, test, kinds[1] + kinds[2])
    # LightGBM refuses some characters in names.
    train.columns = test.columns = [f"c{number}" for number in range(train.shape[1])]
    model = (LGBMClassifier if task == "classification" else LGBMRegressor)(n_jobs=1, verbose=-1).fit(train, target)
    return (model.classes_, model.predict_proba(test)) if task == "classification" else model.predict(test)


def catboost(train, target, test, task, kinds):
    from catboost import CatBoostClassifier, CatBoostError, CatBoostRegressor

    _, categories, texts = kinds
    if task == "classification" and target.nunique() > 3:
        for column in texts:
            fitted = words(50).fit(train[column])
            for part in (train, test):
                numbers = fitted.transform(part.pop(column))
                part[[f"{column} {number}" for number in range(numbers.shape[1])]] = numbers
        texts = []
    for part in (train, test):
        for column in categories + texts:
            part[column] = part[column].fillna("")
    kind = CatBoostClassifier if task == "classification" else CatBoostRegressor
    options = dict(verbose=0, thread_count=1, random_seed=0, allow_writing_files=False)
    try:
        model = kind(**options, cat_features=categories, text_features=texts or None).fit(train, target)
    except CatBoostError:
        # Text that gives no dictionary, for instance because all words are rare.
        train, test = train.drop(columns=texts), test.drop(columns=texts)
        model = kind(**options, cat_features=categories).fit(train, target)
    return (model.classes_, model.predict_proba(test)) if task == "classification" else model.predict(test)


def count_processor_time():
    """Makes budgets in real time budgets in processor time: both search in this process, on one thread."""
    import time

    started = time.time()
    time.time = lambda: started + time.process_time()


def flaml(train, target, test, task, kinds, seconds):
    count_processor_time()
    from flaml import AutoML

    with_categories(train, test, kinds[1] + kinds[2])
    train.columns = test.columns = [f"c{number}" for number in range(train.shape[1])]
    model = AutoML()
    metric = "log_loss" if task == "classification" else "rmse"
    model.fit(train, target, task=task, metric=metric, time_budget=seconds, n_jobs=1, seed=0, verbose=0)
    return (model.classes_, model.predict_proba(test)) if task == "classification" else model.predict(test)


def autogluon(train, target, test, task, kinds, seconds):
    count_processor_time()
    from autogluon.tabular import TabularPredictor

    # Of text it makes words and their counts itself.
    train = train.assign(**{"the target": target})
    problem, metric = "regression", "root_mean_squared_error"
    if task == "classification":
        problem, metric = ("binary" if target.nunique() == 2 else "multiclass"), "log_loss"
    with tempfile.TemporaryDirectory() as folder:
        model = TabularPredictor("the target", problem_type=problem, eval_metric=metric, path=folder, verbosity=0)
        model.fit(
            train,
            time_limit=seconds,
            presets="medium_quality",
            num_cpus=1,
            num_gpus=0,
            excluded_model_types=["NN_TORCH", "FASTAI"],
        )
        if task != "classification":
            return model.predict(test, as_pandas=False)
        probabilities = model.predict_proba(test, as_multiclass=True)
    return probabilities.columns, probabilities.to_numpy()


def main():
    peer, train_path, test_path, name, task, out, *seconds = sys.argv[1:]
    train, target = read(train_path, name, task)
    test, _ = read(test_path, name, task)
    train, test, *kinds = columns(train, test)
    extra = [float(seconds[0])] if seconds else []
    predicted = globals()[peer](train, target, test, task, kinds, *extra)
    if task == "classification":
        labels, probabilities = predicted
        numpy.savez_compressed(
            out, labels=numpy.asarray(labels, str), probabilities=numpy.asarray(probabilities, float)
        )
    else:
        numpy.savez_compressed(out, predictions=numpy.asarray(predicted, float))


if __name__ == "__main__":
    main()
