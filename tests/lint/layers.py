#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layers.py - who may include what.

Each file of lib/ says "Layer N." in its opening comment.  It may include what
has the same layer or a lower one.  The public headers hold types that every
layer uses.
"""
import os
import re

from tap import check, files, read, tree

# Headers of the system that only some files may have, and why.
ONLY = {
    "ev.h": (r"lib/reactor[a-z_]*\.[ch]$", "libev is the reactor's"),
    "pthread.h": (r"lib/(os_[a-z_]+|self|lock|context)\.c$",
                  "threads are os_linux.c's; context.c asks for the bounds "
                  "of a thread's stack"),
    "linux/futex.h": (r"lib/os_[a-z_]+\.c$", "futexes are os_linux.c's"),
    "stdatomic.h": (r"$^", "atomics are atomic.h's"),
}
ATOMICS = {"lib/atomic.h", "lib/chaos.c"}


def without_comments(text):
    """Comments become blanks; lines stay where they are."""
    return re.sub(r"/\*.*?\*/|//[^\n]*",
                  lambda m: re.sub(r"[^\n]", " ", m.group()), text,
                  flags=re.S)


sources = files("lib", ".c", ".h")
layer = {}
wrong = []
for path in sources:
    m = re.search(r"^ \* Layer (\d+)\b", read(path), re.M)
    if m:
        layer[path] = int(m.group(1))
    else:
        wrong.append(path + ": no \"Layer N.\" in its opening comment")
check("every file of lib/ names its layer", wrong)

wrong = []
for path in sources:
    twin = path[:-1] + "h"
    if path.endswith(".c") and twin in layer and path in layer and \
            layer[path] != layer[twin]:
        wrong.append("%s has layer %d, %s has layer %d" %
                     (path, layer[path], twin, layer[twin]))
check("a .c file and its .h have one layer", wrong)

up, unknown, system, raw, sync = [], [], [], [], []
for path in sources:
    text = without_comments(read(path))
    for n, line in enumerate(text.split("\n"), 1):
        at = "%s:%d: " % (path, n)
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m and m.group(1) != "config.h":
            other = "lib/" + m.group(1)
            if other not in sources:
                unknown.append(at + m.group(1) + " is not in lib/")
            elif layer.get(other, 0) > layer.get(path, 99):
                up.append("%slayer %d includes %s of layer %d" % (
                    at, layer[path], m.group(1), layer[other]))
        m = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
        if m and m.group(1) in ONLY:
            allowed, why = ONLY[m.group(1)]
            if not re.match(allowed, path):
                system.append("%s<%s>: %s" % (at, m.group(1), why))
        if "__atomic_" in line and path not in ATOMICS:
            raw.append(at + line.strip())
        if re.search(r"\b__sync_", line):
            sync.append(at + line.strip())
check("includes go sideways or down, never up", up)
check("a quoted include is a file of lib/", unknown)
check("<ev.h>, <pthread.h>, futex and <stdatomic.h> stay in their files",
      system)
check("atomic builtins stand in atomic.h only", raw)
check("no __sync_ builtins", sync)

wrong = []
for path in tree("samples", ".c", ".h") + tree("bench", ".c", ".h") + \
        tree("include", ".h"):
    own = os.path.dirname(path)
    for n, line in enumerate(without_comments(read(path)).split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if m and path.startswith("include/"):
            wrong.append("%s:%d: \"%s\" in a public header" %
                         (path, n, m.group(1)))
        elif m and own + "/" + m.group(1) not in tree(own, ".h"):
            wrong.append("%s:%d: %s is none of its own" %
                         (path, n, m.group(1)))
check("samples, benchmarks and public headers see public headers only", wrong)
