#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - run.sh for make check: a result for each model and planted bug,
several models at once."""
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import check, each, files, run, skip


def explore(model):
    return run(["sh", os.path.join(HERE, "run.sh"), model])


models = [os.path.basename(path)[:-4] for path in
          files("tests/models", ".pml")]
if not shutil.which("spin"):
    skip("models", "spin is not installed")
else:
    for model, (status, out) in zip(models, each(explore, models)):
        seen = re.findall(r"^%s +(is correct|BUG_\w+) +(.*)$" % model, out,
                          re.M)
        for what, result in seen:
            check("%s: %s, %s" % (model, what, result),
                  [out] if "SURPRISE" in result else [])
        if not seen or status and "SURPRISE" not in out:
            check(model + " was explored", [out])
