/* A test harness of one page: CHECK, threads, and a watchdog. */
#ifndef LT_TEST_H
#define LT_TEST_H

#define _GNU_SOURCE /* pthread_getattr_np() */

#include "lt_lock.h"
#include "lt_park.h"
#include "lt_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: in %s: not true: %s\n", __FILE__, __LINE__, __func__, \
                    #condition);                                                          \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

#define MS LT_NS_PER_MS

/* Where the programs run that many times slower (under valgrind), loops are as much shorter. */
#ifndef LT_TEST_SLOWNESS
#define LT_TEST_SLOWNESS 1
#endif
#define TIMES(n) ((n) / LT_TEST_SLOWNESS)

/* A stack that there is no address space for, also where a process may have half of it. */
#define TOO_LARGE (SIZE_MAX / 16 * 15)

static inline void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0) {
    }
}

static inline pthread_t spawn(void *(*f)(void *), void *arg) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, f, arg) == 0);
    return thread;
}

static inline void join(pthread_t thread) { CHECK(pthread_join(thread, NULL) == 0); }

/* As a caller with signal handlers would: again, from the same `since`. */
static inline bool acquire_within(lt_lock *lock, int64_t ns) {
    int64_t since = lt_now();
    int64_t deadline = ns == LT_FOREVER ? LT_FOREVER : since + ns;
    for (;;) {
        int verdict = lt_lock_acquire(lock, since, deadline, NULL);
        if (verdict != LT_INTERRUPTED) {
            return verdict == LT_ACQUIRED;
        }
    }
}

static inline void acquire(lt_lock *lock) { CHECK(acquire_within(lock, LT_FOREVER)); }
static inline void release(lt_lock *lock) { CHECK(lt_lock_release(lock) == LT_RELEASED); }

/* Waits until somebody sleeps for the lock: the word says so. */
static inline void until_waited_for(lt_lock *lock) {
    while (!(atomic_load(&lock->word) & LT_WAITERS)) {
        sleep_ms(1);
    }
    sleep_ms(5); /* between the queue and the sleep */
}

#define RUN(test)                                                                    \
    do {                                                                             \
        alarm(120 * LT_TEST_SLOWNESS); /* a hang dies of it; the last name is its */ \
        printf("  %s\n", #test);                                                     \
        fflush(stdout);                                                              \
        test();                                                                      \
    } while (0)

#endif
