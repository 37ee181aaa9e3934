/* To be preloaded: a thread that has asked for CPython's GIL in vain, and is told so for the
 * second time, takes a while to look again; the process takes longer to end, once the
 * interpreter is gone.  The first thread is not slowed down. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_US = 400000 };

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           const struct timespec *deadline) {
    static _Thread_local int calls;
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(
            RTLD_NEXT, "pthread_cond_timedwait");
    int error = real(cond, mutex, deadline);
    if (++calls == 2 && getpid() != syscall(SYS_gettid)) {
        pthread_mutex_unlock(mutex);
        usleep(PAUSE_US);
        pthread_mutex_lock(mutex);
    }
    return error;
}

__attribute__((destructor)) static void end(void) { usleep(2 * PAUSE_US); }
