"""The benchmark's rows of what it costs to have waits told of; not how much that is."""

import json
import re
import shutil
import signal
import sys

import pytest
from conftest import CFFI, PYPY, ROOT, run_script

pytestmark = pytest.mark.skipif(
    not (ROOT / "bench").exists(), reason="only the source has the benchmark"
)


def test_a_profile_is_on_where_it_is_to_be_and_off_again():
    run_script(
        """
        from bench import costs
        from lowthread._check import lookers, profilers
        from lowthread._deadlock import _look  # that of the dump, on PyPy, stays

        for row, _, switch, _ in costs.ROWS:
            with switch():
                assert len(profilers) == row.endswith(", profile"), row
                assert (_look in lookers) == row.endswith(", dump and deadlocks"), row
            assert not profilers and _look not in lookers, row
        """
    ).ok()


def test_the_dump_is_on_and_off_again():
    result = run_script(
        """
        import io, os, signal, sys, time
        from bench import costs

        for _ in range(2):
            real, sys.stderr = sys.stderr, io.StringIO()
            with costs.dump_and_deadlocks():
                os.kill(os.getpid(), signal.SIGUSR1)
                while "hread" not in sys.stderr.getvalue():
                    time.sleep(0.001)
            sys.stderr = real
        print("dumped", flush=True)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(60)
        """
    )
    assert (result.out, result.code) == ("dumped\n", -signal.SIGUSR1), result.err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no such call")
def test_the_hand_over_is_on_one_processor():
    script = """
        import threading
        from bench import costs

        def allowed():
            with open("/proc/thread-self/status") as status:
                [line] = [line for line in status if line.startswith("Cpus_allowed:")]
            return bin(int(line.split()[1].replace(",", ""), 16)).count("1")

        def of_thread():
            seen = []
            thread = threading.Thread(target=lambda: seen.append(allowed()))
            thread.start()
            thread.join()
            return seen[0]

        before = allowed()
        with costs.one_processor():
            assert of_thread() == 1
        assert of_thread() == before
        costs.hand_over = lambda make, scale: seen.append(of_thread())
        seen = []
        costs.to_and_fro(None, 1)
        assert seen == [1]
    """
    run_script(script).ok()


@pytest.mark.slow
def test_each_row_is_measured_with_each_backend():
    out = run_script(
        """
        import json
        from bench import costs
        from bench.subjects import present

        print(json.dumps(list(costs.measure(present(), 1, 0.001))))
        """,
        timeout=300,
    ).ok()
    subjects = ["lowthread"] if PYPY else ["lowthread", "lowthread (cffi)"]
    measured = json.loads(out)
    rows = list(dict.fromkeys(row for row, *_ in measured))
    assert [(row, subject) for row, _, subject, *_ in measured] == [
        (row, subject) for row in rows for subject in subjects
    ]
    assert sorted(promised for _, promised, *_ in measured[:: len(subjects)]) == [
        *(1.05, 1.1, 1.2, 1.2, 1.2)
    ]
    for *_, off, on, ratio in measured:
        assert off > 0 and on > 0 and ratio == on / off  # as there was one round


# ---- the report ----

RESULT = {
    "interpreter": "CPython 3.13.0",
    "versions": {"lowthread": "0.1.0"},
    "machine": "a machine",
    "load_before": 0.5,
    "quick": False,
    "rows": {
        "with lock": {
            "own": {"value": 80.0, "ratio": 1.0},
            "lowthread": {"value": 20.0, "ratio": 0.25},
        }
    },
}
COSTS = {
    "hand-over, profile": {
        "promised": 1.2,
        "subjects": {
            "lowthread": {"off": 2000.0, "on": 2200.0, "ratio": 1.1},
            "lowthread (cffi)": {"off": 3000.0, "on": 3030.0, "ratio": 1.01},
        },
    }
}


@pytest.fixture
def text(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from bench import report

    return report.text


def test_the_report_has_what_it_costs(text):
    page = text([{**RESULT, "costs": COSTS}])
    assert "### What it costs to have waits told of" in page
    assert (
        "| | promised | lowthread, off | lowthread, on | lowthread (cffi), off "
        "| lowthread (cffi), on |\n"
        "|---|---|---|---|---|---|\n"
        "| hand-over, profile | at most 1.20 | 2.0 µs | 2.2 µs (**1.10**) "
        "| 3.0 µs | 3.0 µs (**1.01**) |"
    ) in page


def test_the_report_does_not_mention_it_if_it_was_not_measured(text):
    assert "costs" not in text([RESULT])


def test_the_manual_compares_only_what_is_in_terms_of_the_interpreters_own(
    text, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    from drawings import results

    file = tmp_path / "results.md"
    file.write_text(text([{**RESULT, "costs": COSTS}]), encoding="utf-8")
    monkeypatch.setattr(results, "FILE", file)
    assert results.ratios().splitlines()[2:] == ["| with lock | 0.25 |"]
    assert "hand-over, profile" in results.everything()


@pytest.mark.slow
@pytest.mark.skipif(CFFI, reason="instructions are counted of the native module")
def test_two_builds_are_compared():
    """A statement that is done twice takes twice as many instructions, whatever else goes on."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind counts them, and is not here")
    out = run_script(
        """
        from bench import builds

        builds.ROWS = {"once": ("l.locked()", "l = {lock}")}
        builds.ROWS["twice"] = ("l.locked(); l.locked()", "l = {lock}")
        for row in builds.ROWS:
            print(builds.instructions(builds.ROOT, row, times=2000))
        """,
        timeout=300,
    ).ok()
    once, twice = map(float, out.split())
    assert once > 20
    assert 1.3 < twice / once < 2.2


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="only the source has the README")
def test_the_readme_says_what_was_measured():
    """The ratios to the interpreter's own, of CPython's newer and older versions and of PyPy."""
    ratios = {}
    for line in (ROOT / "bench" / "results.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            name = line[3:].rpartition(".")[0]
        elif match := re.match(
            r"\| (acquire \+ release|with lock) \|.*?\| \S+ \S+ \(\*\*([\d.]+)\*", line
        ):
            ratios[match[1], name] = match[2]

    def span(row, *names):
        found = sorted({ratios[row, name] for name in names})
        return " to ".join(found[:: max(len(found) - 1, 1)])

    new, old = [f"CPython 3.{minor}" for minor in (11, 12, 13)], ["CPython 3.9", "CPython 3.10"]
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    pair, statement = "acquire + release", "with lock"
    assert (
        f"take {span(pair, *new)} of the time on CPython 3.11 to 3.13, {span(pair, *old)} on 3.9 "
        f"and 3.10, {span(pair, 'PyPy 7.3')} on PyPy (a `with` statement {span(statement, *new)}, "
        f"{span(statement, *old)} and {span(statement, 'PyPy 7.3')})"
    ) in text
