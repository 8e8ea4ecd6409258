#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""crawl_test.py - samples/apps/crawl on sites made for it."""
import http.server
import itertools
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
from server import missing
from tap import LIMIT, SLOW, check, skip, wrapper

PROGRAM = "samples/apps/crawl"
HUGE = 256 << 20			# bytes; more than memory() allows
# Where address space is not what is used of it, it cannot be limited.
NO_LIMIT = "-fsanitize" in os.environ.get("WEFT_BUILD_CFLAGS", "") or wrapper
over = threading.Event()		# ends the page that never ends


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages = {}
    asked = {}
    when = {}
    lock = threading.Lock()
    now = most = 0

    def give(self, status, body=b"", **headers):
        self.send_response(status)
        headers = {"Content_Type": "text/html", "Content_Length":
                   str(len(body)), **headers}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with self.lock:
            n = self.asked[self.path] = self.asked.get(self.path, 0) + 1
            self.when.setdefault(self.path, []).append(time.monotonic())
            Site.now += 1
            Site.most = max(Site.most, Site.now)
        try:
            self.page(n)
        except OSError:
            pass
        finally:
            with self.lock:
                Site.now -= 1

    def page(self, n):
        if self.path in self.pages:
            self.give(200, self.pages[self.path])
        elif self.path.startswith("/n/"):
            time.sleep(0.01)
            i = int(self.path[3:])
            self.give(200, b"".join(b'<a href="/n/%d">x</a>' % k for k in
                                    (2 * i, 2 * i + 1) if k < 128))
        elif self.path == "/moved":
            self.give(302, Location="/target")
        elif self.path.startswith("/move/"):
            self.give(302, Location="/" + "x" * int(self.path[6:]))
        elif self.path.startswith("/to/"):
            self.give(302, Location=self.path[4:])
        elif self.path.startswith("/turn/"):
            self.give(302, Location="/turn/%d" % ((int(self.path[6:]) + 1) % 3))
        elif self.path.startswith("/on/"):
            self.give(302, Location="%d" % (int(self.path[4:]) + 1))
        elif self.path == "/short":
            self.give(200, b"x" * 1000, Content_Length="2000")
            self.close_connection = True
        elif self.path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            time.sleep(0.05)
            self.give(200, b'<a href="/from-hints">')
        elif self.path == "/huge":
            self.give(200, b"", Content_Length=str(HUGE))
            for _ in range(HUGE >> 20):
                self.wfile.write(bytes(1 << 20))
        elif self.path == "/flaky":
            self.give(500 if n == 1 else 200)
        elif self.path.startswith("/broken"):
            self.give(503)
        elif self.path == "/chunked":
            self.give(200, Content_Length=None, Transfer_Encoding="chunked")
            for part in (b'<a hr', b'ef="/from-chunks">', b"</a>"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/until-close":
            self.give(200, b'<a href="from-close">', Content_Length=None,
                      Connection="close")
            self.close_connection = True
        elif self.path == "/endless":
            self.give(200, Content_Length="1000")
            over.wait(LIMIT)
        elif self.path == "/large":
            self.give(200, b"x" * 300000)
        elif self.path == "/deep":
            self.give(200, b"<div>" * 1900 + b'<a href="/from-deep">')
        else:
            self.give(404)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Server6(Server):
    address_family = socket.AF_INET6


def garbage():
    """A server that does not speak HTTP; its port."""
    s = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            c, _ = s.accept()
            c.recv(1000)
            c.sendall(b"SSH-2.0-nothing\r\n\r\n")
            c.close()

    threading.Thread(target=accept, daemon=True).start()
    return s.getsockname()[1]


def crawl(url, *options, workers="2"):
    """(status, {path: what was said of it}, the last line, stderr)"""
    p = subprocess.run(wrapper + ["./" + PROGRAM] + list(options) + [url],
                       capture_output=True, text=True, timeout=5 * LIMIT,
                       env=dict(os.environ, WEFT_WORKERS=workers))
    said, lines = {}, p.stdout.split("\n")[:-1]
    for line in lines[:-1]:
        m = re.match(r"(---|\d+ \d+) ([^ ]*?)(: .*| -> .*)?$", line)
        if not m or m[2] in said:
            said["?" + line] = line
            continue
        said[m[2]] = m[3][2:] if m[1] == "---" else \
            m[1].split()[0] + (m[3] or "")
    return p.returncode, said, lines[-1] if lines else "", p.stderr


def differ(got, want):
    return ["%s: %s, not %s" % (k, got.get(k), want.get(k))
            for k in sorted(set(got) | set(want)) if got.get(k) != want.get(k)]


def everything(base, workers, jobs):
    Site.asked = {}
    Site.pages = {
        "/": b"".join(b'<a href="%s">x</a>' % h for h in (
            b"/moved", b"flaky", b"/gone#there", b"./chunked", b"until-close",
            b"/a/b", b"/deep", b"/", b"http://127.0.0.1:1/off",
            b"https://127.0.0.1/tls", b"//example.org/x", b"mailto:a@b",
            b"javascript:void(0)", b"", b"#top", b"?q=1")),
        "/?q=1": b"", "/target": b"", "/from-chunks": b"", "/from-close": b"",
        "/from-deep": b"",
        "/a/b": b'<a href="c"></a><a href="../a/./d?x=/../y"></a>',
        "/a/c": b'<a href="b">', "/a/d?x=/../y": b'<a href="/../../a/c">'}
    status, said, last, err = crawl(base + "/", "--jobs", jobs, "--retries",
                                    "2", workers=workers)
    want = {p: "200" for p in Site.pages}
    want.update({"/moved": "302 -> /target", "/flaky": "200", "/gone": "404",
                 "/chunked": "200", "/until-close": "200", "/deep": "200"})
    wrong = differ(said, want)
    if status != 1 or err or ", 1 errors, " not in last:
        wrong += ["status %d: %s" % (status, last), err]
    wrong += ["%s was asked for %d times" % x for x in Site.asked.items()
              if x[1] != (2 if x[0] == "/flaky" else 1)]
    return wrong


def leads(base, first, hrefs, *paths):
    """Nothing but `paths` is fetched besides the first page, with its hrefs."""
    Site.pages = {first: b"".join(
        h if h.startswith(b"<") else b'<a href="%s">' % h for h in hrefs)}
    Site.pages.update((p, b"") for p in paths)
    status, said, last, err = crawl(base + first)
    wrong = differ(said, dict.fromkeys(Site.pages, "200"))
    return wrong if status == 0 and not err else \
        wrong + ["status %d: %s%s" % (status, last, err)]


def links(base):
    host = base[7:].encode()
    wrong = leads(
        base, "/d/e/page?x=0",
        (b"", b"#top", b" \t\n/blanks\r\n ", b"in\nside", b"a b", b"?y=1",
         b"?y=2#z", b"./", b"../", b"../../..", b"./f/./g/../h", b"k?l=/../m",
         b"//%s/same" % host, b"HTTP://%s/upper" % host, b"http://%s" % host,
         b"http://%s?q" % host, b"//example.org/x", b"//", b"http://",
         b"data:x", b"x-y:z", b"https://%s/tls" % host, b"\xc3\xa4", b"&amp;"),
        "/blanks", "/d/e/inside", "/d/e/a%20b", "/d/e/page?y=1",
        "/d/e/page?y=2", "/d/e/", "/d/", "/", "/d/e/f/h", "/d/e/k?l=/../m",
        "/same", "/upper", "/?q", "/d/e/%C3%A4", "/d/e/&")
    wrong += leads(base, "/base", (b'<base target="_top">',
                                   b'<base href=" c/d?e ">', b"f", b"/g", b"?h",
                                   b'<base href="/no/">', b"#i"),
                   "/c/f", "/g", "/c/d?h", "/c/d?e")
    for away in (b"//example.org/", b"https://%s/" % host):
        wrong += leads(base, "/away", (b'<base href="%s">' % away, b"a", b"/b",
                                       b"http://%s/c" % host), "/c")
    return wrong + leads(base, "/?only=query", (b"?1", b"#2"), "/?1")


def six(base):
    port = base.rsplit(":", 1)[1].encode()
    return leads(base, "/", (b"a", b"http://[::1]:%s/b" % port,
                             b"//[0:0:0::0:1]:%s/c" % port, b"http://[::1]/d",
                             b"http://[::2]:%s/e" % port, b"http://[::1"),
                 "/a", "/b", "/c")


def deep(base):
    """Pages that were made to hold or to break the parser."""
    ids = b"".join(b"<b id=%d>" % i for i in range(500))
    Site.pages = {
        "/div": b"<div>" * 160000, "/q": b"<q>" * 340000,
        "/unknown": b"<x-y>" * 100000, "/object": b"<q><object></q>" * 60000,
        # More than the count sees: elements made again and again, and late.
        "/again": b"<p>" + ids + b"</p><p>x" * 30000,
        "/late": b"<div><object></div></object>" * 70000,
        "/attributes": b"<a" + b"".join(b" a%d" % i for i in range(150000)),
        # Not deep, though there are many of them.
        "/flat": b"<p>x<li>y<br><IMG src=a><td>" * 3000 + b'<a href="/1">',
        "/script": b"<script>" + b"if(a<b)" * 9000 + b"</script>" +
                   b'<a href="/2">',
        "/svg": b"<svg>" + b'<path d="m0 0"/>' * 9000 + b"</svg>" +
                b'<a href="/3">',
        "/1": b"", "/2": b"", "/3": b"", "/4": b"<", "/5": b"</", "/6": b"<a",
        "/7": b"<!-- <a href='/no'>", "/8": b"\0</\0<\xff<a x='\0>"}
    Site.pages["/"] = b"".join(b"<a href='%s'>x</a>" % p.encode()
                               for p in list(Site.pages))
    status, said, last, err = crawl(base + "/", "--page-timeout", "2",
                                    "--max-size", "2e6")
    deeply, long = "too deeply nested", "takes too long to parse"
    want = dict.fromkeys(Site.pages, "200")
    want.update({"/div": deeply, "/q": deeply, "/unknown": deeply,
                 "/object": deeply, "/late": long, "/attributes": long,
                 "/again": os.strerror(12)})
    if said.get("/again") == long:
        want["/again"] = long
    wrong = differ(said, want)
    if status != 1 or ", 7 errors, " not in last or err:
        wrong.append("status %d: %s%s" % (status, last, err))
    return wrong


def held(base):
    """Also what the count does not see ends by the deadline of all."""
    wrong = []
    Site.pages = {
        "/late": b"<div><object></div></object>" * 35000,
        "/held": b"<q><object></q></object>" * 40000 + b"<b>" +
                 b"x" * 1000000}
    # With one job nobody waits when the time is over.
    for path, jobs in itertools.product(Site.pages, ("1", "8")):
        begin = time.monotonic()
        status, said, last, err = crawl(base + path, "--deadline", "0.5",
                                        "--max-size", "3e6", "--jobs", jobs,
                                        workers="1")
        took = time.monotonic() - begin
        if status != 3 or "out of time" not in last or took > 2 + SLOW:
            wrong.append("%s: %d: %s, %.1f s" % (path, status, last, took))
    return wrong


def failures(base, port):
    Site.pages = {"/": b'<a href="/endless"><a href="/large">'
                       b'<a href="/broken">'}
    status, said, last, err = crawl(
        base + "/", "--retries", "1", "--page-timeout", str(0.5 * min(SLOW, 4)),
        "--max-size", "100000")
    over.set()
    over.clear()
    wrong = differ(said, {"/": "200", "/endless": os.strerror(110),
                          "/large": os.strerror(90), "/broken": "503"})
    if status != 1 or ", 3 errors, " not in last:
        wrong.append("status %d: %s" % (status, last))
    if Site.asked.get("/broken") != 2 or Site.asked.get("/large") != 1:
        wrong.append("tries: %r" % Site.asked)
    for where, error in ((port, os.strerror(71)), (1, os.strerror(111))):
        status, said, last, err = crawl("http://127.0.0.1:%d/x" % where,
                                        "--retries", "1")
        if status != 1 or said != {"/x": error}:
            wrong.append("port %d: %d, %r" % (where, status, said))
    return wrong


def truncated(base):
    Site.asked = {}
    status, said, last, err = crawl(base + "/short", "--retries", "2")
    if status == 1 and said == {"/short": os.strerror(71)} and \
            Site.asked == {"/short": 3}:
        return []
    return ["status %d, %r, %r" % (status, said, Site.asked)]


def hints(base):
    Site.asked = {}
    status, said, last, err = crawl(base + "/hints")
    return [] if said == {"/hints": "200", "/from-hints": "404"} else \
        ["status %d, %r" % (status, said)]


def long_redirect(base):
    """One that was cut off at 1023 bytes once, and one that is too long."""
    Site.asked = {}
    long = "/" + "x" * 1500
    Site.pages = {"/": b'<a href="/move/1500"><a href="/move/3000">', long: b""}
    status, said, last, err = crawl(base + "/")
    wrong = differ(said, {"/": "200", "/move/1500": "302 -> " + long,
                          long: "200", "/move/3000":
                          "leads to a URL that is too long"})
    if status != 1 or len(Site.asked) != 4:
        wrong += ["status %d: %s" % (status, last), repr(Site.asked)]
    return wrong + ["%s was asked for %d times" % x
                    for x in Site.asked.items() if x[1] != 1]


def redirects(base):
    """No redirect leads away, and none without end."""
    wrong, endless = [], "redirects without end"
    away = ("http://127.0.0.1:1/a", "https://%s/b" % base[7:],
            "//example.org/c", "ftp:d")
    Site.pages = {"/": b"".join(b'<a href="/to/%s">' % a.encode()
                                for a in away)}
    status, said, last, err = crawl(base + "/")
    wrong += differ(said, {"/": "200", **{"/to/" + a: "302 -> " + a
                                          for a in away}})
    wrong += ["status %d: %s" % (status, last)] if status else []
    status, said, last, err = crawl(base + "/to/to")
    wrong += differ(said, {"/to/to": endless})
    Site.pages = {"/": b"".join(b'<a href="/turn/%d">' % i for i in range(3))}
    for jobs, first in (("1", "/turn/0"), ("1", "/"), ("3", "/")):
        status, said, last, err = crawl(base + first, "--jobs", jobs)
        if list(said.values()).count(endless) != 1 or status != 1 or \
                len(said) != 3 + (first == "/"):
            wrong.append("%s: %d: %r" % (first, status, said))
    Site.asked = {}
    status, said, last, err = crawl(base + "/on/0", "--depth", "0")
    wrong += differ(said, {"/on/10": endless, **{
        "/on/%d" % i: "302 -> %d" % (i + 1) for i in range(10)}})
    if status != 1 or len(Site.asked) != 11:
        wrong.append("status %d, %r" % (status, Site.asked))
    return wrong


def memory(base):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (HUGE, HUGE))

    p = subprocess.run(["./" + PROGRAM, "--max-size", "1e9", "--retries", "0",
                        "--workers", "1", base + "/huge"], capture_output=True,
                       text=True, preexec_fn=limit, timeout=LIMIT)
    if p.returncode != 1 or "--- /huge: " + os.strerror(12) not in p.stdout:
        return ["status %d: %s" % (p.returncode, p.stdout + p.stderr)]
    return []


