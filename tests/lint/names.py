#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""names.py - the public headers, lib/weft.map, libweft.so and the man pages
speak of the same names."""
import os
import re
import shutil
import tempfile

from tap import SRC, check, files, read, run, skip

headers = files("include/weft", ".h") + \
    [p for p in files("include", ".h") if p == "include/weft.h"]
library = ".libs/libweft.so"


def declared():
    """Functions and variables, as the compiler sees them in the headers."""
    gcc = next((c for c in ("gcc", "cc") if shutil.which(c)), None)
    names = set()
    with tempfile.TemporaryDirectory() as tmp:
        with open(tmp + "/all.c", "w") as f:
            for path in headers:
                f.write('#include "%s"\n' % os.path.abspath(
                    os.path.join(SRC, path)))
        status, out = run([gcc, "-std=gnu11", "-w", "-I", SRC + "/include",
                           "-aux-info", tmp + "/all.X", "-fsyntax-only",
                           tmp + "/all.c"])
        if status:
            raise SystemExit(out)
        with open(tmp + "/all.X") as f:
            for line in f:
                m = re.match(r"/\* (\S+?):\d+:\w+ \*/ extern (.*)$", line)
                if m and "/include/weft" in m.group(1):
                    # The name stands before its list of parameters.
                    names.add(re.search(r"(\w+) \(", re.sub(
                        r"\(\*\w*\)", " ", m.group(2))).group(1))
    for path in headers:
        for m in re.finditer(r"^extern [^(;{]*?(\w+)(\[\w*\])?;", read(path),
                             re.M):
            names.add(m.group(1))
    return names


def listed():
    return set(re.findall(r"^\t(\w+);$", read("lib/weft.map"), re.M))


def exported():
    status, out = run([os.environ.get("NM", "nm").split()[0], "-D",
                       "--defined-only", library])
    if status:
        raise SystemExit(out)
    found = re.findall(r" ([A-Z]) (\w+)(?:@@?\w+)?$", out, re.M)
    return {name for kind, name in found if kind != "A"}


def differ(a, where_a, b, where_b):
    return ["%s is in %s, not in %s" % (n, where_a, where_b)
            for n in sorted(a - b)] + \
           ["%s is in %s, not in %s" % (n, where_b, where_a)
            for n in sorted(b - a)]


in_headers = declared()
check("headers and lib/weft.map have the same names",
      differ(in_headers, "the headers", listed(), "weft.map"))
check("public names begin with co_ or chan_",
      sorted(n for n in in_headers if not re.match(r"(co|chan)_", n)))
if os.path.exists(library):
    check("libweft.so exports what lib/weft.map lists",
          differ(exported(), "libweft.so", listed(), "weft.map"))
else:
    skip("libweft.so exports what lib/weft.map lists", "no shared library")

# Public macros have no name to export, but one to document.
macros = {}
for path in headers:
    for m in re.finditer(r"^#\s*define\s+(\w+)", read(path), re.M):
        if not re.match(r"(?i)(co|chan)__|WEFT_(\w+_)?H$|__", m.group(1)):
            macros[m.group(1)] = path
pages = files("man", ".3", ".7")
documented = set()
for page in pages:
    for line in read(page).split("\n"):
        if re.match(r"\.(Nm|Fn|Fo|Dv|Ic|It|Vt|Va|Fd)\b", line):
            documented |= set(re.findall(r"\w+", line))
public = {n for n in in_headers if not re.match(r"(co|chan)__", n)}
if pages:
    check("every public name stands in a man page",
          [n + " is in no man page" for n in
           sorted((public | set(macros)) - documented)])
else:
    skip("every public name stands in a man page", "there are no pages yet")
