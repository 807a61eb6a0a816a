"""Measures `mlapi serve` as it is used in production. Started by benches/serve.sh.

Servers and ways of timing are those of run.py; the sides take turns in one run, figures are medians, a ratio is
that of the two medians and the range after it that of the single turns. Models are of iris (logistic regression)
unless another is named. An answer that is not 2xx ends the measurement.

one-row   Requests per second with one row, 16 connections, server on one core and wrk on another: against Flask
          (gunicorn, one sync worker), FastAPI (uvicorn with uvloop and httptools) and the bare hyper server.
boosted   The same with a boosted model of 100 rounds on the 30 columns of breast_cancer, against the bare server
          reading 30 numbers and giving the same answer without a model.
blend     The same with the blends that `train` makes of wine and of digits without a flag.
explained One row of the boosted model with `"explain":true`, against the same server without.
batch     1,000 rows in one JSON body, 4 connections, one core: against FastAPI.
p99       The 99th percentile of the latency of one-row requests at 64 connections, one core: against the bare
          server's.
beside    The 99th percentile of one-row requests (8 connections, wrk; and, paced, 200 requests a second on one
          connection) while another client sends bodies of 100,000 rows without pause, against the same without
          that client. The server has all cores and shares them with the clients; the wait of a client with
          real-time priority is the server's alone. "Of another server": another process answers the batches, so
          that one row waits for the machine only.
memory    Resident memory at the start, and after each fifth of a million requests.
reload    100 reloads by SIGHUP under load, the file changing between two models that answer differently: every
          answer to a body of 20 rows has to be, byte for byte, that of one of the two models.
sigterm   SIGTERM under load of one-row and of 5,000-row requests: every answer in the access log must have reached
          its client whole, and no client may be cut off during its answer.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

import run
from run import BIN, OUT, PEERS, ROOT, Server, Table, mebibytes, output, rate

JOBS = ("one-row", "boosted", "blend", "explained", "batch", "p99", "beside", "memory", "reload", "sigterm")
ROWS = ["5.1,3.5,1.4,0.2", "6.1,2.9,4.7,1.4", "6.7,3.1,5.6,2.4", "5.8,2.7,4.1,1.0"]


def rows(n):
    """A JSON body of `n` rows."""
    return '{"data":[' + ",".join(f"[{ROWS[i % len(ROWS)]}]" for i in range(n)) + "]}"


def micros(value):
    return f"{value:,.0f} us"


def train(mlapi, table, name, *flags):
    model = OUT / f"{name}.mlapi"
    output([mlapi, "train", f"fixtures/{table}.csv", "--output", str(model), "--algorithm", *flags])
    return str(model)


def cores():
    """The core of the server and that of wrk; none if there is only one."""
    own = sorted(os.sched_getaffinity(0))
    return (own[0], own[-1]) if len(own) > 1 else (None, None)


class Sides:
    """The servers of one job, which answer alike, and their turns."""

    def __init__(self, stack, options):
        self.stack, self.options, self.servers = stack, options, []
        self.core, self.other = cores()

    def add(self, name, command, **how):
        server = self.stack.enter_context(Server(name, command, self.core, **how))
        server.answer = server.wait()
        self.servers.append(server)
        if self.servers[0].answer.keys() != server.answer.keys():
            raise SystemExit(f"serve.py: {name} and mlapi do not answer alike: {server.answer}")
        return server

    def mlapi(self, model, **how):
        serve = [self.options.mlapi, "serve", "--port", "0", "--threads", "1", "--model", model]
        return self.add("mlapi", serve, **how)

    def bare(self, n_values, **how):
        bare = [str(BIN / "bare_server"), json.dumps(self.servers[0].answer), str(n_values)]
        return self.add("bare_server", bare, **how)

    def python(self, name, module, app, *flags, **how):
        joblib = OUT / "logistic.joblib"
        output([sys.executable, str(PEERS / "train_iris.py"), run.IRIS, str(joblib)])
        environment = {"MODEL": str(joblib.resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
        return self.add(name, [sys.executable, "-m", module, *flags, app], **environment, **how)

    def flask(self):
        flags = ["--workers", "1", "--worker-class", "sync", "--no-control-socket", "--bind", "127.0.0.1:0"]
        return self.python("flask", "gunicorn", "flask_app:app", *flags, "--chdir", str(PEERS))

    def fastapi(self, **how):
        flags = ["--port", "0", "--no-access-log", "--loop", "uvloop", "--http", "httptools", "--app-dir", str(PEERS)]
        return self.python("fastapi", "uvicorn", "fastapi_app:app", *flags, **how)

    def turns(self, measure):
        """For each server what `measure` gives in each turn; the first, to warm up, does not count."""
        samples = {server: [] for server in self.servers}
        for server in self.servers:
            measure(server, 1)
        for turn in range(self.options.turns):
            for server in self.servers if turn % 2 == 0 else self.servers[::-1]:
                samples[server].append(measure(server, self.options.seconds))
        return [samples[server] for server in self.servers]

    def rates(self, connections=16):
        return self.turns(lambda server, seconds: server.load(self.other, seconds, connections)[0])


def one_row(options, table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    with contextlib.ExitStack() as stack:
        sides = Sides(stack, options)
        sides.mlapi(model)
        sides.bare(4), sides.flask(), sides.fastapi()
        ours, bare, flask, fastapi = sides.rates()
    table.add("one-row", "one row", "Flask, gunicorn", rate, ours, flask, bar=100, more=True)
    table.add("one-row", "one row", "FastAPI, uvicorn", rate, ours, fastapi, bar=60, more=True)
    table.add("one-row", "one row", "bare hyper server", rate, ours, bare, bar=0.9, more=True)


def first_row(table):
    """A JSON body of the numbers of the first row, and how many they are."""
    row = (ROOT / f"fixtures/{table}.csv").read_text().splitlines()[1].split(",")[:-1]
    return '{"data":[' + ",".join(row) + "]}", len(row)


def train_boosted(options):
    return train(options.mlapi, "breast_cancer", "boosted", "gradient-boosting", "--set", "preset=lightgbm")


def beside_bare(options, model, table):
    """Requests per second of a model and of the bare server."""
    body, n_values = first_row(table)
    with contextlib.ExitStack() as stack:
        sides = Sides(stack, options)
        sides.mlapi(model, body=body)
        sides.bare(n_values, body=body)
        return sides.rates()


def boosted(options, table):
    ours, bare = beside_bare(options, train_boosted(options), "breast_cancer")
    table.add("boosted", "one row of 30, 100 trees", "bare hyper server", rate, ours, bare, bar=0.7, more=True)


def blend(options, table):
    for name in ("wine", "digits"):
        lines = (ROOT / f"fixtures/{name}.csv").read_text().splitlines()
        # The bare server answers with labels that are text.
        copy = OUT / f"{name}.csv"
        copy.write_text("\n".join([lines[0], *(re.sub(r",([^,]*)$", r",class \1", line) for line in lines[1:])]) + "\n")
        model = OUT / f"{name}.mlapi"
        output([options.mlapi, "train", str(copy), "--output", str(model)])
        card = json.loads(output([options.mlapi, "inspect", "--format", "json", "--model", str(model)]))["card"]
        members = card.get("members", [])
        if len(members) < 2:
            raise SystemExit(f"serve.py: the model of {name} is no blend")
        ours, bare = beside_bare(options, str(model), name)
        what = f"one row of {name}, blend of {len(members)}"
        table.add("blend", what, "bare hyper server", rate, ours, bare, bar=0.6, more=True)


def explained(options, table):
    model = train_boosted(options)
    body, _ = first_row("breast_cancer")
    with contextlib.ExitStack() as stack:
        plain, with_reasons = Sides(stack, options), Sides(stack, options)
        with_reasons.mlapi(model, body=body[:-1] + ',"explain":true}')
        plain.mlapi(model, body=body)
        plain.servers += with_reasons.servers
        without, ours = plain.rates()
    table.add("explained", "one row with its explanation", "without", rate, ours, without, bar=0.2, more=True)


def batch(options, table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    with contextlib.ExitStack() as stack:
        sides = Sides(stack, options)
        sides.mlapi(model, body=rows(1000))
        fastapi = sides.fastapi(body=rows(1000), path="/batch")
        for own, theirs in zip(sides.servers[0].answer["predictions"], fastapi.answer["predictions"], strict=True):
            if own["prediction"] != theirs["prediction"]:
                raise SystemExit(f"serve.py: FastAPI and mlapi do not agree: {own} {theirs}")
        ours, theirs = sides.rates(connections=4)
    table.add("batch", "1,000 rows", "FastAPI, uvicorn", rate, ours, theirs, bar=20, more=True)


def p99(options, table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    with contextlib.ExitStack() as stack:
        sides = Sides(stack, options)
        sides.mlapi(model)
        sides.bare(4)
        reports = sides.turns(lambda server, seconds: server.report(sides.other, seconds, connections=64))
    for key, bar in (("p50", None), ("p99", 1 / 1.5)):
        ours, bare = ([report[key] for report in side] for side in reports)
        table.add("p99", f"{key} at 64 connections", "bare hyper server", micros, ours, bare, bar=bar)


class CutOff(OSError):
    """The connection ended within an answer."""


class Batches:
    """A client that sends bodies of 100,000 rows without pause, as long as it is open. A process of its own, so
    that nothing which is timed in this one waits for it."""

    def __init__(self, server):
        self.stop, self.done = multiprocessing.Event(), multiprocessing.Value("q", 0)
        self.process = multiprocessing.Process(target=self.run, args=(server.address,))

    def run(self, address):
        host, port = address.split(":")
        body = rows(100_000).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection((host, int(port)), 60) as connection:
            scratch = bytearray(1 << 20)
            while not self.stop.is_set():
                connection.sendall(head + body)
                status, _ = read_answer(connection, scratch)
                if status != 200:
                    raise SystemExit(f"serve.py: a batch was answered with {status}")
                self.done.value += 1

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.process.join()


def read_answer(connection, scratch):
    """Status and head of an answer; its body is read and dropped."""
    have, end = 0, -1
    while end < 0:
        n = connection.recv_into(memoryview(scratch)[have:])
        if n == 0:
            raise CutOff("within a head") if have else OSError("the connection was closed")
        have += n
        end = scratch.find(b"\r\n\r\n", 0, have)
    head = bytes(scratch[:end]).decode()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
    left = length - (have - end - 4)
    while left > 0:
        n = connection.recv_into(scratch, min(left, len(scratch)))
        if n == 0:
            raise CutOff("within a body")
        left -= n
    return int(head.split()[1]), head


def paced(server, seconds, first=False):
    """p99 in microseconds of one-row requests on one connection, one every 5 ms whatever the answers take. `first`:
    this process comes before all others while it asks, so that what it waits for is the server and not a core, as
    on a machine of its own; None where it may not."""
    if first:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            return None
        try:
            return paced(server, seconds)
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    host, port = server.address.split(":")
    request = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(server.body)}\r\n\r\n{server.body}".encode()
    took, scratch = [], bytearray(4096)
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0, due - time.perf_counter()))
            start = time.perf_counter()
            connection.sendall(request)
            if read_answer(connection, scratch)[0] != 200:
                raise SystemExit("serve.py: a paced request failed")
            took.append((time.perf_counter() - start) * 1e6)
            due += 0.005
    return statistics.quantiles(took, n=100)[98]


def beside(options, table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    serve = [options.mlapi, "serve", "--port", "0", "--model", model]
    quiet, loud, quiet_paced, loud_paced, quiet_first, loud_first, batches = [], [], [], [], [], [], 0
    apart, apart_first = [], []
    with Server("mlapi", serve, None, body=run.BODY) as server, Server("other", serve, None, body=run.BODY) as other:
        server.wait(), other.wait()
        for _ in range(options.turns):
            quiet.append(server.report(None, options.seconds, connections=8)["p99"])
            quiet_paced.append(paced(server, options.seconds))
            quiet_first.append(paced(server, options.seconds, first=True))
            with Batches(server) as client:
                time.sleep(0.3)
                loud.append(server.report(None, options.seconds, connections=8)["p99"])
                loud_paced.append(paced(server, options.seconds))
                loud_first.append(paced(server, options.seconds, first=True))
            if client.process.exitcode != 0 or client.done.value == 0:
                raise SystemExit(f"serve.py: the batches failed after {client.done.value}")
            batches += client.done.value
            with Batches(other):
                time.sleep(0.3)
                apart.append(paced(server, options.seconds))
                apart_first.append(paced(server, options.seconds, first=True))
    table.add("beside", "p99 of one row, beside batches", "without batches", micros, loud, quiet, bar=1 / 5)
    table.add("beside", "the same, 200 a second", "without batches", micros, loud_paced, quiet_paced, bar=1 / 5)
    table.add("beside", "200 a second, beside batches", "of another server", micros, loud_paced, apart)
    if None not in quiet_first:
        what = "the same, a client that waits for no core"
        table.add("beside", what, "without batches", micros, loud_first, quiet_first, bar=1 / 5)
        table.add("beside", what, "of another server", micros, loud_first, apart_first)
    print(f"{batches} batches of 100,000 rows were answered meanwhile.")


def resident(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("serve.py: the server's memory cannot be read")


def memory(options, _table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    wanted = 200_000 if options.quick else 1_000_000
    serve = [options.mlapi, "serve", "--port", "0", "--model", model]
    with Server("mlapi", serve, None) as server:
        server.wait()
        points, done = [(0, resident(server))], 0
        while done < wanted:
            done += server.report(None, 1, connections=16)["requests"]
            if done >= len(points) * wanted / 5:
                points.append((done, resident(server)))
        peak = server.peak()
    for requests, size in points:
        print(f"memory   {mebibytes(size):>9} resident after {requests:>9,} requests")
    verdict = "met" if peak <= 12 * 2**20 else "not met"
    print(f"memory   {mebibytes(peak):>9} at most; bar 12 MiB: {verdict}")


def reload(options, _table):
    first = train(options.mlapi, "iris", "logistic", "logistic-regression")
    second = train(options.mlapi, "iris", "bayes", "naive-bayes")
    served = OUT / "reloaded.mlapi"

    def put(model):
        copy = OUT / "reloaded.new"
        copy.write_bytes(pathlib.Path(model).read_bytes())
        copy.replace(served)

    body, answers = rows(20), []
    for model in (second, first):
        put(model)
        serve = [options.mlapi, "serve", "--port", "0", "--model", f"iris={served}"]
        answers.append(OUT / f"answer-{len(answers)}")
        with Server("mlapi", serve, None, body=body) as server:
            server.wait()
            answers[-1].write_bytes(fetch(server, "POST", "/predict", body))
    if answers[0].read_bytes() == answers[1].read_bytes():
        raise SystemExit("serve.py: both models answer alike")
    times = 20 if options.quick else 100
    with Server("mlapi", serve, None, body=body) as server:
        server.wait()
        load = subprocess.Popen(
            server.wrk(None, 60, connections=16, script="benches/check.lua", files=answers), stdout=subprocess.PIPE
        )
        for i in range(times):
            put((second, first)[i % 2])
            os.kill(server.process.pid, signal.SIGHUP)
            wanted = f'mlapi_reloads_total{{model="iris",result="ok"}} {i + 1}\n'
            deadline = time.monotonic() + 5
            while wanted not in fetch(server, "GET", "/metrics").decode():
                if time.monotonic() > deadline:
                    raise SystemExit(f"serve.py: reload {i + 1} has not happened after 5 s")
                time.sleep(0.005)
        load.send_signal(signal.SIGINT)
        report = json.loads(load.communicate(timeout=20)[0].splitlines()[-1])
    print(f"reload   {times} reloads during {report['requests']:,} requests: {report['first']:,} answers of the one"
          f" model, {report['second']:,} of the other, {report['neither']} of neither, {report['not_2xx']} not 2xx,"
          f" {report['failed']} failed")  # fmt: skip
    if report["neither"] or report["not_2xx"] or report["failed"] or not (report["first"] and report["second"]):
        raise SystemExit("serve.py: a reload was noticed by a client")


def fetch(server, method, path, body=None):
    connection = run.http.client.HTTPConnection(server.address, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse().read()
    connection.close()
    return answer


class Asker(threading.Thread):
    """Sends requests on one connection until it is closed; keeps the ids of the answers and whether the last was cut off."""

    def __init__(self, server, name, body):
        super().__init__()
        self.server, self.prefix, self.body = server, name, body.encode()
        self.answered, self.cut, self.waiting_since, self.statuses = set(), None, None, set()

    def run(self):
        host, port = self.server.address.split(":")
        scratch = bytearray(1 << 20)
        with socket.create_connection((host, int(port)), 30) as connection:
            for i in range(1_000_000):
                request_id = f"{self.prefix}-{i}"
                head = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\n"
                try:
                    connection.sendall(f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body)
                except OSError:
                    return
                self.waiting_since = time.monotonic()
                try:
                    status, head = read_answer(connection, scratch)
                except OSError as error:
                    self.cut = error
                    return
                self.waiting_since = None
                self.statuses.add(status)
                if status == 200:
                    self.answered.add(request_id)
                if "connection: close" in head.lower():
                    return


def sigterm(options, _table):
    model = train(options.mlapi, "iris", "logistic", "logistic-regression")
    serve = [options.mlapi, "serve", "--port", "0", "--access-log", "json", "--model", model]
    requests = logged = idle = 0
    for turn in range(1 if options.quick else 5):
        with Server("mlapi", serve, None) as server:
            server.wait()
            askers = [Asker(server, f"one{i}", run.BODY) for i in range(24)]
            askers += [Asker(server, f"many{i}", rows(5000)) for i in range(4)]
            for asker in askers:
                asker.start()
            time.sleep(1)
            told = time.monotonic()
            server.process.terminate()
            server.process.wait(20)
            took = time.monotonic() - told
            for asker in askers:
                asker.join(30)
            lines = server.log.read_text(errors="replace").splitlines()
        ids = {json.loads(line)["request_id"] for line in lines if line.startswith("{") and '"status":200' in line}
        # The others answer the first request, which had no id.
        ids = {request_id for request_id in ids if "-" in request_id}
        answered = set().union(*(asker.answered for asker in askers))
        if lost := ids - answered:
            raise SystemExit(f"serve.py: {len(lost)} answers were made and did not arrive: {sorted(lost)[:5]}")
        # A begun answer, and a request sent well before the signal, show that the request had been admitted.
        cut = [a for a in askers if isinstance(a.cut, CutOff) or (a.cut and a.waiting_since < told - 0.05)]
        if cut or any(asker.statuses - {200, 503} for asker in askers) or server.process.returncode != 0:
            raise SystemExit(f"serve.py: {len(cut)} were cut off, exit status {server.process.returncode}")
        requests, logged = requests + len(answered), logged + len(ids)
        idle += sum(asker.cut is not None for asker in askers)
        print(f"sigterm  {len(answered):,} answers reached their clients whole, all {len(ids):,} of the log among them;"
              f" the server ended after {took * 1e3:.0f} ms")  # fmt: skip
    print(f"sigterm  {idle} requests crossed the closing of their connection and were never read")


def main():
    parser = argparse.ArgumentParser(prog="benches/serve.sh", description="Measures `mlapi serve` in production.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, for a first look")
    parser.add_argument("--only", metavar="NAME,…", help=f"some of {', '.join(JOBS)}")
    parser.add_argument("--mlapi", metavar="FILE", help="the binary to measure (default: the one benches/build.sh built)")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else JOBS
    if unknown := set(only) - set(JOBS):
        parser.error(f"--only knows {', '.join(JOBS)}, not {', '.join(sorted(unknown))}")
    options.turns, options.seconds = (1, 1) if options.quick else (5, 2)
    options.mlapi = str(pathlib.Path(options.mlapi).resolve() if options.mlapi else BIN / "mlapi")
    os.chdir(ROOT)
    OUT.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, run.stop)
    signal.alarm(120 if options.quick else 420)
    load = os.getloadavg()[0]
    print(f"{run.processor()}, {os.cpu_count()} cores, load average {load:.2f}", flush=True)
    table, started = Table(), time.monotonic()
    works = dict(zip(JOBS, (one_row, boosted, blend, explained, batch, p99, beside, memory, reload, sigterm)))
    for name in only:
        works[name](options, table)
        sys.stdout.flush()
    if table.rows:
        table.print()
    (OUT / "serve.json").write_text(json.dumps(table.rows, indent=1) + "\n")
    print(f"Measured in {time.monotonic() - started:.0f} s; every sample is in {OUT / 'serve.json'}.")


if __name__ == "__main__":
    main()
