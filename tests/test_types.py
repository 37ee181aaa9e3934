"""What lowthread is to type checkers: stubs as things are, and assignable to `_thread`'s names.

mypy and pyright are where `make types` installs them; what takes neither is in `make test`.
"""

import ast
import importlib.util
import inspect
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from conftest import PYPY, ROOT, run_script

import lowthread
from lowthread import _load

PACKAGE = pathlib.Path(lowthread.__file__).parent
PROGRAMS = ROOT / "tests" / "types"
HERE = {"sys": sys, "signal": signal}


# ---- reading a stub ----


def statements(body):
    """Yield what of a stub holds for this version of Python."""
    for node in body:
        if isinstance(node, ast.If):
            holds = eval(ast.unparse(node.test), HERE)
            yield from statements(node.body if holds else node.orelse)
        else:
            yield node


def names_of(node):
    """Return the names that a statement gives to who imports the stub."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname for alias in node.names if alias.name == alias.asname]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets]
    return []


def defined(body):
    """Return {name: its statements}, in the order of a stub; overloads are several."""
    found = {}
    for node in statements(body):
        for name in names_of(node):
            found.setdefault(name, []).append(node)
    return found


def is_variable_of_types(nodes):
    """Whether it is a ParamSpec or the like, which is there for the stub only."""
    value = getattr(nodes[0], "value", None)
    return isinstance(value, ast.Call)


def stub(name):
    path = PACKAGE / f"{name}.pyi"
    found = defined(ast.parse(path.read_text(encoding="utf-8")).body)
    return {name: nodes for name, nodes in found.items() if not is_variable_of_types(nodes)}


def is_for_checkers_only(nodes):
    decorators = getattr(nodes[0], "decorator_list", [])
    return any(ast.unparse(d) == "type_check_only" for d in decorators)


def is_overload(node):
    return any(ast.unparse(d) == "overload" for d in node.decorator_list)


def is_property(node):
    return any(ast.unparse(d) == "property" for d in node.decorator_list)


def parameters(function):
    """Return [(name, kind, default)] of a function in a stub."""
    given, kinds = function.args, inspect.Parameter
    plain = [*given.posonlyargs, *given.args]
    found = [(a.arg, kinds.POSITIONAL_ONLY) for a in given.posonlyargs]
    found += [(a.arg, kinds.POSITIONAL_OR_KEYWORD) for a in given.args]
    found += [(a.arg, kinds.VAR_POSITIONAL) for a in [given.vararg] if a]
    found += [(a.arg, kinds.KEYWORD_ONLY) for a in given.kwonlyargs]
    found += [(a.arg, kinds.VAR_KEYWORD) for a in [given.kwarg] if a]
    defaults = dict(zip((a.arg for a in reversed(plain)), reversed(given.defaults)))
    defaults.update((a.arg, d) for a, d in zip(given.kwonlyargs, given.kw_defaults) if d)
    values = {name: eval(ast.unparse(default), HERE) for name, default in defaults.items()}
    return [(name, kind, values.get(name, kinds.empty)) for name, kind in found]


def check_signature(nodes, function):
    """Check that a function has the parameters that it has in a stub."""
    longest = max(nodes, key=lambda node: len(parameters(node)))
    told = parameters(longest)
    found = [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
    if is_overload(longest):  # there, defaults tell one from the other
        told, found = [p[:2] for p in told], [p[:2] for p in found]
    assert told == found


# ---- lowthread ----

PUBLIC = stub("__init__")
if not hasattr(lowthread, "get_native_id"):
    del PUBLIC["get_native_id"]  # on a system without such numbers


def test_the_package_says_that_it_has_types():
    assert (PACKAGE / "py.typed").read_bytes() == b""


def test_every_name_is_in_the_stub_and_no_other():
    assert set(PUBLIC) - {"__all__", "_C_API"} == set(lowthread.__all__)
    assert hasattr(lowthread, "_C_API")


def test_all_is_told():
    [node] = PUBLIC["__all__"]
    assert [name for name in ast.literal_eval(node.value) if hasattr(lowthread, name)] == (
        lowthread.__all__
    )


FUNCTIONS = [name for name, nodes in PUBLIC.items() if isinstance(nodes[0], ast.FunctionDef)]
CLASSES = [name for name, nodes in PUBLIC.items() if isinstance(nodes[0], ast.ClassDef)]
METHODS = [
    pytest.param(cls, name, nodes, id=f"{cls}.{name}")
    for cls in CLASSES
    for name, nodes in defined(PUBLIC[cls][0].body).items()
    if not isinstance(nodes[0], ast.AnnAssign)
]
RECORDS = [cls for cls in CLASSES if "NamedTuple" in map(ast.unparse, PUBLIC[cls][0].bases)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name):
    check_signature(PUBLIC[name], getattr(lowthread, name))


@pytest.mark.parametrize(("cls", "name", "nodes"), METHODS)
def test_signature_of_a_method(cls, name, nodes):
    member = vars(getattr(lowthread, cls))[name]
    if is_property(nodes[0]):
        assert inspect.isdatadescriptor(member)
    elif name == "__new__":
        pass  # a type of C has it, and no signature
    elif name == "__enter__" and cls in ("lock", "RLock"):
        # A method of C says that it has no parameters, as in 3.13, and has those of acquire().
        check_signature(nodes, getattr(lowthread, cls).acquire)
        assert getattr(lowthread, cls)().__enter__(blocking=False, timeout=-1) is True
    else:
        check_signature(nodes, getattr(getattr(lowthread, cls), name))


@pytest.mark.parametrize("cls", CLASSES)
def test_methods_are_in_the_stub(cls):
    ours = getattr(lowthread, cls)
    told = set(defined(PUBLIC[cls][0].body))
    found = {
        name
        for name, member in vars(ours).items()
        if (callable(member) or inspect.isdatadescriptor(member))
        and (not name.startswith("__") or name in ("__enter__", "__exit__"))
    }
    inner = {"_cell", "_daemon", "_name", "_RLock__cell", "_ThreadHandle__cell"}
    inner |= {f"_{cls}__cell"}
    if cls == "Profile":  # which is no type of C elsewhere
        inner |= {name for name in vars(ours) if not name.startswith("__")} & {
            name for name in vars(ours) if name.startswith("_")
        }
    assert found - inner <= told


@pytest.mark.parametrize("cls", RECORDS)
def test_fields_of_a_record(cls):
    assert tuple(defined(PUBLIC[cls][0].body)) == getattr(lowthread, cls)._fields


@pytest.mark.parametrize("name", ["lock", "_ThreadHandle"])
def test_a_type_that_is_final_is_so_in_the_stub(name):
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (getattr(lowthread, name),), {})
    if name in CLASSES:  # else it is typeshed's
        assert "final" in map(ast.unparse, PUBLIC[name][0].decorator_list)


@pytest.mark.parametrize("name", ["TIMEOUT_MAX", "_NAME_MAXLEN", "backend"])
def test_type_of_a_constant(name):
    told = re.fullmatch(r"Final\[(\w+)\]", ast.unparse(PUBLIC[name][0].annotation))[1]
    assert type(getattr(lowthread, name)).__name__ == told


def shown_of(thing):
    """Yield the names of functions and methods that have annotations to be seen."""
    members = {"": thing}
    if isinstance(thing, type):
        members = {name: getattr(thing, name) for name in vars(thing) if name != "__class__"}
        members[""] = thing
    for name, value in members.items():
        member = getattr(value, "fget", value)
        if getattr(member, "__annotations__", None):
            yield name
        try:
            signature = inspect.signature(member)
        except (TypeError, ValueError):  # C that has none
            continue
        told = [signature.return_annotation]
        told += [p.annotation for p in signature.parameters.values()]
        if any(annotation is not inspect.Parameter.empty for annotation in told):
            yield name


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *CLASSES, "_ThreadHandle", "_local"}))
def test_nothing_shows_annotations(name):
    """What is Python here is C in the interpreter, which has none for inspect and pydoc."""
    assert list(shown_of(getattr(lowthread, name))) == []


def test_typing_is_not_imported_for_it():
    script = "import sys, lowthread; print({'typing', 'inspect'} & set(sys.modules))"
    path = os.pathsep.join([str(ROOT), *filter(os.path.isdir, sys.path)])
    env = {**os.environ, "PYTHONPATH": path}
    # -S: the module `site` may import anything.
    assert run_script(script, python=(sys.executable, "-S"), env=env).ok() == "set()\n"


# ---- the native modules ----


@pytest.mark.skipif(PYPY, reason="lowthread._native speaks CPython's C API: PyPy has none of it")
class TestNative:
    def test_every_name_is_in_the_stub_and_no_other(self):
        there = {name for name in vars(_load.native) if not name.startswith("__")}
        assert set(stub("_native")) == there

    @pytest.mark.parametrize(
        "name",
        [n for n, nodes in stub("_native").items() if isinstance(nodes[0], ast.FunctionDef)],
    )
    def test_signature(self, name):
        check_signature(stub("_native")[name], getattr(_load.native, name))


FFI = stub("_ffi")
LIB = defined(FFI["_Lib"][0].body)
ON_PYPY = {
    "lt_start",
    "lt_run",
    "lt_wait_over",
    "lt_handlers_off",
    "lt_handlers_on",
    "lt_look_for_signals",
}

# What the types of C are in the stub.
IN_PYTHON = {
    "_Bool": {"bool"},
    "_Bool *": {"Flag"},
    "lt_api *": {"ApiTable"},
    "char *": {"Chars", "bytes | Chars"},
    "lt_handle *": {"HandleCell"},
    "lt_lock *": {"LockCell"},
    "lt_rlock *": {"RLockCell"},
    "lt_wait_seen *": {"WaitsSeen"},
    "lt_wait_done *": {"WaitsDone", "WaitDone"},
    "size_t *": {"Sizes"},
    "int64_t *": {"Numbers"},
    "lt_noted *": {"Noted"},
    "void": {"None"},
    "void *": {"Pointer"},
}


def in_python(ctype):
    is_number = ctype.kind == "primitive" and ctype.cname != "_Bool"
    return {"int"} if is_number else IN_PYTHON[ctype.cname]


class TestFFI:
    def test_names_of_the_module(self):
        there = {name for name in FFI if not is_for_checkers_only(FFI[name])}
        assert there == {"ffi", "lib"}
        assert set(FFI) - there - {"_FFI", "_Lib"} == {
            *("ApiTable", "CInt", "Chars", "HandleCell", "LockCell", "Pointer"),
            *("RLockCell", "TypeInC", "WaitSeen", "WaitsSeen", "WaitsDone", "Sizes", "Numbers"),
            *("Noted", "WaitDone"),
        }

    def test_every_name_of_lib_is_in_the_stub_and_no_other(self):
        assert set(LIB) - (set() if PYPY else ON_PYPY) == set(dir(_load.lib))

    def test_every_name_of_ffi_is_in_the_stub_and_no_other(self):
        """But for what cffi has only here and there: on Windows, or in some versions."""
        there = {name for name in dir(_load.ffi) if not name.startswith("_")}
        told = set(defined(FFI["_FFI"][0].body))
        assert there - told == set()
        assert told - there <= {"RTLD_DEEPBIND", "RTLD_NODELETE", "RTLD_NOLOAD"}

    @pytest.mark.parametrize("name", sorted(set(LIB) - (set() if PYPY else ON_PYPY)))
    def test_type(self, name):
        [node] = LIB[name]
        if isinstance(node, ast.AnnAssign):
            assert ast.unparse(node.annotation) == "int"
            assert type(getattr(_load.lib, name)) is int
            return
        if is_property(node):
            value = getattr(_load.lib, name)
            kind = "int" if isinstance(value, int) else _load.ffi.typeof(value).cname
            assert ast.unparse(node.returns) in IN_PYTHON.get(kind, {"int"})
            return
        told = node.args.posonlyargs[1:]
        ctype = _load.ffi.typeof(_load.ffi.addressof(_load.lib, name))
        assert ast.unparse(node.returns) in in_python(ctype.result)
        assert len(told) == len(ctype.args)
        for argument, argument_type in zip(told, ctype.args):
            assert ast.unparse(argument.annotation) in in_python(argument_type)

    def test_members_of_a_lock(self):
        [word] = defined(FFI["LockCell"][0].body).values()
        assert ast.unparse(word[0]) == "word: int"
        assert dict(_load.ffi.typeof("lt_lock").fields)["word"].type.cname == "uint32_t"

    def test_members_of_a_wait(self):
        fields = dict(_load.ffi.typeof("lt_wait_seen").fields)
        assert set(fields) == set(defined(FFI["WaitSeen"][0].body))
        assert {field.type.kind for field in fields.values()} == {"primitive"}


# ---- programs that are checked ----

HAS_MYPY = importlib.util.find_spec("mypy") is not None
HAS_PYRIGHT = importlib.util.find_spec("pyright") is not None


def run_mypy(path):
    """Return the lines of a file of which `mypy --strict` complains: {number: what it says}."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)]
    env = {**os.environ, "MYPYPATH": str(ROOT), "NO_COLOR": "1"}
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=path.parent, env=env
    )
    assert ran.returncode in (0, 1), ran.stderr + ran.stdout
    found = re.findall(r"^(\S+?):(\d+): error: (.*)$", ran.stdout, re.MULTILINE)
    assert bool(found) == bool(ran.returncode), ran.stdout
    assert {pathlib.Path(name).name for name, _, _ in found} <= {path.name}, ran.stdout
    return {int(line): message for _, line, message in found}


