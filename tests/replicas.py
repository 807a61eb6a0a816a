"""Two replicas of mlapi behind HAProxy; see tests/replicas.sh. Run in a folder with the bundles churn-1 and churn-2.

With deploy/haproxy.cfg as it stands, no request fails, neither while both replicas are replaced one after the other nor
when one is killed. Without its `retry-on`, a killed replica takes those requests along that it had not answered.
"""

import collections
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

config = open(sys.argv[1]).read()
seconds = 2 if "--quick" in sys.argv else 6
CLIENTS = 8
BODY = json.dumps({"data": [5.1, 3.5, 1.4, 0.2]})
processes = []


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def replica(bundle, port):
    child = subprocess.Popen([f"./{bundle}", "serve", "--port", str(port), "--no-page", "--max-connections-per-address", "1024"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    processes.append(child)
    assert "listening" in child.stdout.readline()
    return child


def ended(child, how):
    child.send_signal(how)
    return child.wait(timeout=20)


def ask(connection):
    connection.request("POST", "/predict", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    right = answer.status == 200 and json.loads(text)["prediction"] == "setosa"
    return right, answer.status, answer.getheader("X-Replica"), text


class Load:
    """Clients that ask one after the other, each on a connection that it keeps."""

    def __init__(self, port):
        self.port, self.stopped = port, False
        self.answers, self.failures = collections.Counter(), []
        self.threads = [threading.Thread(target=self.client) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def client(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stopped:
            try:
                right, status, by, text = ask(connection)
                if right:
                    self.answers[by] += 1
                else:
                    self.failures.append(f"{status} {text[:60]}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()

    def until(self, name, n):
        """Waits until a replica has answered n more."""
        goal = self.answers[name] + n
        for _ in range(200):
            if self.answers[name] >= goal:
                return
            time.sleep(0.05)
        sys.exit(f"replica {name} is not asked: {self.answers}, {self.failures[:3]}")

    def end(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        return sum(self.answers.values())


def proxy(text, ports, port):
    for name, old in zip(ports, ["8081", "8082"]):
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{ports[name]}")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    with open("haproxy.cfg", "w") as file:
        file.write(text)
    subprocess.run(["haproxy", "-q", "-c", "-f", "haproxy.cfg"], check=True)
    child = subprocess.Popen(["haproxy", "-db", "-f", "haproxy.cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes.append(child)
    for _ in range(100):
        try:
            if ask(http.client.HTTPConnection("127.0.0.1", port, timeout=2))[0]:
                return child
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the proxy does not answer")


def algorithm(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/model")
    return re.search(r'"algorithm":"([^"]*)"', connection.getresponse().read().decode())[1]


def scenario(text, name):
    ports = {"one": free_port(), "two": free_port()}
    children = {which: replica("churn-1", port) for which, port in ports.items()}
    port = free_port()
    before = proxy(text, ports, port)
    load = Load(port)
    load.until("one", 50), load.until("two", 50)

    for which in ports:
        assert algorithm(ports[which]) == "logistic-regression"
        assert ended(children[which], signal.SIGTERM) == 0
        time.sleep(seconds / 6)
        children[which] = replica("churn-2", ports[which])
        load.until(which, 50)
        assert algorithm(ports[which]) == "decision-tree"
    n_failed = len(load.failures)
    n = sum(load.answers.values())
    print(f"-- {name}: both replicas replaced, {n} answers, {n_failed} failed {load.failures[:2]}", flush=True)
    retried = "retry-on" in text
    if retried:
        assert n_failed == 0, load.failures

    ended(children["one"], signal.SIGKILL)
    load.until("two", 200)
    time.sleep(seconds / 2)
    n_killed = len(load.failures) - n_failed
    children["one"] = replica("churn-2", ports["one"])
    load.until("one", 50)
    n = load.end()
    print(f"-- {name}: one killed and started again, {n} answers in all {dict(load.answers)}, "
          f"{n_killed} failed, at most {CLIENTS} were in flight {load.failures[-2:] if n_killed else ''}", flush=True)
    assert n_killed <= (0 if retried else CLIENTS), load.failures
    assert len(load.failures) == n_failed + n_killed, load.failures
    for child in [before, *children.values()]:
        ended(child, signal.SIGTERM)


try:
    scenario(config, "deploy/haproxy.cfg")
    plain = re.sub(r"\n *retry-on.*", "", config)
    scenario(plain, "without retry-on")
finally:
    for child in processes:
        if child.poll() is None:
            child.kill()
