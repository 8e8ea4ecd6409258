#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - what the compiler must accept, and what it must refuse.

x.good.c	compiles without a warning, with each compiler and language
x.good.cc	likewise, C++
x.bad.c		the same, as long as no CASE_n is defined; with any one of its
		"#ifdef CASE_n" it gets a diagnostic from each compiler
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import SRC, check, compilers, each, files, read, run, skip

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wcast-align",
         "-Werror", "-O1", "-c", "-o", "/dev/null", "-I", SRC + "/include"]
C = ("gnu11", "c11", "gnu2x")
CXX = ("gnu++17", "gnu++20")
COROUTINES = ("gnu++17", "-fcoroutines")	# co_yield is a keyword: only g++

c, no_c = compilers("gcc", "clang")
cxx, no_cxx = compilers("g++", "clang++")


def build(path, compiler, std, *more):
    return run([compiler, "-std=" + std, *more, *FLAGS,
                os.path.join(SRC, path)])


def accepted(job):
    path, compiler, *how = job
    status, out = build(path, compiler, *how)
    return ["%s -std=%s:\n%s" % (compiler, " ".join(how), out)] \
        if status else []


def refused(job):
    path, case, compiler = job
    status, out = build(path, compiler, "gnu11", "-D" + case)
    if status == 0:
        return ["%s takes it without a word" % compiler]
    # An error inside of our headers that has nothing to do with the case
    # would hide that the case is not seen: the file must be named.
    if os.path.basename(path) not in out:
        return ["%s:\n%s" % (compiler, out)]
    return []


for path in files("tests/compile", ".good.c", ".bad.c"):
    jobs = [(path, cc, std) for cc in c for std in C]
    check(path + " is accepted", sum(each(accepted, jobs), []))
for path in files("tests/compile", ".good.cc"):
    jobs = [(path, cc, std) for cc in cxx for std in CXX]
    jobs += [(path, cc, *COROUTINES) for cc in cxx if cc == "g++"]
    check(path + " is accepted", sum(each(accepted, jobs), []))
for path in files("tests/compile", ".bad.c"):
    cases = re.findall(r"^#\s*ifdef\s+(CASE_\w+)(?:\s*/\*\s*(.*?)\s*\*/)?",
                       read(path), re.M)
    for case, words in cases:
        check("%s %s is refused: %s" % (path, case, words or "?"),
              sum(each(refused, [(path, case, cc) for cc in c]), []))
for name in no_c + no_cxx:
    skip("with " + name, "it is not installed")
