"""Measures how mlapi reads and predicts tables. Started by benches/read.sh.

Tables, made with fixed seeds in target/bench/read and removed at the end:

numeric     1,000,000 x 30 numbers with four decimals, the last column a sum of some others
mixed       1,000,000 x 12: numbers, categories, quoted texts with commas and quotes, missing values

Reading: seconds from the file to typed columns, in a fresh process each time, start of the process and imports
not counted; mlapi's include the digest of the file. `pandas.read_csv` with the C engine, `polars.read_csv` on
two threads. Sides take turns; figures are medians.

Predicting: whole processes, from the file to a file with one more column, with 100 rounds of boosting of 31 leaves
learned on the first 100,000 rows. The script is benches/peers/predict_table.py (pandas, LightGBM). Copying is the
output read and written again by benches/read.rs, and nothing else.

Memory: the largest resident set (VmHWM of /proc, looked at every 5 ms); of predict on the table, and on a stream of
ten times the table from standard input; of train relative to 8 bytes for each number of the table.
"""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What benches/build.sh built.
BIN = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist"))
OUT = ROOT / "target/bench/read"
MLAPI, READ = BIN / "mlapi", BIN / "read"
THREADS = 2
for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = str(THREADS)

import numpy


def make_numeric(path, rows):
    generator = numpy.random.default_rng(1)
    with open(path, "w") as file:
        file.write(",".join([f"x{j}" for j in range(29)] + ["y"]) + "\n")
        for start in range(0, rows, 50_000):
            n = min(50_000, rows - start)
            x = generator.normal(size=(n, 29)) * 10
            y = 2 * x[:, 0] + x[:, 1] * x[:, 2] / 10 + generator.normal(size=n)
            numpy.savetxt(file, numpy.column_stack([x, y]), fmt="%.4f", delimiter=",")


def make_mixed(path, rows):
    generator = numpy.random.default_rng(2)
    cities = ['Berlin', 'Paris', '"Bonn, Rhein"', 'Rome', '"The ""Hague"""', 'Wien']
    with open(path, "w") as file:
        file.write("id,a,b,c,d,e,city,kind,flag,note,level,y\n")
        for start in range(0, rows, 50_000):
            n = min(50_000, rows - start)
            numbers = generator.normal(size=(n, 5)) * 10
            picks = generator.integers(0, [6, 20, 2, 40, 200], size=(n, 5))
            for i in range(n):
                x, (city, kind, flag, note, level) = numbers[i], picks[i]
                gap = "" if kind == 3 else f"{x[1]:.3f}"
                file.write(
                    f"{start + i},{x[0]:.4f},{gap},{x[2]:.2f},{x[3]:.4f},{int(x[4])},{cities[city]},kind {kind},"
                    f'{"true" if flag else "false"},"note {note}, as said",l{level},{"yes" if x[0] > 0 else "no"}\n'
                )


def run(command, stdin=None, stdout=None):
    """Seconds and peak memory (MB) of a process, and its output unless that goes elsewhere."""
    started = time.perf_counter()
    sink = open(stdout, "wb") if stdout else subprocess.PIPE
    process = subprocess.Popen([str(part) for part in command], stdin=stdin or subprocess.DEVNULL, stdout=sink)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process, peak))
    watcher.start()
    output = process.stdout.read() if process.stdout else b""
    status = process.wait()
    seconds = time.perf_counter() - started
    watcher.join()
    if stdout:
        sink.close()
    if status != 0:
        raise SystemExit(f"read.py: `{' '.join(map(str, command))}` failed")
    return seconds, peak[0], output.decode()


