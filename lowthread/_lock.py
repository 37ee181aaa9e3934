"""Locks, whatever they are made of."""

from lowthread._backend import native
from lowthread._builtin import builtin, synonym

if native:
    LockType = native.lock
else:
    from lowthread._pylock import lock as LockType


@builtin()
def allocate_lock():
    """Create a new lock object, which is unlocked.

    Returns an instance of `LockType`; see there.
    """
    return LockType()


allocate = synonym("allocate", allocate_lock)
