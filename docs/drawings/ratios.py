"""What lowthread takes in terms of the interpreter's own, from bench/results.md."""

from drawings.results import draw_ratios as draw  # noqa: F401 -- for the directive
