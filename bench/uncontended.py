"""The rows of a single thread, measured with pyperf: `python -m bench.uncontended -o FILE`."""

import sys

from bench.subjects import FLOOR, LOCKS, LOWTHREAD, OWN, PYPY, present

#: row: (statement, setup), of the subject's code: {lock}, {rlock}, {acquire}, {release}
ROWS = {
    "acquire + release": ("l.{acquire}(); l.{release}()", "l = {lock}"),
    "with lock": ("with l: pass", "l = {lock}"),
    "RLock acquire + release": ("l.{acquire}(); l.{release}()", "l = {rlock}"),
    "RLock, the inner of two": ("l.{acquire}(); l.{release}()", "l = {rlock}; l.{acquire}()"),
    "with RLock": ("with l: pass", "l = {rlock}"),
    "acquire(False), held": ("l.acquire(False)", "l = {lock}; l.acquire()"),
    "acquire(timeout=1) + release": ("l.acquire(timeout=1); l.release()", "l = {lock}"),
    "locked()": ("l.locked()", "l = {lock}"),
    "allocate_lock()": ("f()", "f = {make}"),
}

# Who is measured beyond the first rows: not everybody has these methods, or means the same.
ALL_HAVE = {"acquire + release", "with lock", "RLock acquire + release", "with RLock"}
LIKE_THREAD = {OWN, LOWTHREAD, "lowthread (cffi)"}

MAKE = {
    OWN: "_thread.allocate_lock",
    LOWTHREAD: "lowthread.allocate_lock",
    "lowthread (cffi)": "_portable.allocate_lock",
}


def main():
    import pyperf  # which who only wants the rows need not have

    # pyperf adds its own options; --row and --quick are ours.
    runner = pyperf.Runner(program_args=("-m", "bench.uncontended"))
    for row, (statement, setup) in ROWS.items():
        for subject in present():
            if row not in ALL_HAVE and subject not in LIKE_THREAD:
                continue
            imports, lock, rlock, acquire, release = LOCKS[subject]
            code = {"lock": lock, "rlock": rlock, "acquire": acquire, "release": release}
            code["make"] = MAKE.get(subject)
            runner.timeit(
                f"{row}|{subject}",
                statement.format(**code),
                f"{imports}; {setup.format(**code)}",
                metadata={"row": row, "subject": subject},
            )
    if not PYPY:
        # Two calls of a method in C that has nothing to do; `with` has no such thing.
        runner.timeit(
            f"acquire + release|{FLOOR}",
            "l.reverse(); l.reverse()",
            "l = []",
            metadata={"row": "acquire + release", "subject": FLOOR},
        )


if __name__ == "__main__":
    sys.exit(main())
