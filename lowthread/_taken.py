"""Where a thread took the locks that it has, as far as its stack and the source tell.

By the `with` statements that it has entered, it took what it has in them; and what it has taken by
a call of `acquire` that it is past, it may have taken there.

Of the source, the tokens are read from where the function begins to where the thread is. To parse
a file takes long, in which no other thread runs, and more of the stack than a thread may have.
"""

from __future__ import annotations

import re
import sys
from sys import _getframe
from types import GetSetDescriptorType, MemberDescriptorType

from lowthread._hooks import HERE, is_of_a_handler
from lowthread._places import address_of, is_of_a_condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType
    from typing import Any


def import_now() -> None:
    """Import what is needed later, since the first import of a module takes locks."""
    import ast  # noqa: F401
    import linecache  # noqa: F401
    import tokenize  # noqa: F401


def taken_in(frame: FrameType | None, waited: int) -> dict[int, str]:
    """Return where a thread with this stack took what it has, by the locks' addresses.

    waited: the address of the lock that it waits for. Each place as it continues a sentence:
    " in File ..." or ", probably in File ...".
    """
    certain: dict[int, str] = {}
    probable: dict[int, str] = {}
    for call, inner, source in _read(frame, is_all=True):
        for line, expression in source.entered(call, inner, waited):
            found = _evaluate(expression, call)
            for address in _locked_by(found):
                certain.setdefault(address, f" in {_say(call, line)}")
            for address in _addresses(found):
                probable.setdefault(address, f", probably in {_say(call, line)}")
        for line, expression in source.acquired():
            for address in _addresses(_evaluate(expression, call)):
                probable.setdefault(address, f", probably in {_say(call, line)}")
    return {**probable, **certain}


def _say(call: FrameType, line: int) -> str:
    return f'File "{call.f_code.co_filename}", line {line}, in {call.f_code.co_name}'


def is_taken_again(frame: FrameType | None, waited: int) -> bool:
    """Return whether a thread with this stack waits for what it took by a `with` it is still in.

    That of a lock, or of a `threading.Condition` of which it is the lock.
    """
    if is_to_be_notified(frame):
        return False  # most waits are, and no source need be read for them
    return any(
        waited in _locked_by(_evaluate(expression, call))
        for call, inner, source in _read(frame, is_all=False)
        for _, expression in source.entered(call, inner, waited)
    )


def is_to_be_notified(frame: FrameType | None) -> bool:
    """Return whether a thread with this stack waits as a `threading.Condition` does."""
    for call, _ in _calls(frame):
        return is_of_a_condition(call)
    return False


def _calls(frame: FrameType | None) -> Iterator[tuple[FrameType, FrameType | None]]:
    """Return the calls of a stack but for our own, the innermost first; and what each called."""
    inner = None
    while frame is not None:
        if not frame.f_code.co_filename.startswith(HERE):
            yield frame, inner
            inner = frame
        frame = frame.f_back


def _read(
    frame: FrameType | None, is_all: bool
) -> Iterator[tuple[FrameType, FrameType | None, _Source]]:
    """Return the same with the source; in a recursion, that is read once."""
    known: dict[tuple[CodeType, int | None], _Source] = {}
    for call, inner in _calls(frame):
        where = call.f_code, call.f_lineno
        if where not in known:
            known[where] = _Source(call, is_all)
        yield call, inner, known[where]


def _locked_by(thing: object) -> list[int]:
    """Return the address of the lock that a `with` statement of a thing is known to take."""
    condition = _item(_attributes_of(sys.modules.get("threading")), "Condition")
    is_condition = any(cls is condition for cls in _mro_of(type(thing)))
    address = address_of(_attribute(thing, "_lock") if is_condition else thing)
    return [] if address is None else [address]


