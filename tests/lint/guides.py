#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guides.py - the code in the guides is that of programs which run.

A comment in a page names a file; the literal block that follows it stands in
that file line by line.  tests/samples.py runs the C programs and compares
what they print; here those in Go print the same, and with WEFT_LONG=1 those in
Rust.
Examples in the other pages that include what they need must compile.
"""
import os
import re
import shutil
import subprocess
import tempfile

from tap import SRC, check, files, read, run, skip, tree

GUIDES = {
    "man/weft-from-go.7": ("samples/port/go-", (".c", ".go")),
    "man/weft-from-tokio.7": ("samples/port/tokio-", (".c", ".rs")),
    "man/weft-tutorial.7": ("samples/tutorial/", (".c",)),
}
PORT = os.path.join(SRC, "samples/port")
built = os.environ.get("SAMPLES", "").split()


def blocks(page):
    """(its number, the file named before it or None, its text) of each"""
    marker, begin, lines = None, None, []
    for n, line in enumerate(read(page).split("\n"), 1):
        if begin is not None and line == ".Ed":
            yield begin, marker, "\n".join(lines) + "\n"
            marker, begin, lines = None, None, []
        elif begin is not None:
            lines.append(re.sub(r"^\\&", "", line).replace("\\e", "\\"))
        elif line.startswith(".Bd -literal"):
            begin = n
        elif line.startswith('.\\" samples/'):
            marker = line[4:]


def verbatim(page, prefix, endings):
    wrong, shown = [], set()
    for at, name, text in blocks(page):
        place = "%s:%d: " % (page, at)
        if not name or not os.path.isfile(os.path.join(SRC, name)):
            wrong.append(place + "no file is named before this block")
            continue
        shown.add(name)
        if "\n" + text not in "\n" + read(name):
            wrong.append(place + "this does not stand in %s:\n%s" %
                         (name, text))
    for name in tree("samples", *endings):
        if name.startswith(prefix) and name not in shown:
            wrong.append("%s is not in %s" % (name, page))
    return wrong


def programs():
    return [name for prefix in ("samples/port", "samples/tutorial")
            for name in files(prefix, ".c")]


def unpaired():
    wrong = []
    for name in files("samples/port", ".c", ".go", ".rs"):
        stem = os.path.splitext(name)[0]
        other = ".go" if "/go-" in stem else ".rs"
        wrong += [stem + end + " is missing" for end in (".c", other, ".out")
                  if not os.path.isfile(os.path.join(SRC, stem + end))]
    return wrong


def prints(name, command, **more):
    """What is wrong with what the program of another language prints."""
    try:
        p = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                           stderr=subprocess.PIPE, timeout=120, **more)
    except subprocess.TimeoutExpired:
        return ["it hangs"]
    expected = read(os.path.splitext(name)[0] + ".out")
    if p.returncode or p.stdout != expected:
        return ["exit status %d" % p.returncode, p.stdout, p.stderr,
                "it should print:", expected]
    return []


def no_go():
    """Why nothing can be said of Go: each turn of a loop has its own variable
    since 1.22."""
    if not shutil.which("go"):
        return "go is not installed"
    version = run(["go", "env", "GOVERSION"], cwd=SRC)[1]
    found = re.search(r"go(\d+)\.(\d+)", version)
    if not found or tuple(map(int, found.groups())) < (1, 22):
        return "go 1.22 or newer is wanted"
    return None


def go(temporary):
    names = files("samples/port", ".go")
    os.environ["GOTOOLCHAIN"] = "local"
    if not os.environ.get("HOME"):
        os.environ.setdefault("GOCACHE", os.path.join(temporary, "cache"))
    why = no_go()
    if why:
        return [skip(name, why) for name in names]
    if shutil.which("gofmt"):
        check("gofmt has nothing to change",
              run(["gofmt", "-l", PORT])[1].split())
    else:
        skip("gofmt has nothing to change", "gofmt is not installed")
    status, text = run(["go", "mod", "download"], cwd=PORT)
    program = os.path.join(temporary, "program")
    for name in names:
        if status and "golang.org/" in read(name):
            skip(name, "no module from elsewhere: " +
                 " ".join(text.split())[:100])
            continue
        failed, said = run(["go", "build", "-o", program,
                            os.path.basename(name)], cwd=PORT)
        check(name, [said] if failed else prints(name, [program]))


def cargo(temporary):
    names = files("samples/port", ".rs")
    if shutil.which("rustfmt"):
        status, text = run(["rustfmt", "--check", "--edition", "2021"] +
                           [os.path.join(SRC, name) for name in names])
        check("rustfmt has nothing to change", [text] if status else [])
    else:
        skip("rustfmt has nothing to change", "rustfmt is not installed")
    why = None
    if not os.environ.get("WEFT_LONG"):
        why = "building Tokio takes a minute: only with WEFT_LONG=1"
    elif not shutil.which("cargo"):
        why = "cargo is not installed"
    elif run(["cargo", "fetch", "--locked"], cwd=PORT)[0]:
        why = "cargo cannot get tokio here"
    if why:
        return [skip(name, why) for name in names]
    status, text = run(["cargo", "build", "--locked", "--quiet",
                        "--target-dir", temporary], cwd=PORT)
    check("cargo builds them", [text] if status else [])
    for name in names if not status else []:
        stem = os.path.splitext(os.path.basename(name))[0]
        check(name, prints(name, [os.path.join(temporary, "debug", stem)]))


def compiles(text, temporary):
    path = os.path.join(temporary, "example.c")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    status, said = run((os.environ.get("CC") or "cc").split() + [
        "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
        "-Wno-unused-function", "-fsyntax-only",
        "-I" + os.path.join(SRC, "include"), path])
    return [said] if status else []


for page, (prefix, endings) in GUIDES.items():
    check(page + " shows what is in the files",
          verbatim(page, prefix, endings))
check("every program of the guides is built and run",
      [name + " is not in Makefile.am" for name in programs()
       if built and name[:-2] not in built])
check("every one is a pair, with what it prints", unpaired())
check("samples are under 60 lines",
      ["%s: %d lines" % (name, read(name).count("\n"))
       for name in files("samples", ".c") if read(name).count("\n") >= 60])
with tempfile.TemporaryDirectory() as temporary:
    for page in files("man", ".3", ".7"):
        for at, name, text in blocks(page):
            if not name and text.startswith("#include"):
                check("%s:%d: the example compiles" % (page, at),
                      compiles(text, temporary))
    go(temporary)
    cargo(temporary)
