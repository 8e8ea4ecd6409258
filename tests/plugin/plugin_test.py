#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plugin_test.py - programs that are not linked with weft load a plugin that
is, use it, and unload it."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import LIMIT, SRC, check, run, skip, wrapper

BUILT = os.path.abspath(".libs")
# As somebody else's build: no flag of ours but those that sanitizers want.
flags = ["-O1", "-g", "-Wall", "-Wextra"] + [
    f for f in os.environ.get("WEFT_BUILD_CFLAGS", "").split()
    if f.startswith("-fsanitize=")]
cc = os.environ.get("CC", "gcc").split()
cxx = ["clang++" if "clang" in cc[0] else "g++"]
MODES = {
    "again": "a hundred times, and nothing is left",
    "outlived": "threads that used it end after it has gone",
    "faults": "the host's handler gets its faults when it has gone",
    "forks": "the host forks when it has gone",
    "two": "two plugins at once have one weft",
}


def host(program, *args):
    return run([program, *args], stdin=subprocess.DEVNULL, timeout=LIMIT)


def silent(status, out):
    return [] if status == 0 and not out else ["status %s" % status, out]


def overflows(program, plugin):
    status, out = host(program, "overflow", plugin)
    if status not in (0, None) and 'stack overflow in coroutine 1 "plugged in"' in out:
        return []
    return ["status %s" % status, out]


def language(name, compiler, std, folder):
    program = os.path.join(folder, "host")
    plugin = os.path.join(folder, "plugin.so")
    copy = os.path.join(folder, "copy.so")
    status, out = run(compiler + flags + [
        "-std=" + std, "-x", name, os.path.join(HERE, "host.c"), "-o",
        program, "-pthread", "-ldl"])
    check("a host in %s builds" % name, [out] if status else [])
    if status:
        return
    shutil.copy(plugin, copy)
    for mode, words in MODES.items():
        check("%s: %s" % (name, words),
              silent(*host(program, mode, plugin, copy)))
    check("%s: weft itself, a hundred times" % name, silent(
        *host(program, "bare", os.path.join(BUILT, "libweft.so"))))
    check("%s: an overflow in it is named" % name, overflows(program, plugin))


def main():
    with tempfile.TemporaryDirectory() as folder:
        status, out = run(cc + flags + [
            "-std=gnu11", "-fPIC", "-shared", "-I", SRC + "/include",
            os.path.join(HERE, "plugin.c"), "-o",
            os.path.join(folder, "plugin.so"), "-L" + BUILT, "-lweft",
            "-Wl,-rpath," + BUILT, "-pthread"])
        check("a plugin builds", [out] if status else [])
        if status:
            return
        language("c", cc, "gnu11", folder)
        if shutil.which(cxx[0]):
            language("c++", cxx, "gnu++17", folder)
        else:
            skip("a host in c++", cxx[0] + " is not installed")


if wrapper:
    skip("a plugin", "built for another machine, or under a wrapper")
elif not os.path.exists(os.path.join(BUILT, "libweft.so")):
    skip("a plugin", "no shared library was built")
else:
    main()
