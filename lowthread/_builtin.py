"""Functions that behave like those of a C module.

Python's own `_thread` functions are builtins, and programs rely on it: as a class
attribute a builtin does not become a method (`locktype = _thread.allocate_lock` in a
class body), it takes no keywords, and it pickles by its name.
"""


class Builtin:
    """A function of the module `lowthread`; made with the decorator `builtin`."""

    def __init__(self, function, least, most, called, name=None, doc=None, keywords=False):
        self._function = function
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
    def __signature__(self):
        import inspect  # which takes longer to load than all of lowthread

        return inspect.signature(self._function)

    @property
    def __text_signature__(self):
        inner = str(self.__signature__)[1:-1]
        return f"($module, /, {inner})" if self._keywords else f"($module, {inner or '/'})"

    def __call__(self, /, *args, **kwargs):
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

    def _misuse_of_keywords(self, args, kwargs):
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

    def _misuse(self, given, kwargs):
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

    def __get__(self, instance, owner=None):
        # No method: the same function. That there is a __get__ tells pydoc that it is one.
        return self

    def __repr__(self):
        return f"<built-in function {self.__name__}>"

    def __reduce__(self):
        return self.__name__


def builtin(least=0, most=0, called=None, keywords=False):
    """Make a function of `least` to `most` arguments a `Builtin`.

    keywords: whether they can be given by name.
    """

    def decorate(function):
        return Builtin(function, least, most, called or function.__name__, keywords=keywords)

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
