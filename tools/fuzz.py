"""Fuzz arguments, guided by what the rules in Python do with them: `make fuzz`.

The calls are those of tests/test_fuzz_arguments.py. An end with an exception is a finding; the
options are atheris' (libFuzzer's), such as -max_total_time=60.
"""

import os
import pathlib
import signal
import sys

import atheris

with atheris.instrument_imports(include=["lowthread"]):
    import lowthread

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
import test_fuzz_arguments as target


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.unraisablehook = target.ignore
    print(f"fuzzing the backend {lowthread.backend}; asked are {len(target.ORACLES)} others")
    atheris.Setup(sys.argv, target.any_call.hypothesis.fuzz_one_input)
    try:
        atheris.Fuzz()
    finally:
        os._exit(1)  # libFuzzer has ended the process before, unless something was found


if __name__ == "__main__":
    main()
