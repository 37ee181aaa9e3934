"""`python -m lowthread`: a program runs as `python` runs it, with its threads on lowthread."""

import compileall
import os
import re
import subprocess
import sys
import zipfile

import pytest
from conftest import LONG, PACKAGE, PYPY, ROOT, UTF8

import lowthread

SHOW = """
import __main__, sys
names = dict(vars(__main__))
for name in sorted(names):
    value = names[name]
    if name in ("__main__", "sys"):
        continue
    if name == "__spec__" and value is not None:
        value = value.name, value.origin, value.cached, value.parent
    elif hasattr(value, "path"):
        value = type(value), value.name, value.path
    elif name == "__builtins__":
        value = type(value)
    print(name, value)
print(sys.argv, sys.path[:3], sys.flags, sys.warnoptions, sorted(sys._xoptions), __name__)
print(vars(__main__) is globals() is vars(sys.modules["__main__"]))
"""
RAISE = """
def f(n):
    if n:
        f(n - 1)
    raise ValueError("something wrong: \\u00e9")

f(2)
"""
CHAIN = """
try:
    try:
        {}["missing"]
    except KeyError:
        raise OSError("second")
except OSError as error:
    raise RuntimeError("third") from error
"""
HOOK = """
import sys
def hook(kind, error, traceback):
    names = []
    while traceback:
        names.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    print("hook", kind, error, names, sys.excepthook is hook, sys.last_value is error)
sys.excepthook = hook
def g(): 1 / 0
g()
"""
AT_EXIT = """
import atexit, sys, threading
atexit.register(lambda: print("atexit", sys.excepthook is sys.__excepthook__))
threading.Thread(target=lambda: print("thread")).start()
raise SystemExit({})
"""

TEXTS = {
    "show": SHOW,
    "raises": RAISE,
    "chain": CHAIN,
    "hook": HOOK,
    "syntax error": "x = 1\ny = = 2\n",
    "exit 0": AT_EXIT.format(0),
    "exit 3": AT_EXIT.format(3),
    "exit with a message": AT_EXIT.format("'bye'"),
    "exit with nothing": AT_EXIT.format(""),
    "interrupt": "raise KeyboardInterrupt\n",
    "os._exit": "import os\nos._exit(9)\n",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "a thread raises": "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\n",
    "no hook": "import sys\ndel sys.excepthook\n1 / 0\n",
    "hook that fails": "import sys\nsys.excepthook = 5\n1 / 0\n",
    "warning": "import warnings\nwarnings.warn('careful', ResourceWarning)\nopen(__file__)\n",
    "deprecated": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
    "annotations": "x: int = 1\nprint(__annotations__)\n",
    "group": "raise ExceptionGroup('several', [ValueError(1)])\n",
    "latin": "# -*- coding: latin-1 -*-\nprint(ascii('\u00e9'))\n",
    "main function": "def main(): print(__name__)\nif __name__ == '__main__': main()\n",
    "reads": "print(len(input()))\n",
}


