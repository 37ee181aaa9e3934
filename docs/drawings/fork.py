"""A fork beside another thread: csrc/lt_thread.c, lowthread/_never.py."""

from functools import partial

from drawings import sequence

TITLE = "A fork beside a thread that has a lock"

ACTORS = {
    "other": ("another thread", 90),
    "parent": ("who forks", 340),
    "child": ("in the child", 580),
}

STEPS = [
    ("other", "has the lock L"),
    ("parent", "notes the idents of all threads,\nand the names threading has"),
    ("parent", "waits, for 20 ms at most, until no\nthread is just being born (to 3.12)"),
    ("parent", "child", "fork()"),
    ("other", "is not in the child;\ngoes on in the parent"),
    (
        "child",
        "the core: nobody waits,\nnobody is counted but itself,\nhandles of lost threads are done",
    ),
    ("child", "hooks in Python: keeps the note\nof who was lost"),
    ("child", "acquire() of L without a timeout:\nAbandonedLockError"),
    ("parent", "goes on as before"),
]

#: Returns the picture.
draw = partial(sequence.draw, TITLE, ACTORS, STEPS)
