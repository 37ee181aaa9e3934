"""What `make bench` measured, as tables and pictures: bench/results.md is the data."""

import math
import pathlib
import re

from drawings.svg import Picture

FILE = pathlib.Path(__file__).parents[2] / "bench" / "results.md"

_UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "B": 1}
_CELL = re.compile(r"(?P<amount>[\d.]+) (?P<unit>ns|µs|ms|B)(?: \(\*\*(?P<ratio>[<\d.]+)\*\*\))?")
#: That can be told apart, on a light page and on a dark one.
COLORS = ["#c2703d", "#b8860b", "#2f9e6e", "#3b82c4", "#8a63c9", "#d1495b", "#7a8a99"]
COLORS += ["#b5478f", "#5f8f2f", "#2a9d9d"]


class Cell:
    """One number: what is printed, in ns or bytes, and the ratio to the interpreter's own."""

    def __init__(self, text):
        match = _CELL.fullmatch(text)
        if match is None:
            raise ValueError(f"{FILE} has a cell that is no number with a unit: {text!r}")
        self.shown = f"{match['amount']} {match['unit']}"
        self.value = float(match["amount"]) * _UNITS[match["unit"]]
        self.shown_ratio = match["ratio"]
        # "<0.01" is drawn there.
        self.ratio = float(match["ratio"].lstrip("<")) if match["ratio"] else None


def read():
    """Return {interpreter: {row: {subject: Cell}}}, in the order of the file."""
    results = {}
    for part in FILE.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, _, rest = part.partition("\n")
        # Below that first table, if it was measured, is what it costs to have waits told of.
        table = rest.partition("\n### ")[0]
        lines = [line for line in table.split("\n") if line.startswith("|")]
        subjects, _, *rows = [[c.strip() for c in line[1:-1].split("|")] for line in lines]
        results[name] = {
            row: {s: Cell(c) for s, c in zip(subjects[1:], cells) if c} for row, *cells in rows
        }
    if not results:
        raise ValueError(f"{FILE} has no tables")
    return results


def _rows(results):
    return list(dict.fromkeys(row for result in results.values() for row in result))


def ratios():
    """Return a table in Markdown: what lowthread takes in terms of the interpreter's own."""
    results = read()
    lines = ["| | " + " | ".join(results) + " |", "|---" + "|--:" * len(results) + "|"]
    for row in _rows(results):
        ours = [result.get(row, {}).get("lowthread") for result in results.values()]
        cells = ["" if cell is None else cell.shown_ratio for cell in ours]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def everything():
    """Return the tables of each interpreter, in Markdown, and what was measured with."""
    return "\n".join(FILE.read_text(encoding="utf-8").split("\n")[2:])


def _legend(picture, colors, x, y):
    for i, (name, color) in enumerate(colors.items()):
        here = x + i % 4 * 150
        down = y + i // 4 * 20
        picture.circle(here, down, 5, color=color)
        picture.text(here + 10, down + 4, name, anchor="start", kind="small")


def draw_ratios():
    """Return a picture of `ratios()`, on a logarithmic scale."""
    results = read()
    rows = _rows(results)
    picture = Picture("What lowthread takes, in terms of the interpreter's own")
    left, right, top, step = 270, 720, 70, 24
    low, high = 0.01, 3

    def x_of(ratio):
        part = math.log(min(max(ratio, low), high) / low) / math.log(high / low)
        return left + 10 + part * (right - left - 20)

    bottom = top + step * len(rows)
    for tick in (0.01, 0.03, 0.1, 0.3, 1, 3):
        kind = "one" if tick == 1 else "grid"
        picture.line((x_of(tick), top - 8), (x_of(tick), bottom), kind=kind)
        picture.text(x_of(tick), top - 14, f"{tick:g}", kind="small")
    _legend(picture, dict(zip(results, COLORS)), 40, 12)
    for i, row in enumerate(rows):
        y = top + step * (i + 0.5)
        picture.line((left, y + step / 2), (right, y + step / 2), kind="grid")
        picture.text(left - 8, y + 4, row, anchor="end", kind="small")
        for j, (name, result) in enumerate(results.items()):
            cell = result.get(row, {}).get("lowthread")
            if cell is None:
                continue
            told = f"{row}, {name}: {cell.shown} ({cell.shown_ratio})"
            if cell.ratio > high:
                picture.text(x_of(high) + 8, y + 4, "→", kind="small")
            shift = (j - (len(results) - 1) / 2) * 3
            picture.circle(x_of(cell.ratio), y + shift, 4.5, color=COLORS[j], told=told)
    return picture


def draw_pairs(row="acquire + release"):
    """Return a picture of what an uncontended pair takes with everybody."""
    results = read()
    subjects = list(dict.fromkeys(s for result in results.values() for s in result[row]))
    limit = 300
    picture = Picture("An uncontended acquire and release, in ns")
    left, right, y = 130, 650, 62
    # Grey for what is there without a package.
    *others, grey = COLORS[:7]
    colors = dict(zip(subjects, [grey, *others]))
    _legend(picture, colors, 40, 12)
    for name, result in results.items():
        begin = y
        for subject, cell in result[row].items():
            wide = min(cell.value, limit) / limit * (right - left)
            color = colors[subject]
            picture.add(
                f'<rect style="fill:{color}" x="{left}" y="{y}" width="{wide:.1f}" height="11"/>'
            )
            more = " →" if cell.value > limit else ""
            picture.text(left + wide + 5, y + 10, cell.shown + more, anchor="start", kind="small")
            y += 15
        picture.text(left - 8, (begin + y) / 2, name, anchor="end", kind="small")
        y += 12
    return picture
