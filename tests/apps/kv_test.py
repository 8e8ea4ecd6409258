#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kv_test.py - drives samples/apps/kv with redis-cli, redis-benchmark and raw
sockets; where a Redis is installed, both must answer the same bytes."""
import os
import random
import re
import select
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
from server import Server, missing
from tap import LIMIT, check, skip, wrapper

PROGRAM = "samples/apps/kv"


# --- what is driven ----------------------------------------------------------

class Kv(Server):
    def __init__(self, *options):
        super().__init__(PROGRAM, "--listen", "tcp:127.0.0.1:0", *options)
        self.cli = ["-p", str(self.address[1])]

    def stop(self):
        """(what is wrong with its end, what it wrote to stderr)"""
        wrong = super().stop(silent=False)
        return wrong, "".join(self.err)


class Redis:
    """On a socket in a directory of its own, so no port is needed."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.address = os.path.join(self.dir.name, "s")
        self.cli = ["-s", self.address]
        self.p = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.address,
             "--save", "", "--appendonly", "no", "--dir", self.dir.name],
            stdout=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT
        while not os.path.exists(self.address):
            if self.p.poll() is not None or time.monotonic() > end:
                raise RuntimeError("redis-server does not start")
            time.sleep(0.01)

    def stop(self):
        self.p.terminate()
        self.p.wait()
        self.dir.cleanup()


