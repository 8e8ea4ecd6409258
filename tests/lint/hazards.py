#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hazards.py - script/hazards finds addresses of thread-locals that outlive a
wait, takes correct code as it is, and finds none in the library, the samples
and the apps of this build."""
import os
import platform
import re
import shutil
import sys
import tempfile

from tap import SRC, check, compilers, read, run, skip

HAZARDS = os.path.abspath(os.path.join(SRC, "script/hazards"))

HEAD = """
#include <errno.h>
#include <unistd.h>
#include <weft.h>
extern _Thread_local int theirs;
_Thread_local int ours;
int *kept(void);
int by_pointer(int (*f)(void));
"""
# name: (code, flags); each with one function that must be reported.
BAD = {
    "errno before and after a wait": ("""
int f(int fd)
{
	int n = (int)read(fd, 0, 1);
	if (n < 0 && errno == EAGAIN) {
		co_sleep(1);
		n = (int)read(fd, 0, 1);
		return n < 0 ? -errno : n;
	}
	return n;
}""", []),
    "a thread-local of a shared object": ("""
int f(void)
{
	theirs++;
	co_yield();
	return theirs;
}""", ["-fPIC"]),
    "its address, taken once": ("""
int f(void)
{
	int *p = &ours;
	__asm__ volatile("" : "+r"(p));
	co_sleep(1);
	return *p;
}""", []),
    "kept in a slot of the stack": ("""
int f(void)
{
	int *volatile p = &ours;
	co_sleep(1);
	return *p;
}""", []),
    "passed to another function": ("""
void g(int *);
void f(void)
{
	int *p = &ours;
	__asm__ volatile("" : "+r"(p));
	co_sleep(1);
	g(p);
}""", []),
    "a wait two calls below": ("""
__attribute__((noinline)) static void a(void) { co_sleep(1); ours++; }
__attribute__((noinline)) static void b(void) { a(); ours++; }
int f(void)
{
	int *p = &errno;
	__asm__ volatile("" : "+r"(p));
	b();
	return *p;
}""", []),
    "on one way through a loop": ("""
int f(int n)
{
	int *p = &ours;
	int sum = 0;
	__asm__ volatile("" : "+r"(p));
	while (n-- > 0) {
		sum += *p;
		if (n & 1)
			co_yield();
	}
	return sum;
}""", []),
}
GOOD = {
    "errno read before the wait only": ("""
int f(int fd)
{
	int n = (int)read(fd, 0, 1);
	int code = n < 0 ? -errno : n;
	if (code == -EAGAIN)
		co_sleep(1);
	return code;
}""", []),
    "functions that never wait": ("""
int f(void)
{
	int *p = &ours;
	__asm__ volatile("" : "+r"(p));
	*p = co_inside();
	*p += (int)co_id();
	return *p;
}""", []),
    "each attempt in a function of its own": ("""
__attribute__((noinline)) static int attempt(int fd)
{
	int n = (int)read(fd, 0, 1);
	return n < 0 ? -errno : n;
}
int f(int fd)
{
	int n;
	while ((n = attempt(fd)) == -EAGAIN)
		co_sleep(1);
	return n;
}""", []),
    "the value of a thread-local": ("""
int f(void)
{
	int v = ours;
	co_sleep(1);
	return v;
}""", []),
    "a protected stack": ("""
int f(void)
{
	volatile char big[64];
	big[0] = 1;
	co_sleep(1);
	return big[0];
}""", ["-fstack-protector-all"]),
}


def compiled(tmp, cc, name, code, flags):
    """The object file, and what is wrong."""
    base = os.path.join(tmp, re.sub(r"\W", "_", name))
    with open(base + ".c", "w", encoding="utf-8") as f:
        f.write(HEAD + code + "\n")
    status, out = run([cc, "-O2", "-w", "-I", SRC + "/include", *flags, "-c",
                       base + ".c", "-o", base + ".o"])
    return base + ".o", [out] if status else []


def reported(path, *options):
    return run([sys.executable, HAZARDS, *options, path])


def planted(tmp, cc):
    for name, (code, flags) in BAD.items():
        path, wrong = compiled(tmp, cc, name, code, flags)
        if not wrong:
            status, out = reported(path)
            if status != 1 or ": f+0x" not in out:
                wrong = ["status %d:" % status, out]
        check("%s, bad: %s" % (cc, name), wrong)
    for name, (code, flags) in GOOD.items():
        path, wrong = compiled(tmp, cc, name, code, flags)
        if not wrong:
            status, out = reported(path)
            wrong = [out] if status else []
        check("%s, good: %s" % (cc, name), wrong)
    code = """
int f(int (*g)(void))
{
	int *p = &ours;
	__asm__ volatile("" : "+r"(p));
	g();
	return *p;
}"""
    path, wrong = compiled(tmp, cc, "pointer", code, [])
    if not wrong and [reported(path)[0], reported(path, "-i")[0]] != [0, 1]:
        wrong = [reported(path, "-i")[1]]
    check(cc + ": calls by pointer may park with -i", wrong)


def refused(tmp):
    text = os.path.join(tmp, "text.o")
    with open(text, "w", encoding="utf-8") as f:
        f.write("no object\n")
    wrong = []
    for path in (text, os.path.join(tmp, "nowhere.o")):
        status, out = reported(path)
        if status != 2 or not out.startswith("hazards: "):
            wrong += ["status %d:" % status, out]
    return wrong


def objects(folder):
    """Object files of programs of this build."""
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.join(place, n) for n in names if n.endswith(".o")]
    return sorted(found)


def tree():
    library = ".libs/libweft.a"
    status, out = run([sys.executable, HAZARDS, "--value", "co__self",
                       library])
    check("none in the library, nor of what self_get() gives",
          [out] if status else [])
    # The list of what never waits, against the library itself.
    status, out = run([sys.executable, HAZARDS, "--parking", library])
    parking = set(re.findall(r"^(\w+): ", out, re.M))
    never = set(re.search(r'NEVER = set\("""(.*?)"""', read("script/hazards"),
                          re.S).group(1).split())
    public = set(re.findall(r"^\t(\w+);$", read("lib/weft.map"), re.M))
    wrong = [n + " parks" for n in sorted(never & parking)]
    wrong += [n + " is no public name" for n in sorted(never - public)]
    if status or "co_sleep" not in parking or "chan_unref" in parking:
        wrong += ["this cannot be what parks:", out]
    check("what script/hazards takes never to wait does not", wrong)
    found = objects("samples")
    if found:
        status, out = run([sys.executable, HAZARDS, *found])
        check("none in %d object files of samples" % len(found),
              [out] if status else [])
    else:
        skip("none in samples", "no sample is built")


def main():
    if not shutil.which("objdump"):
        skip("script/hazards", "there is no objdump (Debian: binutils)")
        return
    if platform.machine() != "x86_64" or os.environ.get("TEST_WRAPPER"):
        skip("script/hazards", "it is for x86_64")
        return
    here, missing = compilers("gcc", "clang")
    with tempfile.TemporaryDirectory() as tmp:
        for cc in here:
            planted(tmp, cc)
        check("what is no object file is refused", refused(tmp))
    for cc in missing:
        skip("with " + cc, "it is not installed")
    flags = os.environ.get("WEFT_BUILD_CFLAGS", "")
    if "-fsanitize" in flags:
        skip("the library", "a sanitizer has thread-locals of its own")
    elif "-flto" in flags:
        skip("the library", "object files of -flto hold no code")
    else:
        tree()


main()
