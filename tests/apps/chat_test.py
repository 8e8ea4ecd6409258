#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chat_test.py - drives samples/apps/chat with raw sockets."""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from server import Server, missing
from tap import LIMIT, check, skip, wrapper

PROGRAM = "samples/apps/chat"


def chat(workers, *idle):
    return Server(PROGRAM, "tcp:127.0.0.1:0", *idle, workers=workers)


class Client:
    """After the greeting, if it waits for it: name is the one that it was
    given."""

    def __init__(self, server, receive_buffer=0, greeted=True):
        self.s = socket.socket()
        if receive_buffer:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                              receive_buffer)
        self.s.settimeout(LIMIT)
        self.s.connect(server.address)
        self.file = self.s.makefile("rb")
        if greeted:
            self.name = self.until(" is here")[-1].split()[1]

    def line(self):
        return self.file.readline().decode().rstrip("\n")

    def until(self, text):
        """The lines up to one with the text; the last one is it, or empty."""
        lines = [self.line()]
        while lines[-1] and text not in lines[-1]:
            lines.append(self.line())
        return lines

    def say(self, text):
        self.s.sendall(text.encode() + b"\n")

    def close(self):
        self.file.close()
        self.s.close()

    def vanish(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        self.close()


def wants(c, text):
    lines = c.until(text)
    return [] if lines[-1] else ["no %r; but %r" % (text, lines[-5:])]


def alone(c):
    """Waits until nobody else is there.  Each client that leaves is told of to
    all: some hundreds at once are more than a client, who is just coming, is
    kept lines for, and it would miss its own greeting, or what it says."""
    end = time.monotonic() + LIMIT
    while True:
        c.say("/who")
        line = c.until("* here are:")[-1]
        if line == "* here are: " + c.name:
            return []
        if not line or time.monotonic() > end:
            return ["others are still there: " + line]
        time.sleep(0.01)


def talk(server):
    a = Client(server)
    b = Client(server)
    wrong = wants(a, "* %s is here" % b.name)
    a.say("/nick ann")
    for c in a, b:
        wrong += wants(c, "* %s is now ann" % a.name)
    b.say("/nick ann")
    wrong += wants(b, "* there is a ann already")
    for bad in "", "a b", "x" * 17, "a/b":
        b.say("/nick " + bad)
        wrong += wants(b, "* a name has 1 to 16")
    b.say("/nick " + "x" * 16)
    wrong += wants(a, " is now " + "x" * 16)
    a.say("hello, all\r")
    for c in a, b:
        wrong += wants(c, "ann: hello, all")
    b.say("\x1b[31mred\0")
    wrong += wants(a, "x: ?[31mred?")
    b.say("/who")
    line = b.until("* here are:")[-1]
    if sorted(line.split()[3:]) != ["ann", "x" * 16]:
        wrong.append(line)
    b.say("/what")
    wrong += wants(b, "* there are /nick NAME, /who and /quit")
    b.say("/quit")
    wrong += wants(a, "* %s has left" % ("x" * 16))
    b.until("never said")		# up to the end
    b.close()
    a.close()
    return wrong


def long_lines(server):
    a, b = Client(server), Client(server)
    b.say("y" * 400)
    wrong = wants(a, ": " + "y" * 400)
    b.say("z" * 401)
    wrong += wants(b, "* a line has at most 400 bytes; good-bye")
    wrong += wants(a, "* %s has left" % b.name)
    b.close()
    b = Client(server)
    for byte in b"slowly\n":
        b.s.sendall(bytes([byte]))
    wrong += wants(a, "%s: slowly" % b.name)
    # A last line that nobody ended counts; then it is gone.
    b.s.sendall(b"the last")
    b.s.shutdown(socket.SHUT_WR)
    wrong += wants(a, "%s: the last" % b.name)
    wrong += wants(a, "* %s has left" % b.name)
    a.close()
    b.close()
    return wrong


def vanishing(server):
    a = Client(server)
    some = [Client(server) for _ in range(30)]
    for i, c in enumerate(some):
        if i % 2:
            c.s.sendall(b"half a li")
        c.vanish()
    left = {c.name for c in some}
    while left:
        line = a.until(" has left")[-1]
        if not line:
            return ["these have not left: %r" % left]
        left.discard(line.split()[1])
    wrong = alone(a)
    a.close()
    return wrong


def crowd(server):
    """Three hundred clients hear what one says."""
    some = [Client(server) for _ in range(300)]
    some[0].say("to all of you")
    wrong = []
    for c in some:
        wrong += wants(c, "%s: to all of you" % some[0].name)
    for c in some[1:]:
        c.close()
    wrong += alone(some[0])
    some[0].close()
    return wrong[:5]


def slow_reader(server):
    """It is told what it missed, and holds up nobody."""
    a, slow = Client(server), Client(server, 4096)
    wrong = []
    for i in range(12000):
        a.say("%d %s" % (i, "w" * 390))
        if i % 50 == 49:		# more than 64 at once a would miss too
            wrong += wants(a, ": %d w" % i)
    a.say("the end")
    wrong += wants(a, ": the end")
    heard, missed = 0, 0
    while True:
        line = slow.line()
        found = re.match(r"\* you have missed (\d+) lines$", line)
        missed += int(found[1]) if found else 0
        heard += ": " in line
        if not line or line.endswith(": the end"):
            break
    if missed == 0 or heard + missed != 12001:
        wrong.append("heard %d, missed %d" % (heard, missed))
    a.close()
    slow.close()
    return wrong[:5]


def idle(workers):
    server = chat(workers, "1")
    # Where all is slow the time may be over before the greeting is written.
    c = Client(server, greeted=False)
    wrong = wants(c, "* nothing heard for a long time; good-bye")
    c.until("never said")
    c.close()
    return wrong + server.stop()


def the_end(workers):
    server = chat(workers)
    some = [Client(server) for _ in range(20)]
    for c in some:
        c.say("hello")
    for c in some:
        wants(c, "%s: hello" % c.name)
    server.p.send_signal(signal.SIGTERM)
    wrong = []
    for c in some:
        wrong += wants(c, "* the server ends; good-bye")
        c.close()
    return wrong[:5] + server.end()


def bad_use():
    wrong = []
    for words in ([], ["tcp"], ["tcp:127.0.0.1:0", "x"], ["a", "1", "2"],
                  ["udp:127.0.0.1:0"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM, *words], timeout=LIMIT,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if p.returncode == 0 or not p.stderr:
            wrong.append("%r: status %d" % (words, p.returncode))
    return wrong


def main():
    for workers in "1", "4":
        server = chat(workers)
        for test in talk, long_lines, vanishing, crowd, slow_reader:
            check("%s, workers: %s" % (test.__name__, workers), test(server))
        check("it ends on SIGTERM, workers: " + workers, server.stop())
        check("... that comes as soon as it listens, workers: " + workers,
              sum([chat(workers).stop() for _ in range(10)], []))
        for test in idle, the_end:
            check("%s, workers: %s" % (test.__name__, workers), test(workers))
    check("bad use is refused", bad_use())


why = missing(PROGRAM)
if why:
    skip("chat", why)
else:
    main()
