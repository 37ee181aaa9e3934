/* Parking: notifications and interrupts that come before, during and after a sleep, and
 * what is done to avoid the sleep. */
#include "lt_test.h"

static bool is_asleep(lt_parker *parker) { return (atomic_load(&parker->word) & LT_ASLEEP) != 0; }

static lt_parker *_Atomic other; /* the other thread's */
static atomic_int parked;        /* what its lt_park() said, plus 1 */

static void *parks(void *deadline) {
    lt_parker own = {0}, *me = lt_parker_of(&own);
    CHECK(me == &own);
    atomic_store(&other, me);
    int why = lt_park(me, lt_now(), *(int64_t *)deadline);
    atomic_store(&parked, why + 1);
    return NULL;
}

static pthread_t park_another(int64_t *deadline) {
    atomic_store(&other, NULL);
    atomic_store(&parked, 0);
    pthread_t thread = spawn(parks, deadline);
    while (atomic_load(&other) == NULL || !is_asleep(atomic_load(&other))) {
        sleep_ms(1);
    }
    return thread;
}

static void one_that_sleeps_has_to_be_woken(void) {
    int64_t deadline = LT_FOREVER;
    pthread_t thread = park_another(&deadline);
    CHECK(lt_parker_notify(other));
    lt_parker_wake(other);
    join(thread);
    CHECK(parked == LT_WOKEN + 1);
}

static void one_that_is_awake_has_not(void) {
    lt_parker *me = lt_parker_of(NULL);
    CHECK(!lt_parker_notify(me));
    CHECK(!lt_parker_notify(me));
    CHECK(lt_park(me, lt_now(), LT_FOREVER) == LT_WOKEN); /* at once */
    lt_parker_forget(me);
    CHECK(lt_park(me, lt_now() - LT_NS_PER_S, lt_now() + 5 * MS) == LT_EXPIRED);
    CHECK(!is_asleep(me));
    CHECK(atomic_load(&me->word) == 0);
}

static void a_deadline_ends_the_sleep(void) {
    int64_t deadline = lt_now() + 50 * MS;
    join(spawn(parks, &deadline));
    CHECK(parked == LT_EXPIRED + 1);
    CHECK(lt_now() >= deadline);
}

static void an_interrupt_comes_before_a_notification(void) {
    lt_parker *me = lt_parker_of(NULL);
    lt_main_interrupt();
    lt_parker_notify(me);
    CHECK(lt_park(me, lt_now(), LT_FOREVER) == LT_SIGNAL);
    CHECK(lt_park(me, lt_now(), LT_FOREVER) == LT_WOKEN);
    lt_parker_forget(me);
}

static atomic_bool is_over;

static void *interrupts(void *main_parker) {
    while (!is_asleep(main_parker) && !atomic_load(&is_over)) {
    }
    lt_main_interrupt();
    return NULL;
}

static void an_interrupt_ends_the_main_threads_sleep(void) {
    for (int i = 0; i < TIMES(100); i++) {
        lt_parker *me = lt_parker_of(NULL);
        atomic_store(&is_over, false);
        pthread_t thread = spawn(interrupts, me);
        int64_t begin = lt_now();
        /* As long a nap as can be, so that it is seldom the next look that ends it. */
        CHECK(lt_park(me, begin - 20 * LT_NS_PER_S, LT_FOREVER) == LT_SIGNAL);
        atomic_store(&is_over, true);
        join(thread);
        (void)lt_park(me, begin, lt_now()); /* the interrupt, if a nap ended first */
    }
}

static void staying_awake_says_whether_it_was_in_time(void) {
    lt_parker *me = lt_parker_of(NULL);
    int64_t begin = lt_now();
    CHECK(!lt_parker_spin(me, LT_FOREVER, 0));
    CHECK(lt_now() > begin);
    CHECK(!lt_parker_spin(me, lt_now(), 0)); /* too near a deadline */
    lt_parker_notify(me);
    CHECK(lt_parker_spin(me, LT_FOREVER, 0));
    begin = lt_now();
    CHECK(lt_parker_spin(me, LT_FOREVER, MS)); /* and then lets it settle */
    CHECK(lt_now() - begin >= MS);
    CHECK(lt_park(me, lt_now(), LT_FOREVER) == LT_WOKEN);
    lt_parker_forget(me);
    lt_main_interrupt();
    begin = lt_now();
    CHECK(lt_parker_spin(me, LT_FOREVER, 60 * LT_NS_PER_S));
    CHECK(lt_now() - begin < 60 * LT_NS_PER_S); /* no settling for that */
    CHECK(lt_park(me, lt_now(), LT_FOREVER) == LT_SIGNAL);
}

/* Two threads that notify each other in turn, with all ways to wait mixed: a lost
 * notification is a hang. */
static lt_parker *_Atomic sides[2];
static lt_word turn;
enum { ROUNDS = TIMES(20000) };

static void *plays(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg, seed = me + 1;
    lt_parker own = {0}, *mine = lt_parker_of(&own);
    atomic_store(&sides[me], mine);
    while (atomic_load(&sides[1 - me]) == NULL) {
    }
    for (int i = 0; i < ROUNDS; i++) {
        while (atomic_load(&turn) != me) {
            if (rand_r(&seed) % 2 == 0) {
                lt_parker_spin(mine, LT_FOREVER, rand_r(&seed) % 2 * 500);
            }
            int64_t now = lt_now();
            (void)lt_park(mine, now,
                          rand_r(&seed) % 4 == 0 ? now + rand_r(&seed) % 50000 : LT_FOREVER);
            lt_parker_forget(mine);
        }
        atomic_store(&turn, 1 - me);
        if (i == ROUNDS - 1 && me == 1) {
            break; /* the other one has ended */
        }
        lt_parker *next = atomic_load(&sides[1 - me]);
        if (lt_parker_notify(next)) {
            lt_parker_wake(next);
        }
    }
    return NULL;
}

static void no_notification_is_lost(void) {
    pthread_t threads[2] = {spawn(plays, (void *)0), spawn(plays, (void *)1)};
    join(threads[0]);
    join(threads[1]);
}

int main(void) {
    printf("test_park (%s)\n", lt_wait_name);
    CHECK(lt_core_init() == 0);
    lt_main_here();
    RUN(one_that_sleeps_has_to_be_woken);
    RUN(one_that_is_awake_has_not);
    RUN(a_deadline_ends_the_sleep);
    RUN(an_interrupt_comes_before_a_notification);
    RUN(an_interrupt_ends_the_main_threads_sleep);
    RUN(staying_awake_says_whether_it_was_in_time);
    RUN(no_notification_is_lost);
    return 0;
}
