"""Draws who does what, one after the other: time runs downwards."""

from drawings.svg import BOLD, LINE, Picture, width_of

_TOP = 44
_GAP = 14


def draw(title, actors, steps):
    """Return a picture.

    actors: {key: (name, x)}, the place of each, in pixels.
    steps: what happens: (key, words) by itself, or (key, key, words), where the one acts upon
    the other; or (words,) for all of them.
    """
    picture = Picture(title)
    places = {key: x for key, (_, x) in actors.items()}
    y = _TOP + 10
    drawn = []
    for step in steps:
        high = LINE * len(step[-1].split("\n"))
        drawn.append((step, y, high))
        y += high + _GAP + (16 if len(step) != 3 else 8)
    for name, x in actors.values():
        picture.line((x, _TOP - 8), (x, y), kind="life")
        wide = width_of(name) * BOLD + 24
        picture.box(x - wide / 2, 4, wide, _TOP - 12)
        picture.text(x, 4 + (_TOP - 12) / 2 + 5, name, kind="strong")
    for step, top, high in drawn:
        _draw_step(picture, places, step, top, high)
    return picture


def _draw_step(picture, places, step, top, high):
    words = step[-1]
    if len(step) == 1:
        left, right = min(places.values()), max(places.values())
        wide = max(right - left + 60, width_of(words) + 24)
        middle = (left + right) / 2
        picture.box(middle - wide / 2, top, wide, high + 14, kind="band")
        picture.text(middle, top + high / 2 + 11, words, kind="small")
    elif len(step) == 2:
        x, wide = places[step[0]], width_of(words) + 18
        picture.box(x - wide / 2, top, wide, high + 14, kind="note")
        picture.text(x, top + high / 2 + 11, words, kind="small")
    else:
        start, end = places[step[0]], places[step[1]]
        picture.text((start + end) / 2, top + high / 2 + 3, words, kind="small", clear=True)
        picture.line((start, top + high + 6), (end, top + high + 6), arrow=True)
