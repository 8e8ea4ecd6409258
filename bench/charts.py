# SPDX-License-Identifier: MIT
"""charts.py - the results as one page that needs nothing else: report.md's
tables, and charts that gnuplot has drawn."""
import html
import re
import shutil
import subprocess

import plan
import report

# A colour for each peer, the same in all charts.
COLOURS = {
    "weft": "#c0392b", "weft_context": "#c0392b", "weft_shared": "#e6b0aa",
    "libdill": "#2e86c1",
    "libmill": "#85c1e9", "boost_context": "#1e8449", "boost_fiber": "#58d68d",
    "cxx20": "#808b96", "machine": "#bdc3c7", "stackful": "#566573",
    "go": "#5dade2", "tokio": "#ca6f1e", "pthread": "#7d3c98",
    "epoll": "#99a3a4", "libev": "#ccd1d1",
}
STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 62em; margin: 2em auto;
    padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border: 1px solid #ddd; padding: .2em .6em; text-align: right }
td:first-child, th:first-child { text-align: left }
svg { max-width: 100%; height: auto }
"""


def escape(text):
    """For gnuplot, whose strings are in double quotes."""
    return re.sub(r'["\\]', "", text)


def script(title, unit, metrics, table):
    """What gnuplot is told, or None when there is nothing to draw."""
    value = {(r["peer"], r["metric"]): report.median(r) for r in table
             if r["workers"] == 1 and r["values"]}
    peers = [p for p in ["weft"] + list(plan.PEERS)
             if any(value.get((p, m), 0) > 0 for m in metrics)]
    metrics = [m for m in metrics if any((p, m) in value for p in peers)]
    if len(peers) < 2 or not metrics:
        return None
    lines = ["$data << END"]
    for m in metrics:
        lines.append('"%s" ' % escape(plan.TITLES.get(m, m)) + " ".join(
            "%g" % value[p, m] if value.get((p, m), 0) > 0 else "NaN"
            for p in peers))
    lines += [
        "END",
        "set terminal svg noenhanced size 1000,%d font 'sans-serif,12'" %
        (190 + 14 * len(metrics) * (len(peers) + 1)),
        'set title "%s"' % escape(title),
        "set style fill solid", "set logscale x", "set grid xtics",
        'set xlabel "%s, on a scale of powers of ten"' % escape(unit),
        "set yrange [%d:-1]" % (len(metrics) * (len(peers) + 1)),
        "set key below", "set lmargin 44",
        "set ytics (" + ", ".join('"%s" %g' % (
            escape(plan.TITLES.get(m, m)),
            i * (len(peers) + 1) + (len(peers) - 1) / 2)
            for i, m in enumerate(metrics)) + ")"]
    floor = min(v for (p, m), v in value.items() if m in metrics and v > 0)
    lines.append("low = %g" % (floor / 2))
    lines.append("set xrange [low:]")
    lines.append("plot " + ", ".join(
        "$data using (low):($0*%d+%d):(low):(column(%d)):"
        "($0*%d+%d-0.4):($0*%d+%d+0.4) with boxxyerror lc rgb '%s' "
        'title "%s"' % (len(peers) + 1, i, i + 2, len(peers) + 1, i,
                        len(peers) + 1, i, COLOURS.get(p, "#555555"),
                        escape(report.name(p)))
        for i, p in enumerate(peers)))
    return "\n".join(lines) + "\n"


def draw(text):
    done = subprocess.run(["gnuplot"], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode or "<svg" not in done.stdout:
        raise RuntimeError("gnuplot: " + done.stderr.strip())
    return done.stdout[done.stdout.index("<svg"):]


def inline(text):
    text = html.escape(text, quote=False)
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)


def page(markdown):
    """The little of Markdown that report.py writes."""
    out, table = [], False
    for line in markdown.split("\n"):
        is_row = line.startswith("|")
        if is_row and re.match(r"^[|-]+$", line):
            continue
        if table and not is_row:
            out.append("</table>")
        if is_row:
            cell = "td" if table else "th"
            if not table:
                out.append("<table>")
            out.append("<tr>" + "".join(
                "<%s>%s</%s>" % (cell, inline(c.strip()), cell)
                for c in line.strip("|").split("|")) + "</tr>")
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            out.append("<h%d>%s</h%d>" % (level, inline(line[level + 1:]),
                                          level))
        elif line.startswith("- "):
            out.append("<div>%s</div>" % inline(line[2:]))
        else:
            out.append(inline(line) if line else "<p>")
        table = is_row
    return "\n".join(out)


def write(directory, facts, table):
    """Writes report.html; why not, or nothing."""
    if not shutil.which("gnuplot"):
        return "no gnuplot, so no report.html"
    with open(directory + "/report.md") as f:
        head, rest = f.read().split("\n## ", 1)
    drawn = []
    for title, unit, metrics in plan.DRAWN:
        text = script(title, unit, metrics, table)
        if text:
            drawn.append(draw(text))
    with open(directory + "/report.html", "w") as f:
        f.write("<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                "<title>weft beside its peers</title><style>%s</style>\n"
                "%s\n%s\n%s\n</html>\n" % (STYLE, page(head),
                                           "\n".join(drawn),
                                           page("## " + rest)))
    return ""
