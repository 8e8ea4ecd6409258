# SPDX-License-Identifier: MIT
"""plan.py - what bench/run asks, of whom, how much of it, and what is hoped
for: questions, goals, peers."""

# A question is a program of bench/ and an argument of compare/'s programs.
#
#   short, full   -n
#   k             -k
#   workers       the numbers of workers it is asked for
#   suffix        added to its metrics, where one program answers several
#   runs          how many in a short measurement, where it takes long
#   only          peers that are asked; None: all that know it
#   give          {peer: -n}, where a peer cannot do as much


def question(program, short, full, k=1, workers=(1,), suffix="", runs=None,
             only=None, give=None):
    return {"program": program, "short": short, "full": full, "k": k,
            "workers": workers, "suffix": suffix, "runs": runs,
            "only": only, "give": give or {}}


BOTH = (1, 2)

QUESTIONS = [
    question("switch", 10000000, 50000000),
    question("yield", 1000000, 5000000, workers=BOTH),
    question("spawn", 300000, 2000000, workers=BOTH,
             give={"pthread": 20000}),
    question("suspend", 50000, 500000),
    question("pingpong", 500000, 2000000, workers=BOTH,
             give={"pthread": 20000}),
    question("buffered", 2000000, 8000000, workers=BOTH),
    question("buffered", 2000000, 8000000, k=4, workers=BOTH),
    question("select", 500000, 2000000, workers=BOTH),
    question("mutex", 1000000, 4000000, k=4, workers=BOTH),
    question("generator", 5000000, 20000000),
    question("sieve", 5000, 5000, workers=BOTH, runs=3),
    question("skynet", 1000000, 1000000, workers=BOTH, runs=3),
    question("parked", 10000, 10000, suffix="_10k", runs=1),
    question("parked", 100000, 100000, suffix="_100k", runs=1,
             give={"pthread": 20000}),
    question("parked", 1000000, 1000000, suffix="_1m", runs=1,
             only=("go", "tokio", "cxx20", "boost_fiber", "machine")),
    question("sleepers", 100000, 100000, k=10, runs=1),
    question("wake", 500, 3000, workers=BOTH, runs=3),
    question("steal", 200, 1000, k=4000000, workers=(2,), runs=3),
    question("blocking", 20000, 100000, k=16, workers=BOTH, runs=3),
    question("echo", 500, 2000, k=100, workers=BOTH, suffix="_100", runs=3),
    question("echo", 500, 2000, k=1000, workers=BOTH, suffix="_1000", runs=3),
    question("echo", 2000, 5000, k=10000, workers=BOTH, suffix="_10000", runs=3),
    question("kv", 300000, 2000000, k=1, suffix="_1", runs=3),
    question("kv", 1000000, 5000000, k=16, suffix="_16", runs=3),
    question("http", 2, 5, k=100, workers=BOTH, runs=3),
    question("idle", 9000, 9000, runs=1),
    question("build", 1, 1, runs=3),
]

# What a metric is called in the report, and its unit is in the results.
TITLES = {
    "switch": "bare switch, one direction",
    "yield": "co_yield through the scheduler",
    "spawn_join": "spawn and join an empty coroutine",
    "spawn_1000": "spawn 1000, run them all, each",
    "spawn_go": "spawn 1000 by co_go, each with a value",
    "suspend_1": "a wait under 1 call",
    "suspend_10": "a wait under 10 calls",
    "suspend_100": "a wait under 100 calls",
    "suspend_1000": "a wait under 1000 calls",
    "pingpong": "rendezvous ping-pong, a message",
    "buffered_1": "buffered(128), one to one, a message",
    "buffered_4": "buffered(128), 4 to 4, a message",
    "select_4": "select over 4 channels, a message",
    "mutex_free": "mutex, lock and unlock, nobody else",
    "mutex_busy": "mutex, 4 want it, a yield inside",
    "generator": "generator, a value",
    "sieve": "prime sieve, first 5000",
    "skynet": "skynet, 1,000,000 leaves",
    "skynet_peak": "skynet, peak memory",
    "sleepers": "100,000 sleepers x 10 naps, processor time",
    "sleepers_wall": "100,000 sleepers x 10 naps, time that passed",
    "wake": "wake by a plain thread, of a runtime asleep",
    "wake_p99": "wake by a plain thread, 99th percentile",
    "steal": "computing on two workers against one",
    "blocking": "a job on the blocking pool, one after the other",
    "blocking_many": "a job on the blocking pool, 16 at once",
    "http_cpu": "HTTP, 100 connections, server time per request",
    "http_rate": "HTTP, 100 connections, requests per second",
    "idle_rss": "9,000 idle connections, resident memory each",
    "idle_tables": "9,000 idle connections, page tables each",
    "idle_cpu": "9,000 idle connections, processor time",
    "build_time": "building the program of these questions after a change",
    "build_size": "its size, stripped, with what it links statically",
}
for size, name in (("_10k", "10,000"), ("_100k", "100,000"),
                   ("_1m", "1,000,000")):
    TITLES["parked_rss" + size] = name + " parked, resident memory each"
    TITLES["parked_tables" + size] = name + " parked, page tables each"
    TITLES["parked_create" + size] = name + " parked, making each"
    TITLES["parked_end" + size] = name + " parked, waking and ending each"
for size, name in (("1", "no pipeline"), ("16", "pipelines of 16")):
    for command in ("set", "get"):
        TITLES["kv_%s_%s" % (command, size)] = "key-value server, %s, %s" % (
            command.upper(), name)
        TITLES["kv_%s_cpu_%s" % (command, size)] = \
            TITLES["kv_%s_%s" % (command, size)] + ", server time per request"
        TITLES["kv_%s_%s" % (command, size)] += ", requests per second"
