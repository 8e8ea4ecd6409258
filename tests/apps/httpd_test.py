#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""httpd_test.py - samples/apps/httpd, asked by curl, wrk and bare sockets."""
import atexit
import email.utils
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lint"))
from tap import SLOW, check, skip, wrapper

PROGRAM = "samples/apps/httpd"
if PROGRAM not in os.environ.get("APPS", "").split():
    skip("httpd", "it is not built: no http_parser")
    sys.exit()

PATIENCE = 10 * SLOW            # a watchdog, never what is measured

top = tempfile.mkdtemp(prefix="httpd-")
root = os.path.join(top, "root")
os.makedirs(root + "/empty")
os.makedirs(root + "/sub")
atexit.register(shutil.rmtree, top)
LARGE = os.urandom(1 << 20) * 16
FILES = {"index.html": b"<h1>index</h1>\n", "a.txt": b"0123456789",
         "none": b"", "sub/with space&.css": b"p {}\n",
         "middle.png": os.urandom(60000), "large.bin": LARGE}
for name, content in FILES.items():
    with open(os.path.join(root, name), "wb") as f:
        f.write(content)
with open(top + "/secret", "w", encoding="utf-8") as f:
    f.write("secret")
os.symlink("../secret", root + "/out")
os.symlink("/etc/passwd", root + "/absolute")
os.symlink("a.txt", root + "/inside")
os.symlink("loop", root + "/loop")
os.mkfifo(root + "/fifo")


class Server:
    logs = 0

    def __init__(self, *args):
        Server.logs += 1
        self.log = os.path.join(top, "log%d" % Server.logs)
        self.process = subprocess.Popen(
            wrapper + ["./" + PROGRAM, "--root", root, "--listen",
                       "tcp:127.0.0.1:0", "--log", self.log, *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=-1)
        self.said = []
        self.port = 0
        for line in self.process.stderr:
            self.said.append(line.decode(errors="replace"))
            m = re.match(r"httpd: listening at tcp:127\.0\.0\.1:(\d+)$",
                         self.said[-1])
            if m:
                self.port = int(m.group(1))
                break
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            if not (wrapper and re.match(rb"--\d+-- ", line)):
                self.said.append(line.decode(errors="replace"))

    def connect(self, buffer=0):
        s = socket.socket()
        s.settimeout(PATIENCE)
        if buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        s.connect(("127.0.0.1", self.port))
        return s

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def end(self, sig=signal.SIGTERM):
        """What is wrong with how it ends."""
        if sig:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "none: it goes on"
        self.reader.join()
        self.process.stderr.close()
        return [] if code == 0 and len(self.said) == 1 else \
            ["exit status %s" % code] + self.said


class Closed(Exception):
    """The connection ended; args[0]: what had come of a reply."""


class Client:
    """A connection, and the replies on it."""

    def __init__(self, server, **more):
        self.socket = server.connect(**more)
        self.held = b""

    def send(self, data):
        self.socket.sendall(data)

    def fill(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(self.held)
        self.held += data

    def line(self):
        while b"\r\n" not in self.held:
            self.fill()
        line, self.held = self.held.split(b"\r\n", 1)
        return line.decode()

    def take(self, n):
        parts, left = [], n
        while left > len(self.held):
            parts.append(self.held)
            left -= len(self.held)
            self.held = b""
            self.fill()
        parts.append(self.held[:left])
        self.held = self.held[left:]
        return b"".join(parts)

    def rest(self):
        try:
            while True:
                self.fill()
        except Closed:
            rest, self.held = self.held, b""
            self.socket.close()
            return rest

    def chunks(self):
        parts = []
        while True:
            n = int(self.line(), 16)
            if n:
                parts.append(self.take(n))
            if self.line() != "":
                raise ValueError("a chunk without an end")
            if n == 0:
                return b"".join(parts)

    def reply(self, head=False):
        """(status, headers, body) of the next one."""
        m = re.fullmatch(r"HTTP/1\.1 (\d\d\d) [\w -]+", self.line())
        headers = {}
        while True:
            line = self.line()
            if not line:
                break
            name, value = line.split(": ", 1)
            headers[name] = value
        status = int(m.group(1))
        body = b""
        if status == 100:
            return self.reply(head)
        if not head and status != 304:
            if headers.get("Transfer-Encoding") == "chunked":
                body = self.chunks()
            elif "Content-Length" in headers:
                body = self.take(int(headers["Content-Length"]))
            else:
                body = self.rest()
        return status, headers, body

    def get(self, path, *lines, method="GET", body=b""):
        self.send(request(path, *lines, method=method, body=body))
        return self.reply(method == "HEAD")

    def closed(self):
        """What comes although the connection should end now."""
        rest = self.rest()
        return ["after it came %r" % rest[:200]] if rest else []


def request(path, *lines, method="GET", body=b""):
    head = ["%s %s HTTP/1.1" % (method, path), "Host: x", *lines]
    if body:
        head.append("Content-Length: %d" % len(body))
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


def same(got, want, what=""):
    return [] if got == want else \
        ["%s: %.300r, not %.300r" % (what, got, want)]


def curl(*args):
    return subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *args],
                          stdout=-1, stderr=subprocess.STDOUT).stdout


