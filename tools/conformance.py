"""Run the standard library's own tests with and without lowthread, and compare.

Each module of tests runs twice in the interpreter that runs this: as it is, and by `python -m
lowthread --children`. A test that passes without has to pass with lowthread too, unless
conformance/exceptions.txt lists it with a reason. Tests that are skipped without lowthread,
and not with it, or the other way round, count too.

On CPython the tests run by `-m test`, on PyPy by `unittest`.
"""

import argparse
import fnmatch
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYPY = sys.implementation.name == "pypy"
NAME = f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"

CHILD = """
from test.support.script_helper import assert_python_ok
ask = "import _thread; print(_thread.allocate_lock().__class__.__module__)"
print(assert_python_ok("-c", ask)[1].decode().strip())
"""

QUICK = [
    *("test_thread", "test_threading", "test_threading_local", "test_threadsignals"),
    *("test_queue", "test_threadedtempfile", "test_threaded_import"),
]
SLOW = [
    *("test_sched", "test_concurrent_futures", "test_socketserver", "test_logging"),
    *("test_contextlib", "test_asyncio"),
]


def read_exceptions(path, name=NAME):
    """Return the patterns of tests that may differ on the interpreter `name`."""
    patterns = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where, test, reason = (line.split(maxsplit=2) + ["", ""])[:3]
        if not reason:
            raise SystemExit(f"{path}:{number}: an interpreter, a test and a reason are needed")
        if fnmatch.fnmatchcase(name, where):
            patterns.append(test)
    return patterns


def place_of(module):
    """Return where a module of tests is, which for one is in a package in some versions.

    None if it is nowhere: not every installation has all of them.
    """
    for place in module, f"test_importlib.{module}":
        if importlib.util.find_spec(f"test.{place}") is not None:
            return place
    return None


def python_command(is_with):
    """Return how to start the base interpreter, with lowthread or without."""
    base = os.path.join(sys.base_exec_prefix, "bin", os.path.basename(sys.executable))
    python = base if os.path.exists(base) else getattr(sys, "_base_executable", sys.executable)
    return [python, *(["-m", "lowthread", "--children"] if is_with else [])]


def environment():
    """Return one in which tests start their children so that they find lowthread.

    With PYTHONHOME they do without -I, which would leave it behind. cffi is found where this
    interpreter has it.
    """
    path = [str(ROOT), *(p for p in sys.path if p.endswith("-packages"))]
    return {
        **os.environ,
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(path),
    }


def run(module, is_with, folder, timeout):
    """Run a module's tests; return {test: outcome} and what was printed."""
    results = os.path.join(folder, f"{module}-{is_with}.xml")
    if PYPY:
        program = [str(ROOT / "conformance" / "unittest_json.py"), module, results]
    else:
        # This one needs "the network", which is 127.0.0.1.
        resources = ["-u", "network"] if module == "test_socketserver" else []
        options = ["--junit-xml", results, "--timeout", str(timeout), *resources]
        program = ["-m", "test", *options, module]
    try:
        done = subprocess.run(
            [*python_command(is_with), *program],
            env=environment(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout + 60,
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace") + f"\n(more than {timeout} s)"
    return (read_json if PYPY else read_junit)(results), output


def read_junit(path):
    if not os.path.exists(path):
        return {}
    outcomes = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        children = {child.tag for child in case}
        outcome = "failed" if children & {"failure", "error"} else "passed"
        if "skipped" in children:
            outcome = "skipped"
        outcomes[case.get("name")] = outcome
    return outcomes


def read_json(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def differences(without, with_lowthread, allowed):
    """Yield (test, outcome without, outcome with, whether that is allowed)."""
    for test in sorted(without.keys() | with_lowthread.keys()):
        before = without.get(test, "missing")
        after = with_lowthread.get(test, "missing")
        if before in (after, "failed"):
            continue
        yield test, before, after, any(fnmatch.fnmatchcase(test, p) for p in allowed)


def check_children(folder):
    """See that children of tests are on lowthread; else the comparison says little."""
    script = os.path.join(folder, "child.py")
    with open(script, "w", encoding="utf-8") as f:
        f.write(CHILD)
    done = subprocess.run(
        python_command(True) + [script],
        env=environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout != "lowthread\n":
        sys.exit(f"children of tests do not run on lowthread: {done.stdout}{done.stderr}")


def check(module, folder, timeout, allowed):
    """Run a module's tests both ways, print a line, and return whether they agree."""
    place = place_of(module)
    if place is None:
        print(f"{module:24} is not among the tests of {sys.base_prefix}")
        return True
    begin = time.monotonic()
    without, printed_without = run(place, False, folder, timeout)
    with_lowthread, printed = run(place, True, folder, timeout)
    if not without:
        print(f"{module:24} no results even without lowthread:\n{printed_without[-3000:]}")
        return False
    found = list(differences(without, with_lowthread, allowed))
    wrong = [d for d in found if not d[3]]
    passed = sum(outcome == "passed" for outcome in with_lowthread.values())
    print(
        f"{module:24} {'DIFFERS' if wrong else 'ok':8}{passed:5} passed "
        f"({sum(o == 'passed' for o in without.values())} without), "
        f"{sum(o == 'failed' for o in without.values())} fail without, "
        f"{len(found) - len(wrong)} listed, {time.monotonic() - begin:4.0f} s",
        flush=True,
    )
    for test, before, after, is_allowed in found:
        print(f"    {test}: {before} without, {after} with{' (listed)' if is_allowed else ''}")
    if wrong:
        print("\n".join(printed.splitlines()[-150:]))
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("modules", nargs="*", help="modules of tests; all that are known if none")
    parser.add_argument("--quick", action="store_true", help="without the slow ones")
    parser.add_argument("--timeout", type=int, default=1200, help="seconds for a module")
    options = parser.parse_args()
    # Ignored, where this runs in the background, it would be ignored by the tests too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    modules = options.modules or (QUICK if options.quick else QUICK + SLOW)
    allowed = read_exceptions(ROOT / "conformance" / "exceptions.txt")
    if importlib.util.find_spec("test.test_threading") is None:
        sys.exit(
            f"{sys.executable} has no tests of its standard library: install the package "
            "pypy3-lib-testsuite, or for CPython libpython3-testsuite"
        )
    with tempfile.TemporaryDirectory() as folder:
        check_children(folder)
        results = [check(m, folder, options.timeout, allowed) for m in modules]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
