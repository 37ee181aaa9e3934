"""Locks that native code shares with Python: `get_include`, `get_api`, `addressof`, lowthread.h.

What a table of functions has is called here through cffi, as a program would that has no
compiler; the worked examples in examples/native are built and run.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time

import pytest
from conftest import (
    COMPILER,
    LONG,
    PACKAGE,
    PYPY,
    ROOT,
    Raised,
    handling,
    needs_compiler,
    raise_it,
    run_script,
    wait_until,
)

import lowthread

cffi = pytest.importorskip("cffi", reason="lowthread needs it")

HEADER = pathlib.Path(lowthread.get_include()) / "lowthread.h"
EXAMPLES = ROOT / "examples" / "native"
FOREVER = 2**63 - 1


def _declarations():
    """Return what of the header cffi understands."""
    text = HEADER.read_text(encoding="utf-8")
    kinds = "typedef struct lt_lock lt_lock; typedef struct lt_rlock lt_rlock;"
    results = re.search(r"enum \{\n    LT_ACQUIRED.*?\};", text, re.DOTALL).group()
    table = re.search(r"typedef struct lt_api \{.*?\} lt_api;", text, re.DOTALL).group()
    return kinds + results + table


ffi = cffi.FFI()
ffi.cdef(_declarations())
api = ffi.cast("const lt_api *", lowthread.get_api())
RESULTS = ffi.dlopen(None)
ACQUIRED, TIMED_OUT = RESULTS.LT_ACQUIRED, RESULTS.LT_TIMED_OUT
RELEASED, NOT_HELD = RESULTS.LT_RELEASED, RESULTS.LT_NOT_HELD


def lt_lock(lock):
    return ffi.cast("lt_lock *", lowthread.addressof(lock))


def lt_rlock(rlock):
    return ffi.cast("lt_rlock *", lowthread.addressof(rlock))


def soon(ms=30):
    return api.now() + ms * 1_000_000


# ---- the names ----


def test_the_header_is_in_the_folder():
    assert os.path.isabs(lowthread.get_include())
    assert isinstance(lowthread.get_include(), str)
    assert "lt_import_api" in HEADER.read_text(encoding="utf-8")


def test_cython_has_what_the_header_has():
    """Each function, each field of the table, and each number."""
    header = HEADER.read_text(encoding="utf-8")
    there = set(re.findall(r"^static inline .*?(\w+)\(", header, re.MULTILINE))
    there |= set(re.findall(r"\(\*(\w+)\)\(", header))
    there |= set(re.findall(r"^    (LT_\w+) =", header, re.MULTILINE))
    there -= {"lt_address_in"}  # is the others' own
    assert {"lt_check_signals", "lock_wait", "LT_ABANDONED"} <= there
    declared = set(re.findall(r"\w+", (PACKAGE / "__init__.pxd").read_text(encoding="utf-8")))
    assert there <= declared, there - declared


def test_the_table_has_the_header_s_version_and_size():
    version = re.search(r"#define LT_API_VERSION (\d+)", HEADER.read_text(encoding="utf-8"))
    assert api.version == int(version.group(1))
    assert api.size == ffi.sizeof("lt_api")
    assert lowthread.get_api() == lowthread.get_api()


def test_the_core_has_the_header_s_numbers():
    from lowthread._load import lib

    for name in ("ACQUIRED", "TIMED_OUT", "INTERRUPTED", "NOT_HELD", "OVERFLOW", "ABANDONED"):
        assert getattr(lib, f"LT_{name}") == getattr(RESULTS, f"LT_{name}")


def test_the_capsule_has_the_table():
    capsule = lowthread._C_API
    assert lowthread._C_API is capsule
    assert 'capsule object "lowthread._C_API"' in repr(capsule)
    if not PYPY:  # which has no ctypes.pythonapi; there the extension below shows it
        import ctypes

        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        assert get(capsule, b"lowthread._C_API") == lowthread.get_api()


def test_the_capsule_is_not_loaded_before_it_is_asked_for():
    script = """
    import sys, lowthread
    assert "lowthread._capsule" not in sys.modules
    lowthread._C_API
    assert "lowthread._capsule" in sys.modules
    """
    run_script(script).ok()


def test_an_address_is_the_lock_s_own():
    lock, other = lowthread.lock(), lowthread.lock()
    assert lowthread.addressof(lock) == lowthread.addressof(lock) > 0
    assert lowthread.addressof(lock) != lowthread.addressof(other)

    class Derived(lowthread.RLock):
        __hash__ = None
        __eq__ = None

    derived = Derived()
    assert lowthread.addressof(derived) == lowthread.addressof(derived) > 0


@pytest.mark.parametrize("wrong", [None, 3, "lock", lowthread.lock, threading.Event(), object()])
def test_anything_else_has_none(wrong):
    kind = type(wrong).__name__
    with pytest.raises(TypeError) as caught:
        lowthread.addressof(wrong)
    assert str(caught.value) == (
        f"addressof() argument must be a lowthread.lock or lowthread.RLock, not {kind}"
    )


def test_it_takes_exactly_one_argument():
    with pytest.raises(TypeError, match="takes exactly one argument"):
        lowthread.addressof()
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        lowthread.addressof(lock=lowthread.lock())


# ---- the functions ----


def test_native_code_takes_the_lock_that_python_sees():
    lock = lowthread.allocate_lock()
    cell = lt_lock(lock)
    assert api.lock_acquire(cell, FOREVER) == ACQUIRED
    assert lock.locked() and not lock.acquire(False) and api.lock_is_held(cell) == 1
    assert not lock.acquire(timeout=0.02)
    assert api.lock_acquire(cell, 0) == TIMED_OUT
    lock.release()
    assert api.lock_is_held(cell) == 0
    assert api.lock_release(cell) == NOT_HELD
    with lock:
        begin = time.monotonic()
        assert api.lock_acquire(cell, soon()) == TIMED_OUT
        assert time.monotonic() - begin >= 0.03
        assert api.lock_release(cell) == RELEASED
        lock.acquire()


def test_native_code_owns_the_rlock_as_python_does():
    rlock = lowthread.RLock()
    cell = lt_rlock(rlock)
    with rlock:
        assert api.rlock_acquire(cell, FOREVER) == ACQUIRED
        assert api.rlock_count(cell) == 2 == rlock._recursion_count()
        assert api.rlock_release(cell) == RELEASED
        outcomes = []
        lowthread.start(
            lambda: outcomes.extend(
                [
                    api.rlock_acquire(cell, 0),
                    api.rlock_acquire(cell, soon()),
                    api.rlock_release(cell),
                    api.rlock_count(cell),
                    api.rlock_is_held(cell),
                ]
            )
        ).join()
        assert outcomes == [TIMED_OUT, TIMED_OUT, NOT_HELD, 0, 1]
    assert api.rlock_release(cell) == NOT_HELD and api.rlock_is_held(cell) == 0
    assert api.rlock_acquire(cell, 0) == ACQUIRED and rlock._is_owned()
    rlock.release()


@pytest.mark.parametrize("native_waits", [True, False])
def test_each_waits_for_the_other(native_waits):
    lock = lowthread.allocate_lock()
    cell = lt_lock(lock)
    lock.acquire()
    got = []

    def wait():
        if native_waits:
            got.append(api.lock_acquire(cell, FOREVER) == ACQUIRED)
        else:
            got.append(lock.acquire())

    thread = lowthread.start(wait)
    time.sleep(0.02)
    assert not got
    assert native_waits or api.lock_release(cell) == RELEASED
    if native_waits:
        lock.release()
    assert thread.join(LONG) and got == [True]


def test_a_signal_handler_is_told_of_in_the_main_thread():
    lock = lowthread.allocate_lock()
    cell = lt_lock(lock)
    lock.acquire()
    main = lowthread.get_ident()

    def send():
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGUSR1)

    seen = []
    with handling(signal.SIGUSR1, lambda *_: seen.append(1)):
        sender = lowthread.start(send)
        since = api.now()
        while not seen:  # it may be told of more than there is
            assert api.lock_wait(cell, since, soon(LONG * 1000)) == RESULTS.LT_INTERRUPTED
        sender.join()
    assert lock.locked()


def test_a_shared_lock_is_still_left_by_an_exception_of_a_handler():
    lock = lowthread.allocate_lock()
    assert api.lock_acquire(lt_lock(lock), 0) == ACQUIRED
    main = lowthread.get_ident()

    def send():
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGUSR1)

    with handling(signal.SIGUSR1, raise_it):
        sender = lowthread.start(send)
        with pytest.raises(Raised):
            lock.acquire()
    sender.join()


def test_what_is_shared_works_under_threading():
    """A Condition, whose lock native code has: what it takes from a lock is all there."""
    rlock = lowthread.RLock()
    cell = lt_rlock(rlock)
    condition = threading.Condition(rlock)
    woken = []

    def wait():
        with condition:
            woken.append(condition.wait(LONG))

    thread = lowthread.start(wait)
    wait_until(lambda: condition._waiters, "it waits")
    assert api.rlock_acquire(cell, FOREVER) == ACQUIRED
    condition.notify()
    assert api.rlock_release(cell) == RELEASED
    assert thread.join(LONG) and woken == [True]


def test_the_end_of_a_thread_releases_a_lock_that_is_shared():
    sentinels = []

    def leave_one():
        sentinel = lowthread._set_sentinel()
        assert api.lock_acquire(lt_lock(sentinel), 0) == ACQUIRED
        sentinels.append(sentinel)

    lowthread.start_new_thread(leave_one, ())
    wait_until(lambda: sentinels, "it has begun")
    assert sentinels[0].acquire(timeout=LONG)


def test_in_a_child_of_a_fork_it_says_that_nobody_can_release_it():
    script = """
    import os, sys, time
    sys.path.insert(0, sys.argv[1])
    from test_native_code import FOREVER, RESULTS, api, lt_lock
    import lowthread

    lock = lowthread.allocate_lock()
    cell = lt_lock(lock)
    lowthread.start(lambda: (api.lock_acquire(cell, 0), time.sleep(60)))
    while not lock.locked():
        time.sleep(0.001)
    pid = os.fork()
    if pid == 0:
        os._exit(api.lock_acquire(cell, FOREVER))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == RESULTS.LT_ABANDONED
    """
    python = sys.executable, "-W", "ignore::DeprecationWarning"  # 3.12's, of forks
    run_script(script, ROOT / "tests", python=python).ok()


# ---- with a compiler ----


def check(command, timeout=5 * LONG, **options):
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    return run.stdout


@needs_compiler
@pytest.mark.parametrize("with_python", [False, True])
@pytest.mark.parametrize("language", ["c99", "c11", "c++11", "c++17"])
def test_the_header_compiles_without_a_warning(tmp_path, language, with_python):
    compiler = "c++" if "++" in language else COMPILER[0]
    if not shutil.which(compiler):
        pytest.skip(f"there is no C++ compiler ({compiler})")
    if with_python and PYPY and "++" in language:
        pytest.skip("PyPy's own header has warnings in C++")
    source = tmp_path / f"use.{'cc' if '++' in language else 'c'}"
    python = "#define PY_SSIZE_T_CLEAN\n#include <Python.h>\n" if with_python else ""
    # Python's may come between: another header may have included ours before.
    functions = ["lt_import_api", "lt_lock_in", "lt_rlock_in", "lt_check_signals"]
    use = "".join(f"(void){f}, " for f in functions) if with_python else ""
    source.write_text(
        f"#include <lowthread.h>\n{python}#include <lowthread.h>\n"
        f"int main(void) {{ return {use} lt_api_fits(NULL) || LT_FOREVER != INT64_MAX; }}\n",
        encoding="utf-8",
    )
    warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
    if with_python and language in ("c99", "c++11"):
        language = language.replace("c", "gnu")  # what newer versions' own headers are written in
    check(
        [
            *(compiler, f"-std={language}", *warnings, "-pedantic", "-fsyntax-only"),
            *("-isystem", sysconfig.get_paths()["include"], f"-I{lowthread.get_include()}"),
            str(source),
        ]
    )


def environment(*folders):
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, *sys.path[1:]])}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return built(kind): the folder of an example, which is built."""
    done = {}

    def build(kind):
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            built = shutil.ignore_patterns("build", "*.so", *(["*.c"] if kind == "cython" else []))
            shutil.copytree(EXAMPLES / kind, folder, dirs_exist_ok=True, ignore=built)
            command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
            check(command, cwd=folder, env=environment())
            done[kind] = str(folder)
        return done[kind]

    return build


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("kind", ["extension", "cffi", "cython"])
def test_a_thread_of_the_system_s_counts_together_with_python_s(built, kind):
    if kind == "cython":
        pytest.importorskip("Cython", reason="Cython is not installed")
    folder = built(kind)
    command = [sys.executable, str(EXAMPLES / "main.py"), "20000"]
    out = check(command, timeout=LONG, cwd=folder, env=environment(folder))
    assert out == "60000 of 60000: none is lost\n"