def run_pyright(path):
    """Return the lines of which pyright complains, in its strict mode."""
    config = path.parent / "pyrightconfig.json"
    config.write_text(
        json.dumps(
            {
                "include": [path.name],
                "typeCheckingMode": "strict",
                "extraPaths": [str(ROOT)],
                # Names of _thread's with an underscore, and obsolete ones, are what it is about.
                "reportPrivateUsage": False,
                "reportDeprecated": False,
                # What follows from a line that is wrong, and is wrong with it.
                "reportUnknownMemberType": False,
                "reportUnknownVariableType": False,
            }
        )
    )
    command = [sys.executable, "-m", "pyright", "--outputjson", "--project", str(config)]
    command += ["--pythonpath", sys.executable]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr + ran.stdout
    told = json.loads(ran.stdout)
    assert told["summary"]["filesAnalyzed"] == 1
    found = {
        one["range"]["start"]["line"] + 1: one["message"]
        for one in told["generalDiagnostics"]
        if one["severity"] == "error"
    }
    assert bool(found) == bool(ran.returncode), ran.stdout
    return found


CHECKERS = pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            run_mypy,
            id="mypy",
            marks=pytest.mark.skipif(
                not HAS_MYPY, reason="mypy is not here: `make types` installs it and runs this"
            ),
        ),
        pytest.param(
            run_pyright,
            id="pyright",
            marks=pytest.mark.skipif(
                not HAS_PYRIGHT,
                reason="pyright is not here: `make types` installs it and runs this",
            ),
        ),
    ],
)


