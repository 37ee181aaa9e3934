"""`python -m lowthread`: runs a program as `python` would, with its threads on lowthread.

It runs in this process. What the program can see of that is a deeper stack and
`sys.orig_argv`; what is printed of an exception that it does not catch is what `python`
prints, but for the words about a source that cannot be decoded or has a NUL in it, and on
PyPy about an exception hook that fails.
"""

from __future__ import annotations

import atexit
import builtins
import io
import linecache
import marshal
import os
import pkgutil
import signal
import sys
from functools import cache, partial
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from runpy import _run_module_as_main  # type: ignore[attr-defined]  # what `python -m` calls

from lowthread._deadlock import DeadlockError, detect_deadlocks
from lowthread._dump_signal import dump_on_signal, dump_to
from lowthread._install import install
from lowthread._load import PYPY
from lowthread._order import LockOrderError, check_lock_order
from lowthread._places import trace_locks
from lowthread._profile import Profile
from lowthread._reaction import report_with
from lowthread._stderr import KeptStderr
from lowthread._top import Top
from lowthread._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn

    Run = Callable[[str, list[str]], None]

USAGE = """\
usage: python -m lowthread [option ...] program.py [argument ...]
       python -m lowthread [option ...] -m module [argument ...]
       python -m lowthread [option ...] -c code [argument ...]
       python -m lowthread [option ...] - [argument ...]
       python -m lowthread --info | --version | --help
"""

HELP = (
    USAGE
    + """
Runs a program, given like to python itself (a folder or an archive with a __main__.py will do,
and - is standard input), whose threads and locks are lowthread's: `import _thread` gives
lowthread, and `threading`, `queue`, `concurrent.futures` and so on run on it.

  --children   child interpreters too: of subprocess, multiprocessing, os.system and the like.
               They are found by PYTHONPATH and LOWTHREAD_CHILDREN in the environment, so not if
               they are started with -E, -I or -S, or without that environment.
  --dump-signal=NAME
               print what every thread does, and waits for, when this signal comes, such as USR1
  --deadlocks[=SECONDS][,raise]
               look for threads that wait for each other, and tell of them on standard error, when
               a wait without a timeout has lasted that long; 1 second by default. With raise, end
               one of these waits with lowthread.DeadlockError instead
  --lock-order[=raise]
               tell on standard error of locks that are taken in different orders, before threads
               wait for each other; with raise, have the call that would take one end with
               lowthread.LockOrderError instead
  --trace-locks
               note where each lock is created, for the reports of the other options
  --profile[=FILE]
               at the end, print where the program has waited for locks, and who had them; and
               write it to a file: *.html to look at, *.json for Perfetto, *.pb.gz for pprof
  --holds      with --profile or --top: tell how long locks were held, too
  --top[=SECONDS]
               while the program runs, show that, and who waits now, in the last lines of the
               terminal that standard error is, each second or after as many seconds; elsewhere,
               print a line each ten times as long. At the end, what --profile does
  --info       tell what there is: interpreter, backend, way to wait, limits
  --version    tell the version
  --help       tell this

Options of the interpreter come first: python -X dev -W error -m lowthread program.py"""
)


def main() -> None:
    """Do what `sys.argv` says."""
    given: set[str] = set()  # of those that need no more
    profile: str | None = None  # its file
    top: float | None = None
    beginnings: list[Callable[[], object]] = [install]
    rest = sys.argv[1:]
    while rest and rest[0].startswith("--"):
        option, _, value = rest.pop(0).partition("=")
        if option in ("--children", "--holds") and not value:
            given.add(option)
        elif option == "--profile":
            profile = value
        elif option == "--top":
            top = _seconds(option, value) if value else 1.0
        elif option in _BEGIN:
            beginnings.append(_BEGIN[option](option, value, rest))
        elif option in _TELL and not value:
            if rest:
                _refuse(f"{option} stands alone")
            print(_TELL[option]())
            return
        else:
            _refuse(f"unknown option {option}{'=' + value if value else ''}")
    if rest and rest[0] == "-h":
        print(_help())
        return
    run, what, args = _parse_program(rest)
    beginnings += _profiling(profile, top, "--holds" in given, " ".join([what, *args]))
    if "--children" in given:
        _carry_into_children()
    for begin in beginnings:
        begin()
    run(what, args)


_stderr = cache(KeptStderr)  # made when the first of the options begins


def _profiling(
    file: str | None, top: float | None, holds: bool, command: str
) -> list[Callable[[], object]]:
    """Return how to begin a profile, if there is to be one."""
    if file is None and top is None:
        if holds:
            _refuse("--holds goes with --profile or --top")
        return []
    try:
        profile = Profile(file or None, holds)
    except (ValueError, OSError) as error:
        _refuse(f"--profile: {error}")
    profile.command = command
    return [partial(_begin_profile, profile, top)]


