"""The manual's drawings, made from tables by the build; docs/ext/pictures.py puts them in."""
