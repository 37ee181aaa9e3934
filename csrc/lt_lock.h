/* lt_lock: the lock under `_thread.lock`.
 *
 * Zero is a free lock; it needs no initialisation and no destruction.  It is not
 * owned: any thread may release it.  It must stay where it is, and alive, while
 * somebody waits for it.
 *
 *     static lt_lock lock;
 *     lt_lock_acquire(&lock, lt_now(), LT_FOREVER, NULL);
 *     ...
 *     lt_lock_release(&lock);
 *
 * Take and give back are one compare-and-swap on the lock's word each, or less where the
 * callers are kept apart (lt_lock_try_alone).  Who has to wait queues under a hash of the
 * lock's address (a "parking lot"), so the word needs only three bits for that:
 *
 *     HELD      somebody has the lock
 *     WAITERS   somebody is in the queue whom the next release must notify
 *     RESERVED  nobody has it, and only the waiter it was promised to may take it
 *
 * These are LT_STATE: 0, HELD, HELD|WAITERS or RESERVED.  The other bits of a word that has
 * HELD tell who took it (lt_held_by_me()), so that a wait which cannot end can say so; nothing
 * else depends on them.  A release notifies the first in
 * the queue, who keeps that place until it has the lock: threads that come
 * along meanwhile may take it first ("barging", which keeps the rate up), but
 * once a waiter has waited for lt_lock_patience_ns one of the next releases that
 * notify reserves the lock for it: one a millisecond, since each costs a switch of
 * threads while nobody has the lock.
 *
 * Invariant, whenever the queue's mutex is free: if anybody is queued for a lock, then
 * its word has WAITERS, or somebody queued has been notified and is on its way.
 */
#ifndef LT_LOCK_H
#define LT_LOCK_H

#include "lowthread.h" /* the types' names, and what acquire and release return */

#include "lt_record.h" /* of what a thread that waits is told */
#include "lt_thread.h"
#include "lt_wait.h"

#include <stdbool.h>
#include <stddef.h>

struct lt_lock {
    lt_word word;
};

enum { LT_FREE = 0, LT_HELD = 1, LT_WAITERS = 2, LT_RESERVED = 4, LT_STATE = 7 };
#define LT_GENERATION UINT32_C(0xF8)
#define LT_HOLDER UINT32_C(0xFFFFFF00)

/* What a caller has to do around a sleep: on CPython, give up the GIL and take it
 * again.  `after` returns false if this thread must never run again, and may
 * also end it with pthread_exit(); either way it leaves the queue.  The lock
 * is taken after `after`, so no thread that is stopped there holds it. */
typedef struct {
    void *(*before)(void);
    bool (*after)(void *from_before);
    /* How long who releases a lock and then sleeps itself has the GIL in between: to ask
     * for it earlier means to sleep a second time. */
    int64_t settle_ns;
} lt_hooks;

/* Who has waited for this long gets a lock reserved, at most that often. */
extern const int64_t lt_lock_patience_ns;

/* For how long a lock stays reserved for somebody who does not come. */
extern const int64_t lt_lock_lapse_ns;

/* How many forks lie between this process and the one that loaded the core, modulo 32, in the
 * bits of LT_GENERATION.  Changes only where there is but one thread. */
extern uint32_t lt_lock_generation;

/* Who took it, in the bits of LT_HOLDER: never 0, and seldom the same for two threads.
 * Fibonacci hashing: the product's high bits depend on all of the ident. */
static inline uint32_t lt_holder_of(uintptr_t ident) {
    uint64_t product = (uint64_t)ident * UINT64_C(0x9E3779B97F4A7C15);
    return ((uint32_t)(product >> 32) & LT_HOLDER) | 0x100;
}

static inline uint32_t lt_held_by_me(void) {
    return LT_HELD | lt_lock_generation | lt_holder_of(lt_ident());
}

/* Whether the lock is held, and that thread took it, or another with the same bits. */
bool lt_lock_was_taken_by(lt_lock *lock, uintptr_t ident);

/* The ident of the waiter that the lock is reserved for, and that has it as good as already, or
 * 0. */
uintptr_t lt_lock_promised_to(lt_lock *lock);

/* Whether nobody can release it: it was taken before a fork by a thread that does not exist
 * in this child, and there is none beside the caller.  May miss that, but never errs the other
 * way: where two threads have the same bits, or the system does not count threads. */
bool lt_lock_is_abandoned(lt_lock *lock);

/* What is waited for, if that is not a lock alone: for who looks (lt_waits()). */
typedef struct {
    int kind;
    const _Atomic uintptr_t *owner; /* the ident of the thread that alone can end the wait */
    /* If it lasts, the caller looks whether the wait can end, and tells of it: lt_check_after(),
     * lt_record_wants_note().  For that it is LT_INTERRUPTED, in any thread. */
    bool checks;
    int told; /* of what: see lt_over */
} lt_subject;

/* The last: a lock of the core's own, of which nobody is told. */
enum { LT_FOR_LOCK, LT_FOR_RLOCK, LT_FOR_THREAD, LT_FOR_CORE };

