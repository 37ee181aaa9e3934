"""The end of the interpreter: csrc/lt_thread.h, csrc/cpython/lt_cpython.c."""

from functools import partial

from drawings import sequence

TITLE = "The end of the interpreter and a thread that is still there"

ACTORS = {
    "main": ("the main thread", 120),
    "gate": ("the exit gate", 360),
    "other": ("another thread", 590),
}

STEPS = [
    ("main", "waits for threads\nthat are no daemons"),
    ("main", "atexit: waits for births to end;\nfunctions of atexit may start threads"),
    ("from here on, the interpreter lets no other thread have the GIL",),
    ("other", "gate", "wakes from a wait: enter"),
    ("other", "asks for the GIL: up to 3.13 that\nends it by pthread_exit()"),
    ("other", "gate", "leaves, and leaves the lock's queue"),
    ("main", "gate", "the interpreter's dictionary goes:\nthe gate is closed"),
    ("main", "waits until those between\nenter and leave are through"),
    ("other", "gate", "a later one: refused"),
    ("other", "never touches Python again"),
    ("main", "frees the interpreter"),
]

#: Returns the picture.
draw = partial(sequence.draw, TITLE, ACTORS, STEPS)
