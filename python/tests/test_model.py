"""`mlapi.load`: every kind of table gives what the command line gives for the same rows."""

from __future__ import annotations

import decimal
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import mlapi
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Trained
from mlapi import _engine
from mlapi._child import run

NAMES = ["iris", "penguins", "diabetes", "cancer", "digits"]


@pytest.mark.parametrize("name", NAMES)
def test_pandas_polars_arrow_and_csv_predict_the_same(models: dict[str, Trained], name: str) -> None:
    trained = models[name]
    expected = trained.expected()
    with mlapi.load(trained.path) as model:
        frames = {
            "pandas": trained.frame,
            "pandas, Arrow dtypes": trained.frame.convert_dtypes(dtype_backend="pyarrow"),
            "pandas, categories": trained.frame.astype(
                {column: "category" for column in trained.frame.select_dtypes(exclude="number")}
            ),
            "polars": pl.read_csv(trained.data, null_values="NA", infer_schema_length=None),
            "Arrow": pa.Table.from_pandas(trained.frame),
            "dicts": trained.frame.to_dict("records"),
        }
        for kind, frame in frames.items():
            predicted = model.predict(frame)
            assert list(predicted if not isinstance(predicted, pa.Array) else predicted.to_pylist()) == list(
                expected["prediction"]
            ), kind
            if model.task == "classification":
                proba = model.predict_proba(frame)
                columns = {
                    "dicts": lambda p: pd.DataFrame(p),
                    "Arrow": lambda p: p.to_pandas(),
                    "polars": lambda p: pd.DataFrame(p.to_dict(as_series=False)),
                }.get(kind, lambda p: p)(proba)
                wanted = expected.filter(regex="^probability_")
                assert list(columns.columns) == [str(label) for label in model.classes_]
                # Not a bit of difference.
                assert np.array_equal(columns.to_numpy(), wanted.to_numpy()), kind
                assert [f"probability_{label}" for label in model.classes_] == list(wanted.columns)


@pytest.mark.parametrize("name", NAMES)
def test_rows_one_by_one_have_the_predictions_of_the_file(models: dict[str, Trained], name: str) -> None:
    trained = models[name]
    frame = trained.frame.sample(30, random_state=1)
    wanted = trained.expected()["prediction"][frame.index].tolist()
    model = mlapi.load(trained.path)
    assert [model.predict(frame.iloc[[i]]).item() for i in range(30)] == wanted
    assert [model.predict(frame.iloc[[i]][model.features]).item() for i in range(30)] == wanted
    assert [model.predict([row])[0] for row in frame.to_dict("records")] == wanted
    assert [model.predict(pl.from_pandas(frame.iloc[[i]]))[0] for i in range(30)] == wanted


def test_few_rows_of_an_array_have_the_predictions_of_many(models: dict[str, Trained]) -> None:
    model = mlapi.load(models["iris"].path)
    rows = models["iris"].frame[model.features].to_numpy()
    for kind in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "O"):
        array = rows.astype(kind)
        wanted = model.predict_proba(array)
        for n in (1, 2, 3, 5, 7, 15, 16, 17):
            assert np.array_equal(model.predict_proba(array[-n:]), wanted[-n:]), (kind, n)
            assert np.array_equal(model.predict_proba(array[::-1][:n]), wanted[::-1][:n]), (kind, n)
    for n in (1, 30):
        with pytest.raises(mlapi.MlapiError, match='row 1, column "sepal_length": "true" is not a number'):
            model.predict(rows[:n] > 0)


