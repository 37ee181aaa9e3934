"""Types in Python that are as final as those of C."""

from __future__ import annotations

from lowthread._builtin import unannotated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


@unannotated
class Final(type):
    """The type of types that cannot be changed or derived from."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Final:
        for base in bases:
            if isinstance(base, Final):
                raise TypeError(f"type '{name_of(base)}' is not an acceptable base type")
        return super().__new__(mcls, name, bases, namespace)

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise _is_immutable(cls, name)

    def __delattr__(cls, name: str) -> NoReturn:
        raise _is_immutable(cls, name)


def _is_immutable(cls: type, name: str) -> TypeError:
    return TypeError(f"cannot set {name!r} attribute of immutable type '{name_of(cls)}'")


def name_of(cls: type) -> str:
    """Return the name that messages and reprs have for such a type."""
    return f"{cls.__module__}.{cls.__name__}"


def no_pickle(self: object, protocol: Any) -> NoReturn:
    """Refuse to be pickled or copied, as types of C do; to be a `__reduce_ex__`."""
    if protocol < 2:
        self.__reduce__()
    raise TypeError(f"cannot pickle '{name_of(type(self))}' object")
