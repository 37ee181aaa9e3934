"""The benchmark: lowthread beside the interpreter's own locks and threads, and its peers.

`make bench` runs `bench.measure` in every interpreter found and then `bench.report`.
"""
