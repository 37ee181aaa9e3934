/* The contract of lt_wait.h, on whichever implementation is linked. */
#include "lt_test.h"

#include <signal.h>
#include <sys/mman.h>

static void waits_while_the_word_is_as_expected(void) {
    lt_word word = 7;
    CHECK(lt_wait(&word, 8, LT_FOREVER) == LT_WOKEN); /* it is not: at once */
    int64_t begin = lt_now();
    int why;
    do {
        why = lt_wait(&word, 7, begin + 20 * MS);
    } while (why != LT_EXPIRED);
    CHECK(lt_now() - begin >= 20 * MS);
}

static void a_deadline_in_the_past_expires_at_once(void) {
    lt_word word = 0;
    CHECK(lt_wait(&word, 0, lt_now() - MS) == LT_EXPIRED);
    CHECK(lt_wait(&word, 0, 0) == LT_EXPIRED);
    CHECK(lt_wait(&word, 0, -5 * LT_NS_PER_S) == LT_EXPIRED);
    CHECK(lt_wait(&word, 0, INT64_MIN) == LT_EXPIRED);
}

static lt_word ball;

static void *plays(void *arg) {
    uint32_t mine = arg != NULL;
    for (int i = 0; i < TIMES(5000); i++) {
        while (atomic_load_explicit(&ball, memory_order_acquire) != mine) {
            (void)lt_wait(&ball, !mine, LT_FOREVER);
        }
        atomic_store_explicit(&ball, !mine, memory_order_release);
        lt_wake(&ball, 1);
    }
    return NULL;
}

static void no_wake_is_lost(void) {
    pthread_t a = spawn(plays, NULL), b = spawn(plays, &ball);
    join(a);
    join(b);
}

static lt_word many;
static atomic_int woken;

static void *waits_for_many(void *arg) {
    (void)arg;
    while (atomic_load(&many) == 0) {
        /* A far deadline takes another road through the pthread version. */
        (void)lt_wait(&many, 0, arg ? lt_now() + 3600 * LT_NS_PER_S : LT_FOREVER);
    }
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static void one_wake_can_wake_all(void) {
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        threads[i] = spawn(waits_for_many, i % 2 ? &many : NULL);
    }
    sleep_ms(20);
    CHECK(atomic_load(&woken) == 0);
    atomic_store(&many, 1);
    lt_wake(&many, 8);
    for (size_t i = 0; i < 8; i++) {
        join(threads[i]);
    }
}

static void a_wake_of_a_word_that_is_gone_does_no_harm(void) {
    size_t size = 1 << 16;
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    CHECK(munmap(page, size) == 0);
    lt_wake(page, 1);
}

static atomic_int handled;
static atomic_bool ended;
static lt_word never;

static void on_signal(int signum) {
    (void)signum;
    atomic_fetch_add(&handled, 1);
}

static void *signalled(void *arg) {
    int64_t deadline = arg ? lt_now() + 60 * LT_NS_PER_S : LT_FOREVER;
    int why;
    while ((why = lt_wait(&never, 0, deadline)) == LT_WOKEN) {
    }
    CHECK(why == LT_SIGNAL);
    atomic_store(&ended, true);
    sleep_ms(1); /* ThreadSanitizer runs handlers only at calls that it knows */
    return NULL;
}

/* Also with SA_RESTART: Linux restarts only a wait without a deadline then. */
static void a_signal_ends_a_wait(void) {
    if (strcmp(lt_wait_name, "futex") != 0) {
        CHECK(lt_wait_longest_ns <= 20 * MS); /* cannot: so must look often */
        return;
    }
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
        sigaction(SIGUSR1, &action, NULL);
        pthread_t thread = spawn(signalled, restart ? &never : NULL);
        atomic_store(&handled, 0);
        atomic_store(&ended, false);
        while (!atomic_load(&ended)) { /* one may come before the wait */
            sleep_ms(5);
            pthread_kill(thread, SIGUSR1);
        }
        join(thread);
        CHECK(atomic_load(&handled) > 0);
    }
}

int main(void) {
    printf("test_wait (%s)\n", lt_wait_name);
    RUN(waits_while_the_word_is_as_expected);
    RUN(a_deadline_in_the_past_expires_at_once);
    RUN(no_wake_is_lost);
    RUN(one_wake_can_wake_all);
    RUN(a_wake_of_a_word_that_is_gone_does_no_harm);
    RUN(a_signal_ends_a_wait);
    return 0;
}
