/* The functions that native code of others calls, without the GIL and in any thread. */
#include "lt_api.h"

#include "lt_lock.h"
#include "lt_rlock.h"

static int lock_wait(lt_lock *lock, int64_t since, int64_t deadline) {
    return lt_lock_acquire(lock, since, deadline, NULL);
}

static int lock_acquire(lt_lock *lock, int64_t deadline) {
    int64_t since = lt_now();
    int verdict;
    do {
        verdict = lock_wait(lock, since, deadline);
    } while (verdict == LT_INTERRUPTED);
    return verdict;
}

static int lock_release(lt_lock *lock) { return lt_lock_release(lock); }
static int lock_is_held(lt_lock *lock) { return lt_lock_is_held(lock); }

static int rlock_wait(lt_rlock *r, int64_t since, int64_t deadline) {
    return lt_rlock_acquire(r, since, deadline, NULL);
}

static int rlock_acquire(lt_rlock *r, int64_t deadline) {
    int64_t since = lt_now();
    int verdict;
    do {
        verdict = rlock_wait(r, since, deadline);
    } while (verdict == LT_INTERRUPTED);
    return verdict;
}

static int rlock_release(lt_rlock *r) { return lt_rlock_release(r); }
static int rlock_is_held(lt_rlock *r) { return lt_rlock_is_held(r); }
static unsigned long rlock_count(lt_rlock *r) { return lt_rlock_count_of(r, lt_ident()); }

static const lt_api table = {
    .version = LT_API_VERSION,
    .size = sizeof(lt_api),
    .now = lt_now,
    .lock_acquire = lock_acquire,
    .lock_wait = lock_wait,
    .lock_release = lock_release,
    .lock_is_held = lock_is_held,
    .rlock_acquire = rlock_acquire,
    .rlock_wait = rlock_wait,
    .rlock_release = rlock_release,
    .rlock_is_held = rlock_is_held,
    .rlock_count = rlock_count,
};

const lt_api *lt_get_api(void) { return &table; }
