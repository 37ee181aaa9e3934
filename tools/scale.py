"""Print how far it goes: threads at once, threads in a row and locks, beside `_thread`'s own.

python tools/scale.py              # minutes; prints a table
python tools/scale.py --quick      # with a tenth of the threads in a row
python tools/scale.py --one lowthread series 20000     # one measurement, by itself
"""

import gc
import os
import resource
import subprocess
import sys
import time

STACK = 128 * 1024
EXIT_SKIP = 77  # what there is does not reach that far
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rss():
    """Return the memory in use, in bytes."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def room():
    """Return how many threads the system allows beside those there are, roughly."""
    limits = []
    for path in [
        *("/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"),
        *("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
    ]:
        try:
            with open(path) as f:
                limits.append(int(f.read()))
        except (OSError, ValueError):
            pass
    try:
        with open("/proc/sys/vm/max_map_count") as f:
            limits.append(int(f.read()) // 2)  # a stack, and its guard
    except OSError:
        pass
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if soft != resource.RLIM_INFINITY and os.getuid() != 0:
        limits.append(soft)
    with open("/proc/loadavg") as f:
        there = int(f.read().split()[3].partition("/")[2])
    return min(limits, default=0) - there


def wait_until(condition):
    while not condition():
        time.sleep(0.001)


def alive(module, number):
    """Have many threads wait at once."""
    if room() < number:
        sys.stderr.write(f"{number} threads at once are not allowed here\n")
        sys.exit(EXIT_SKIP)
    module.stack_size(STACK)
    gate = module.allocate_lock()
    gate.acquire()

    def wait():
        with gate:
            pass

    before, begin = rss(), time.perf_counter()
    for _ in range(number):
        module.start_new_thread(wait, ())
    wait_until(lambda: module._count() >= number)
    yield "counted", module._count()
    yield "seconds", round(time.perf_counter() - begin, 2)
    yield "bytes", (rss() - before) // number
    gate.release()
    wait_until(lambda: module._count() == 0)
    yield "all_seconds", round(time.perf_counter() - begin, 2)
    yield "left", module._count()


def series(module, number):
    """Run many threads one after the other."""
    ran = 0
    end = module.allocate_lock()
    end.acquire()

    def run():
        nonlocal ran
        ran += 1
        end.release()

    def run_some(count):
        begin = time.perf_counter()
        for _ in range(count):
            module.start_new_thread(run, ())
            end.acquire()
        wait_until(lambda: module._count() == 0)
        return round(count / (time.perf_counter() - begin))

    part = number // 10
    rates = [run_some(part)]
    gc.collect()
    warm = rss()
    rates += [run_some(part) for _ in range(9)]
    gc.collect()
    yield "ran", ran
    yield "growth", rss() - warm
    yield "first_rate", rates[0]
    yield "last_rate", rates[-1]
    yield "left", module._count()


def locks(module, number):
    """Have many locks at once, and as many again when those are gone."""
    kept = [None] * number

    def fill():
        for i in range(number):
            kept[i] = module.allocate_lock()
        gc.collect()
        return rss()

    def drop():
        for i in range(number):
            kept[i] = None
        gc.collect()
        gc.collect()

    drop()
    before = rss()
    full = fill()
    yield "bytes", round((full - before) / number, 1)
    work = 0
    for lock in kept:
        lock.acquire()
        work += lock.locked()
        lock.release()
    yield "work", work
    del lock
    for _ in range(2):
        drop()
        again = fill()
    yield "growth", again - full


MEASURES = {"alive": alive, "series": series, "locks": locks}
NUMBERS = {"alive": 10_000, "series": 1_000_000, "locks": 1_000_000}


def one(whose, what, number):
    if whose == "_thread":
        import _thread as module
    else:
        sys.path.insert(0, ROOT)
        import lowthread as module
    for name, value in MEASURES[what](module, int(number)):
        print(name, value)


def ask(whose, what):
    command = [sys.executable, __file__, "--one", whose, what, str(NUMBERS[what])]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == EXIT_SKIP:
        return {}
    if run.returncode != 0:
        sys.exit(run.stderr)
    return dict(line.split() for line in run.stdout.splitlines())


ROWS = [
    ("10,000 threads at once: s until all run", "alive", "seconds"),
    ("... bytes each (stacks of 128 KiB)", "alive", "bytes"),
    ("threads in a row: first tenth, 1/s", "series", "first_rate"),
    ("... last tenth, 1/s", "series", "last_rate"),
    ("... memory after the first tenth, bytes", "series", "growth"),
    ("1,000,000 locks: bytes each", "locks", "bytes"),
]


def main():
    if "--quick" in sys.argv:
        NUMBERS["series"] //= 10
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
        return
    got = {who: {what: ask(who, what) for what in MEASURES} for who in ("lowthread", "_thread")}
    print(f"{sys.implementation.name} {sys.version.split()[0]}, {os.uname().machine}")
    print(f"{NUMBERS['series']:,} threads in a row")
    print(f"{'':46}{'lowthread':>12}{'_thread':>12}")
    for text, what, name in ROWS:
        print(f"{text:46}" + "".join(f"{got[who][what].get(name, '-'):>12}" for who in got))


if __name__ == "__main__":
    main()
