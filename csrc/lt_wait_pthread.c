/* lt_wait over hashed mutexes and conditions: every POSIX system that has no
 * call like Linux's futex.  The contract is in lt_wait.h. */
#include "lt_wait.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const char *const lt_wait_name = "pthread";

/* A signal handler cannot end pthread_cond_wait(), so a thread that has to
 * react to signals must look by itself: 50 times a second. */
const int64_t lt_wait_longest_ns = 20 * LT_NS_PER_MS;

/* Words that hash alike share a condition, which is why lt_wake() has to wake
 * them all and each looks at its own word again.  A prime, and below 64: a fork
 * holds all the mutexes, and ThreadSanitizer cannot follow more at once. */
enum { BUCKETS = 61 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} buckets[BUCKETS];

static int init_error;

static void set_up(void);

int lt_wait_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
    return init_error;
}

static void check(int error, const char *what) {
    if (error != 0) {
        errno = error;
        perror(what);
        abort();
    }
}

static void make_conditions(void) {
    pthread_condattr_t attr;
    check(pthread_condattr_init(&attr), "lowthread: condition");
#ifndef __APPLE__ /* has no such call; its relative waits are monotonic */
    check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "lowthread: clock");
#endif
    for (int i = 0; i < BUCKETS; i++) {
        check(pthread_cond_init(&buckets[i].changed, &attr), "lowthread: condition");
    }
    pthread_condattr_destroy(&attr);
}

static void before_fork(void) {
    (void)lt_wait_init(); /* by another thread, perhaps: see all that it did */
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_lock(&buckets[i].mutex);
    }
}

static void after_fork_in_parent(void) {
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_unlock(&buckets[i].mutex);
    }
}

static void after_fork_in_child(void) {
    after_fork_in_parent();
    make_conditions(); /* those that waited on the old ones do not exist here */
}

static void set_up(void) {
    for (int i = 0; i < BUCKETS; i++) {
        check(pthread_mutex_init(&buckets[i].mutex, NULL), "lowthread: mutex");
    }
    make_conditions();
    init_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static size_t bucket_of(const lt_word *word) {
    uintptr_t a = (uintptr_t)word >> 3;
    return a % BUCKETS;
}

int64_t lt_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * LT_NS_PER_S + t.tv_nsec;
}

static int timed_wait(size_t i, int64_t deadline) {
#ifdef __APPLE__ /* not run by the authors */
    int64_t left = deadline - lt_now();
    struct timespec t = {0, 0};
    if (left > 0) {
        t.tv_sec = (time_t)(left / LT_NS_PER_S);
        t.tv_nsec = (long)(left % LT_NS_PER_S);
    }
    return pthread_cond_timedwait_relative_np(&buckets[i].changed, &buckets[i].mutex, &t);
#else
    if (deadline < 0) {
        deadline = 0;
    }
    struct timespec t = {.tv_sec = (time_t)(deadline / LT_NS_PER_S),
                         .tv_nsec = (long)(deadline % LT_NS_PER_S)};
    return pthread_cond_timedwait(&buckets[i].changed, &buckets[i].mutex, &t);
#endif
}

int lt_wait(lt_word *word, uint32_t expected, int64_t deadline) {
    (void)lt_wait_init(); /* without the handlers it can wait all the same */
    size_t i = bucket_of(word);
    int error = 0, cancel_state;
    /* A condition wait is a cancellation point and would leave the mutex held;
     * a futex wait is none.  Be the same. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pthread_mutex_lock(&buckets[i].mutex);
    /* Relaxed: a waker changes the word before it takes this mutex, so either
     * the change is seen here or the broadcast comes after the wait began. */
    if (atomic_load_explicit(word, memory_order_relaxed) == expected) {
        if (deadline == LT_FOREVER) {
            error = pthread_cond_wait(&buckets[i].changed, &buckets[i].mutex);
        } else {
            error = timed_wait(i, deadline);
        }
    }
    pthread_mutex_unlock(&buckets[i].mutex);
    pthread_setcancelstate(cancel_state, NULL);
    if (error == ETIMEDOUT) {
        return lt_now() >= deadline ? LT_EXPIRED : LT_WOKEN;
    }
    check(error, "lowthread: condition wait");
    return LT_WOKEN;
}

void lt_wake(lt_word *word, int n) {
    (void)n;
    (void)lt_wait_init();
    size_t i = bucket_of(word);
    /* Holding the mutex closes the gap between a waiter's look and its sleep. */
    pthread_mutex_lock(&buckets[i].mutex);
    pthread_cond_broadcast(&buckets[i].changed);
    pthread_mutex_unlock(&buckets[i].mutex);
}
