#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gateway_test.py - drives samples/apps/gateway with devices and a broker."""
import collections
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from server import Server, missing
from tap import LIMIT, SLOW, check, skip, wrapper

PROGRAM = "samples/apps/gateway"
os.environ["PATH"] += ":/usr/sbin:/sbin"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(true, seconds=LIMIT):
    """Waits until it holds; does it?"""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Broker:
    def __init__(self, directory):
        self.port = free_port()
        self.conf = os.path.join(directory, "conf")
        with open(self.conf, "w") as f:
            f.write("listener %d 127.0.0.1\nallow_anonymous true\n" %
                    self.port)
        self.start()

    def start(self):
        self.p = subprocess.Popen(["mosquitto", "-c", self.conf],
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)

        def answers():
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            except OSError:
                return False

        if not until(answers):
            raise RuntimeError("mosquitto does not start")

    def kill(self):
        self.p.kill()
        self.p.wait(LIMIT)


class Front:
    """Stands before the broker: what `serve` does with each connection."""

    def __init__(self, broker, serve, port=0):
        self.behind = broker
        self.serve = serve
        self.open = []
        self.came = []			# when each connection came
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                s = self.listener.accept()[0]
                self.came.append(time.monotonic())
                self.open.append(s)
                threading.Thread(target=self.serve, args=(self, s),
                                 daemon=True).start()
        except OSError:
            pass

    def relay(self, s):
        other = socket.create_connection(("127.0.0.1", self.behind.port))
        self.open.append(other)
        for a, b in ((s, other), (other, s)):
            threading.Thread(target=self.copy, args=(a, b),
                             daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def close(self, s):
        s.close()

    def refuse(self, s):
        s.recv(1000)
        s.sendall(b"\x20\x02\x00\x05")	# CONNACK: not authorised
        s.recv(1)
        s.close()

    def hang(self, s):
        pass

    def stop(self):
        # shutdown() wakes whoever is in accept() or recv().
        for s in [self.listener] + self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


class Subscriber:
    """What mosquitto_sub hears: {topic: [values]}"""

    def __init__(self, broker):
        self.heard = collections.defaultdict(list)
        self.p = subprocess.Popen(
            ["mosquitto_sub", "-p", str(broker.port), "-t", "weft/#", "-t",
             "test/ready", "-F", "%t %p"],
            stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

        def ready():
            subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t",
                            "test/ready", "-m", "1"], check=False)
            return self.heard["test/ready"]

        if not until(ready):
            raise RuntimeError("mosquitto_sub hears nothing")

    def read(self):
        for line in self.p.stdout:
            topic, value = line.split()
            self.heard[topic].append(float(value))

    def stop(self):
        self.p.terminate()
        self.thread.join(LIMIT)


def send(server, text):
    s = socket.create_connection(server.address, timeout=LIMIT)
    s.sendall(text)
    return s


def send_all(server, text):
    """And wait until all of it has been read."""
    s = send(server, text)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
    s.close()


def gateway(broker, workers, *more):
    return Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--broker",
                  "127.0.0.1:%d" % broker.port, *more, workers=workers)


def told(server, what):
    line = server.out[-1]
    return [] if what in line else ["no %r in %r" % (what, line)]


def exact(broker, workers):
    """One window that ends with the program: averages are exact."""
    sub = Subscriber(broker)
    server = gateway(broker, workers, "--window", "1000", "--threshold", "50")
    devices = [send(server, b"".join(
        b"s%d %d\n" % (i % 10, v) for v in range(i, i + 20)))
        for i in range(40)]
    for d in devices:
        d.shutdown(socket.SHUT_WR)
        if d.recv(1) != b"":
            return ["a device is answered"]
    send_all(server, b"hot 49\nhot 51.5\nhot 60\nhot 10\nhot 52\n"
             b"bad\nbad x\n x 1\nbad nan\nbad 1 2\n\nbad\x00 1\nbad 1\x00\n"
             b"bad 1e101\nbad inf\nbad \nhuge -1e100\nhuge -1e100\n"
             b"tiny 1.5e-7\nhalf 1")
    wrong = []
    if not until(lambda: len(sub.heard["weft/alert/hot"]) == 2):
        wrong.append("alerts: %r" % sub.heard["weft/alert/hot"])
    wrong += server.stop()
    wrong += told(server, "%d readings, 11 malformed" % (40 * 20 + 8))
    if not until(lambda: len([t for t in sub.heard if "average" in t]) == 13):
        wrong.append("averages of %d sensors" % len(sub.heard))
    for i in range(10):
        values = [v for k in range(i, 40, 10) for v in range(k, k + 20)]
        want = [sum(values) / len(values)]
        if sub.heard["weft/average/s%d" % i] != want:
            wrong.append("s%d: %r, not %r" % (
                i, sub.heard["weft/average/s%d" % i], want))
    for name, want in (("hot", 44.5), ("huge", -1e100), ("tiny", 1.5e-7)):
        if sub.heard["weft/average/" + name] != [want]:
            wrong.append("%s: %r" % (name, sub.heard["weft/average/" + name]))
    if sub.heard["weft/alert/hot"] != [51.5, 52]:
        wrong.append("alerts: %r" % sub.heard["weft/alert/hot"])
    sub.stop()
    return wrong