def pauses(base):
    """Four at once: each waits longer and longer, and not all the same time."""
    paths = ["/broken/%d" % i for i in range(4)]
    Site.when = {}
    threads = [threading.Thread(target=crawl, args=(base + p,)) for p in paths]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    gaps = [[b - a for a, b in zip(Site.when[p], Site.when[p][1:])]
            for p in paths]
    wrong = ["%r" % g for g in gaps if len(g) != 3 or
             any(g[i] < 0.05 * 2 ** i for i in range(3))]
    if not wrong and all(max(g[i] for g in gaps) - min(g[i] for g in gaps) <
                         0.005 for i in range(3)):
        wrong.append("all wait the same time: %r" % gaps)
    return wrong


def bounds(base, workers):
    status, said, last, err = crawl(base + "/n/1", "--jobs", "4", "--depth",
                                    "20", workers=workers)
    wrong = differ(said, {"/n/%d" % i: "200" for i in range(1, 128)})
    if status != 0 or "crawl: 127 pages" not in last:
        wrong.append("status %d: %s" % (status, last))
    # The site's threads count down a little late; 8 is what it would be.
    if Site.most > 6:
        wrong.append("%d at a time" % Site.most)
    status, said, last, err = crawl(base + "/n/1", "--depth", "3")
    if len(said) != 15 or status != 0:
        wrong.append("depth 3: %d pages, status %d" % (len(said), status))
    status, said, last, err = crawl(base + "/n/1", "--max-pages", "10")
    if len(said) != 10 or status != 0:
        wrong.append("10 pages: %d, status %d" % (len(said), status))
    return wrong


