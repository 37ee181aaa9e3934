"""One run, in a process of its own that `python -m stress` starts and watches over."""

import argparse
import gc
import json
import time
import warnings

import lowthread
from stress import broken
from stress.world import World, check, check_memory, memory, wait_until, watch

WORKERS = 5


def parser():
    """Return the options that the watching process has as well."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--patience",
        type=float,
        default=30,
        metavar="SECONDS",
        help="how late a wake-up may be on a busy machine",
    )
    parser.add_argument(
        "--break",
        dest="way",
        choices=sorted(broken.ways),
        help="break lowthread in this way, to see that it is noticed",
    )
    return parser


def main():
    own = argparse.ArgumentParser(parents=[parser()])
    own.add_argument("seconds", type=float)
    own.add_argument("seed")
    own.add_argument("mode", choices=["plain", "threading"])
    options = own.parse_args()
    # From 3.12 on, it is said of every fork that there are threads.
    warnings.simplefilter("ignore", DeprecationWarning)
    if options.mode == "threading":
        lowthread.install()
    # After install(), so that everything is lowthread's.
    from stress import operations, signals, through_threading

    before = lowthread._count()
    if options.way:
        broken.ways[options.way]()
    world = World(options.seed)
    if options.mode == "threading":
        chosen = through_threading.operations
        mains = chosen
    else:
        chosen = operations.operations
        mains = chosen + signals.raising
    main = signals.Main(world)
    names = [f"worker {number}" for number in range(WORKERS)]
    run(world, options, main, mains, [(signals.Worker(world, name), chosen) for name in names])
    gc.collect()
    wait_until(lambda: lowthread._count() == before, "all threads have ended")
    world.check_sums()
    if options.mode == "threading":
        lowthread.uninstall()
    print(json.dumps(world.figures()), flush=True)


def run(world, options, main, mains, workers):
    end = time.monotonic() + options.seconds
    sizes = []

    def clock():
        time.sleep(options.seconds / 3)
        sizes.append(memory())
        time.sleep(max(0, end - time.monotonic()))
        sizes.append(memory())
        world.is_over = True

    threads = [lowthread.start(worker.run, chosen, name=worker.name) for worker, chosen in workers]
    threads += [lowthread.start(watch, world, options.patience), lowthread.start(clock)]
    main.run(mains)
    for thread in threads:
        check(thread.join(), "a worker was not joined")
    check_memory(*sizes)


if __name__ == "__main__":
    main()
