"""Started by generated.sh, in a folder of its own: MLAPI FIXTURES [REQUESTS [SEED]].

One server with feedback has five models: numbers alone, categories with missing values, dates, text, and a regression.
Two processes send REQUESTS requests between them, pipelined in batches, on connections that are kept.

A request begins as a valid one of its dialect (JSON rows in order and by name, CSV, NDJSON, MLflow's four forms, V2 with
JSON and with binary tensors, feedback; sized or chunked). Then values become ones that programs get wrong (extreme
numbers, other types, long and strange texts), members are renamed, repeated, dropped or nested, tensors are given
shapes that do not fit, and, in half of the requests, bytes of the body are flipped, dropped, repeated or cut.

Every answer has to be a whole HTTP response with one of the statuses that docs/http.md lists for its endpoint, never
500. At the end the server must be alive, and its resident memory within 24 MB of that after a tenth of the requests.
"""

import collections
import json
import multiprocessing
import random
import re
import socket
import struct
import subprocess
import sys
import time

MLAPI, FIXTURES = sys.argv[1], sys.argv[2]
REQUESTS = int(sys.argv[3]) if len(sys.argv) > 3 else 20_000
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1

MODELS = {  # name: table, algorithm
    "iris": ("iris", "logistic-regression"),
    "penguins": ("penguins", "gradient-boosting"),
    "rentals": ("rentals", "ridge"),
    "intents": ("intents", "logistic-regression"),
    "diabetes": ("diabetes", "random-forest"),
}
ALLOWED = {200, 400, 404, 408, 413, 415, 422, 503}
BATCH = 24
MAX_GROWTH_KIB = 24 * 1024

# JSON texts of values, as they are written into a body.
ODD = (
    "null true false 0 -0 -0.0 1e308 -1e308 1e309 5e-324 1e-400 9007199254740993 18446744073709551616 0.1 01 1. .5 +1 NaN "
    'Infinity "" " " "NaN" "inf" "1e999" "0x10" "1,5" "\\u0000" "\\ud800" "\\u202e" "yes" "2024-02-30" "0000-00-00" '
    '"9999-12-31T23:59:60Z" "-1" [] {} [[]] [null] {"a":1} [1,2,3]'
).split()
ODD += ['"' + "x" * 300 + '"', '"' + "é" * 90 + '"', "[" * 40 + "]" * 40, "1" * 400, '"' + '\\"' * 60 + '"']
NAMES = ["", "x", "data", "features", "threshold", "lenient", "explain", "\\u0000", "n" * 200, "shape", "label", "Ⅷ"]


def kib(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"{field}:\s+(\d+)", file.read())[1])


