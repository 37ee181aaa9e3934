"""_local: thread-local data, as `threading.local` documents it."""

import _thread
import copy
import gc
import pickle
import weakref

import pytest
from conftest import LONG, run_threads, wait_until

import lowthread

# Every test here runs in threads of lowthread's and of the interpreter's own.


def run_host(function):
    done = _thread.allocate_lock()
    done.acquire()
    errors = []

    def run():
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    assert done.acquire(timeout=LONG)
    if errors:
        raise errors[0]


@pytest.fixture(params=[run_threads, run_host], ids=["lowthread", "host"])
def run(request):
    return request.param


def test_each_thread_has_its_own(run):
    local = lowthread._local()
    local.value = "main"

    def function():
        assert not hasattr(local, "value")
        local.value = "thread"
        assert local.value == "thread"
        assert local.__dict__ == {"value": "thread"}

    run(function)
    assert local.value == "main"
    assert vars(local) == {"value": "main"}


def test_a_new_thread_never_sees_old_values(run):
    local = lowthread._local()

    def function():
        assert vars(local) == {}
        local.value = 1

    for _ in range(100):
        run(function)


def test_attributes(run):
    local = lowthread._local()

    def function():
        local.value = 1
        del local.value
        with pytest.raises(AttributeError):
            _ = local.value
        with pytest.raises(AttributeError):
            del local.value
        with pytest.raises(AttributeError, match="read-only"):
            local.__dict__ = {}
        with pytest.raises(AttributeError, match="read-only"):
            del local.__dict__
        local.other = 2
        assert "other" in dir(local)
        local.__dict__["third"] = 3
        assert local.third == 3

    run(function)
    function()


class Counted(lowthread._local):
    calls = 0
    constant = "class"

    def __init__(self, *args, **kwargs):
        Counted.calls += 1
        self.given = (args, kwargs)

    def method(self):
        return self

    @property
    def both(self):
        return self.constant, self.given

    @both.setter
    def both(self, value):
        self.given = value

    @both.deleter
    def both(self):
        del self.given


def test_init_is_called_in_each_thread(run):
    Counted.calls = 0
    local = Counted(1, a=2)
    assert Counted.calls == 1

    def function():
        assert local.given == ((1,), {"a": 2})
        local.given = None
        assert local.given is None

    run(function)
    run(function)
    assert Counted.calls == 3
    assert local.given == ((1,), {"a": 2})


def test_a_subclass_is_a_class(run):
    local = Counted()

    def function():
        assert local.method() is local
        assert local.constant == "class"
        local.constant = "instance"
        assert local.both == ("instance", ((), {}))
        local.both = 5
        assert local.given == 5
        del local.both
        with pytest.raises(AttributeError):
            _ = local.both
        assert isinstance(local, lowthread._local)

    run(function)
    assert local.constant == "class"
    function()


class Slotted(lowthread._local):
    __slots__ = ("shared",)


def test_slots_are_shared(run):
    local = Slotted()
    local.shared = 1

    def function():
        assert local.shared == 1
        local.shared = 2

    run(function)
    assert local.shared == 2


class Defaults(lowthread._local):
    def __getattr__(self, name):
        return name.upper()


def test_getattr_is_asked_last(run):
    local = Defaults()

    def function():
        assert local.name == "NAME"
        local.name = "set"
        assert local.name == "set"

    run(function)


class Fails(lowthread._local):
    fail = False

    def __init__(self):
        self.begun = True
        if Fails.fail:
            raise KeyError("init")
        self.done = True


def test_an_init_that_fails_is_called_again(run):
    local = Fails()

    def function():
        Fails.fail = True
        with pytest.raises(KeyError, match="init"):
            _ = local.done
        Fails.fail = False
        assert local.done

    run(function)


def test_arguments_need_an_init():
    for args, kwargs in [((1,), {}), ((), {"a": 1})]:
        with pytest.raises(TypeError, match="Initialization arguments are not supported"):
            lowthread._local(*args, **kwargs)


def test_names():
    assert lowthread._local.__name__ == "_local"


def test_weak_references_and_cycles(run):
    class Value:
        pass

    references = []

    def function():
        local = lowthread._local()
        local.value = Value()
        local.self = local
        references.extend([weakref.ref(local), weakref.ref(local.value)])

    run(function)
    function()
    wait_until(lambda: gc.collect() is None or not any(r() for r in references))


def test_values_go_with_the_local(run):
    class Value:
        pass

    references = []

    def function():
        local = lowthread._local()
        local.value = Value()
        references.append(weakref.ref(local.value))
        del local
        wait_until(lambda: gc.collect() is None or references[-1]() is None)

    run(function)


class local(lowthread._local):  # names as they are mangled: _local__store
    def __init__(self):
        self.__store = {}
        self._store = []

    def both(self):
        return self.__store, self._store


def test_names_of_ours_are_not_in_the_way(run):
    mine = local()
    assert mine.both() == ({}, [])
    run(lambda: check(mine.both() == ({}, [])))
    del mine._store
    assert not hasattr(mine, "_store")


def check(condition):
    assert condition


def test_it_does_not_pickle():
    local = lowthread._local()
    for function in [pickle.dumps, copy.copy]:
        with pytest.raises(TypeError):
            function(local)
