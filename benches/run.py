"""Measures mlapi, compared with the scripts it replaces. Started by benches/run.sh.

All figures come from one run on one machine, the sides taking turns, and are medians; a
ratio is that of the two medians, and the range after it is that of the single turns.

a  `mlapi train fixtures/iris.csv` against peers/train_iris.py (pandas, scikit-learn,
   joblib). Wall time of the whole process, from spawn to exit, output to /dev/null, free
   to use every core. A second line trains the peer's own algorithm instead of letting
   mlapi choose; it is for information.
b  `POST /predict` with one row: requests per second that wrk counts over 16 connections.
   The server is pinned to one core, wrk to another. `mlapi serve --threads 1` against
   peers/flask_app.py under gunicorn with one sync worker (the tutorial's setup, which
   closes the connection after each answer) and against bare_server.rs, hyper without a
   model. All three must first give the same prediction with status 200; a run in which
   wrk saw a failed request or a status that is not 2xx ends the measurement. A further
   line, for information, divides the same requests by the processor time that the server
   used for them: it holds even if wrk or another process held the server up.
c  `mlapi predict --features ROW` against peers/predict_one.py, timed as in a.
d  Memory of the servers after the load of b: the peak resident size (VmHWM) of mlapi and
   of bare_server. For gunicorn, whose processes share pages, the sum of the proportional
   sizes (PSS) of master and worker, which is present and not peak use: at most the peak.

In a and c a process that takes milliseconds is spawned up to 20 times for one sample. The
time to spawn /bin/true is given for information and is part of every figure. b, c and d
use a logistic regression on both sides. A first run of everything is not counted.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What benches/build.sh built.
BIN = pathlib.Path(os.environ.get("BENCH_BIN", ROOT / "target/dist"))
OUT = pathlib.Path("target/bench")
PEERS = pathlib.Path("benches/peers")
IRIS = "fixtures/iris.csv"
ROW = "5.1,3.5,1.4,0.2"
BODY = '{"data":[5.1,3.5,1.4,0.2]}'
# A flag given in the environment would change the figures.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("MLAPI_")}


# Whole processes


def spawn(command):
    """Seconds from spawn to exit of `command`, which must succeed."""
    null = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, ENV, file_actions=null)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"run.py: `{' '.join(command)}` failed while it was timed")
    return seconds


def output(command):
    """The output of `command`; if it fails, its error ends the measurement."""
    done = subprocess.run(command, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"run.py: `{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def take_turns(commands, rounds):
    """For each command, `rounds` samples of its seconds; the commands take turns."""
    batches = []
    for command in commands:
        output(command)
        batches.append(min(20, max(1, math.ceil(0.05 / spawn(command)))))
    samples = [[] for _ in commands]
    for _ in range(rounds):
        for command, batch, own in zip(commands, batches, samples):
            own.append(sum(spawn(command) for _ in range(batch)) / batch)
    return samples


# Servers


class Server:
    """A server in its own process group, pinned to `core`, that prints its address."""

    def __init__(self, name, command, core, body=BODY, path="/predict", **env):
        self.name, self.body, self.path = name, body, path
        self.log = OUT / f"{name}.log"
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=ENV | env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)

    def wait(self):
        """Waits for the address and the first answer; returns that answer."""
        for _ in range(600):
            said = self.log.read_text(errors="replace")
            if self.process.poll() is not None:
                raise SystemExit(f"run.py: {self.name} ended:\n{said}")
            if address := re.search(r"http://(127\.0\.0\.1:\d+)", said):
                self.address = address[1]
                with contextlib.suppress(OSError, http.client.HTTPException):
                    return self.ask()
            time.sleep(0.1)
        raise SystemExit(f"run.py: {self.name} does not answer:\n{said}")

    def ask(self):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read().decode()
        connection.close()
        if response.status != 200:
            raise SystemExit(f"run.py: {self.name} answers {response.status}: {answer}")
        return json.loads(answer)

    def wrk(self, core, seconds, connections=16, script="benches/post.lua", files=()):
        """The command that loads this server for `seconds`; `files` are for the script, after the body."""
        body = OUT / f"{self.name}.body"
        body.write_text(self.body)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, f"http://{self.address}"]
        command += ["--", self.path, str(body), *map(str, files)]
        return command if core is None else ["taskset", "-c", str(core), *command]

    def report(self, core, seconds, connections=16):
        """What wrk says after `seconds` of load in which every request succeeded."""
        report = json.loads(output(self.wrk(core, seconds, connections)).splitlines()[-1])
        if report["requests"] == 0 or report["not_2xx"] or report["failed"]:
            raise SystemExit(f"run.py: not every request to {self.name} succeeded: {report}")
        return report

    def load(self, core, seconds, connections=16):
        """Under `seconds` of load: requests per second, and per second of the server's processor time."""
        used = self.processor_time()
        report = self.report(core, seconds, connections)
        used = self.processor_time() - used
        return report["requests"] * 1e6 / report["microseconds"], report["requests"] / used

    def pids(self):
        pid = self.process.pid
        return [pid, *pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def processor_time(self):
        """Seconds of processor time, user and system, that the server has used so far."""
        ticks = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak(self):
        """Peak resident bytes of the server's only process."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def share(self):
        """Bytes in use by the server's processes, shared pages split between their users."""
        sizes = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return sum(int(re.search(r"^Pss:\s+(\d+) kB", size, re.M)[1]) * 1024 for size in sizes)


# The four jobs


def train_models(mlapi):
    """A logistic regression on each side, for the jobs that predict."""
    model, joblib = str(OUT / "logistic.mlapi"), str(OUT / "logistic.joblib")
    output([mlapi, "train", IRIS, "--algorithm", "logistic-regression", "--output", model])
    output([sys.executable, str(PEERS / "train_iris.py"), IRIS, joblib])
    return model, joblib


def job_a(mlapi, table, options):
    train = [mlapi, "train", IRIS, "--output", str(OUT / "iris.mlapi")]
    logistic = [*train, "--algorithm", "logistic-regression"]
    peer = [sys.executable, str(PEERS / "train_iris.py"), IRIS, str(OUT / "iris.joblib")]
    chosen = json.loads(output([*train, "--format", "json"]))["algorithm"]
    ours, like, theirs = take_turns([train, logistic, peer], options.rounds)
    table.add("a", f"train iris.csv ({chosen})", "scikit-learn script", seconds, ours, theirs, bar=50)
    table.add("a", "train iris.csv --algorithm logistic-regression", "scikit-learn script", seconds, like, theirs)


def job_c(mlapi, table, options, model, joblib):
    predict = [mlapi, "predict", "--model", model, "--features", ROW]
    peer = [sys.executable, str(PEERS / "predict_one.py"), joblib, ROW]
    for command in (predict, peer):
        if "setosa" not in (said := output(command)):
            raise SystemExit(f"run.py: `{' '.join(command)}` does not predict setosa:\n{said}")
    ours, theirs = take_turns([predict, peer], options.rounds)
    table.add("c", f"predict --features {ROW}", "joblib script", seconds, ours, theirs, bar=200)


def jobs_b_and_d(mlapi, table, options, model, joblib):
    cores = sorted(os.sched_getaffinity(0))
    # The first and the last are the least likely to be two threads of one core.
    core, other = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    if core is None:
        print("Only one core: server and load generator share it.")
    bare_server = str(BIN / "bare_server")
    gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "1", "--worker-class", "sync"]
    gunicorn += ["--no-control-socket", "--bind", "127.0.0.1:0", "--chdir", str(PEERS), "flask_app:app"]
    serve = [mlapi, "serve", "--port", "0", "--threads", "1", "--model", model]
    python = {"MODEL": str(pathlib.Path(joblib).resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Server("mlapi", serve, core))
        answer = ours.wait()
        bare = stack.enter_context(Server("bare_server", [bare_server, json.dumps(answer)], core))
        flask = stack.enter_context(Server("flask", gunicorn, core, **python))
        if (said := bare.wait()) != answer:
            raise SystemExit(f"run.py: bare_server cannot answer as mlapi does:\n{said}\n{answer}")
        if (said := flask.wait())["prediction"] != answer["prediction"] or said.keys() != answer.keys():
            raise SystemExit(f"run.py: Flask and mlapi do not agree:\n{said}\n{answer}")
        durations = {ours: options.seconds, bare: options.seconds, flask: options.flask_seconds}
        rates = {server: [] for server in durations}
        per_cpu = {server: [] for server in durations}
        for server in durations:
            server.load(other, 1)
        for turn in range(options.turns if "b" in options.only else 1):
            # The order changes from turn to turn: what ran before can matter.
            for server in (ours, bare, flask) if turn % 2 == 0 else (bare, ours, flask):
                per_second, per_cpu_second = server.load(other, durations[server])
                rates[server].append(per_second)
                per_cpu[server].append(per_cpu_second)
        memory = ours.peak(), flask.share(), bare.peak()
    if "b" in options.only:
        table.add("b", "serve, one row", "Flask, gunicorn", rate, rates[ours], rates[flask], bar=60, more=True)
        table.add("b", "serve, one row", "bare hyper server", rate, rates[ours], rates[bare], bar=0.8, more=True)
        what = "serve, one row, per second of processor time"
        table.add("b", what, "bare hyper server", rate, per_cpu[ours], per_cpu[bare], more=True)
    if "d" in options.only:
        table.add("d", "serve, peak memory", "Flask, gunicorn (PSS)", mebibytes, memory[:1], memory[1:2])
        table.add("d", "serve, peak memory", "bare hyper server", mebibytes, memory[:1], memory[2:])


# The table


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.{0 if value >= 0.1 else 2}f} ms"