/* Waits until `deadline` (absolute; LT_FOREVER for none; one that has passed
 * makes this a try).  LT_INTERRUPTED, in the main thread only, and not where it can have
 * the lock: a signal handler may be due; run it and call again with the same `since`, the
 * time at which the caller first asked, which is also its place in the queue.  LT_ABANDONED,
 * only with LT_FOREVER: see lt_lock_is_abandoned().  `subject` is NULL for a lock alone. */
int lt_lock_acquire_for(lt_lock *lock, const lt_subject *subject, int64_t since, int64_t deadline,
                        const lt_hooks *hooks);

static inline int lt_lock_acquire(lt_lock *lock, int64_t since, int64_t deadline,
                                  const lt_hooks *hooks) {
    return lt_lock_acquire_for(lock, NULL, since, deadline, hooks);
}

/* Has waits without a timeout that last for `ns` return LT_INTERRUPTED, in any thread, and again
 * when they have lasted twice as long, and so on, if who waits says that it then looks whether
 * the wait can end (`checks`).  0: no more of that from the next waits on. */
void lt_check_after(int64_t ns);

/* Whether one from `since` has lasted so long. */
bool lt_check_is_due(int64_t since, int64_t deadline);

/* One that waits, at the moment it was looked at.  All of one size, so that it can be read as an
 * array of them. */
typedef struct {
    uint64_t lock; /* the address; that lock may be gone by now */
    uint64_t waiter; /* an ident */
    /* The ident of who has it; 0: not known, or nobody.  Of a lock alone there are only the bits
     * of lt_holder_of(), in `word`: it tells who took it.  They are 0 if that was a thread which
     * got lost in a fork. */
    uint64_t owner;
    uint64_t word;
    int64_t kind;
    int64_t since, deadline;
    /* From when on it has been held as it is now, for all that is known: when somebody first
     * had to wait for it.  It may have been before.  0: not known, or it is not held. */
    int64_t held_from;
} lt_wait_seen;

/* Writes down who waits, up to `room`, those for one lock together and in their order; returns
 * how many there are.  Waits go on meanwhile, so what is told of two locks may not have been
 * true at one time. */
size_t lt_waits(lt_wait_seen *into, size_t room);

/* The word of such a lock, as it is told there. */
uint32_t lt_lock_word(lt_lock *lock);

/* The slow ways of the inline functions below. */
bool lt_lock_try_reserved(lt_lock *lock);
int lt_lock_release_slow(lt_lock *lock);

/* As lt_lock_release(), and tells of it if the caller took it: lt_record_hold(). */
int lt_lock_release_told(lt_lock *lock);

/* Makes it free, whoever has it.  For `_at_fork_reinit`. */
void lt_lock_reset(lt_lock *lock);

/* In a forked child: nobody waits for anything. */
void lt_lock_after_fork(void);

static inline bool lt_lock_try(lt_lock *lock) {
    uint32_t seen = LT_FREE;
    /* Acquire pairs with the release of whoever had it before. */
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, lt_held_by_me(),
                                                memory_order_acquire, memory_order_relaxed)) {
        return true;
    }
    /* The one it is reserved for may not be there: lost in a fork, or stopped. */
    return seen == LT_RESERVED && lt_lock_try_reserved(lock);
}

/* LT_RELEASED, or LT_NOT_HELD when it was free, which changes nothing. */
static inline int lt_lock_release(lt_lock *lock) {
    uint32_t held = atomic_load_explicit(&lock->word, memory_order_relaxed);
    /* Release: what was done under the lock is seen by who takes it next. */
    if ((held & LT_STATE) == LT_HELD &&
        atomic_compare_exchange_strong_explicit(&lock->word, &held, LT_FREE, memory_order_release,
                                                memory_order_relaxed)) {
        return LT_RELEASED;
    }
    return lt_lock_release_slow(lock);
}

static inline bool lt_lock_is_held(lt_lock *lock) {
    /* Relaxed: the answer may be out of date as soon as it is given.  One that is reserved
     * is not held yet: who releases a lock and asks at once, as `threading` does, is not to
     * be told that nothing has happened. */
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & LT_HELD) != 0;
}

/* lt_lock_try() and lt_lock_release() for callers that something else keeps apart from
 * everybody who changes this lock's word, as CPython's GIL does if nobody has its address
 * but Python: a load and a store cost a third of a compare-and-swap.  Relaxed, as that
 * something orders what is done under the lock, too.
 *
 * The one exception is harmless: abandon() in lt_lock.c may set WAITERS after the load
 * here, and lose it to the store, but only for a thread that ends while the interpreter
 * does, and on behalf of waiters that can do nothing but end as well. */
static inline bool lt_lock_try_alone(lt_lock *lock) {
    if (atomic_load_explicit(&lock->word, memory_order_relaxed) == LT_FREE) {
        atomic_store_explicit(&lock->word, lt_held_by_me(), memory_order_relaxed);
        return true;
    }
    return lt_lock_try(lock);
}

static inline int lt_lock_release_alone(lt_lock *lock) {
    if ((atomic_load_explicit(&lock->word, memory_order_relaxed) & LT_STATE) == LT_HELD) {
        atomic_store_explicit(&lock->word, LT_FREE, memory_order_relaxed);
        return LT_RELEASED;
    }
    return lt_lock_release_slow(lock);
}

#endif
