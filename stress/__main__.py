"""Stress lowthread: `python -m stress --seconds 60`. The exit status is 1 if something is wrong.

Each run is a process of its own. This one sees that it goes on, and says how to repeat it.
"""

import argparse
import contextlib
import json
import os
import random
import select
import shlex
import signal
import subprocess
import sys
import time

import lowthread
from stress import run


def main():
    parser = argparse.ArgumentParser(
        prog="python -m stress", description=__doc__.partition("\n")[0], parents=[run.parser()]
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", help="what decides what each thread does; printed")
    parser.add_argument(
        "--stall",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how long all may stand still on a busy machine",
    )
    options = parser.parse_args()
    seed = options.seed or str(random.randrange(10**6))
    where = f"{sys.implementation.name} {sys.version.split()[0]}, backend {lowthread.backend}"
    print(f"stress: {where}, seed {seed}", flush=True)
    for mode, share in [("plain", 0.75), ("threading", 0.25)]:
        command = [*(sys.executable, "-X", "faulthandler", "-m", "stress.run")]
        command += ["--patience", str(options.patience)]
        command += ["--break", options.way] if options.way else []
        command += [str(options.seconds * share), seed, mode]
        wrong, figures = watch_over(command, options.stall)
        if wrong:
            again = ["env", f"LOWTHREAD_BACKEND={lowthread.backend}", sys.executable]
            again += ["-m", "stress", "--seconds", str(options.seconds), "--seed", seed]
            again += ["--break", options.way] if options.way else []
            sys.exit(f"stress: {mode}: {wrong}; again: {shlex.join(again)}")
        print(f"{mode}: {sum(figures.values())} operations in {options.seconds * share:g} s")
        for name, count in sorted(figures.items()):
            print(f"  {name:28}{count:9}")


def watch_over(command, stall):
    """Run a command; return what is wrong, or None, and its figures.

    It prints a line with a number as long as it goes on, and in the end its figures.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    latest = number = None
    since = time.monotonic()
    buffer = b""
    try:
        while True:
            has_ended = process.poll() is not None
            ready, _, _ = select.select([process.stdout], [], [], 0 if has_ended else 0.2)
            if ready:
                text = os.read(process.stdout.fileno(), 1 << 16)
                if not text:
                    break
                buffer += text
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    latest = json.loads(line)
                    if latest != number:
                        number, since = latest, time.monotonic()
            elif has_ended:  # and a forked child of its has not
                break
            if time.monotonic() - since > stall:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGABRT)  # faulthandler tells where its threads are
                time.sleep(2)
                return f"nothing has gone on for {stall:g} s", {}
        status = process.wait(stall)
        if status != 0:
            return f"it has ended with the status {status}", {}
        return None, latest
    finally:
        with contextlib.suppress(ProcessLookupError):  # its forked children too
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