def rate(value):
    return f"{value:,.0f}/s"


def mebibytes(value):
    return f"{value / 2**20:.1f} MiB"


def times(value):
    return f"{value:.{2 if value < 10 else 0}f}x"


class Table:
    def __init__(self):
        self.rows = []
        self.lines = [("", "mlapi", "", "peer", "", "ratio", "range", "bar", "")]

    def add(self, job, what, peer, unit, ours, theirs, bar=None, more=False):
        """One line. `more`: more is better; else the ratio says how many times less mlapi takes."""
        own, other = statistics.median(ours), statistics.median(theirs)
        ratio = own / other if more else other / own
        turns = [a / b if more else b / a for a, b in zip(ours, theirs)]
        met = None if bar is None else ratio >= bar
        self.rows.append(
            dict(job=job, what=what, peer=peer, unit=unit.__name__, mlapi_median=own, peer_median=other)
            | dict(ratio=ratio, bar=bar, met=met, mlapi_samples=list(ours), peer_samples=list(theirs))
        )
        span = f"{times(min(turns))} to {times(max(turns))}" if len(turns) > 1 else ""
        wanted, verdict = ("", "") if bar is None else (f">= {bar:.3g}x", "met" if met else "not met")
        self.lines.append((job, what, unit(own), peer, unit(other), times(ratio), span, wanted, verdict))

    def print(self):
        widths = [max(map(len, column)) for column in zip(*self.lines)]
        right = {2, 4, 5}
        for line in self.lines:
            cells = (cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths)))
            print("  ".join(cells).rstrip())


