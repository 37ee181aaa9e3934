"""What the locks are made of: how it is chosen, and that all choices give the same."""

import inspect
import os

import pytest
from conftest import CFFI, PYPY, ROOT, run_script

import lowthread
from lowthread import _backend, _load, _portable

NATIVE = _load.native

SHOW = """
import lowthread
print(lowthread.backend, type(lowthread.allocate_lock()).acquire.__class__.__name__)
"""


def run_with(backend, script=SHOW):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("LOWTHREAD_BACKEND", None)
    if backend is not None:
        env["LOWTHREAD_BACKEND"] = backend
    return run_script(script, env=env)


def test_it_is_told():
    assert lowthread.backend == ("cffi" if CFFI else "native")
    assert "backend" in lowthread.__all__


def test_the_tests_run_on_the_backend_that_was_asked_for():
    asked = os.environ.get("LOWTHREAD_BACKEND")
    assert lowthread.backend == (asked or ("cffi" if PYPY else "native"))


@pytest.mark.parametrize("backend", [None, ""])
def test_the_default(backend):
    default = "cffi function" if PYPY else "native method_descriptor"
    assert run_with(backend).ok() == default + "\n"


def test_cffi_everywhere():
    assert run_with("cffi").ok() == "cffi function\n"


@pytest.mark.skipif(PYPY, reason="PyPy has only one")
def test_native():
    assert run_with("native").ok() == "native method_descriptor\n"


@pytest.mark.skipif(not PYPY, reason="it is there")
def test_native_where_there_is_none():
    result = run_with("native")
    assert result.code == 1
    assert "ImportError: LOWTHREAD_BACKEND is 'native', but pypy has only cffi" in result.err


def test_a_name_that_is_none():
    result = run_with("fast")
    assert result.code == 1
    assert "ImportError: LOWTHREAD_BACKEND is 'fast', but must be native or cffi" in result.err


BACKENDS = [pytest.param(_portable, id="cffi")]
if NATIVE:
    BACKENDS.append(pytest.param(NATIVE, id="native"))


@pytest.mark.parametrize("module", BACKENDS)
def test_each_provides_the_same_names(module):
    for name in _backend.NAMES:
        assert getattr(module, name).__module__ == "lowthread"
        assert hasattr(lowthread, name)


@pytest.mark.parametrize("module", BACKENDS)
@pytest.mark.parametrize("name", _backend.NAMES)
def test_one_that_lacks_a_name_is_refused(module, name, monkeypatch):
    monkeypatch.delattr(module, name)
    chosen = "native" if module is NATIVE else "cffi"
    with pytest.raises(ImportError, match=f"^lowthread's backend {chosen} lacks {name}: "):
        _backend._choose(chosen)


@pytest.mark.skipif(not NATIVE, reason="PyPy has only one")
class TestBothAreAlike:
    @pytest.mark.parametrize("name", ["lock", "RLock"])
    def test_methods_and_their_docstrings(self, name):
        native, portable = getattr(NATIVE, name), getattr(_portable, name)
        inner = {f"_{name}__cell", "_cell", "__slots__", "__weakref__", "__getstate__"}
        inner |= {"__static_attributes__", "__firstlineno__", "__dict__", "__slotnames__"}
        inner |= {"__annotations__"}  # there once somebody has asked for it
        assert set(dir(native)) - inner == set(dir(portable)) - inner
        for method in set(dir(native)) - set(dir(object)) - inner - {"__module__"}:
            ours = inspect.getdoc(getattr(native, method))
            assert ours == inspect.getdoc(getattr(portable, method)), method
            assert ours
        assert inspect.getdoc(native) == inspect.getdoc(portable)

    @pytest.mark.parametrize("name", sorted(set(_backend.NAMES) - {"lock", "RLock"}))
    def test_functions(self, name):
        native, portable = getattr(NATIVE, name), getattr(_portable, name)
        assert inspect.getdoc(native) == inspect.getdoc(portable)
        assert str(inspect.signature(native)) == str(inspect.signature(portable))
        assert inspect.isbuiltin(native)


def test_they_share_one_core():
    """Locks of both wait in the same queues, and threads of both are counted together."""
    assert _portable._count() == lowthread._count()
    assert _portable.get_ident() == lowthread.get_ident()
    run_script(
        """
        import threading, lowthread
        from lowthread import _portable
        locks = [lowthread.lock(), _portable.lock(), lowthread.RLock(), _portable.RLock()]
        count = 0
        def work(n):
            global count
            for _ in range(500):
                with locks[n % 4], main:
                    count += 1
        main = _portable.lock()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert count == 4000, count
        """
    ).ok()