for size in ("100", "1000", "10000"):
    name = size + " connections, "
    TITLES["echo_cpu_" + size] = "echo, " + name + "server time per request"
    TITLES["echo_rate_" + size] = "echo, " + name + "requests per second"
    TITLES["echo_p50_" + size] = "echo, " + name + "median time"
    TITLES["echo_p99_" + size] = "echo, " + name + "99th percentile"

MORE_IS_BETTER = {
    "steal", "echo_rate_100", "echo_rate_1000", "echo_rate_10000", "http_rate",
    "kv_set_1", "kv_get_1", "kv_set_16", "kv_get_16"}

# (metric, workers): (figure, peer, ratio to it).  The figures were set on an
# Intel Sapphire Rapids machine; elsewhere the ratio to the peer of the same
# run says more, and decides where there is one.
GOALS = {
    ("switch", 1): (3.2, "boost_context", 0.7),
    ("yield", 1): (6, "libmill", 0.3),
    ("spawn_join", 1): (25, "libdill", 0.5),
    ("spawn_1000", 1): (20, "libmill", 0.83),
    ("pingpong", 1): (20, "libdill", 0.4),
    ("buffered_1", 1): (8, "boost_fiber", 0.36),
    ("buffered_4", 1): (10, "boost_fiber", 0.4),
    ("select_4", 1): (35, "libdill", 0.5),
    ("generator", 1): (7, None, None),
    ("sieve", 1): (0.6, "tokio", 0.3),
    ("skynet", 1): (0.12, "tokio", 0.26),
    ("skynet_peak", 1): (20, None, None),
    ("sleepers", 1): (1.0, "tokio", 0.67),
    ("yield", 2): (10, None, None),
    ("spawn_join", 2): (40, "tokio", 0.16),
    ("pingpong", 2): (30, "tokio", 0.17),
    ("buffered_1", 2): (18, "boost_fiber", 0.78),
    ("buffered_4", 2): (40, "go", 0.45),
    ("select_4", 2): (80, "go", 0.21),
    ("sieve", 2): (0.45, "tokio", 0.34),
    ("skynet", 2): (0.10, "tokio", 0.17),
    ("steal", 2): (1.95, None, None),
    ("parked_rss_1m", 1): (4250, None, None),
    ("parked_tables_1m", 1): (520, None, None),
    ("echo_cpu_100", 1): (3.75, "epoll", 1.02),
    ("echo_cpu_1000", 1): (3.85, "epoll", 1.02),
    ("echo_cpu_100", 2): (3.95, "epoll", 1.07),
    ("echo_cpu_1000", 2): (4.1, "epoll", 1.09),
    ("echo_p99_100", 1): (None, "epoll", 1.1),
    ("echo_p99_1000", 1): (None, "epoll", 1.1),
}

# Not libraries to write programs with, but what the machine or the language
# allows; they are in the tables and never "the best peer".
FLOORS = {"cxx20", "machine", "stackful", "epoll", "libev"}
OURS = {"weft", "weft_context", "weft_shared"}

# name: (what it is, how it is built, the workers it can have)
PEERS = {
    "weft_context": ("weft's switch, lib/context.h", "inside", (1,)),
    "weft_shared": ("weft as a shared library", "shared", BOTH),
    "libdill": ("libdill", "c", (1,)),
    "libmill": ("libmill", "c", (1,)),
    "boost_context": ("Boost.Context", "c++", (1,)),
    "boost_fiber": ("Boost.Fiber", "c++", BOTH),
    "cxx20": ("C++20 coroutines, hand-made scheduler", "c++", (1,)),
    "machine": ("state machines by hand, C", "c", (1,)),
    "stackful": ("stacks and a scheduler by hand, weft's switch", "inside",
                 (1,)),
    "go": ("Go", "go", BOTH),
    "tokio": ("Tokio", "cargo", BOTH),
    "pthread": ("POSIX threads", "c", BOTH),
    "epoll": ("raw epoll", "c", (1,)),
    "libev": ("callbacks on libev", "c", (1,)),
    "redis": ("Redis", "tool", (1,)),
}
# Each way of building that makes no program of a peer's.
NO_PROGRAM = {"inside", "shared", "tool"}
# What a call through a shared library is seen in.
SHARED = {"yield", "spawn", "pingpong", "buffered", "select", "mutex",
          "generator"}
# (linked statically where that can be, and what is the system's)
LINK = {
    "boost_context": (["-lboost_context"], []),
    "boost_fiber": (["-lboost_fiber", "-lboost_context"], ["-lpthread"]),
    "pthread": ([], ["-lpthread"]),
    "libev": ([], ["-lev"]),
}
# Programs that others install, and the question that they answer.
TOOLS = {
    "redis": ("kv", ["redis-server", "--save", "", "--appendonly", "no"]),
}
# Found by pkg-config; others are tried with the compiler.
PACKAGES = ("libdill", "libmill")

# What the report draws: a title, the unit of its axis, and the metrics of one
# worker; each is a group of bars on a scale of powers of ten.
DRAWN = [
    ("One worker, nanoseconds for each", "ns",
     ("yield", "spawn_join", "spawn_1000", "pingpong", "buffered_1",
      "select_4", "generator")),
    ("A wait under so many calls, nanoseconds", "ns",
     ("suspend_1", "suspend_10", "suspend_100", "suspend_1000")),
    ("A coroutine that waits: bytes, resident and page tables", "B",
     ("parked_rss_100k", "parked_tables_100k")),
    ("A server's processor time for a request, microseconds", "us",
     ("echo_cpu_100", "echo_cpu_1000", "http_cpu")),
    ("Whole programs, seconds", "s", ("sieve", "skynet", "sleepers")),
]