def simulated(broker, workers, n, window):
    sub = Subscriber(broker)
    server = gateway(broker, workers, "--window", window, "--devices", str(n))
    wrong = []
    if not until(lambda: len([t for t in sub.heard if "average" in t]) == n):
        wrong.append("averages of %d devices" % len(sub.heard))
    gone = send(server, b"gone 1\ngone ")
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    gone.close()
    seen = len(sub.heard["weft/average/device0"])
    if not until(lambda: len(sub.heard["weft/average/device0"]) > seen + 1):
        wrong.append("it does not go on")
    wrong += server.stop() + told(server, " 0 dropped")
    sub.stop()
    return wrong


def many_sensors(broker, workers):
    """More at once than the outbox takes: it waits for the broker that is
    there."""
    sub = Subscriber(broker)
    server = gateway(broker, workers, "--window", "1000", "--drain", "60")
    if not until(lambda: any("connected" in line for line in server.out)):
        return ["it finds no broker"] + server.stop()
    n = 5000
    send_all(server, b"".join(b"n%d %d\n" % (i, i) for i in range(n)))
    wrong = server.stop() + told(server, " %d published, 0 dropped" % n)
    if not until(lambda: len([t for t in sub.heard if "average" in t]) == n):
        wrong.append("%d averages" % len(sub.heard))
    sub.stop()
    return wrong


def alerts(names):
    return ["weft/alert/" + n for n in names]


def broker_lost(broker, workers):
    """What is told while it is away comes when it is back, but for the oldest."""
    sub = Subscriber(broker)
    front = Front(broker, Front.relay)
    server = gateway(front, workers, "--window", "1000", "--threshold", "0")
    wrong = []
    send_all(server, b"first 1\n")
    if not until(lambda: sub.heard["weft/alert/first"] == [1]):
        wrong.append("the first alert does not come")
    front.stop()
    if not until(lambda: any("no broker" in line for line in server.out)):
        wrong.append("its loss is not told: %r" % server.out)
    send_all(server, b"".join(b"n%d 1\n" % i for i in range(1500)))
    front = Front(broker, Front.relay, front.port)
    if not until(lambda: sub.heard["weft/alert/n1499"] == [1]):
        wrong.append("no alert after the broker's return")
    # Each told twice is as it should be: at least once.
    heard = {t for t in list(sub.heard) if sub.heard[t] and "alert" in t}
    if heard != set(alerts(["first"] + ["n%d" % i for i in range(476, 1500)])):
        wrong.append("%d alerts, or not the newest" % len(heard))
    wrong += server.stop() + told(server, "2526 published, 476 dropped")
    if not until(lambda: len([t for t in sub.heard if "average" in t]) == 1501):
        wrong.append("averages are lost")
    front.stop()
    sub.stop()
    return wrong


def broker_killed(broker, workers):
    server = gateway(broker, workers, "--window", "1000", "--threshold", "0")
    wrong = []
    try:
        sub = Subscriber(broker)
        send_all(server, b"one 1\n")
        if not until(lambda: sub.heard["weft/alert/one"] == [1]):
            wrong.append("the first alert does not come")
        sub.stop()
        broker.kill()
        send_all(server, b"two 2\n")
        broker.start()
        sub = Subscriber(broker)
        send_all(server, b"three 3\n")
        if not until(lambda: sub.heard["weft/alert/three"] == [3]):
            wrong.append("no alert after the broker's return")
        wrong += server.stop() + told(server, "3 readings") + \
            told(server, "6 published, 0 dropped")
        if not until(lambda: sub.heard["weft/average/two"] == [2]):
            wrong.append("the average of what came in between is lost")
        sub.stop()
    finally:
        if broker.p.poll() is not None:
            broker.start()
    return wrong


