"""Arrow IPC streams through `mlapi predict`, written and read by pyarrow; see tests/arrow.sh.

What is expected is the prediction of the same table as CSV, which pyarrow writes.
"""

import datetime
import decimal
import io
import os
import resource
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc

mlapi, folder, fixtures = sys.argv[1:4]
quick = "--quick" in sys.argv
os.chdir(folder)


def run(*args, stdin=b"", status=0):
    done = subprocess.run([mlapi, *args], input=stdin, capture_output=True)
    assert done.returncode == status, (args, done.returncode, done.stderr.decode())
    return done


def stream(batches, schema=None, compression=None):
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def predict(batches, *flags, status=0, **how):
    """The batches that come out, and standard error."""
    given = stream(batches, **how)
    done = run("predict", "--input", "-", "--input-format", "arrow", "--format", "arrow", *flags, stdin=given, status=status)
    out = []
    try:
        with pa.ipc.open_stream(done.stdout) as reader:
            for batch in reader:
                batch.validate(full=True)
                out.append(batch)
    except pa.ArrowInvalid:
        if status == 0:
            raise
    return out, done.stderr.decode()


def as_csv(table, *flags):
    """The same predictions by way of CSV."""
    text = io.BytesIO()
    pa.csv.write_csv(table, text)
    done = run("predict", "--input", "-", "--keep", "none", *flags, stdin=text.getvalue())
    # Predictions of numbers are read as doubles, labels as they stand.
    names = done.stdout.split(b"\n", 1)[0].decode().split(",")
    types = {name: pa.string() if name in texts else pa.float64() for name in names for texts in [{"prediction", "prediction_set"}]}
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return pa.csv.read_csv(io.BytesIO(done.stdout), convert_options=options)


def same(batches, expected, what):
    got = pa.Table.from_batches(batches)
    assert got.num_rows == expected.num_rows, (what, got.num_rows, expected.num_rows)
    assert got.column_names == expected.column_names, (what, got.column_names, expected.column_names)
    for name in got.column_names:
        ours, theirs = got[name], expected[name]
        if ours.type != theirs.type:
            ours, theirs = ours.cast(pa.float64()), theirs.cast(pa.float64())
        assert ours.to_pylist() == theirs.to_pylist(), (what, name)


def split(table, size):
    return table.combine_chunks().to_batches(max_chunksize=size)


def said(text):
    print(f"-- {text}", flush=True)


def types():
    rng = np.random.default_rng(1)
    n = 3000
    ints = rng.integers(-5, 200, n)
    day = datetime.date(2024, 1, 1)
    words = ["red", "dark green", 'say "x", twice', "two\nlines", "blau"]
    missing = rng.random(n) < 0.1
    table = pa.table({
        "f64": pa.array(rng.normal(size=n), mask=missing),
        "f32": pa.array(rng.normal(size=n).astype("float32")),
        "i64": pa.array(ints, mask=rng.random(n) < 0.05),
        "u8": pa.array((ints % 200).astype("uint8")),
        "dec": pa.array([decimal.Decimal(int(i)) / 4 for i in ints], pa.decimal128(12, 2)),
        "flag": pa.array(rng.random(n) < 0.5, mask=rng.random(n) < 0.05),
        "word": pa.array([words[i % 5] for i in ints], mask=rng.random(n) < 0.1),
        "view": pa.array([words[(i + 1) % 5] for i in ints], pa.string_view()),
        "large": pa.array([words[(i + 2) % 5] for i in ints], pa.large_string()),
        "dict": pa.array([words[(i * 7) % 5] for i in ints]).dictionary_encode(),
        "day": pa.array([day + datetime.timedelta(days=int(i)) for i in ints]),
        "at": pa.array([datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=int(i)) for i in ints], pa.timestamp("us")),
        "zip": pa.array([["01069", "10115", "80331"][i % 3] for i in ints]),
        "code": pa.array(ints % 7),
        "empty": pa.nulls(n),
    })
    score = table["f64"].fill_null(0).to_numpy() + (ints % 5) + table["f32"].to_numpy()
    table = table.append_column("y", pa.array(np.where(score > 2, "yes, surely", np.where(score > 0, "maybe", "no"))))

    csv = table
    for name in ["view", "dict"]:
        csv = csv.set_column(csv.column_names.index(name), name, csv[name].cast(pa.string()))
    pa.csv.write_csv(csv, "all.csv")
    rows = table.drop_columns("y")
    # What pyarrow's CSV writer cannot write is written as what it means.
    plain = rows.set_column(rows.column_names.index("view"), "view", rows["view"].cast(pa.string()))
    plain = plain.set_column(rows.column_names.index("dict"), "dict", rows["dict"].cast(pa.string()))
    for flags, asked in [
        (["--algorithm", "logreg"], ["--probabilities"]),
        (["--algorithm", "boost", "--set", "n_estimators=20"], []),
        (["--algorithm", "tree", "--type", "code=category", "--type", "zip=category"], ["--probabilities"]),
        (["--algorithm", "bayes", "--conformal", "0.9"], ["--probabilities"]),
        (["--algorithm", "ridge", "--target", "f64"], []),
        (["--algorithm", "boost", "--set", "n_estimators=10", "--target", "f64", "--interval", "0.9"], ["--explain"]),
    ]:
        run("train", "all.csv", "-q", *flags)
        number = "f64" in flags
        given, text = (table.drop_columns("f64"), csv.drop_columns("f64")) if number else (rows, plain)
        for name in ["view", "dict"]:
            text = text.set_column(text.column_names.index(name), name, text[name].cast(pa.string()))
        expected = as_csv(text, *asked)
        for size in [3000, 700, 1]:
            if size == 1:
                given, expected = given.slice(0, 50), expected.slice(0, 50)
            out, _ = predict(split(given, size), "--keep", "none", *asked)
            assert [batch.num_rows for batch in out] == [batch.num_rows for batch in split(given, size)]
            same(out, expected, (flags, size))
        label = out[0].schema.field("prediction").type
        assert label == (pa.float64() if number else pa.string()), label
    said(f"{len(rows.column_names)} types of columns: predictions equal those of the same rows as CSV")
    return rows