def run(arguments, cwd, through=(), options=(), stdin="some text\n", **env):
    """Run python with these arguments; return its exit status and output."""
    done = subprocess.run(
        [sys.executable, *options, *through, *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    # Addresses, and the numbers of threads, differ from run to run.
    err = re.sub(r"0x[0-9a-fA-F]+", "0x", done.stderr)
    return done.returncode, done.stdout, err


def check_same(arguments, cwd, **how):
    """Check that both ways do the same; return that."""
    plain = run(arguments, cwd, **how)
    ours = run(arguments, cwd, through=("-m", "lowthread"), **how)
    assert ours == plain
    return plain


def written(folder, text, name="program.py"):
    encoding = "latin-1" if "latin-1" in text else "utf-8"
    (folder / name).write_text(text, encoding=encoding)
    return name


#: Those that show most of what could differ with where a program comes from.
SHORT = ("show", "raises", "exit 3", "a thread raises", "annotations", "reads")

each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
each_text_if_slow = pytest.mark.parametrize(
    "text",
    [
        pytest.param(x, marks=() if name in SHORT else pytest.mark.slow)
        for name, x in TEXTS.items()
    ],
    ids=TEXTS,
)


# What a traceback of PyPy's, or of an interpreter that lacks a name, shows is its own matter;
# that both ways show the same is what counts.
class TestAProgramIsRunAsPythonRunsIt:
    @pytest.fixture(autouse=True)
    def _is_for_pypy(self, text):
        if PYPY and text == TEXTS["hook that fails"]:
            pytest.skip("what PyPy prints if a hook fails is its own")

    @each_text
    def test_from_a_file(self, text, tmp_path):
        check_same([written(tmp_path, text), "one", "-two", "--", "--children"], tmp_path)

    @each_text_if_slow
    def test_as_a_module(self, text, tmp_path):
        written(tmp_path, text)
        check_same(["-m", "program", "one", "-two"], tmp_path)

    @each_text_if_slow
    def test_as_text(self, text, tmp_path):
        if not UTF8 and not text.isascii():
            pytest.skip("the encoding of arguments has no such letters")
        check_same(["-c", text, "one", "-two"], tmp_path)

    @each_text_if_slow
    def test_from_standard_input(self, text, tmp_path):
        if "latin-1" in text:
            pytest.skip("python itself has trouble with such a line here")
        check_same(["-", "one", "-two"], tmp_path, stdin=text)


def test_these_texts_do_something(tmp_path):
    """Lest both ways agree on nothing."""
    assert check_same([written(tmp_path, RAISE)], tmp_path)[0] == 1
    code, out, err = check_same([written(tmp_path, AT_EXIT.format(3))], tmp_path)
    assert (code, out, err) == (3, "thread\natexit True\n", "")
    code, out, err = check_same([written(tmp_path, HOOK)], tmp_path)
    assert (code, out[:4], err) == (1, "hook", "")
    code, out, err = check_same([written(tmp_path, TEXTS["interrupt"])], tmp_path)
    assert code in (-2, 130) and err.endswith("KeyboardInterrupt\n")
    assert check_same([written(tmp_path, TEXTS["killed"])], tmp_path)[0] == -9


@pytest.mark.parametrize(
    "path", ["./program.py", "sub/../program.py", "{cwd}/program.py", "link.py", "sub/link.py"]
)
@pytest.mark.parametrize("text", [SHOW, RAISE], ids=["show", "raises"])
def test_a_path(path, text, tmp_path):
    written(tmp_path, text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.py").symlink_to("program.py")
    (tmp_path / "sub" / "link.py").symlink_to("../program.py")
    check_same([path.format(cwd=tmp_path), "x"], tmp_path)


@pytest.mark.parametrize("text", [SHOW, RAISE], ids=["show", "raises"])
def test_a_folder(text, tmp_path):
    (tmp_path / "app").mkdir()
    written(tmp_path / "app", text, "__main__.py")
    check_same(["app", "x"], tmp_path)


@pytest.mark.parametrize("text", [SHOW, RAISE], ids=["show", "raises"])
def test_an_archive(text, tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", text)
    check_same(["app.zip", "x"], tmp_path)


@pytest.mark.parametrize("text", [SHOW, RAISE], ids=["show", "raises"])
def test_a_package(text, tmp_path):
    (tmp_path / "package").mkdir()
    written(tmp_path / "package", "print('package')", "__init__.py")
    written(tmp_path / "package", text, "__main__.py")
    written(tmp_path / "package", "from . import __main__\n", "inner.py")
    check_same(["-m", "package", "x"], tmp_path)
    check_same(["-m", "package.inner", "x"], tmp_path)


@pytest.mark.parametrize("text", [SHOW, RAISE], ids=["show", "raises"])
def test_a_compiled_file(text, tmp_path):
    written(tmp_path, text)
    assert compileall.compile_dir(tmp_path, quiet=2, legacy=True)
    (tmp_path / "program.py").unlink()
    check_same(["program.pyc", "x"], tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.py"],
        ["-m", "missing"],
        ["-m", "missing.inner"],
        ["-mjson.tool", "--help"],
        ["-cprint(1)"],
        ["-m", "empty"],
        ["empty"],
        ["."],
        [""],
        ["./empty"],
    ],
    ids=" ".join,
)
def test_what_is_not_there(arguments, tmp_path):
    (tmp_path / "empty").mkdir()
    check_same(arguments, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["-W", "error"],
        ["-W", "error::DeprecationWarning"],
        ["-W", "ignore"],
        ["-X", "dev"],
        ["-X", "utf8"],
        ["-X", "faulthandler", "-X", "something=1"],
        ["-O"],
        ["-OO"],
        ["-B", "-u", "-s"],
        ["-bb"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "text",
    [
        "show",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("warning", "deprecated", "raises")),
    ],
)
def test_options_of_the_interpreter(options, text, tmp_path):
    check_same([written(tmp_path, TEXTS[text])], tmp_path, options=options)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P came with 3.11")
@pytest.mark.parametrize("text", ["show", "raises"])
def test_safe_path(text, tmp_path):
    written(tmp_path, TEXTS[text])
    for arguments in [["program.py"], ["-c", TEXTS[text]]]:
        check_same(arguments, tmp_path, options=["-P"])
        check_same(arguments, tmp_path, PYTHONSAFEPATH="1")


def test_what_is_printed_is_not_lost_if_standard_output_is_closed(tmp_path):
    program = written(tmp_path, "import sys\nprint('x' * 10)\nsys.stdout.close()\n1 / 0\n")
    check_same([program], tmp_path)


def test_interactive_afterwards(tmp_path):
    program = written(tmp_path, "answer = 42\n")
    for arguments in [[program], ["-c", "answer = 42"], ["-m", "program"]]:
        code, out, _ = check_same(
            arguments, tmp_path, options=["-i", "-q"], stdin="print(answer, __name__)\n"
        )
        assert code == 0 and "42 __main__" in out


# ---- that it runs on lowthread ----

WHAT = """
import _thread, queue, threading, lowthread
assert type(threading.Lock()) is lowthread.lock
assert type(threading.RLock()) is lowthread.RLock
assert _thread.get_ident is lowthread.get_ident is threading.get_ident
seen = []
thread = threading.Thread(target=lambda: seen.append(lowthread._count()))
thread.start()
thread.join()
print(*seen)
"""


@pytest.mark.parametrize("how", ["file", "module", "text", "standard input"])
def test_it_runs_on_lowthread(how, tmp_path):
    program = written(tmp_path, WHAT)
    arguments = {
        "file": [program],
        "module": ["-m", "program"],
        "text": ["-c", WHAT],
        "standard input": ["-"],
    }[how]
    ran = run(arguments, tmp_path, through=("-m", "lowthread"), stdin=WHAT)
    assert ran == (0, "1\n", "")


# ---- the command line ----


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "no program is given"),
        (["--children"], "no program is given"),
        (["--unknown", "x.py"], "unknown option --unknown"),
        (["--info", "x.py"], "--info stands alone"),
        (["--info=1"], "unknown option --info=1"),
        (["--children=1", "x.py"], "unknown option --children=1"),
        (["--deadlocks=0", "x.py"], "--deadlocks takes a positive number of seconds, not '0'"),
        (
            ["--deadlocks=raise,10", "x.py"],
            "--deadlocks takes seconds, or 'raise', or both as in '2,raise', not 'raise,10'",
        ),
        (
            ["--deadlocks=soon", "x.py"],
            "--deadlocks takes a positive number of seconds, not 'soon'",
        ),
        (["-x"], "unknown option -x; options of python itself come before -m lowthread"),
        (["-m"], "-m needs a module after it"),
        (["--children", "-c"], "-c needs a program text after it"),
    ],
)
def test_a_wrong_command_line(arguments, why, tmp_path):
    code, out, err = run(arguments, tmp_path, through=("-m", "lowthread"))
    assert (code, out) == (2, "")
    first, second, *_ = err.splitlines()
    assert first == f"lowthread: {why}"
    assert second.startswith("usage: python -m lowthread [option ...] program.py")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option, tmp_path):
    code, out, err = run([option], tmp_path, through=("-m", "lowthread"))
    assert (code, err) == (0, "")
    for told in ["usage:", "--children", "--info", "--version", "-m module", "-c code"]:
        assert told in out


