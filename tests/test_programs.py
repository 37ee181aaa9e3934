"""Programs that know nothing of lowthread do the same on it as without it.

They are those in programs/, and run what others made: web servers, a crawler, a database.
`make programs` installs that; without it they are skipped.
"""

import importlib.util
import json
import os
import pathlib
import re

import pytest
from conftest import PYPY, ROOT, SCRIPTS, run_lowthread, run_script

import lowthread

# What each of them imports that is not there in every environment.
PROGRAMS = {
    "crawl": ["requests", "urllib3"],
    "flask_run": ["flask", "urllib3"],
    "flask_server": ["flask", "requests"],
    "sqlalchemy_threads": ["sqlalchemy", "_sqlite3"],
    "tqdm_map": ["tqdm"],
    "waitress_server": ["waitress"],
}

# Those that are about a child of theirs, which is to be on lowthread too.
WITH_CHILDREN = ["flask_run"]

#: Longer than the programs themselves wait for anything, and than all of them take.
TIMEOUT = 300


def need(packages):
    """Skip the test, or with LOWTHREAD_PROGRAMS=1 fail, where a package is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        why = f"there is no {' and no '.join(missing)} here: `make programs` installs what it can"
        if os.environ.get("LOWTHREAD_PROGRAMS") == "1":
            pytest.fail(why)
        pytest.skip(why)


def run(folder, *command):
    """Run `python *command` in a folder; return what it printed, and what its threads were."""
    reports = folder / "reports"
    reports.mkdir(parents=True)
    path = os.pathsep.join([str(SCRIPTS / "watching"), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": path, "REPORTS": str(reports)}
    first, *rest = command
    process = run_script(pathlib.Path(first), *rest, timeout=TIMEOUT, env=env, cwd=folder)
    return process.ok(), [json.loads(report.read_text()) for report in reports.iterdir()]


def test_no_program_is_forgotten():
    assert sorted(path.stem for path in (ROOT / "programs").glob("*.py")) == sorted(PROGRAMS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_on_lowthread(name, tmp_path):
    need(PROGRAMS[name])
    program = ROOT / "programs" / f"{name}.py"
    options = ["--children"] if name in WITH_CHILDREN else []
    processes = 2 if name in WITH_CHILDREN else 1

    without, reports = run(tmp_path / "without", program)
    assert len(reports) == processes
    for report in reports:
        assert (report["module"], report["backend"]) == ("built-in", None)
        assert report["locks"] == ["_thread", "_thread"]

    on_lowthread, reports = run(tmp_path / "on", "-mlowthread", *options, program)
    assert on_lowthread == without
    assert len(without.splitlines()) > 1
    assert len(reports) == processes
    for report in reports:
        assert (report["module"], report["backend"]) == ("lowthread", lowthread.backend)
        assert report["locks"] == ["lowthread", "lowthread"]
        counts, host_counts = zip(*report["threads"])
        assert max(counts) > 1
        assert set(host_counts) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_watched_it_does_the_same(name, tmp_path):
    """No deadlock is seen where there is none, and the profile has places of the program."""
    need(PROGRAMS[name])
    program = ROOT / "programs" / f"{name}.py"
    without = run_script(program, timeout=TIMEOUT, cwd=tmp_path).ok()

    file = tmp_path / "profile.json"
    options = ["--deadlocks=0.2", "--lock-order", "--dump-signal=USR1", f"--profile={file}"]
    watched = run_lowthread(*options, program, timeout=TIMEOUT, cwd=tmp_path)
    assert (watched.code, watched.out) == (0, without), watched.err
    # Nothing but the table, and where the file is.
    assert re.match(r"lowthread: \d+ waits for locks", watched.err), watched.err
    assert watched.err.count("lowthread: ") == 2, watched.err
    assert watched.err.endswith(f"lowthread: --profile: wrote {file}\n"), watched.err
    events = json.loads(file.read_text())["traceEvents"]
    waits = [event for event in events if event["ph"] == "X"]
    assert any(f"{name}.py:" in json.dumps(wait) for wait in waits)
    placeless = [wait for wait in waits if not wait["args"]["stack"]]
    if PYPY:
        # Those of the main thread, and of who has been notified, if they are short.
        [main] = {e["tid"] for e in events if e["ph"] == "M" and e["args"]["name"] == "MainThread"}
        known = [w for w in placeless if w["tid"] == main or w["args"]["kind"] == "RLock"]
        placeless = [wait for wait in placeless if wait not in known or wait["dur"] > 500_000]
    assert not placeless
