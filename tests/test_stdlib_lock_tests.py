"""The standard library's own tests of locks, on lowthread's.

Imported from the running interpreter, whatever its version.
"""

import pytest

import lowthread

pytestmark = pytest.mark.slow

lock_tests = pytest.importorskip(
    "test.lock_tests", reason="this interpreter comes without its test suite"
)

# It takes this from the interpreter's own `_thread`; PyPy's is a thousand times 3.13's.
lock_tests.TIMEOUT_MAX = lowthread.TIMEOUT_MAX


class TestLock(lock_tests.LockTests):
    locktype = lowthread.allocate_lock


class TestLockType(lock_tests.LockTests):
    locktype = lowthread.LockType


class TestRLock(lock_tests.RLockTests):
    locktype = lowthread.RLock
