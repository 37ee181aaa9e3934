"""The states of a handle: csrc/lt_handle.c."""

from functools import partial

from drawings import states

TITLE = "The states of a handle"

#: By name, in the order of the enum of csrc/lt_handle.c.
STATES = {"NEW": (60, 30), "STARTING": (290, 30), "RUNNING": (520, 30), "DONE": (660, 150)}

#: (from, to, the function of csrc/lt_handle.c that does it, words for the picture, bend)
TRANSITIONS = [
    ("NEW", "STARTING", "lt_handle_claim", "start: only once", 0),
    ("STARTING", "RUNNING", "lt_handle_started", "there is a thread", 0),
    ("STARTING", "DONE", "lt_handle_failed", "the system refused", -20),
    ("RUNNING", "DONE", "lt_handle_end", "it has ended", 0),
]

#: Returns the picture.
draw = partial(states.draw, TITLE, STATES, TRANSITIONS)
