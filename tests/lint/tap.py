# SPDX-License-Identifier: MIT
"""tap.py - what the checks of the whole tree have in common.

A check is a name and a list of what is wrong.  Results are TAP.
"""
import atexit
import concurrent.futures
import os
import shutil
import subprocess
import sys
import traceback

SRC = os.environ.get("srcdir") or os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SLOW = int(os.environ.get("WEFT_TEST_SLOW") or 1)
LIMIT = 60 * SLOW			# s, a watchdog: nothing takes as long
wrapper = os.environ.get("TEST_WRAPPER", "").split()
_number = 0


def check(name, wrong):
    """One result: good when the list `wrong` is empty."""
    global _number
    _number += 1
    print("%sok %d - %s" % ("not " if wrong else "", _number, name))
    for line in wrong:
        for part in str(line).rstrip().split("\n"):
            print("# " + part)
    sys.stdout.flush()


def skip(name, why):
    global _number
    _number += 1
    print("ok %d - %s # SKIP %s" % (_number, name, why))


def _end():
    print("1..%d" % _number)


def _failed(kind, value, trace):
    """A script that breaks is a result that fails."""
    text = "".join(traceback.format_exception(kind, value, trace))
    check("the check itself works", text.split("\n"))


atexit.register(_end)
sys.excepthook = _failed


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


def files(folder, *endings):
    """Files right in a folder of the source tree, by their paths in it."""
    full = os.path.join(SRC, folder)
    if not os.path.isdir(full):
        return []
    return sorted(folder + "/" + name for name in os.listdir(full)
                  if name.endswith(endings) and not name.startswith(".") and
                  os.path.isfile(os.path.join(full, name)))


def tree(folder, *endings):
    """Likewise, with all folders below."""
    found = files(folder, *endings)
    full = os.path.join(SRC, folder)
    for name in sorted(os.listdir(full)) if os.path.isdir(full) else []:
        if os.path.isdir(os.path.join(full, name)) and name[0] != ".":
            found += tree(folder + "/" + name, *endings)
    return found


def compilers(*names):
    """(the ones that are here, the ones that are not)"""
    here = [n for n in names if shutil.which(n)]
    return here, [n for n in names if n not in here]


def run(command, **more):
    """(exit status, what it wrote); after a timeout the status is None."""
    try:
        p = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                           stderr=subprocess.STDOUT, errors="replace", **more)
    except subprocess.TimeoutExpired as e:
        return None, "it hangs\n" + (e.output or b"").decode(errors="replace")
    return p.returncode, p.stdout


def each(function, work):
    """function of each piece of work, as many at once as there are CPUs."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, work))