class Client:
    def __init__(self, server, receive_buffer=0):
        family = socket.AF_UNIX if isinstance(server.address, str) else \
            socket.AF_INET
        self.s = socket.socket(family)
        if receive_buffer:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                              receive_buffer)
        self.s.settimeout(LIMIT)
        self.s.connect(server.address)
        self.got = b""

    def send(self, *words):
        self.s.sendall(request(*words))

    def more(self):
        data = self.s.recv(1 << 16)
        self.got += data
        return len(data) > 0

    def take(self, n):
        while len(self.got) < n:
            if not self.more():
                raise EOFError
        data, self.got = self.got[:n], self.got[n:]
        return data

    def line(self):
        while b"\r\n" not in self.got:
            if not self.more():
                raise EOFError
        return self.take(self.got.index(b"\r\n") + 2)[:-2]

    def reply(self):
        head = self.line()
        n = int(head[1:]) if head[:1] in b"*$:" else 0
        if head[:1] == b"*":
            return [self.reply() for _ in range(n)] if n >= 0 else None
        if head[:1] == b"$":
            return self.take(n + 2)[:-2] if n >= 0 else None
        return n if head[:1] == b":" else head

    def ask(self, *words):
        self.send(*words)
        return self.reply()

    def rest(self):
        """Everything up to the end."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            self.got += b"<reset>"
        return self.got

    def close(self):
        self.s.close()


def request(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def exchange(server, data):
    """What comes back, up to the end or to a mark that is asked for.  What is
    too long for the servers gets none, as it might become a part of it."""
    mark = b"$9\r\nthe mark!\r\n"
    c = Client(server)
    try:
        c.s.sendall(data if len(data) > 1 << 16 else
                    data + request("ping", "the mark!"))
        while mark not in c.got and c.more():
            pass
    except (ConnectionResetError, BrokenPipeError):
        pass
    except TimeoutError:
        c.got += b"<nothing more>"
    got = c.got
    c.close()
    return got


def until(what, condition):
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return ["still not: " + what]
        time.sleep(0.02)
    return []


def equal(what, got, want):
    return [] if got == want else \
        ["%s: %.300r, not %.300r" % (what, got, want)]


# --- the same as Redis -------------------------------------------------------

RAW = [
    b"*-5\r\n", b"*0\r\n", b"*x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$536870913\r\n",
    b"*1\r\n:5\r\n", b"*1\r\n$4\r\nPINGxx", b"\r\nPING\r\n", b"PING\n",
    b'SET a "b\\x41\\n\\xzz\\q"\r\nGET a\r\n', b"set 'a\\'' b\r\nget \"a'\"\r\n",
    b'SET a "b\r\n', b"get a b\r\n", b"a" * 70000, b"*1\r\n$" + b"1" * 70000,
    b"*" + b"1" * 70000, b"*\r\n", b"*1\r\n$\r\n\r\n", b"* 1\r\n", b"*+1\r\n",
    b"*01\r\n", b"*99999999999999999999\r\n", b"*-\r\n", b"*2147483648\r\n",
    b"*1\r\n$99999999999999999999\r\n", b"*1\nx$4\r\nPING\r\n", b"*1\r\n$04\r\n",
    b"PING 'a'b\r\n", b"'pi'\r\n", b'"" a\r\n', b"  ping   x  \r\n", b"$3\r\n",
    b"*1\r\n$0\r\n\r\n", b"*1\r\n$3\r\n\0\0\0\r\n", b"*1\r\n\r\n", b"*2\r\n$4\r\n"
    b"ECHO\r\n$3\r\na\0b\r\n", b"*1\r\n$4\r\nge\0t\r\n", b"*1\r\n$-0\r\n",
    b"SUBSCRIBE a\r\nget x\r\nSUBSCRIBE\r\n*1\r\nhello\r\n",
]
ONE_BY_ONE = """
get|foo bar|FOO a b c|set a b PX 0|set a b EX -1|set a b EX x|set a b foo
set a b NX XX|set a b EX|set a b EX 5 PX 5|set a b NX GET|set n 5|incr n
incrby n x|set s abc|incr s|incrby n 9223372036854775807|decr n|get n
decrby n 2|decrby n -9223372036854775808|incrby new 7|decrby new2 7|get new2
set m -9223372036854775808|decr m|set m 007|incr m|set m -0|incr m
lpush l a b c|lrange l 0 -1|lrange l x y|lrange l -100 100|lrange l 1 1
lrange l 2 1|lrange l -2 -1|lrange l 5 9|get l|incr l|append l x|strlen l
set l x GET|lpop l 2|lpop l -1|lpop l x|rpop l 0|lpop nol|lpop nol 2|rpop l
lpop l|exists l|rpush l 1 2 3|lpush l 0|rpop l 2|llen l|set l x XX|get l
rpush s x|llen s|lrange s 0 1|expire n x|expire n 100|ttl n|persist n
persist n|ttl n|ttl none|pttl none|expire n 9223372036854775807
expire n 9223372036854776|pexpire n 9223372036854775807|expire n -1|exists n
pexpire none 10|expire s 10 foo|set s abcd KEEPTTL|expire s 50
set s x KEEPTTL|ttl s|set s y|ttl s|set s y PX 9000000|ttl s|append s z|ttl s
type s|type l2|type l|mget s l nope|mset a|mset a 1 b|mset a 1 b 2 a 3
mget a b|exists a a b c|del a a b c|del a|dbsize|keys|keys x*x|append ap x
append ap yz|strlen ap|strlen none|getx ap|type a b|flushall foo|flushall ASYNC
dbsize|flushall|flushall async sync|select 0|select 16|select x|config get save
config get appendonly|config get maxclients foo|config get *fooo|config
config foo|config get|command foo|client|client setname a|client setname
client id x|client foo|client getname|hello 4|hello x|hello 2 foo|ping a
ping a b|echo|quit|quit a|publish a|publish a b|subscribe|unsubscribe
unsubscribe a b|decr|lpush l|pexpire s 99999999999999999999
set a b px 9223372036854775807|set a b ex 9223372036854775807
client setname x\ty|ping
"""
TOGETHER = [
    ["subscribe a b", "get x", "ping", "ping x", "unsubscribe a",
     "unsubscribe", "get x", "set x"],
    ["subscribe a a", "unsubscribe zz", "publish a b", "quit", "ping"],
    ["subscribe a", "ping a b", "foo", "get"],
    ["client setname me", "client getname", "client setname", "client getname"],
]
SESSION = """set greeting hello
get greeting
append greeting " world"
get greeting
strlen greeting
set greeting x nx
set greeting "two\\nlines" xx get
get greeting
incr count
incrby count 41
decr count
get nothing
mset a 1 b 2 c 3
mget a b nothing c
rpush l one two three
lpush l zero
lrange l 0 -1
lpop l
rpop l 5
type a
exists a b nothing
expire a 100
ttl a
persist a
ttl a
get l
lpush a x
nonsense a b
get
del a b c
ping
echo "quoted \\x41 text"
dbsize
set bin "\\x00\\xff"
get bin
flushall
dbsize
"""


def words(text):
    return [line.split(" ") for line in text.strip().replace("\n", "|").split("|")]


def same_bytes(kv, redis):
    wrong = []
    for data in [request("flushall")] + RAW + \
            [request(*w) for w in words(ONE_BY_ONE)] + \
            [b"".join(request(*w.split(" ")) for w in t) for t in TOGETHER]:
        wrong += equal("%.60r" % data, exchange(kv, data),
                       exchange(redis, data))
    return wrong


def same_globs(kv, redis):
    """Which of many keys match, in any order."""
    names = ["a", "b", "ab", "abc", "aabb", "a*", "a?c", "[a]", "a-c", "^",
             "\\", "aXbXc", "hello", "hallo", "hxllo", "hllo", "heeello"]
    patterns = ["*", "?", "a*", "*c", "a*c", "a?c", "a\\*", "[ab]", "[^a]",
                "[a-b]*", "[b-a]", "h[ae]llo", "h[^e]llo", "h*llo", "*b*c",
                "a**", "[", "[a", "\\", "\\\\", "", "**", "*?", "[a\\]]", "^"]
    wrong = []
    for server in kv, redis:
        c = Client(server)
        for n in names:
            c.ask("set", n, 1)
        c.close()
    a, b = Client(kv), Client(redis)
    for p in patterns:
        wrong += equal("keys " + p, sorted(a.ask("keys", p)),
                       sorted(b.ask("keys", p)))
    a.close()
    b.close()
    return wrong


def cli(server, *options):
    p = subprocess.run(["redis-cli", *server.cli, *options], input=SESSION,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", timeout=LIMIT)
    return p.returncode, p.stdout


def same_sessions(kv, redis):
    wrong = []
    for option in "--raw", "--no-raw", "--csv":
        wrong += equal("redis-cli " + option, cli(kv, option),
                       cli(redis, option))
    return wrong


def benchmark(kv):
    wrong = []
    tests = "ping,set,get,incr,lpush,rpush,lpop,rpop,lrange_100,mset"
    for pipeline in "1", "16":
        p = subprocess.run(
            ["redis-benchmark", *kv.cli, "-q", "-n", "2000", "-c", "20", "-r",
             "1000", "-P", pipeline, "-t", tests], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
        n = p.stdout.count("requests per second")
        if p.returncode or n != 12 or re.search("error", p.stdout, re.I):
            wrong += ["status %d, %d results:" % (p.returncode, n), p.stdout]
    return wrong


# --- hard clients ------------------------------------------------------------

def byte_by_byte(kv):
    c = Client(kv)
    c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for b in request("set", "slow", "x\r\ny") + b"get slow\r\n":
        c.s.sendall(bytes([b]))
    wrong = equal("answers", [c.reply(), c.reply()], [b"+OK", b"x\r\ny"])
    c.close()
    return wrong


def in_pieces(kv):
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    values = [dice.randbytes(dice.choice((0, 1, 10, 5000, 70000)))
              for _ in range(60)]
    data = b"".join(request("set", "p%d" % (i % 7), v) +
                    request("get", "p%d" % (i % 7))
                    for i, v in enumerate(values))
    c = Client(kv)

    def send():
        at = 0
        while at < len(data):
            n = dice.choice((1, 7, 100, 4096, 30000))
            c.s.sendall(data[at:at + n])
            at += n

    sender = threading.Thread(target=send)
    sender.start()
    wrong = []
    for v in values:
        wrong += equal("seed %d" % seed, [c.reply(), c.reply()], [b"+OK", v])
    sender.join()
    c.close()
    return wrong[:3]


def nul_in_a_name(kv):
    """Redis takes a name with a NUL behind it for the command where their
    hashes happen to meet (5 of 3000 names, 7.0.15): it is not asked."""
    c = Client(kv)
    wrong = equal("get and a NUL", c.ask(b"get\0"),
                  b"-ERR unknown command 'get', with args beginning with: ")
    c.close()
    return wrong


def garbage(kv):
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    good = request("set", "g", "value") + request("get", "g")
    for _ in range(100):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            at = dice.randrange(len(data))
            data[at:at + dice.randrange(3)] = dice.choice((
                dice.randbytes(3), b"\r\n", b"*", b"$", b"-1", b"\0", b"9"))
        c = Client(kv)
        c.s.sendall(bytes(data))
        c.s.shutdown(socket.SHUT_WR)
        c.rest()
        c.close()
    c = Client(kv)
    wrong = equal("seed %d, ping" % seed, c.ask("ping"), b"+PONG")
    c.close()
    return wrong


def clients_of(c):
    return int(re.search(rb"connected_clients:(\d+)", c.ask("info"))[1])


def vanishing(kv):
    for i in range(60):
        c = Client(kv)
        c.s.sendall((b"*2\r\n$3\r\nget\r\n$50\r\nab", request("ping") * 50,
                     request("subscribe", "v") + b"*1")[i % 3])
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                       struct.pack("ii", 1, 0))
        c.close()
    c = Client(kv)
    wrong = until("they have left", lambda: clients_of(c) == 1)
    wrong += equal("publish", c.ask("publish", "v", "x"), 0)
    c.close()
    return wrong


def thousand(kv):
    all_of = [Client(kv) for _ in range(1000)]
    for i, c in enumerate(all_of):
        c.send("set", "t%d" % i, i)
        c.send("get", "t%d" % i)
    wrong = []
    for i, c in enumerate(all_of):
        wrong += equal("client %d" % i, [c.reply(), c.reply()],
                       [b"+OK", str(i).encode()])
    wrong += equal("clients", clients_of(all_of[0]), 1000)
    for c in all_of:
        c.close()
    return wrong[:5]


def long_pipeline(kv):
    """Twenty megabytes of answers before the first is read."""
    c = Client(kv)
    value = b"v" * 1000
    c.ask("set", "long", value)
    n = 20000
    got = []
    reader = threading.Thread(
        target=lambda: got.extend(c.reply() for _ in range(n)))
    sent = 0
    data = request("get", "long") * n
    # All that it takes; what it does not take waits until we read.
    c.s.setblocking(False)
    while sent < len(data) and select.select([], [c.s], [], 0.5)[1]:
        try:
            sent += c.s.send(data[sent:sent + (1 << 16)])
        except BlockingIOError:
            pass
    c.s.settimeout(LIMIT)
    reader.start()
    c.s.sendall(data[sent:])
    reader.join()
    wrong = equal("answers", (len(got), set(got)), (n, {value}))
    c.close()
    return wrong


def together(kv):
    """What several keys are set to at once is never seen half."""
    wrong, n, per = [], 8, 150
    pairs = ["m%d" % i for i in range(10)]

    def work(k):
        c = Client(kv)
        for i in range(per):
            order = random.sample(pairs, len(pairs))
            c.send("mset", *[x for p in order for x in (p, "%d-%d" % (k, i))])
            c.send("mget", *pairs)
            c.send("incr", "total")
        for i in range(per):
            c.reply()
            seen = c.reply()
            c.reply()
            if len(set(seen)) != 1:
                wrong.append("seen: %r" % seen)
        c.close()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    c = Client(kv)
    wrong += equal("total", c.ask("get", "total"), str(n * per).encode())
    c.close()
    return wrong[:5]


# --- time and messages -------------------------------------------------------

def expiry(kv):
    c = Client(kv)
    c.ask("flushall")
    c.ask("set", "gone", "x", "px", 1)
    c.ask("set", "stays", "x", "ex", 1000)
    for i in range(500):
        c.send("set", "e%d" % i, i, "px", i % 50 + 1)
    for i in range(500):
        c.reply()
    wrong = until("it is gone", lambda: c.ask("get", "gone") is None)
    left = c.ask("pttl", "stays")
    if not 0 < left <= 1000000:
        wrong.append("pttl %d" % left)
    # Nobody asks for the others: the sweep takes them.
    wrong += until("they are swept", lambda: c.ask("dbsize") == 1)
    c.close()
    return wrong


def messages(kv):
    subs = [Client(kv) for _ in range(20)]
    wrong = []
    for s in subs:
        s.send("subscribe", "news", "more")
        wrong += equal("subscribe", [s.reply(), s.reply()],
                       [[b"subscribe", b"news", 1], [b"subscribe", b"more", 2]])
    c = Client(kv)
    for i in range(100):
        c.send("publish", ("news", "more")[i % 2], i)
    wrong += equal("receivers", {c.reply() for _ in range(100)}, {20})
    for s in subs:
        want = [[b"message", (b"news", b"more")[i % 2], str(i).encode()]
                for i in range(100)]
        wrong += equal("messages", [s.reply() for _ in range(100)], want)
        s.send("unsubscribe", "news")
        wrong += equal("unsubscribe", s.reply(), [b"unsubscribe", b"news", 1])
    wrong += equal("publish", c.ask("publish", "news", "x"), 0)
    for s in subs[10:]:
        s.close()
    wrong += until("ten are left",
                   lambda: c.ask("publish", "more", "x") == 10)
    for s in subs[:10] + [c]:
        s.close()
    return wrong[:5]


def slow_subscriber(workers):
    kv = Kv("--workers", workers, "--max-backlog", "1m")
    slow, quick, c = Client(kv, 4096), Client(kv), Client(kv)
    wrong = []
    for s in slow, quick:
        s.send("subscribe", "news")
        s.reply()
    text, n, counts = "x" * 10000, 0, []
    while n < 5000 and counts[-1:] != [1]:
        counts.append(c.ask("publish", "news", text))
        n += 1
        wrong += equal("message", quick.reply(),
                       [b"message", b"news", text.encode()])
    wrong += equal("receivers at last", counts[-1:], [1])
    if len(slow.rest()) >= n * 10000:
        wrong.append("the slow one got everything")
    for s in slow, quick, c:
        s.close()
    end, log = kv.stop()
    if "too slow a subscriber" not in log:
        wrong.append("no line about it: " + log)
    return wrong[:5] + end


# --- limits and the end ------------------------------------------------------

def until_in(c, what):
    while what not in c.got:
        if not c.more():
            return ["it ended before %r" % what]
    c.got = c.got[c.got.index(what) + len(what):]
    return []


def limits(workers):
    kv = Kv("--workers", workers, "--max-clients", "3", "--max-bulk", "1k",
            "--max-request", "64k", "--max-output", "100k")
    wrong = []
    some = [Client(kv) for _ in range(3)]
    for c in some:
        c.ask("ping")
    last = Client(kv)
    wrong += equal("the fourth", last.rest(),
                   b"-ERR max number of clients reached\r\n")
    last.close()
    a, b, c = some
    a.s.sendall(b"*1\r\n$1025\r\n")
    wrong += equal("bulk", a.rest(),
                   b"-ERR Protocol error: invalid bulk length\r\n")
    a.close()
    wrong += equal("set", b.ask("set", "k", "v" * 1024), b"+OK")
    wrong += equal("append", b.ask("append", "k", "v"), b"-ERR string exceeds "
                   b"maximum allowed size (proto-max-bulk-len)")
    # The server may be done with the request before we have sent all of it.
    for n in 0, 512:
        b.send("subscribe", *["t%d" % i for i in range(n, n + 512)])
        wrong += until_in(b, b"\r\n:%d\r\n" % (n + 512))
    b.got = b""
    b.send("subscribe", "one-more")
    wrong += until_in(b, b"-ERR too many topics\r\n")
    b.send("unsubscribe", *["t0"] * 1025)
    wrong += until_in(b, b"-ERR too many topics\r\n")
    b.send("unsubscribe")
    wrong += until_in(b, b"\r\n:0\r\n")
    try:
        c.send("mset", *["v" * 1000] * 200)
    except (BrokenPipeError, ConnectionResetError):
        pass
    if b"too big request" not in c.rest():
        wrong.append("a large request: %.100r" % c.got)
    c.close()
    b.send("mget", *["k"] * 110)
    wrong += equal("a large answer", b.rest(), b"")
    b.close()
    end, log = kv.stop()
    for text in "an answer is too large", "a request is too large":
        if text not in log:
            wrong.append("no line that says " + text)
    return wrong + end


def idle(workers):
    kv = Kv("--workers", workers, "--timeout", "1")
    quiet, sub = Client(kv), Client(kv)
    sub.send("subscribe", "a")
    sub.reply()
    wrong = equal("a quiet one", quiet.rest(), b"")
    c = Client(kv)
    wrong += equal("publish", c.ask("publish", "a", "x"), 1)
    for s in quiet, sub, c:
        s.close()
    return wrong + kv.stop()[0]


def under_load(workers):
    """What was answered when SIGTERM came is what was carried out."""
    kv = Kv("--workers", workers)
    answers, wrong, lock = [], [], threading.Lock()
    warm = threading.Semaphore(0)

    def work(k):
        c, n, total = Client(kv), 0, 0
        try:
            while True:
                c.s.sendall(request("incr", "c%d" % k) * (1 + k))
                for _ in range(1 + k):
                    n = c.reply()
                    total += 1
                    if n != total:
                        raise ValueError("%r after %d" % (n, total - 1))
                if total > 200:
                    warm.release()
        except (EOFError, BrokenPipeError):
            pass
        except Exception as e:
            wrong.append("client %d: %r" % (k, e))
        # A write that failed leaves answers that were sent before.
        try:
            while True:
                total += c.reply() is not None
        except (EOFError, ConnectionResetError):
            pass
        if c.got:
            wrong.append("half an answer: %r" % c.got)
        with lock:
            answers.append(total)
        warm.release()
        c.close()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        warm.acquire()
    end, log = kv.stop()
    for t in threads:
        t.join()
    served = re.search(r"served (\d+) requests of (\d+) connections", log)
    if not served:
        return wrong + end + ["it does not say what it served", log]
    wrong += equal("answers that came", sum(answers), int(served[1]))
    return wrong + end


def bad_options():
    wrong = []
    for words in (["--nonsense"], ["--workers", "x"], ["--max-bulk", "1q"],
                  ["--max-bulk", "0"], ["--timeout", "-1"], ["extra"],
                  ["--listen", "tcp"], ["--listen", "tcp:127.0.0.1:x"]):
        p = subprocess.run(wrapper + ["./" + PROGRAM, *words], timeout=LIMIT,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if p.returncode == 0 or not p.stderr:
            wrong.append("%r: status %d" % (words, p.returncode))
    return wrong


def parser():
    """Random requests in random pieces; it prints its seed."""
    p = subprocess.run(wrapper + ["tests/apps/kv_resp_fuzz"], timeout=LIMIT,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    return [] if p.returncode == 0 else \
        ["status %d" % p.returncode, p.stdout]


def main():
    names = ["the same bytes as Redis", "the same globs as Redis",
             "the same sessions of redis-cli as Redis", "redis-benchmark"]
    tools = ["redis-server", "redis-server", "redis-server redis-cli",
             "redis-benchmark"]
    for workers in "1", "4":
        kv = Kv("--workers", workers)
        redis = Redis() if shutil.which("redis-server") else None
        for name, tool, test in zip(names, tools, (
                lambda: same_bytes(kv, redis), lambda: same_globs(kv, redis),
                lambda: same_sessions(kv, redis), lambda: benchmark(kv))):
            name += ", workers: " + workers
            lacks = [t for t in tool.split() if not shutil.which(t)]
            if lacks:
                skip(name, "no " + " ".join(lacks))
            else:
                check(name, test())
        if redis:
            redis.stop()
        for test in (byte_by_byte, in_pieces, nul_in_a_name, garbage,
                     vanishing, thousand, long_pipeline, together,
                     expiry, messages):
            check("%s, workers: %s" % (test.__name__, workers), test(kv))
        check("it ends on SIGTERM, workers: " + workers, kv.stop()[0])
        check("... that comes as soon as it listens, workers: " + workers,
              sum([Kv("--workers", workers).stop()[0] for _ in range(10)], []))
        for test in slow_subscriber, limits, idle, under_load:
            check("%s, workers: %s" % (test.__name__, workers), test(workers))
    check("bad options are refused", bad_options())
    if os.path.exists("tests/apps/kv_resp_fuzz"):
        check("any requests in any pieces", parser())
    else:
        skip("any requests in any pieces", "tests/apps/kv_resp_fuzz is not "
             "built")


why = missing(PROGRAM)
if why:
    skip("kv", why)
else:
    main()