def test_what_a_column_held_before_changes_no_prediction(tmp_path: Path) -> None:
    # A model that tells each number from the next, to which -999 is none but -999.0 is.
    rows = [f"{rooms},{kind},{100 * rooms + 7 * (kind == 'b')}" for rooms in range(40) for kind in "ab"]
    (tmp_path / "rooms.csv").write_text("\n".join(["rooms,kind,price", *rows, "-999,a,2000"]))
    path = str(tmp_path / "rooms.mlapi")
    run(["train", str(tmp_path / "rooms.csv"), "--algorithm", "ridge", "--null=-999", "--output", path, "--quiet"])
    model = mlapi.load(path)
    assert abs(model.predict([{"rooms": 0.5, "kind": "a"}])[0] - model.predict([{"rooms": 1, "kind": "a"}])[0]) > 1
    numbers = (2, 0.9, 2.0, 2.75, -999, -999.0, -999.5, "3", "4.5", True, None, float("nan"), 2**53 + 1, 2**70, 1e300)
    others = (np.float32(0.1), np.float64(0.1), np.int8(3), np.bool_(True), decimal.Decimal("0.25"), "x", b"3", [1])
    texts = ("a", None, "", float("nan"), "b", b"b", np.str_("a"), 1, 1.0, True)
    changes = [("rooms", value) for value in numbers + others] + [("kind", value) for value in texts]
    row = {"rooms": 2, "kind": "a"}
    for column, value in changes * 2 + changes[::-1]:
        changed = row | {column: value}
        try:
            wanted = model.predict(pa.RecordBatch.from_pylist([changed])).to_pylist()
        except (mlapi.MlapiError, OverflowError, pa.ArrowException):
            # Too large a number for Arrow, or a type that the column does not take.
            for table in ([changed], [changed, changed], pd.DataFrame([changed])):
                with pytest.raises((mlapi.MlapiError, TypeError, OverflowError)):
                    model.predict(table)
            continue
        assert model.predict([changed]) == wanted, changed
        assert model.predict([changed, changed]) == wanted * 2, changed
        assert model.predict([changed] * 17) == wanted * 17, changed
        if column == "kind" or type(value) not in (int, type(None)):
            assert model.predict(pd.DataFrame([changed])).tolist() == wanted, changed
        assert model.predict(pd.DataFrame([changed], dtype=object)).tolist() == wanted, changed
    for table in ([row, row | {"rooms": True}], [row | {"rooms": 0.5}, row | {"rooms": np.bool_(True)}]):
        for rows_of_table in (table, table * 10):
            with pytest.raises((mlapi.MlapiError, TypeError), match="rooms"):
                model.predict(rows_of_table)
    two = [row, row | {"rooms": 2.75}]
    assert model.predict(two) == [model.predict([one])[0] for one in two]
    with pytest.raises(TypeError, match="dicts"):
        model.predict([[2, "a"]])


def test_engines_read_what_is_needed(models: dict[str, Trained]) -> None:
    path, features = models["penguins"].path, mlapi.load(models["penguins"].path).features
    names = ["id", *features[::-1], "note"]
    assert _engine.read_names("none", names, path) == features[::-1]
    assert _engine.read_names("note, id", names, path) == names
    assert _engine.read_names("id", names, path) == names[:-1]
    assert _engine.read_names("all", names, path) == names
    # What is missing is said by the program.
    assert _engine.read_names("other", names, path) == names
    assert _engine.read_names("id", names[2:], path) == names[2:]


def test_an_answer_is_of_the_kind_of_its_table(models: dict[str, Trained]) -> None:
    iris, diabetes = (mlapi.load(models[name].path) for name in ("iris", "diabetes"))
    frame = models["iris"].frame.sample(20, random_state=1)
    series = iris.predict(frame)
    assert isinstance(series, pd.Series) and series.index.equals(frame.index) and series.name == "prediction"
    assert iris.predict_proba(frame).index.equals(frame.index)
    assert isinstance(iris.predict(pl.from_pandas(frame)), pl.Series)
    assert isinstance(iris.predict_proba(pl.from_pandas(frame)), pl.DataFrame)
    assert isinstance(iris.predict(pl.from_pandas(frame).lazy()), pl.Series)
    assert isinstance(iris.predict(pa.Table.from_pandas(frame)), pa.Array)
    assert isinstance(iris.predict_proba(pa.RecordBatch.from_pandas(frame)), pa.Table)
    rows = frame.iloc[:, :4].to_numpy()
    assert iris.predict(rows).tolist() == series.tolist()
    assert iris.predict_proba(rows).shape == (20, 3)
    numbers = diabetes.predict(models["diabetes"].frame)
    assert numbers.dtype == np.float64
    numbers += 1  # can be written to
    assert models["digits"].frame is not None
    assert mlapi.load(models["digits"].path).predict(models["digits"].frame.head(3)).dtype == np.int64


def test_columns_are_found_by_name_in_any_order_and_others_are_passed_over(models: dict[str, Trained]) -> None:
    trained = models["penguins"]
    model = mlapi.load(trained.path)
    wanted = model.predict(trained.frame)
    mixed = trained.frame[trained.frame.columns[::-1]].assign(lists=[[1]] * len(trained.frame), id=range(len(wanted)))
    assert model.predict(mixed).equals(wanted)
    assert model.predict(pl.from_pandas(mixed)).to_list() == wanted.tolist()