def kept_columns(rows):
    run("train", "all.csv", "-q", "--algorithm", "tree")
    batches = split(rows, 1000)
    extra = [batch.append_column("tags", pa.array([["a", None]] * batch.num_rows)) for batch in batches]
    out, err = predict(extra)
    assert out[0].schema.names == [*rows.column_names, "tags", "prediction", "probability"], out[0].schema
    assert "tags" in err and "--strict" in err, err
    for given, got in zip(extra, out):
        for name in given.schema.names:
            assert got[name].equals(given[name]), name
            assert got.schema.field(name).type == given.schema.field(name).type
    out, _ = predict(batches, "--keep", "word,f32")
    assert out[0].schema.names == ["word", "f32", "prediction", "probability"]
    clash = [batch.append_column("prediction", batch["u8"]) for batch in batches]
    out, err = predict(clash)
    assert out[0].schema.names[-3:] == ["prediction", "prediction_1", "probability"] and "prediction_1" in err
    out, _ = predict([], schema=batches[0].schema)
    assert out == []
    out, _ = predict([batches[0].slice(0, 0), batches[0]], "--keep", "none")
    assert [batch.num_rows for batch in out] == [0, 1000]
    for compression in ["zstd"]:
        whole, _ = predict(batches, "--keep", "none", compression=compression)
        same(whole, pa.Table.from_batches(predict(batches, "--keep", "none")[0]), compression)
    err = run("predict", "--input", "-", "--format", "arrow", stdin=stream(batches, compression="lz4"), status=1).stderr
    assert b"lz4" in err.lower(), err
    # As a file, with another form out, and for the other verbs.
    table = pa.Table.from_batches(batches)
    with pa.ipc.new_file("rows.arrow", table.schema) as writer:
        writer.write_table(table)
    done = run("predict", "--input", "rows.arrow", "--format", "arrow", "--keep", "none")
    same(list(pa.ipc.open_stream(done.stdout)), pa.Table.from_batches(predict(batches, "--keep", "none")[0]), "file")
    ndjson = run("predict", "--input", "-", "--input-format", "arrow", "--format", "ndjson", stdin=stream(batches)).stdout
    assert ndjson.count(b"\n") == table.num_rows
    assert b"not an Arrow IPC stream" in run("predict", "--input", "all.csv", "--input-format", "arrow", status=1).stderr
    assert b"not a readable Arrow IPC stream" in run("predict", "--input", "all.csv", "--format", "arrow", status=1).stderr
    said("kept columns come back as they were; empty batches, files, zstd and other forms out")


