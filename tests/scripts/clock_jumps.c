/* To be preloaded: shift_clock() sets the wall clock, for this process alone.
 *
 * Waits on the wall clock notice, as they would if the machine's were set.  Those that are
 * called from a file whose name contains what the environment's CLOCK_WATCHED says are
 * counted, and so are its waits on the monotonic clock.  Other files' waits do not notice: PyPy
 * waits for its own GIL on the wall clock, and stalls when that is set back.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define S INT64_C(1000000000)
enum { PIECE_NS = 5000000 };

static _Atomic int64_t shift;
static atomic_long on_wall_clock, on_monotonic;

void shift_clock(int seconds) { atomic_store(&shift, seconds * S); }
long waits_on_the_wall_clock(void) { return atomic_load(&on_wall_clock); }
long waits_on_the_monotonic_clock(void) { return atomic_load(&on_monotonic); }

static void *find(const char *name) {
    /* The newer of two versions on x86-64, where dlsym() may find the older. */
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    return found != NULL ? found : dlsym(RTLD_NEXT, name);
}

/* What the C library has under a name; looked up once. */
#define real(name)                            \
    ({                                        \
        static _Atomic(void *) found;         \
        if (atomic_load(&found) == NULL) {    \
            atomic_store(&found, find(name)); \
        }                                     \
        atomic_load(&found);                  \
    })

static int64_t in_ns(const struct timespec *t) { return t->tv_sec * S + t->tv_nsec; }

static struct timespec in_s(int64_t ns) {
    ns = ns < 0 ? 0 : ns;
    return (struct timespec){.tv_sec = ns / S, .tv_nsec = ns % S};
}

static int64_t real_now(void) {
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return in_ns(&t);
}

/* ---- to tell the time ---- */

static int64_t now(void) { return real_now() + atomic_load(&shift); }

int clock_gettime(clockid_t clock, struct timespec *t) {
    int (*next)(clockid_t, struct timespec *) = real("clock_gettime");
    int error = next(clock, t);
    if (error == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        *t = in_s(in_ns(t) + atomic_load(&shift));
    }
    return error;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    int64_t ns = now();
    *t = (struct timeval){.tv_sec = ns / S, .tv_usec = ns % S / 1000};
    return 0;
}

time_t time(time_t *t) {
    time_t s = now() / S;
    if (t != NULL) {
        *t = s;
    }
    return s;
}

/* ---- to wait ---- */

static int is_watched(void *caller) {
    const char *watched = getenv("CLOCK_WATCHED");
    Dl_info info;
    return watched != NULL && dladdr(caller, &info) != 0 && info.dli_fname != NULL &&
           strstr(info.dli_fname, watched) != NULL;
}

/* Returns whether this wait is to notice that the clock is set. */
static int note(void *caller, clockid_t clock) {
    int watched = is_watched(caller);
    if (watched) {
        atomic_fetch_add(clock == CLOCK_MONOTONIC ? &on_monotonic : &on_wall_clock, 1);
    }
    return watched;
}

/* One wait, on the real wall clock; 0 or an errno. */
typedef int piece(void *what, const struct timespec *deadline);

/* The wall clock may be set meanwhile: look often. */
static int wait_on_wall_clock(piece *wait, void *what, const struct timespec *deadline,
                              int notices) {
    int64_t first = atomic_load(&shift);
    for (;;) {
        int64_t left = in_ns(deadline) - (notices ? now() : real_now() + first);
        if (!notices && left > 600 * S) {
            return ETIMEDOUT; /* it was set between the caller's look at it and this */
        }
        if (left <= 0) {
            return ETIMEDOUT;
        }
        struct timespec until = in_s(real_now() + (left < PIECE_NS ? left : PIECE_NS));
        int error = wait(what, &until);
        if (error != ETIMEDOUT) {
            return error;
        }
    }
}

/* Conditions on the monotonic clock; the rest are on the wall clock. */
enum { CONDITIONS = 4096 };
static _Atomic(pthread_cond_t *) monotonic[CONDITIONS];
static atomic_int conditions;

