#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gdb_test.py - script/weft-gdb.py shows coroutines, of a process and of a
core, with the static and with the shared library."""
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lint"))
from tap import SRC, check, run, skip

SCRIPT = os.path.abspath(os.path.join(SRC, "script/weft-gdb.py"))
BUILT = os.path.abspath(".libs")
flags = os.environ.get("WEFT_BUILD_CFLAGS", "-O2 -g").split()
seconds = 120 * int(os.environ.get("WEFT_TEST_SLOW") or 1)
sanitized = any(f.startswith("-fsanitize=") for f in flags)
# A sanitizer's report on leaks cannot be made under a debugger.
env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", DEBUGINFOD_URLS="")


def gdb(program, *commands):
    words = ["gdb", "-nx", "-batch", "-ex", "set pagination off",
             "-ex", "set confirm off", "-ex", "set width 0"]
    for command in commands:
        words += ["-ex", command]
    try:
        p = subprocess.run(words + program, stdin=subprocess.DEVNULL, env=env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=seconds, errors="replace", text=True)
    except subprocess.TimeoutExpired as e:
        return "gdb hangs: %s" % e.output
    return p.stdout


def lacks(out, patterns):
    """Those of the patterns that are not there, in this order."""
    at, wrong = 0, []
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(out, at)
        if found:
            at = found.end()
        else:
            wrong.append("no (more) /%s/" % pattern)
    return wrong + ["in:", out] if wrong else []


LIST = [
    r"^coroutine 1: running, in first$",
    r"^    the first of its runtime$",
    r'^coroutine 2 "the receiver": waiting for receive from channel 0x\w+, '
    r"in receiver$",
    r"^    spawned by 1 in first at \S*parked\.c:\d+$",
    r"^coroutine 3: waiting for sleep, in sleeper$",
    r"^coroutine 4: not begun, in late$",
]
# The compiler may have a second frame for what it splits off a function.
FRAMES = [
    r'^coroutine 2 "the receiver"',
    r"^#[1-9].* below \(.*depth=0",
    r"^#\d+ .* below \(.*depth=1",
    r"^#\d+ .* below \(.*depth=2",
    r"^#\d+ .* below \(.*depth=3",
    r"^#\d+ .* receiver \(",
    r"^#\d+ .* co(__|\.)context_begin \(",
]
ALL = [r"^coroutine 1: running", r"^#\d+ .*reached \(stage=1",
       r"^#\d+ .* co(__|\.)context_begin \("] + FRAMES + [
       r"^coroutine 3: ", r"^#[1-9].* sleeper \(",
       r"^#\d+ .* co(__|\.)context_begin \(",
       r"^coroutine 4: ", r"^    has no frames yet$"]
# In a coroutine: its locals; then back in the thread, as it was.
SWITCH = [r'^coroutine 2 "the receiver"', r"^depth is 3$",
          r"^#\d+ .*reached \(stage=1", r"^stage is 1$"]
switch = ["weft switch 2", "frame function receiver",
          'printf "depth is %d\\n", depth', "weft switch",
          "frame function reached", 'printf "stage is %d\\n", stage']
# Bad input is refused, and gdb goes on.
REFUSED = [r"no coroutine 99", r"x is no id", r"ID \.\.\., or all",
           r"one ID, or none", r"coroutine 4 has no frames"]


def refusals(program, *start):
    """gdb leaves a batch at its first error: one run for each."""
    wrong = []
    for command, want in zip(
            ("weft bt 99", "weft bt x", "weft bt", "weft switch 1 2",
             "weft switch 4"), REFUSED):
        wrong += lacks(gdb(program, *start, command), [want])
    return wrong


# Before and after it has taken the return address off the stack.
RETURN = [r"^Breakpoint \d+, .*__x86_return_thunk", r"^#0 .*__x86_return_thunk",
          r"^#1 .* below \(.*depth=0", r"^#5 .* receiver \(",
          r"^#0 .*__x86_return_thunk", r"^#1 .* below \(.*depth=0",
          r"^#5 .* receiver \(", r"^#0 .* below \(.*depth=0"]


def jumps():
    """Does a library built like this return by a jump?"""
    status, _ = run(os.environ.get("CC", "cc").split() +
                    ["-fsyntax-only", "-xc", "-"], input="""
