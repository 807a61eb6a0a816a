"""Compares the models of `mlapi train` with those of its peers on real tables. Started by benches/quality.sh.

For each table and split, mlapi and each peer fit the same four fifths of the rows and predict the last fifth, each in
processes of its own on one thread:

mlapi      `mlapi train TRAIN --target T --task TASK --test TEST`, which fits all rows of TRAIN, then
           `mlapi predict --probabilities --lenient`
peers      see peers.py

Log loss clips probabilities at 1e-15. ECE is the expected calibration error of the predicted class: 15 bins of equal
width. RMSE and MAE are in the target's unit. A table's figure is the mean of its splits; its ECE is that of all their
rows together. Seconds are processor time of whole processes, imports included.

Ranks and wins are among the tools shown, over the splits that every tool could do; equal figures share a rank. A table
is *worse* if mlapi's figure is more than 5 % above the best peer's and the mean paired difference of the rows' losses
is more than two of its standard errors. A ratio is mlapi's figure through the peer's (for accuracy: the difference).

Results are kept in results.json and rows/ in target/quality (or --data): peers by table, split, version and settings,
mlapi by --label and its binary. Only what is missing runs.
"""

import argparse
import concurrent.futures
import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import pandas

import tables

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The package of each peer, whose version counts.
PEERS = {
    "script": "scikit-learn",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "flaml": "flaml",
    "autogluon": "autogluon.tabular",
}
# Peers that search for as long as they are given.
SEARCHING = ["flaml", "autogluon"]
# Peers that have an environment of their own, with its requirements.
APART = {"autogluon": HERE / "autogluon.txt"}
# One thread each, so that seconds compare, and nothing of mlapi's settings from outside.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("MLAPI_")} | {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLAPI_THREADS": "1",
}
# Four tables of different kinds that every tool fits in seconds.
SHORT = ["olive", "titanic", "concrete", "forbes"]


class Failed(Exception):
    pass


def run(command, limit, folder=None):
    """Processor seconds of a process and its children. `limit` is in processor seconds too: on a busy machine, a limit
    in real time would decide at random which tables are compared."""

    def limited():
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 5))

    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            list(map(str, command)),
            env=ENV,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=limited,
        )
        # wait4, because it gives the times of this child alone.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise Failed(f"took more than {limit:.0f} s, or was killed")
        if process.returncode != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"{command[0]} ended with {process.returncode}: {' / '.join(lines[-3:])}")
        return usage.ru_utime + usage.ru_stime


def truth(path, entry):
    kind = {entry["target"]: str} if entry["task"] == "classification" else None
    return pandas.read_csv(path, dtype=kind, low_memory=False)[entry["target"]].to_numpy()


def fit_mlapi(options, entry, train, test, folder):
    model, out = folder / "model.mlapi", folder / "predicted.csv"
    arguments = ["--target", entry["target"], "--task", entry["task"], "--test", test, "--output", model, "--quiet"]
    arguments += [text for column in entry.get("types", []) for text in ("--type", column)]
    seconds = run([options.mlapi, "train", train, *arguments, *options.train_flags], options.timeout)
    arguments = ["--input", test, "--model", model, "--output", out, "--keep", "none", "--lenient", "--quiet"]
    if entry["task"] == "classification":
        arguments.append("--probabilities")
    seconds += run([options.mlapi, "predict", *arguments], options.timeout)
    rows = pandas.read_csv(out, dtype={"prediction": str} if entry["task"] == "classification" else None)
    if entry["task"] != "classification":
        return seconds, dict(predictions=rows["prediction"].to_numpy(float))
    labels = [column.removeprefix("probability_") for column in rows if column.startswith("probability_")]
    return seconds, dict(
        labels=labels, probabilities=rows[[f"probability_{label}" for label in labels]].to_numpy(float)
    )


def fit_peer(options, peer, entry, train, test, folder):
    out = folder / "predicted.npz"
    python = ROOT / f"target/{peer}-env/bin/python" if peer in APART else sys.executable
    command = [python, HERE / "peers.py", peer, train, test, entry["target"], entry["task"], out]
    if peer in SEARCHING:
        command.append(options.seconds)
    # Some write folders where they start.
    seconds = run(command, options.timeout + (options.seconds if peer in SEARCHING else 0), folder)
    with numpy.load(out) as arrays:
        return seconds, dict(arrays)