def backs_off(serve, workers):
    """Asked later and later; one that then says yes gets what was told."""
    front = Front(None, serve)
    server = gateway(front, workers, "--window", "1000", "--drain", "0.2")
    wrong = []
    if not until(lambda: len(front.came) >= 5):
        wrong.append("it gives up")
    gaps = [b - a for a, b in zip(front.came, front.came[1:])][:4]
    # Pauses are half to all of 0.1, 0.2, 0.4 and 0.8 s, and never shorter.
    for gap, least in zip(gaps, (0.05, 0.1, 0.2, 0.4)):
        if gap < least:
            wrong.append("asked again after %s" % gaps)
    wrong += server.stop() + told(server, " 0 published")
    said = [line for line in server.out if "no broker" in line]
    if len(said) != 1:
        wrong.append("%r" % server.out)
    front.stop()
    return wrong


def hangs(workers):
    """Neither a connection nor an answer comes: it ends in time all the same."""
    wrong = []
    front = Front(None, Front.hang)
    full = socket.socket()			# it accepts none
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for s in fillers:
        s.setblocking(False)
        s.connect_ex(full.getsockname())
    for broker in (front, types.SimpleNamespace(port=full.getsockname()[1])):
        server = gateway(broker, workers, "--window", "1000", "--drain", "0.2")
        send_all(server, b"n 1\n")
        began = time.monotonic()
        wrong += server.stop() + told(server, " 0 published, 1 dropped")
        # A connect that nobody answers takes two minutes.
        if time.monotonic() - began > 30 * SLOW:
            wrong.append("it waits for a connection")
    for s in fillers + [full]:
        s.close()
    front.stop()
    return wrong


def no_broker(workers):
    """Without one it works, drops the oldest, and ends in time."""
    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--broker",
                    "127.0.0.1:%d" % free_port(), "--window", "0.01",
                    "--drain", "0.2", "--devices", "50", workers=workers)
    send_all(server, b"".join(b"n%d 1\n" % (i % 2000) for i in range(4000)))
    wrong = server.stop() + told(server, " 0 published")
    if int(re.search(r" (\d+) dropped", server.out[-1])[1]) < 2000:
        wrong.append(server.out[-1])
    return wrong


def too_many_sensors(broker):
    server = gateway(broker, "2", "--window", "1000", "--drain", "0.01")
    send_all(server, b"".join(b"n%d 1\n" % i for i in range(100010)))
    return server.stop() + told(server, "100000 readings, 0 malformed, "
                                "10 refused")


def usage():
    wrong = []
    for options in (["--window", "0"], ["--broker", "x"], ["--devices", "-1"],
                    ["--devices", "1.5"], ["--broker", "h:0"],
                    ["--broker", "h:65536"], ["--broker", "h:18x"],
                    ["--broker", ":1883"], ["--broker", "x" * 256 + ":1883"],
                    ["--drain", "x"],
                    ["--what"], ["rest"], ["--threshold", "high"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM] + options,
                           capture_output=True, text=True)
        if p.returncode != 2 or not p.stderr:
            wrong.append("%s: status %d" % (options, p.returncode))
    p = subprocess.run(wrapper + ["./" + PROGRAM, "--listen",
                                  "udp:127.0.0.1:0", "--broker", "127.0.0.1:1",
                                  "--drain", "0.2"],
                       capture_output=True, text=True)
    if p.returncode != 1 or "not supported" not in p.stderr:
        wrong.append("UDP: status %d, %s" % (p.returncode, p.stderr))
    return wrong


why = missing(PROGRAM)
for tool in ("mosquitto", "mosquitto_sub", "mosquitto_pub"):
    if not why and not shutil.which(tool):
        why = "no " + tool
if why:
    skip("gateway", why)
else:
    check("bad options are told", usage())
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(directory)
        try:
            for w in ("1", "4"):
                name = "%s worker%s: " % (w, "s"[w == "1":])
                check(name + "averages and alerts are exact", exact(broker, w))
                check(name + "more sensors than the outbox takes",
                      many_sensors(broker, w))
                check(name + "the broker goes and returns",
                      broker_lost(broker, w))
                check(name + "the broker is killed", broker_killed(broker, w))
                check(name + "without a broker", no_broker(w))
                check(name + "SIGTERM as soon as it listens", sum(
                    [gateway(broker, w).stop() for _ in range(10)], []))
            check("simulated devices come and go",
                  simulated(broker, "1", 50, "0.5"))
            check("a thousand of them",
                  simulated(broker, "4", 1000 if SLOW == 1 else 50, "1"))
            check("a broker that closes is asked later and later",
                  backs_off(Front.close, "1"))
            check("and one that refuses", backs_off(Front.refuse, "4"))
            check("a broker that hangs", hangs("2"))
            check("sensors have a limit", too_many_sensors(broker))
        finally:
            broker.kill()
