#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""samples.py - every sample runs, and prints what stands in its .out file.

A .in file is its standard input.  Each line of an .err file is a regular
expression for a whole line of standard error; each takes another one, in any
order.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lint"))
from tap import LIMIT, SRC, check, skip, wrapper

samples = os.environ.get("SAMPLES", "").split()
# TSan's own thread is no reason to say nothing of a deadlock.
if "-fsanitize=thread" in os.environ.get("WEFT_BUILD_CFLAGS", ""):
    os.environ["WEFT_IGNORE_THREADS"] = "1"


def unseen(pattern_file, text):
    """What is wrong if a pattern fits none of the lines that are left."""
    lines = text.split("\n")
    with open(pattern_file, encoding="utf-8") as f:
        for pattern in f.read().splitlines():
            fits = [line for line in lines if re.fullmatch(pattern, line)]
            if not fits:
                return ["no line on standard error fits:", pattern,
                        "it wrote:", text]
            lines.remove(fits[0])
    return []


def problems(sample):
    want = os.path.join(SRC, sample + ".out")
    patterns = os.path.join(SRC, sample + ".err")
    given = os.path.join(SRC, sample + ".in")
    with open(given if os.path.exists(given) else os.devnull, "rb") as stdin:
        try:
            p = subprocess.run(wrapper + ["./" + sample], stdin=stdin,
                               stdout=subprocess.PIPE, timeout=LIMIT,
                               stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired as e:
            return ["it hangs", (e.output or b"").decode(errors="replace")]
    got = p.stdout.decode(errors="replace")
    wrong = []
    if p.returncode:
        wrong += ["exit status %d" % p.returncode, got,
                  p.stderr.decode(errors="replace")]
    if not os.path.exists(want):
        return wrong + [sample + ".out is missing"]
    with open(want, encoding="utf-8") as f:
        expected = f.read()
    if got != expected:
        wrong += ["it should print:", expected, "it printed:", got]
    if os.path.exists(patterns):
        wrong += unseen(patterns, p.stderr.decode(errors="replace"))
    return wrong


for sample in samples:
    check(sample, problems(sample))
if not samples:
    skip("samples", "there are none yet")
