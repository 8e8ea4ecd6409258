#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""md5all_test.py - samples/apps/md5all beside md5sum(1)."""
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lint"))
from tap import SLOW, check, skip, wrapper

PROGRAM = "samples/apps/md5all"
if PROGRAM not in os.environ.get("APPS", "").split():
    skip("md5all", "it is not built: no libcrypto")
    sys.exit()

# Where everything takes its time a part of the tree has to do.
BIG = "/usr/include" if SLOW == 1 and not wrapper else "/usr/include/linux"
SMALL = "/usr/include/linux" + ("/netfilter" if wrapper else "")
ENV = dict(os.environ, LC_ALL="C")


def md5all(*args, **more):
    return subprocess.run(wrapper + ["./" + PROGRAM, *args], env=ENV,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=120 * SLOW,
                          **{"stdout": subprocess.PIPE, **more})


def md5sum(tree, program="md5sum"):
    """What it says of all regular files of the tree, in our order."""
    paths = []
    for folder, _, names in os.walk(os.fsencode(tree)):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                paths.append(path)
    return subprocess.run(["xargs", "-0", "-r", program], stdout=-1, env=ENV,
                          input=b"\0".join(sorted(paths)), check=True).stdout


def differs(p, want, code=0):
    """What is wrong with a run that should have printed `want`."""
    wrong = []
    if p.returncode != code:
        wrong += ["exit status %d" % p.returncode, p.stderr.decode()]
    if p.stdout != want:
        got, want = p.stdout.split(b"\n"), want.split(b"\n")
        wrong += ["it printed %d lines, not %d" % (len(got), len(want))]
        wrong += ["got  %r\nwant %r" % pair for pair in zip(got, want)
                  if pair[0] != pair[1]][:5]
    return wrong


def fails(p, code, text, out=b""):
    return differs(p, out, code) + (
        [] if re.search(text, p.stderr.decode()) else
        ["it should say %r:" % text, p.stderr.decode()])


top = tempfile.mkdtemp(prefix="md5all-")
tree = os.path.join(top, "tree")
os.mkdir(tree)


