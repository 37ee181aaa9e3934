/* The lock of csrc/lt_lock.c and csrc/lt_park.c, for spin; tools/model.py runs it.
 *
 * Everything is called as it is there, and each inline stands for the function of its name.
 * One lock, N threads, the first of which is the main one.  Where C asks for the time, both
 * answers are tried: what is "lapsed", "patient" or "expired" may be so at any moment.
 *
 * One step here is one access to a word that others may change: to the lock's word, to a
 * parker's, to the kernel's list of sleepers.  What happens between two such accesses to the
 * queue, with its mutex held, is atomic, as nobody else can see it.
 *
 * Left out:
 *   - the order of memory.  A run of spin is sequentially consistent.  In C that stands on:
 *     each word being changed by compare-and-swap, fetch-or and fetch-and only, so that its
 *     changes have one order; acquire and release on the lock's word and on the mutex, which
 *     order what is done under them; and lt_wait() comparing the word anew.  No step here
 *     depends on the order of two different words, but for those that the mutex guards.
 *   - what lt_lock.h keeps in the upper bits of the word, if anything: the protocol neither
 *     asks for it nor changes it.
 *   - lt_parker_spin(), which looks and changes nothing, and the bucket's statistics.
 *   - other locks in the same bucket, and the `_alone` functions, for which the GIL makes
 *     a load and a store what a compare-and-swap is here.
 *
 * What a configuration may set (tools/model.py has them): */
#ifndef N
#define N 3 /* threads */
#endif
#ifndef ROUNDS
#define ROUNDS 1 /* how often each acquires and releases */
#endif
#ifndef BARGERS
#define BARGERS 0 /* the threads from here on, if not 0, do so for ever */
#endif
#ifndef TRIES
#define TRIES 0 /* lt_lock_try() as well as lt_lock_acquire() */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0 /* waits that time out as well as those for ever */
#endif
#ifndef SIGNALS
#define SIGNALS 0 /* how many signals (or naps) end a sleep of the main thread */
#endif
#ifndef INTERRUPTS
#define INTERRUPTS 0 /* how often somebody calls lt_main_interrupt() */
#endif
#ifndef SPURIOUS
#define SPURIOUS 0 /* how many sleeps end for no reason */
#endif
#ifndef RESERVES
#define RESERVES 0 /* 1: a waiter may be patient, 2: one of two releases finds that it is */
#endif
#ifndef LAPSES
#define LAPSES 0 /* a notified waiter may be late */
#endif
#ifndef RELEASERS
#define RELEASERS 0 /* the last so many threads release what is not theirs */
#endif
#ifndef RESETS
#define RESETS 0 /* those may lt_lock_reset() it instead */
#endif
#ifndef EXITS
#define EXITS 0 /* `after` may end a thread, once the main one finalizes: pthread_exit() */
#endif
#ifndef HANGS
#define HANGS 0 /* ... or stop it for ever, without a word */
#endif

#define LT_FREE 0
#define LT_HELD 1
#define LT_WAITERS 2
#define LT_RESERVED 4

#define LT_NOTIFIED 1
#define LT_INTERRUPT 2
#define LT_ASLEEP 4

mtype = { LT_ACQUIRED, LT_TIMED_OUT, LT_INTERRUPTED, LT_RELEASED, LT_NOT_HELD };
mtype = { LT_WOKEN, LT_EXPIRED, LT_SIGNAL };
mtype = { TRY, TIMED, FOREVER }; /* what a thread asks for */

#define ME _pid
#define MAIN 0
#define IS_MAIN (ME == MAIN)
#define NOBODY N /* in place of NULL */

byte word; /* lt_lock.word */

typedef waiter {
    bool notified; /* notified_at != 0 */
    bool reserved;
    bool granted;
    byte parker;   /* lt_parker.word */
    bool sleeps;   /* the kernel has this thread on the list for that word */
};
waiter w[N];

bool mutex; /* of the bucket */
byte queue[N], queued;
bool is_late; /* whatever may take its time has done so */
bool finalizing;
byte signals = SIGNALS, spurious = SPURIOUS, naps = HANGS;
bool was_impatient;

