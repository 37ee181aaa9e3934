"""`python -m lowthread --children`: child interpreters run on lowthread too."""

import os
import subprocess
import sys

import pytest
from conftest import LONG, PACKAGE, ROOT

FOLDER = str(PACKAGE / "_children")
ASK = "import sys, _thread; print(_thread.allocate_lock().__class__.__module__)"


def run(program, *through, cwd=None, options=(), **env):
    """Run a program's text with `python [-m lowthread ...] -c`; return its output."""
    done = subprocess.run(
        [sys.executable, *options, *through, "-c", program],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def run_with_children(program, **how):
    return run(program, "-m", "lowthread", "--children", **how)


WAYS = {
    "subprocess": "subprocess.run([sys.executable, '-c', ASK], check=True)",
    "of a shell": "subprocess.run(sys.executable + ' -c ' + repr(ASK), shell=True, check=True)",
    "os.system": "assert os.system(sys.executable + ' -c ' + repr(ASK)) == 0",
    "spawnv": "assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-c', ASK]) == 0",
    "posix_spawn": (
        "assert os.waitpid(os.posix_spawn("
        "sys.executable, [sys.executable, '-c', ASK], os.environ), 0)[1] == 0"
    ),
    "exec": "os.execv(sys.executable, [sys.executable, '-c', ASK])",
    "a child's child": (
        "subprocess.run([sys.executable, '-c', 'import subprocess, sys; "
        'subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)\', ASK], check=True)'
    ),
    "asyncio": (
        "import asyncio\n"
        "async def main():\n"
        "    child = await asyncio.create_subprocess_exec(sys.executable, '-c', ASK)\n"
        "    assert await child.wait() == 0\n"
        "asyncio.run(main())"
    ),
}


if not hasattr(os, "posix_spawn"):  # PyPy
    del WAYS["posix_spawn"]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_child_runs_on_lowthread(way):
    program = f"import os, subprocess, sys\nASK = {ASK!r}\n{way}\n"
    assert run_with_children(program) == "lowthread\n"
    # Without being told so, not.
    assert run(program, "-m", "lowthread") == run(program) != "lowthread\n"


MULTI = """
import multiprocessing, sys, threading

def work(pipe):
    import queue, lowthread
    seen = []
    thread = threading.Thread(target=lambda: seen.append(lowthread._count()))
    thread.start()
    thread.join()
    pipe.send((type(threading.Lock()).__module__, type(queue.Queue().mutex).__module__, seen))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    here, there = context.Pipe()
    child = context.Process(target=work, args=[there])
    child.start()
    print(*here.recv())
    child.join()
    with context.Pool(2) as pool:
        print(sorted(pool.map(abs, range(-3, 3))))
    print(child.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@pytest.mark.parametrize("how", ["file", "module"])
def test_multiprocessing(method, how, tmp_path):
    (tmp_path / "program.py").write_text(MULTI)
    arguments = ["program.py"] if how == "file" else ["-m", "program"]

    def outcome(*through):
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", *through, *arguments, method],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    out = outcome("-m", "lowthread", "--children")
    assert out == "lowthread lowthread [1]\n[0, 1, 1, 2, 2, 3]\n0\n"


def test_a_child_sees_little_else_of_it(tmp_path):
    ask = """
import os, sys
print(sys.path, sys.argv, sys.flags, sys.warnoptions, sys._xoptions)
print(sorted(set(os.environ) - {"LOWTHREAD_CHILDREN"}), "threading" in sys.modules)
"""
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ask!r}])"
    assert run_with_children(program, cwd=tmp_path) == run(program, cwd=tmp_path)


def test_the_programs_own_sitecustomize_is_imported(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import _thread, sys\nprint('own', __name__,"
        " _thread.allocate_lock().__class__.__module__, flush=True)"
    )
    program = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])"
    ask = "import sitecustomize; print(sitecustomize.__file__)"
    done = subprocess.run(
        [sys.executable, "-m", "lowthread", "--children", "-c", program, ask],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    # Once in the program's interpreter, at its start, and once in the child.
    own = f"own sitecustomize lowthread\n{tmp_path / 'sitecustomize.py'}\n"
    assert done.stdout.replace("own sitecustomize _thread\n", "", 1) in (own, "own " + own)
    assert done.stdout.endswith(own)
    assert done.stderr == ""


def test_a_sitecustomize_that_fails_is_told_of_as_ever(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import nothing_of_that_name\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([FOLDER, str(tmp_path)])}
    env["LOWTHREAD_CHILDREN"] = sys.implementation.cache_tag
    plain = {**env, "PYTHONPATH": str(tmp_path)}
    ran = [
        subprocess.run(
            [sys.executable, "-c", ASK],
            env=e,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=False,
        )
        for e in (plain, env)
    ]
    assert ran[0].stderr == ran[1].stderr
    assert ran[1].stdout == "lowthread\n"


@pytest.mark.parametrize("tag", ["cpython-27", ""])
def test_an_interpreter_of_another_kind_is_left_alone(tag):
    out = run(ASK, PYTHONPATH=os.pathsep.join([FOLDER, str(ROOT)]), LOWTHREAD_CHILDREN=tag)
    assert out in ("_thread\n", "thread\n")


def test_where_it_cannot_be_installed_that_is_told():
    env = {**os.environ, "PYTHONPATH": FOLDER, "LOWTHREAD_BACKEND": "none"}
    env["LOWTHREAD_CHILDREN"] = sys.implementation.cache_tag
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=env,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == (
        f"lowthread is not installed in {sys.executable}: "
        "LOWTHREAD_BACKEND is 'none', but must be native or cffi\n"
    )
    assert done.stdout in ("_thread\n", "thread\n")


def test_again_adds_nothing():
    program = "import os; print(os.environ['PYTHONPATH'])"
    path = os.pathsep.join([FOLDER, str(ROOT)])
    assert run_with_children(program) == path + "\n"
    tag = sys.implementation.cache_tag
    assert run_with_children(program, PYTHONPATH=path, LOWTHREAD_CHILDREN=tag) == path + "\n"


@pytest.mark.parametrize("option", ["-E", "-I", "-S"])
def test_options_that_would_make_it_void(option, tmp_path):
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
sys.argv[1:] = ["--children", "-c", "print('it runs')"]
from lowthread._run import main
main()
"""
    done = subprocess.run(
        [sys.executable, option, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lowthread: --children has no effect with -E, -I or -S")
