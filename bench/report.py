# SPDX-License-Identifier: MIT
"""report.py - the results as a table of tab-separated values, and as a page.

A line of the results is one peer's metric: the median of its runs, the least,
the most, how many, each value in the order of the runs, and of which weft, with
how many threads of others on the machine.  Lines that begin with # say on what
machine."""
import os
import statistics

import plan

COLUMNS = ("question", "k", "suffix", "peer", "workers", "metric", "unit",
           "median", "min", "max", "runs", "values", "failed", "of")


def rows(key, found, of):
    made = []
    for (peer, workers, metric), (unit, values, wrong) in found.items():
        made.append({"key": key, "peer": peer, "workers": workers,
                     "metric": metric, "unit": unit, "values": values,
                     "failed": wrong, "of": of})
    return made


def save(path, facts, table):
    with open(path + ".new", "w") as f:
        for name, text in facts:
            f.write("# %s: %s\n" % (name, text))
        f.write("\t".join(COLUMNS) + "\n")
        for r in table:
            v = r["values"]
            numbers = ["%.6g" % x for x in
                       (statistics.median(v), min(v), max(v))] if v else \
                ["", "", ""]
            f.write("\t".join([r["key"][0], str(r["key"][1]), r["key"][2],
                               r["peer"], str(r["workers"]), r["metric"],
                               r["unit"]] + numbers +
                              [str(len(v)), " ".join("%.6g" % x for x in v),
                               r["failed"], r["of"]]) + "\n")
    os.replace(path + ".new", path)


def load(path):
    facts, table = [], []
    if not os.path.exists(path):
        return facts, table
    with open(path) as f:
        for line in f:
            if line.startswith("# "):
                facts.append(tuple(line[2:].rstrip("\n").split(": ", 1)))
                continue
            part = dict(zip(COLUMNS, line.rstrip("\n").split("\t")))
            if part["question"] == "question":
                continue
            table.append({
                "key": (part["question"], int(part["k"]), part["suffix"]),
                "peer": part["peer"], "workers": int(part["workers"]),
                "metric": part["metric"], "unit": part["unit"],
                "values": [float(x) for x in part["values"].split()],
                "failed": part["failed"], "of": part.get("of", "")})
    return facts, table


def figure(x):
    if x >= 1000:
        return "{:,.0f}".format(x)
    return "%.3g" % x if x < 100 else "%.0f" % x


def spread(r):
    return "%s-%s" % (figure(min(r["values"])), figure(max(r["values"])))


def median(r):
    return statistics.median(r["values"])


def name(peer):
    return "weft" if peer == "weft" else plan.PEERS[peer][0]


def best_of(metric, those):
    """The best peer's row: no floor, and for the switch whoever has one."""
    those = [r for r in those if r["values"] and
             r["peer"] not in plan.FLOORS | plan.OURS and
             (metric == "switch" or r["peer"] != "boost_context")]
    choose = max if metric in plan.MORE_IS_BETTER else min
    return choose(those, key=median) if those else None


def verdict(metric, workers, mine, metrics):
    """(the goal as text, whether it is met)"""
    goal = plan.GOALS.get((metric, workers))
    if not goal:
        return "", ""
    limit, peer, ratio = goal
    sign = ">=" if metric in plan.MORE_IS_BETTER else "<="
    text = []
    if limit is not None:
        text.append("%s %s" % (sign, figure(limit)))
        met = mine >= limit if sign == ">=" else mine <= limit
    if peer:
        # One that knows only one worker is held against more of ours, too.
        other = [r for w in (workers, 1) for r in metrics.get((metric, w), [])
                 if r["peer"] == peer and r["values"]]
        line = "%.2f of %s" % (ratio, name(peer))
        if other:
            now = mine / median(other[0])
            line += " (is %.2f)" % now
            met = now <= ratio
        elif limit is None:
            return line, "?"
        text.append(line)
    return ", ".join(text), "yes" if met else "**no**"


def ours(those):
    for r in those:
        if r["peer"] in ("weft", "weft_context") and r["values"]:
            return r
    return None


def summary(f, workers, metrics):
    f.write("\n## %s\n\n" % ("One worker" if workers == 1 else
                             "%d workers" % workers))
    f.write("| work | unit | weft | spread | best peer | its | weft : best | "
            "goal | met |\n|---|---|---|---|---|---|---|---|---|\n")
    for (metric, w), those in metrics.items():
        mine = ours(those)
        if w != workers or not mine:
            continue
        best = best_of(metric, those)
        goal, met = verdict(metric, w, median(mine), metrics)
        f.write("| %s | %s | **%s** | %s | %s | %s | %s | %s | %s |\n" % (
            plan.TITLES.get(metric, metric), mine["unit"],
            figure(median(mine)), spread(mine),
            name(best["peer"]) if best else "",
            figure(median(best)) if best else "",
            "%.2f" % (median(mine) / median(best))
            if best and median(best) else "", goal, met))


def everybody(f, metric, workers, those):
    more = metric in plan.MORE_IS_BETTER
    those = sorted((r for r in those if r["values"]), key=median,
                   reverse=more)
    if len(those) < 2:
        return
    mine = ours(those)
    f.write("\n### %s, %s%s\n\n" % (
        plan.TITLES.get(metric, metric), those[0]["unit"],
        "" if workers == 1 else ", %d workers" % workers))
    f.write("| who | median | spread | runs | to weft |\n"
            "|---|---|---|---|---|\n")
    for r in those:
        mark = "**" if r["peer"].startswith("weft") else ""
        f.write("| %s%s%s | %s | %s | %d | %s |\n" % (
            mark, name(r["peer"]), mark, figure(median(r)), spread(r),
            len(r["values"]), "%.2f" % (median(r) / median(mine))
            if mine and median(mine) else ""))


def write(path, facts, table):
    metrics = {}
    # In the order of the plan, whenever each was measured.
    order = [(q["program"], q["k"], q["suffix"]) for q in plan.QUESTIONS]
    table = sorted((r for r in table if r["key"] in order),
                   key=lambda r: order.index(r["key"]))
    for r in table:
        metrics.setdefault((r["metric"], r["workers"]), []).append(r)
    with open(path, "w") as f:
        f.write("# weft beside its peers\n\nMade by bench/run; do not edit.  "
                "Medians, and least-most of all runs; runs of\nall who answer "
                "one question take turns.  The goals' absolute figures were "
                "set on\nanother machine: where a goal names a peer, the "
                "ratio to it in this run decides.\nC++20 with its hand-made "
                "scheduler, raw epoll and libev are floors, never \"the\n"
                "best peer\".\n\n")
        for fact, text in facts:
            f.write("- %s: %s\n" % (fact, text))
        for of in sorted({r["of"] for r in table if r["of"]}):
            f.write("- measured of %s: %s\n" % (of, ", ".join(sorted(
                {r["key"][0] + r["key"][2] for r in table
                 if r["of"] == of}))))
        failures = [r for r in table if r["failed"]]
        for r in failures:
            f.write("- failed: %s, %s, %d worker%s: %s\n" % (
                r["metric"], name(r["peer"]), r["workers"],
                "s"[r["workers"] == 1:], r["failed"]))
        for workers in sorted({w for _, w in metrics}):
            summary(f, workers, metrics)
        f.write("\n## Everybody\n")
        for (metric, workers), those in metrics.items():
            everybody(f, metric, workers, those)