/* What the properties speak of, and the protocol does not know. */
byte balance;  /* acquired minus released */
bool has[N];   /* acquired, or granted, by the call that it is in */
bool hangs[N]; /* for ever, in `after` */
bool done[N];

/* ---- lt_mutex, of which mutex.pml tells more ---- */

/* First come, first served, where somebody barges for ever: a mutex that starves whom it
 * likes would let nobody say anything.  (The kernel's queue is of that kind; that barging
 * past it goes on for ever is left out.) */
#if BARGERS
chan line = [N] of { byte };
#endif

inline lt_mutex_lock() {
#if BARGERS
    line!ME;
    atomic { !mutex && line?[eval(ME)] -> line?eval(ME); mutex = true }
#else
    atomic { !mutex -> mutex = true }
#endif
}

/* The invariant of lt_lock.h, and what else is true whenever the mutex is free. */
inline check() {
    i = 0; found = false; ok = false;
    do
    :: i < queued ->
        found = found || w[queue[i]].notified;
        assert(!w[queue[i]].granted);
        assert(w[queue[i]].notified == (w[queue[i]].parker & LT_NOTIFIED));
        assert(!w[queue[i]].reserved || (!ok && w[queue[i]].notified));
        ok = ok || w[queue[i]].reserved;
        i++
    :: else -> break
    od;
    assert(queued == 0 || (word & LT_WAITERS) || found);
    assert(ok == (word == LT_RESERVED));
    assert(word == LT_FREE || word == LT_HELD || word == (LT_HELD | LT_WAITERS) ||
           word == LT_RESERVED);
    assert(balance == (word & LT_HELD));
    i = 0; found = false; ok = false
}

inline lt_mutex_unlock() {
    d_step { check(); mutex = false }
}

/* ---- the queue; all of it with the bucket's mutex held ---- */

/* Anywhere: a waiter has its place by `since`, which is of any age.  But at the end where
 * somebody barges for ever, as everybody comes later than one who has waited already. */
inline enqueue(x) {
    atomic {
        i = queued;
        do
        :: i > 0 && BARGERS == 0 -> queue[i] = queue[i - 1]; i--
        :: true -> break
        od;
        queue[i] = x; queued++; i = 0
    }
}

inline dequeue(x) {
    d_step {
        i = 0;
        do
        :: i < queued && queue[i] != x -> i++
        :: else -> break
        od;
        assert(i < queued);
        queued--;
        do
        :: i < queued -> queue[i] = queue[i + 1]; i++
        :: else -> break
        od;
        queue[i] = 0; i = 0
    }
}

#define must_have_lapsed(x) (is_late && hangs[x] && w[x].notified)
#define may_have_lapsed(x) ((LAPSES && w[x].notified) || must_have_lapsed(x))

inline first_waiter(x) {
    x = NOBODY; i = 0;
    do
    :: i == queued -> break
    :: i < queued && may_have_lapsed(queue[i]) -> i++
    :: i < queued && !must_have_lapsed(queue[i]) -> x = queue[i]; break
    od;
    i = 0
}

inline reserved_waiter(x) {
    x = NOBODY; i = 0;
    do
    :: i == queued -> break
    :: i < queued && w[queue[i]].reserved -> x = queue[i]; break
    :: else -> i++
    od;
    i = 0
}

inline has_other(x) {
    i = 0; found = false;
    do
    :: i == queued || found -> break
    :: else -> found = (queue[i] != x); i++
    od;
    i = 0
}

inline notify(x, next) {
    if
    :: w[x].notified -> next = NOBODY
    :: else -> w[x].notified = true; lt_parker_notify(x, next)
    fi
}

/* A compare-and-swap that takes the lock, or gives it back, says so to the balance in the
 * same step. */
inline change(from, to) {
    if
    :: word == from -> word = to; ok = true
    :: else -> ok = false
    fi
}

inline acquired(x) {
    balance++;
    assert(balance == 1); /* mutual exclusion */
    assert(!has[x]);
    has[x] = true
}

inline released() {
    assert(balance == 1);
    balance--
}

