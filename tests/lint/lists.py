#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lists.py - Makefile.am keeps its lists by hand: is a file on none of them,
or a name on one that is no file?"""
import os
import re

from tap import SRC, check, files, read, tree

text = re.sub(r"^#.*", "", read("Makefile.am"), flags=re.M)
listed = set(re.findall(r"[\w./-]+", text))


def missing(paths, name=lambda p: p):
    return [p + " is not in Makefile.am" for p in paths
            if name(p) not in listed]


def program(path):
    return path[:-2]


check("sources of the library",
      missing(files("lib", ".c", ".h", ".map") + files("asm", ".S")))
check("public headers", missing(tree("include", ".h")))
check("test programs",
      missing(sum((files("tests/" + d, ".c") for d in
                   ("unit", "api", "regress", "sanitizer", "stress")), []) +
              [p for p in files("tests/inject", ".c") if "_test.c" in p],
              program) + missing(files("tests/fuzz", "_fuzz.c"), program))
check("samples", missing([p for p in tree("samples", ".c")
                          if "int\nmain(" in read(p)], program))
check("benchmarks", missing([p for p in files("bench", ".c")
                             if "int\nmain(" in read(p)], program))
check("tests of apps", missing(tree("tests/apps", ".py", ".sh")))
check("what else a release holds",
      missing(files("man", "") + tree("tests/lint", "") +
              tree("tests/compile", "") + tree("tests/models", "") +
              tree("tests/gdb", "") + tree("tests/plugin", "") +
              tree("tests/cxx", "") +
              tree("tests", ".h") +
              tree("samples", ".h", ".out", ".in", ".err", ".md", ".go", ".mod",
                   ".sum", ".rs", ".toml", ".lock") +
              files("script", "") + files("bench", ".h", ".py", ".sh") +
              files("bench/compare", "") + files("bench/results", "") +
              files("tests", "") + files("tests/fuzz", "replay.c")))

wrong = []
places = r"(?:lib|asm|include|tests|samples|bench|man|script|\.ci)/"
for name in sorted(listed):
    if re.match(places + r"[\w./-]*\w$", name) and \
            not name.endswith((".la", ".a")):
        if not any(os.path.exists(os.path.join(SRC, name + end))
                   for end in ("", ".c")):
            wrong.append(name + " is in Makefile.am and nowhere else")
check("names without a file", wrong)

exported = re.findall(r"^\t(\w+);$", read("lib/weft.map"), re.M)
check("lib/weft.map is in order, each name once",
      [] if exported == sorted(set(exported)) else
      [a + " stands after " + b for b, a in zip(exported, exported[1:])
       if a <= b])