class Maker:
    """Makes requests for the models, from rows of the tables they were trained on."""

    def __init__(self, models, seed):
        self.models, self.random = models, random.Random(seed)

    def cell(self, value):
        """The JSON text of a value, mostly the given one."""
        r = self.random
        return r.choice(ODD) if r.random() < 0.12 else json.dumps(value)

    def name(self, name):
        r = self.random
        if r.random() < 0.03:
            return json.dumps(r.choice(NAMES))
        return json.dumps(name)

    def rows(self, model):
        r = self.random
        n = r.choice((0, 1, 1, 1, 2, 3, 8, 40))
        return [r.choice(model["rows"]) for _ in range(n)]

    def in_order(self, row):
        cells = [self.cell(value) for value in row]
        r = self.random
        if r.random() < 0.04:
            cells = cells[: r.randrange(len(cells) + 1)]
        if r.random() < 0.02:
            cells += [r.choice(ODD)] * r.choice((1, 2, 300))
        return "[" + ",".join(cells) + "]"

    def by_name(self, model, row):
        r = self.random
        members = [f"{self.name(name)}:{self.cell(value)}" for name, value in zip(model["names"], row)]
        if r.random() < 0.1:
            r.shuffle(members)
        if r.random() < 0.05 and members:
            members.append(r.choice(members))
        if r.random() < 0.05 and members:
            members.pop()
        return "{" + ",".join(members) + "}"

    def options(self):
        r = self.random
        members = []
        while r.random() < 0.25:
            key = r.choice(('"threshold"', '"lenient"', '"explain"', '"params"', '"id"', json.dumps(r.choice(NAMES))))
            members.append(f"{key}:{r.choice(ODD + ['0.5', 'true', '1'])}")
        return members

    def object(self, members):
        members = members + self.options()
        self.random.shuffle(members)
        return ("{" + ",".join(members) + "}").encode()

    def predict(self, model):
        r = self.random
        rows = self.rows(model)
        many = len(rows) != 1 or r.random() < 0.3
        if r.random() < 0.5:
            texts, key = [self.in_order(row) for row in rows], '"data"'
        else:
            texts, key = [self.by_name(model, row) for row in rows], r.choice(('"features"', '"features"', '"data"'))
        value = "[" + ",".join(texts) + "]" if many else texts[0]
        return "/models/{}/predict", "application/json", self.object([f"{key}:{value}"]), ""

    def csv(self, model, path="/models/{}/predict"):
        r = self.random
        names = [name if r.random() > 0.02 else r.choice(NAMES) for name in model["names"]]
        if r.random() < 0.02:
            names += ["more"] * r.choice((1, 3, 500))
        quote = lambda text: '"' + text.replace('"', '""') + '"' if r.random() < 0.3 else text
        lines = [",".join(quote(name) for name in names)] if r.random() < 0.9 else []
        for row in self.rows(model):
            cells = ["" if value is None else str(value) for value in row]
            cells = [r.choice(ODD).strip('"') if r.random() < 0.08 else quote(cell) for cell in cells]
            lines.append(",".join(cells))
        kind = "text/csv" + r.choice(("", "", ";header=present", ";header=absent", ";header=x", "; charset=latin-1"))
        return path, kind, r.choice(("\n", "\r\n", "\r")).join(lines).encode() + b"\n" * r.randrange(2), ""

    def ndjson(self, model):
        r = self.random
        lines = [self.in_order(row) if r.random() < 0.5 else self.by_name(model, row) for row in self.rows(model)]
        if r.random() < 0.1:
            lines.insert(0, "")
        return "/models/{}/predict", "application/x-ndjson", "\n".join(lines).encode(), ""

    def mlflow(self, model):
        r = self.random
        rows = self.rows(model)
        kind = r.randrange(5)
        if kind == 4:
            return self.csv(model, "/models/{}/invocations")
        ordered = "[" + ",".join(self.in_order(row) for row in rows) + "]"
        named = "[" + ",".join(self.by_name(model, row) for row in rows) + "]"
        names = "[" + ",".join(self.name(name) for name in model["names"]) + "]"
        index = ',"index":[0,1]' if r.random() < 0.2 else ""
        if kind == 0:
            member = f'"dataframe_split":{{"columns":{names},"data":{ordered}{index}}}'
        elif kind == 1:
            member = f'"dataframe_records":{named}'
        elif kind == 2:
            member = f'"instances":{r.choice((ordered, named))}'
        else:
            columns = zip(*rows) if rows else [()] * len(model["names"])
            by_column = ",".join(
                f"{self.name(name)}:[" + ",".join(self.cell(value) for value in column) + "]"
                for name, column in zip(model["names"], columns)
            )
            member = '"inputs":' + r.choice((ordered, "{" + by_column + "}"))
        return "/models/{}/invocations", "application/json", self.object([member]), ""

    def size(self, right):
        r = self.random
        if r.random() < 0.9:
            return right
        return r.choice((0, 1, right + 1, -1, 2**31, 2**32, 2**63 - 1, 10**5))

    def v2(self, model):
        r = self.random
        rows = self.rows(model)
        n, k = len(rows), len(model["names"])
        tensors, tail = [], b""
        kinds = ("FP64", "FP32", "INT64", "INT32", "UINT8", "BOOL", "BYTES", "FP16", "X")
        if r.random() < 0.4:
            names, columns, shapes = ["input"], [[value for row in rows for value in row]], [(n, k)]
        else:
            names, shapes = model["names"], [r.choice(((n,), (n, 1)))] * k
            columns = list(zip(*rows)) if rows else [()] * k
        for name, column, shape in zip(names, columns, shapes):
            text = any(isinstance(value, str) for value in column)
            kind = r.choice(kinds) if r.random() < 0.1 else ("BYTES" if text else "FP64")
            shape = ",".join(str(self.size(side)) for side in shape)
            member = f'"name":{self.name(name)},"shape":[{shape}],"datatype":"{kind}"'
            if r.random() < 0.4:
                data = b"".join(self.binary(kind, value) for value in column)
                member += f',"parameters":{{"binary_data_size":{self.size(len(data))}}}'
                tail += data
            else:
                member += ',"data":[' + ",".join(self.cell(value) for value in column) + "]"
            tensors.append("{" + member + "}")
        members = ['"inputs":[' + ",".join(tensors) + "]"]
        if r.random() < 0.2:
            parameters = '"parameters":{"binary_data":true}' if r.random() < 0.5 else '"parameters":[]'
            members.append('"outputs":[{"name":"predict",' + parameters + "}]")
        if r.random() < 0.1:
            members.append('"parameters":{"threshold":' + r.choice(ODD) + "}")
        body = self.object(members)
        header = f"Inference-Header-Content-Length: {self.size(len(body))}\r\n" if tail or r.random() < 0.1 else ""
        return "/v2/models/{}/infer", "application/octet-stream", body + tail, header

    @staticmethod
    def binary(kind, value):
        if kind == "BYTES":
            text = str(value).encode()
            return struct.pack("<I", len(text)) + text
        number = value if isinstance(value, (int, float)) else 0
        form = {"FP64": "<d", "FP32": "<f", "INT64": "<q", "INT32": "<i", "UINT8": "<B", "BOOL": "<?", "FP16": "<e"}
        try:
            return struct.pack(form.get(kind, "<d"), number if kind.startswith("FP") else int(number) % 2)
        except (OverflowError, struct.error):
            return b"\0" * 8

    def feedback(self, _):
        r = self.random
        labels = r.choice(
            ('"label":"setosa"', '"labels":["setosa","virginica"]', '"label":1e308', '"label":' + r.choice(ODD),
             '"labels":[' + ",".join(r.choice(ODD) for _ in range(r.choice((0, 1, 5, 1200)))) + "]")
        )  # fmt: skip
        return "/feedback", "application/json", self.object([f'"request_id":"g{r.randrange(3000)}"', labels]), ""

    def damage(self, body):
        r = self.random
        body = bytearray(body)
        for _ in range(r.choice((1, 1, 2, 5))):
            if not body:
                break
            at, kind = r.randrange(len(body)), r.randrange(5)
            if kind == 0:
                body[at] = r.randrange(256)
            elif kind == 1:
                del body[at : at + r.choice((1, 2, 9, 100))]
            elif kind == 2:
                body[at:at] = body[at : at + r.choice((1, 5, 50))] * r.choice((1, 2, 20))
            elif kind == 3:
                del body[at:]
            else:
                body[at:at] = r.choice((b'"', b"[", b"{", b"}", b"]", b",", b"\\", b"\n", b"\0", b"\xff", b"1e999"))
        return bytes(body)

    def request(self):
        r = self.random
        name = r.choice(list(self.models))
        makers = (self.predict, self.predict, self.csv, self.ndjson, self.mlflow, self.v2, self.v2, self.feedback)
        path, kind, body, header = r.choice(makers)(self.models[name])
        if r.random() < 0.5:
            body = self.damage(body)
        head = f"POST {path.format(name)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{header}"
        if r.random() < 0.2:
            head += f"X-Request-Id: g{r.randrange(3000)}\r\n"
        if r.random() < 0.15:
            chunks, at = b"", 0
            while at < len(body):
                piece = body[at : at + r.choice((1, 7, 100, 5000))]
                at += len(piece)
                chunks += b"%x\r\n%b\r\n" % (len(piece), piece)
            return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks + b"0\r\n\r\n"
        return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


