#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gateway_test.py - drives samples/apps/gateway with devices and a broker."""
import collections
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from server import LIMIT, SLOW, Server, missing, wrapper
from tap import check, skip

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

    def stop(self):
        self.p.terminate()
        self.p.wait(LIMIT)


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
    last = send(server, b"hot 49\nhot 51.5\nhot 60\nhot 10\nhot 52\n"
                b"bad\nbad x\n x 1\nbad nan\nbad 1 2\n\nbad\x00 1\nhalf 1")
    for d in devices:
        d.shutdown(socket.SHUT_WR)
        if d.recv(1) != b"":
            return ["a device is answered"]
    last.shutdown(socket.SHUT_WR)
    last.recv(1)		# its end: all of it has been read
    wrong = []
    if not until(lambda: len(sub.heard["weft/alert/hot"]) == 2):
        wrong.append("alerts: %r" % sub.heard["weft/alert/hot"])
    wrong += server.stop()
    wrong += told(server, "%d readings, 7 malformed" % (40 * 20 + 5))
    if not until(lambda: len([t for t in sub.heard if "average" in t]) == 11):
        wrong.append("averages of %d sensors" % len(sub.heard))
    for i in range(10):
        values = [v for k in range(i, 40, 10) for v in range(k, k + 20)]
        want = [sum(values) / len(values)]
        if sub.heard["weft/average/s%d" % i] != want:
            wrong.append("s%d: %r, not %r" % (
                i, sub.heard["weft/average/s%d" % i], want))
    if sub.heard["weft/average/hot"] != [44.5]:
        wrong.append("hot: %r" % sub.heard["weft/average/hot"])
    if sub.heard["weft/alert/hot"] != [51.5, 52]:
        wrong.append("alerts: %r" % sub.heard["weft/alert/hot"])
    sub.stop()
    return wrong


def simulated(broker, workers):
    sub = Subscriber(broker)
    n = 1000 if SLOW == 1 else 50
    server = gateway(broker, workers, "--window", "2", "--devices", str(n))
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


def broker_returns(broker, workers):
    """What is told while the broker is away comes when it is back."""
    server = gateway(broker, workers, "--window", "1000", "--threshold", "0")
    wrong = []
    try:
        sub = Subscriber(broker)
        send(server, b"one 1\n").close()
        if not until(lambda: sub.heard["weft/alert/one"] == [1]):
            wrong.append("the first alert does not come")
        sub.stop()
        broker.stop()
        device = send(server, b"two 2\n")
        device.shutdown(socket.SHUT_WR)
        device.recv(1)
        broker.start()
        sub = Subscriber(broker)
        # The alert may have come before we were there to hear it.
        send(server, b"three 3\n").close()
        if not until(lambda: sub.heard["weft/alert/three"] == [3]):
            wrong.append("no alert after the broker's return")
        wrong += server.stop() + told(server, "3 readings")
        if not until(lambda: sub.heard["weft/average/two"] == [2]):
            wrong.append("the average of what came in between is lost")
        sub.stop()
    finally:
        if broker.p.poll() is not None:
            broker.start()
    return wrong


def no_broker(workers):
    """Without one it works, and ends in time."""
    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--broker",
                    "127.0.0.1:%d" % free_port(), "--window", "0.01",
                    "--devices", "50", workers=workers)
    s = send(server, b"".join(b"n%d 1\n" % (i % 2000) for i in range(4000)))
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
    return server.stop() + told(server, " 0 published")


def usage():
    wrong = []
    for options in (["--window", "0"], ["--broker", "x"], ["--devices", "-1"],
                    ["--what"], ["rest"], ["--threshold", "high"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM] + options,
                           capture_output=True, text=True)
        if p.returncode != 2 or not p.stderr:
            wrong.append("%s: status %d" % (options, p.returncode))
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
        for w in ("1", "4"):
            name = "%s worker%s: " % (w, "s"[w == "1":])
            check(name + "averages and alerts are exact", exact(broker, w))
            check(name + "simulated devices come and go", simulated(broker, w))
            check(name + "the broker goes and returns",
                  broker_returns(broker, w))
            check(name + "without a broker", no_broker(w))
        broker.stop()