def rows_of(entry, wanted, predicted):
    """Losses of the held-out rows, from which all figures are made."""
    if entry["task"] != "classification":
        errors = predicted["predictions"] - wanted.astype(float)
        return dict(error=errors)
    labels = {str(label): number for number, label in enumerate(predicted["labels"])}
    if unknown := set(wanted) - set(labels):
        raise Failed(f"knows no label {', '.join(sorted(unknown))}, only {', '.join(labels)}")
    probabilities = numpy.asarray(predicted["probabilities"])
    numbers = numpy.array([labels[label] for label in wanted])
    if len(numbers) != len(probabilities) or not numpy.isfinite(probabilities).all():
        raise Failed("predicted too few rows, or probabilities that are no numbers")
    true = probabilities[numpy.arange(len(numbers)), numbers] / probabilities.sum(axis=1)
    best = probabilities.argmax(axis=1)
    rows = dict(
        loss=-numpy.log(numpy.clip(true, 1e-15, 1 - 1e-15)),
        hit=(best == numbers).astype(float),
        top=probabilities.max(axis=1) / probabilities.sum(axis=1),
        auc=numpy.array([area(probabilities, numbers)]),
    )
    return rows


def area(probabilities, numbers):
    """ROC AUC; for several classes one against the rest, the mean of those that occur."""
    from sklearn.metrics import roc_auc_score

    columns = range(probabilities.shape[1]) if probabilities.shape[1] > 2 else [1]
    areas = [
        roc_auc_score(numbers == c, probabilities[:, c]) for c in columns if 0 < (numbers == c).sum() < len(numbers)
    ]
    return statistics.mean(areas) if areas else math.nan


def ece(hit, top):
    bins = numpy.minimum((top * 15).astype(int), 14)
    gaps = [abs(hit[bins == b].mean() - top[bins == b].mean()) * (bins == b).mean() for b in numpy.unique(bins)]
    return float(sum(gaps))