def test_nan_is_a_missing_value_in_the_column_of_any_feature(models: dict[str, Trained]) -> None:
    trained = models["penguins"]
    model = mlapi.load(trained.path)
    table = pa.Table.from_pandas(trained.frame[model.features].head(20), preserve_index=False)
    assert {feature["type"] for feature in model.info["schema"]["features"]} >= {"number", "category"}
    for i, name in enumerate(model.features):
        wanted = model.predict_proba(table.set_column(i, name, pa.nulls(20)))
        for kind in (pa.float16(), pa.float32(), pa.float64()):
            nan = pa.array(np.full(20, np.nan, kind.to_pandas_dtype()), kind)
            assert nan.null_count == 0
            assert model.predict_proba(table.set_column(i, name, nan)).equals(wanted), (name, kind)
    cancer = models["cancer"]
    rows = cancer.frame[mlapi.load(cancer.path).features].head(40)
    rows = rows.mask(np.random.default_rng(1).random(rows.shape) < 0.3)
    numbers = mlapi.load(cancer.path)
    for form in (rows, rows.to_numpy(), pl.from_pandas(rows), pl.from_pandas(rows, nan_to_null=False), rows.to_dict("records")):
        found = numbers.predict_proba(form)
        found = pd.DataFrame(found) if isinstance(found, list) else found
        found = found.to_numpy() if hasattr(found, "to_numpy") else found
        assert np.array_equal(found, numbers.predict_proba(pa.Table.from_pandas(rows)).to_pandas().to_numpy()), type(form)


def test_a_table_without_rows_has_no_predictions(models: dict[str, Trained]) -> None:
    for name in NAMES:
        model, frame = mlapi.load(models[name].path), models[name].frame.head(0)
        assert len(model.predict(frame)) == 0
        assert len(model.predict(pl.from_pandas(frame))) == 0
        if model.task == "classification":
            assert model.predict_proba(frame).shape == (0, len(model.classes_))


def test_many_rows_go_through_both_pipes_at_once(models: dict[str, Trained]) -> None:
    trained = models["cancer"]
    frame = pd.concat([trained.frame] * 200, ignore_index=True)
    wanted = np.tile(mlapi.load(trained.path).predict_proba(trained.frame).to_numpy(), (200, 1))
    assert np.array_equal(mlapi.load(trained.path).predict_proba(frame).to_numpy(), wanted)


