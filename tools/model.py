"""Check the models of the protocols in model/*.pml exhaustively, with spin.

Each configuration is a model with some of its features, few enough for all that can happen to
be tried. A line is printed for each. With --mutations, the models are broken in one place at a
time, and each must be found out: what the models check is only worth what they can notice.

Names of configurations, or of mutations, may follow: only those.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

MODELS = pathlib.Path(__file__).resolve().parent.parent / "model"
CC = shlex.split(os.environ.get("CC") or "cc")

MEGABYTES = 700  # for one search; two run at a time
DEPTH = 1000000
SECONDS = 300  # for one program; each takes a few on an idle machine

#: name: (model, what it may do); what each means is said in the model. All of them: mutual
#: exclusion, the invariant, no wake-up lost. `live` ones: an `ltl` property, with weak fairness.
CONFIGURATIONS = {
    "mutex": ("mutex", {}),
    "gate": ("gate", {"ROUNDS": 1}),
    "gate-again": ("gate", {"N": 2}),
    "gate-patience": ("gate", {"PATIENCE": 1, "ROUNDS": 1}),
    "lock": ("lock", {"ROUNDS": 2}),
    "lock-tries": ("lock", {"TRIES": 1, "RESERVES": 1, "LAPSES": 1}),
    "lock-timeouts": ("lock", {"TIMEOUTS": 1, "SPURIOUS": 1, "RESERVES": 1}),
    "lock-signals": ("lock", {"SIGNALS": 1, "INTERRUPTS": 1, "RESERVES": 1}),
    "lock-late": ("lock", {"SIGNALS": 1, "TIMEOUTS": 1, "RESERVES": 1, "LAPSES": 1}),
    "lock-foreign": ("lock", {"ROUNDS": 2, "RELEASERS": 1, "RESERVES": 1}),
    "lock-foreign-late": (
        "lock",
        {"RELEASERS": 1, "RESERVES": 1, "TIMEOUTS": 1, "LAPSES": 1, "RESETS": 1, "SIGNALS": 1},
    ),
    "lock-foreign-interrupts": ("lock", {"RELEASERS": 1, "RESERVES": 1, "INTERRUPTS": 1}),
    "lock-exit": ("lock", {"ROUNDS": 2, "RESERVES": 1, "EXITS": 1}),
    "lock-exit-foreign": ("lock", {"RELEASERS": 1, "RESERVES": 1, "EXITS": 1, "ROUNDS": 2}),
    "lock-hang": ("lock", {"ROUNDS": 2, "RESERVES": 1, "HANGS": 1}),
    "lock-fair": ("lock", {"BARGERS": 1, "RESERVES": 2}),
}
LIVE = {"lock-fair"}

#: name: (configuration that notices, inline, what is there, what is put there)
MUTATIONS = {
    "nobody is woken": ("lock", "lt_lock_release_slow", "wake(next)", "next = NOBODY"),
    "nobody is woken after an exit": ("lock-exit", "abandon", "wake(next)", "next = NOBODY"),
    "WAITERS is not set": ("lock", "claim_", "change(seen, seen | LT_WAITERS)", "ok = true"),
    "WAITERS is set by a store": (
        *("lock", "claim_", "change(seen, seen | LT_WAITERS)"),
        "word = seen | LT_WAITERS; ok = true",
    ),
    "others in the queue are forgotten": ("lock", "claim_", "has_other(x)", "found = false"),
    "claims by a store": (
        *("lock", "claim_", "change(seen, (found -> LT_HELD | LT_WAITERS : LT_HELD))"),
        "word = (found -> LT_HELD | LT_WAITERS : LT_HELD); ok = true",
    ),
    "takes what is reserved for another": (
        *("lock-fair", "claim_", ":: other == NOBODY || other == x ||"),
        ":: other != NOBODY ||",
    ),
    "waits for one that hangs": (
        *("lock-hang", "claim_", "other != x && !must_have_lapsed(other) ->"),
        "other != x ->",
    ),
    "stays in the queue": (
        *("lock", "lt_lock_acquire", "dequeue(ME);\n                verdict = LT_ACQUIRED"),
        "verdict = LT_ACQUIRED",
    ),
    "stays in the queue after a timeout": (
        *("lock-timeouts", "lt_lock_acquire"),
        *("dequeue(ME);\n                verdict = (why", "verdict = (why"),
    ),
    "an exit does not pass it on": (
        *("lock-exit", "abandon", "pass_on(x, next)", "next = NOBODY"),
    ),
    "an exit leaves the queue though granted": (
        *(
            "lock-exit-foreign",
            "abandon",
            ":: !w[x].granted -> dequeue(x)",
            ":: true -> dequeue(x)",
        ),
    ),
    "a promise outlives who got it": (
        *("lock-exit", "pass_on", "change(LT_RESERVED, LT_FREE)", "ok = true"),
    ),
    "passes on without WAITERS": (
        *("lock-exit", "pass_on", "change(seen, seen | LT_WAITERS)", "ok = true"),
    ),
    "an interrupt has it go without a look": (
        *("lock-signals", "lt_lock_acquire", ":: else ->\n            claim(ME);"),
        ":: else ->\n            if :: why != LT_SIGNAL -> claim(ME) :: else -> taken = false fi;",
    ),
    "stays notified": ("lock", "lt_lock_acquire", "w[ME].notified = false;\n", "skip;\n"),
    "the parker stays notified": ("lock", "lt_lock_acquire", "lt_parker_forget(ME)", "skip"),
    "falls asleep by a store": ("lock", "lt_park", "ok = (w[x].parker == seen)", "ok = true"),
    "falls asleep without a look": (
        *("lock", "lt_wait", "w[x].sleeps = (w[x].parker == LT_ASLEEP)", "w[x].sleeps = true"),
    ),
    "who is notified is thought awake": (
        *("lock", "lt_parker_notify", "(w[x].parker & LT_ASLEEP -> x : NOBODY)", "NOBODY"),
    ),
    "an interrupt wakes nobody": (
        "lock-foreign-interrupts",
        "lt_main_interrupt",
        "lt_wake(MAIN)",
        "skip",
    ),
    "an interrupt is lost": (
        *("lock-signals", "lt_park", ":: seen & LT_INTERRUPT ->\n", ":: false ->\n"),
    ),
    "releases by a store": (
        *(
            "lock-foreign",
            "lt_lock_release_slow_",
            "change(seen, (reserve -> LT_RESERVED : LT_FREE))",
        ),
        "word = LT_FREE; ok = true",
    ),
    "releases without a look at who it is for": (
        *("lock-foreign", "lt_lock_release_slow_", "grant(promised)", "skip"),
    ),
    "who is granted it stays in the queue": ("lock-foreign", "grant", "dequeue(x)", "skip"),
    "who is granted it is not told": (*("lock-foreign", "grant", "w[x].granted = true", "skip"),),
    "a reset notifies nobody": (
        *("lock-foreign-late", "lt_lock_reset", "notify(other, next)", "skip"),
    ),
    "a reset keeps the promise": (
        *("lock-foreign-late", "lt_lock_reset", "w[other].reserved = false", "skip"),
    ),
    "nothing is ever reserved": (
        *("lock-fair", "lt_lock_release_slow_", "reserve = true; was_impatient = false"),
        "reserve = false",
    ),
    "the closer looks before it closes": (
        *("gate", "lt_gate_close", "closed_by = ME;\n    until_zero(passing, passing_sleeps)"),
        "until_zero(passing, passing_sleeps);\n    closed_by = ME",
    ),
    "who enters looks before it counts": (
        *("gate", "lt_gate_enter", "passing++;\n    closer = closed_by;"),
        "closer = closed_by;\n    passing++;",
    ),
    "who enters does not look": (
        *("gate-patience", "lt_gate_enter", "closer = closed_by", "closer = NOBODY"),
    ),
    "the closer may not enter": ("gate", "lt_gate_enter", "|| closer == ME", ""),
    "who leaves wakes nobody": ("gate", "leave", "lt_wake(sleeps)", "skip"),
    "who is awake says so after the gate": (
        "gate",
        "take_gil",
        "lt_nap_end();\n    atomic { assert(gave_up || !is_gone); touching++ };\n"
        "    inside--;\n    lt_gate_leave()",
        "touching++;\n    inside--;\n    lt_gate_leave();\n    lt_nap_end()",
    ),
    "the closer does not wait for who is awake": (
        *("gate", "lt_awake_wait", "until_zero(awake, awake_sleeps)", "skip"),
    ),
    "the closer sleeps without a look": (
        "gate",
        "lt_wait",
        "sleeps = (word == n)",
        "sleeps = true",
    ),
    "the last birth wakes nobody": ("gate", "lt_birth_end", "lt_wake(births_sleeps)", "skip"),
    "births are not awaited": ("gate", "lt_births_wait", "births_awaited = true", "skip"),
    "the mutex forgets who sleeps": (
        *("mutex", "lt_mutex_lock", "exchange(2)"),
        "d_step { seen = word; word = (seen == 0 -> 1 : 2) }",
    ),
    "the mutex wakes nobody": ("mutex", "lt_mutex_unlock", "lt_wake()", "skip"),
    "the mutex is slept on without a look": (
        *("mutex", "lt_wait", "sleeps[_pid] = (word == n)", "sleeps[_pid] = true"),
    ),
}


class Failure(Exception):
    """A model cannot be checked, or is wrong."""


def run(*command, cwd):
    """Run a command; return its output, or raise `Failure` with it."""
    try:
        process = subprocess.run(
            command,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(str(error)) from None
    if process.returncode != 0:
        raise Failure(process.stdout)
    return process.stdout


def mutate(text, inline, old, new):
    """Return a model with `old`, which is there once in that inline, exchanged for `new`."""
    begin = text.index(f"\ninline {inline}(")
    end = text.index("\n}\n", begin)
    body = text[begin:end]
    if body.count(old) != 1:
        raise Failure(f"{inline}() has {old!r} {body.count(old)} times")
    return text[:begin] + body.replace(old, new) + text[end:]


def search(name, mutation=None):
    """Try all that can happen in a configuration; return what `pan` says, and the trail."""
    model, options = CONFIGURATIONS[name]
    text = (MODELS / f"{model}.pml").read_text(encoding="utf-8")
    if mutation:
        text = mutate(text, *mutation)
    with tempfile.TemporaryDirectory(prefix="lowthread-model-") as folder:
        source = pathlib.Path(folder, f"{model}.pml")
        source.write_text(text, encoding="utf-8")
        defines = [f"-D{key}={value}" for key, value in options.items()]
        run("spin", *defines, "-a", source.name, cwd=folder)
        flags = ["-DNFAIR=3"] if name in LIVE else ["-DSAFETY"]
        flags += ["-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}"]
        # Without optimization, which would take longer than most searches.
        run(*CC, "-O0", "-w", *flags, "-o", "pan", "pan.c", cwd=folder)
        # What stands still in the lock's model, its monitor judges (-E).
        how = ["-E"] if model == "lock" else []
        how += ["-a", "-f"] if name in LIVE else []
        said = run("./pan", *how, f"-m{DEPTH}", cwd=folder)
        trail = ""
        if "errors: 0" not in said:
            trail = run("spin", *defines, "-t", "-p", "-g", "-l", source.name, cwd=folder)
    return said, trail


def states(said):
    """Return how many states were visited by a search that was exhaustive."""
    if re.search(r"max search depth too small|out of memory|not completed|-DMEMLIM", said):
        raise Failure(said)
    return int(re.search(r"(\d+) states, stored", said).group(1))


def check(name):
    """Return how many states a configuration has, none of which is wrong."""
    said, trail = search(name)
    if "errors: 0" not in said:
        raise Failure(f"{said}\n{trail}")
    return f"{states(said)} states"


def check_mutation(name):
    """Return what a search has to say of a model that was broken."""
    configuration, *mutation = MUTATIONS[name]
    said, _ = search(configuration, mutation)
    found = re.search(r"^pan:1: (.*?) \(at depth", said, re.MULTILINE)
    if found is None:
        raise Failure(f"{configuration} does not notice\n{said}")
    return f"{configuration}: {found.group(1)}"


def timed(function, name):
    """Return the name, whether function(name) was well, what it said, and the seconds."""
    begin = time.monotonic()
    try:
        good, said = True, function(name)
    except Failure as failure:
        good, said = False, str(failure)
    return name, good, said, time.monotonic() - begin


def main():
    """Check all, or what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", action="store_true", help="break the models first")
    parser.add_argument("names", nargs="*", help="only these")
    options = parser.parse_args()
    for program, package in (("spin", "spin"), (CC[0], "gcc")):
        if shutil.which(program) is None:
            sys.exit(f"There is no '{program}': install the package {package}.")
    known, function = (MUTATIONS, check_mutation) if options.mutations else (CONFIGURATIONS, check)
    for name in options.names:
        if name not in known:
            parser.error(f"there is no {name!r}, but " + ", ".join(known))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, good, said, seconds in pool.map(
            lambda name: timed(function, name), options.names or known
        ):
            failed += not good
            width = max(map(len, known))
            print(
                f"{name:{width}}  {'' if good else 'FAILED: '}{said}, {seconds:.1f} s", flush=True
            )
    if failed:
        sys.exit(f"{failed} failed")


if __name__ == "__main__":
    main()
