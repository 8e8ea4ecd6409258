#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""samples.py - every sample runs, and prints what stands in its .out file.

A sample without one need only end well.  A .in file is its standard input.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lint"))
from tap import SRC, check, skip

seconds = 60 * int(os.environ.get("WEFT_TEST_SLOW") or 1)
wrapper = os.environ.get("TEST_WRAPPER", "").split()
samples = os.environ.get("SAMPLES", "").split()


def problems(sample):
    want = os.path.join(SRC, sample + ".out")
    given = os.path.join(SRC, sample + ".in")
    with open(given if os.path.exists(given) else os.devnull, "rb") as stdin:
        try:
            p = subprocess.run(wrapper + ["./" + sample], stdin=stdin,
                               stdout=subprocess.PIPE, timeout=seconds,
                               stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired as e:
            return ["it hangs", (e.output or b"").decode(errors="replace")]
    got = p.stdout.decode(errors="replace")
    wrong = []
    if p.returncode:
        wrong += ["exit status %d" % p.returncode, got,
                  p.stderr.decode(errors="replace")]
    if os.path.exists(want):
        with open(want, encoding="utf-8") as f:
            expected = f.read()
        if got != expected:
            wrong += ["it should print:", expected, "it printed:", got]
    return wrong


for sample in samples:
    check(sample, problems(sample))
if not samples:
    skip("samples", "there are none yet")