class _Line:
    """A logical line of source; if it begins a block, of what is in that something is noted."""

    def __init__(self, words: list[str], number: int) -> None:
        self.words = words
        self.number = number
        # What has been given another value in the block, as it is written there.
        self.rebound: set[str] = set()

    def begins_with(self, *words: str) -> bool:
        first = [word for word in self.words[:2] if word != "async"]
        return bool(first) and first[0] in words

    def items(self) -> tuple[list[Any], bool]:
        """Return the expressions of a `with` statement, and whether its body is in the same line.

        Without those that are others by now.
        """
        import ast

        begin, end, depth = self.words.index("with"), 0, 0
        for end, word in enumerate(self.words):  # noqa: B007
            depth += (word in _OPENING) - (word in _CLOSING)
            if word == ":" and not depth:
                break
        parsed = _parse(" ".join(self.words[begin:end]) + ": pass", "exec")
        expressions = [item.context_expr for item in parsed.body[0].items] if parsed else []
        names = (ast.Name, ast.Attribute)
        return [
            expression
            for expression in expressions
            if not any(
                isinstance(node, names) and ast.unparse(node) in self.rebound
                for node in ast.walk(expression)
            )
        ], end + 1 < len(self.words)


_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")

_ACQUIRE = re.compile(r"([^\W\d][\w.]*(?:\[[^\[\]]*\][\w.]*)*)\.acquire\(")


def _targets(words: list[str]) -> set[str]:
    """Return what a line gives another value; or more, such as the condition of an `if` before."""
    if words[:1] and words[0] in ("case", "class", "def", "except", "from", "import"):
        return _names_in(words)
    depth, end = 0, 0
    for i, word in enumerate(words):
        depth += (word in _OPENING) - (word in _CLOSING)
        is_new = word[-1:] == "=" and word not in ("==", "!=", "<=", ">=")
        if (is_new and not depth) or word == ":=" or (word == "in" and "for" in words[:i]):
            end = i
    begin = 0
    if "with" in words[:2] and "as" in words:
        begin, end = words.index("as"), len(words)
    return _names_in(words[begin:end])


def _names_in(words: list[str]) -> set[str]:
    return set(re.findall(r"[\w.]+", " ".join(words).replace(" . ", ".")))


def _parse(text: str, mode: str) -> Any:
    import ast

    if "\\" in text:  # it might be warned of
        return None
    try:
        return ast.parse(text, mode=mode)
    except (SyntaxError, ValueError):
        return None


