"""Where a thread took the locks that it has, as far as its stack and the source tell.

By the `with` statements that it has entered, it took what it has in them; and what it has taken by
a call of `acquire` that it is past, it may have taken there.
"""

from __future__ import annotations

from sys import _getframe
from types import GetSetDescriptorType

from lowthread._hooks import HERE, is_of_a_handler
from lowthread._places import address_of, is_of_a_condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    Call = tuple[Any, tuple[str, int, int]]


def taken_in(frame: FrameType | None, waited: int) -> dict[int, str]:
    """Return where a thread with this stack took what it has, by the locks' addresses.

    waited: the address of the lock that it waits for. Each place as it continues a sentence:
    " in File ..." or ", probably in File ...".
    """
    certain: dict[int, str] = {}
    probable: dict[int, str] = {}
    while frame is not None:
        code = frame.f_code
        for places, how, nodes in (
            (certain, " in", _entered(frame, waited)),
            (probable, ", probably in", _called(frame)),
        ):
            for line, expression in nodes:
                place = f'File "{code.co_filename}", line {line}, in {code.co_name}'
                for address in _addresses(_evaluate(expression, frame)):
                    places.setdefault(address, f"{how} {place}")
        frame = frame.f_back
    return {**probable, **certain}


def is_taken_again(frame: FrameType | None, waited: int) -> bool:
    """Return whether a thread with this stack waits for what it took by a `with` it is still in.

    That of a lock, or of what has one as its `_lock`, as `threading.Condition` has.
    """
    while frame is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    if frame is not None and is_of_a_condition(frame):
        return False  # most waits are, and no source need be read for them
    while frame is not None:
        for _, expression in _entered(frame, waited):
            found = _evaluate(expression, frame)
            if waited in (address_of(found), address_of(_attribute(found, "_lock"))):
                return True
        frame = frame.f_back
    return False


def _entered(frame: FrameType, waited: int) -> Iterator[tuple[int, Any]]:
    """Return the line and the expression of each `with` statement that a frame is in.

    In the line where it begins, it is in those up to the one it waits for.
    """
    line = frame.f_lineno or 0  # some instructions are of no line
    for node in _parsed(frame)[0]:
        if not node.lineno <= line <= (node.end_lineno or 0):
            continue
        expressions = [item.context_expr for item in node.items]
        is_in_body = node.body[0].lineno <= line
        if line <= max(e.end_lineno or 0 for e in expressions):
            for count, expression in enumerate(expressions):
                if waited in _addresses(_evaluate(expression, frame)):
                    del expressions[count:]
                    is_in_body = True
                    break
        if is_in_body:
            for expression in expressions:
                yield node.lineno, expression


def _called(frame: FrameType) -> Iterator[tuple[int, Any]]:
    """Return the line and the object of each call of `acquire` above where a frame is.

    The last comes first.
    """
    code, line = frame.f_code, frame.f_lineno or 0
    for node, function in reversed(_parsed(frame)[1]):
        name, first, last = function
        if name == code.co_name and first <= code.co_firstlineno <= node.lineno < line <= last:
            yield node.lineno, node.func.value


#: Of each file, the `with` statements, and the calls of `acquire` with the functions they are in:
#: name, first line, last line.
_trees: dict[str, tuple[list[Any], list[Call]]] = {}


def _parsed(frame: FrameType) -> tuple[list[Any], list[Call]]:
    import ast
    import linecache
    import warnings

    name = frame.f_code.co_filename
    if name.startswith("<"):  # others may have the same name
        return [], []
    if name not in _trees:
        try:
            with warnings.catch_warnings():  # they were told when it was compiled
                warnings.simplefilter("ignore")
                tree = ast.parse("".join(linecache.getlines(name, frame.f_globals)))
        except Exception as error:  # it is no source, or the program's own loader raises
            if is_of_a_handler(error):
                raise
            tree = ast.Module([], [])
        statements = [n for n in ast.walk(tree) if isinstance(n, (ast.With, ast.AsyncWith))]
        _trees[name] = statements, sorted(_calls(tree), key=lambda call: call[0].lineno)
    return _trees[name]


