#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scenarios.py - the table of tests/README.md: all scenarios are there, and
the tests that it names."""
import os
import re

from tap import SRC, check, read

# How many there are of each group.
GROUPS = {"CH": 24, "SE": 18, "SC": 20, "IO": 24, "TM": 13, "CX": 14,
          "MS": 13, "BP": 9, "FT": 7, "LC": 14, "DS": 7}
WORDS = ("**n/a**", "**none**", "**part**", "**to come**",
         "**see tests/inject**")

text = read("tests/README.md")
rows = re.findall(r"^\| (\w\w-\d\d) \| .*? \| (.*) \|$", text, re.M)
want = ["%s-%02d" % (group, n) for group, count in GROUPS.items()
        for n in range(1, count + 1)]
got = [row[0] for row in rows]
check("all %d scenarios have a row, in order" % len(want),
      ["no " + i for i in want if i not in got] +
      ["twice or unknown: " + i for i in got
       if i not in want or got.count(i) > 1] +
      (["out of order"] if got != want and set(got) == set(want) else []))

wrong = []
for scenario, tests in rows:
    names = re.findall(r"`([\w./-]+)`", tests)
    if not names and not any(word in tests for word in WORDS):
        wrong.append(scenario + ": neither tests nor why there are none")
    inside = None
    for name in names:
        if "." in name:
            path = "tests/" + name
            exists = os.path.isfile(os.path.join(SRC, path))
            inside = read(path) if exists else None
            if not exists:
                wrong.append("%s: there is no %s" % (scenario, path))
        elif inside is not None and not re.search(
                r"(?:TEST|SWEEP)\(" + name + r"\b", inside):
            wrong.append("%s: no test %s" % (scenario, name))
check("the tests that the rows name are there", wrong)