def _begin_profile(profile: Profile, seconds: float | None) -> None:
    """Begin a profile, and to show it if there are seconds; it ends when the program does."""
    top = None if seconds is None else Top(profile, seconds)
    profile.start()
    atexit.register(_end, profile, top, _stderr())
    if top is not None:
        top.start()


# For each of these options: what returns, from its value and what comes after it, how to begin.


def _dump_signal(option: str, value: str, rest: list[str]) -> Callable[[], object]:
    signum = _signal(option, value or (rest.pop(0) if rest else ""))

    def begin() -> None:
        dump_to(_stderr())
        dump_on_signal(signum)

    return begin


def _deadlocks(option: str, value: str, _: list[str]) -> Callable[[], object]:
    seconds, comma, word = value.partition(",")
    if seconds == "raise" and not comma:
        seconds, word = "", seconds
    if (comma or word) and word != "raise":
        _refuse(f"{option} takes seconds, or 'raise', or both as in '2,raise', not {value!r}")
    after = _seconds(option, seconds) if seconds else 1.0
    reaction = "raise" if word else "report"
    return partial(_begin_reports, DeadlockError, detect_deadlocks, after, reaction)


def _lock_order(option: str, value: str, _: list[str]) -> Callable[[], object]:
    if value not in ("", "raise"):
        _refuse(f"{option} takes 'raise' or no value, not {value!r}")
    reaction = "raise" if value else "report"
    return partial(_begin_reports, LockOrderError, check_lock_order, reaction)


def _trace_locks(option: str, value: str, _: list[str]) -> Callable[[], object]:
    _take_no_value(option, value)
    return trace_locks


_BEGIN: dict[str, Callable[[str, str, list[str]], Callable[[], object]]] = {
    "--dump-signal": _dump_signal,
    "--deadlocks": _deadlocks,
    "--lock-order": _lock_order,
    "--trace-locks": _trace_locks,
}


def _begin_reports(error: type[Exception], begin: Callable[..., object], *args: object) -> None:
    begin(*args)
    report_with(error, _stderr().write)


def _take_no_value(option: str, value: str) -> None:
    if value:
        _refuse(f"{option} takes no value")


def _end(profile: Profile, top: Top | None, stderr: KeptStderr, pid: int = os.getpid()) -> None:
    """End a profile and print it; but not in a child of a fork, which is not in it."""
    if pid == os.getpid():
        if top is not None:
            top.stop()
        wrote = f"lowthread: --profile: wrote {profile._file}\n" if profile._file else ""
        try:
            profile.stop()
        except OSError as error:  # the file could not be written, and the rest is there
            stderr.write(f"lowthread: --profile: {error}\n")
            wrote = ""
        stderr.write(profile.table() + wrote)


def _signal(option: str, value: str) -> int:
    name = value.upper()
    found = getattr(signal, name if name.startswith("SIG") else "SIG" + name, None)
    if not isinstance(found, signal.Signals):
        _refuse(f"{option} takes the name of a signal, such as USR1, not {value!r}")
    if found in (signal.SIGKILL, signal.SIGSTOP):
        _refuse(f"{option} takes a signal that can be handled, not {value!r}")
    return found


def _seconds(option: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 1e9:
        _refuse(f"{option} takes a positive number of seconds, not {value!r}")
    return seconds


def _parse_program(rest: list[str]) -> tuple[Run, str, list[str]]:
    """Return the function that runs what these arguments ask for, and its arguments."""
    if not rest:
        _refuse("no program is given")
    what, *args = rest
    for option, noun, run in [("-m", "module", _run_module), ("-c", "program text", _run_text)]:
        if what.startswith(option):
            if what != option:  # like python, which takes `-mjson.tool` too
                return run, what[2:], args
            if not args:
                _refuse(f"{option} needs a {noun} after it")
            return run, args[0], args[1:]
    if what == "-":
        return _run_stdin, what, args
    if what.startswith("-"):
        _refuse(f"unknown option {what}; options of python itself come before -m lowthread")
    return _run_path, what, args


def _info() -> str:
    from lowthread._info import info

    return info()


def _version() -> str:
    return f"lowthread {__version__}"


def _help() -> str:
    return HELP


_TELL = {"--info": _info, "--version": _version, "--help": _help}


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"lowthread: {why}\n{USAGE}")
    sys.exit(2)


def _carry_into_children() -> None:
    """Have interpreters that are started from here install lowthread.

    `site` imports the module `sitecustomize`, if it finds one, before all else.
    """
    if sys.flags.ignore_environment or sys.flags.no_site:
        _refuse(
            "--children has no effect with -E, -I or -S, which multiprocessing passes on: the "
            "environment is what carries it"
        )
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_children")
    path = os.environ.get("PYTHONPATH")
    if not path or folder not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = folder + os.pathsep + path if path else folder
    os.environ["LOWTHREAD_CHILDREN"] = sys.implementation.cache_tag