def _calls(tree: Any) -> Iterator[Call]:
    import ast

    nodes: list[Call] = [(tree, ("<module>", 0, 1 << 60))]
    while nodes:
        node, function = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min(n.lineno for n in (node, *node.decorator_list))
            function = node.name, first, node.end_lineno or 0
        elif isinstance(node, ast.Lambda):
            function = "<lambda>", node.lineno, node.end_lineno or 0
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "acquire":
            yield node, function
        nodes += ((child, function) for child in ast.iter_child_nodes(node))


_MISSING = object()

# What the interpreter itself knows of a class: its metaclass may be the program's own.
_mro_of = type.__dict__["__mro__"].__get__
_names_of = type.__dict__["__dict__"].__get__


def _names() -> Any:
    return _getframe().f_locals


#: A dict, and what a function's names are in since 3.13.
_OF_FRAMES = (dict, type(_names()))


def _evaluate(node: Any, frame: FrameType) -> Any:
    """Return what an expression is, without running the program's code; of those it knows.

    Names, attributes, items of lists, tuples and dicts, and sums and remainders as their indices.
    """
    import ast

    if isinstance(node, ast.Name):
        for names in (frame.f_locals, frame.f_globals):
            found = _item(names, node.id)
            if found is not _MISSING:
                return found
    if isinstance(node, ast.Attribute):
        return _attribute(_evaluate(node.value, frame), node.attr)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return _calculate(node.op, _evaluate(node.left, frame), _evaluate(node.right, frame))
    if isinstance(node, ast.Subscript):
        return _item(_evaluate(node.value, frame), _evaluate(node.slice, frame))
    return _MISSING


def _calculate(operation: Any, left: object, right: object) -> object:
    import ast

    if type(left) is int and type(right) is int:
        if isinstance(operation, ast.Add):
            return left + right
        if isinstance(operation, ast.Sub):
            return left - right
        if isinstance(operation, ast.Mod) and right:
            return left % right
    return _MISSING


def _item(container: object, key: object) -> object:
    if type(container) in (list, tuple) and type(key) is int:
        items: Any = container
        return items[key] if -len(items) <= key < len(items) else _MISSING
    if type(key) in (int, str):
        # One by one, as keys of other types may have an __eq__ of their own.
        for other, item in _items(container):
            if type(other) is type(key) and other == key:
                return item
    return _MISSING


def _items(names: Any) -> list[tuple[Any, Any]]:
    """Return what is in a dict or in the names of a frame.

    Nothing of what a program gave to exec(), say, which may do anything.
    """
    if type(names) in _OF_FRAMES:
        try:
            return list(names.items())
        except RuntimeError:  # another thread changes it
            pass
    return []


def _attribute(thing: object, name: str) -> object:
    attributes = _attributes_of(thing)
    found = _item(attributes, name)
    if found is _MISSING and name[:2] == "__":  # it has the name of its class, unless of two
        found, *others = [
            value
            for key, value in _items(attributes)
            if type(key) is str and key[0:1] == "_" != key[1:2] and key.endswith(name)
        ] or [_MISSING]
        return _MISSING if others else found
    return found


def _attributes_of(thing: object) -> dict[str, Any]:
    if thing is _MISSING or issubclass(type(thing), type):
        return {}
    for cls in _mro_of(type(thing)):
        descriptor = _names_of(cls).get("__dict__")
        if descriptor is not None:
            if type(descriptor) is not GetSetDescriptorType:  # the program's own
                return {}
            found = descriptor.__get__(thing)
            return found if type(found) is dict else {}
    return {}


def _addresses(thing: object) -> list[int]:
    """Return those of a lock, or of the locks that are in a thing, as in a `Condition`."""
    things = (thing, *(value for _, value in _items(_attributes_of(thing))))
    return [address for address in map(address_of, things) if address is not None]
