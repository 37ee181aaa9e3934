"""Measures one interpreter, the running one: `python -m bench.measure [--quick] FILE`."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata

import pyperf

import lowthread
from bench import costs, threaded
from bench.subjects import OWN, present


def uncontended(quick):
    """Yield (row, subject, ns) by pyperf, in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "uncontended.json")
        # Many short processes rather than few long ones: what varies is the process.
        effort = ["-p", "1", "-n", "2", "-w", "1"] if quick else ["-p", "5", "-n", "3", "-w", "1"]
        if lowthread._load.PYPY:
            effort[-1] = "5"  # its compiler needs to warm up
        subprocess.run(
            [
                *(sys.executable, "-m", "bench.uncontended", "--quiet", "-o", path),
                *("--min-time", "0.02", *effort),
            ],
            check=True,
        )
        for benchmark in pyperf.BenchmarkSuite.load(path):
            row, subject = benchmark.get_name().split("|")
            yield row, subject, benchmark.median() * 1e9


def versions():
    found = {}
    for name in ("lowthread", "cffi", "fastrlock", "gevent", "aiologic", "pyperf"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def cpu():
    """Return the processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            return next(line.split(":")[1].strip() for line in f if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.measure", description=__doc__)
    parser.add_argument("file", help="where the numbers go, as JSON")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    options = parser.parse_args()
    rows = {}

    def note(row, subject, value, ratio):
        rows.setdefault(row, {})[subject] = {"value": value, "ratio": ratio}
        print(f"  {row:42} {subject:18} {value:12.1f} {ratio:6.2f}", flush=True)

    name = f"{platform.python_implementation()} {platform.python_version()}"
    if lowthread._load.PYPY:
        name = f"PyPy {'.'.join(map(str, sys.pypy_version_info[:3]))}"
    print(f"{name}: ns (or bytes), and the ratio to the interpreter's own", flush=True)
    subjects = present()
    load = os.getloadavg()[0]
    alone = {}
    for row, subject, value in uncontended(options.quick):
        alone.setdefault(row, {})[subject] = value
    for row, values in alone.items():
        for subject, value in values.items():
            note(row, subject, value, value / values[OWN])
    rounds, seconds = (2, 0.05) if options.quick else (9, 0.2)
    for result in threaded.measure(subjects, rounds, seconds):
        note(*result)
    size = {subject: threaded.bytes_per_lock(subject) for subject in subjects}
    for subject, value in size.items():
        if value is not None:
            note("bytes per lock, all told", subject, value, value / size[OWN])
    told = {}
    print(
        "what it costs to have waits told of: ns when off and when on, the ratio, what is promised"
    )
    # In more and shorter rounds, as these ratios are near to 1.
    for row, promised, subject, *of in costs.measure(subjects, 3 * rounds, seconds / 3):
        values = dict(zip(("off", "on", "ratio"), of))
        told.setdefault(row, {"promised": promised, "subjects": {}})["subjects"][subject] = values
        numbers = "{off:12.1f} {on:12.1f} {ratio:6.2f}".format(**values)
        print(f"  {row:43} {subject:18} {numbers} {promised:6.2f}", flush=True)
    result = {
        "interpreter": name,
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} x {cpu()}",
        "backend": lowthread.backend,
        "load_before": load,
        "quick": options.quick,
        "rows": rows,
        "costs": told,
    }
    os.makedirs(os.path.dirname(os.path.abspath(options.file)), exist_ok=True)
    with open(options.file, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
