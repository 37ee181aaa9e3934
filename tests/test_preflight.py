"""What is missing to build is said in one sentence, which names what to install."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
from conftest import PACKAGE, ROOT, needs_compiler, run_script

PREFLIGHT = ROOT / "tools" / "preflight.py"


@pytest.fixture
def preflight():
    spec = importlib.util.spec_from_file_location("preflight", PREFLIGHT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_compiler
def test_nothing_is_missing_here(preflight):
    assert preflight.missing() is None


def test_a_missing_compiler(preflight, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    sentence = preflight.missing()
    assert sentence.startswith("There is no C compiler (no-such-compiler)")
    assert "install the package gcc" in sentence


@needs_compiler
def test_missing_headers(preflight, monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    name = "pypy3" if sys.implementation.name == "pypy" else "python3"
    assert "headers" in preflight.missing()
    assert f"install the package {name}-dev" in preflight.missing()


@needs_compiler
@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv(preflight, monkeypatch, module):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == module else find_spec(name),
    )
    assert f"has no module {module}" in preflight.missing()
    assert "-venv" in preflight.missing()


def test_an_interpreter_that_is_too_old(preflight, monkeypatch):
    monkeypatch.setattr(preflight.sys, "version_info", (3, 8, 18))
    assert "lowthread needs Python 3.9 or later" in preflight.missing()


def make(*args, **env):
    return subprocess.run(
        ["make", "--no-print-directory", *args],
        cwd=ROOT,
        # Not what a make that runs these tests was told on its command line.
        env={**{k: v for k, v in os.environ.items() if not k.startswith("MAKE")}, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_stops_with_the_sentence():
    result = make("preflight", CC="no-such-compiler")
    assert result.returncode != 0
    first = result.stderr.splitlines()[0]
    assert "install the package gcc" in first
    assert "Traceback" not in result.stderr


def test_make_names_an_interpreter_that_is_missing():
    result = make("build", "PYTHON=python3.99")
    assert result.returncode != 0
    assert "There is no 'python3.99': install the package python3.99" in result.stderr


@pytest.mark.parametrize("python", ["/bin/false", "/bin/true", "/"])
def test_make_says_what_is_no_interpreter(python):
    result = make("build", f"PYTHON={python}")
    assert result.returncode != 0
    assert "name another" in result.stderr.splitlines()[0]
    assert "Traceback" not in result.stderr


def test_make_says_how_one_can_wait():
    result = make("build", "WAIT=sleep")
    assert result.returncode != 0
    assert "WAIT is 'sleep', but must be futex or pthread" in result.stderr


def test_the_c_tests_need_a_compiler():
    result = make("test-c", "CC=no-such-compiler")
    assert result.returncode != 0
    assert "There is no C compiler (no-such-compiler): install the package gcc" in result.stderr


def test_a_package_that_is_not_built(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "lowthread", ignore=shutil.ignore_patterns("*.so"))
    result = run_script(
        """
        try:
            import lowthread
        except ImportError as error:
            print(error)
        """,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
    )
    assert f"native module is not built for {sys.executable}" in result.ok()
    assert "make build" in result.out


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy has cffi built in")
def test_a_missing_cffi():
    result = run_script(
        """
        import sys
        sys.modules["_cffi_backend"] = None  # as if it were not installed
        try:
            import lowthread
        except ImportError as error:
            print(error)
        """
    )
    words = f"lowthread needs the package cffi, which {sys.executable} has not: pip install cffi\n"
    assert result.ok() == words