#if !defined __has_attribute || !__has_attribute(function_return)
#error
#endif
""")
    return status == 0 and not sanitized


def returns(program):
    """A wait that returns by a jump is unwound at each of its steps."""
    out = gdb([program], "break reached", "run", "delete",
              "break __x86_return_thunk", "continue", "bt", "stepi", "bt",
              "stepi", "bt 1")
    return lacks(out, RETURN)


def tests(kind, program, core):
    begin = ["source " + SCRIPT, "break reached", "run"]
    out = gdb([program], *begin, "weft coroutines", "weft bt all", *switch,
              "weft bt 2", "weft switch 2", "continue", "bt",
              "weft coroutines", "continue")
    if re.search(r"ptrace: Operation not permitted|Could not trace", out):
        skip(kind + ", a process", "gdb may not trace here")
        return
    check(kind + ": coroutines of a process are listed", lacks(out, LIST))
    check(kind + ": their frames are shown", lacks(out, LIST + ALL))
    check(kind + ": switching to one and back", lacks(out, ALL + SWITCH))
    check(kind + ": the program goes on unharmed, without the switch",
          lacks(out, SWITCH + FRAMES + [
              r"^#0 .*reached \(stage=2", r"^#1 .*first \(",
              r"^coroutine 1: ", r"exited normally"]))
    if jumps():
        check(kind + ": a return by a jump is unwound at each step",
              returns(program))
    else:
        skip(kind + ": a return by a jump", "this build makes none")
    if sanitized:
        skip(kind + ": a core", "with a sanitizer's memory it is too large")
        return
    # gdb's own writer gives up a piece of memory where a page of it cannot be
    # read, as is so with the guards of stacks: these must be mprotect's.
    saved = core + "-gdb"
    gdb([program], "set env WEFT_STACK_GUARD mprotect", *begin,
        "generate-core-file " + saved)
    check_core(kind + ": a core that gdb wrote", program, saved)
    why = kernel_core(program, core)
    if why:
        skip(kind + ": a core that the kernel wrote", why)
    else:
        check_core(kind + ": a core that the kernel wrote", program, core)
    check(kind + ": what makes no sense is refused",
          refusals([program, saved], "source " + SCRIPT))


def check_core(name, program, core):
    check(name, lacks(gdb([program, core], "source " + SCRIPT,
                          "weft coroutines", "weft bt all", *switch,
                          "weft bt 2"), LIST + ALL + SWITCH + FRAMES))


def kernel_core(program, core):
    """Makes one by abort(); or says why there is none."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
        pattern = f.read().strip()
    if re.search(r"[|/%]", pattern):
        return "core_pattern is " + pattern
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if 0 <= hard < 1 << 30:
        return "the limit on cores is %d" % hard
    folder = core + ".d"
    os.mkdir(folder)
    subprocess.run([program, "abort"], cwd=folder, stderr=subprocess.DEVNULL,
                   preexec_fn=lambda: resource.setrlimit(
                       resource.RLIMIT_CORE, (hard, hard)), timeout=seconds)
    written = os.listdir(folder)
    if not written:
        return "the kernel wrote none"
    os.rename(os.path.join(folder, written[0]), core)
    return None


def compiled(tmp, name, *libraries):
    program = os.path.join(tmp, name)
    status, out = run(
        os.environ.get("CC", "cc").split() + flags + ["-O0", "-g"] +
        ["-I", SRC + "/include", os.path.join(HERE, "parked.c"), "-o",
         program, *libraries] + os.environ.get("WEFT_LIBS", "-lev").split())
    if status:
        check(name + ": parked.c compiles", [out])
        return None
    return program


def why_not():
    if os.environ.get("TEST_WRAPPER"):
        return "built for another machine, or under a wrapper"
    if not shutil.which("gdb"):
        return "there is no gdb; script/deps installs it"
    if "42" not in gdb([], "python print(6 * 7)"):
        return "this gdb has no Python"
    return None


def auto_loaded(tmp, program):
    """As installed: beside the library, which gdb is told to trust."""
    library = os.path.join(tmp, os.path.basename(
        os.path.realpath(BUILT + "/libweft.so")))
    shutil.copy(BUILT + "/libweft.so", library)
    shutil.copy(SCRIPT, library + "-gdb.py")
    os.symlink(library, os.path.join(tmp, "libweft.so.0"))
    out = gdb([program], "set auto-load safe-path " + tmp,
              "set env LD_LIBRARY_PATH " + tmp,
              "break reached", "run", "weft coroutines")
    return lacks(out, LIST)


def main():
    why = why_not()
    if why:
        skip("gdb shows coroutines", why)
        return
    with tempfile.TemporaryDirectory() as tmp:
        check("without weft it says so", lacks(
            gdb(["/bin/true"], "source " + SCRIPT, "weft coroutines"),
            [r"the program has no weft in it, or weft has no debug"]))
        program = compiled(tmp, "static", BUILT + "/libweft.a")
        if program:
            tests("static", program, tmp + "/static.core")
        if not os.path.exists(BUILT + "/libweft.so"):
            skip("shared", "this build has no shared library")
            return
        program = compiled(tmp, "shared", BUILT + "/libweft.so",
                           "-Wl,--enable-new-dtags,-rpath," + BUILT)
        if program:
            tests("shared", program, tmp + "/shared.core")
            check("shared: gdb finds the script by itself",
                  auto_loaded(tmp, program))


main()
