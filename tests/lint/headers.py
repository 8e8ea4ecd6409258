#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""headers.py - each public header, alone, in every language it promises,
without a warning."""
from tap import SRC, check, compilers, each, files, run, skip

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wcast-align",
            "-Wstrict-prototypes", "-Werror", "-fsyntax-only"]
C = ("gnu11", "c11", "gnu2x", "c2x")
CXX = ("gnu++17", "gnu++20")

headers = files("include", ".h") + files("include/weft", ".h")
c, no_c = compilers("gcc", "clang")
cxx, no_cxx = compilers("g++", "clang++")


def compile_alone(job):
    header, compiler, std, language = job
    name = header.replace("include/", "", 1)
    flags = [w for w in WARNINGS
             if language == "c" or w != "-Wstrict-prototypes"]
    status, out = run(
        [compiler, "-std=" + std, "-x", language, "-I", SRC + "/include",
         *flags, "-"],
        input="#include <%s>\n#include <%s>\nextern int weft_alone;\n" %
        (name, name))
    return ["%s -std=%s:\n%s" % (compiler, std, out)] if status else []


for header in headers:
    jobs = [(header, cc, std, "c") for cc in c for std in C] + \
        [(header, cc, std, "c++") for cc in cxx for std in CXX]
    check("%s compiles alone" % header.replace("include/", "", 1),
          sum(each(compile_alone, jobs), []))
for name in no_c + no_cxx:
    skip("headers with " + name, "it is not installed")
