#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exceptions_test.py - what exceptions of C++ do in coroutines: exceptions.cc
with the compilers of C++ that go with the one of the build."""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import LIMIT, SRC, check, run, skip, wrapper

cc = os.environ.get("CC", "gcc").split()
cxx = cc[0].replace("clang", "clang++").replace("gcc", "g++")
flags = [f for f in os.environ.get("WEFT_BUILD_CFLAGS", "").split()
         if f.startswith(("-fsanitize=", "--coverage"))]
# ThreadSanitizer, and AddressSanitizer of gcc: see unwind_test.c.
suicidal = [f for f in flags if "thread" in f or
            ("address" in f and "clang" not in cc[0])]
libraries = os.environ.get("WEFT_LIBS", "-lev -pthread").split()


def said(program, mode):
    return run(wrapper + [program, mode], timeout=LIMIT,
               stdin=subprocess.DEVNULL)


def dies(program, mode, *texts):
    status, out = said(program, mode)
    return [] if status not in (0, 1, 2, None) and \
        all(t in out for t in texts) else ["status %s" % status, out]


def main(folder):
    program = os.path.join(folder, "exceptions")
    for level in "-O0", "-O2":
        status, out = run([cxx, *cc[1:], level, "-g", "-Wall", "-Wextra",
                           "-std=gnu++17", *flags, "-I", SRC + "/include",
                           os.path.join(HERE, "exceptions.cc"), "-o", program,
                           ".libs/libweft.a", *libraries, "-lm"])
        check("%s %s builds it" % (cxx, level), [out] if status else [])
        if status:
            return
        status, out = said(program, "caught")
        check(level + ": what is caught stays in its coroutine",
              ["status %s" % status, out] if status or out else [])
        check(level + ": one that leaves its coroutine is not silent",
              dies(program, "out", "terminat", "by 1"))
        check(level + ": nor is one that leaves a job",
              dies(program, "job", "terminat", "by 1"))
        name = level + ": pthread_exit unwinds, and is told"
        if suicidal:
            skip(name, "the sanitizer dies itself of it")
        else:
            check(name, dies(program, "exit", "unwound", "ended its thread",
                             "in coroutine 1"))


if not shutil.which(cxx):
    skip("exceptions", cxx + " is not installed")
else:
    with tempfile.TemporaryDirectory() as tmp:
        main(tmp)
