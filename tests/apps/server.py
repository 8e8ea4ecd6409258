# SPDX-License-Identifier: MIT
"""server.py - a program of samples/apps that says where it listens, for tests."""
import os
import re
import signal
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import LIMIT, wrapper

# ThreadSanitizer may keep a signal for a coroutine's next call of libc: there,
# and nowhere else, it is sent again.
AGAIN = "-fsanitize=thread" in os.environ.get("WEFT_BUILD_CFLAGS", "")

# What libraries that were built without it do among themselves (OpenSSL 3.5,
# with atomics of its own) it takes for races.
os.environ["TSAN_OPTIONS"] = ":".join(filter(None, (
    os.environ.get("TSAN_OPTIONS"), "ignore_noninstrumented_modules=1")))


def missing(program):
    """Why it cannot be tested, or nothing."""
    if program in os.environ.get("APPS", "").split():
        return ""
    return "%s is not built: a library is missing" % program


class Server:
    def __init__(self, program, *options, workers="2"):
        self.p = subprocess.Popen(
            wrapper + ["./" + program] + list(options),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, WEFT_WORKERS=str(workers)))
        self.err = []
        self.out = [self.p.stdout.readline()]
        found = re.match(r"%s: listening on tcp:127\.0\.0\.1:(\d+)$" %
                         os.path.basename(program), self.out[0].strip())
        if not found:
            self.p.kill()
            raise RuntimeError(self.out[0] + self.p.communicate()[1])
        self.address = ("127.0.0.1", int(found[1]))
        self.readers = [threading.Thread(target=self.read, args=a, daemon=True)
                        for a in ((self.p.stdout, self.out),
                                  (self.p.stderr, self.err))]
        for t in self.readers:
            t.start()

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.append(line)

    def stop(self, silent=True):
        """SIGTERM; what is wrong with how it ended."""
        self.p.send_signal(signal.SIGTERM)
        return self.end(silent)

    def end(self, silent=True):
        """What is wrong with how it ends; it was told to.  silent: it is
        wrong to have written anything to stderr."""
        for limit in ([10, LIMIT] if AGAIN else [LIMIT]):
            try:
                self.p.wait(limit)
                break
            except subprocess.TimeoutExpired:
                self.p.send_signal(signal.SIGTERM)
        else:
            self.p.kill()
            self.p.wait()
            return ["it does not end"] + self.out + self.err
        for t in self.readers:
            t.join()
        return [] if self.p.returncode == 0 and not (silent and self.err) else \
            ["exit status %d" % self.p.returncode] + self.err
