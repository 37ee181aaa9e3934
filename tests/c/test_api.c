/* The table for native code of others: what its functions return, and that they share. */
#include "lt_api.h"
#include "lt_rlock.h"
#include "lt_test.h"

enum { THREADS = 4, ROUNDS = 20000 };

static const lt_api *api;

static void it_tells_its_version(void) {
    CHECK(api->version == LT_API_VERSION && api->size == sizeof(lt_api));
    CHECK(lt_api_fits(api) && !lt_api_fits(NULL));
    lt_api older = *api, newer = *api, other = *api;
    older.size -= 8;
    newer.size += 8;
    other.version++;
    CHECK(!lt_api_fits(&older) && lt_api_fits(&newer) && !lt_api_fits(&other));
}

static void the_lock_is_the_core_s(void) {
    lt_lock lock = {0};
    CHECK(!api->lock_is_held(&lock));
    CHECK(api->lock_acquire(&lock, 0) == LT_ACQUIRED);
    CHECK(api->lock_is_held(&lock) && lt_lock_is_held(&lock));
    CHECK(api->lock_acquire(&lock, 0) == LT_TIMED_OUT);
    int64_t begin = api->now();
    CHECK(api->lock_acquire(&lock, begin + 20 * MS) == LT_TIMED_OUT);
    CHECK(api->now() - begin >= 20 * MS);
    CHECK(api->lock_release(&lock) == LT_RELEASED);
    CHECK(api->lock_release(&lock) == LT_NOT_HELD);
    CHECK(lt_lock_try(&lock));
    release(&lock);
}

static int wait_once(lt_lock *lock, lt_rlock *r, int64_t since, int64_t deadline) {
    return r == NULL ? api->lock_wait(lock, since, deadline) : api->rlock_wait(r, since, deadline);
}

static void *take_both(void *arg) {
    lt_rlock *r = arg;
    CHECK(api->rlock_acquire(r, LT_FOREVER) == LT_ACQUIRED);
    return NULL;
}

static void a_wait_tells_of_signals(void) {
    lt_lock lock = {0};
    lt_rlock r = {.owner = 0};
    CHECK(api->lock_wait(&lock, api->now(), 0) == LT_ACQUIRED);
    join(spawn(take_both, &r));
    for (int i = 0; i < 2; i++) {
        lt_rlock *which = i == 0 ? NULL : &r;
        int64_t since = api->now(), deadline = since + 20 * MS;
        lt_main_interrupt();
        CHECK(wait_once(&lock, which, since, deadline + 100000 * MS) == LT_INTERRUPTED);
        int verdict;
        while ((verdict = wait_once(&lock, which, since, deadline)) == LT_INTERRUPTED) {
        }
        CHECK(verdict == LT_TIMED_OUT && api->now() >= deadline);
        lt_main_interrupt();
        deadline = api->now() + 20 * MS;
        CHECK((i == 0 ? api->lock_acquire(&lock, deadline) : api->rlock_acquire(&r, deadline)) ==
              LT_TIMED_OUT);
        CHECK(api->now() >= deadline);
    }
}

static void *is_not_the_owner(void *arg) {
    lt_rlock *r = arg;
    CHECK(api->rlock_count(r) == 0 && api->rlock_is_held(r));
    CHECK(api->rlock_acquire(r, 0) == LT_TIMED_OUT);
    CHECK(api->rlock_release(r) == LT_NOT_HELD);
    return NULL;
}

static void the_rlock_is_its_owner_s(void) {
    lt_rlock r = {.owner = 0};
    CHECK(api->rlock_release(&r) == LT_NOT_HELD);
    CHECK(api->rlock_acquire(&r, LT_FOREVER) == LT_ACQUIRED);
    CHECK(api->rlock_acquire(&r, 0) == LT_ACQUIRED);
    CHECK(api->rlock_count(&r) == 2 && api->rlock_is_held(&r));
    join(spawn(is_not_the_owner, &r));
    lt_rlock_own(&r, (unsigned long)-1, lt_ident());
    CHECK(api->rlock_acquire(&r, 0) == LT_OVERFLOW);
    lt_rlock_own(&r, 1, lt_ident());
    CHECK(api->rlock_release(&r) == LT_RELEASED);
    CHECK(api->rlock_count(&r) == 0 && !api->rlock_is_held(&r));
}

typedef struct {
    lt_lock lock;
    lt_rlock rlock;
    long locked, twice_locked; /* plain: a data race if the locks do not keep threads apart */
} shared;

static void *work(void *arg) {
    shared *s = arg;
    for (int i = 0; i < TIMES(ROUNDS); i++) {
        CHECK(api->lock_acquire(&s->lock, LT_FOREVER) == LT_ACQUIRED);
        s->locked++;
        CHECK(api->lock_release(&s->lock) == LT_RELEASED);
        CHECK(api->rlock_acquire(&s->rlock, LT_FOREVER) == LT_ACQUIRED);
        CHECK(api->rlock_acquire(&s->rlock, LT_FOREVER) == LT_ACQUIRED);
        s->twice_locked++;
        CHECK(api->rlock_release(&s->rlock) == LT_RELEASED);
        CHECK(api->rlock_release(&s->rlock) == LT_RELEASED);
    }
    return NULL;
}

static void threads_are_kept_apart(void) {
    shared s = {.locked = 0};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = spawn(work, &s);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(s.locked == THREADS * TIMES(ROUNDS) && s.twice_locked == s.locked);
}

int main(void) {
    api = lt_get_api();
    lt_main_here();
    RUN(it_tells_its_version);
    RUN(the_lock_is_the_core_s);
    RUN(a_wait_tells_of_signals);
    RUN(the_rlock_is_its_owner_s);
    RUN(threads_are_kept_apart);
    return 0;
}
