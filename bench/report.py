"""Makes a table and a picture of what was measured: `python -m bench.report FILE...`.

Prints the table, and writes results.md and results.svg to --to.
"""

import argparse
import json
import os

SUBJECTS = ("own", "lowthread", "lowthread (cffi)", "fastrlock", "gevent", "aiologic", "floor")
UNITS = [(1e6, "ms"), (1e3, "µs"), (1, "ns")]


def version_key(result):
    kind, version = result["interpreter"].split()
    return kind, [int(part) for part in version.split(".")]


def load(paths):
    results = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            results.append(json.load(f))
    return sorted(results, key=version_key)


def row_names(results):
    names = []
    for result in results:
        names += [row for row in result["rows"] if row not in names]
    return names


def amount(row, value):
    """Return a number with its unit: ns, or bytes in that row."""
    if row.startswith("bytes"):
        return f"{value:.0f} B"
    factor, unit = next((f, u) for f, u in UNITS if value >= f or u == "ns")
    value /= factor
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def ratio(value):
    """Return a ratio in short, but never as nothing at all."""
    return "<0.01" if value["ratio"] < 0.005 else f"{value['ratio']:.2f}"


def table(result):
    """Return one interpreter's table, in Markdown."""
    subjects = [s for s in SUBJECTS if any(s in row for row in result["rows"].values())]
    lines = [
        f"## {result['interpreter']}",
        "",
        "| | " + " | ".join(subjects) + " |",
        "|---" * (len(subjects) + 1) + "|",
    ]
    for row, values in result["rows"].items():
        cells = []
        for subject in subjects:
            if subject not in values:
                cells.append("")
                continue
            cell = amount(row, values[subject]["value"])
            if subject not in ("own", "floor"):
                cell += f" (**{ratio(values[subject])}**)"
            cells.append(cell)
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    known = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines += ["", f"{known}. Load average before: {result['load_before']:.1f}."]
    if result.get("costs"):  # older files have none
        lines += ["", costs_table(result)]
    return "\n".join(lines)


def costs_table(result):
    """Return one interpreter's table of what it costs to have waits told of, in Markdown."""
    costs = result["costs"]
    subjects = [s for s in SUBJECTS if any(s in row["subjects"] for row in costs.values())]
    lines = [
        "### What it costs to have waits told of",
        "",
        "| | promised | " + " | ".join(f"{s}, off | {s}, on" for s in subjects) + " |",
        "|---" * (2 * len(subjects) + 2) + "|",
    ]
    for row, cost in costs.items():
        cells = [f"at most {cost['promised']:.2f}"]
        for subject in subjects:
            value = cost["subjects"][subject]
            cells += [
                amount(row, value["off"]),
                f"{amount(row, value['on'])} (**{ratio(value)}**)",
            ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text(results):
    machines = sorted({result["machine"] for result in results})
    quick = " **A quick run: it only shows that it works.**" if results[0]["quick"] else ""
    costs = (
        " What it costs to have waits told of is measured likewise, with a profile and the like "
        "on and off in turn; there the ratio is to what it takes when that is off."
    )
    costs = costs if any(result.get("costs") for result in results) else ""
    return "\n\n".join(
        [
            "# What `make bench` measured",
            "In parentheses the ratio to the interpreter's own `_thread`: below 1 is faster, or "
            "less. Rows of one thread are medians of pyperf; rows of several threads are medians "
            "of rounds in which all subjects took turns, and their ratio is the median of the "
            "rounds' ratios, which need not be the ratio of the medians. The floor is two calls "
            "of a method in C that does nothing. `lowthread (cffi)` is the backend in Python, the "
            "only one on PyPy; threads start alike in both." + costs + quick,
            "Measured on: " + "; ".join(machines) + ".",
            *[table(result) for result in results],
        ]
    )


def draw(results, path):
    """Draw lowthread's ratios, and the uncontended pair of everybody."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

    rows = row_names(results)
    names = [result["interpreter"] for result in results]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(14, 0.34 * len(rows) + 1.6), width_ratios=[1.1, 1], layout="constrained"
    )
    ours = [[result["rows"].get(row, {}).get("lowthread") for result in results] for row in rows]
    colors = LinearSegmentedColormap.from_list("", ["#1a8f5a", "#f4f4f0", "#d1495b"])
    left.imshow(
        [[1 if value is None else value["ratio"] for value in line] for line in ours],
        cmap=colors,
        norm=TwoSlopeNorm(1, 0, 2),
        aspect="auto",
    )
    for y, line in enumerate(ours):
        for x, value in enumerate(line):
            if value is not None:
                left.text(x, y, ratio(value), ha="center", va="center", fontsize=9)
    left.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
    left.set_yticks(range(len(rows)), rows)
    left.xaxis.tick_top()
    left.tick_params(length=0)
    left.set_title("lowthread, in terms of the interpreter's own (below 1: faster, or less)")

    row = "acquire + release"
    subjects = [s for s in SUBJECTS if any(s in r["rows"].get(row, {}) for r in results)]
    shades = ["#9a9a9a", "#1a8f5a", "#8fd0b0", "#3b6fb6", "#c58f2c", "#8a5fb0", "#dddddd"]
    height = 0.8 / len(subjects)
    limit = 3 * max(r["rows"][row]["own"]["value"] for r in results)
    for i, subject in enumerate(subjects):
        for y, result in enumerate(results):
            value = result["rows"].get(row, {}).get(subject)
            if value is None:
                continue
            where = y - 0.4 + (i + 0.5) * height
            shown = min(value["value"], limit)
            right.barh(where, shown, height * 0.9, color=shades[SUBJECTS.index(subject)])
            more = " →" if value["value"] > limit else ""
            right.text(shown, where, f" {value['value']:.0f}{more}", va="center", fontsize=7)
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=shades[SUBJECTS.index(subject)]) for subject in subjects
    ]
    right.legend(
        handles, subjects, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=4, fontsize=8
    )
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set_xlim(0, limit * 1.12)
    right.set_xlabel("ns")
    right.spines[["top", "right"]].set_visible(False)
    right.set_title("acquire + release, uncontended")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("files", nargs="+", help="what bench.measure wrote")
    parser.add_argument("--to", default="bench", help="folder for results.md and results.svg")
    options = parser.parse_args()
    results = load(options.files)
    page = text(results)
    print(page)
    os.makedirs(options.to, exist_ok=True)
    with open(os.path.join(options.to, "results.md"), "w", encoding="utf-8") as f:
        f.write(page + "\n")
    draw(results, os.path.join(options.to, "results.svg"))


if __name__ == "__main__":
    main()
