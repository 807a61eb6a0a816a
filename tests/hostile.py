"""Started by hostile.sh, in a folder of its own: MLAPI FIXTURES [--quick] [--report-only] [WORD…].

A server with its default flags (and --feedback 100 for the requests that need it) gets each hostile request alone, then
eight clients that send them in a random order for some seconds. Beside them a process of its own asks the cheap routes
on new connections. For each request: its status, the time until it was answered, the processor time that the server
used, its peak memory, and how long `/livez` took (median and longest).

It fails where
- a request or a mixture is answered 500, or not at all within 60 seconds, or the server ends;
- the server needs 300 MB for one request, or 512 MB for a mixture;
- a cheap route takes more than 50 ms beside a mixture: 98 of 100 times (the clients share the cores with the server).
"""

import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import time

MLAPI, FIXTURES = sys.argv[1], pathlib.Path(sys.argv[2])
WORDS = [argument for argument in sys.argv[3:] if not argument.startswith("--")]
QUICK, REPORT_ONLY = "--quick" in sys.argv, "--report-only" in sys.argv
KB, MB = 1 << 10, 1 << 20
ONE_MB, MIXED_MB, CHEAP_SECONDS, PATIENCE = 300, 512, 0.05, 60
CHEAP = ["/livez", "/readyz", "/version", "/v2/health/ready"]
missed = []


def miss(what):
    missed.append(what)
    return "!"


# Models.