def watch(process, peak):
    """Keeps the peak memory of a process in MB in `peak[0]`."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.returncode is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            return
        peak[0] = max([peak[0], *(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))])
        time.sleep(0.005)


def alternate(runs, **sides):
    """Median and range of each side, run in turns."""
    times = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            times[name].append(side())
    return {name: (statistics.median(of), min(of), max(of)) for name, of in times.items()}


def show(what, times, bars):
    ours = times["mlapi"][0]
    for name, (median, low, high) in times.items():
        ratio = "" if name == "mlapi" else f"   {name} / mlapi {median / ours:5.2f}  ({bars[name]})"
        print(f"{what:<28} {name:<9} {median:7.3f} s  [{low:.3f}, {high:.3f}]{ratio}", flush=True)


def stream(path, times, pipe):
    """Writes a table to a pipe, its rows again and again."""
    with open(path, "rb") as file, pipe:
        header = file.readline()
        pipe.write(header)
        for _ in range(times):
            file.seek(len(header))
            shutil.copyfileobj(file, pipe, 1 << 20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small tables and one run, to see that it works")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="do not remove the tables")
    arguments = parser.parse_args()
    rows, runs = (20_000, 1) if arguments.quick else (1_000_000, arguments.runs)
    OUT.mkdir(parents=True, exist_ok=True)
    numeric, mixed = OUT / f"numeric_{rows}.csv", OUT / f"mixed_{rows}.csv"
    for path, make in ((numeric, make_numeric), (mixed, make_mixed)):
        if not path.exists():
            make(path, rows)
    import lightgbm
    import pandas
    import polars

    print(
        f"{platform.platform()}, {os.cpu_count()} cores; pandas {pandas.__version__}, polars {polars.__version__}, "
        f"LightGBM {lightgbm.__version__}; {runs} runs each\n"
        f"{numeric.name} {numeric.stat().st_size / 1e6:.0f} MB, {mixed.name} {mixed.stat().st_size / 1e6:.0f} MB"
    )
    peer = ROOT / "benches/peers/read_table.py"
    for path in (numeric, mixed):
        sides = {"mlapi": lambda: float(run([READ, path])[2])}
        for library in ("pandas", "polars"):
            sides[library] = lambda library=library: float(run([sys.executable, peer, library, path])[2])
        bars = {"pandas": "bar: 3", "polars": "bar: 1"}
        show(f"read {path.name}", alternate(runs, **sides), bars)

    head, predicted, copied = OUT / "head.csv", OUT / "predicted.csv", OUT / "copied.csv"
    with open(numeric) as source, open(head, "w") as target:
        target.writelines(line for line, _ in zip(source, range(100_001)))
    model, peer_model = OUT / "model.mlapi", OUT / "model.txt"
    run([MLAPI, "train", head, "-q", "--algorithm", "boost", "--set", "preset=scikit-learn", "--output", model])
    table = pandas.read_csv(head)
    settings = dict(objective="regression", num_leaves=31, num_threads=THREADS, verbose=-1)
    data = lightgbm.Dataset(table.drop(columns="y"), table["y"])
    lightgbm.train(settings, data, 100).save_model(peer_model)
    script = [sys.executable, ROOT / "benches/peers/predict_table.py", peer_model, numeric, OUT / "peer.csv"]
    predict = [MLAPI, "predict", "-q", "--model", model, "--input", numeric]
    peaks = []

    def ours():
        seconds, peak, _ = run(predict, stdout=predicted)
        peaks.append(peak)
        return seconds

    times = alternate(runs, mlapi=ours, copy=lambda: run([READ, "copy", predicted, copied])[0])
    show("predict numeric", times, {"copy": f"bar: 0.5; mlapi takes {times['mlapi'][0] / times['copy'][0]:.2f} times as long"})
    times = alternate(max(1, runs // 2), mlapi=ours, script=lambda: run(script)[0])
    show("predict numeric", times, {"script": "bar: 10"})
    print(f"peak memory of predict, {numeric.stat().st_size / 1e6:.0f} MB: {max(peaks):.1f} MB  (bar: 64)", flush=True)

    reader, writer = os.pipe()
    feeder = threading.Thread(target=stream, args=(numeric, 10, os.fdopen(writer, "wb")))
    feeder.start()
    seconds, peak, _ = run([*predict[:-1], "-"], stdin=os.fdopen(reader, "rb"), stdout="/dev/null")
    feeder.join()
    print(f"peak memory of predict, {numeric.stat().st_size / 1e5:.0f} MB streamed: {peak:.1f} MB in {seconds:.1f} s  (bar: 64)")

    matrix = rows * 30 * 8 / 2**20
    for algorithm in ("linear-regression", "boost"):
        command = [MLAPI, "train", numeric, "-q", "--algorithm", algorithm, "--output", OUT / "large.mlapi"]
        seconds, peak, _ = run(command)
        print(f"peak memory of train, {algorithm}: {peak:.0f} MB, {peak / matrix:.2f} x {matrix:.0f} MB, in {seconds:.1f} s  (bar: 2.5)", flush=True)
    if not arguments.keep:
        shutil.rmtree(OUT)


main()