@needs_compiler
def test_an_extension_says_what_is_no_lock(built):
    script = """
    import sys
    import lowthread, sharing
    class Other: pass
    for wrong in [3, lowthread.RLock(), Other()]:
        try:
            sharing.start(wrong, 1)
        except TypeError as error:
            print(error)
    try:
        sharing.join()
    except RuntimeError as error:
        print(error)
    """
    folder = built("extension")
    out = run_script(script, env=environment(folder)).ok()
    assert out.splitlines() == [
        "a lowthread.lock is needed, not <class 'int'>",
        "a lowthread.lock is needed, not <class 'lowthread.RLock'>",
        "a lowthread.lock is needed, not <class '__main__.Other'>",
        "the thread has not been started",
    ]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "change",
    [
        ("#define LT_API_VERSION 1", "#define LT_API_VERSION 2"),
        ("} lt_api;", "    void (*more)(void);\n} lt_api;"),
    ],
    ids=["version", "size"],
)
def test_an_extension_for_another_version_is_not_imported(tmp_path, change):
    """One that was built with a newer header: as if lowthread had been downgraded."""
    built = shutil.ignore_patterns("build", "*.so")
    shutil.copytree(EXAMPLES / "extension", tmp_path, dirs_exist_ok=True, ignore=built)
    text = HEADER.read_text(encoding="utf-8")
    assert text.count(change[0]) == 1
    (tmp_path / "lowthread.h").write_text(text.replace(*change), encoding="utf-8")
    setup = (tmp_path / "setup.py").read_text(encoding="utf-8")
    (tmp_path / "setup.py").write_text(
        setup.replace("[lowthread.get_include()]", "['.']"), encoding="utf-8"
    )
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    check(command, cwd=tmp_path, env=environment())
    script = """
    try:
        import sharing
    except ImportError as error:
        print(error)
    """
    out = run_script(script, env=environment(str(tmp_path))).ok()
    assert re.fullmatch(
        r"this was built for version \d of lowthread's native API \(\d+ bytes\), and lowthread "
        r"has version 1 \(\d+ bytes\): build it again, or upgrade lowthread\n",
        out,
    )


