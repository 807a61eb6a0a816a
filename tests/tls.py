"""Started by tls.sh, in a folder with server.pem, server.key, rsa.pem, rsa.key, other.pem, other.key: MLAPI FIXTURES.

- curl, which trusts the certificate, gets an answer; without that trust it exits with status 60.
- Python's ssl makes handshakes of TLS 1.2 and 1.3, with ECDSA and RSA keys, is offered http/1.1 by ALPN, sends many
  requests on one connection, and gets an answer of megabytes whole, and one that is under way at SIGTERM; TLS 1.1 is
  refused.
- A plain HTTP request is answered 400 at once. The server closes a connection whose handshake stalls after
  --header-seconds, and one that is idle after its handshake; meanwhile it serves others, even if such connections
  take all slots.
- A reload reads a new certificate and its key; one without its key changes nothing.
- A certificate and a key that do not match, or are not valid, are refused before the server listens.
"""

import json
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

MLAPI, FIXTURES = sys.argv[1], pathlib.Path(sys.argv[2])
ROW = b'{"data":[5.1,3.5,1.4,0.2]}'


def check(holds, text):
    if not holds:
        raise SystemExit(f"tls.py: {text}")


def post(body):
    return f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def receive(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        check(piece, f"the connection ends after {data!r}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
    while len(body) < length:
        piece = connection.recv(1 << 20)
        check(piece, f"the connection ends after {len(body)} of {length} bytes")
        body += piece
    return int(head.split()[1]), json.loads(body)


class Server:
    def __init__(self, *flags, certificate="server"):
        command = [MLAPI, "serve", "--port", "0", "--tls-cert", f"{certificate}.pem", "--tls-key", f"{certificate}.key"]
        self.process = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=open("err", "wb"))
        line = self.process.stdout.readline().decode()
        check("https://127.0.0.1:" in line, f"it says {line!r} {pathlib.Path('err').read_text()}")
        self.url = line.split()[-1]
        self.address = ("127.0.0.1", int(self.url.rsplit(":", 1)[1]))
        self.certificate, self.told = f"{certificate}.pem", False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second signal would end it at once.
        if not self.told:
            self.process.terminate()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
        if sys.exc_info()[0] is None:
            check(self.process.returncode == 0, f"the server ended with {self.process.returncode}")

    def plain(self):
        return socket.create_connection(self.address, 10)

    def connect(self, version=None):
        context = ssl.create_default_context(cafile=self.certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if version:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        return context.wrap_socket(self.plain(), server_hostname="127.0.0.1")

    def answers(self):
        started = time.monotonic()
        with self.connect() as connection:
            connection.sendall(post(ROW))
            status, answer = receive(connection)
        took = time.monotonic() - started
        check(status == 200 and answer["prediction"] == "setosa" and took < 1, f"{status} after {took:.3f} s: {answer}")
        return took


def handshakes():
    with Server() as server:
        ask = ["curl", "-sS", "--max-time", "5", "-d", ROW.decode(), f"{server.url}/predict"]
        trusting = subprocess.run([*ask, "--cacert", "server.pem"], capture_output=True, text=True)
        check(trusting.returncode == 0 and '"setosa"' in trusting.stdout, trusting)
        check(subprocess.run(ask, capture_output=True).returncode == 60, "curl trusts a certificate that it does not know")
    for certificate in ("server", "rsa"):
        with Server(certificate=certificate) as server:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with server.connect(version) as connection:
                    protocol = (connection.version(), connection.selected_alpn_protocol())
                    check(protocol == (version.name.replace("_", "."), "http/1.1"), protocol)
                    for _ in range(1000):
                        connection.sendall(post(ROW))
                        check(receive(connection)[0] == 200, "not 200")
                    rows = b'{"data":[' + b",".join([b"[5.1,3.5,1.4,0.2]"] * 50_000) + b"]}"
                    connection.sendall(post(rows))
                    status, answer = receive(connection)
                    check(status == 200 and len(answer["predictions"]) == 50_000, status)
            try:
                server.connect(ssl.TLSVersion.TLSv1_1).close()
                check(False, "TLS 1.1 is spoken")
            except (ssl.SSLError, OSError):
                pass
            connection = server.connect()
            request = post(ROW)
            connection.sendall(request[:-5])
            time.sleep(0.2)
            server.process.terminate()
            server.told = True
            time.sleep(0.2)
            connection.sendall(request[-5:])
            check(receive(connection)[0] == 200, "a request under way at SIGTERM is not answered")
            connection.close()
    print("tls: handshakes of TLS 1.2 and 1.3 with ECDSA and RSA keys by curl and Python, 4,000 answers on four connections")


def without_a_handshake():
    flags = ["--header-seconds", "2", "--max-connections", "8", "--max-connections-per-address", "8"]
    with Server(*flags) as server:
        started = time.monotonic()
        with server.plain() as connection:
            connection.sendall(post(ROW))
            status, problem = receive(connection)
        took = time.monotonic() - started
        check(status == 400 and "https://" in problem["detail"] and took < 1, f"{status} after {took:.3f} s: {problem}")
        print(f"tls: a request in the clear is answered 400 after {took * 1e3:.1f} ms")
        # Nothing, a part of a ClientHello, other bytes; the connection closed after the handshake, and idle after it.
        hello = ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        for what, sent in (("nothing", b""), ("half a hello", hello.read()[:100]), ("TLS of another kind", b"\x16\x03\x01")):
            started = time.monotonic()
            with server.plain() as connection:
                connection.sendall(sent)
                answers = [server.answers() for _ in range(5)]
                ended = connection.recv(100)
            took = time.monotonic() - started
            print(f"tls: who sends {what} is cut off after {took:.1f} s; others waited {max(answers) * 1e3:.1f} ms")
            check(took < 4 and not ended.startswith(b"HTTP"), f"{what}: {took:.1f} s, {ended!r}")
        with server.plain() as connection:
            connection.sendall(b"\x80\x01junk" * 100)
            started = time.monotonic()
            try:
                while connection.recv(100):
                    pass
            except ConnectionResetError:
                pass
            check(time.monotonic() - started < 1, "what is no TLS is not refused at once")
        started = time.monotonic()
        with server.connect() as connection:
            check(connection.recv(1) == b"", "it says something")
        check(1.5 < time.monotonic() - started < 4, "an idle connection is not given up")
        silent = [server.plain() for _ in range(8)]
        time.sleep(1.2)
        took = [server.answers() for _ in range(20)]
        print(f"tls: with all places taken by clients that send nothing, others waited {max(took) * 1e3:.1f} ms")
        for connection in silent:
            connection.close()
        for _ in range(20):
            # The client leaves after the handshake, within a request, without a close notification.
            connection = server.connect()
            connection.sendall(b"POST /predict HTTP/1.1\r\n")
            connection.close()
        server.answers()


def renewed():
    shutil.copy("server.pem", "live.pem")
    shutil.copy("server.key", "live.key")
    with Server(certificate="live") as server:
        def certificate():
            return ssl.get_server_certificate(server.address)

        first = certificate()
        kept = server.connect()
        shutil.copy("other.pem", "live.pem")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        check(certificate() == first, "a certificate without its key is used")
        shutil.copy("other.key", "live.key")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5
        while certificate() == first:
            check(time.monotonic() < deadline, "a new certificate is not used")
            time.sleep(0.05)
        kept.sendall(post(ROW))
        check(receive(kept)[0] == 200, "a connection from before the reload is not answered")
        kept.close()
    print("tls: a reload reads a new certificate, and one without its key changes nothing")


def refused():
    for flags, said in (
        (["--tls-cert", "server.pem", "--tls-key", "other.key"], "is not the key of"),
        (["--tls-cert", "server.key", "--tls-key", "server.key"], "holds no certificate"),
        (["--tls-cert", "none.pem", "--tls-key", "server.key"], "not a usable PEM file"),
    ):
        ended = subprocess.run([MLAPI, "serve", "--port", "0", *flags], capture_output=True, text=True, timeout=10)
        check(ended.returncode == 1 and said in ended.stderr and not ended.stdout, ended)
    print("tls: a certificate and a key that do not belong together are refused")


subprocess.run([MLAPI, "--quiet", "train", str(FIXTURES / "iris.csv"), "--algorithm", "logreg"],
               check=True, stdout=subprocess.DEVNULL)  # fmt: skip
handshakes()
without_a_handshake()
renewed()
refused()
