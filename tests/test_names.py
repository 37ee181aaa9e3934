"""The names of the documentation page, and that its functions are as those of C."""

import copy
import inspect
import pickle
import pydoc

import pytest
from conftest import ROOT, run_script

import lowthread

# https://docs.python.org/3.13/library/_thread.html, and the old spellings CPython still has.
DOCUMENTED = [
    "error",
    "LockType",
    "start_new_thread",
    "interrupt_main",
    "exit",
    "allocate_lock",
    "get_ident",
    "get_native_id",
    "stack_size",
    "TIMEOUT_MAX",
]
OLD = ["start_new", "allocate", "exit_thread", "_count", "_local", "lock"]
OF_THREADING = [
    *("RLock", "start_joinable_thread", "_ThreadHandle", "_make_thread_handle", "_shutdown"),
    *("_get_main_thread_ident", "_is_main_interpreter", "daemon_threads_allowed"),
    *("_set_sentinel", "_excepthook", "_ExceptHookArgs"),
]
OF_3_14 = ["set_name", "_get_name", "_NAME_MAXLEN"]
MORE = ["backend", "__version__", "start", "ThreadHandle", "ThreadStartError"]
MORE += ["LockOrder", "LockOrderError", "check_lock_order", "trace_locks"]
MORE += ["Deadlock", "DeadlockError", "detect_deadlocks", "dump_on_signal"]
MORE += ["Profile", "ProfilePlace", "ProfileWait", "profile"]
MORE += ["ProfileHold", "ProfileHoldPlace"]
MORE += ["LockState", "Owner", "Waiter", "dump", "locks", "name_lock"]
MORE += ["install", "uninstall", "AbandonedLockError", "PythonFinalizationError"]

SIGNATURES = {
    "start_new_thread": "(function, args, kwargs={}, /)",
    "start_new": "(function, args, kwargs={}, /)",
    "exit": "()",
    "exit_thread": "()",
    "allocate_lock": "()",
    "allocate": "()",
    "get_ident": "()",
    "get_native_id": "()",
    "_count": "()",
    "stack_size": "(size=0, /)",
    "_make_thread_handle": "(ident, /)",
    "_shutdown": "()",
    "_get_main_thread_ident": "()",
    "_is_main_interpreter": "()",
    "daemon_threads_allowed": "()",
    "_set_sentinel": "()",
    "_get_name": "()",
    "start_joinable_thread": "(function, handle=None, daemon=True)",
    "set_name": "(name)",
}
WITH_KEYWORDS = ["start_joinable_thread", "set_name"]
FUNCTIONS = [*SIGNATURES, "interrupt_main"]


@pytest.mark.parametrize("name", DOCUMENTED + OLD + OF_THREADING + OF_3_14 + MORE)
def test_name_is_there(name):
    assert hasattr(lowthread, name)
    assert name in lowthread.__all__


def test_all_is_all():
    public = {name for name in vars(lowthread) if not name.startswith("_")}
    assert public <= set(lowthread.__all__)
    for name in lowthread.__all__:
        assert hasattr(lowthread, name)


def test_error_is_runtime_error():
    # "Changed in version 3.3: This is now a synonym of the built-in RuntimeError."
    assert lowthread.error is RuntimeError


def test_timeout_max():
    assert lowthread.TIMEOUT_MAX == 9223372036.0
    assert isinstance(lowthread.TIMEOUT_MAX, float)


def test_lock_type():
    assert lowthread.LockType is lowthread.lock is type(lowthread.allocate_lock())


@pytest.mark.parametrize("name", FUNCTIONS)
class TestFunction:
    def test_has_its_names(self, name):
        function = getattr(lowthread, name)
        assert function.__name__ == function.__qualname__ == name
        assert function.__module__ == "lowthread"
        assert repr(function) == f"<built-in function {name}>"

    def test_has_a_docstring(self, name):
        function = getattr(lowthread, name)
        assert inspect.getdoc(function)
        # With its signature, which is not to be taken for granted for what is no function.
        lines = pydoc.plain(pydoc.render_doc(function)).splitlines()
        assert f"{name}{inspect.signature(function)}" in lines

    def test_has_a_signature(self, name):
        signature = inspect.signature(getattr(lowthread, name))
        if name == "interrupt_main":
            assert list(signature.parameters) == ["signum"]
            assert signature.parameters["signum"].kind is inspect.Parameter.POSITIONAL_ONLY
        else:
            assert str(signature) == SIGNATURES[name]

    def test_is_no_method_of_a_class(self, name):
        function = getattr(lowthread, name)
        owner = type("Owner", (), {"function": function})
        assert owner().function is function

    def test_takes_no_keywords(self, name):
        if name in WITH_KEYWORDS:
            with pytest.raises(TypeError, match=rf"^{name}\(\) (missing|got an unexpected) "):
                getattr(lowthread, name)(keyword=1)
            return
        parameter = next(iter(inspect.signature(getattr(lowthread, name)).parameters), "anything")
        with pytest.raises(TypeError, match=rf"{name}\(\) takes no keyword arguments"):
            getattr(lowthread, name)(**{parameter: 1})

    def test_pickles_and_copies_by_name(self, name):
        function = getattr(lowthread, name)
        assert pickle.loads(pickle.dumps(function)) is function
        assert copy.copy(function) is copy.deepcopy(function) is function


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("start_new_thread", (), "start_new_thread expected at least 2 arguments, got 0"),
        ("start_new_thread", (1,), "start_new_thread expected at least 2 arguments, got 1"),
        ("start_new_thread", (1, 2, 3, 4), "start_new_thread expected at most 3 arguments, got 4"),
        ("start_new", (1,), "start_new_thread expected at least 2 arguments, got 1"),
        ("stack_size", (1, 2), r"stack_size\(\) takes at most 1 argument \(2 given\)"),
        ("interrupt_main", (1, 2), r"signum\(\) takes at most 1 argument \(2 given\)"),
        ("get_ident", (1,), r"lowthread.get_ident\(\) takes no arguments \(1 given\)"),
        ("_make_thread_handle", (), r"lowthread.\w+\(\) takes exactly one argument \(0 given\)"),
        ("set_name", (1, 2), r"set_name\(\) takes at most 1 argument \(2 given\)"),
        ("exit_thread", (1, 2), r"lowthread.exit_thread\(\) takes no arguments \(2 given\)"),
    ],
)
def test_wrong_number_of_arguments(name, args, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        getattr(lowthread, name)(*args)


def test_the_example_of_the_readme():
    example = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert run_script(example).ok() == "hello from a thread\nhello from another\n"
