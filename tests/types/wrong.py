"""Wrong use of lowthread: each line that ends with `# wrong` must be complained of, no other."""

from __future__ import annotations

import _thread

import lowthread

# ---- locks ----

lock = lowthread.allocate_lock()
lock.acquire("soon", "later")  # wrong
lock.acquire(timeout="1")  # wrong
lock.aquire()  # wrong
lock.anything = 1  # wrong
lock.release(1)  # wrong
lowthread.LockType(True)  # wrong
number: int = lock.locked()
text: str = lock.locked()  # wrong
host_lock = _thread.allocate_lock()
our_lock: lowthread.LockType = host_lock  # wrong
lowthread.allocate_lock(1)  # wrong
lowthread.RLock().release_lock()  # wrong
lowthread.RLock()._acquire_restore(1)  # wrong


class Derived(lowthread.lock):  # wrong
    pass


# ---- threads ----


def add(a: int, b: int) -> int:
    return a + b


lowthread.start_new_thread(add, (1, "2"))  # wrong
lowthread.start_new_thread(add, (1,))  # wrong
lowthread.start_new_thread(add, [1, 2])  # wrong
lowthread.start_new_thread(add, args=(1, 2))  # wrong
lowthread.start_new_thread("add", (1, 2))  # wrong
lowthread.start_joinable_thread(add)  # wrong
lowthread.start_joinable_thread(print, daemon="yes")  # wrong
lowthread.start(add, 1, "2")  # wrong
lowthread.start(add, 1)  # wrong
lowthread.start(add, 1, 2, c=3)  # wrong
lowthread.start(add, 1, 2, name=3)  # wrong
thread = lowthread.start(add, 1, 2)
thread.name = "another"  # wrong
thread.join("1")  # wrong
lowthread.stack_size("large")  # wrong
lowthread.set_name(b"name")  # wrong
lowthread.set_name()  # wrong
lowthread.install(True)  # wrong
lowthread.interrupt_main(signum=2)  # wrong
lowthread.get_ident().join()  # wrong
