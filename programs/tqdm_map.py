"""Hash many blocks with tqdm.contrib.concurrent.thread_map, with bars inside bars.

Prints the results, and what the bars counted.
"""

import hashlib
import io
import threading

from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

BLOCKS = 400
ROUNDS = 10  # in each block
THREADS = 12
PATIENCE = 120  # seconds: who waits so long waits in vain


class Work:
    """What the threads do: each block has a bar of its own, and one bar is everybody's."""

    def __init__(self, screen, rounds):
        self.screen = screen
        self.rounds = rounds
        self.start = threading.Barrier(THREADS)
        self.all_rounds = tqdm(total=BLOCKS * ROUNDS, file=screen, mininterval=0.001)

    def __call__(self, number):
        if number < THREADS:  # those are begun before any is done
            self.start.wait(PATIENCE)
        digest = hashlib.sha256(b"%d" % number)
        bar = tqdm(range(ROUNDS), file=self.screen, leave=False, mininterval=0, desc=f"{number}")
        for turn in bar:
            digest.update(b"%d" % turn * 100)
            with tqdm.get_lock():
                self.all_rounds.update()
        self.rounds.append(bar.n)
        return digest.hexdigest()


class Blocks(tqdm):
    """The bar of thread_map, which counts how often it is told of a block."""

    told = 0

    def update(self, n=1):
        with self.get_lock():
            Blocks.told += n
            return super().update(n)


def main():
    tqdm.monitor_interval = 0.01  # the thread that looks after slow bars shall be busy too
    screen, rounds = io.StringIO(), []
    work = Work(screen, rounds)
    digests = thread_map(
        work,
        range(BLOCKS),
        max_workers=THREADS,
        tqdm_class=Blocks,
        file=screen,
        mininterval=0,
        desc="blocks",
    )
    work.all_rounds.close()
    if tqdm.monitor is not None:
        tqdm.monitor.exit()

    expected = []
    for number in range(BLOCKS):
        digest = hashlib.sha256(b"%d" % number)
        for turn in range(ROUNDS):
            digest.update(b"%d" % turn * 100)
        expected.append(digest.hexdigest())
    assert digests == expected
    print("blocks:", len(digests))
    print("sha256:", hashlib.sha256("".join(digests).encode()).hexdigest())
    print("rounds of each block:", set(rounds), "in", len(rounds), "blocks")
    print("rounds in all:", work.all_rounds.n)
    # Not what was drawn last: thread_map closes the bar when it has the last result, and the
    # thread that made it tells the bar after that, whosever locks these are.
    print("blocks the bar was told of:", Blocks.told)
    drawn = screen.getvalue()
    print("the bars were drawn:", "blocks: " in drawn and f"/{BLOCKS * ROUNDS} [" in drawn)


if __name__ == "__main__":
    main()
