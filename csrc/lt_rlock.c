/* What of the re-entrant lock is not worth inlining.  lt_rlock.h tells how it works. */
#include "lt_rlock.h"

#include "lt_record.h"

int lt_rlock_acquire_for(lt_rlock *r, bool checks, int told, int64_t since, int64_t deadline,
                         const lt_hooks *hooks) {
    if (lt_rlock_count_of(r, lt_ident()) != 0) {
        return lt_rlock_try(r);
    }
    lt_subject subject = LT_RLOCK_SUBJECT(r, checks, told);
    int verdict = lt_lock_acquire_for(&r->lock, &subject, since, deadline, hooks);
    if (verdict == LT_ACQUIRED) {
        lt_rlock_own_once(r);
    }
    return verdict;
}

static void tell(lt_rlock *r, int verdict) { lt_record_hold((uintptr_t)r, LT_FOR_RLOCK, verdict); }

int lt_rlock_release_told(lt_rlock *r) {
    if (lt_is_recording_holds() && lt_rlock_count_of(r, lt_ident()) == 1) {
        tell(r, LT_HOLD_ENDS);
    }
    return lt_rlock_release(r);
}

unsigned long lt_rlock_release_all(lt_rlock *r) {
    unsigned long count = lt_rlock_count_of(r, lt_ident());
    if (count != 0) {
        tell(r, LT_HOLD_ENDS);
        lt_rlock_own(r, 0, 0);
        lt_lock_release(&r->lock);
    }
    return count;
}

void lt_rlock_restored(lt_rlock *r, unsigned long count, uintptr_t owner) {
    lt_rlock_own(r, count, owner);
    tell(r, LT_HOLD_GOES_ON);
}

void lt_rlock_reset(lt_rlock *r) {
    lt_rlock_own(r, 0, 0);
    lt_lock_reset(&r->lock);
}

bool lt_rlock_is_held(lt_rlock *r) { return lt_lock_is_held(&r->lock); }

uintptr_t lt_rlock_owner(lt_rlock *r) {
    return atomic_load_explicit(&r->owner, memory_order_relaxed);
}

unsigned long lt_rlock_count(lt_rlock *r) {
    return atomic_load_explicit(&r->count, memory_order_relaxed);
}
