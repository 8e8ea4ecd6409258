#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - the protocols, gone through in every order by spin.

Each x.pml is a model of one protocol.  As it stands nothing can go wrong in
it; with any of its planted mistakes ("#ifdef BUG_NAME") something can: a model
that does not see a mistake proves nothing.
"""
import os
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import SRC, check, each, files, read, run, skip

DEPTH = "-m1000000"
SECONDS = 300


def explore(job):
    """(how many errors, what was printed)"""
    path, bug = job
    with tempfile.TemporaryDirectory() as tmp:
        model = os.path.abspath(os.path.join(SRC, path))
        status, out = run(["spin"] + (["-D" + bug] if bug else []) +
                          ["-a", model], cwd=tmp)
        if status or not os.path.exists(tmp + "/pan.c"):
            return None, out
        status, more = run(["cc", "-O1", "-w", "-DSAFETY", "-o", "pan",
                            "pan.c"], cwd=tmp)
        if status:
            return None, more
        status, out = run(["timeout", str(SECONDS), "./pan", DEPTH], cwd=tmp)
        m = re.search(r"errors: (\d+)", out)
        if not m or "max search depth too small" in out:
            return None, out
        return int(m.group(1)), out


def main():
    models = files("tests/models", ".pml")
    if not models:
        return skip("models", "there are none yet")
    if not shutil.which("spin"):
        return skip("models", "spin is not installed")
    jobs = []
    for path in models:
        bugs = sorted(set(re.findall(r"\bBUG_\w+", read(path))))
        jobs += [(path, bug) for bug in [None] + bugs]
    for (path, bug), (errors, out) in zip(jobs, each(explore, jobs)):
        name = os.path.basename(path)
        states = re.search(r"(\d+) states, stored", out)
        wrong = [] if errors == 0 and not bug or errors and bug else [out]
        if bug:
            check("%s sees %s" % (name, bug), wrong)
        else:
            check("%s is correct, %s states" %
                  (name, states.group(1) if states else "?"), wrong)
    return None


main()