WAITING = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <lowthread.h>

static PyObject *wait(PyObject *module, PyObject *object) {
    (void)module;
    const lt_api *lt = lt_import_api();
    lt_lock *lock = lt == NULL ? NULL : lt_lock_in(object);
    if (lock == NULL) {
        return NULL;
    }
    int64_t since = lt->now();
    int verdict;
    do {
        Py_BEGIN_ALLOW_THREADS
        verdict = lt->lock_wait(lock, since, LT_FOREVER);
        Py_END_ALLOW_THREADS
    } while (verdict == LT_INTERRUPTED && lt_check_signals() == 0);
    return verdict == LT_INTERRUPTED ? NULL : PyLong_FromLong(verdict);
}

static PyMethodDef methods[] = {{"wait", wait, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "sharing", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_sharing(void) { return PyModule_Create(&module); }
"""


@pytest.mark.slow
@needs_compiler
def test_an_extension_runs_the_handlers_of_signals(tmp_path):
    shutil.copy(EXAMPLES / "extension" / "setup.py", tmp_path)
    (tmp_path / "sharing.c").write_text(WAITING, encoding="utf-8")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    check(command, cwd=tmp_path, env=environment())
    script = """
    import signal, time
    import lowthread, sharing

    class Raised(Exception):
        pass

    def handler(signum, frame):
        calls.append(signum)
        if len(calls) == 3:
            raise Raised

    calls = []
    lock = lowthread.allocate_lock()
    lock.acquire()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        sharing.wait(lock)
    except Raised:
        print(len(calls))
    signal.setitimer(signal.ITIMER_REAL, 0)

    def release():
        time.sleep(0.05)
        lock.release()

    lowthread.start(release)
    print(sharing.wait(lock), lock.locked())
    """
    out = run_script(script, env=environment(str(tmp_path))).ok()
    assert out == "3\n0 True\n"


# ---- threads that Python does not know ----

NATIVE = """
#include <lowthread.h>
#include <pthread.h>
#include <time.h>

static const lt_api *lt;
static union { uintptr_t address; lt_lock *lock; lt_rlock *rlock; } it;
static int is_rlock;
static long rounds, total; /* the latter guarded by the lock */
static pthread_t thread;

static void take(void) {
    if (is_rlock) { lt->rlock_acquire(it.rlock, LT_FOREVER); }
    else { lt->lock_acquire(it.lock, LT_FOREVER); }
}

static void give(void) {
    if (is_rlock) { lt->rlock_release(it.rlock); } else { lt->lock_release(it.lock); }
}

static void add(void) { total++; }

static void *count(void *unused) {
    for (long i = 0; i < rounds; i++) { take(); add(); give(); }
    return unused;
}

static void *hold(void *unused) {
    take();
    __atomic_store_n(&rounds, -1, __ATOMIC_RELEASE);
    nanosleep(&(struct timespec){.tv_nsec = 600000000}, NULL);
    give();
    return unused;
}

static void *release_twice(void *unused) { /* and takes it in between, if it can */
    hold(unused);
    for (int i = 0; i < 1000; i++) { take(); give(); }
    return unused;
}

/* A thread that counts so often (n > 0), or takes it and releases it later (0), or does that and
 * takes it many times more (-1). */
static int start(uintptr_t api, uintptr_t address, int of_rlock, long n) {
    lt = (const lt_api *)api;
    it.address = address;
    is_rlock = of_rlock;
    rounds = n > 0 ? n : 0;
    int error = pthread_create(&thread, NULL, n > 0 ? count : n == 0 ? hold : release_twice, NULL);
    while (error == 0 && n <= 0 && __atomic_load_n(&rounds, __ATOMIC_ACQUIRE) == 0) {
    }
    return error;
}

static long join(void) {
    pthread_join(thread, NULL);
    return total;
}
"""


@pytest.fixture(scope="module")
def native_thread(tmp_path_factory):
    """Build the above; return the folder that has it, as the module _native_thread."""
    folder = str(tmp_path_factory.mktemp("native"))
    builder = cffi.FFI()
    builder.cdef("""
        int start(uintptr_t api, uintptr_t address, int of_rlock, long n);
        void add(void);
        long join(void);
    """)
    builder.set_source(
        "_native_thread",
        NATIVE,
        include_dirs=[lowthread.get_include()],
        extra_compile_args=["-pthread"],
    )
    builder.compile(tmpdir=folder)
    return folder


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("as_statement", [False, True])
def test_no_thread_has_it_beside_another(native_thread, kind, as_statement):
    """On CPython's types a lock that is not shared is taken by a load and a store."""
    script = """
    import sys
    import lowthread
    from _native_thread import lib

    kind, as_statement, rounds = sys.argv[1], sys.argv[2] == "True", 1_000_000
    lock = getattr(lowthread, kind)()
    # One in C is that much faster.
    args = lowthread.get_api(), lowthread.addressof(lock), kind == "RLock", 8 * rounds
    assert lib.start(*args) == 0
    add = lib.add
    for _ in range(rounds):
        if as_statement:
            with lock:
                add()
        else:
            assert lock.acquire(timeout=30)
            add()
            lock.release()
    print(lib.join() - 9 * rounds)
    """
    env = environment(native_thread)
    assert run_script(script, kind, as_statement, env=env, timeout=LONG).ok() == "0\n"


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(PYPY, reason="PyPy runs no destructors of what is left at its end")
@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("how", ["acquire", "with", "_acquire_restore"])
@pytest.mark.parametrize("times", [0, -1])
def test_a_destructor_at_the_end_waits_for_native_code(native_thread, kind, how, times):
    """No other thread runs Python any more, but one that never did releases the lock."""
    if how == "_acquire_restore" and kind == "lock":
        pytest.skip("only an RLock has that")
    script = """
    import sys, lowthread
    from _native_thread import lib

    kind, how, times = sys.argv[1], sys.argv[2], int(sys.argv[3])

    class Late:
        def __init__(self, lock):
            self.lock = lock
        def __del__(self, finalizing=sys.is_finalizing, write=sys.stdout.write):
            if how == "with":
                with self.lock:
                    pass
            elif how == "acquire":
                self.lock.acquire()
            else:
                self.lock._acquire_restore(state)
            write(f"{finalizing()}\\n")

    sys.late = Late(getattr(lowthread, kind)())
    if how == "_acquire_restore":
        sys.late.lock.acquire()
        state = sys.late.lock._release_save()
    args = lowthread.get_api(), lowthread.addressof(sys.late.lock), kind == "RLock", times
    assert lib.start(*args) == 0
    """
    env = environment(native_thread)
    assert run_script(script, kind, how, times, env=env).ok() == "True\n"


@pytest.mark.skipif(PYPY, reason="PyPy runs no destructors of what is left at its end")
def test_a_destructor_at_the_end_can_ask_for_an_address():
    script = """
    import sys, lowthread

    class Late:
        def __init__(self):
            self.locks = lowthread.lock(), lowthread.RLock()
            self.addressof = lowthread.addressof
        def __del__(self, write=sys.stdout.write):
            write(f"{[self.addressof(lock) > 0 for lock in self.locks]}\\n")

    sys.late = Late()
    """
    assert run_script(script).ok() == "[True, True]\n"
