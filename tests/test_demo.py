"""The demo: an index that is the one a single thread builds, and a server's same answers."""

import sys

import pytest
from conftest import ROOT, run_script

pytestmark = pytest.mark.slow

pytest.importorskip("tqdm", reason="the demo's progress bar is tqdm's")


def demo(*args):
    return run_script(
        f"""
        import runpy, sys
        sys.argv[1:] = {list(args)!r}
        runpy.run_module("demo.word_index", run_name="__main__")
        """,
        cwd=ROOT,
        timeout=300,
    )


def test_it_runs_and_its_check_holds():
    out = demo("--threads", "5").ok()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith("had"))
    assert rows["threads"] == "5"
    assert int(rows["files"].replace(",", "")) > 500
    assert int(rows["words"].replace(",", "")) > 10000
    assert int(rows["acquisitions"].replace(",", "")) > int(rows["files"].replace(",", ""))
    assert "had to wait" in out
    assert rows["check"] == "the same index as one thread builds"


def test_a_wrong_number_of_threads():
    result = demo("--threads", "0")
    assert result.code == 2
    assert "must be 1 or more" in result.err


def test_a_worker_that_fails_ends_the_demo(monkeypatch, unraisable):
    monkeypatch.syspath_prepend(str(ROOT))
    from demo import word_index

    index = word_index.Index(["/no/such/file.py"] * 20)
    with pytest.raises(FileNotFoundError):
        index.build(4, lambda done: None)
    unraisable.clear()


def test_an_index_that_differs_is_noticed(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from demo import word_index

    monkeypatch.setattr(word_index, "source_files", lambda: [word_index.__file__])
    monkeypatch.setattr(word_index, "build_alone", lambda paths: {})
    monkeypatch.setattr(sys, "argv", ["word_index"])
    with pytest.raises(SystemExit) as info:
        word_index.main()
    assert info.value.code == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_the_server_gives_the_same_answers():
    pytest.importorskip("waitress", reason="the demo's server is waitress")
    out = run_script("from demo.server import main; main()", cwd=ROOT, timeout=300).ok()
    assert out.splitlines()[-1].split(maxsplit=1) == ["check", "the same answers both ways"]
    assert "on lowthread" in out and "(python -m lowthread programs/waitress_server.py)" in out


def test_answers_that_differ_are_noticed(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from demo import server

    outputs = iter(range(100))
    monkeypatch.setattr(server, "run", lambda through: (f"{next(outputs)}\n", 1.0))
    with pytest.raises(SystemExit) as info:
        server.main()
    assert info.value.code == 1
    assert "DIFFERENT" in capsys.readouterr().out