class _Source:
    """What a frame is in, and what it is past, as of the source from its function's first line."""

    def __init__(self, frame: FrameType, is_all: bool) -> None:
        """Read it.

        is_all: also what is above a statement of a module, and what the program's loader has.
        """
        self._blocks: list[_Line] = []
        self._here = _Line([], 0)
        self._past: list[_Line] = []
        code, at = frame.f_code, frame.f_lineno or 0  # some instructions are of no line
        is_module = code.co_name == "<module>"
        if code.co_filename[:1] == "<":  # others may have the same name
            return
        if code.co_name[:1] == "<" and not is_module:  # a part of an expression
            return
        import linecache

        try:
            lines = linecache.getlines(code.co_filename, frame.f_globals if is_all else None)
            if 0 < at <= len(lines):
                first = 1 if is_module else code.co_firstlineno
                if is_module and not is_all:
                    first = _outermost(lines, at)
                if not _is_warned_of("".join(lines[first - 1 : at])):
                    self._read(lines, first, at, 0 if is_module else 1)
        except Exception as error:  # it is no source, or the program's own loader raises
            if is_of_a_handler(error):
                raise
            del self._blocks[:], self._past[:]

    def _read(self, lines: list[str], first: int, at: int, functions: int) -> None:
        """Read from the one line to the other.

        functions: how many definitions of functions or classes the latter is in.
        """
        from tokenize import DEDENT, INDENT, NEWLINE, generate_tokens, tok_name

        blocks, line = self._blocks, _Line([], 0)
        words: list[str] = []
        number = 0
        for token in generate_tokens(iter(lines[first - 1 :]).__next__):
            if token.type == INDENT:
                blocks.append(line)
            elif token.type == DEDENT:
                del blocks[-1:]
            elif token.type == NEWLINE:
                line, words = _Line(words, number), []
                targets = _targets(line.words)
                for block in blocks:
                    block.rebound |= targets
                if token.start[0] + first - 1 >= at:
                    self._here = line
                    return
                others = [x for x in (*blocks, line) if x.begins_with("def", "class", "@")]
                if len(others) <= functions:
                    self._past.append(line)
            elif tok_name[token.type] not in ("COMMENT", "NL", "FSTRING_MIDDLE"):
                number = number if words else token.start[0] + first - 1
                words.append(token.string)

    def acquired(self) -> Iterator[tuple[int, Any]]:
        """Return the line and the object of each call of `acquire` above where the frame is.

        The last comes first.
        """
        for line in reversed(self._past):
            if "acquire" in line.words and "lambda" not in line.words:
                text = re.sub(r" ?([.()\[\]]) ?", r"\1", " ".join(line.words))
                for found in reversed(_ACQUIRE.findall(text)):
                    parsed = _parse(found, "eval")
                    if parsed is not None:
                        yield line.number, parsed.body

    def entered(
        self, frame: FrameType, inner: FrameType | None, waited: int
    ) -> Iterator[tuple[int, Any]]:
        """Return the line and the expression of each `with` statement that the frame is in.

        inner: the call that it is in. Where a statement begins, it is in what comes before that
        which it waits for.
        """
        calling = "" if inner is None else inner.f_code.co_name
        is_leaving = calling in ("__exit__", "__aexit__")
        if is_leaving and sys.version_info < (3, 10):
            return  # it is said to be in the last line of the body, whichever statement it leaves
        for line in self._blocks:
            if line.begins_with("with"):
                for expression in line.items()[0]:
                    yield line.number, expression
        if is_leaving or not self._here.begins_with("with"):
            return
        expressions, has_body = self._here.items()
        found = [_evaluate(expression, frame) for expression in expressions]
        # A lock is entered without a call in Python.
        is_lock = [address_of(thing) is not None for thing in found]
        is_entering = calling in ("__enter__", "__aenter__")
        waits = [
            (inner is None if own else is_entering) and waited in _addresses(thing)
            for thing, own in zip(found, is_lock)
        ]
        if any(waits):
            count = waits.index(True)
        elif has_body and inner and all(is_lock):  # no call to evaluate or to enter one of them
            count = len(found)
        else:  # it enters one that is not known, or evaluates one
            count = [*is_lock, False].index(False) if is_entering else 0
        for expression in expressions[:count]:
            yield self._here.number, expression


def _is_warned_of(source: str) -> bool:
    """Return whether C's tokenizer may warn of source: of a backslash before a brace in f"..."."""
    return "\\{" in source and bool(re.search(r"\bf['\"]", source, re.IGNORECASE))


def _outermost(lines: list[str], at: int) -> int:
    """Return where the statement of a module begins that a line is in; or another one above."""
    while at > 1 and (not lines[at - 1].strip() or lines[at - 1][0] in " \t#)]}"):
        at -= 1
    return at


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
    is_class = issubclass(type(thing), type)
    pairs = _items(_attributes_of(thing))
    for cls in _mro_of(thing if is_class else type(thing)):
        pairs += _names_of(cls).items()
    names = [(key, value) for key, value in pairs if type(key) is str]
    found = [value for key, value in names if key == name]
    if not found and name[:2] == "__":  # it has the name of its class, unless of two
        found = [v for k, v in names if k[0:1] == "_" != k[1:2] and k.endswith(name)]
        if len(found) > 1:
            return _MISSING
    if not found or any(type(value) is property for value in found):
        return _MISSING
    if type(found[0]) is MemberDescriptorType and not is_class:  # of __slots__
        try:
            return found[0].__get__(thing)
        except AttributeError:
            return _MISSING
    return found[0]


def _attributes_of(thing: object) -> dict[str, Any]:
    if thing is _MISSING or issubclass(type(thing), type):
        return {}
    for cls in _mro_of(type(thing)):
        descriptor = _names_of(cls).get("__dict__")
        if descriptor is not None:
            if type(descriptor) not in (GetSetDescriptorType, MemberDescriptorType):
                return {}  # the program's own
            found = descriptor.__get__(thing)
            return found if type(found) is dict else {}
    return {}


def _addresses(thing: object) -> list[int]:
    """Return those of a lock, or of the locks that are in a thing, as in a `Condition`."""
    things = (thing, *(value for _, value in _items(_attributes_of(thing))))
    return [address for address in map(address_of, things) if address is not None]