class Store:
    """results.json: what is known of each table, split and tool. Several runs may share it."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "results.json"
        (folder / "rows").mkdir(parents=True, exist_ok=True)

    def all(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, key, result, rows=None):
        if rows is not None:
            result["rows"] = hashlib.sha256(key.encode()).hexdigest()[:20] + ".npz"
            numpy.savez_compressed(self.folder / "rows" / result["rows"], **rows)
        with open(self.folder / "results.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.all() | {key: result}
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(known, indent=0, sort_keys=True))
            new.replace(self.path)

    def rows(self, result):
        with numpy.load(self.folder / "rows" / result["rows"]) as arrays:
            return dict(arrays)


def version_of(peer):
    """The version of a peer; without its environment, the one that the requirements name."""
    if peer not in APART:
        return importlib.metadata.version(PEERS[peer])
    lines = APART[peer].read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(PEERS[peer] + "=="))


def key_of(options, name, split, tool):
    if tool != "mlapi":
        version = version_of(tool)
        seconds = f"@{options.seconds:g}s" if tool in SEARCHING else ""
        return f"{name}/{split}/{tool}@{version}{seconds}"
    return f"{name}/{split}/mlapi:{options.label}"


def is_current(options, entry, tool, result):
    if result is None or result["digest"] != entry["digest"]:
        return False
    if tool == "mlapi":
        return result["binary"] == options.digest and "failed" not in result
    return "failed" not in result or not options.retry


def measure(options, store, entry, split, tool):
    key = key_of(options, entry["name"], split, tool)
    parts = [options.data / f"parts/{entry['name']}.{split}.{part}.csv" for part in ("train", "test")]
    result = dict(digest=entry["digest"], table=entry["name"], split=split, tool=tool)
    if tool == "mlapi":
        result["binary"] = options.digest
    started, rows = time.monotonic(), None
    with tempfile.TemporaryDirectory() as folder:
        try:
            if tool == "mlapi":
                seconds, predicted = fit_mlapi(options, entry, *parts, pathlib.Path(folder))
            else:
                seconds, predicted = fit_peer(options, tool, entry, *parts, pathlib.Path(folder))
            rows = rows_of(entry, truth(parts[1], entry), predicted)
            result["seconds"] = round(seconds, 2)
            figures = figures_of(entry, [rows])
        except Failed as failure:
            result["failed"] = str(failure)
    store.add(key, result, rows)
    if "failed" in result:
        said = f"FAILED: {result['failed'][:300]}"
    else:
        said = f"{seconds:8.1f} s  " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(
        f"{entry['name']:20} {split} {tool:9} {said}  ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True
    )
    return "failed" not in result


def figures_of(entry, splits):
    """The figures of a table, from the rows of its splits."""
    mean = lambda values: float(numpy.mean(list(values)))
    if entry["task"] != "classification":
        return dict(
            rmse=mean(math.sqrt(numpy.mean(rows["error"] ** 2)) for rows in splits),
            mae=mean(numpy.abs(rows["error"]).mean() for rows in splits),
        )
    together = {name: numpy.concatenate([rows[name] for rows in splits]) for name in ("hit", "top")}
    return dict(
        log_loss=mean(rows["loss"].mean() for rows in splits),
        accuracy=mean(rows["hit"].mean() for rows in splits),
        auc=mean(rows["auc"][0] for rows in splits),
        ece=ece(together["hit"], together["top"]),
    )


METRICS = dict(
    log_loss=("classification", 1), accuracy=("classification", -1), rmse=("regression", 1), mae=("regression", 1)
)


def losses(metric, splits):
    """What is paired: a loss of each row whose mean is the metric, or its square."""
    rows = {name: numpy.concatenate([rows[name] for rows in splits]) for name in splits[0]}
    if metric == "log_loss":
        return rows["loss"]
    if metric == "accuracy":
        return 1 - rows["hit"]
    return rows["error"] ** 2 if metric == "rmse" else numpy.abs(rows["error"])


def is_worse(metric, ours, theirs):
    """By more than two standard errors of the paired difference."""
    differences = losses(metric, ours) - losses(metric, theirs)
    return differences.mean() > 2 * differences.std(ddof=1) / math.sqrt(len(differences))


def ranks(values, sign):
    return [1 + sum(sign * b < sign * a for b in values) + (sum(b == a for b in values) - 1) / 2 for a in values]


def collect(options, store, manifest, tools):
    """{table: {tool: figures}} of the tables of which every tool did a split, the same for all, and notes."""
    known, done, notes = store.all(), {}, []
    for name, entry in manifest.items():
        results = {
            tool: [known.get(key_of(options, name, split, tool)) for split in options.splits_of(entry)]
            for tool in tools
        }
        fine = {
            tool: [r is not None and "failed" not in r and r["digest"] == entry["digest"] for r in found]
            for tool, found in results.items()
        }
        common = [number for number in range(len(options.splits_of(entry))) if all(f[number] for f in fine.values())]
        if len(common) < len(options.splits_of(entry)):
            reasons = [
                f"{tool} {'; '.join({r['failed'] for r in results[tool] if r and 'failed' in r}) or 'has not run'}"[
                    :200
                ]
                for tool in tools
                if not all(fine[tool])
            ]
            notes.append(f"{name}: {len(common)} of {len(options.splits_of(entry))} splits: {', '.join(reasons)}")
        if not common:
            continue
        found = {tool: [results[tool][number] for number in common] for tool in tools}
        rows = {tool: [store.rows(r) for r in found[tool]] for tool in tools}
        figures = {tool: figures_of(entry, rows[tool]) for tool in tools}
        for tool in tools:
            figures[tool]["seconds"] = statistics.mean(r["seconds"] for r in found[tool])
        done[name] = dict(task=entry["task"], rows=entry["rows"], figures=figures, arrays=rows)
    return done, notes


def report(options, store, manifest, tools):
    done, notes = collect(options, store, manifest, tools)
    names = {tool: f"mlapi ({options.label})" if tool == "mlapi" else tool for tool in tools}
    tables, worse = [], []
    lines, summary = [("", "tables", *[names[tool] for tool in tools])], {}
    for metric, (task, sign) in METRICS.items():
        chosen = {name: table for name, table in done.items() if table["task"] == task}
        if not chosen:
            continue
        all_ranks = [ranks([table["figures"][tool][metric] for tool in tools], sign) for table in chosen.values()]
        means = [statistics.mean(column) for column in zip(*all_ranks)]
        wins = [sum(rank[number] < 2 for rank in all_ranks) for number in range(len(tools))]
        summary[metric] = dict(zip(tools, means))
        lines.append((f"mean rank, {metric}", str(len(chosen)), *[f"{mean:.2f}" for mean in means]))
        lines.append((f"wins, {metric}", str(len(chosen)), *map(str, wins)))
    classified = [table for table in done.values() if table["task"] == "classification"]
    if classified:
        means = [statistics.mean(table["figures"][tool]["ece"] for table in classified) for tool in tools]
        lines.append(("mean ECE", str(len(classified)), *[f"{mean:.4f}" for mean in means]))
        means = [statistics.mean(table["figures"][tool]["auc"] for table in classified) for tool in tools]
        lines.append(("mean AUC", str(len(classified)), *[f"{mean:.4f}" for mean in means]))
    if done:
        sums = [sum(table["figures"][tool]["seconds"] for table in done.values()) for tool in tools]
        lines.append(("processor seconds", str(len(done)), *[f"{total:.0f}" for total in sums]))
    tables.append(("Ranks (1 is best)", lines))

    if "mlapi" in tools and len(tools) > 1 and done:
        peers = [tool for tool in tools if tool != "mlapi"]
        lines = [("mlapi through", *peers, "best peer")]
        for metric, (task, sign) in METRICS.items():
            chosen = {name: table["figures"] for name, table in done.items() if table["task"] == task}
            if not chosen:
                continue
            cells = []
            for peer in [*peers, None]:
                others = {
                    name: figures[peer][metric] if peer else sign * min(sign * figures[p][metric] for p in peers)
                    for name, figures in chosen.items()
                }
                pairs = [(chosen[name]["mlapi"][metric], other) for name, other in others.items()]
                if metric == "accuracy":
                    cells.append(f"{statistics.median(a - b for a, b in pairs):+.4f}")
                else:
                    cells.append(f"{statistics.median(a / b if b else math.inf for a, b in pairs):.3f}")
            lines.append((f"median {'difference' if metric == 'accuracy' else 'ratio'}, {metric}", *cells))
        tables.append(("mlapi compared with each peer", lines))

        for metric in ("log_loss", "rmse", "mae"):
            for name, table in done.items():
                if metric not in table["figures"]["mlapi"]:
                    continue
                best = min(peers, key=lambda peer: table["figures"][peer][metric])
                ours, theirs = table["figures"]["mlapi"][metric], table["figures"][best][metric]
                if ours > 1.05 * theirs and is_worse(metric, table["arrays"]["mlapi"], table["arrays"][best]):
                    worse.append((metric, name, ours, theirs, best))
        lines = [("metric", "table", "rows", "mlapi", "best peer", "", "ratio")]
        for metric, name, ours, theirs, best in sorted(worse, key=lambda w: (w[0], -w[2] / w[3])):
            ratio = f"{ours / theirs:.2f}"
            lines.append((metric, name, str(done[name]["rows"]), f"{ours:.4g}", f"{theirs:.4g}", best, ratio))
        tables.append((f"Worse than the best peer: {len(worse)}", lines))

    if options.every and done:
        for task in ("classification", "regression"):
            chosen = {name: table for name, table in done.items() if table["task"] == task}
            for metric in [m for m, (t, _) in METRICS.items() if t == task] if chosen else []:
                lines = [("table", "rows", *[names[tool] for tool in tools])]
                for name, table in sorted(chosen.items(), key=lambda item: item[1]["rows"]):
                    lines.append(
                        (name, str(table["rows"]), *[f"{table['figures'][tool][metric]:.4g}" for tool in tools])
                    )
                tables.append((metric, lines))
            if chosen:
                lines = [("table", "rows", *[names[tool] for tool in tools])]
                for name, table in sorted(chosen.items(), key=lambda item: item[1]["rows"]):
                    lines.append(
                        (name, str(table["rows"]), *[f"{table['figures'][tool]['seconds']:.1f}" for tool in tools])
                    )
                tables.append((f"processor seconds, {task}", lines))
    for title, lines in tables:
        show(title, lines, options.markdown)
    if notes:
        print("\nIncomplete:" if not options.markdown else "\nIncomplete:\n")
        print("\n".join(f"- {note}" for note in notes))
    if options.out:
        plain = {name: {key: value for key, value in table.items() if key != "arrays"} for name, table in done.items()}
        fields = ("metric", "table", "mlapi", "best", "peer")
        lost = [dict(zip(fields, row)) for row in worse]
        result = dict(label=options.label, mean_ranks=summary, worse=lost, incomplete=notes, tables=plain)
        options.out.write_text(json.dumps(result, indent=1))


def show(title, lines, markdown):
    if markdown:
        head, *rows = lines
        print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'|'.join(['---', *['--:'] * (len(head) - 1)])}|")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)
        return
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [line[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]]
        print("  ".join(cells).rstrip(), flush=True)


def names(text):
    return [name for name in text.split(",") if name]


def read_options():
    parser = argparse.ArgumentParser(
        prog="benches/quality.sh", description="Compares the models of `mlapi train` with those of its peers."
    )
    add = parser.add_argument
    add("--half", choices=["choosing", "judging"], help="the tables of one half (default: both)")
    add("--only", type=names, metavar="NAMES", help="some tables, by name")
    add("--task", choices=["classification", "regression"], help="the tables of one task")
    add(
        "--peers",
        type=names,
        default=["script", "lightgbm", "catboost"],
        metavar="NAMES",
        help="some of script,lightgbm,catboost,flaml,autogluon; '' for none (default: the first three)",
    )
    add("--peers-only", action="store_true", help="do not run mlapi")
    add("--no-run", action="store_true", help="report only what is known")
    add("--mlapi", type=pathlib.Path, metavar="FILE", help="the binary (default: the one benches/build.sh built)")
    add("--label", default="now", help="name for the results of mlapi, to keep several (default: now)")
    add(
        "--train-flags",
        type=shlex.split,
        default=[],
        metavar="FLAGS",
        help="more flags of `mlapi train`, in one argument",
    )
    add(
        "--splits",
        type=int,
        metavar="N",
        help="at most N splits of a table (default: three below 2,000 rows, else one)",
    )
    add("--most-rows", type=int, metavar="N", help="only tables of at most N rows")
    add("--seconds", type=float, default=300, help="time budget of flaml and autogluon (default: 300)")
    add(
        "--timeout",
        type=float,
        default=900,
        metavar="SECONDS",
        help="end a process that takes more processor time (default: 900)",
    )
    add("--jobs", type=int, default=1, metavar="N", help="processes at a time (default: 1)")
    add("--retry", action="store_true", help="run peers again that failed or took too long")
    add("--every", action="store_true", help="also print the figures of every table")
    add("--markdown", action="store_true", help="print Markdown")
    add("--out", type=pathlib.Path, metavar="FILE", help="write the figures as JSON")
    add(
        "--data",
        type=pathlib.Path,
        default=ROOT / "target/quality",
        metavar="FOLDER",
        help="tables and results (default: target/quality)",
    )
    add("--short", action="store_true", help="four small tables, one split, without CatBoost and without kept results")
    add("--prepare", action="store_true", help="only cut the tables")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"--peers knows {', '.join(PEERS)}, not {', '.join(sorted(unknown))}")
    if options.short:
        options.only, options.splits, options.peers = SHORT, 1, ["script", "lightgbm"]
    return parser, options


def prepared(options):
    """The manifest, after the tables that are missing, or described otherwise now, were cut."""
    tables.OUT = options.data
    path = options.data / "manifest.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    current = {entry["name"]: entry for entry in tables.entries()}
    stale = {
        name for name, entry in current.items() if any(known.get(name, {}).get(key) != entry[key] for key in entry)
    }
    if options.prepare:
        stale = set(current)
    elif options.short:
        stale &= set(SHORT)
    if stale:
        tables.prepare(stale)
    return {name: entry for name, entry in json.loads(path.read_text()).items() if name in current}


def main():
    parser, options = read_options()
    options.data = options.data.resolve()
    for peer in set(options.peers) & set(APART):
        if not options.no_run and not (ROOT / f"target/{peer}-env/bin/python").exists():
            parser.error(f"{peer} needs an environment of its own, which benches/quality.sh makes")
    manifest = prepared(options)
    if options.prepare:
        return
    if options.only and (unknown := set(options.only) - set(manifest)):
        parser.error(f"--only: no table {', '.join(sorted(unknown))} in {options.data}/manifest.json")
    manifest = {
        name: entry
        for name, entry in manifest.items()
        if (not options.half or entry["half"] == options.half)
        and (not options.only or name in options.only)
        and (not options.task or entry["task"] == options.task)
        and (not options.most_rows or entry["rows"] <= options.most_rows)
    }
    options.splits_of = lambda entry: range(min(entry["splits"], options.splits or entry["splits"]))
    tools = ([] if options.peers_only else ["mlapi"]) + options.peers

    if "mlapi" in tools and not options.no_run:
        binary = options.mlapi or pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist")) / "mlapi"
        options.mlapi = binary.resolve()
        if not os.access(options.mlapi, os.X_OK):
            parser.error(f"there is no program {options.mlapi}")
        flags = " ".join(options.train_flags).encode()
        options.digest = hashlib.sha256(options.mlapi.read_bytes() + flags).hexdigest()[:16]

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if options.short else options.data
        store = Store(pathlib.Path(folder))
        known, fine = store.all(), True
        # The first splits of all tables come first, so that a run that is ended early has something of each.
        work = [
            (entry, split, tool)
            for split in range(3)
            for entry in sorted(manifest.values(), key=lambda entry: entry["rows"])
            if split in options.splits_of(entry)
            for tool in tools
            if not options.no_run
            and not is_current(options, entry, tool, known.get(key_of(options, entry["name"], split, tool)))
        ]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            fine = all(list(pool.map(lambda job: measure(options, store, *job), work)))
        report(options, store, manifest, tools)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
