/* lt_rlock: the lock under `_thread.RLock`.
 *
 * An lt_lock with an owner, who may take it again and has to give it back as often.
 * Zero is a free one.
 *
 * Only the owner changes `owner` and `count`, but anybody may look; whether the
 * caller is the owner it can always tell, since it would have stored that itself.
 * Hence relaxed throughout: what is done under the lock is ordered by the lt_lock.
 */
#ifndef LT_RLOCK_H
#define LT_RLOCK_H

#include "lt_lock.h"
#include "lt_thread.h"

struct lt_rlock {
    lt_lock lock;
    _Atomic uint32_t marks; /* whose it is sets them; here, nothing depends on them */
    _Atomic uintptr_t owner; /* an ident, or 0 */
    _Atomic unsigned long count;
};

/* For lt_lock_acquire_for(), where what is waited for is the lock in `r`. */
#define LT_RLOCK_SUBJECT(r, has_checks, of) \
    ((lt_subject){                          \
        .kind = LT_FOR_RLOCK, .owner = &(r)->owner, .checks = (has_checks), .told = (of)})

/* As lt_lock_acquire(), but at once for the owner, or LT_OVERFLOW: `count` cannot become any
 * larger. */
int lt_rlock_acquire_for(lt_rlock *r, bool checks, int told, int64_t since, int64_t deadline,
                         const lt_hooks *hooks);

static inline int lt_rlock_acquire(lt_rlock *r, int64_t since, int64_t deadline,
                                   const lt_hooks *hooks) {
    return lt_rlock_acquire_for(r, false, LT_TOLD_OF_NONE, since, deadline, hooks);
}

/* As lt_rlock_release(), and tells of it when others can have it: lt_record_hold(). */
int lt_rlock_release_told(lt_rlock *r);

/* Gives it back all at once.  Returns the count with which lt_rlock_restored() makes it as it
 * was, for who has taken its lock; or 0 when it is not the caller's. */
unsigned long lt_rlock_release_all(lt_rlock *r);
void lt_rlock_restored(lt_rlock *r, unsigned long count, uintptr_t owner);

/* Makes it free, whoever has it.  For `_at_fork_reinit`. */
void lt_rlock_reset(lt_rlock *r);

bool lt_rlock_is_held(lt_rlock *r);

/* The owner's ident and count, at about the same time; for people to read. */
uintptr_t lt_rlock_owner(lt_rlock *r);
unsigned long lt_rlock_count(lt_rlock *r);

/* How often the caller, whose ident is `me`, has it. */
static inline unsigned long lt_rlock_count_of(lt_rlock *r, uintptr_t me) {
    return atomic_load_explicit(&r->owner, memory_order_relaxed) == me
               ? atomic_load_explicit(&r->count, memory_order_relaxed)
               : 0;
}

static inline void lt_rlock_own(lt_rlock *r, unsigned long count, uintptr_t owner) {
    atomic_store_explicit(&r->owner, owner, memory_order_relaxed);
    atomic_store_explicit(&r->count, count, memory_order_relaxed);
}

/* For who has taken its lock.  What ran meanwhile may have taken it again, and have it still. */
static inline void lt_rlock_own_once(lt_rlock *r) {
    if (lt_rlock_count_of(r, lt_ident()) == 0) {
        lt_rlock_own(r, 1, lt_ident());
    }
}

/* `alone` is for lt_lock_try_alone() and lt_lock_release_alone(): see there. */
static inline int lt_rlock_try_as(lt_rlock *r, bool alone) {
    uintptr_t me = lt_ident();
    unsigned long count = lt_rlock_count_of(r, me);
    if (count != 0) {
        if (count + 1 == 0) {
            return LT_OVERFLOW;
        }
        atomic_store_explicit(&r->count, count + 1, memory_order_relaxed);
        return LT_ACQUIRED;
    }
    if (alone ? lt_lock_try_alone(&r->lock) : lt_lock_try(&r->lock)) {
        lt_rlock_own(r, 1, me);
        return LT_ACQUIRED;
    }
    return LT_TIMED_OUT;
}

/* LT_RELEASED, also when it is still the caller's; LT_NOT_HELD when it was not. */
static inline int lt_rlock_release_as(lt_rlock *r, bool alone) {
    unsigned long count = lt_rlock_count_of(r, lt_ident());
    if (count == 0) {
        return LT_NOT_HELD;
    }
    if (count > 1) {
        atomic_store_explicit(&r->count, count - 1, memory_order_relaxed);
        return LT_RELEASED;
    }
    lt_rlock_own(r, 0, 0);
    return alone ? lt_lock_release_alone(&r->lock) : lt_lock_release(&r->lock);
}

static inline int lt_rlock_try(lt_rlock *r) { return lt_rlock_try_as(r, false); }
static inline int lt_rlock_release(lt_rlock *r) { return lt_rlock_release_as(r, false); }

#endif
