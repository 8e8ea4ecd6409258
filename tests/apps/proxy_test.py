#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proxy_test.py - drives samples/apps/proxy with curl and raw sockets."""
import hashlib
import http.server
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from server import Server, missing
from tap import LIMIT, SLOW, check, skip, wrapper

PROGRAM = "samples/apps/proxy"
BULK = os.urandom(1 << 20) * (20 if SLOW == 1 else 4)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(BULK if self.path == "/bulk" else b"through\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.md5(body).hexdigest().encode())

    def log_message(self, *_):
        pass


def web():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    s.daemon_threads = True
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s.server_address[1]


def listener(handle):
    """A server of plain sockets, each handled in a thread; its port."""
    s = socket.create_server(("127.0.0.1", 0), backlog=512)

    def accept():
        while True:
            c, _ = s.accept()
            threading.Thread(target=handle, args=(c,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return s.getsockname()[1]


def echo(c):
    """Sends back what comes; at its end, how much it was."""
    total = 0
    try:
        while data := c.recv(65536):
            total += len(data)
            c.sendall(data)
        c.sendall(b"total %d" % total)
    except OSError:
        pass			# some clients vanish
    c.close()


def connect(server):
    s = socket.create_connection(server.address, timeout=LIMIT)
    return s


def until_end(s):
    got = b""
    while True:
        data = s.recv(65536)
        if not data:
            return got
        got += data


def socks(server, port, host=b"\x01\x7f\x00\x00\x01"):
    """A connection by hand: (socket, the code of the reply)."""
    s = connect(server)
    s.sendall(b"\x05\x01\x00")
    if s.recv(2) != b"\x05\x00":
        return s, -1
    s.sendall(b"\x05\x01\x00" + host + struct.pack(">H", port))
    reply = s.recv(10, socket.MSG_WAITALL)
    return s, reply[1] if len(reply) == 10 else -1


def curl(server, *options):
    p = subprocess.run(["curl", "-sS", "--max-time", str(LIMIT)] +
                       [o.replace("PROXY", "%s:%d" % server.address)
                        for o in options], capture_output=True)
    return p.stdout if p.returncode == 0 else p.stderr


def same(got, wanted):
    return [] if got == wanted else ["it is %r, not %r" % (got[:200],
                                                           wanted[:200])]


def half_close(make):
    s = make()
    s.sendall(b"x" * 100000)
    s.shutdown(socket.SHUT_WR)
    return same(until_end(s), b"x" * 100000 + b"total 100000")


def refused_port():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return port


def malformed(server):
    wrong = []
    for text in (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"GET / HTTP/1.0\r\n",
                 b"\x05\x00", b"\x05\x01\x02", b"\x05\x01\x00\x04",
                 b"\x05\x01\x00\x05\x01\x00\x09",
                 b"\x05\x01\x00\x05\x01\x00\x03\x05a:b*c\x00\x50",
                 b"\x05\x01\x00\x05\x01\x00\x03\x04a\0bc\x00\x50",
                 b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50"):
        s = connect(server)
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        try:
            got = until_end(s)
        except ConnectionResetError:
            got = b""
        if b"\x05\x00\x00\x01" in got:
            wrong.append("%r was granted" % text)
        s.close()
    return wrong


def many(server, port, n):
    """So many at once, each with something of its own."""
    sockets = []
    for i in range(n):
        s, code = socks(server, port)
        if code != 0:
            return ["number %d got %d" % (i, code)]
        sockets.append(s)
    for i, s in enumerate(sockets):
        s.sendall(b"%d" % i)
        s.shutdown(socket.SHUT_WR)
    wrong = []
    for i, s in enumerate(sockets):
        text = b"%d" % i
        wrong += same(until_end(s), text + b"total %d" % len(text))
        s.close()
    return wrong[:3]


def test(workers):
    name = "%s worker%s: " % (workers, "s"[workers == "1":])
    web_port, echo_port = web(), listener(echo)
    url = "http://127.0.0.1:%d/" % web_port
    by_name = "http://localhost:%d/" % web_port
    digest = hashlib.md5(BULK).hexdigest().encode()

    forward = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--to",
                     "tcp:127.0.0.1:%d" % web_port, workers=workers)
    check(name + "curl, forwarded", same(
        curl(forward, "http://PROXY/"), b"through\n"))
    check(name + "a lot, forwarded", same(hashlib.md5(
        curl(forward, "http://PROXY/bulk")).hexdigest().encode(), digest))
    check(name + "the forwarder ends", forward.stop())

    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", workers=workers)
    check(name + "curl, by SOCKS5", same(
        curl(server, "-x", "socks5://PROXY", url), b"through\n"))
    check(name + "curl, by SOCKS5, a name", same(
        curl(server, "-x", "socks5h://PROXY", by_name), b"through\n"))
    check(name + "a lot comes down", same(hashlib.md5(curl(
        server, "-x", "socks5://PROXY", url + "bulk")).hexdigest().encode(),
        digest))
    with open("proxy_test.bulk", "wb") as f:
        f.write(BULK)
    check(name + "a lot goes up", same(curl(
        server, "-x", "socks5://PROXY", "-H", "Expect:", "--data-binary",
        "@proxy_test.bulk", url), digest))
    os.remove("proxy_test.bulk")
    check(name + "half a connection closes", half_close(
        lambda: socks(server, echo_port)[0]))
    s, code = socks(server, refused_port())
    check(name + "a target that refuses", [] if code == 5 else
          ["the reply is %d" % code])
    s.close()
    check(name + "malformed handshakes", malformed(server))
    s, code = socks(server, echo_port)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall(b"gone")
    s.close()
    check(name + "many at once", many(server, echo_port,
                                     1000 if SLOW == 1 else 40))
    idle, code = socks(server, echo_port)
    check(name + "it goes on", same(
        curl(server, "-x", "socks5://PROXY", url), b"through\n"))
    idle.close()
    check(name + "SIGTERM ends it", server.stop())
    check(name + "... that comes as soon as it listens", sum(
        [Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", workers=workers).stop()
         for _ in range(10)], []))

    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--drain", "0.2",
                    workers=workers)
    busy, code = socks(server, echo_port)
    wrong = server.stop()
    if not any("1 cut off" in line for line in server.out):
        wrong += ["nobody was cut off"] + server.out
    busy.close()
    check(name + "who does not end is cut off", wrong)
    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--drain", "0",
                    workers=workers)
    wrong = server.stop()
    if not any(" 0 cut off" in line for line in server.out):
        wrong += server.out
    check(name + "where there is nobody, nobody is cut off", wrong)

    server = Server(PROGRAM, "--listen", "tcp:127.0.0.1:0", "--connect", "0.3",
                    "--idle", "0.5", workers=workers)
    silent = connect(server)
    check(name + "a silent client is left", same(until_end(silent), b""))
    s, code = socks(server, echo_port)
    try:
        rest = until_end(s)
    except ConnectionResetError:
        rest = b""
    check(name + "a silent connection is ended", same(rest, b""))
    check(name + "and it ends", server.stop())


def usage():
    wrong = []
    for options in (["--max", "0"], ["--idle", "soon"], ["--move", "fast"],
                    ["--what"], ["rest"], ["--user", "a", "--to", "tcp:b:1"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM] + options,
                           capture_output=True, text=True)
        if p.returncode != 2 or not p.stderr:
            wrong.append("%s: status %d" % (options, p.returncode))
    p = subprocess.run(wrapper + ["./" + PROGRAM, "--listen", "tcp:nonsense"],
                       capture_output=True, text=True)
    if p.returncode != 1 or "proxy: tcp:nonsense: " not in p.stderr:
        wrong.append("a bad address: %d %s" % (p.returncode, p.stderr))
    return wrong


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
why = missing(PROGRAM)
if why:
    skip("proxy", why)
elif not shutil.which("curl"):
    skip("proxy", "no curl")
else:
    check("bad options are told", usage())
    for w in ("1", "4"):
        test(w)
