"""The states of a lock's word and what changes it: csrc/lt_lock.h, csrc/lt_lock.c.

tests/test_manual.py does each of these with the core itself.
"""

from functools import partial

from drawings import states

TITLE = "The states of a lock"

#: The bits of LT_STATE, by name, in the order of lt_lock.h.
STATES = {
    "FREE": (400, 190),
    "HELD": (400, 30),
    "HELD | WAITERS": (740, 330),
    "RESERVED": (60, 330),
}

#: (from, to, what does it: a function of csrc/lt_lock.h, words for the picture, bend)
TRANSITIONS = [
    ("FREE", "HELD", "lt_lock_try", "acquire", 24),
    ("HELD", "FREE", "lt_lock_release", "release", 24),
    ("HELD", "HELD | WAITERS", "lt_lock_acquire", "another thread\nhas to wait", 0),
    (
        "HELD | WAITERS",
        "FREE",
        "lt_lock_release",
        "release:\nthe first in the queue\nis notified",
        0,
    ),
    (
        "HELD | WAITERS",
        "RESERVED",
        "lt_lock_release",
        "release: the first in the queue\nhas waited for more than 1 ms",
        0,
    ),
    ("RESERVED", "HELD", "lt_lock_acquire", "that waiter takes it", 0),
    ("RESERVED", "FREE", "lt_lock_release", "another thread\nreleases it again", 0),
]

#: Returns the picture.
draw = partial(states.draw, TITLE, STATES, TRANSITIONS)
