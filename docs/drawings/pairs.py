"""What an uncontended pair takes with everybody, from bench/results.md."""

from drawings.results import draw_pairs as draw  # noqa: F401 -- for the directive
