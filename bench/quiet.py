# SPDX-License-Identifier: MIT
"""quiet.py - runs that nobody else's work falls into, where that can be had.

On a machine that is shared, also with guests that no tool here shows, the same
program takes 1.7 times as long from one minute to the next.  A yardstick
(compare/yardstick.c) tells: a processor is quiet while that takes hardly longer
than it ever did.  A run begins on quiet processors and counts if they are quiet
after it as well; else it is made again, whoever's it is.  Patience is how many
seconds of a question go into waiting and into runs that do not count; then runs
are taken as they come, and counted."""
import time

TOLERANCE = 1.05    # when quiet, looks differ by 0.03
PAUSE = 0.5         # seconds


class Quiet:
    def __init__(self, look, cpus, patience):
        """look(cpu) gives how long the yardstick takes there."""
        self.look, self.patience = look, patience
        self.least = {}
        for cpu in cpus if patience > 0 else ():
            self.least[cpu] = min(look(cpu) for _ in range(10))
        self.begin()

    def begin(self):
        """A question begins."""
        self.left, self.runs, self.loud = self.patience, 0, 0

    def outcome(self):
        """What to say of the question's runs."""
        if self.patience <= 0:
            return ""
        if not self.loud:
            return "all runs quiet"
        return "%d of %d runs not quiet" % (self.loud, self.runs)

    def is_quiet(self, cpus):
        quiet = True
        for cpu in cpus:
            took = self.look(cpu)
            self.least[cpu] = min(took, self.least[cpu])
            quiet = quiet and took <= self.least[cpu] * TOLERANCE
        return quiet

    def run(self, cpus, once):
        """once() gives (output, what went wrong); so does this."""
        self.runs += 1
        while True:
            start = time.monotonic()
            while self.left > 0 and not self.is_quiet(cpus):
                time.sleep(PAUSE)
                self.left -= time.monotonic() - start
                start = time.monotonic()
            out, wrong = once()
            if wrong or self.patience <= 0 or self.is_quiet(cpus):
                return out, wrong
            if self.left <= 0:
                self.loud += 1
                return out, wrong
            self.left -= time.monotonic() - start
