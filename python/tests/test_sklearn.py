"""The estimators: scikit-learn's own checks, and what its users do with estimators."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mlapi
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import Trained
from mlapi import MlapiClassifier, MlapiRegressor
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

FAST = "logistic-regression"


# Weighted rows are repeated rows only where nothing else counts them: columns are standardised by their plain means as in
# a pipeline with StandardScaler, leaves are limited by rows, and cross-validation splits rows. scikit-learn expects the
# same of its LogisticRegressionCV and HistGradientBoostingClassifier.
NOT_WEIGHTS = {"check_sample_weight_equivalence_on_dense_data": "rows are counted"}


@pytest.mark.parametrize(
    ("estimator", "fails"),
    [
        (MlapiClassifier("tree", settings={"min_impurity_decrease": 0.01}), {}),
        (MlapiRegressor("tree"), {}),
        (MlapiClassifier(FAST), NOT_WEIGHTS),
        (MlapiRegressor("ridge"), NOT_WEIGHTS),
        (MlapiClassifier("boost"), NOT_WEIGHTS),
        (MlapiRegressor("boost"), NOT_WEIGHTS),
    ],
    ids=lambda value: str(value) if value else "",
)
def test_scikit_learns_checks(estimator: Any, fails: dict[str, str]) -> None:
    check_estimator(estimator, expected_failed_checks=fails, on_skip=None)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MlapiClassifier(), MlapiRegressor()], ids=str)
def test_scikit_learns_checks_with_the_defaults(estimator: Any) -> None:
    check_estimator(estimator, expected_failed_checks=NOT_WEIGHTS, on_skip=None)


def test_predictions_are_scikit_learns() -> None:
    X, y = load_iris(return_X_y=True)
    ours = MlapiClassifier(FAST, settings={"tol": 1e-8}).fit(X, y)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=10_000)).fit(X, y)
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 1e-4
    X, y = load_diabetes(return_X_y=True)
    ours = MlapiRegressor("ridge", settings={"alpha": 1.0}).fit(X, y)
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(X, y)
    assert np.allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_cross_validation_search_pipelines_clones_and_pickles() -> None:
    X, y = load_iris(return_X_y=True)
    scores = cross_val_score(MlapiClassifier(FAST), X, y)
    assert scores.mean() > 0.94
    search = GridSearchCV(MlapiClassifier("tree"), {"settings": [{"max_depth": 1}, {"max_depth": 3}]}, cv=3).fit(X, y)
    assert search.best_params_ == {"settings": {"max_depth": 3}}
    pipeline = make_pipeline(StandardScaler(), MlapiClassifier("svm")).fit(X, y)
    assert pipeline.score(X, y) > 0.95
    fitted = MlapiClassifier("forest", settings={"n_estimators": 5}).fit(X, y)
    assert clone(fitted).get_params() == fitted.get_params()
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.model_bytes_ == clone(fitted).fit(X, y).model_bytes_


def test_tables_of_mixed_columns(models: dict[str, Trained]) -> None:
    frame = models["penguins"].frame
    X, y = frame.drop(columns="species"), frame["species"]
    fitted = MlapiClassifier("boost").fit(X, y)
    assert list(fitted.feature_names_in_) == list(X.columns)
    assert fitted.score(X, y) > 0.98
    assert np.array_equal(fitted.predict(pl.from_pandas(X)), fitted.predict(X))
    assert MlapiClassifier("boost").fit(pl.from_pandas(X), y.to_list()).score(X, y) > 0.98
    with pytest.raises(ValueError):
        fitted.predict(X.drop(columns="island"))


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [-1, 7], [1.0, 2.0], ["NA", "?"], ["", "a b"], ["1", "01"], ["null", "ü"], [10, 9], ["00123", "5e3"], ["True", "no"], ["a\nb", "c,d"]],
)
def test_labels_come_back_as_they_are(labels: list[Any]) -> None:
    X, target = load_iris(return_X_y=True)
    y = np.array(labels, dtype=object if isinstance(labels[0], str) else None)[(target > 0).astype(int)]
    fitted = MlapiClassifier(FAST).fit(X, y)
    assert fitted.classes_.tolist() == sorted(labels)
    assert fitted.predict(X).tolist() == y.tolist()
    proba = fitted.predict_proba(X)
    assert np.array_equal(fitted.classes_[proba.argmax(axis=1)], y)

    if labels in (["no", "yes"], [-1, 7], [10, 9]):
        # As they are in the model file, too.
        assert sorted(fitted._model().classes_) == sorted(labels)


def test_the_model_file_is_one_for_the_program(tmp_path: Path) -> None:
    frame = load_iris(as_frame=True).frame
    frame["target"] = np.array(["setosa", "versicolor", "virginica"])[frame["target"]]
    fitted = MlapiClassifier(FAST, test_size=0.25).fit(frame.drop(columns="target"), frame["target"])
    fitted.save(tmp_path / "iris.mlapi")
    model = mlapi.load(tmp_path / "iris.mlapi")
    assert model.classes_ == fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.info["card"]["evaluation"]["n_rows"] == 38 and model.info["card"]["refit"]
    assert model.predict(frame).tolist() == fitted.predict(frame.drop(columns="target")).tolist()


def test_weights_and_refusals() -> None:
    X, y = load_iris(return_X_y=True)
    weights = (y != 1).astype(float) + 1e-6
    assert (MlapiClassifier(FAST).fit(X, y, sample_weight=weights).predict(X) == 1).sum() < 20
    assert (MlapiClassifier(FAST, class_weight={1: 1e-6}).fit(X, y).predict(X) == 1).sum() < 20
    with pytest.raises(ValueError, match="no_such"):
        MlapiClassifier("no_such").fit(X, y)
    with pytest.raises(ValueError, match="depht"):
        MlapiClassifier("tree", settings={"max_depht": 3}).fit(X, y)
    with pytest.raises(ValueError, match="infinity"):
        MlapiClassifier(FAST).fit(np.where(X > 7, np.inf, X), y)
    missing = pd.DataFrame(X).mask(X > 7).to_numpy()
    assert MlapiClassifier("boost").fit(missing, y).score(missing, y) > 0.95
