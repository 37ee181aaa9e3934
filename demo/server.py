"""Run a web server that knows nothing of lowthread, as it is and on lowthread.

The server is waitress, with eight threads, and sixteen threads ask it (programs/). Each way it
runs a few times in turn; the answers are compared.
"""

import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = "programs/waitress_server.py"
ROUNDS = 3
WAYS = {"as it is": [], "on lowthread": ["-m", "lowthread"]}


def run(through):
    """Run the program; return what it prints and the seconds it took."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *through, PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout, time.perf_counter() - begin


def main():
    outputs = set()
    seconds = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, through in WAYS.items():
            output, took = run(through)
            outputs.add(output)
            seconds[way].append(took)
    print("a web server (waitress), and sixteen threads that ask it")
    print(output, end="")
    for way, through in WAYS.items():
        command = " ".join(["python", *through, PROGRAM])
        print(f"{way:14}{statistics.median(seconds[way]):.2f} s  ({command})")
    same = len(outputs) == 1
    print(f"{'check':14}{'the same answers both ways' if same else 'DIFFERENT'}")
    sys.exit(not same)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        command = " ".join(["python", *error.cmd[1:]])  # which of the two ways
        sys.exit(f"{command} failed with exit status {error.returncode}")