inline claim_(x) {
    do
    :: atomic {
            seen = word; /* look() */
            if
            :: seen == LT_RESERVED ->
                reserved_waiter(other);
                if
                :: other != NOBODY && other != x && !must_have_lapsed(other) ->
                    taken = false; break
                :: other == NOBODY || other == x || may_have_lapsed(other)
                fi;
                if
                :: other != NOBODY -> w[other].reserved = false
                :: else
                fi
            :: seen & LT_WAITERS -> taken = false; break
            :: else
            fi
        };
        atomic {
            if
            :: seen & LT_HELD ->
                change(seen, seen | LT_WAITERS);
                if
                :: ok -> taken = false; break
                :: else
                fi
            :: else ->
                has_other(x);
                change(seen, (found -> LT_HELD | LT_WAITERS : LT_HELD));
                if
                :: ok -> acquired(x); taken = true; break
                :: else
                fi
            fi
        }
    od;
    atomic { seen = 0; other = 0; ok = false; found = false }
}

/* Where somebody barges for ever, the compare-and-swap is supposed to get through. */
inline claim(x) {
#if BARGERS
    atomic { claim_(x) }
#else
    claim_(x)
#endif
}

inline pass_on(x, next) {
    next = NOBODY;
    if
    :: w[x].notified ->
        do
        :: seen = word; /* look() */
            atomic {
                if
                :: seen == LT_RESERVED && !w[x].reserved -> break
                :: seen == LT_RESERVED && w[x].reserved ->
                    change(LT_RESERVED, LT_FREE);
                    assert(ok);
                    seen = LT_FREE
                :: else
                fi
            };
            atomic {
                first_waiter(other);
                if
                :: other == NOBODY || (seen & LT_WAITERS) -> break
                :: other != NOBODY && seen == LT_FREE -> notify(other, next); break
                :: else ->
                    change(seen, seen | LT_WAITERS);
                    if
                    :: ok -> break
                    :: else
                    fi
                fi
            }
        od
    :: else
    fi;
    atomic { seen = 0; other = 0; ok = false }
}

/* ---- lt_park.c ---- */

inline lt_parker_notify(x, next) {
    next = (w[x].parker & LT_ASLEEP -> x : NOBODY);
    w[x].parker = w[x].parker | LT_NOTIFIED
}

inline lt_parker_forget(x) {
    w[x].parker = w[x].parker & (LT_INTERRUPT | LT_ASLEEP)
}

inline lt_wake(x) {
    w[x].sleeps = false
}

inline wake(next) {
    if
    :: next != NOBODY -> lt_wake(next); next = NOBODY
    :: else
    fi
}

/* The kernel compares and puts to sleep in one step. */
inline lt_wait(x) {
    w[x].sleeps = (w[x].parker == LT_ASLEEP);
    if
    :: atomic { !w[x].sleeps -> why = LT_WOKEN }
    :: atomic { w[x].sleeps && kind == TIMED -> w[x].sleeps = false; why = LT_EXPIRED }
    :: atomic { w[x].sleeps && IS_MAIN && signals > 0 ->
            signals--; w[x].sleeps = false; why = LT_SIGNAL }
    :: atomic { w[x].sleeps && spurious > 0 ->
            spurious--; w[x].sleeps = false; why = LT_WOKEN }
    :: atomic { w[x].sleeps && IS_MAIN && is_late && naps > 0 ->
            naps--; w[x].sleeps = false; why = LT_SIGNAL }
    fi
}

/* A nap of the main thread that is over is the same as a signal. */
inline lt_park(x) {
    do
    :: atomic {
            seen = w[x].parker; /* look() */
            if
            :: seen & LT_INTERRUPT -> why = LT_SIGNAL
            :: !(seen & LT_INTERRUPT) && (seen & LT_NOTIFIED) -> why = LT_WOKEN; break
            :: else
            fi
        };
        if
        :: seen & LT_INTERRUPT ->
            w[x].parker = w[x].parker & (LT_NOTIFIED | LT_ASLEEP);
            break
        :: else
        fi;
        atomic {
            ok = (w[x].parker == seen);
            if
            :: ok -> w[x].parker = LT_ASLEEP
            :: else
            fi
        };
        if
        :: ok ->
            lt_wait(x);
            w[x].parker = w[x].parker & (LT_NOTIFIED | LT_INTERRUPT);
            if
            :: why != LT_WOKEN -> break
            :: else
            fi
        :: else
        fi
    od;
    atomic { seen = 0; ok = false }
}