server = Server("--list", "--workers", "2", "--max-body", "200000")
# An emulator may not know openat2(2): then links are not followed.
links = Client(server).get("/inside")[0] == 200 or not wrapper

# --- files --------------------------------------------------------------------


def files():
    c, wrong = Client(server), []
    types = {"index.html": "text/html; charset=utf-8", "none":
             "application/octet-stream", "middle.png": "image/png",
             "a.txt": "text/plain; charset=utf-8"}
    for name, content in FILES.items():
        path = "/" + name.replace(" ", "%20")
        status, headers, body = c.get(path)
        wrong += same((status, body), (200, content), path)
        if name in types:
            wrong += same(headers["Content-Type"], types[name], path)
        again = c.get(path, method="HEAD")
        headers["Date"] = again[1]["Date"]
        wrong += same(again, (200, headers, b""), "HEAD " + path)
    wrong += same(c.get("/")[2], FILES["index.html"], "/")
    wrong += same(c.get("/?")[2], FILES["index.html"], "/?")
    wrong += same(c.get("/a.txt?")[2], FILES["a.txt"], "no query")
    wrong += same(c.get("http://x/a.txt?a=b")[2], FILES["a.txt"], "absolute")
    if links:
        wrong += same(c.get("/inside")[2], FILES["a.txt"], "a link inside")
    wrong += same(c.get("/sub")[:2][1].get("Location"), "/sub/", "Location")
    listing = c.get("/sub/")[2].decode()
    if 'href="./with%20space%26.css"' not in listing or \
            "with space&#38;.css<" not in listing:
        wrong.append(listing)
    return wrong


check("files, their types, HEAD, lists", files())


def outside():
    c, wrong = Client(server), []
    for path, want in (
            ("/../secret", 400), ("/sub/../../secret", 400),
            ("/%2e%2e/secret", 400), ("/..%2fsecret", 400),
            ("//../secret", 400), ("/sub/..%2f..%2f..%2fetc/passwd", 400),
            ("/out", 404), ("/absolute", 404), ("/loop", 404),
            ("/a.txt/", 404), ("/a.txt%00.html", 400), ("/%zz", 400),
            ("/%", 400), ("/fifo", 403), ("/nothing", 404),
            ("/" + "x" * 300, 404), ("/" + "x/" * 3000, 404),
            ("/sub/../a.txt", 200), ("/./sub/.././/a.txt", 200),
            ("/%61.txt", 200), ("/...", 404)):
        status, _, body = c.get(path)
        wrong += same(status, want, path)
        if b"secret" in body or b"root:" in body:
            wrong.append("%s gave %r" % (path, body))
    return wrong


check("no path leads out of the root", outside())


