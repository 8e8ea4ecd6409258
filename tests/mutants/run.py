#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py - does the suite see a bug that is planted in the library?

    tests/mutants/run.py                all that are not known as killed
    tests/mutants/run.py --only NAME    these (part of a name; may be repeated)
    tests/mutants/run.py --list         what they are
    tests/mutants/run.py --table        the results so far, as in README.md
    tests/mutants/run.py --again        results that are there do not count
    tests/mutants/run.py --own          only the tests that a mutant names
    tests/mutants/run.py --jobs N       so many builds at once (default 1)
    tests/mutants/run.py --limit S      seconds of tests for one (default 300)

Each NAME.patch here is one defect: a header, which parse() describes, and a
unified diff.  A hunk is found by its text, wherever it stands; that it is there
no more, or twice, is an error.

A mutant is put into a copy of the tree, in ${WEFT_BUILD:-build}/mutants/KIND,
where only what depends on the changed file is compiled anew.  Its own tests run
first, then all others, until one fails or the time is up.  Only what fails
again, and passes without the mutant (in KIND.base), is a kill: is_kill().
Results are kept in results.json: a run that was interrupted goes on.

Exit status: 0, all were killed; 1, one survived or could not be tried.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.path.normpath(os.path.join(HERE, "..", ".."))

# How each kind of build is configured.
KINDS = {
    "debug": ["--enable-debug"],
    "chaos": ["--enable-debug", "--enable-chaos"],
    "asan": ["CC=clang", "--enable-asan", "--enable-debug"],
    "tsan": ["CC=clang", "--enable-tsan"],
}
HANG = 20       # seconds for one test function: WEFT_TEST_TIMEOUT


class Broken(Exception):
    """The mutant cannot be tried."""


class Mutant:
    """what, bug, scenario, build, tests, env; hunks: (file, old, new)"""

    def __init__(self, name, text):
        self.name = name
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.parse(text)

    def parse(self, text):
        """
        The header, up to the first line that begins with "---":

            what: one line: what is wrong in the library
            bug: the class of bug
            scenario: B01 to B61, of the conformance list; or -
            build: one of KINDS
            tests: programs to be run first, without "tests/"
            env: NAME=value ..., for the tests; may be left out
        """
        head, diff = re.split(r"^(?=--- )", text, maxsplit=1, flags=re.M)
        field = dict(re.findall(r"^(\w+): (.*)$", head, re.M))
        for key in ("what", "bug", "scenario", "build", "tests"):
            if not field.get(key):
                raise Broken("%s: no %s" % (self.name, key))
            setattr(self, key, field[key])
        if self.build not in KINDS:
            raise Broken("%s: no build %s" % (self.name, self.build))
        self.tests = self.tests.split()
        self.env = dict(e.split("=", 1) for e in
                        field.get("env", "").split())
        self.hunks = []
        path = None
        for part in re.split(r"^(?=--- |@@ )", diff, flags=re.M):
            if part.startswith("--- "):
                path = re.search(r"^\+\+\+ b/(\S+)", part, re.M).group(1)
            elif part.startswith("@@ "):
                lines = part.split("\n")[1:]
                if not lines[-1]:
                    lines.pop()
                self.hunks.append((path, "".join(
                    l[1:] + "\n" for l in lines if l[:1] != "+"), "".join(
                    l[1:] + "\n" for l in lines if l[:1] != "-")))
        if not self.hunks:
            raise Broken("%s: no diff" % self.name)

    def changed(self, read):
        """{path: new text}; read(path) gives the old one."""
        texts = {}
        for path, old, new in self.hunks:
            text = texts.get(path) or read(path)
            if text.count(old) != 1:
                raise Broken("%s: in %s a hunk is found %d times:\n%s" %
                             (self.name, path, text.count(old), old))
            texts[path] = text.replace(old, new)
        return texts


