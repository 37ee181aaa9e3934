"""How a contended lock goes from one thread to another: csrc/lt_lock.c on CPython."""

from functools import partial

from drawings import sequence

TITLE = "A lock goes from one thread to another"

ACTORS = {"A": ("thread A", 100), "lock": ("the lock's word", 350), "B": ("thread B", 600)}

STEPS = [
    ("A", "lock", "acquire: FREE to HELD"),
    ("B", "lock", "acquire: HELD, so WAITERS is set"),
    ("B", "queues, gives up the GIL,\nsleeps on a word of its own"),
    ("A", "lock", "release: FREE"),
    ("A", "B", "notifies the first in the queue"),
    ("A", "lock", "acquire: A is faster and has it again"),
    ("B", "wakes, takes the GIL, finds it HELD,\nsleeps on in its old place"),
    ("more than a millisecond after B began to wait",),
    ("A", "lock", "release: RESERVED for B"),
    ("A", "lock", "acquire: refused, so A waits"),
    ("B", "lock", "has the GIL and takes it: HELD"),
]

#: Returns the picture.
draw = partial(sequence.draw, TITLE, ACTORS, STEPS)
