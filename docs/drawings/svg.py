"""What the drawings are made of: SVG that takes its colours from the page.

It stands in the page itself and its classes are static/manual.css's, so that it is as light or
as dark as the page, and its words can be found and read out.
"""

from html import escape

#: Pixels, for the size of text that static/manual.css has.
LINE = 17
_PER_CHARACTER = 6.6

#: How much wider letters of the kind `strong` are.
BOLD = 1.15


def width_of(text):
    """Return about how wide a text is, in pixels; its lines stand below each other."""
    return max(map(len, text.split("\n"))) * _PER_CHARACTER


class Picture:
    """An SVG picture of a size in pixels that grows as things are put into it."""

    def __init__(self, title):
        self.title = title
        self._parts = []
        self._left = self._right = self._bottom = 0

    def _reach(self, x, y):
        self._left, self._right = min(self._left, x), max(self._right, x)
        self._bottom = max(self._bottom, y)

    def add(self, part):
        """Put in a piece of SVG as it is; it does not make the picture larger."""
        self._parts.append(part)

    def line(self, *points, kind="line", arrow=False):
        """Draw a line through points (x, y)."""
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.path(path, kind, arrow)
        for x, y in points:
            self._reach(x, y)

    def path(self, path, kind="line", arrow=False):
        """Draw a path in SVG's own words."""
        end = ' marker-end="url(#arrow)"' if arrow else ""
        self.add(f'<path class="{kind}" d="{path}"{end}/>')

    def box(self, x, y, width, height, kind="box", radius=4):
        """Draw a rectangle from its upper left corner."""
        self.add(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="{radius}"/>'
        )
        self._reach(x, y)
        self._reach(x + width, y + height)

    def circle(self, x, y, radius, kind="mark", color=None, told=None):
        """Draw a dot; `told` is what pointing at it tells."""
        fill = f' style="fill:{color}"' if color else ""
        title = f"<title>{escape(told)}</title>" if told else ""
        self.add(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"{fill}>{title}</circle>'
        )
        self._reach(x + radius, y + radius)

    def text(self, x, y, text, anchor="middle", kind="", clear=False):
        """Write lines around the height y.

        anchor: which part of each line is at x: start, middle or end.
        clear: keep lines that are drawn already away from them; in the middle only.
        """
        lines = text.split("\n")
        top = y - (len(lines) - 1) * LINE / 2
        if clear:
            wide, high = width_of(text), len(lines) * LINE
            self.box(x - wide / 2, top - LINE + 3, wide, high + 1, kind="clear")
        spans = "".join(
            f'<tspan x="{x:.1f}" y="{top + i * LINE:.1f}">{escape(line)}</tspan>'
            for i, line in enumerate(lines)
        )
        self.add(f'<text class="{kind}" text-anchor="{anchor}">{spans}</text>')
        wide = width_of(text)
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        self._reach(left, top)
        self._reach(left + wide, top + len(lines) * LINE - 8)

    def svg(self):
        """Return all of it."""
        width, height = self._right - self._left + 8, self._bottom + 4
        return (
            f'<svg class="drawing" role="img" aria-label="{escape(self.title)}" '
            f'viewBox="{self._left - 4:.0f} 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}">'
            '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            'markerHeight="7" orient="auto-start-reverse"><path class="tip" '
            'd="M0 0 L10 5 L0 10 z"/></marker></defs>' + "".join(self._parts) + "</svg>"
        )
