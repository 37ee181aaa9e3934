"""A cffi module whose own thread and Python's threads share a lock of lowthread's."""

from cffi import FFI

import lowthread

ffi = FFI()
ffi.cdef("""
    int start(uintptr_t api, uintptr_t lock, long rounds);
    void add(void);
    long join(void);
""")
ffi.set_source(
    "_sharing",
    r"""
    #include <lowthread.h>

    #include <pthread.h>
    #include <sched.h>

    static const lt_api *lt;
    static lt_lock *lock;
    static long rounds;
    static pthread_t thread;
    static long total; /* guarded by the lock */

    /* With the lock. */
    static void add(void) {
        long before = total;
        sched_yield(); /* another thread could spoil it here, if it had not to wait */
        total = before + 1;
    }

    static void *count(void *unused) {
        for (long i = 0; i < rounds; i++) {
            lt->lock_acquire(lock, LT_FOREVER);
            add();
            lt->lock_release(lock);
        }
        return unused;
    }

    /* Starts a thread that Python does not know; 0, or an errno, or -1 for another version. */
    static int start(uintptr_t api, uintptr_t of_lock, long n) {
        lt = (const lt_api *)api;
        if (!lt_api_fits(lt)) {
            return -1;
        }
        lock = (lt_lock *)of_lock;
        rounds = n;
        return pthread_create(&thread, NULL, count, NULL);
    }

    static long join(void) {
        pthread_join(thread, NULL);
        return total;
    }
    """,
    include_dirs=[lowthread.get_include()],
    extra_compile_args=["-pthread"],
    extra_link_args=["-pthread"],
)
