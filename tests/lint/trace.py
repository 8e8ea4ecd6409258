#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trace.py - the places for tracers are in the library, with their arguments,
and in the man page."""
import os
import re
import shutil

from tap import check, read, run, skip

WANTED = {"spawn": 2, "switch": 2, "park": 3, "ready": 1, "steal": 3}

header = read("lib/trace_point.h")
named = {m.group(2): int(m.group(1)) for m in
         re.finditer(r"DTRACE_PROBE(\d)\(weft, (\w+)", header)}
check("lib/trace_point.h has the five places",
      [] if named == WANTED else ["it has %s" % named])

page = read("man/co_inspect.3")
check("co_inspect(3) lists each of them",
      [name + " is not there" for name in WANTED
       if not re.search(r"^\.It Ql " + name + r"\b", page, re.M)])

LIBRARY = ".libs/libweft.a"
compiled = os.path.exists("config.h") and re.search(
    r"^#define HAVE_SYS_SDT_H 1", open("config.h").read(), re.M)
title = "the library has a note for each"
if not compiled:
    skip(title, "built without <sys/sdt.h>")
elif not shutil.which("readelf"):
    skip(title, "readelf is not installed")
elif not os.path.exists(LIBRARY):
    skip(title, "no static library here")
else:
    status, out = run(["readelf", "-n", "-W", LIBRARY])
    found = {}
    for m in re.finditer(r"Provider: weft\s+Name: (\w+)\s+.*\n"
                         r"\s+Arguments: (.*)", out):
        found.setdefault(m.group(1), set()).add(len(m.group(2).split()))
    check(title, ["%s has %s arguments, not %d" % (
        name, sorted(found.get(name, ())), n)
        for name, n in WANTED.items() if found.get(name) != {n}])
