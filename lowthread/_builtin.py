"""Functions that behave like those of a C module.

Python's own `_thread` functions are builtins, and programs rely on it: as a class
attribute a builtin does not become a method (`locktype = _thread.allocate_lock` in a
class body), it takes no keywords, and it pickles by its name.
"""

from __future__ import annotations

from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature
    from typing import Any, TypeVar

    T = TypeVar("T")
    F = TypeVar("F", bound=Callable[..., Any])


def unannotated(thing: T) -> T:
    """Take the annotations from a function or from a class and its methods; return it.

    Those of a C module have none for inspect and pydoc to show. Type checkers read them in the
    source.
    """
    members = [thing]
    if isinstance(thing, type):
        members = list(vars(thing).values())
        if "__annotations__" in vars(thing):
            type.__delattr__(thing, "__annotations__")  # `Final` has one that refuses
    for member in members:
        function: Any = member
        # In a property, in a static method such as __new__, in lowthread._with's descriptors.
        for inner in ("fget", "__func__", "method"):
            function = getattr(function, inner, function)
        if isinstance(function, FunctionType):
            function.__annotations__ = {}
    return thing


class Builtin:
    """A function of the module `lowthread`; made with the decorator `builtin`."""

    def __init__(
        self,
        function: Callable[..., Any],
        least: int,
        most: int,
        called: str,
        name: str | None = None,
        doc: str | None = None,
        keywords: bool = False,
    ) -> None:
        self._function = unannotated(function)
        self._called = called  # what errors about the number of arguments call it
        self._least = least
        self._most = most
        self._keywords = keywords
        # What inspect, pydoc and pickle look at.
        self.__name__ = self.__qualname__ = name or function.__name__
        self.__module__ = "lowthread"
        self.__doc__ = doc or function.__doc__
        self._names = function.__code__.co_varnames[:most]
        # What may be given by name, by how many arguments are given by position.
        self._nameable = [frozenset(self._names[n:]) for n in range(most + 1)]

    @property
    def __signature__(self) -> Signature:
        import inspect  # which takes longer to load than all of lowthread

        return inspect.signature(self._function)

    @property
    def __text_signature__(self) -> str:
        inner = str(self.__signature__)[1:-1]
        return f"($module, /, {inner})" if self._keywords else f"($module, {inner or '/'})"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._keywords:
            is_fine = (
                self._least <= len(args) <= self._most
                and kwargs.keys() <= self._nameable[len(args)]
            )
            misuse = None if is_fine else self._misuse_of_keywords(args, kwargs)
            if misuse:
                raise TypeError(misuse)
            return self._function(*args, **kwargs)
        if kwargs or not self._least <= len(args) <= self._most:
            raise TypeError(self._misuse(len(args), kwargs))
        return self._function(*args)

    def _misuse_of_keywords(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """Return what 3.13 says of a call, or None; for functions that take keywords."""
        name, names = self.__name__, self._names
        given = len(args) + len(kwargs)
        if given > self._most:
            kind = "" if args else "keyword "
            noun = "argument" if self._most == 1 else "arguments"
            return f"{name}() takes at most {self._most} {kind}{noun} ({given} given)"
        for position, parameter in enumerate(names[: self._least]):
            if position >= len(args) and parameter not in kwargs:
                return f"{name}() missing required argument {parameter!r} (pos {position + 1})"
        for position, parameter in enumerate(names[: len(args)]):
            if parameter in kwargs:
                return (
                    f"argument for {name}() given by name ({parameter!r}) "
                    f"and position ({position + 1})"
                )
        for keyword in kwargs:
            if keyword not in names:
                return f"{name}() got an unexpected keyword argument {keyword!r}"
        return None

    def _misuse(self, given: int, kwargs: dict[str, Any]) -> str:
        """Return what 3.13 says of such a call."""
        name, called, least, most = self.__name__, self._called, self._least, self._most
        # Functions of no arguments are named with their module there.
        if kwargs:
            return f"{'' if most else 'lowthread.'}{name}() takes no keyword arguments"
        if most == 0:
            return f"lowthread.{name}() takes no arguments ({given} given)"
        if least == most == 1:
            return f"lowthread.{name}() takes exactly one argument ({given} given)"
        if most == 1:
            return f"{called}() takes at most 1 argument ({given} given)"
        if given < least:
            return f"{called} expected at least {least} arguments, got {given}"
        return f"{called} expected at most {most} arguments, got {given}"

    def __get__(self, instance: object, owner: type | None = None) -> Builtin:
        # No method: the same function. That there is a __get__ tells pydoc that it is one.
        return self

    def __repr__(self) -> str:
        return f"<built-in function {self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__


def builtin(
    least: int = 0, most: int = 0, called: str | None = None, keywords: bool = False
) -> Callable[[F], F]:
    """Make a function of `least` to `most` arguments a `Builtin`.

    keywords: whether they can be given by name.
    """

    def decorate(function: F) -> F:
        made = Builtin(function, least, most, called or function.__name__, keywords=keywords)
        return made  # type: ignore[return-value]  # it is called like the function

    return decorate


def synonym(name: str, original: F) -> F:
    """Return `original` under an old name."""
    of: Any = original
    made = Builtin(
        of._function,
        of._least,
        of._most,
        of._called,
        name,
        f"An obsolete synonym of {of.__name__}().",
    )
    return made  # type: ignore[return-value]  # as above
