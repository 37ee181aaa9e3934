"""Reports at the end of a program what its locks and threads were.

Being in PYTHONPATH, it is imported before a program and all that the program starts, so that
these need not know of it. It imports nothing that `python -m lowthread` would find loaded then.
"""

import atexit
import os
import sys

threads = []  # at the start of each: how many there were of lowthread's, and of the host's


def count_threads(event, args):
    if event in ("_thread.start_new_thread", "_thread.start_joinable_thread"):
        lowthread = sys.modules.get("lowthread")
        if lowthread is not None:
            threads.append((lowthread._count(), lowthread._install.host._count()))


def report():
    import _thread
    import json
    import threading

    told = {
        "argv": sys.argv,
        "module": _thread.__spec__.origin,
        "locks": [type(threading.Lock()).__module__, type(threading.RLock()).__module__],
        "threads": threads,
        "backend": getattr(sys.modules.get("lowthread"), "backend", None),
    }
    with open(os.path.join(os.environ["REPORTS"], f"{os.getpid()}.json"), "w") as f:
        json.dump(told, f)


sys.addaudithook(count_threads)
atexit.register(report)