def test_version(tmp_path):
    ran = run(["--version"], tmp_path, through=("-m", "lowthread"))
    assert ran == (0, f"lowthread {lowthread.__version__}\n", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", lowthread.__version__)


def test_info(tmp_path):
    code, out, err = run(["--info"], tmp_path, through=("-m", "lowthread"))
    assert (code, err) == (0, "")
    told = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
    assert told["lowthread"].split(", ") == [lowthread.__version__, str(PACKAGE)]
    assert told["interpreter"].startswith("PyPy 3" if PYPY else "CPython 3")
    assert told["interpreter"].endswith(sys.executable)
    assert told["backend"] == lowthread.backend
    asked = os.environ.get("LOWTHREAD_WAIT")
    assert told["wait"] == asked if asked else told["wait"] in ("futex", "pthread")
    assert told["installed"] == "no"
    assert told["longest timeout"] == "9223372036 s"
    assert {"stack size", "user's threads", "cffi", "native module"} <= told.keys()


def test_info_of_a_program_that_runs_on_it(tmp_path):
    script = "from lowthread._info import info; print(info())"
    code, out, err = run(
        ["--children", "-c", script], tmp_path, through=("-m", "lowthread"), LOWTHREAD_CHILDREN=""
    )
    assert (code, err) == (0, "")
    assert re.search("^installed +yes$", out, re.M) and re.search("^in children +yes$", out, re.M)
