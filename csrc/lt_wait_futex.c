/* lt_wait over Linux futexes.  The contract is in lt_wait.h. */
#include "lt_wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/posix_types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

const char *const lt_wait_name = "futex";

/* A signal ends the system call, so this only bounds what is lost when one
 * arrives in the instants between the caller's last look and the call. */
const int64_t lt_wait_longest_ns = LT_NS_PER_S;

/* The time as the system call reads it, which on 32-bit systems need not be
 * the C library's struct timespec: that may have 64-bit seconds while SYS_futex
 * still takes 32.  32-bit architectures from 2020 on have only the new call. */
#ifdef SYS_futex
typedef struct {
    __kernel_long_t sec;
    __kernel_long_t nsec;
} kernel_time;
#define LT_SYS_FUTEX SYS_futex
#else
typedef struct {
    int64_t sec;
    int64_t nsec;
} kernel_time;
#define LT_SYS_FUTEX SYS_futex_time64
#endif

int64_t lt_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * LT_NS_PER_S + t.tv_nsec;
}

_Noreturn static void futex_failed(const char *what) {
    perror(what); /* EFAULT, EINVAL or ENOSYS: no lock can work any more */
    abort();
}

int lt_wait(lt_word *word, uint32_t expected, int64_t deadline) {
    kernel_time until, *when = NULL;
    if (deadline != LT_FOREVER) {
        if (deadline < 0) {
            deadline = 0;
        }
        int64_t sec = deadline / LT_NS_PER_S;
        if (sizeof(until.sec) < 8 && sec > INT32_MAX) {
            sec = INT32_MAX; /* 68 years after boot; the caller looks again */
        }
        until.sec = (__typeof__(until.sec))sec;
        until.nsec = (__typeof__(until.nsec))(deadline % LT_NS_PER_S);
        when = &until;
    }
    /* WAIT_BITSET rather than WAIT: it takes an absolute monotonic time. */
    long r = syscall(LT_SYS_FUTEX, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, when,
                     NULL, FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN) {
        return LT_WOKEN;
    }
    if (errno == ETIMEDOUT) {
        return lt_now() >= deadline ? LT_EXPIRED : LT_WOKEN;
    }
    if (errno == EINTR) {
        return LT_SIGNAL;
    }
    futex_failed("lowthread: futex wait");
}

int lt_wait_init(void) { return 0; }

void lt_wake(lt_word *word, int n) {
    /* EFAULT is no error here: the page may be gone, see the contract. */
    if (syscall(LT_SYS_FUTEX, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0) < 0 &&
        errno != EFAULT) {
        futex_failed("lowthread: futex wake");
    }
}