def train(name, table, *flags):
    command = [MLAPI, "--quiet", "train", str(table), "--output", f"{name}.mlapi", "--algorithm", *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write(name, header, rows):
    pathlib.Path(name).write_text("\n".join([header, *rows]) + "\n")
    return name


def models():
    """iris: four numbers. mixed: every type of column. classes: 500 of them. digits: 64 numbers, many trees. zip:
    a category whose 30,000 levels are numbers."""
    train("iris", FIXTURES / "iris.csv", "logreg")
    train("digits", FIXTURES / "digits.csv", "forest")
    chance = random.Random(1)
    words = "late damaged lost arrived cheap broken refund parcel invoice colour".split()
    mixed = (
        f"{chance.uniform(0, 100):.2f},{chance.choice(['yes', 'no'])},p{chance.randrange(4)},s{chance.randrange(400)},"
        f"2024-{chance.randint(1, 12):02}-{chance.randint(1, 28):02},{' '.join(chance.choices(words, k=5))},"
        f"{chance.choice(['low', 'high'])}"
        for _ in range(3000)
    )
    types = ["number", "boolean", "category", "category", "date", "text"]
    names = ["spend", "member", "plan", "shop", "day", "said"]
    flags = [flag for name, kind in zip(names, types) for flag in ("--type", f"{name}={kind}")]
    train("mixed", write("mixed.csv", ",".join([*names, "risk"]), mixed), "logreg", *flags)
    rows = (f"{i % 500 // 25},{i % 25},product-{i % 500:04}" for i in range(5000))
    train("classes", write("classes.csv", "x,z,y", rows), "tree")
    rows = (f"{10000 + i % 30000},{i % 100},{'ab'[i % 3 % 2]}" for i in range(40_000))
    train("zip", write("zip.csv", "zip,x,y", rows), "logreg", "--type", "zip=category")
    return ["iris", "digits", "mixed", "classes", "zip"]


# Requests.


def filled(before, part, size, after):
    """`before` and `after` with as many copies of `part` between them as fit in `size` bytes."""
    return (before + part * ((size - len(before) - len(after)) // len(part)) + after).encode()


def numbered(before, part, n, after, separator=","):
    return (before + separator.join(part.format(i) for i in range(n)) + after).encode()


class Request:
    """`body` is made when it is needed, and is bytes, or a list of chunks."""

    def __init__(self, name, path, body, kind="application/json", headers="", feedback=False):
        self.name, self.path, self.make, self.kind, self.headers = name, path, body, kind, headers
        self.feedback = feedback

    def pieces(self):
        body = self.make()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: {self.kind}\r\n"
        if isinstance(body, list):
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in body)
            body, length = chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked"
        else:
            length = f"Content-Length: {len(body)}"
        return f"{head}{self.headers}{length}\r\n\r\n".encode() + body


def predict(model):
    return f"/models/{model}/predict"


def infer(model):
    return f"/v2/models/{model}/infer"


def invoke(model):
    return f"/models/{model}/invocations"


CSV, NDJSON = "text/csv", "application/x-ndjson"
V2_OPEN = '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64"'
V2 = V2_OPEN + ',"data":[1,2,3,4]}]'


def binary(header, data):
    """A V2 request with tensors behind its JSON."""
    header = json.dumps(header)
    return dict(
        body=lambda: header.encode() + data(),
        headers=f"Inference-Header-Content-Length: {len(header)}\r\n",
        kind="application/octet-stream",
    )


def tensor(name, shape, datatype, size=None):
    parameters = {} if size is None else {"parameters": {"binary_data_size": size}}
    return {"name": name, "shape": shape, "datatype": datatype, **parameters}


def requests():
    found = []

    def add(name, path, body, *rest, **more):
        found.append(Request(name, path, body, *rest, **more))

    def repeated(name, path, before, part, size, after, *rest, **more):
        add(name, path, lambda: filled(before, part, size, after), *rest, **more)

    def counted(name, path, before, part, n, after, *rest, separator=",", **more):
        add(name, path, lambda: numbered(before, part, n, after, separator), *rest, **more)

    def tensors(name, path, inputs):
        add(name, path, lambda: json.dumps({"inputs": inputs}).encode())

    iris, mixed, classes, digits, zips = map(predict, ["iris", "mixed", "classes", "digits", "zip"])
    small_json(repeated)
    for n, where in ((5000, "5,000"), (8 * MB, "8 million")):
        deep = lambda n=n: b"[" * n + b"]" * n  # noqa: E731
        add(f"nested {where} deep", iris, lambda d=deep: b'{"data":' + d() + b"}")
        add(f"MLflow nested {where} deep", invoke("iris"), lambda d=deep: b'{"inputs":' + d() + b"}")
        add(f"V2 nested {where} deep", infer("iris"), lambda d=deep: V2_OPEN.encode() + b',"data":' + d() + b"}]}")
        add(f"NDJSON nested {where} deep", iris, lambda d=deep: d() + b"\n", NDJSON)

    # Many names.
    for size in (60 * KB, MB, 8 * MB, 31 * MB):
        what = f"{size // KB} KB" if size < MB else f"{size // MB} MB"
        repeated(f"CSV header: commas × {what}", iris, "", ",", size, "\n1\n", CSV)
        repeated(f"MLflow CSV header: commas × {what}", invoke("iris"), "", ",", size, "\n1\n", CSV)
    counted("CSV header: a million names", iris, "", "c{}", 1_000_000, "\n1\n", CSV)
    add("CSV header, chunked: commas × 60 MB", iris, lambda: [b"," * MB] * 60 + [b"\n1\n"], CSV)
    names = "sepal_length,sepal_width,petal_length,petal_width\n"
    repeated("CSV row: commas × 31 MB", iris, names, ",", 31 * MB, "\n", CSV)
    repeated("CSV without header: commas × 31 MB", iris, "", ",", 31 * MB, "\n", CSV + ";header=absent")
    for n in (100_000, 1_000_000):
        what, rows = f"{n:,} names", min(n, 99_000)
        counted(f"features: {what}", iris, '{"features":{', '"c{}":0', n, "}}")
        counted(f"rows of a new name each: {rows:,}", iris, '{"features":[', '{{"c{}":0}}', rows, "]}")
        counted(f"options: {what}", iris, '{"data":[1,2,3,4],', '"c{}":0', n, "}")
        counted(f"NDJSON: {what}", iris, "{", '"c{}":0', n, "}\n", NDJSON)
        counted(f"NDJSON, a new name a line: {what}", iris, "", '{{"c{}":0}}', n, "\n", NDJSON, separator="\n")
        split = '{"dataframe_split":{"columns":['
        counted(f"MLflow columns: {what}", invoke("iris"), split, '"c{}"', n, '],"data":[[1]]}}')
        counted(f"MLflow inputs: {what}", invoke("iris"), '{"inputs":{', '"c{}":[0]', n, "}}")
        counted(f"MLflow records: {what}", invoke("iris"), '{"dataframe_records":[{', '"c{}":0', n, "}]}")
        one = '{{"name":"c{}","shape":[1],"datatype":"FP64","data":[1]}}'
        counted(f"V2 inputs: {n // 4:,} names", infer("iris"), '{"inputs":[', one, n // 4, "]}")
        counted(f"V2 outputs: {what}", infer("iris"), V2 + ',"outputs":[', '{{"name":"c{}"}}', n, "]}")

    # Names and values of many bytes.
    for name, path, before, after in [
        ("an option", iris, '{"', '":1}'),
        ("a feature", iris, '{"features":{"', '":1}}'),
        ("a value of a number", iris, '{"data":["', '",2,3,4]}'),
        ("a number", iris, '{"data":[1', ",2,3,4]}"),
        ("a value of a boolean", mixed, '{"features":{"member":"', '"}}'),
        ("a value of a category", mixed, '{"features":{"plan":"', '"}}'),
        ("a value of a date", mixed, '{"features":{"day":"', '"}}'),
        ("a word of a text", mixed, '{"lenient":true,"features":{"said":"', '"}}'),
        ("an MLflow member", invoke("iris"), '{"', '":1}'),
        ("an MLflow column", invoke("iris"), '{"inputs":{"', '":[1]}}'),
        ("a V2 tensor", infer("iris"), '{"inputs":[{"name":"', '","shape":[1],"datatype":"FP64","data":[1]}]}'),
        ("a V2 data type", infer("iris"), '{"inputs":[{"name":"x","shape":[1],"data":[1],"datatype":"', '"}]}'),
        ("a V2 output", infer("iris"), V2 + ',"outputs":[{"name":"', '"}]}'),
        ("a V2 id", infer("iris"), V2 + ',"id":"', '"}'),
    ]:
        repeated(f"16 MB: {name}", path, before, "1" if name == "a number" else "a", 16 * MB, after)
    for name, before in [("id", '{"label":1,"request_id":"'), ("label", '{"request_id":"r","label":"')]:
        repeated(f"16 MB: a feedback's {name}", "/feedback", before, "a", 16 * MB, '"}', feedback=True)
    repeated("16 MB: a CSV name", iris, "", "a", 16 * MB, "\n1\n", CSV)
    repeated("16 MB: a CSV value", iris, "", "a", 16 * MB, ",1,2,3\n", CSV + ";header=absent")
    repeated("16 MB: an NDJSON name", iris, '{"', "a", 16 * MB, '":1}\n', NDJSON)
    said = '{"lenient":true,"features":{"said":"'
    counted("3 million words in a text", mixed, said, "w{}", 3_000_000, '"}}', separator=" ")
    repeated("a text of escapes, 31 MB", mixed, said, "\\u0041", 31 * MB, '"}}')

    # Shapes and rows.
    for n in (100_000, 1 << 40, 1 << 63):
        what, x = f"a shape of {n} × 64", tensor("x", [n, 64], "FP64")
        tensors(f"V2: {what} without data", infer("digits"), [x])
        tensors(f"V2: {what} with empty data", infer("digits"), [{**x, "data": []}])
        for size, which in ((0, "without bytes"), (min(n * 512, 1 << 63), "beyond the body")):
            inputs = {"inputs": [tensor("x", [n, 64], "FP64", size)]}
            add(f"V2 binary: {what} {which}", infer("digits"), **binary(inputs, lambda: b"1"))
    texts = {"inputs": [tensor("said", [31 * MB // 4], "BYTES", 31 * MB)]}
    add("V2 binary: 31 MB of empty BYTES", infer("mixed"), **binary(texts, lambda: bytes(31 * MB)))
    bytes_ = {"inputs": [tensor("x", [100_000, 64], "UINT8", 6_400_000)]}
    add("V2 binary: 100,000 rows of UINT8", infer("digits"), **binary(bytes_, lambda: bytes(6_400_000)))
    shape = '{"inputs":[{"name":"x","datatype":"FP64","data":[],"shape":[0,'
    counted("V2: a million dimensions", infer("iris"), shape, "1", 1_000_000, "]}]}")
    for name, n in (("digits", 99_999), ("classes", 20_000), ("classes", 99_999), ("iris", 99_999), ("mixed", 99_999)):
        for form in ("data", "features"):
            before = '{"lenient":true,"%s":[' % form
            counted(f"{name}: {n:,} rows {{}} as {form}", predict(name), before, "{{}}", n, "]}")
    for name, n in (("digits", 64), ("classes", 2), ("mixed", 6)):
        row = json.dumps([None] * n)
        repeated(f"MLflow {name}: rows of null", invoke(name), '{"inputs":[', row + ",", 16 * MB, row + "]}")
        repeated(f"NDJSON {name}: rows of null", predict(name), "", row + "\n", 8 * MB, "", NDJSON)
        repeated(f"CSV {name}: empty rows", predict(name), "", "," * (n - 1) + "\n", 8 * MB, "", CSV + ";header=absent")
    counted("MLflow classes: 100,000 rows", invoke("classes"), '{"inputs":[', "[1,2]", 99_999, "]}")
    shape = '{"inputs":[{"name":"x","shape":[99999,2],"datatype":"FP64","data":['
    counted("V2 classes: 100,000 rows", infer("classes"), shape, "1", 199_998, "]}]}")
    repeated("CSV classes: 100,000 rows", classes, "x,z\n", "1,2\n", 400_000, "", CSV)
    repeated("NDJSON classes: 100,000 rows", classes, "", "[1,2]\n", 600_000, "", NDJSON)
    for n in (4400, 99_000):
        what = f"{n:,} numbers that are no level"
        counted(f"zip: {what}", zips, '{"data":[', "[{},1]", n, "]}")
        counted(f"NDJSON zip: {what}", zips, "", "[{},1]", n, "\n", NDJSON, separator="\n")
        counted(f"CSV zip: {what}", zips, "zip,x\n", "{},1", n, "\n", CSV, separator="\n")
        counted(f"MLflow zip: {what}", invoke("zip"), '{"instances":[', "[{},1]", n, "]}")
        data = {"zip": list(range(n)), "x": [1] * n}
        columns = [{**tensor(name, [n], "FP64"), "data": values} for name, values in data.items()]
        tensors(f"V2 zip: {what}", infer("zip"), columns)
    repeated("blanks, 31 MB", iris, "", " ", 31 * MB, "")
    for kind, name in ((NDJSON, "NDJSON"), (CSV, "CSV")):
        repeated(f"{name}: empty lines, 31 MB", iris, "", "\n", 31 * MB, "", kind)
    for kind, name in ((NDJSON, "NDJSON"), (CSV, "CSV")):
        add(f"{name}, chunked: a line of 60 MB", iris, lambda: [b"1" * MB] * 60, kind)
    add("CSV, chunked: a quote of 60 MB", iris, lambda: [b'sepal_length\n"'] + [b"1\n" * (MB // 2)] * 60, CSV)
    row = b"5.1,3.5,1.4,0.2\n"
    add("CSV, chunked: 60 MB of rows", iris, lambda: [row * 4096] * 900, CSV + ";header=absent")
    add("feedback: an unknown id", "/feedback", lambda: b'{"request_id":"none","label":1}', feedback=True)
    return [request for request in found if all(word in request.name for word in WORDS)]


def small_json(repeated):
    """Many small values where one belongs, or none."""
    iris, mixed = predict("iris"), predict("mixed")
    places = {
        "threshold": (iris, '{"threshold":[', '0],"data":[1,2,3,4]}'),
        "lenient": (iris, '{"lenient":[', '0],"data":[1,2,3,4]}'),
        "explain": (iris, '{"explain":[', '0],"data":[1,2,3,4]}'),
        "an unknown option": (iris, '{"data":[1,2,3,4],"zzz":[', "0]}"),
        "data": (iris, '{"data":[', "0]}"),
        "a value": (iris, '{"data":[1,2,3,[', "0]]}"),
        "features": (iris, '{"features":[', "0]}"),
        "a value by name": (iris, '{"features":{"sepal_length":[', "0]}}"),
        "a text": (mixed, '{"features":{"said":[', "0]}}"),
        "MLflow params": (invoke("iris"), '{"params":{"a":[', '0]},"inputs":[[1,2,3,4]]}'),
        "MLflow columns": (invoke("iris"), '{"dataframe_split":{"columns":[', '0],"data":[[1,2,3,4]]}}'),
        "MLflow data": (invoke("iris"), '{"dataframe_split":{"data":[', "0]}}"),
        "MLflow records": (invoke("iris"), '{"dataframe_records":[', "0]}"),
        "MLflow instances": (invoke("iris"), '{"instances":[', "0]}"),
        "an MLflow column": (invoke("iris"), '{"inputs":{"sepal_length":[', "0]}}"),
        "an unknown MLflow member": (invoke("iris"), '{"inputs":[[1,2,3,4]],"zzz":[', "0]}"),
        "V2 parameters": (infer("iris"), V2 + ',"parameters":{"a":[', "0]}}"),
        "V2 outputs": (infer("iris"), V2 + ',"outputs":[', "0]}"),
        "V2 id": (infer("iris"), V2 + ',"id":[', "0]}"),
        "V2 inputs": (infer("iris"), '{"inputs":[', "0]}"),
        "V2 shape": (infer("iris"), '{"inputs":[{"name":"x","datatype":"FP64","data":[],"shape":[', "0]}]}"),
        "V2 data": (infer("iris"), V2_OPEN + ',"data":[', "0]}]}"),
        "V2 input parameters": (infer("iris"), V2_OPEN + ',"data":[1,2,3,4],"parameters":{"a":[', "0]}}]}"),
    }
    for small in ['{"":0},', "[],", "0,", '"",']:
        for size in (8 * MB, 31 * MB):
            what = f"{small[:-1]} × {size // MB} MB"
            # Values that are harmless elsewhere: one size, and in CI the places that take lists.
            for place, (path, before, after) in places.items():
                if small == '{"":0},' or (size > 10 * MB and (not QUICK or (small == "[]," and "data" in place))):
                    repeated(f"{place}: {what}", path, before, small, size, after)
            for place in ("label", "labels", "zzz"):
                if small in ('{"":0},', "0,") and (size < 10 * MB or not QUICK):
                    before = '{"request_id":"r","%s":[' % place
                    repeated(f"feedback {place}: {what}", "/feedback", before, small, size, "0]}", feedback=True)
    repeated('NDJSON: a row of {"":0} × 31 MB', iris, "[", '{"":0},', 31 * MB, "0]\n", NDJSON)


# The prediction whose labels feedback requests tell.
REMEMBERED = Request("", "/predict", lambda: b'{"data":[1,2,3,4]}', headers="X-Request-Id: r\r\n")


# Servers and clients.


class Server:
    def __init__(self, *flags):
        self.flags, self.process = flags, None
        self.start()

    def start(self):
        self.errors = open("server.err", "ab")
        self.process = subprocess.Popen(
            [MLAPI, "serve", "--port", "0", *self.flags], stdout=subprocess.PIPE, stderr=self.errors
        )
        line = self.process.stdout.readline().decode()
        found = re.search(r":(\d+)\s*$", line)
        if not found:
            sys.exit(f"hostile.py: the server does not start: {pathlib.Path('server.err').read_text()}")
        self.address = ("127.0.0.1", int(found[1]))
        self.fresh = self.mb("VmRSS")

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self.process.kill()
        self.process.wait()

    def mb(self, key):
        with contextlib.suppress(OSError, TypeError):
            text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
            return int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) * 1024 / 1e6
        return 0.0

    def cpu(self):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def forget_peak(self):
        """The peak is what is held now; a server that has ended, or still holds much, is replaced."""
        if self.alive() and self.mb("VmRSS") > self.fresh + 50:
            time.sleep(0.3)
        if not self.alive() or self.mb("VmRSS") > self.fresh + 50:
            self.stop()
            self.start()
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def send(address, data, timeout=PATIENCE):
    """Status and length of the answer; for no answer `reset` or `silence`."""
    status, length = "reset", 0
    try:
        with socket.create_connection(address, timeout) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # The server may refuse before it has read all.
                connection.sendall(data)
            buffer = memoryview(bytearray(256 * KB))
            while n := connection.recv_into(buffer):
                if length == 0:
                    status = int(bytes(buffer[9:12]))
                length += n
    except TimeoutError:
        status = "silence"
    except (OSError, ValueError):
        pass
    return status, length


def ask_cheap(address, paths, pipe):
    """Asks one path after another until told to end; then sends how long each took."""
    with contextlib.suppress(OSError):
        os.nice(-10)
    found = []
    while not pipe.poll(0.01):
        path = paths[len(found) % len(paths)]
        started = time.monotonic()
        status, _ = send(address, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), 30)
        found.append((time.monotonic() - started, status))
    pipe.send(found)


class Beside:
    """A process that asks the cheap routes meanwhile; then `seconds` and `statuses`."""

    def __init__(self, address, paths):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=ask_cheap, args=(address, paths, other), daemon=True)

    def __enter__(self):
        self.process.start()
        time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.pipe.send("end")
        found = self.pipe.recv()
        self.process.join()
        self.seconds = sorted(seconds for seconds, _ in found) or [0.0]
        self.statuses = {status for _, status in found}
        self.median, self.worst = statistics.median(self.seconds), self.seconds[-1]

    def share(self, share):
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def ms(seconds):
    return f"{seconds * 1e3:.0f}"


WIDTHS = "{:58} {:>7} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7}"


def line(name, status, seconds, cpu, peak, answer, beside, marks=""):
    print(WIDTHS.format(name[:58], status, f"{seconds:.2f}", f"{cpu:.2f}", f"{peak:.0f}", answer, ms(beside.median),
                        ms(beside.worst)), marks, flush=True)  # fmt: skip


def one(server, request):
    server.forget_peak()
    data = request.pieces()
    if request.feedback:
        send(server.address, REMEMBERED.pieces())
    cpu = server.cpu()
    with Beside(server.address, CHEAP[:1]) as beside:
        started = time.monotonic()
        status, length = send(server.address, data)
        seconds = time.monotonic() - started
    peak, marks = server.mb("VmHWM"), ""
    if not server.alive():
        marks += miss(f"{request.name}: the server has ended")
    elif status in ("silence", 500):
        marks += miss(f"{request.name}: " + ("answered 500" if status == 500 else f"no answer after {seconds:.0f} s"))
    if peak >= ONE_MB:
        marks += miss(f"{request.name}: {peak:.0f} MB")
    line(request.name, status, seconds, server.cpu() - cpu, peak, length, beside, marks)


def attack(address, bodies, seed, seconds, results):
    os.nice(10)
    chance, until, statuses = random.Random(seed), time.monotonic() + seconds, {}
    while time.monotonic() < until:
        status, _ = send(address, chance.choice(bodies))
        statuses[status] = statuses.get(status, 0) + 1
    results.put(statuses)


def mixture(name, server, bodies, seconds, also=contextlib.nullcontext):
    server.forget_peak()
    results, cpu = multiprocessing.Queue(), server.cpu()
    arguments = [(server.address, bodies, seed, seconds, results) for seed in range(8)]
    attackers = [multiprocessing.Process(target=attack, args=each, daemon=True) for each in arguments]
    started = time.monotonic()
    with also(server) as _:
        [attacker.start() for attacker in attackers]
        time.sleep(0.5)
        with Beside(server.address, CHEAP) as beside:
            time.sleep(max(seconds - 1, 1))
        counts = {}
        for statuses in [results.get() for _ in attackers]:
            for status, n in statuses.items():
                counts[status] = counts.get(status, 0) + n
    took = time.monotonic() - started
    [attacker.join() for attacker in attackers]
    peak, marks = server.mb("VmHWM"), ""
    if not server.alive():
        marks += miss(f"{name}: the server has ended")
    if 500 in counts:
        marks += miss(f"{name}: {counts[500]} answers of 500")
    if peak >= MIXED_MB:
        marks += miss(f"{name}: {peak:.0f} MB")
    late = beside.share(0.98)
    if late > CHEAP_SECONDS or beside.statuses != {200}:
        marks += miss(f"{name}: cheap routes answer {sorted(beside.statuses, key=str)}, 98 of 100 within {ms(late)} ms")
    line(name, "", took, server.cpu() - cpu, peak, sum(counts.values()), beside, marks)
    print(f"    answers by status: {dict(sorted(counts.items(), key=str))}; cheap routes: {len(beside.seconds)} times,"
          f" 98 of 100 within {ms(late)} ms")  # fmt: skip


@contextlib.contextmanager
def unmoving(server):
    """Streams that send one byte, streams of a line that does not end, bodies whose clients leave, and clients that do
    not read what they asked for."""
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = head.encode()
    rows = numbered('{"lenient":true,"data":[', "{{}}", 20_000, "]}")
    answers = Request("", predict("classes"), lambda: rows).pieces()
    body = Request("", "/predict", lambda: filled('{"data":[[', "1,", 30 * MB, "1]]}")).pieces()
    with contextlib.ExitStack() as stack:
        def open_one(data, leave=False):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(server.address, 5)
                stack.callback(connection.close)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                if leave:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(data)
                if leave:
                    connection.close()

        for _ in range(16):
            open_one(stream + b"1\r\n[\r\n")
        for _ in range(16):
            open_one(stream + b"100000\r\n" + b"1" * MB + b"\r\n")
        for _ in range(12):
            open_one(answers)
        for _ in range(12):
            open_one(body, leave=True)
        for _ in range(12):
            open_one(body[:-1])
        yield


def main():
    names = models()
    everything = requests()
    print(f"{len(everything)} requests; time and processor time of the server in seconds, peak memory in MB, bytes of"
          f" the answer, /livez in ms\n\n" + WIDTHS.format("request", "status", "time", "CPU", "peak", "answer",
                                                             "median", "longest"), flush=True)  # fmt: skip
    flags = [f"--model={name}={name}.mlapi" for name in names]
    for more in ([], ["--feedback", "100"]):
        server = Server(*flags, *more)
        chosen = [request for request in everything if request.feedback == bool(more)]
        for request in chosen:
            one(server, request)
        seconds, mixed = 4 if QUICK else 20, "mixed with feedback" if more else "mixed"
        bodies, left = [], 500 * MB
        for request in random.Random(2).sample(chosen, len(chosen)):
            body = request.pieces()
            if len(body) < left:
                left -= len(body)
                bodies.append(body)
        bodies += [REMEMBERED.pieces()] * bool(more)
        small = [body for body in bodies if len(body) < 80 * KB]
        if len(bodies) > 1:
            mixture(f"{mixed}: all", server, bodies, seconds)
        if len(small) > 1:
            mixture(f"{mixed}: bodies below 80 KB", server, small, seconds)
            mixture(f"{mixed}: beside clients that do not move", server, small, seconds, unmoving)
        server.stop()
    print()
    for what in missed:
        print(f"missed: {what}")
    if missed and not REPORT_ONLY:
        sys.exit(f"hostile: {len(missed)} of the bars are missed")
    print(f"hostile: {'report' if missed else 'all requests end well'}")


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
