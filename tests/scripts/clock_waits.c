/* Waits for a lock and for a thread while clock_jumps.c, which is preloaded, sets the wall
 * clock by as many seconds as the argument says.  Prints how long that took, in ms by a clock
 * that is never set, and how many of the waits were on the wall clock. */
#define _GNU_SOURCE
#include "lt_handle.h"
#include "lt_lock.h"
#include "lt_thread.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static lt_lock held;
static int jump;
static void (*shift_clock)(int);
static long (*on_wall_clock)(void), (*on_monotonic)(void);

static int64_t true_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec * LT_NS_PER_S + t.tv_nsec;
}

static long waits(void) { return on_wall_clock() + on_monotonic(); }

/* Sets the clock as soon as somebody waits. */
static void *jumps(void *arg) {
    long before = (long)(intptr_t)arg;
    while (waits() == before) {
        usleep(1000);
    }
    usleep(20000); /* it is in the middle of that */
    shift_clock(jump);
    return NULL;
}

static void *sleeps(void *unused) {
    (void)lt_lock_acquire(&held, lt_now(), LT_FOREVER, NULL);
    return unused;
}

static int wait_for_lock(int64_t since, int64_t deadline) {
    return lt_lock_acquire(&held, since, deadline, NULL);
}

static lt_handle *thread;

static int wait_for_thread(int64_t since, int64_t deadline) {
    return lt_handle_join(thread, since, deadline, NULL);
}

static void measure(const char *name, int (*wait)(int64_t, int64_t)) {
    uintptr_t ident;
    shift_clock(0);
    lt_thread_start(jumps, (void *)(intptr_t)waits(), &(lt_how){.handle = NULL}, &ident);
    int64_t begin = true_now(), since = lt_now(), deadline = since + 200 * LT_NS_PER_MS;
    int verdict;
    do {
        verdict = wait(since, deadline);
    } while (verdict == LT_INTERRUPTED);
    printf("%s %d %lld\n", name, verdict == LT_TIMED_OUT,
           (long long)((true_now() - begin) / LT_NS_PER_MS));
}

int main(int argc, char **argv) {
    if (argc != 2 || lt_core_init() != 0) {
        return 2;
    }
    jump = atoi(argv[1]);
    shift_clock = (void (*)(int))dlsym(RTLD_DEFAULT, "shift_clock");
    on_wall_clock = (long (*)(void))dlsym(RTLD_DEFAULT, "waits_on_the_wall_clock");
    on_monotonic = (long (*)(void))dlsym(RTLD_DEFAULT, "waits_on_the_monotonic_clock");
    (void)lt_lock_try(&held);
    thread = lt_handle_new();
    uintptr_t ident;
    lt_thread_start(sleeps, NULL, &(lt_how){.handle = thread}, &ident);
    measure("lock", wait_for_lock);
    measure("thread", wait_for_thread);
    printf("wall %ld monotonic %ld\n", on_wall_clock(), on_monotonic());
    fflush(stdout);
    _exit(0);
}
