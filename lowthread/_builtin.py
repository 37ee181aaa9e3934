"""Functions that behave like those of a C module.

Python's own `_thread` functions are builtins, and programs rely on it: as a class
attribute a builtin does not become a method (`locktype = _thread.allocate_lock` in a
class body), it takes no keywords, and it pickles by its name.
"""

import inspect


class Builtin:
    """A function of the module `lowthread`; made with the decorator `builtin`."""

    def __init__(self, function, least, most, called, name=None, doc=None):
        self._function = function
        self._called = called  # what errors about the number of arguments call it
        self._least = least
        self._most = most
        # What inspect, pydoc and pickle look at.
        self.__name__ = self.__qualname__ = name or function.__name__
        self.__module__ = "lowthread"
        self.__doc__ = doc or inspect.getdoc(function)
        self.__signature__ = inspect.signature(function)
        inner = str(self.__signature__)[1:-1]
        self.__text_signature__ = f"($module, {inner or '/'})"

    def __call__(self, /, *args, **kwargs):
        if kwargs or not self._least <= len(args) <= self._most:
            raise TypeError(self._misuse(len(args), kwargs))
        return self._function(*args)

    def _misuse(self, given, kwargs):
        """Return what 3.13 says of such a call."""
        name, called, least, most = self.__name__, self._called, self._least, self._most
        # Functions of no arguments are named with their module there.
        if kwargs:
            return f"{'' if most else 'lowthread.'}{name}() takes no keyword arguments"
        if most == 0:
            return f"lowthread.{name}() takes no arguments ({given} given)"
        if most == 1:
            return f"{called}() takes at most 1 argument ({given} given)"
        if given < least:
            return f"{called} expected at least {least} arguments, got {given}"
        return f"{called} expected at most {most} arguments, got {given}"

    def __get__(self, instance, owner=None):
        # No method: the same function. That there is a __get__ tells pydoc that it is one.
        return self

    def __repr__(self):
        return f"<built-in function {self.__name__}>"

    def __reduce__(self):
        return self.__name__


def builtin(least=0, most=0, called=None):
    """Make a function of `least` to `most` positional arguments a `Builtin`."""

    def decorate(function):
        return Builtin(function, least, most, called or function.__name__)

    return decorate


def synonym(name, original):
    """Return `original` under an old name."""
    return Builtin(
        original._function,
        original._least,
        original._most,
        original._called,
        name,
        f"An obsolete synonym of {original.__name__}().",
    )