def written(text, folder):
    path = folder / "program.py"
    path.write_text(text, encoding="utf-8")
    return path


@CHECKERS
def test_a_program_written_for_thread(check, tmp_path):
    text = (PROGRAMS / "for_thread.py").read_text(encoding="utf-8")
    assert check(written(text, tmp_path)) == {}


@CHECKERS
def test_wrong_use_is_complained_of(check, tmp_path):
    text = (PROGRAMS / "wrong.py").read_text(encoding="utf-8")
    wrong = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# wrong")]
    assert len(wrong) > 30
    found = check(written(text, tmp_path))
    assert sorted(found) == wrong, found


ASSIGNED = """\
import _thread
from typing import Callable, TypeVar

import lowthread

T = TypeVar("T")


def assign(theirs: T) -> Callable[[T], None]:
    def to(ours: T) -> None:
        pass

    return to


"""


def names_in_typeshed():
    """Return the names that the `_thread` of typeshed, as mypy has it, has in this version."""
    import mypy

    path = pathlib.Path(mypy.__file__).parent / "typeshed" / "stdlib" / "_thread.pyi"
    found = defined(ast.parse(path.read_text(encoding="utf-8")).body)
    return [name for name, nodes in found.items() if not is_variable_of_types(nodes)]


@pytest.mark.skipif(not HAS_MYPY, reason="mypy has typeshed: `make types` runs this")
@CHECKERS
class TestNamesOfTypeshed:
    def test_each_can_be_assigned_from_ours(self, check, tmp_path):
        names = names_in_typeshed()
        assert {"LockType", "RLock", "start_new_thread", "_ExceptHookArgs"} <= set(names)
        lines = [f"assign(_thread.{name})(lowthread.{name})" for name in names]
        assert check(written(ASSIGNED + "\n".join(lines) + "\n", tmp_path)) == {}

    def test_another_cannot(self, check, tmp_path):
        """So that the test above can fail."""
        lines = ["assign(_thread.get_ident)(lowthread.allocate_lock)"]
        lines += ["assign(_thread.LockType)(lowthread.RLock)"]
        lines += ["assign(_thread.start_new_thread)(lowthread.exit)"]
        path = written(ASSIGNED + "\n".join(lines) + "\n", tmp_path)
        first = len(ASSIGNED.splitlines()) + 1
        assert sorted(check(path)) == list(range(first, first + len(lines)))