inline lt_main_interrupt() {
    w[MAIN].parker = w[MAIN].parker | LT_INTERRUPT;
    lt_wake(MAIN)
}

/* ---- acquire ---- */

inline abandon(x) {
    lt_mutex_lock();
    if
    :: !w[x].granted -> dequeue(x)
    :: else
    fi;
    lt_parker_forget(x);
    next = NOBODY;
    if
    :: !w[x].granted -> pass_on(x, next)
    :: else
    fi;
    lt_mutex_unlock();
    wake(next)
}

/* The hook `before` gives up the GIL, which is nothing here. */
inline sleep_in_queue(x) {
    lt_park(x);
    if /* after */
    :: true
    :: EXITS && finalizing && !IS_MAIN -> abandon(x); goto ended
    :: HANGS && finalizing && !IS_MAIN -> atomic { hangs[x] = true; goto stopped }
    fi
}

inline lt_lock_try_reserved() {
    lt_mutex_lock();
    claim(ME);
    lt_mutex_unlock()
}

inline lt_lock_try() {
    atomic {
        seen = word;
        change(LT_FREE, LT_HELD);
        taken = ok;
        if
        :: ok -> acquired(ME)
        :: else
        fi;
        ok = false
    };
    if
    :: seen == LT_RESERVED -> lt_lock_try_reserved()
    :: else
    fi;
    seen = 0
}

inline lt_lock_acquire() {
    verdict = 0;
    lt_lock_try();
    if
    :: taken -> verdict = LT_ACQUIRED
    :: !taken && kind == TRY -> verdict = LT_TIMED_OUT /* was no more than lt_lock_try() */
    :: else ->
        d_step { w[ME].notified = false; w[ME].reserved = false; w[ME].granted = false };
        lt_mutex_lock();
        claim(ME);
        if
        :: taken -> verdict = LT_ACQUIRED
        :: !taken && kind == TIMED -> verdict = LT_TIMED_OUT
        :: !taken -> enqueue(ME)
        fi;
        lt_mutex_unlock()
    fi;

    do
    :: verdict != 0 -> break
    :: else ->
        sleep_in_queue(ME);
        lt_mutex_lock();
        lt_parker_forget(ME);
        if
        :: w[ME].granted -> verdict = LT_ACQUIRED
        :: else ->
            claim(ME);
            if
            :: taken ->
                dequeue(ME);
                verdict = LT_ACQUIRED
            :: !taken && why != LT_WOKEN ->
                dequeue(ME);
                verdict = (why == LT_SIGNAL -> LT_INTERRUPTED : LT_TIMED_OUT)
            :: else ->
                w[ME].notified = false;
                w[ME].reserved = false
            fi
        fi;
        lt_mutex_unlock()
    od;

    atomic {
        /* Who has not acquired it does not hold it, and is told of a handler that is due. */
        assert(has[ME] == (verdict == LT_ACQUIRED));
        assert(why != LT_SIGNAL || verdict != LT_TIMED_OUT);
        has[ME] = false;
        w[ME].notified = false; w[ME].reserved = false; w[ME].granted = false;
        taken = false; why = 0
    }
}

/* ---- release ---- */

inline grant(x) {
    w[x].granted = true;
    dequeue(x);
    acquired(x)
}