def ranges():
    c, wrong = Client(server), []
    tag = c.get("/a.txt")[1]["ETag"]
    date = c.get("/a.txt")[1]["Last-Modified"]
    for text, want in (
            ("bytes=0-3", b"0123"), ("bytes=4-", b"456789"),
            ("bytes=-3", b"789"), ("bytes=-99", b"0123456789"),
            ("bytes=9-9", b"9"), ("bytes=5-99999999999999999999", b"56789"),
            ("bytes=10-", None), ("bytes=-0", None),
            ("bytes=99999999999999999999-", None),
            ("bytes=3-2", 200), ("bytes=-", 200), ("bytes=a-b", 200),
            ("bytes=0-1,3-4", 200), ("lines=0-1", 200), ("bytes=--1", 200)):
        status, headers, body = c.get("/a.txt", "Range: " + text)
        if want is None:
            wrong += same((status, headers.get("Content-Range")),
                          (416, "bytes */10"), text)
        elif want == 200:
            wrong += same((status, body), (200, b"0123456789"), text)
        else:
            wrong += same((status, body), (206, want), text)
            at = b"0123456789".index(want)
            wrong += same(headers["Content-Range"], "bytes %d-%d/10" %
                          (at, at + len(want) - 1), text)
    some = c.get("/large.bin", "Range: bytes=1000000-9999999")
    wrong += same(some[2], LARGE[1000000:10000000], "of a large file")
    for valid, want in ((tag, 206), (date, 206), ('"x"', 200)):
        wrong += same(c.get("/a.txt", "Range: bytes=0-1",
                            "If-Range: " + valid)[0], want, valid)
    wrong += same(c.get("/none", "Range: bytes=0-")[0], 416, "of nothing")
    return wrong


check("ranges", ranges())


def conditions():
    c, wrong = Client(server), []
    headers = c.get("/a.txt")[1]
    tag, date = headers["ETag"], headers["Last-Modified"]
    old = email.utils.formatdate(0, usegmt=True)
    for lines, want in (
            (["If-None-Match: " + tag], 304), (["If-None-Match: *"], 304),
            (['If-None-Match: "a", W/%s' % tag], 304),
            (['If-None-Match: "a"'], 200),
            (["If-Modified-Since: " + date], 304),
            (["If-Modified-Since: " + old], 200),
            (["If-Modified-Since: yesterday"], 200),
            (['If-None-Match: "a"', "If-Modified-Since: " + date], 200)):
        status, headers, body = c.get("/a.txt", *lines)
        wrong += same(status, want, str(lines))
        if status == 304:
            wrong += same((headers.get("ETag"), body,
                           "Content-Length" in headers), (tag, b"", False))
    return wrong


check("If-None-Match, If-Modified-Since", conditions())

# --- functions ----------------------------------------------------------------


def functions():
    c, wrong = Client(server), []
    now = json.loads(c.get("/api/time")[2])
    if abs(now["unix"] - time.time()) > 60 * SLOW:
        wrong.append(str(now))
    stats = json.loads(c.get("/api/stats")[2])
    wrong += same(stats["workers"], 2, "workers")
    wrong += same(c.get("/api/echo", method="POST", body=b"x" * 200000)[2],
                  b"x" * 200000, "echo")
    lines = b"".join(b"%d\n" % i for i in range(20000))
    wrong += same(c.get("/api/stream?n=20000")[2], lines, "stream")
    wrong += same(c.get("/api/stream?n=3", method="HEAD")[0], 200, "HEAD")
    for path, method, want in (
            ("/api/none", "GET", 404), ("/api/time", "POST", 405),
            ("/api/echo", "GET", 405), ("/a.txt", "DELETE", 405),
            ("/api/stream?n=-1", "GET", 400), ("*", "OPTIONS", 405),
            ("/api/stream?n=x", "GET", 400)):
        wrong += same(c.get(path, method=method)[0], want, method + path)
    old = Client(server)
    old.send(b"GET /api/stream?n=3 HTTP/1.0\r\n\r\n")
    wrong += same(old.reply()[2], b"0\n1\n2\n", "a stream to HTTP/1.0")
    return wrong


