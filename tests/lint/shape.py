#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""shape.py - what of STYLE a script can see: lengths, openings, #if."""
import re

from tap import check, files, read

COLUMNS = 80
FUNCTION = 70
FILE = 600
# Functions with an #if inside: (file, function).  The reason stands there.
IF_INSIDE = {("lib/atomic.h", "a_pause"), ("lib/self.h", "self_get")}

code = files("lib", ".c", ".h") + files("include", ".h") + \
    files("include/weft", ".h")
assembly = files("asm", ".S")
harness = ["tests/harness.c", "tests/harness_text.c", "tests/harness.h"]


def functions(path):
    """(name, number of its first line, its lines, braces included)"""
    lines = read(path).split("\n")
    begin = None
    for n, line in enumerate(lines, 1):
        if line == "{" and begin is None:
            begin = n
        elif line.startswith("}") and begin is not None:
            head = ""
            for above in reversed(lines[:begin - 1]):
                if not above or above[0] in "#}" or above.endswith(";"):
                    break
                head = above + " " + head
            names = re.findall(r"\b(\w+)\s*\(", re.sub(
                r"__attribute__\s*\(\(.*?\)\)", " ", head))
            yield (names[0] if names else "?"), begin, \
                lines[begin - 1:n]
            begin = None


wide, blank = [], []
for path in code + assembly + harness:
    for n, line in enumerate(read(path).split("\n"), 1):
        width = len(line.expandtabs(8))
        if width > COLUMNS:
            wide.append("%s:%d: %d columns" % (path, n, width))
        if line != line.rstrip():
            blank.append("%s:%d" % (path, n))
check("no line is over %d columns" % COLUMNS, wide)
check("no line ends in blanks", blank)

wrong = []
for path in code + harness:
    n = read(path).count("\n")
    if n > FILE:
        wrong.append("%s: %d lines" % (path, n))
check("no file is over %d lines" % FILE, wrong)

wrong = []
for path in code + assembly + harness:
    lines = read(path).split("\n") + [""] * 3
    if lines[0] != "/* SPDX-License-Identifier: MIT */":
        wrong.append(path + ": its first line is not the licence")
    name = path.replace("include/", "").replace("lib/", "")
    name = name.replace("asm/", "").replace("tests/", "")
    wanted = (" * %s - " % name, " * <%s> - " % name)
    if lines[1] != "/*" or not lines[2].startswith(wanted):
        wrong.append("%s: does not open with \"%s\"" % (path, wanted[0]))
check("every file opens with its licence and what it is", wrong)

long, ifs = [], []
for path in code + harness:
    for name, at, body in functions(path):
        if len(body) > FUNCTION:
            long.append("%s:%d: %s has %d lines" %
                        (path, at, name, len(body)))
        if any(re.match(r"\s*#\s*if", line) for line in body) and \
                (path, name) not in IF_INSIDE:
            ifs.append("%s:%d: %s" % (path, at, name))
check("no function is over %d lines" % FUNCTION, long)
check("no #if inside of a function", ifs)