def _set_first_path(folder: str, is_safe: bool = False) -> None:
    """Put what python has in the place of the folder in which `-m lowthread` was found.

    is_safe: it does so also if it was asked for no unsafe path.
    """
    asked_for_safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    if not asked_for_safe:
        del sys.path[0]
    if is_safe or not asked_for_safe:
        sys.path.insert(0, folder)


def _absolute(path: str) -> str:
    """Return what CPython makes of a path: it takes out very little."""
    if path in ("", ".") and sys.version_info >= (3, 11):
        return os.getcwd()
    return os.path.join(os.getcwd(), path)


def _new_main(**names: object) -> dict[str, Any]:
    """Make the module `__main__`, which is ours until now, what python has; return its names."""
    namespace = vars(sys.modules["__main__"])
    namespace.clear()
    namespace.update(
        __name__="__main__",
        __doc__=None,
        __package__=None,
        __loader__=BuiltinImporter,
        __spec__=None,
        __annotations__={},
        __builtins__=builtins,
        **names,
    )
    return namespace


def _run_module(name: str, args: list[str]) -> None:
    sys.argv[:] = ["-m", *args]
    _new_main()
    _show_without_us(_run_module_as_main, name)


def _run_text(text: str, args: list[str]) -> None:
    sys.argv[:] = ["-c", *args]
    _set_first_path("")
    text += "\n"
    # Up to 3.9, a line that tells the encoding is heeded here too.
    source = os.fsencode(text) if sys.version_info < (3, 10) else text
    _compile_and_run(source, "<string>", _new_main())


def _run_stdin(name: str, args: list[str]) -> None:
    sys.argv[:] = [name, *args]
    _set_first_path("")
    text = sys.stdin.buffer.read()
    _compile_and_run(text, "<stdin>", _new_main(__file__="<stdin>", __cached__=None))


def _run_path(path: str, args: list[str]) -> None:
    sys.argv[:] = [path, *args]
    full = os.path.abspath(path) if PYPY else _absolute(path)
    if pkgutil.get_importer(path) is not None:  # a folder or an archive
        _set_first_path(full, is_safe=True)
        _new_main()
        _show_without_us(_run_module_as_main, "__main__", False)
        return
    try:
        with io.open_code(full) as f:
            source = f.read()
    except OSError as error:
        shown = full if PYPY else repr(full)
        sys.stderr.write(
            f"{sys.executable}: can't open file {shown}: [Errno {error.errno}] {error.strerror}\n"
        )
        sys.exit(2)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    is_compiled = source[:4] == MAGIC_NUMBER
    namespace = _new_main(__file__=full, __cached__=None)
    namespace["__loader__"] = (SourcelessFileLoader if is_compiled else SourceFileLoader)(
        "__main__", path if PYPY and not is_compiled else full
    )
    if is_compiled:
        _show_without_us(exec, marshal.loads(source[16:]), namespace)
    else:
        _compile_and_run(source, full, namespace)


def _compile_and_run(source: Any, name: str, namespace: dict[str, Any]) -> None:
    def run() -> None:
        code = compile(source, name, "exec", dont_inherit=True)
        if name == "<string>" and sys.version_info >= (3, 13):
            # As there, so that tracebacks show lines of it.
            lines = [line + "\n" for line in source.splitlines()]
            linecache.cache[name] = (len(source), None, lines, name)
        exec(code, namespace)

    _show_without_us(run)


def _show_without_us(function: Callable[..., object], *args: object) -> None:
    """Call the function; what is printed of an exception does not begin with our frames."""
    try:
        function(*args)
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook = _Shortening(getattr(sys, "excepthook", _MISSING))
        raise


_MISSING = object()


class _Shortening:
    """An exception hook that puts back the program's own and calls it without our frames.

    What the interpreter prints if that one fails, or is missing, has to come from here too.
    """

    def __init__(self, hook: Any, default: Callable[..., object] = sys.__excepthook__) -> None:
        self._hook = hook
        self._default = default

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        traceback = _without_us(traceback)
        error.__traceback__ = sys.last_traceback = traceback
        if self._hook is _MISSING:
            del sys.excepthook
            if not PYPY:
                sys.stderr.write("sys.excepthook is missing\n")
            self._default(kind, error, traceback)
            return
        sys.excepthook = self._hook
        try:
            self._hook(kind, error, traceback)
        except SystemExit:
            raise
        except BaseException as failure:
            failure.__traceback__ = _without_us(failure.__traceback__)
            failure.__context__ = None
            sys.stderr.write("Error in sys.excepthook:\n")
            self._default(type(failure), failure, failure.__traceback__)
            sys.stderr.write("\nOriginal exception was:\n")
            self._default(kind, error, traceback)


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part that begins after the last frame of this module."""
    rest = traceback
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == __file__:
            rest = traceback.tb_next
        traceback = traceback.tb_next
    return rest
