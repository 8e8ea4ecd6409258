#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py - what the benchmarks' runner decides by itself: which runs count
(bench/quiet.py), and whether a goal is met (bench/report.py)."""
import os
import sys

from tap import SRC, check

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(SRC, "bench"))
import plan     # noqa: E402
import quiet    # noqa: E402
import report   # noqa: E402


class Machine:
    """A clock, and processors on which the yardstick takes 2 while somebody
    else is there, else 1.  A run takes a second."""

    def __init__(self, busy):
        self.now, self.busy, self.runs = 0.0, busy, 0
        quiet.time = self

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def look(self, cpu):
        return 2.0 if self.busy(cpu, self.now) else 1.0

    def once(self):
        self.now += 1.0
        self.runs += 1
        return "run %d" % self.runs, ""


def differs(what, is_, wanted):
    return [] if is_ == wanted else ["%s: %r, not %r" % (what, is_, wanted)]


m = Machine(lambda cpu, now: False)
q = quiet.Quiet(m.look, [0, 1], 10)
got = [q.run([0, 1], m.once)[0] for _ in range(3)]
check("on a quiet machine each run counts",
      differs("runs", got, ["run 1", "run 2", "run 3"]) +
      differs("says", q.outcome(), "all runs quiet"))

m = Machine(lambda cpu, now: 1.5 < now < 4.0)
q = quiet.Quiet(m.look, [1], 10)
got = [q.run([1], m.once)[0] for _ in range(3)]
check("a run that others fell into is made again when they have gone",
      differs("runs", got, ["run 1", "run 3", "run 4"]) +
      differs("says", q.outcome(), "all runs quiet") +
      differs("the time", m.now >= 6.0, True))

m = Machine(lambda cpu, now: cpu == 0 and now > 0)
q = quiet.Quiet(m.look, [0, 1], 10)
m.now = 1.0
got = [q.run([1], m.once)[0] for _ in range(3)]
check("who has another processor does not matter",
      differs("runs", got, ["run 1", "run 2", "run 3"]) +
      differs("says", q.outcome(), "all runs quiet"))

m = Machine(lambda cpu, now: now > 0)
q = quiet.Quiet(m.look, [0], 10)
m.now = 1.0
got = [q.run([0], m.once)[0] for _ in range(3)]
check("when patience is at its end runs are taken as they come, and counted",
      differs("runs", got, ["run 1", "run 2", "run 3"]) +
      differs("says", q.outcome(), "3 of 3 runs not quiet") +
      differs("waited", 10.0 <= m.now - 4.0 < 11.0, True))
q.begin()
check("the next question has patience anew",
      differs("left", q.left, 10) + differs("says", q.outcome(),
                                            "all runs quiet"))

m = Machine(lambda cpu, now: True)
q = quiet.Quiet(m.look, [0], 0)
got = [q.run([0], m.once)[0] for _ in range(2)]
check("without patience nobody looks",
      differs("runs", got, ["run 1", "run 2"]) +
      differs("says", q.outcome(), "") + differs("the time", m.now, 2.0))

m = Machine(lambda cpu, now: False)
q = quiet.Quiet(m.look, [0], 10)
check("what went wrong is handed on",
      differs("gives", q.run([0], lambda: ("", "wrong")), ("", "wrong")))


def row(peer, workers, *values):
    return {"peer": peer, "workers": workers, "values": list(values)}


metrics = {("yield", 1): [row("weft", 1, 5.0), row("libmill", 1, 20.0)]}
limit, peer, ratio = plan.GOALS["yield", 1]
check("a goal beside a peer is met by the ratio of this run",
      differs("met", report.verdict("yield", 1, 20.0 * ratio, metrics)[1],
              "yes") +
      differs("not met", report.verdict("yield", 1, 20.0 * ratio + 0.1,
                                        metrics)[1], "**no**"))
check("without the peer the figure itself decides",
      differs("met", report.verdict("yield", 1, limit, {})[1], "yes") +
      differs("not met", report.verdict("yield", 1, limit + 0.1, {})[1],
              "**no**"))
floors = [row("weft", 1, 5.0), row("cxx20", 1, 1.0), row("stackful", 1, 2.0),
          row("libmill", 1, 20.0), row("go", 1, 30.0)]
check("no floor is the best peer",
      differs("best", report.best_of("yield", floors)["peer"], "libmill"))