def processor():
    with contextlib.suppress(OSError):
        if name := re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text()):
            return name[1]
    return platform.machine()


def stop(number, _frame):
    raise SystemExit("run.py: took too long" if number == signal.SIGALRM else f"run.py: stopped by signal {number}")


def main():
    parser = argparse.ArgumentParser(prog="benches/run.sh", description="Measures mlapi, compared with the scripts it replaces.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, for a first look")
    parser.add_argument("--only", metavar="JOBS", help="some of a,b,c,d (see benches/README.md)")
    parser.add_argument("--mlapi", metavar="FILE", help="the binary to measure (default: the one benches/build.sh built)")
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list("abcd")
    if unknown := set(options.only) - set("abcd"):
        parser.error(f"--only knows a, b, c and d, not {', '.join(sorted(unknown))}")
    # Samples of whole processes, turns of the servers, and seconds of each turn.
    options.rounds, options.turns = (2, 3) if options.quick else (7, 8)
    options.seconds, options.flask_seconds = (1, 1) if options.quick else (3, 2)
    mlapi = str(pathlib.Path(options.mlapi).resolve() if options.mlapi else BIN / "mlapi")

    os.chdir(ROOT)
    if not os.access(mlapi, os.X_OK):
        parser.error(f"there is no program {mlapi}")
    OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(90 if options.quick else 360)

    load, cores = os.getloadavg()[0], os.cpu_count()
    machine = dict(processor=processor(), cores=cores, system=platform.platform(), load_average=load)
    print(f"{machine['processor']}, {cores} cores, load average {load:.2f}")
    if load > 0.5 * cores:
        print("The machine is busy: expect the figures to be off.")

    table = Table()
    started = time.monotonic()
    if "a" in options.only:
        job_a(mlapi, table, options)
    if set("bcd") & set(options.only):
        models = train_models(mlapi)
        if set("bd") & set(options.only):
            jobs_b_and_d(mlapi, table, options, *models)
        if "c" in options.only:
            job_c(mlapi, table, options, *models)
    table.rows.sort(key=lambda row: row["job"])
    table.lines.sort(key=lambda line: line[0])
    overhead = None
    if set("ac") & set(options.only):
        true = shutil.which("true")
        overhead = statistics.median(spawn([true]) for _ in range(101))
    table.print()
    if overhead:
        print(f"Spawning {true} takes {seconds(overhead)}; it is part of every time above.")
    results = dict(machine=machine, quick=options.quick, spawn_seconds=overhead, rows=table.rows)
    (OUT / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"Measured in {time.monotonic() - started:.0f} s; every sample is in {OUT / 'results.json'}.")


if __name__ == "__main__":
    main()
