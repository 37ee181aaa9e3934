"""Draws states and what leads from one to another."""

import math

from drawings.svg import BOLD, Picture, width_of

_HIGH = 40


def draw(title, states, transitions):
    """Return a picture.

    states: {name: (x, y)}, the middle of each, in pixels.
    transitions: (from, to, function, words, bend) of each arrow; the function does not show, and
    bend is how far the middle of the arrow is to the left of the straight way, in pixels.
    """
    picture = Picture(title)
    half = {name: (width_of(name) * BOLD + 28) / 2 for name in states}
    for start, end, _, _, bend in transitions:
        (x0, y0), (x1, y1) = _ends(states, half, start, end, bend)
        middle = _control(states[start], states[end], bend)
        picture.path(
            f"M{x0:.1f} {y0:.1f} Q{middle[0]:.1f} {middle[1]:.1f} {x1:.1f} {y1:.1f}",
            kind="line",
            arrow=True,
        )
    for name, (x, y) in states.items():
        picture.box(x - half[name], y - _HIGH / 2, 2 * half[name], _HIGH, radius=20)
        picture.text(x, y + 5, name, kind="strong")
    for start, end, _, words, bend in transitions:
        (x0, y0), (x1, y1) = _ends(states, half, start, end, bend)
        cx, cy = _control(states[start], states[end], bend)
        picture.text(
            (x0 + 2 * cx + x1) / 4, (y0 + 2 * cy + y1) / 4 + 5, words, kind="small", clear=True
        )
    return picture


def _control(start, end, bend):
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    # To the left of who walks from start to end, where y grows downwards.
    left = ((y1 - y0) / length, -(x1 - x0) / length)
    return (x0 + x1) / 2 + 2 * bend * left[0], (y0 + y1) / 2 + 2 * bend * left[1]


def _ends(states, half, start, end, bend):
    middle = _control(states[start], states[end], bend)
    return _edge(states[start], half[start], middle), _edge(states[end], half[end], middle)


def _edge(state, half, towards):
    """Return the point of a state's outline that is on the way to another point."""
    (x, y), (tx, ty) = state, towards
    dx, dy = tx - x, ty - y
    scale = min(half / abs(dx) if dx else math.inf, (_HIGH / 2) / abs(dy) if dy else math.inf)
    return x + dx * scale, y + dy * scale
