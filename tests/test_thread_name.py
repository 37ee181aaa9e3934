"""set_name, _get_name and _NAME_MAXLEN, as Python 3.14 has them."""

import os
import sys

import pytest
from conftest import ROOT, UTF8, run_script, run_threads

import lowthread

pytestmark = pytest.mark.skipif(lowthread._NAME_MAXLEN < 0, reason="threads have no names here")

LONGEST = lowthread._NAME_MAXLEN


def named(name):
    """Return what a thread is called that has set this name."""
    names = []

    def function():
        assert lowthread.set_name(name) is None
        names.append(lowthread._get_name())

    run_threads(function)
    return names[0]


@pytest.mark.skipif(sys.platform != "linux", reason="15 is Linux's")
def test_the_longest_name_is_the_systems():
    assert lowthread._NAME_MAXLEN == 15


@pytest.mark.parametrize("name", ["worker", "a b", "%s%n", "-", " x ", "0123456789abcde"])
def test_a_name_that_fits(name):
    assert named(name) == name[:LONGEST]


def test_an_empty_name():
    assert named("") == ""


def test_a_subclass_of_str():
    assert named(type("Name", (str,), {})("derived")) == "derived"


@pytest.mark.parametrize("extra", [1, 2, 1000])
def test_a_name_that_is_too_long_is_cut(extra):
    assert named("x" * LONGEST) == "x" * LONGEST
    assert named("a" + "x" * (LONGEST - 1 + extra)) == "a" + "x" * (LONGEST - 1)


@pytest.mark.skipif(not UTF8, reason="what fits depends on the encoding")
@pytest.mark.skipif(sys.platform != "linux", reason="15 is Linux's")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Größe", b"Gr\xc3\xb6\xc3\x9fe"),
        ("x" * 13 + "é", b"x" * 13 + b"\xc3\xa9"),  # 15 bytes, as they fit
        ("x" * 14 + "é", b"x" * 14 + b"\xc3"),  # cut in the middle of a letter
        ("é" * 15, b"\xc3\xa9" * 7 + b"\xc3"),
        ("\U0001f40d" * 4, b"\xf0\x9f\x90\x8d" * 3 + b"\xf0\x9f\x90"),
    ],
)
def test_a_name_is_cut_by_bytes(name, shown):
    assert named(name) == shown.decode("utf-8", "surrogateescape")
    seen = []

    def function():
        lowthread.set_name(name)
        with open(f"/proc/self/task/{lowthread.get_native_id()}/comm", "rb") as f:
            seen.append(f.read())

    run_threads(function)
    assert seen == [shown + b"\n"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\0b", "a"), ("\0", ""), ("\0hidden", ""), ("x" * 20 + "\0", "x" * 20)],
)
def test_a_nul_ends_the_name(name, shown):
    assert named(name) == shown[:LONGEST]


@pytest.mark.parametrize(
    ("name", "shown"), [("a\ud800b", "a?b"), ("\udc80", "?"), ("\udfff" * 20, "?" * 20)]
)
def test_what_cannot_be_encoded_is_replaced(name, shown):
    assert named(name) == shown[:LONGEST]


def test_an_encoding_that_knows_few_letters():
    out = run_script(
        """
        import sys, lowthread
        names = []
        def function():
            lowthread.set_name("snake " + 2 * chr(0x1F40D))
            names.append(lowthread._get_name())
        lowthread.start_joinable_thread(function).join()
        print(sys.getfilesystemencoding(), ascii(names[0]))
        """,
        python=(sys.executable, "-X", "utf8=0"),
        env={**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    ).ok()
    encoding, name = out.rstrip().split(" ", 1)
    if encoding == "utf-8":
        pytest.skip("in the C locale, too, names are in UTF-8")
    assert name == "'snake ??'"


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "None"), (1, "int"), (b"name", "bytes"), ([], "list"), (1.5, "float"), (str, "type")],
)
def test_a_name_is_a_str(value, kind):
    before = lowthread._get_name()
    message = rf"^set_name\(\) argument 'name' must be str, not {kind}$"
    with pytest.raises(TypeError, match=message):
        lowthread.set_name(value)
    with pytest.raises(TypeError, match=message):
        lowthread.set_name(name=value)
    assert lowthread._get_name() == before


def test_a_keyword():
    names = []

    def function():
        lowthread.set_name(name="keyword")
        names.append(lowthread._get_name())

    run_threads(function)
    assert names == ["keyword"]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"set_name\(\) missing required argument 'name' \(pos 1\)"),
        (("a", "b"), {}, r"set_name\(\) takes at most 1 argument \(2 given\)"),
        ((), {"nom": "a"}, r"set_name\(\) missing required argument 'name' \(pos 1\)"),
        (("a",), {"name": "b"}, r"set_name\(\) takes at most 1 argument \(2 given\)"),
    ],
)
def test_wrong_arguments(args, kwargs, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        lowthread.set_name(*args, **kwargs)


@pytest.mark.parametrize("wrong", [{"args": (1,)}, {"kwargs": {"name": "a"}}])
def test_get_name_takes_no_arguments(wrong):
    with pytest.raises(TypeError, match=r"^lowthread._get_name\(\) takes no "):
        lowthread._get_name(*wrong.get("args", ()), **wrong.get("kwargs", {}))


def test_a_name_is_of_one_thread():
    before = lowthread._get_name()
    assert isinstance(before, str)
    seen = []
    gates = [lowthread.allocate_lock() for _ in range(2)]

    def function():
        lowthread.set_name("other")
        gates[0].release()
        assert gates[1].acquire(timeout=60)
        seen.append(lowthread._get_name())

    for gate in gates:
        gate.acquire()
    handle = lowthread.start_joinable_thread(function)
    assert gates[0].acquire(timeout=60)
    assert lowthread._get_name() == before
    gates[1].release()
    handle.join()
    assert seen == ["other"]
    assert lowthread._get_name() == before


def test_a_new_thread_inherits_the_name_of_its_starter():
    names = []

    def function():
        lowthread.set_name("starter")
        lowthread.start_joinable_thread(lambda: names.append(lowthread._get_name())).join()
        lowthread.set_name("renamed")
        names.append(lowthread._get_name())

    run_threads(function)
    assert names == ["starter", "renamed"]


@pytest.mark.skipif(sys.platform != "linux", reason="there the process has that name")
def test_the_name_of_the_main_thread():
    out = run_script(
        """
        import lowthread
        lowthread.set_name("main thread")
        with open("/proc/self/comm") as f:
            print(f.read(), end="")
        print(lowthread._get_name())
        """
    ).ok()
    assert out == "main thread\nmain thread\n"
