"""The life of a thread on CPython: csrc/cpython/lt_cpython.c, csrc/lt_thread.c."""

from functools import partial

from drawings import sequence

TITLE = "The life of a thread"

ACTORS = {
    "starter": ("who starts it", 120),
    "new": ("the new thread", 380),
    "joiner": ("who joins it", 610),
}

STEPS = [
    ("starter", "checks the arguments,\ncalls audit hooks, counts a birth"),
    ("starter", "new", "pthread_create()"),
    ("starter", "has the ident and goes on"),
    ("new", "is named, passes the exit gate,\nmakes its Python state"),
    ("new", "takes the GIL, is counted,\ncalls function(*args, **kwargs)"),
    ("joiner", "join() sleeps\non the handle's lock"),
    ("new", "an exception, but for SystemExit,\ngoes to sys.unraisablehook"),
    ("new", "lets go of function, arguments,\nthread-local values;\nis no longer counted"),
    ("new", "deletes its Python state,\ngives up the GIL"),
    ("new", "joiner", "releases the handle's lock"),
    ("joiner", "pthread_join():\nnothing is left"),
]

#: Returns the picture.
draw = partial(sequence.draw, TITLE, ACTORS, STEPS)