def bad_rows(rows):
    run("train", "all.csv", "-q", "--algorithm", "tree")
    text = pa.array([str(v) if v is not None else None for v in rows["f64"].to_pylist()])
    values = text.to_pylist()
    for at in [1500, 2999, 2700]:
        values[at] = "many"
    bad = rows.set_column(0, "f64", pa.array(values))
    good, _ = predict(split(rows, 1000), "--keep", "i64")
    good = pa.Table.from_batches(good)
    out, err = predict(split(bad, 1000), "--keep", "i64", status=1)
    assert [batch.num_rows for batch in out] == [1000, 500] and "row 1501, column \"f64\"" in err and '"many"' in err, err
    assert pa.Table.from_batches(out).equals(good.slice(0, 1500))
    out, err = predict(split(bad, 1000), "--keep", "i64", "--on-error", "skip")
    assert [batch.num_rows for batch in out] == [1000, 999, 998] and "3 rows" in err, err
    wanted = [row for i, row in enumerate(good.to_pylist()) if i not in (1500, 2700, 2999)]
    assert pa.Table.from_batches(out).to_pylist() == wanted
    out, _ = predict(split(bad, 1000), "--keep", "i64", "--on-error", "null")
    got = pa.Table.from_batches(out).to_pylist()
    for i, (row, expected) in enumerate(zip(got, good.to_pylist())):
        if i in (1500, 2700, 2999):
            expected = {**expected, "prediction": None, "probability": None}
        assert row == expected, (i, row, expected)
    out, _ = predict(split(bad, 1000), "--lenient", "--keep", "none")
    assert sum(batch.num_rows for batch in out) == 3000
    _, err = predict(split(rows.drop_columns("u8"), 1000), status=1)
    assert '"u8" is missing' in err, err
    nested = rows.set_column(3, "u8", pa.array([[1]] * rows.num_rows))
    _, err = predict(split(nested, 1000), status=1)
    assert 'column "u8": a list is not a single value' in err, err
    run("predict", "--features", "1", "--format", "arrow", status=2)
    run("predict", "--input", "-", "--format", "arrow", "--rank-by", "no", status=2)
    said("bad rows stop, are skipped, or have no prediction, with their numbers in the stream")


def damaged(rows):
    whole = stream(split(rows.slice(0, 200), 100))
    rng = np.random.default_rng(3)
    n_failed = 0
    for i in range(60 if quick else 400):
        bytes_ = bytearray(whole)
        if i % 2:
            bytes_ = bytes_[: int(rng.integers(1, len(whole)))]
        else:
            for _ in range(8):
                bytes_[int(rng.integers(0, len(whole)))] = int(rng.integers(0, 256))
        done = subprocess.run(
            [mlapi, "predict", "--input", "-", "--format", "arrow", "--keep", "none"], input=bytes(bytes_), capture_output=True)
        assert done.returncode in (0, 1), (i, done.returncode, done.stderr)
        assert b"panicked" not in done.stderr, done.stderr
        n_failed += done.returncode
    assert n_failed > 0
    said(f"damaged streams end with an error or a prediction, never otherwise ({n_failed} errors)")


def at_once(rows):
    """Each batch is answered before the next one comes, and one row soon."""
    run("train", "all.csv", "-q", "--algorithm", "tree")
    child = subprocess.Popen(
        [mlapi, "predict", "--input", "-", "--input-format", "arrow", "--format", "arrow", "--keep", "none"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    batch = split(rows, 1)[0]
    writer = pa.ipc.new_stream(child.stdin, batch.schema)
    child.stdin.flush()
    reader = pa.ipc.open_stream(child.stdout)
    assert reader.schema.names == ["prediction", "probability"]
    times = []
    for _ in range(300):
        start = time.perf_counter()
        writer.write_batch(batch)
        child.stdin.flush()
        assert reader.read_next_batch().num_rows == 1
        times.append(time.perf_counter() - start)
    writer.close()
    child.stdin.close()
    try:
        reader.read_next_batch()
        raise AssertionError("the stream has no end")
    except StopIteration:
        pass
    assert child.wait() == 0
    said(f"one row through a running child: {sorted(times)[150] * 1e6:.0f} µs (median of 300)")


def memory():
    """More rows need no more memory, and the time beside CSV."""
    rng = np.random.default_rng(2)
    n, width = 50_000, 20
    table = pa.table({f"x{i}": rng.normal(size=n) for i in range(width)})
    y = pa.array(np.where(table["x0"].to_numpy() + table["x1"].to_numpy() > 0, "a", "b"))
    pa.csv.write_csv(table.append_column("y", y), "wide.csv")
    run("train", "wide.csv", "-q", "--algorithm", "boost", "--set", "n_estimators=50")
    batch = table.to_batches()[0]
    peaks = []
    for n_batches in [2, 10 if quick else 40]:
        child = subprocess.Popen(
            [mlapi, "--threads", "2", "predict", "--input", "-", "--format", "arrow", "--keep", "none"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def feed():
            with pa.ipc.new_stream(child.stdin, batch.schema) as writer:
                for _ in range(n_batches):
                    writer.write_batch(batch)
            child.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        n_rows = sum(got.num_rows for got in pa.ipc.open_stream(child.stdout))
        feeder.join()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        assert (status, n_rows) == (0, n * n_batches)
        peaks.append(usage.ru_maxrss / 1000)
        cpu = usage.ru_utime + usage.ru_stime
    assert peaks[1] < peaks[0] * 1.2 + 5, peaks
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run("predict", "--input", "wide.csv", "--keep", "none")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    csv = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said(f"{n * n_batches:,} rows × {width}: {peaks[1]:.0f} MB at most ({peaks[0]:.0f} MB for {2 * n:,} rows), "
         f"{cpu / n / n_batches * 1e6:.2f} µs of processor a row; as CSV {csv / n * 1e6:.2f} µs")


rows = types()
kept_columns(rows)
bad_rows(rows)
damaged(rows)
at_once(rows)
memory()