inline lt_lock_release_slow_() {
    promised = NOBODY;
    next = NOBODY;
    atomic {
        if
        :: word == LT_RESERVED ->
            reserved_waiter(promised);
            if
            :: promised != NOBODY -> grant(promised)
            :: else
            fi
        :: else
        fi
    };
    verdict = LT_NOT_HELD;
    do
    :: atomic {
            seen = word; /* look() */
            if
            :: seen == LT_FREE || (seen == LT_RESERVED && promised == NOBODY) ->
                assert(balance == 0 && next == NOBODY);
                break
            :: else
            fi;
            first_waiter(other);
            if
            :: other == NOBODY || RESERVES == 0 -> reserve = false
            :: other != NOBODY && RESERVES == 1 -> reserve = false
            :: other != NOBODY && RESERVES == 2 && !was_impatient ->
                reserve = false; was_impatient = true
            :: other != NOBODY && RESERVES != 0 -> reserve = true; was_impatient = false
            fi
        };
        atomic {
            change(seen, (reserve -> LT_RESERVED : LT_FREE));
            if
            :: ok ->
                released();
                if
                :: other != NOBODY -> notify(other, next)
                :: else
                fi;
                if
                :: reserve -> w[other].reserved = true
                :: else
                fi;
                verdict = LT_RELEASED;
                break
            :: else
            fi
        }
    od;
    atomic { seen = 0; other = 0; ok = false; reserve = false; promised = 0 }
}

inline lt_lock_release_slow() {
    lt_mutex_lock();
#if BARGERS
    atomic { lt_lock_release_slow_() };
#else
    lt_lock_release_slow_();
#endif
    lt_mutex_unlock();
    wake(next)
}

inline lt_lock_release() {
    atomic {
        change(LT_HELD, LT_FREE);
        if
        :: ok -> released(); verdict = LT_RELEASED
        :: else -> verdict = 0
        fi;
        ok = false
    };
    if
    :: verdict == 0 -> lt_lock_release_slow()
    :: else
    fi
}

inline lt_lock_reset() {
    lt_mutex_lock();
    next = NOBODY;
    atomic {
        reserved_waiter(other);
        if
        :: other != NOBODY -> w[other].reserved = false
        :: else
        fi;
        other = 0
    };
    atomic { word = LT_FREE; balance = 0 };
    atomic {
        first_waiter(other);
        if
        :: other != NOBODY -> notify(other, next)
        :: else
        fi;
        other = 0
    };
    lt_mutex_unlock();
    wake(next)
}

/* ---- who calls it ---- */

#define IS_RELEASER (ME >= N - RELEASERS)
#define BARGES (BARGERS != 0 && ME >= BARGERS)

active [N] proctype thread() {
    byte seen, other, next = NOBODY, promised, i, round;
    bool ok, found, taken, reserve;
    mtype why, verdict, kind;

    do
    :: round == ROUNDS -> break
    :: round < ROUNDS ->
        if
        :: IS_MAIN && (EXITS || HANGS) && round == ROUNDS - 1 -> finalizing = true
        :: else
        fi;
        round = (BARGES -> round : round + 1);
        if
        :: !IS_RELEASER ->
            if
            :: kind = FOREVER
            :: TRIES -> kind = TRY
            :: TIMEOUTS -> kind = TIMED
            fi;
            do
            :: lt_lock_acquire();
                if /* the handler has run: to raise, or to ask again from the same place */
                :: break
                :: verdict == LT_INTERRUPTED
                fi
            od;
            kind = 0;
            if
            :: verdict == LT_ACQUIRED ->
                lt_lock_release();
                assert(RELEASERS || verdict == LT_RELEASED)
            :: verdict != LT_ACQUIRED || RELEASERS /* leaves that to another */
            fi
        :: IS_RELEASER -> lt_lock_release()
        :: IS_RELEASER && RESETS -> lt_lock_reset()
        fi;
        verdict = 0
    od;
ended:
    done[ME] = true;
stopped:
    skip
}

active proctype interrupter() {
    byte n;
    do
    :: n < INTERRUPTS -> lt_main_interrupt(); n++
    :: else -> break
    od
}

/* When nothing moves any more: no wake-up was lost. */
active proctype monitor() {
    byte i;
    timeout -> atomic {
        assert(!w[MAIN].sleeps || !(w[MAIN].parker & LT_INTERRUPT));
        is_late = true
    };
    timeout -> atomic {
        assert(balance == (word & LT_HELD));
        do
        :: i < N ->
            assert(done[i] || hangs[i] || balance == 1 || (HANGS && i != MAIN));
            i++
        :: else -> break
        od;
        assert(HANGS || RELEASERS || (queued == 0 && word == LT_FREE))
    }
}

#if BARGERS
/* However greedy the others are. */
ltl patient { <> done[MAIN] }
#endif