def test_a_failure_is_an_exception_with_the_programs_message(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    with pytest.raises(mlapi.MlapiError, match='"petal_width" is missing') as caught:
        model.predict(trained.frame.drop(columns="petal_width"))
    assert caught.value.status == 1
    assert pickle.loads(pickle.dumps(caught.value)).status == 1
    with pytest.raises(mlapi.MlapiError, match="did you mean"):
        model.predict(trained.frame.rename(columns={"petal_width": "petal_widht"}))
    with pytest.raises(mlapi.MlapiError, match="nowhere.mlapi"):
        mlapi.load("nowhere.mlapi")
    with pytest.raises(mlapi.MlapiError):
        mlapi.load(trained.data)
    with pytest.raises(TypeError, match="no probabilities"):
        mlapi.load(models["diabetes"].path).predict_proba(models["diabetes"].frame)
    with pytest.raises(TypeError, match="to_frame"):
        model.predict(trained.frame["petal_width"])
    with pytest.raises(TypeError, match="in a list"):
        model.predict({"petal_width": 1.0})
    with pytest.raises(ValueError, match="4 columns are expected, not 3"):
        model.predict(np.zeros((2, 3)))
    # It still works.
    assert model.predict(trained.frame.head(1)).tolist() == ["setosa"]


def test_the_row_of_a_failure_is_that_of_its_table(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    texts = trained.frame.head(5).astype(str)
    assert len(model.predict(texts)) == 5
    assert len(model.predict(texts)) == 5
    texts.loc[2, "sepal_width"] = "wide"
    with pytest.raises(mlapi.MlapiError) as late:
        model.predict(texts)
    with pytest.raises(mlapi.MlapiError) as first:
        mlapi.load(trained.path).predict(texts)
    assert str(late.value) == str(first.value)
    assert "wide" in str(first.value) and "sepal_width" in str(first.value)
    assert mlapi.load(trained.path, lenient=True).predict(texts)[0] == "setosa"


def test_a_program_that_is_killed_is_started_again(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    wanted = model.predict(trained.frame)
    ((_, child),) = model._children
    os.kill(child.pid, signal.SIGKILL)
    assert model.predict(trained.frame).equals(wanted)
    ((_, again),) = model._children
    assert again.pid != child.pid
    model.close()
    with pytest.raises(ProcessLookupError):
        os.kill(again.pid, 0)
    assert model.predict(trained.frame).equals(wanted)


def test_one_program_answers_all_tables_of_a_schema(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    for rows in (1, 150, 0, 7):
        model.predict(trained.frame.head(rows))
    assert len(model._children) == 1
    penguins = mlapi.load(models["penguins"].path)
    frame = models["penguins"].frame[penguins.features]
    lacking = frame[frame.isna().any(axis=1)]
    for table in (frame, frame.head(1), lacking.head(1), frame.mask(frame.notna()).assign(year=2007).head(3), frame):
        penguins.predict(table.astype(frame.dtypes))
    assert len(penguins._children) == 1
    for row in frame.to_dict("records"):
        penguins.predict([row])
    assert len(penguins._children) <= 3
    for n in range(10):
        model.predict(trained.frame.assign(petal_width=lambda f: f.petal_width.astype([float, str][n % 2])))
    assert len(model._children) == 2


def test_threads_forks_and_pickles(models: dict[str, Trained]) -> None:
    trained = models["penguins"]
    model = mlapi.load(trained.path, threads=1)
    wanted = model.predict(trained.frame).tolist()
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.predict(trained.frame).tolist())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [wanted] * 8

    assert pickle.loads(pickle.dumps(model)).predict(trained.frame).tolist() == wanted
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=lambda: queue.put(model.predict(trained.frame).tolist()))
    process.start()
    assert queue.get(timeout=30) == wanted
    process.join()
    assert model.predict(trained.frame).tolist() == wanted


def test_a_threshold_moves_labels_and_no_probability(models: dict[str, Trained]) -> None:
    trained = models["cancer"]
    plain, eager = mlapi.load(trained.path), mlapi.load(trained.path, threshold=0.01)
    second = plain.predict_proba(trained.frame)[plain.classes_[1]]
    assert eager.predict_proba(trained.frame).equals(plain.predict_proba(trained.frame))
    assert (eager.predict(trained.frame) == plain.classes_[1]).equals((second >= 0.01).rename("prediction"))


def test_a_stream_is_scored_batch_by_batch(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    batches = pa.Table.from_pandas(trained.frame, preserve_index=False).to_batches(max_chunksize=40)
    answers = list(model.score_batches(iter(batches), keep="species"))
    assert [answer.num_rows for answer in answers] == [40, 40, 40, 30]
    assert answers[0].schema.names[:3] == ["species", "prediction", "probability"]
    assert pa.Table.from_batches(answers).drop_columns("species").equals(model.score(trained.frame))

    def broken(error: Exception) -> Iterator[pa.RecordBatch]:
        yield batches[0]
        raise error

    # An OSError is what a broken pipe is, too.
    for error in (OverflowError("the source failed"), FileNotFoundError("the source failed")):
        with pytest.raises(type(error), match="the source failed"):
            list(model.score_batches(broken(error)))
    # An answer that nobody waits for ends the program.
    first = model.score_batches(iter(batches * 1000))
    next(first)
    first.close()


def test_a_large_array_has_the_predictions_of_its_parts(models: dict[str, Trained]) -> None:
    trained = models["iris"]
    model = mlapi.load(trained.path)
    few = trained.frame[model.features].to_numpy(float)
    few[3, 1] = np.nan
    many = np.tile(few, (450, 1))
    assert len(many) > 2 * 32_768
    for array in (many, many[:, ::-1].copy()[:, ::-1], many.astype(object)):
        assert (model.predict(array) == np.tile(model.predict(few), 450)).all()
    # Then a row by itself, through the same program.
    assert list(model.predict(many[:1])) == list(model.predict(few[:1]))
    assert len(model.predict(many[:0])) == 0


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "mlapi", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mlapi ")
    wrong = subprocess.run([sys.executable, "-m", "mlapi", "predict", "--model", "x"], capture_output=True, cwd=tmp_path)
    assert wrong.returncode == 2