def put(name, content=b""):
    path = os.path.join(tree, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    return path


# --- beside md5sum ------------------------------------------------------------

if os.path.isdir(BIG):
    check("a large tree, byte for byte",
          differs(md5all(BIG), md5sum(BIG)))
    want = md5sum(SMALL)
    for jobs in "1", "64":
        for workers in "1", "4":
            check("%s jobs, %s workers" % (jobs, workers), differs(
                md5all("--jobs", jobs, "--workers", workers, SMALL), want))
    check("a slash at the end of the name is not doubled",
          differs(md5all(SMALL + "/"), want))
    check("--sha256", differs(md5all("--sha256", SMALL),
                              md5sum(SMALL, "sha256sum")))
else:
    skip("a large tree", "there is no " + BIG)

check("an empty tree", differs(md5all(tree), b""))

for name in ("plain", "with space", "-dash", "back\\slash", "new\nline",
             "back\\nslash and\nline", "tab\t", "\xe9\u4e2d", "a/b/c/d",
             "a.b", "a b", "." + "x" * 250, "empty/.hidden"):
    put(name, name.encode() * 3)
put("nothing")
put("one block", b"x" * (1 << 20))
put("a block and a byte", b"x" * ((1 << 20) + 1))
put("some blocks", bytes(range(256)) * 20000)
deep = "/".join(["d"] * 300) + "/bottom"
put(deep, b"deep")
# None of these is a regular file; a link to a directory above is a loop.
os.symlink("..", os.path.join(tree, "a/loop"))
os.symlink("plain", os.path.join(tree, "link"))
os.symlink("nowhere", os.path.join(tree, "dangling"))
os.mkfifo(os.path.join(tree, "fifo"))
here = os.getcwd()
os.chdir(tree)
with socket.socket(socket.AF_UNIX) as s:
    s.bind("socket")
os.chdir(here)

want = md5sum(tree)
p = md5all(tree)
check("odd names; links, a FIFO and a socket are passed over",
      differs(p, want))
with open(os.path.join(top, "sums"), "wb") as f:
    f.write(p.stdout)
c = subprocess.run(["md5sum", "-c", "--strict", os.path.join(top, "sums")],
                   stdout=-1, stderr=subprocess.STDOUT, env=ENV)
check("md5sum -c accepts it", [c.stdout.decode(errors="replace")]
      if c.returncode else [])

# --- errors -------------------------------------------------------------------

check("no such directory", fails(
    md5all(top + "/none"), 1, r"^md5all: .*/none: No such file or directory$"))
check("not a directory", fails(
    md5all(tree + "/plain"), 1, r"^md5all: .*/plain: Not a directory$"))
with open("/dev/full", "wb") as full:
    p = md5all(tree, stdout=full)
check("standard output that takes nothing", [] if p.returncode == 1 and
      b"standard output: No space left" in p.stderr else
      ["%d %r" % (p.returncode, p.stderr)])

# A directory whose name is longer than a path may be: an error for root too.
hidden = os.path.join(tree, "too deep")
os.mkdir(hidden)
os.chdir(hidden)
for _ in range(17):
    os.mkdir("n" * 250)
    os.chdir("n" * 250)
os.chdir(here)
p = md5all(tree)
check("the first error ends all, and is the only one",
      fails(p, 1, r"\Amd5all: .*nnn: File name too long\n\Z"))
check("--keep-going: all others are there",
      fails(md5all("--keep-going", tree), 1, "File name too long", want))
shutil.rmtree(hidden)

lonely = put("secret/plain", b"x")
os.chmod(lonely, 0)
other = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
os.chmod(top, 0o755)
try:
    p = md5all(os.path.dirname(lonely), **other)
    check("an unreadable file",
          fails(p, 1, r"\Amd5all: .*secret/plain: Permission denied\n\Z"))
    p = md5all("-k", tree, **other)
    check("an unreadable file and --keep-going",
          fails(p, 1, r"\Amd5all: .*secret/plain: Permission denied\n\Z",
                want))
except PermissionError:
    skip("an unreadable file", "nobody may not run our programs here")
shutil.rmtree(os.path.dirname(lonely))


def vanishing():
    """Files come and go, and become other things, while it looks."""
    folder = os.path.join(top, "restless")
    os.mkdir(folder)
    ended = threading.Event()

    def stir():
        while not ended.is_set():
            for i in range(50):
                path = "%s/%d" % (folder, i)
                with open(path, "wb") as f:
                    f.write(b"same")
            for i in range(50):
                path = "%s/%d" % (folder, i)
                os.unlink(path)
                os.symlink("/etc/passwd", path)
                os.unlink(path)

    t = threading.Thread(target=stir)
    t.start()
    wrong, seen = [], 0
    good = {hashlib.md5(b).hexdigest() for b in (b"", b"same")}
    said = (r"md5all: \S+/\d+: (No such file or directory|"
            r"It is no regular file any more)")
    for _ in range(3 if wrapper else 30):
        p = md5all("-k", folder)
        lines = p.stderr.decode().splitlines()
        seen += len(lines)
        if p.returncode != (1 if lines else 0):
            wrong.append("exit status %d" % p.returncode)
        wrong += [x for x in lines if not re.fullmatch(said, x)]
        wrong += [x for x in p.stdout.decode().splitlines()
                  if x[:32] not in good]
    ended.set()
    t.join()
    print("# it missed %d files that had been there" % seen)
    return wrong


check("files that vanish or change their kind", vanishing())

# --- signals ------------------------------------------------------------------

endless = os.path.join(top, "endless")
os.mkdir(endless)
with open(os.path.join(endless, "holes"), "wb") as f:
    f.truncate(1 << 40)


def catches(pid, sig):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        caught = re.search(r"SigCgt:\s*(\w+)", f.read())
    return int(caught.group(1), 16) >> (sig - 1) & 1


def killed(sig):
    p = subprocess.Popen(wrapper + ["./" + PROGRAM, endless], env=ENV,
                         stdout=-1, stderr=-1)
    while p.poll() is None and not catches(p.pid, sig):
        time.sleep(0.01)
    p.send_signal(sig)
    try:
        out, err = p.communicate(timeout=60 * SLOW)
    except subprocess.TimeoutExpired:
        p.kill()
        return ["it goes on: %r" % (p.communicate(),)]
    wrong = []
    if p.returncode not in (-sig, 128 + sig):
        wrong.append("exit status %d" % p.returncode)
    if out or (not wrapper and b"md5all: " not in err):
        wrong.append("it printed %r and %r" % (out, err))
    return wrong


for sig in signal.SIGINT, signal.SIGTERM:
    check(sig.name + " ends it at once", killed(sig))

# --- usage --------------------------------------------------------------------

p = md5all("--help")
check("--help", [] if p.returncode == 0 and b"--keep-going" in p.stdout and
      not p.stderr else [repr(p)])
for args in ([], ["a", "b"], ["--none", "a"], ["--jobs", "0", "a"],
             ["--jobs", "x", "a"], ["--workers", "1e3", "a"]):
    check("wrong usage: %s" % " ".join(args), fails(
        md5all(*args), 2, "usage: md5all|a number from 1 to"))

shutil.rmtree(top)
