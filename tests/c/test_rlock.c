/* The re-entrant lock: its owner, and how often that one has it. */
#include "lt_rlock.h"
#include "lt_test.h"

#include <limits.h>

enum { THREADS = 6 };

static bool take(lt_rlock *r, int64_t ns) {
    int64_t since = lt_now();
    int64_t deadline = ns == LT_FOREVER ? LT_FOREVER : since + ns;
    for (;;) {
        int verdict = lt_rlock_acquire(r, since, deadline, NULL);
        if (verdict != LT_INTERRUPTED) {
            return verdict == LT_ACQUIRED;
        }
    }
}

static void restore(lt_rlock *r, unsigned long count) {
    acquire(&r->lock);
    lt_rlock_own(r, count, lt_ident());
}

static void the_owner_may_take_it_again(void) {
    lt_rlock r = {.owner = 0};
    CHECK(!lt_rlock_is_held(&r));
    for (unsigned long n = 1; n <= 5; n++) {
        CHECK(n % 2 == 0 ? lt_rlock_try(&r) == LT_ACQUIRED : take(&r, LT_FOREVER));
        CHECK(lt_rlock_count(&r) == n && lt_rlock_count_of(&r, lt_ident()) == n);
        CHECK(lt_rlock_owner(&r) == lt_ident() && lt_rlock_is_held(&r));
    }
    for (unsigned long n = 5; n-- > 0;) {
        CHECK(lt_rlock_release(&r) == LT_RELEASED);
        CHECK(lt_rlock_count(&r) == n);
        CHECK(lt_rlock_is_held(&r) == (n > 0));
    }
    CHECK(lt_rlock_owner(&r) == 0);
    CHECK(lt_rlock_release(&r) == LT_NOT_HELD);
    CHECK(lt_rlock_release_all(&r) == 0);
}

static void alone_it_is_the_same_lock(void) {
    lt_rlock r = {.owner = 0};
    CHECK(lt_rlock_try_as(&r, true) == LT_ACQUIRED);
    CHECK(lt_rlock_try_as(&r, true) == LT_ACQUIRED);
    CHECK(lt_rlock_try(&r) == LT_ACQUIRED);
    CHECK(lt_rlock_release_as(&r, true) == LT_RELEASED);
    CHECK(lt_rlock_release(&r) == LT_RELEASED);
    CHECK(lt_rlock_is_held(&r));
    CHECK(lt_rlock_release_as(&r, true) == LT_RELEASED);
    CHECK(lt_rlock_release_as(&r, true) == LT_NOT_HELD);
    CHECK(!lt_rlock_is_held(&r));
}

static void the_count_does_not_wrap(void) {
    lt_rlock r = {.owner = 0};
    restore(&r, ULONG_MAX);
    CHECK(lt_rlock_try(&r) == LT_OVERFLOW);
    CHECK(lt_rlock_acquire(&r, lt_now(), LT_FOREVER, NULL) == LT_OVERFLOW);
    CHECK(lt_rlock_count(&r) == ULONG_MAX);
    CHECK(lt_rlock_release(&r) == LT_RELEASED);
    CHECK(lt_rlock_release_all(&r) == ULONG_MAX - 1);
    CHECK(!lt_rlock_is_held(&r));
}

static lt_rlock shared;
static long counter; /* not atomic: a data race if the lock does not exclude */

static void *is_refused(void *arg) {
    (void)arg;
    CHECK(lt_rlock_try(&shared) == LT_TIMED_OUT);
    CHECK(!take(&shared, 5 * MS));
    CHECK(lt_rlock_release(&shared) == LT_NOT_HELD);
    CHECK(lt_rlock_release_all(&shared) == 0);
    CHECK(lt_rlock_count_of(&shared, lt_ident()) == 0);
    CHECK(lt_rlock_count(&shared) == 2);
    return NULL;
}

static void others_cannot_release_it(void) {
    CHECK(take(&shared, LT_FOREVER) && take(&shared, LT_FOREVER));
    join(spawn(is_refused, NULL));
    CHECK(lt_rlock_release_all(&shared) == 2);
}

static void *counts(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < TIMES(10000); i++) {
        int depth = 1 + rand_r(&seed) % 3;
        for (int d = 0; d < depth; d++) {
            CHECK(take(&shared, LT_FOREVER));
        }
        counter++;
        if (rand_r(&seed) % 8 == 0) { /* as a Condition does */
            unsigned long count = lt_rlock_release_all(&shared);
            CHECK(count == (unsigned long)depth);
            restore(&shared, count);
            counter++;
            CHECK(lt_rlock_count(&shared) == count);
            counter--;
        }
        for (int d = 0; d < depth; d++) {
            CHECK(lt_rlock_release(&shared) == LT_RELEASED);
        }
    }
    return NULL;
}

static void only_one_has_it(void) {
    counter = 0;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = spawn(counts, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(counter == TIMES(10000L) * THREADS);
    CHECK(!lt_rlock_is_held(&shared));
}

static void *takes_and_goes(void *arg) {
    (void)arg;
    CHECK(take(&shared, LT_FOREVER));
    return NULL;
}

static void reset_frees(void) {
    join(spawn(takes_and_goes, NULL));
    CHECK(lt_rlock_is_held(&shared));
    lt_rlock_reset(&shared);
    CHECK(!lt_rlock_is_held(&shared));
    CHECK(lt_rlock_owner(&shared) == 0 && lt_rlock_count(&shared) == 0);
    CHECK(take(&shared, LT_FOREVER));
    CHECK(lt_rlock_release(&shared) == LT_RELEASED);
}

int main(void) {
    printf("test_rlock (%s)\n", lt_wait_name);
    CHECK(lt_core_init() == 0);
    RUN(the_owner_may_take_it_again);
    RUN(alone_it_is_the_same_lock);
    RUN(the_count_does_not_wrap);
    RUN(others_cannot_release_it);
    RUN(only_one_has_it);
    RUN(reset_frees);
    return 0;
}
