"""What kind of type the lock's is; what RLock's has in common with it."""

import copy
import gc
import inspect
import pickle
import re
import weakref

import pytest

import lowthread


@pytest.fixture
def lock():
    return lowthread.allocate_lock()


MAKERS = pytest.mark.parametrize("make", [lowthread.allocate_lock, lowthread.RLock])


def test_names():
    assert lowthread.LockType.__name__ == lowthread.LockType.__qualname__ == "lock"
    assert lowthread.LockType.__module__ == "lowthread"
    assert repr(lowthread.LockType) == "<class 'lowthread.lock'>"


def test_calling_it_makes_a_lock():
    lock = lowthread.LockType()
    assert type(lock) is lowthread.LockType
    assert not lock.locked()


def test_calling_it_takes_no_arguments():
    with pytest.raises(TypeError, match="^lock expected 0 arguments, got 1$"):
        lowthread.LockType(1)
    with pytest.raises(TypeError, match=r"^lock\(\) takes no keyword arguments$"):
        lowthread.LockType(blocking=1)


def test_it_is_no_base_type():
    message = r"^type 'lowthread\.lock' is not an acceptable base type$"
    with pytest.raises(TypeError, match=message):
        type("Mine", (lowthread.LockType,), {})
    with pytest.raises(TypeError, match=message):
        type("Mine", (dict, lowthread.LockType), {})


def test_it_cannot_be_changed():
    message = r"^cannot set 'acquire' attribute of immutable type 'lowthread\.lock'$"
    with pytest.raises(TypeError, match=message):
        lowthread.LockType.acquire = None
    with pytest.raises(TypeError, match=message):
        del lowthread.LockType.acquire


@MAKERS
def test_instances_have_no_attributes_of_their_own(make):
    lock = make()
    assert not hasattr(lock, "__dict__")
    with pytest.raises(AttributeError):
        lock.anything = 1


@MAKERS
def test_weak_references(make):
    lock = make()
    reference = weakref.ref(lock)
    assert reference() is lock
    del lock
    for _ in range(3):
        gc.collect()
    assert reference() is None


@MAKERS
def test_equality_is_identity(make):
    lock = make()
    assert lock == lock  # noqa: PLR0124  -- that is the question
    assert lock != make()
    assert len({lock, lock, make()}) == 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_does_not_pickle(lock, protocol):
    name = "lowthread.lock" if protocol >= 2 else "lock"  # as 3.13 has it
    with pytest.raises(TypeError, match=f"^cannot pickle '{name}' object$"):
        pickle.dumps(lock, protocol)


def test_it_does_not_copy(lock):
    for function in [copy.copy, copy.deepcopy]:
        with pytest.raises(TypeError, match="cannot pickle 'lowthread.lock' object"):
            function(lock)
    with pytest.raises(TypeError, match="cannot pickle 'lock' object"):
        lock.__reduce__()


def test_repr(lock):
    address = r"0x[0-9a-f]+"
    assert re.fullmatch(rf"<unlocked lowthread\.lock object at {address}>", repr(lock))
    lock.acquire()
    assert repr(lock) == f"<locked lowthread.lock object at {id(lock):#x}>"


def test_there_is_no_state_to_get(lock):
    if hasattr(object, "__getstate__"):  # since 3.11
        assert lock.__getstate__() is None


def test_signatures(lock):
    assert str(inspect.signature(lock.acquire)) == "(blocking=True, timeout=-1)"
    assert str(inspect.signature(lock.release)) == "()"
    assert str(inspect.signature(lock.locked)) == "()"
    assert str(inspect.signature(lock.__exit__)) == "(*exc_info)"


@pytest.mark.parametrize(
    "name",
    ["acquire", "release", "locked", "__enter__", "__exit__", "_at_fork_reinit"]
    + ["acquire_lock", "release_lock", "locked_lock"],
)
def test_methods_have_docstrings(name):
    assert inspect.getdoc(getattr(lowthread.LockType, name))