def read_source(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


def mutants():
    found = []
    for name in sorted(os.listdir(HERE)):
        if name.endswith(".patch"):
            with open(os.path.join(HERE, name), encoding="utf-8") as f:
                found.append(Mutant(name[:-6], f.read()))
    return found


def all_tests():
    """Every test program of Makefile.am, the small ones first."""
    text = read_source("Makefile.am").replace("\\\n", " ")
    names = []
    for kind in ("unit", "api", "regress", "stress"):
        names += re.search(r"^%s_tests =(.*)$" % kind, text,
                           re.M).group(1).split()
    return [name[len("tests/"):] for name in names]


# --- building ----------------------------------------------------------------

class Tree:
    """A build of one kind: of the tree itself, or of a copy to spoil."""

    def __init__(self, top, kind, spoiled):
        self.kind = kind
        self.obj = os.path.join(top, kind if spoiled else kind + ".base")
        self.src = self.obj + ".src" if spoiled else SRC
        self.log = self.obj + ".log"
        os.makedirs(self.obj, exist_ok=True)
        if spoiled:
            self.copy()
        if not os.path.exists(os.path.join(self.obj, "Makefile")):
            self.call([os.path.join(self.src, "configure"), "--quiet",
                       "--disable-shared"] + KINDS[kind])
        if self.make("libweft.la", "tests/libharness.a"):
            raise Broken("%s does not build; see %s" % (self.obj, self.log))

    def copy(self):
        """What differs from the source tree is brought in line with it."""
        skip = (".git", "autom4te.cache", "build", "__pycache__")
        for here, folders, files in os.walk(SRC):
            folders[:] = [d for d in folders if d not in skip]
            to = os.path.join(self.src, os.path.relpath(here, SRC))
            os.makedirs(to, exist_ok=True)
            for name in files:
                a, b = os.path.join(here, name), os.path.join(to, name)
                if not os.path.exists(b) or \
                        open(a, "rb").read() != open(b, "rb").read():
                    shutil.copy2(a, b)
                    if os.path.exists(os.path.join(self.obj, "Makefile")):
                        os.utime(b)

    def call(self, command):
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.call(command, cwd=self.obj, stdout=log,
                                   stderr=log, stdin=subprocess.DEVNULL)

    def make(self, *targets):
        return self.call(["make", "-s"] + list(targets))

    def write(self, path, text):
        with open(os.path.join(self.src, path), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, test, env, limit, names=()):
        """(failed functions or None, seconds, the end of what it wrote)"""
        program = os.path.join("tests", test)
        if self.make(program):
            raise Broken("%s does not build; see %s" % (test, self.log))
        begin = time.time()
        more = {"WEFT_TEST_TIMEOUT": str(HANG),
                "TSAN_OPTIONS": "halt_on_error=1",
                "UBSAN_OPTIONS": "print_stacktrace=1"}
        more.update(env)
        p = subprocess.Popen([os.path.join(self.obj, program)] + list(names),
                             cwd=self.obj, env=dict(os.environ, **more),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            out, _ = p.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, _ = p.communicate()
        out = out.decode(errors="replace")
        bad = re.findall(r"^not ok \d+ - (\w+)", out, re.M)
        if not bad and p.returncode == 0:
            bad = None
        return bad, time.time() - begin, out


# --- one mutant --------------------------------------------------------------

def is_kill(tree, base, m, test, bad, out):
    """
    Is it the mutant that fails?  It must fail once more in five times, and what
    is a matter of time, which the machine may be to blame for, three times of
    three; and the same function passes three times without the mutant.
    """
    def fails(which):
        return which.run(test, m.env, 150, bad[:1])[0] is not None

    begin = time.time()
    if any(fails(base) for _ in range(3)):
        return False
    if "the time is up" in out and time.time() - begin > 3 * HANG / 4:
        return False            # it is slow: no hang
    if re.search(r"is -?\d+, not in -?\d+\.\.", out):
        return all(fails(tree) for _ in range(3))
    return any(fails(tree) for _ in range(5))


def try_one(m, tree, base, limit, only_own):
    rest = [] if only_own else [t for t in all_tests() if t not in m.tests]
    spent = 0
    shaky = []
    for test in m.tests + rest:
        left = limit - spent
        if left <= 0:
            break
        bad, seconds, out = tree.run(test, m.env, min(left, 150))
        spent += seconds
        if bad is None:
            continue
        if not bad and seconds >= min(left, 150) - 1:
            continue            # out of time among many: says nothing
        if is_kill(tree, base, m, test, bad, out):
            return {"killed": test, "function": bad[0] if bad else "",
                    "seconds": round(seconds, 1), "in_all": round(spent, 1),
                    "said": out[-2000:]}
        shaky.append(" ".join([test] + bad[:1]))
    return {"killed": None, "in_all": round(spent, 1), "shaky": shaky,
            "own": only_own}


def one(m, tree, base, limit, only_own):
    texts = m.changed(read_source)
    for path, text in texts.items():
        tree.write(path, text)
    try:
        if tree.make("libweft.la"):
            raise Broken("it does not compile; see %s" % tree.log)
        return try_one(m, tree, base, limit, only_own)
    finally:
        for path in texts:
            tree.write(path, read_source(path))


# --- all ---------------------------------------------------------------------

class Results:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.all = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                self.all = json.load(f)

    def of(self, m):
        r = self.all.get(m.name)
        return r if r and r["digest"] == m.digest else None

    def put(self, m, result):
        result["digest"] = m.digest
        with self.lock:
            self.all[m.name] = result
            with open(self.path + ".new", "w", encoding="utf-8") as f:
                json.dump(self.all, f, indent=1)
            os.replace(self.path + ".new", self.path)


def say(m, r):
    if r.get("broken"):
        text = "BROKEN: " + r["broken"]
    elif r["killed"]:
        text = "killed by %s %s after %s s" % (r["killed"], r["function"],
                                               r["in_all"])
    else:
        text = "SURVIVED %s s" % r["in_all"]
    print("%-26s %s" % (m.name, text), flush=True)


def run_kind(top, kind, todo, results, limit, only_own):
    try:
        tree, base = Tree(top, kind, True), Tree(top, kind, False)
    except Broken as e:
        for m in todo:
            results.put(m, {"broken": str(e), "killed": None})
            say(m, results.of(m))
        return
    for m in todo:
        try:
            r = one(m, tree, base, limit, only_own)
        except Broken as e:
            r = {"broken": str(e), "killed": None}
        results.put(m, r)
        say(m, r)


def print_table(chosen, results):
    print("| mutant | in | class of bug | stands for | build | killed by "
          "| s |\n|---|---|---|---|---|---|---|")
    for m in chosen:
        r = results.of(m)
        if not r:
            by, s = "not tried", ""
        elif r["killed"]:
            by, s = "`%s` %s" % (r["killed"], r["function"]), r["in_all"]
        else:
            by, s = "**" + r.get("broken", "SURVIVED") + "**", \
                r.get("in_all", "")
        print("| %s | %s | %s | %s | %s | %s | %s |" % (
            m.name, m.hunks[0][0], m.bug, m.scenario, m.build, by, s))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--only", action="append", default=[])
    p.add_argument("--list", action="store_true")
    p.add_argument("--table", action="store_true")
    p.add_argument("--again", action="store_true")
    p.add_argument("--own", action="store_true")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--limit", type=int, default=300)
    args = p.parse_args()
    chosen = [m for m in mutants() if not args.only or
              any(part in m.name for part in args.only)]
    if args.list:
        for m in chosen:
            print("%-26s %-6s %-4s %s" % (m.name, m.build, m.scenario,
                                          m.what))
        return 0
    top = os.path.abspath(os.path.join(os.environ.get("WEFT_BUILD") or
                                       os.path.join(SRC, "build"), "mutants"))
    os.makedirs(top, exist_ok=True)
    results = Results(os.path.join(top, "results.json"))
    if args.table:
        print_table(chosen, results)
        return 0
    if not os.path.exists(os.path.join(SRC, "configure")):
        sys.exit("run.py: there is no configure: run ./autogen.sh first")
    work = {}
    for m in chosen:
        m.changed(read_source)
        if args.again or not (results.of(m) or {}).get("killed"):
            work.setdefault(m.build, []).append(m)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for f in [pool.submit(run_kind, top, kind, todo, results, args.limit,
                              args.own)
                  for kind, todo in sorted(work.items(),
                                          key=lambda w: -len(w[1]))]:
            f.result()
    alive = [m for m in chosen if not (results.of(m) or {}).get("killed")]
    print("%d of %d killed" % (len(chosen) - len(alive), len(chosen)))
    return 1 if alive else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as e:
        sys.exit("run.py: %s" % e)
