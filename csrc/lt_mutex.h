/* lt_mutex: the short lock around a few instructions of the core itself.
 *
 * Zero is unlocked: static storage needs no initialisation.  0 free, 1 held,
 * 2 held and somebody may be asleep.  It knows nothing of signals, deadlines or
 * fairness; who holds it never sleeps, never asks for the GIL and never exits.
 *
 * Not pthread_mutex_t, because a forked child simply sets it to zero again,
 * which for a mutex that another thread held would be undefined.
 */
#ifndef LT_MUTEX_H
#define LT_MUTEX_H

#include "lt_wait.h"

typedef struct {
    lt_word word;
} lt_mutex;

static inline void lt_mutex_lock(lt_mutex *m) {
    uint32_t seen = 0;
    /* Acquire pairs with the release in unlock; failure reads nothing. */
    if (atomic_compare_exchange_strong_explicit(&m->word, &seen, 1, memory_order_acquire,
                                                memory_order_relaxed)) {
        return;
    }
    while (atomic_exchange_explicit(&m->word, 2, memory_order_acquire) != 0) {
        (void)lt_wait(&m->word, 2, LT_FOREVER);
    }
}

static inline void lt_mutex_unlock(lt_mutex *m) {
    if (atomic_exchange_explicit(&m->word, 0, memory_order_release) == 2) {
        lt_wake(&m->word, 1);
    }
}

#endif