check("functions", functions())


def bodies():
    wrong = []
    c = Client(server)
    head = request("/api/echo", "Transfer-Encoding: chunked", method="POST")
    for chunks in (b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n",
                   b"00002;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: trailer\r\n\r\n"):
        want = b"" if chunks[:1] == b"0" and chunks[1:2] != b"0" else b"hello"
        c.send(head + chunks)
        wrong += same(c.reply()[2], want, repr(chunks))
    c.send(head + b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n")
    wrong += same(c.reply()[2], b"x" * 20000, "many chunks")
    c.send(request("/api/echo", "Content-Length: 0", method="POST"))
    wrong += same(c.reply()[2], b"", "a length of 0")
    for byte in head + b"A\r\n0123456789\r\n0\r\n\r\n":
        c.send(bytes([byte]))
    wrong += same(c.reply()[2], b"0123456789", "a byte at a time")
    # A body that nobody wants is no request.
    wrong += same(c.get("/a.txt", body=request("/none"))[2], b"0123456789",
                  "GET with a body")
    wrong += same(c.get("/a.txt")[2], b"0123456789", "and after it")
    c.send(request("/api/echo", "Expect: 100-continue", "Content-Length: 2",
                   method="POST"))
    wrong += same(c.line(), "HTTP/1.1 100 Continue", "Expect")
    wrong += same(c.line(), "", "Expect")
    c.send(b"ok")
    wrong += same(c.reply()[2], b"ok", "after 100 Continue")
    return wrong


check("bodies, with a length and in chunks", bodies())

if shutil.which("curl"):
    def with_curl():
        wrong = []
        up = os.path.join(root, "middle.png")
        for args, want in (
                (["-T", up, "-X", "POST", "-H", "Transfer-Encoding: chunked",
                  server.url("/api/echo")], FILES["middle.png"]),
                (["--data-binary", "@" + up, "-H", "Expect: 100-continue",
                  server.url("/api/echo")], FILES["middle.png"]),
                ([server.url("/large.bin")], LARGE),
                (["-r", "5-6", server.url("/a.txt")], b"56"),
                (["-L", server.url("/sub/../a.txt"), server.url("/none"),
                  server.url("/a.txt")], b"0123456789" * 2),
                (["-0", server.url("/a.txt")], b"0123456789")):
            wrong += same(curl(*args), want, " ".join(args))
        return wrong
    check("curl", with_curl())
else:
    skip("curl", "it is not installed")

# --- connections --------------------------------------------------------------


def pipeline():
    wrong = []
    c = Client(server)
    want, data = [], b""
    for i in range(300):
        path, body, answer = [
            ("/a.txt", b"", b"0123456789"), ("/none", b"", b""),
            ("/api/echo", b"%d" % i, b"%d" % i),
            ("/api/stream?n=2", b"", b"0\n1\n"),
            ("/middle.png", b"", FILES["middle.png"])][i % 5]
        want.append(answer)
        data += request(path, method="POST" if body else "GET", body=body)
    sender = threading.Thread(target=c.send, args=(data,))
    sender.start()
    for i, answer in enumerate(want):
        wrong += same(c.reply()[2], answer, "reply %d" % i)
    sender.join()
    # What is complete is answered although the next is not.
    c.send(request("/a.txt") + b"GET /none HT")
    wrong += same(c.reply()[2], b"0123456789", "before half a request")
    c.send(b"TP/1.1\r\nHost: x\r\n\r\n")
    wrong += same(c.reply()[0], 200, "the other half")
    # Empty lines before a request; end of sending before the reply.
    c.send(b"\r\n\r\n\r\n" + request("/a.txt"))
    c.socket.shutdown(socket.SHUT_WR)
    wrong += same(c.reply()[2], b"0123456789", "after SHUT_WR")
    return wrong + c.closed()


check("pipelined requests are answered in order", pipeline())


def persistence():
    wrong = []
    for lines, version, stays in (
            ([], "1.1", True), (["Connection: close"], "1.1", False),
            ([], "1.0", False), (["Connection: keep-alive"], "1.0", True),
            (["Connection: upgrade", "Upgrade: h2c"], "1.1", True)):
        c = Client(server)
        data = request("/a.txt", *lines).replace(
            b"HTTP/1.1", b"HTTP/" + version.encode())
        c.send(data)
        status, headers, body = c.reply()
        wrong += same((status, body), (200, b"0123456789"), str(lines))
        wrong += same(headers.get("Connection"), None if version == "1.1" and
                      stays else "keep-alive" if stays else "close", version)
        if stays:
            wrong += same(c.get("/none")[0], 200, "again")
        else:
            wrong += c.closed()
    return wrong


check("keep-alive, and close", persistence())

POST = b"POST /api/echo HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /a.txt HTTP/1.1\r\n"
SMUGGLED = b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
malformed = [
    ("an unknown method", b"FETCH / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("a method in lower case", b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("no method", b" / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("binary", bytes(range(1, 256)) + b"\r\n\r\n", 400),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /\r\n\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("a version that is none", b"GET / HTTP/1.x\r\nHost: x\r\n\r\n", 505),
    ("no Host", GET + b"\r\n", 400),
    ("two Hosts", GET + b"Host: a\r\nHost: b\r\n\r\n", 400),
    ("CONNECT", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("a NUL in the URL", b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("a NUL in a value", GET + b"Host: x\r\nA: b\0c\r\n\r\n", 400),
    ("a NUL in a name", GET + b"Host: x\r\nA\0: b\r\n\r\n", 400),
    ("a blank before a colon",
     POST + b"Content-Length : 5\r\n\r\nhello", 400),
    ("a line without a colon", GET + b"Host: x\r\nnothing\r\n\r\n", 400),
    ("a folded line", GET + b"Host: x\r\nA: b\r\n c\r\n\r\n", 400),
    ("an empty folded line", GET + b"Host: x\r\nA:\r\n c\r\n\r\n", 400),
    ("lines that end in LF", GET + b"Host: x\nA: b\r\n\r\n", 400),
    ("a head that ends in LF LF",
     GET + b"Host: x\n\n" + SMUGGLED, 400),
    ("a CR alone", GET + b"Host: x\r\nA: b\rc: d\r\n\r\n", 400),
    ("a negative length", POST + b"Content-Length: -5\r\n\r\nhello", 400),
    ("a length with a sign", POST + b"Content-Length: +5\r\n\r\nhello", 400),
    ("a length in hex", POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    ("an empty length", POST + b"Content-Length:\r\n\r\nhello", 400),
    ("a length of 2^64 + 5",
     POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"
     b"hello" + SMUGGLED, 400),
    ("CL and TE", POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked"
     b"\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("TE and CL", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6"
     b"\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("TE that is not chunked",
     POST + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
    ("TE with chunked not last", POST + b"Transfer-Encoding: chunked, gzip"
     b"\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("TE of a name that is like it",
     POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("TE with a vertical tab",
     POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
     400),
    ("TE in HTTP/1.0", CHUNKED.replace(b"/1.1", b"/1.0") + b"0\r\n\r\n", 400),
    ("a chunk of no number", CHUNKED + b"x\r\nhello\r\n0\r\n\r\n", 400),
    ("a negative chunk", CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk of 0x5", CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk of 2^64 + 5",
     CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk longer than it says",
     CHUNKED + b"3\r\nhello\r\n0\r\n\r\n", 400),
    ("a chunk without CR LF after it",
     CHUNKED + b"5\r\nhelloXX0\r\n\r\n", 400),
    ("a chunk's size ends in LF",
     CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    ("a CR in a chunk's extension",
     CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    ("a line of a chunk without end", CHUNKED + b"5;" + b"x" * 9000, 400),
    ("an unknown Expect", POST + b"Expect: a miracle\r\n\r\n", 417),
    ("a large body", POST + b"Content-Length: 200001\r\n\r\n", 413),
    ("a large chunk", CHUNKED + b"30d41\r\n", 413),
    ("chunks that are large in all",
     CHUNKED + b"100\r\n" + b"x" * 256 + b"\r\n30d40\r\n", 413),
    ("a huge head", GET + b"Host: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431),
    ("many lines", GET + b"Host: x\r\n" + b"A: b\r\n" * 2000 + b"\r\n", 431),
    ("a huge URL", b"GET /" + b"x" * 9000, 431)]


def turned_down(data, want):
    c = Client(server)
    c.send(data)
    status, headers, _ = c.reply()
    return same((status, headers.get("Connection")), (want, "close")) + \
        c.closed()


for name, data, want in malformed:
    check("turned down: " + name, turned_down(data, want))


def cut():
    """Whatever is left out at the end, there is no reply, or one 4xx."""
    wrong = []
    data = CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"
    for n in range(len(data)):
        c = Client(server)
        c.send(data[:n])
        c.socket.shutdown(socket.SHUT_WR)
        wrong += same(c.rest(), b"", "%d bytes" % n)
    return wrong


check("half a request gets no reply", cut())


def vanish():
    def coroutines():
        c = Client(server)
        n = json.loads(c.get("/api/stats")[2])["coroutines"]
        c.socket.close()
        return n

    before = coroutines()
    for i in range(60):
        c = Client(server, buffer=4096)
        c.send(request(["/large.bin", "/api/stream?n=1000000",
                        "/api/stream?n=1000&ms=50"][i % 3]))
        c.socket.recv(100)
        if i % 2:       # a reset; the others go with bytes unread: likewise
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
        c.socket.close()
    end = time.monotonic() + PATIENCE
    while coroutines() > before:
        if time.monotonic() > end:
            return ["coroutines are left"]
        time.sleep(0.01)
    return []


check("clients that vanish leave nothing behind", vanish())


def thousand():
    n = 1000 if not wrapper else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < n + 100:
        return ["too few descriptors: ulimit -n"]
    clients = [Client(server) for _ in range(n)]
    wrong = []
    for _ in range(2):
        for c in clients:
            c.send(request("/a.txt"))
        for c in clients:
            wrong += same(c.reply()[2], b"0123456789")
    for c in clients:
        c.socket.close()
    return wrong[:5]


check("a thousand connections at once", thousand())

if shutil.which("wrk"):
    def with_wrk():
        wrong = []
        for path in "/api/time", "/middle.png":
            p = subprocess.run(["wrk", "-t1", "-c100", "-d1",
                                "--timeout", str(PATIENCE),
                                server.url(path)], stdout=-1, text=True)
            if p.returncode or re.search("Non-2xx|Socket errors", p.stdout):
                wrong.append(p.stdout)
        return wrong
    check("wrk", with_wrk())
else:
    skip("wrk", "it is not installed")

c = Client(server)
c.get('/a"b%0a\x80?q=\\', "Referer: http://r/", 'User-Agent: a"\\b')
c.socket.close()
c = Client(server)
c.send(b"nonsense\r\n\r\n")
c.rest()
check("it ends", server.end())
check("it ends if told so as soon as it listens",
      sum([Server().end() for _ in range(10)], []))
with open(server.log, encoding="ascii") as f:
    lines = f.read().splitlines()
combined = re.compile(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:'
                      r'\d\d:\d\d:\d\d \+0000\] "[!#-~ ]+" \d{3} \d+ '
                      r'"[!#-~ ]+" "[!#-~ ]+"')
want = [r'"GET /a\x22b%0a\x80?q=\x5C HTTP/1.1" 404 14 "http://r/" '
        r'"a\x22\x5Cb"', '"GET /large.bin HTTP/1.1" 200 16777216 "-" "-"']
check("the access log", [x for x in lines if not combined.fullmatch(x)][:5] +
      [x + " is missing" for x in want
       if not any(line.endswith(x) for line in lines)])

# --- deadlines and limits -----------------------------------------------------

server = Server("--head-timeout", "0.4", "--body-timeout", "0.4",
                "--idle-timeout", "0.4", "--send-timeout", "0.4")


def slow_clients():
    wrong = []
    c = Client(server)
    c.send(b"GET / HTTP/1.1\r\n")
    start = time.monotonic()
    ended = threading.Event()

    def drip():
        try:
            while not ended.wait(0.05):
                c.send(b"A: b\r\n")
        except OSError:
            pass

    t = threading.Thread(target=drip)
    t.start()
    wrong += same(c.reply()[0], 408, "a slow head")
    wrong += same(time.monotonic() - start > 0.39, True, "too early")
    ended.set()
    t.join()
    c.socket.close()
    c = Client(server)
    c.send(CHUNKED + b"5\r\nhel")
    wrong += same(c.reply()[0], 408, "a slow body") + c.closed()
    for data in b"", request("/a.txt"):
        c = Client(server)
        if data:
            c.send(data)
            c.reply()
        wrong += same(c.rest(), b"", "an idle connection")
    c = Client(server, buffer=4096)
    c.send(request("/large.bin"))
    # It gives up on us, as its log says; then there is no more to be read.
    sent, end = None, time.monotonic() + PATIENCE
    while not sent and time.monotonic() < end:
        time.sleep(0.02)
        with open(server.log, encoding="ascii") as f:
            sent = re.search(r'"GET /large.bin HTTP/1.1" 200 (\d+)',
                             f.read())
    wrong += same(bool(sent) and int(sent.group(1)) < len(LARGE), True,
                  "it goes on sending")
    try:
        wrong += same(len(c.rest()) < len(LARGE), True, "all of it came")
    except ConnectionResetError:
        pass
    return wrong


check("slow clients: heads, bodies, idle, replies", slow_clients())
check("it ends", server.end(signal.SIGINT))

server = Server("--max-connections", "2", "--max-requests", "3",
                "--max-head", "100", "--max-body", "3", "--workers", "1")


def limits():
    wrong = []
    first, second = Client(server), Client(server)
    for c in first, second:
        wrong += same(c.get("/a.txt")[0], 200)
    third = Client(server)
    third.send(request("/a.txt"))
    third.socket.settimeout(0.2)
    try:
        wrong.append("a third one was answered: %r" % (third.reply(),))
    except socket.timeout:
        pass
    third.socket.settimeout(PATIENCE)
    first.socket.close()
    wrong += same(third.reply()[0], 200, "the third one, later")
    wrong += same(third.get("/a.txt")[1].get("Connection"), None)
    wrong += same(third.get("/a.txt")[1].get("Connection"), "close")
    wrong += third.closed()
    wrong += same(second.get("/a.txt", "A: " + "b" * 100)[0], 431)
    wrong += second.closed()
    c = Client(server)
    wrong += same(c.get("/api/echo", method="POST", body=b"abc")[0], 200)
    wrong += same(c.get("/api/echo", method="POST", body=b"abcd")[0], 413)
    return wrong + c.closed()


check("limits of connections, requests, heads, bodies", limits())
check("it ends", server.end())

# --- the end ------------------------------------------------------------------


def end_under_load():
    """Each request gets a whole reply, or a clean end before its first byte;
    no reply that was begun is cut."""
    server = Server("--workers", "2")
    wrong, counts, started = [], [0, 0], threading.Semaphore(0)

    def client(paths):
        c, n = Client(server), 0
        while True:
            path, body = paths[n % len(paths)]
            n += 1
            try:
                c.send(request(path))
                status, headers, got = c.reply()
            except Closed as e:
                if e.args[0]:
                    wrong.append("%s was cut: %.100r" % (path, e.args[0]))
                counts[1] += 1
                return
            except BrokenPipeError:     # it had closed before we asked
                return
            except OSError as e:
                wrong.append("%s: %r" % (path, e))
                return
            counts[0] += 1
            if (status, got) != (200, body):
                wrong.append("%s: %s %.100r" % (path, status, got))
            if n == 5:
                started.release()
            if headers.get("Connection") == "close":
                wrong.extend(c.closed())
                return

    kinds = [[("/a.txt", b"0123456789"), ("/middle.png",
                                          FILES["middle.png"])],
             [("/large.bin", LARGE)],
             [("/api/stream?n=500", b"".join(b"%d\n" % i
                                             for i in range(500)))]]
    threads = [threading.Thread(target=client, args=(kinds[i % 3 if i % 4 == 0
                                                           else 0],))
               for i in range(16)]
    for t in threads:
        t.start()
    idle, fresh = Client(server), Client(server)
    idle.get("/a.txt")
    paused, half = Client(server), Client(server)
    paused.send(request("/api/stream?n=10&ms=100"))
    wrong += same(paused.line(), "HTTP/1.1 200 OK")
    half.send(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    wrong += same(half.line(), "HTTP/1.1 100 Continue")
    for _ in threads:
        started.acquire()
    server.process.send_signal(signal.SIGTERM)
    wrong += idle.closed() + fresh.closed()
    half.send(b"done")
    half.line()
    status, headers, body = half.reply()
    wrong += same((status, headers.get("Connection"), body),
                  (200, "close", b"done"), "the body that was on its way")
    while paused.line():
        pass
    wrong += same(paused.chunks(), b"".join(b"%d\n" % i for i in range(10)))
    for t in threads:
        t.join()
    print("# %d replies, %d clean ends" % tuple(counts))
    return wrong + server.end(None)


check("SIGTERM under load loses no reply", end_under_load())


def drain_deadline():
    server = Server("--drain-timeout", "0.3")
    c = Client(server, buffer=4096)
    c.send(request("/large.bin"))
    wrong = same(c.line(), "HTTP/1.1 200 OK")
    d = Client(server)
    d.send(request("/api/stream?n=100&ms=10000"))
    wrong += same(d.line(), "HTTP/1.1 200 OK")
    half = Client(server)
    half.send(b"GET / HTTP/1.1\r\n")
    return wrong + server.end()


check("the drain deadline ends what will not end", drain_deadline())


def stuck_log():
    """Nobody reads the log: a line is lost then, and the end comes still."""
    fifo = top + "/log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    server = Server("--log", fifo)
    c = Client(server)
    lost = "httpd: access log: Connection timed out\n"
    while lost not in server.said:
        c.get("/a.txt")
    said = server.end()
    os.close(reader)
    return [] if said[:1] == ["exit status 0"] and said[-1] == lost else said


check("a log that nobody reads does not hold up the end", stuck_log())


def says(code, text, *args):
    p = subprocess.run(wrapper + ["./" + PROGRAM, *args], stdout=-1,
                       stderr=subprocess.STDOUT, timeout=PATIENCE)
    return [] if p.returncode == code and text in p.stdout.decode() else \
        ["exit status %d" % p.returncode, p.stdout.decode()]


with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    address = "tcp:127.0.0.1:%d" % taken.getsockname()[1]
    for name, wrong in (
            ("--help", says(0, "--drain-timeout SEC", "--help")),
            ("an unknown option", says(2, "usage:", "--none")),
            ("an argument", says(2, "usage:", "x")),
            ("no number", says(2, "--workers: a number from 1 to 256, not "
                               "'x'", "--workers", "x")),
            ("half a connection", says(2, "not '1.5'", "--max-connections",
                                       "1.5")),
            ("no time", says(2, "not 'nan'", "--idle-timeout", "nan")),
            ("no root", says(1, "/none: No such file", "--root", "/none")),
            ("a root that is a file", says(1, "Not a directory", "--root",
                                           root + "/a.txt")),
            ("a log in no place", says(1, "No such file", "--log",
                                       "/none/log")),
            ("no address", says(1, "nonsense: Invalid argument", "--listen",
                                "nonsense")),
            ("an address in use", says(1, "Address already in use",
                                       "--listen", address, "--quiet"))):
        check("it says what is wrong: " + name, wrong)
