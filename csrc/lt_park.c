/* Parking threads.  What each function promises is in lt_park.h. */
#define _GNU_SOURCE /* sched_getcpu() */

#include "lt_park.h"

#include "lt_thread.h"

#include <sched.h>
#include <stddef.h>

/* A signal that arrives between the caller's last look and its sleep ends no
 * sleep, so the main thread looks again: soon at first, then about once per
 * doubling of the time waited, up to lt_wait_longest_ns. */
static const int64_t first_look_ns = 4 * LT_NS_PER_MS;

/* About what a sleep and the wake-up from it cost: who waits awake for so long before
 * it sleeps spends at most twice what the better choice would have. */
static const int64_t spin_ns = 20 * 1000;

/* Not on a stack like the others: lt_main_interrupt() needs to find it. */
static lt_parker main_parker;
static _Atomic uintptr_t main_ident; /* 0: not known yet */

void lt_main_here(void) {
    uintptr_t nobody = 0;
    /* Relaxed, here and below: idents guard no other memory, and a thread
     * always sees what it stored itself. */
    atomic_compare_exchange_strong_explicit(&main_ident, &nobody, lt_ident(), memory_order_relaxed,
                                            memory_order_relaxed);
}

uintptr_t lt_main_ident(void) { return atomic_load_explicit(&main_ident, memory_order_relaxed); }

lt_parker *lt_parker_of(lt_parker *own) {
    if (lt_main_ident() == 0 && lt_is_first_thread()) {
        lt_main_here();
    }
    return lt_main_ident() == lt_ident() ? &main_parker : own;
}

/* Relaxed, here and in lt_park(): what the notifier did before is seen through the
 * bucket's mutex, which the notified thread takes next. */
static uint32_t look(lt_parker *parker) {
    return atomic_load_explicit(&parker->word, memory_order_relaxed);
}

/* Tells the processor that this is a loop that waits for another one. */
static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns whether it was one of `events` that ended it. */
static bool stay_awake(lt_parker *self, int64_t until, uint32_t events) {
    do {
        for (int i = 0; i < 8; i++) {
            if (look(self) & events) {
                return true;
            }
            relax();
        }
    } while (lt_now() < until);
    return false;
}

bool lt_parker_spin(lt_parker *self, int64_t deadline, int64_t settle_ns) {
    int64_t now = lt_now();
    if (deadline - now < spin_ns || !stay_awake(self, now + spin_ns, LT_NOTIFIED | LT_INTERRUPT)) {
        return false;
    }
    if (settle_ns > 0) {
        stay_awake(self, lt_now() + settle_ns, LT_INTERRUPT);
    }
    return true;
}

int lt_processor(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

int lt_park(lt_parker *self, int64_t since, int64_t deadline) {
    bool is_main = self == &main_parker;
    int64_t until = deadline;
    if (is_main) {
        int64_t now = lt_now(), nap = now - since;
        nap = nap < first_look_ns ? first_look_ns : nap;
        nap = nap > lt_wait_longest_ns ? lt_wait_longest_ns : nap;
        until = deadline - now < nap ? deadline : now + nap;
    }
    for (;;) {
        uint32_t seen = look(self);
        if (seen & LT_INTERRUPT) {
            /* Acquire pairs with the release in lt_main_interrupt(): the handler
             * that was scheduled before it is seen to be due. */
            atomic_fetch_and_explicit(&self->word, ~(uint32_t)LT_INTERRUPT, memory_order_acquire);
            return LT_SIGNAL;
        }
        if (seen & LT_NOTIFIED) {
            return LT_WOKEN;
        }
        if (!atomic_compare_exchange_strong_explicit(&self->word, &seen, LT_ASLEEP,
                                                     memory_order_relaxed, memory_order_relaxed)) {
            continue;
        }
        int why = lt_wait(&self->word, LT_ASLEEP, until);
        atomic_fetch_and_explicit(&self->word, ~(uint32_t)LT_ASLEEP, memory_order_relaxed);
        switch (why) {
        case LT_EXPIRED:
            return until == deadline ? LT_EXPIRED : LT_SIGNAL;
        case LT_SIGNAL:
            if (is_main) {
                return LT_SIGNAL;
            }
            break;
        default:
            break;
        }
    }
}

bool lt_parker_notify(lt_parker *parker) {
    return atomic_fetch_or_explicit(&parker->word, LT_NOTIFIED, memory_order_relaxed) & LT_ASLEEP;
}

void lt_parker_wake(lt_parker *parker) { lt_wake(&parker->word, 1); }

void lt_parker_forget(lt_parker *self) {
    atomic_fetch_and_explicit(&self->word, ~(uint32_t)LT_NOTIFIED, memory_order_relaxed);
}

void lt_main_interrupt(void) {
    atomic_fetch_or_explicit(&main_parker.word, LT_INTERRUPT, memory_order_release);
    lt_wake(&main_parker.word, 1);
}

void lt_park_after_fork(void) {
    atomic_store_explicit(&main_parker.word, 0, memory_order_relaxed);
    atomic_store_explicit(&main_ident, lt_ident(), memory_order_relaxed);
}