def out_of_time(base):
    Site.pages = {"/": b'<a href="/endless">'}
    status, said, last, err = crawl(base + "/", "--deadline", "0.7")
    over.set()
    over.clear()
    return [] if status == 3 and "out of time" in last else \
        ["status %d: %s" % (status, last)]


def usage():
    wrong = []
    for options in (["--jobs", "0", "http://a"], ["--depth", "x", "http://a"],
                    ["--what", "http://a"], [], ["http://a", "http://b"],
                    ["ftp://a/"], ["http://"], ["http://a b/"],
                    ["http://u:p@a/"], ["https://a/"], ["http://[::1/"],
                    ["http://[a]/"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM] + options,
                           capture_output=True, text=True)
        if p.returncode != 2 or not p.stderr:
            wrong.append("%s: status %d" % (options, p.returncode))
    return wrong


why = missing(PROGRAM)
if why:
    skip("crawl", why)
else:
    site = Server(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    base = "http://127.0.0.1:%d" % site.server_address[1]
    check("bad options are told", usage())
    for w, jobs in (("1", "1"), ("1", "20"), ("4", "20")):
        check("%s workers, %s jobs: all kinds of pages and links" % (w, jobs),
              everything(base, w, jobs))
    check("links lead where they do in a browser", links(base))
    try:
        site6 = Server6(("::1", 0), Site)
    except OSError as e:
        skip("a host may be an address of IPv6", e)
    else:
        threading.Thread(target=site6.serve_forever, daemon=True).start()
        check("a host may be an address of IPv6",
              six("http://[::1]:%d" % site6.server_address[1]))
    check("pages that are made to hold the parser do not", deep(base))
    check("the deadline ends them", held(base))
    check("what fails is told, after so many tries",
          failures(base, garbage()))
    check("a body that ends too early is an error, and asked for again",
          truncated(base))
    check("an interim answer is not the answer", hints(base))
    check("a redirect is followed as it is, or told", long_redirect(base))
    check("redirects end, and stay on the site", redirects(base))
    check("the pauses between tries grow, and differ", pauses(base))
    if NO_LIMIT:
        skip("no memory for a body is told as that", "memory has no limit")
    else:
        check("no memory for a body is told as that", memory(base))
    for w in ("1", "4"):
        Site.most = 0
        check(w + " workers: bounds hold", bounds(base, w))
    check("the deadline ends it", out_of_time(base))
