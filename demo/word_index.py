"""Index the words of the standard library's source files with many threads.

The threads are started with `lowthread.start_new_thread`, and share their work and their
results through lowthread's locks and nothing else. At the end the index is compared with the
one that a single thread builds.
"""

import argparse
import os
import re
import shutil
import sys
import sysconfig
import time
from collections import defaultdict

from tqdm import tqdm

import lowthread

WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
SHARDS = 64  # the index is in that many parts, each under a lock of its own


def source_files():
    """Return the paths of the running interpreter's own .py files, sorted."""
    paths = []
    for folder, subfolders, names in os.walk(sysconfig.get_paths()["stdlib"]):
        subfolders[:] = [
            name
            for name in subfolders
            if name not in ("site-packages", "dist-packages", "__pycache__")
        ]
        paths += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    return sorted(paths)


def count_words(path):
    """Return {word: how often} for one file."""
    counts = defaultdict(int)
    with open(path, encoding="utf-8", errors="replace") as f:
        for word in WORD.findall(f.read()):
            counts[word.lower()] += 1
    return counts


def shard_of(word):
    return sum(map(ord, word)) % SHARDS


class CountingLock:
    """A lowthread lock that knows how often it was taken, and how often that took waiting.

    The two numbers are only touched by who holds the lock.
    """

    def __init__(self):
        self._lock = lowthread.allocate_lock()
        self.acquisitions = 0
        self.waits = 0

    def __enter__(self):
        waited = not self._lock.acquire(blocking=False)
        if waited:
            self._lock.acquire()
        self.acquisitions += 1
        self.waits += waited

    def __exit__(self, *exc_info):
        self._lock.release()


class Index:
    """{word: {file number: how often}}, filled by any number of threads at once."""

    def __init__(self, paths):
        self.paths = paths
        self.locks = [CountingLock() for _ in range(SHARDS)]
        self.shards = [defaultdict(dict) for _ in range(SHARDS)]
        self.work_lock = CountingLock()
        self.next_file = 0
        self.files_done = 0
        self.running = 0
        self.errors = []
        self.all_done = lowthread.allocate_lock()

    def build(self, threads, progress):
        """Build the index with `threads` threads; call `progress(files done)` meanwhile."""
        self.running = threads
        self.all_done.acquire()
        for _ in range(threads):
            lowthread.start_new_thread(self._work, ())
        while not self.all_done.acquire(timeout=0.1):
            with self.work_lock:
                done = self.files_done
            progress(done)
        progress(self.files_done)
        if self.errors:
            raise self.errors[0]

    def _work(self):
        try:
            while (number := self._take()) is not None:
                self._add(number, count_words(self.paths[number]))
        except BaseException as error:
            with self.work_lock:
                self.errors.append(error)
            raise
        finally:
            with self.work_lock:
                self.running -= 1
                last = self.running == 0
            if last:
                self.all_done.release()

    def _take(self):
        with self.work_lock:
            if self.errors or self.next_file == len(self.paths):
                return None
            self.next_file += 1
            return self.next_file - 1

    def _add(self, number, counts):
        by_shard = defaultdict(list)
        for word, count in counts.items():
            by_shard[shard_of(word)].append((word, count))
        for shard, items in by_shard.items():
            with self.locks[shard]:
                words = self.shards[shard]
                for word, count in items:
                    words[word][number] = count
        with self.work_lock:
            self.files_done += 1

    def merged(self):
        return {word: files for shard in self.shards for word, files in shard.items()}


def build_alone(paths):
    """Return the index, built by this thread alone and without any lock."""
    index = defaultdict(dict)
    for number, path in enumerate(paths):
        for word, count in count_words(path).items():
            index[word][number] = count
    return dict(index)


def at_least_one(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=at_least_one, default=8, help="how many (default: 8)")
    threads = parser.parse_args().threads

    paths = source_files()
    if not paths:
        sys.exit(f"no source files in {sysconfig.get_paths()['stdlib']}")
    index = Index(paths)
    terminal = shutil.get_terminal_size()  # 80 x 24 where it does not tell, as in a pipe
    begin = time.monotonic()
    with tqdm(
        total=len(paths),
        unit=" files",
        ncols=terminal.columns,
        nrows=terminal.lines,
        disable=None,  # shown on a terminal only
        leave=False,
        file=sys.stderr,
    ) as bar:
        index.build(threads, lambda done: bar.update(done - bar.n))
    seconds = time.monotonic() - begin

    words = index.merged()
    locks = [*index.locks, index.work_lock]
    print(f"{'interpreter':14}{sys.implementation.name} {sys.version.split()[0]}")
    print(f"{'files':14}{len(paths):,}")
    print(f"{'words':14}{len(words):,}")
    print(f"{'threads':14}{threads:,}")
    print(f"{'acquisitions':14}{sum(lock.acquisitions for lock in locks):,}")
    print(f"{'had to wait':14}{sum(lock.waits for lock in locks):,}")
    print(f"{'seconds':14}{seconds:.2f}")

    same = words == build_alone(paths)
    print(f"{'check':14}{'the same index as one thread builds' if same else 'DIFFERENT'}")
    sys.exit(not same)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
