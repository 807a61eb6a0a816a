"""Started by robust.sh, in a folder of its own: MLAPI FIXTURES [CHECK…].

During each check, a probe opens a new connection every 50 ms, asks for one row in two pieces (most HTTP libraries
send head and body apart), and has to be answered within a second: with 200, or 503 if the check says so.

overload   Ten times as many clients as there are slots, which retry ten times as soon as they may. The rejected
           ones get 503 with Retry-After; for the admitted ones the 99th percentile of the latency stays below 30
           times that without load plus 100 ms: up to 18 large bodies wait for each core.
slow       slowhttptest sends heads slowly, sends bodies slowly and reads answers slowly, on more connections than
           the server allows.
idle       10,000 connections (or as many as the limit of open files allows) that send nothing: all accepted, and,
           with the default flags, more than there are slots.
address    As many connections as there are slots, all of one address and all busy: clients of other addresses notice nothing.
files      A limit of open files that is lower than --max-connections.
half       Bodies that end before their length, or within a chunk, on connections that stay open or are closed: 408
           or the end of the connection, and no memory is kept; also if they fill all the memory for bodies.
kill       `mlapi train` is killed again and again while it replaces the file that is served with --watch: the file
           is always one whole model, and the server answers throughout.
"""

import contextlib
import hashlib
import itertools
import multiprocessing
import os
import pathlib
import random
import re
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

MLAPI, FIXTURES = sys.argv[1], pathlib.Path(sys.argv[2])
ROW = b'{"data":[5.1,3.5,1.4,0.2]}'
SECOND = 1.0
# Over 64 KiB: the pool for large requests computes it.
LARGE = b'{"data":[' + b",".join([b"[5.1,3.5,1.4,0.2]"] * 5000) + b"]}"