int pthread_cond_init(pthread_cond_t *restrict cond, const pthread_condattr_t *restrict attr) {
    int (*next)(pthread_cond_t *, const pthread_condattr_t *) = real("pthread_cond_init");
    clockid_t clock = CLOCK_REALTIME;
    if (attr != NULL) {
        pthread_condattr_getclock(attr, &clock);
    }
    if (clock == CLOCK_MONOTONIC) {
        int i = atomic_fetch_add(&conditions, 1);
        if (i >= CONDITIONS) {
            abort();
        }
        atomic_store(&monotonic[i], cond);
    }
    return next(cond, attr);
}

static int is_monotonic(pthread_cond_t *cond) {
    for (int i = 0; i < atomic_load(&conditions); i++) {
        if (atomic_load(&monotonic[i]) == cond) {
            return 1;
        }
    }
    return 0;
}

typedef int cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

typedef struct {
    pthread_cond_t *cond;
    pthread_mutex_t *mutex;
} cond_wait;

static int wait_for_cond(void *what, const struct timespec *deadline) {
    cond_wait *w = what;
    cond_timedwait *next = real("pthread_cond_timedwait");
    return next(w->cond, w->mutex, deadline);
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    cond_timedwait *next = real("pthread_cond_timedwait");
    clockid_t clock = is_monotonic(cond) ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    int notices = note(__builtin_return_address(0), clock);
    if (clock == CLOCK_MONOTONIC) {
        return next(cond, mutex, deadline);
    }
    return wait_on_wall_clock(wait_for_cond, &(cond_wait){cond, mutex}, deadline, notices);
}

static int wait_for_sem(void *what, const struct timespec *deadline) {
    int (*next)(sem_t *, const struct timespec *) = real("sem_timedwait");
    return next(what, deadline) == 0 ? 0 : errno;
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline) {
    int notices = note(__builtin_return_address(0), CLOCK_REALTIME);
    int error = wait_on_wall_clock(wait_for_sem, sem, deadline, notices);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* Those below are not waited with here: to be seen is enough. */

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex,
                            const struct timespec *restrict deadline) {
    int (*next)(pthread_mutex_t *, const struct timespec *) = real("pthread_mutex_timedlock");
    note(__builtin_return_address(0), CLOCK_REALTIME);
    return next(mutex, deadline);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *t, struct timespec *left) {
    int (*next)(clockid_t, int, const struct timespec *, struct timespec *) =
        real("clock_nanosleep");
    note(__builtin_return_address(0), flags & TIMER_ABSTIME ? clock : CLOCK_MONOTONIC);
    return next(clock, flags, t, left);
}

typedef struct {
    long number, a[6];
} call;

typedef long raw_call(long, ...);

static long do_call(const call *c) {
    raw_call *next = real("syscall");
    return next(c->number, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);
}

static int wait_for_futex(void *what, const struct timespec *deadline) {
    call c = *(call *)what;
    c.a[3] = (long)deadline;
    return do_call(&c) == -1 ? errno : 0;
}

long syscall(long number, ...) {
    call c = {.number = number};
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) {
        c.a[i] = va_arg(rest, long);
    }
    va_end(rest);
    int waits = 0;
    clockid_t clock = CLOCK_MONOTONIC;
    if (number == SYS_futex) {
        int operation = (int)c.a[1] & FUTEX_CMD_MASK;
        waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET ||
                operation == FUTEX_LOCK_PI;
        if (c.a[1] & FUTEX_CLOCK_REALTIME || operation == FUTEX_LOCK_PI) {
            clock = CLOCK_REALTIME;
        }
    }
    if (waits && c.a[3] != 0) {
        int notices = note(__builtin_return_address(0), clock);
        if (clock == CLOCK_REALTIME) {
            int error = wait_on_wall_clock(wait_for_futex, &c, (struct timespec *)c.a[3], notices);
            errno = error;
            return error == 0 ? 0 : -1;
        }
    }
    return do_call(&c);
}
