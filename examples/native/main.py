"""A thread of the system's and two of Python's count together: python main.py (see README.md).

`sharing` is built in one of the folders beside this file, and is found by PYTHONPATH.
"""

import sys

import sharing

import lowthread

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000


def main():
    lock = lowthread.allocate_lock()
    sharing.start(lock, ROUNDS)

    def work():
        for _ in range(ROUNDS):
            with lock:
                sharing.add()

    threads = [lowthread.start(work) for _ in range(2)]
    for thread in threads:
        thread.join()
    total = sharing.join()
    print(f"{total} of {3 * ROUNDS}: {'none is lost' if total == 3 * ROUNDS else 'LOST'}")
    return total != 3 * ROUNDS


if __name__ == "__main__":
    sys.exit(main())