def post(body, headers=""):
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def receive(connection):
    """Status, head and body of an answer; status 0 if the connection ends without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return 0, data, b""
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: (\d+)", head, re.I)
    while length and len(body) < int(length[1]):
        piece = connection.recv(1 << 20)
        if not piece:
            return 0, head, body
        body += piece
    return int(head.split()[1]), head, body


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def ms(seconds):
    return f"{seconds * 1e3:.1f} ms"


def check(holds, text):
    if not holds:
        raise SystemExit(f"robust.py: {text}")


# All clients of most checks have the same address.
ANY_ADDRESS = ["--max-connections-per-address", "1000000"]


class Server:
    def __init__(self, *flags, model="iris.mlapi", files=None, addresses=ANY_ADDRESS):
        def limit():
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, files)

        self.process = subprocess.Popen(
            [MLAPI, "serve", "--port", "0", "--model", model, *addresses, *flags],
            stdout=subprocess.PIPE, stderr=open("server.err", "wb"), preexec_fn=limit,
        )  # fmt: skip
        line = self.process.stdout.readline().decode()
        check("http://" in line, f"the server does not start: {pathlib.Path('server.err').read_text()}")
        self.url = line.split()[-1]
        host, port = self.url.removeprefix("http://").split(":")
        self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        alive = self.process.poll() is None
        self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
        if sys.exc_info()[0] is None:
            check(alive, f"the server has ended: {pathlib.Path('server.err').read_text()}")

    def connect(self, timeout=20):
        return socket.create_connection(self.address, timeout)

    def ask(self, request):
        with self.connect() as connection:
            connection.sendall(request)
            return receive(connection)

    def metric(self, name):
        text = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        check(found, f"no {name} in\n{text}")
        return float(found[1])

    def mebibytes(self, what="VmRSS"):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", text)[1]) / 1024

    def wait_for(self, name, value, seconds=5):
        deadline = time.monotonic() + seconds
        while (found := self.metric(name)) > value:
            check(time.monotonic() < deadline, f"{name} is {found} after {seconds} s, not {value}")
            time.sleep(0.05)


class Probe(threading.Thread):
    """A new client every 50 ms."""

    def __init__(self, server, body=ROW):
        super().__init__(daemon=True)
        self.server, self.request, self.answers, self.done = server, post(body), [], threading.Event()

    def run(self):
        while not self.done.wait(0.05):
            started = time.monotonic()
            try:
                with self.server.connect(5) as connection:
                    at = self.request.index(b"\r\n\r\n") + 4
                    connection.sendall(self.request[:at])
                    connection.sendall(self.request[at:])
                    status = receive(connection)[0]
            except OSError as error:
                status = type(error).__name__
            self.answers.append((status, time.monotonic() - started))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()

    def report(self, what, also=()):
        """Checks that everyone was answered in time, and says how."""
        statuses = [status for status, _ in self.answers]
        slowest = max(seconds for _, seconds in self.answers)
        counts = ", ".join(f"{statuses.count(s)} of {s}" for s in sorted(set(statuses), key=str))
        print(f"{what}: fresh clients {counts}, the slowest after {ms(slowest)}", flush=True)
        check(set(statuses) <= {200, *also}, f"{what}: a fresh client got {counts}")
        check(slowest < SECOND, f"{what}: a fresh client waited {ms(slowest)}")
        return statuses.count(200) / len(statuses)

    def p99(self):
        return percentile([seconds for status, seconds in self.answers if status == 200], 0.99)


def hammer(server, n_clients, seconds, request):
    """Latencies of answers of 200, of refusals, and how many had no answer; a client that is turned away asks again
    after a tenth of the second that it was told. In processes of their own, which leave the cores to the server as
    clients on other machines would."""
    n_processes = min(4, n_clients)
    with multiprocessing.get_context("fork").Pool(n_processes, os.nice, (10,)) as pool:
        shares = [n_clients * (i + 1) // n_processes - n_clients * i // n_processes for i in range(n_processes)]
        parts = pool.starmap(clients, [(server.address, share, seconds, request) for share in shares], 1)
    admitted, refused, silent, without = (sum(lists, []) for lists in zip(*parts))
    check(not without, f"a 503 without Retry-After: {without[:1]}")
    return admitted, refused, len(silent)


def clients(address, n_clients, seconds, request):
    admitted, refused, silent, without = [], [], [], []
    end = time.monotonic() + seconds
    barrier = threading.Barrier(n_clients)

    def client():
        barrier.wait()
        connection = None
        while time.monotonic() < end:
            started = time.monotonic()
            try:
                connection = connection or socket.create_connection(address, 20)
                connection.sendall(request)
                status, head, _ = receive(connection)
            except OSError:
                status, head = 0, b""
            took = time.monotonic() - started
            if status == 200:
                admitted.append(took)
            elif status == 503:
                refused.append(took)
                if b"retry-after" not in head.lower():
                    without.append(head)
            else:
                silent.append(head)
            if status == 0 or b"connection: close" in head.lower():
                connection.close() if connection else None
                connection = None
            if status != 200:
                time.sleep(0.1)
        if connection:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return admitted, refused, silent, without


def overload():
    large, small = post(LARGE), post(ROW)
    jobs = [
        # Flags, request, number of clients, and the most that are admitted.
        ("large bodies, default flags", [], large, 400, (200,)),
        ("large bodies, --max-in-flight 8", ["--max-in-flight", "8"], large, 80, (200, 503)),
        ("one row, --max-connections 32", ["--max-connections", "32"], small, 320, (200, 503)),
    ]
    for what, flags, request, n_clients, fresh in jobs:
        with Server(*flags) as server:
            with Probe(server) as alone:
                # As many clients as cores: the server is busy and no client waits long.
                quiet = hammer(server, 2, 1.5, request)[0]
            with Probe(server) as probe:
                admitted, refused, silent = hammer(server, n_clients, 4, request)
            p99, bound = percentile(admitted, 0.99), 30 * percentile(quiet, 0.99) + 0.1
            print(f"overload, {what}: {n_clients} clients, {len(admitted)} admitted with p99 {ms(p99)}"
                  f" (without load {ms(percentile(quiet, 0.99))}), {len(refused)} refused with p99"
                  f" {ms(percentile(refused, 0.99) if refused else 0)}, {silent} without an answer;"
                  f" peak {server.mebibytes('VmHWM'):.0f} MiB")  # fmt: skip
            probe.report(f"overload, {what}", fresh)
            check(len(refused) > n_clients, "nobody was refused, so this was no overload")
            check(p99 < bound, f"admitted requests took {ms(p99)}, more than {ms(bound)}")
            check(silent == 0, f"{silent} clients were sent away without an answer")
            check(probe.p99() < 20 * alone.p99() + 0.05, f"one row took {ms(probe.p99())}")
            check(server.mebibytes("VmHWM") < 200, "too much memory")


def slow():
    kinds = [
        ("slow heads", ["-H", "-u", "{}/predict"]),
        ("slow bodies", ["-B", "-u", "{}/predict", "-s", "8192", "-f", "application/json"]),
        ("slow reading", ["-X", "-u", "{}/openapi.json", "-k", "10", "-n", "1", "-z", "32", "-w", "512", "-y", "1024"]),
    ]
    for what, flags in kinds:
        with Server() as server, Probe(server) as probe:
            command = ["slowhttptest", "-c", "1500", "-r", "500", "-i", "2", "-l", "6", "-p", "1", "-x", "24"]
            flags = [flag.format(server.url) for flag in flags]
            output = subprocess.run(command + flags, capture_output=True, text=True, timeout=30).stdout
            output = re.sub(r"\x1b\[[0-9;]*m", "", output)
            time.sleep(0.3)
            available = re.findall(r"service available:\s+(\w+)", output)
            states = re.findall(r"(connected|closed|error|pending):\s+(\d+)", output)[-4:]
            peak = server.mebibytes("VmHWM")
            states = ", ".join(f"{name} {count}" for name, count in states)
            print(f"slow, {what}: at the end {states}; available {available[-1:]}; peak {peak:.0f} MiB")
            share = probe.report(f"slow, {what}", (503,))
            check(available and available.count("YES") > len(available) * 0.6, f"slowhttptest says {available}")
            check(share > 0.6, f"only {share:.0%} of fresh clients were let in")
            check(peak < 100, f"{peak:.0f} MiB")


def idle():
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = min(10_000, files - 500)
    for what, flags, fresh in (
        ("all taken", ["--max-connections", str(n + 100)], (200,)),
        ("default flags", [], (200, 503)),
    ):
        with Server(*flags) as server, contextlib.ExitStack() as stack, Probe(server) as probe:
            before = server.mebibytes()
            started = time.monotonic()
            for _ in range(n):
                stack.enter_context(server.connect())
            opened = time.monotonic() - started
            time.sleep(3)
            connections, after = server.metric("mlapi_connections"), server.mebibytes()
            print(f"idle, {what}: {n} connections opened in {opened:.1f} s, {connections:.0f} kept,"
                  f" {before:.1f} MiB before and {after:.1f} MiB with them")  # fmt: skip
            probe.report(f"idle, {what}", fresh)
            late = [status for status, _ in probe.answers[-30:]]
            check(set(late) == {200}, f"with all of them open fresh clients got {late}")
            check(server.mebibytes("VmHWM") < 200, f"{server.mebibytes('VmHWM'):.0f} MiB")
            check(flags == [] or connections > n, f"only {connections} connections were kept")


def address():
    livez = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with Server(addresses=[]) as server:
        held, refused = [], 0
        for _ in range(1024):
            connection = socket.create_connection(server.address, 20, ("127.0.0.2", 0))
            held.append(connection)
        done = threading.Event()

        def keep_busy():
            nonlocal refused
            while not done.is_set():
                for connection in list(held):
                    try:
                        connection.sendall(livez)
                        status = receive(connection)[0]
                    except OSError:
                        status = 0
                    if status != 200:
                        held.remove(connection)
                        connection.close()
                        refused += 1
                time.sleep(0.3)

        thread = threading.Thread(target=keep_busy)
        thread.start()
        with Probe(server) as probe:
            time.sleep(4)
        done.set()
        thread.join()
        print(f"address: {len(held)} connections of one address held, {refused} refused")
        probe.report("address", ())
        check(len(held) <= 256, "one address has more than a quarter")
        for connection in held:
            connection.close()


def files():
    with Server(files=(256, 4096)) as server, contextlib.ExitStack() as stack, Probe(server) as probe:
        for _ in range(900):
            stack.enter_context(server.connect())
        time.sleep(1.5)
        print(f"files, soft limit 256 of 4096: {server.metric('mlapi_connections'):.0f} connections")
        probe.report("files, soft limit 256 of 4096", ())
        check(server.metric("mlapi_connections") > 900, "the soft limit holds")
    with Server(files=(256, 256)) as server, contextlib.ExitStack() as stack, Probe(server) as probe:
        for _ in range(900):
            stack.enter_context(server.connect())
        time.sleep(1.5)
        print(f"files, limit 256: {server.metric('mlapi_connections'):.0f} connections")
        probe.report("files, limit 256", (503,))
        check(probe.answers[-1][0] == 200, "nobody is let in")


def half():
    def chunked(kind):
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head.encode() + b"2000\r\n" + b"5.1,3.5,1.4,0.2\n" * 200

    kinds = {
        "half a body": post(LARGE)[: len(LARGE) // 2],
        "half a small body": post(ROW)[:-10],
        "a chunk cut": chunked("application/json"),
        "a streamed chunk cut": chunked("text/csv; header=absent"),
    }
    with Server("--body-seconds", "2") as server, Probe(server) as probe:
        for what, sent in kinds.items():
            started = time.monotonic()
            left, n_streams = [], 12
            for i in range(3 * n_streams):
                connection = server.connect()
                connection.sendall(sent)
                if i % 3 == 0:
                    left.append(connection)
                    continue
                if i % 3 == 1:
                    # Closed with a reset.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            statuses = [receive(connection)[0] for connection in left]
            took = time.monotonic() - started
            print(f"half, {what}: left open {sorted(set(statuses))} after {took:.1f} s")
            # So many connections fit, and no more.
            check(set(statuses) <= {0, 408, 503 if "stream" in what else 408}, f"{what}: {statuses}")
            check(took < 5, f"{what}: given up after {took:.1f} s")
            for connection in left:
                connection.close()
        server.wait_for("mlapi_requests_in_flight", 0)
        server.wait_for("mlapi_connections", 2)
        print(f"half: {server.mebibytes():.1f} MiB afterwards, peak {server.mebibytes('VmHWM'):.1f} MiB")
        probe.report("half", ())
        check(server.mebibytes("VmHWM") < 100, "too much memory")
    with Server("--body-seconds", "3") as server, Probe(server) as probe:
        body = b" " * (30 << 20)
        connections = [server.connect() for _ in range(12)]
        answered = 0
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(post(body)[:-1])
        time.sleep(0.3)
        held = server.mebibytes()
        for connection in connections:
            with contextlib.suppress(OSError):
                answered += receive(connection)[0] in (408, 503)
            connection.close()
        server.wait_for("mlapi_connections", 2)
        peak, after = server.mebibytes("VmHWM"), server.mebibytes()
        print(f"half, 12 bodies of 30 MiB that lack a byte: {answered} answered 408 or 503; {held:.0f} MiB with them,"
              f" peak {peak:.0f} MiB, {after:.0f} MiB afterwards")  # fmt: skip
        probe.report("half, all the memory for bodies taken", ())
        # 256 MiB for bodies, doubled while a buffer grows, and one 32 MiB copy under way.
        check(peak < 600 and after < 100, "too much memory")


def train(seed):
    return [MLAPI, "--quiet", "train", str(FIXTURES / "digits.csv"), "--algorithm", "forest", "--seed", str(seed),
            "--test-size", "0.1", "--output", "served.mlapi"]  # fmt: skip


def temporary():
    return [path for path in pathlib.Path().iterdir() if path.name.startswith(".mlapi-")]


def kill():
    digests, seconds = {}, []
    for seed in (1, 2):
        started = time.monotonic()
        subprocess.run(train(seed), check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - started)
        digests[hashlib.sha256(pathlib.Path("served.mlapi").read_bytes()).hexdigest()] = seed
    check(len(digests) == 2, "both models are alike")
    size, whole = pathlib.Path("served.mlapi").stat().st_size, statistics.mean(seconds)
    body = FIXTURES.joinpath("digits.csv").read_text().splitlines()[1].rsplit(",", 1)[0]
    body = f'{{"data":[{body}]}}'.encode()
    reloaded = 'mlapi_reloads_total{model="served",result="ok"}'
    chance, in_save, n_kills, found = random.Random(1), 0, 40, []
    with Server("--watch=1", model="served.mlapi") as server, Probe(server, body) as probe:
        for i in range(n_kills):
            process = subprocess.Popen(train(1 + i % 2), stdout=subprocess.DEVNULL)
            before = len(temporary())
            if i % 3 == 0:
                time.sleep(whole * chance.uniform(0.3, 1.1))
            else:
                # During the save, which is short.
                while process.poll() is None and len(temporary()) == before:
                    pass
                time.sleep(chance.uniform(0, 0.003))
            process.kill()
            process.wait()
            in_save += len(temporary()) > before
            digest = hashlib.sha256(pathlib.Path("served.mlapi").read_bytes()).hexdigest()
            check(digest in digests, f"after {i + 1} kills the file is no whole model")
            found.append(digests[digest])
            if i % 10 == 9:
                # One that is not killed; the server loads it.
                reloads = server.metric(reloaded)
                subprocess.run(train(3 - found[-1]), check=True, stdout=subprocess.DEVNULL)
                deadline = time.monotonic() + 5
                while server.metric(reloaded) == reloads:
                    check(time.monotonic() < deadline, "a new file is not found")
                    time.sleep(0.05)
                subprocess.run([MLAPI, "inspect", "--model", "served.mlapi"], check=True, stdout=subprocess.DEVNULL)
        reloads = [server.metric(f'mlapi_reloads_total{{model="served",result="{r}"}}') for r in ("ok", "failed")]
        check(reloads[1] == 0 and reloads[0] > 0, f"reloads that worked and failed: {reloads}")
        probe.report("kill", ())
    changes = sum(a != b for a, b in itertools.pairwise(found))
    print(f"kill: {n_kills} kills, {in_save} in the midst of a save of {size >> 10} KiB, {changes} after it; always a"
          f" whole model; {reloads[0]:.0f} reloads, none failed")  # fmt: skip
    check(in_save > 2, "no save was hit, so this says nothing")
    left = temporary()
    for path in left:
        # As if it were a day old.
        os.utime(path, (time.time() - 86_400,) * 2)
    subprocess.run(train(1), check=True, stdout=subprocess.DEVNULL)
    print(f"kill: {len(left)} temporary files were left behind, {len(temporary())} after the next train")
    check(not temporary(), f"temporary files gather: {temporary()}")


CHECKS = {"overload": overload, "slow": slow, "idle": idle, "address": address, "files": files, "half": half, "kill": kill}


def main():
    signal.alarm(150)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    iris = [MLAPI, "--quiet", "train", str(FIXTURES / "iris.csv"), "--algorithm", "logreg", "--output", "iris.mlapi"]
    subprocess.run(iris, check=True, stdout=subprocess.DEVNULL)
    started = time.monotonic()
    for name in sys.argv[3:] or CHECKS:
        begun = time.monotonic()
        CHECKS[name]()
        print(f"{name}: {time.monotonic() - begun:.0f} s\n", flush=True)
    print(f"robust: all checks passed in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
