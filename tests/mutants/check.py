#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py - do all mutants still apply?  With WEFT_LONG=1 also: are three
quick ones killed?  All of them, and what for: README.md, run.py."""
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import check, files, read, run, skip
import run as mutants

QUICK = ("chan-put-no-wake", "mutex-to-cancelled", "timer-no-name")

wrong, seen = [], []
for path in files("tests/mutants", ".patch"):
    try:
        m = mutants.Mutant(os.path.basename(path)[:-6], read(path))
        m.changed(read)
        seen.append(m)
    except mutants.Broken as e:
        wrong.append(e)
check("every mutant applies", wrong)
programs = mutants.all_tests()
check("every mutant names tests that are there",
      ["%s: there is no %s" % (m.name, t) for m in seen for t in m.tests
       if t not in programs])
table = read("tests/mutants/README.md")
check("every mutant is in the table of README.md, and no other",
      sorted({m.name for m in seen} ^
             set(re.findall(r"^\| ([\w-]+) \| lib/", table, re.M))))
if not os.environ.get("WEFT_LONG"):
    skip("quick ones are killed", "only with WEFT_LONG=1")
elif not os.path.exists(os.path.join(mutants.SRC, "configure")):
    skip("quick ones are killed", "there is no configure")
else:
    status, out = run([sys.executable, os.path.join(HERE, "run.py"),
                       "--again"] + [a for name in QUICK
                                     for a in ("--only", name)],
                      env=dict(os.environ, WEFT_BUILD=os.getcwd()))
    check("quick ones are killed", [out] if status else [])