class Connection:
    """One that is opened again whenever the server closes it."""

    def __init__(self, address):
        self.address, self.socket = address, None

    def line(self):
        return self.file.readline()

    def send(self, batch):
        """The status of each request that is answered; the rest of the batch is lost when the server closes."""
        if self.socket is None:
            self.socket = socket.create_connection(self.address, 30)
            self.file = self.socket.makefile("rb", 1 << 16)
        answers = []
        try:
            self.socket.sendall(b"".join(batch))
        except (ConnectionError, BrokenPipeError):
            pass
        for request in batch:
            try:
                status, closes = self.answer()
            except ConnectionError:
                status, closes = 0, True
            if status:
                answers.append((status, request))
            if closes:
                self.socket.close()
                self.socket = None
                break
        return answers

    def answer(self):
        first = self.line()
        if not first:
            return 0, True
        status, length, chunked, closes = int(first.split()[1]), None, False, False
        while (line := self.line().rstrip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            chunked |= line.startswith(b"transfer-encoding:")
            closes |= line.replace(b" ", b"") == b"connection:close"
        if chunked:
            while True:
                size = self.line()
                if not size:
                    return status, True
                n = int(size, 16)
                self.file.read(n + 2)
                if n == 0:
                    return status, closes
        if length is None or len(self.file.read(length)) < length:
            return status, True
        return status, closes


def send_all(address, models, seed, requests, counts, bad):
    maker, connection, statuses = Maker(models, seed), Connection(address), collections.Counter()
    done = 0
    while done < requests and bad.empty():
        batch = [maker.request() for _ in range(BATCH)]
        answers = connection.send(batch)
        done += max(len(answers), 1)
        for status, request in answers:
            statuses[status] += 1
            if status not in ALLOWED:
                bad.put((status, request[:3000]))
    counts.put(statuses)


def rows_of(table, target):
    """Rows as JSON values, without the target: numbers as numbers, empty cells as None."""
    import csv

    def value(text):
        if text in ("", "NA"):
            return None
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return text

    with open(f"{FIXTURES}/{table}.csv", newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    keep = [i for i, name in enumerate(header) if name != target]
    return [header[i] for i in keep], [[value(line[i]) for i in keep] for line in lines[:200]]


def main():
    models = {}
    for name, (table, algorithm) in MODELS.items():
        train = ["train", f"{FIXTURES}/{table}.csv", "--algorithm", algorithm, "--output", f"{name}.mlapi"]
        subprocess.run([MLAPI, "-q", *train], check=True, stdout=subprocess.DEVNULL)
        inspected = subprocess.run(
            [MLAPI, "--format", "json", "inspect", "--model", f"{name}.mlapi"], check=True, capture_output=True
        )
        names, rows = rows_of(table, json.loads(inspected.stdout)["target"])
        models[name] = {"names": names, "rows": rows}
    flags = [flag for name in MODELS for flag in ("--model", f"{name}={name}.mlapi")]
    with open("server.err", "wb") as errors:
        server = subprocess.Popen(
            [MLAPI, "serve", "--port", "0", "--feedback", "2000", *flags], stdout=subprocess.PIPE, stderr=errors
        )
    url = server.stdout.readline().decode().split()[-1]
    host, port = url.removeprefix("http://").split(":")
    try:
        statuses, growth, peak, seconds = measure((host, int(port)), models, server)
    finally:
        server.kill()
    told = ", ".join(f"{n} of status {status}" for status, n in sorted(statuses.items()))
    print(f"{sum(statuses.values())} requests in {seconds:.0f} s: {told}")
    print(f"resident memory grew by {growth / 1024:.1f} MB after the first tenth; peak {peak / 1024:.1f} MB")
    if growth > MAX_GROWTH_KIB:
        raise SystemExit("generated.py: the memory of the server grows")
    if statuses[200] < 0.1 * sum(statuses.values()):
        raise SystemExit("generated.py: too few of the requests are valid")


def measure(address, models, server):
    started = time.monotonic()
    counts, bad = multiprocessing.Queue(), multiprocessing.Queue()
    statuses, first = collections.Counter(), None
    for part, share in ((0, 0.1), (1, 0.9)):
        senders = [
            multiprocessing.Process(
                target=send_all,
                args=(address, models, SEED * 1000 + part * 10 + i, int(REQUESTS * share / 2), counts, bad),
            )
            for i in range(2)
        ]
        for sender in senders:
            sender.start()
        for _ in senders:
            statuses += counts.get()
        for sender in senders:
            sender.join()
        if not bad.empty():
            status, request = bad.get()
            raise SystemExit(f"generated.py: status {status} for\n{request!r}")
        if server.poll() is not None:
            raise SystemExit(f"generated.py: the server has ended: {open('server.err').read()}")
        first = first or kib(server.pid, "VmRSS")
    growth, peak = kib(server.pid, "VmRSS") - first, kib(server.pid, "VmHWM")
    return statuses, growth, peak, time.monotonic() - started


if __name__ == "__main__":
    main()
