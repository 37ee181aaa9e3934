/* To be preloaded.  While or after keep_gil() is called with the GIL, a thread that asks for
 * that in vain takes a while to look again, the second time: SLOW_GIL_MS of the environment, or
 * 400.  The process takes longer to end, once the interpreter is gone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static unsigned pause_us(void) {
    const char *ms = getenv("SLOW_GIL_MS");
    return 1000 * (ms != NULL ? (unsigned)atoi(ms) : 400);
}

static atomic_int is_kept;

void keep_gil(unsigned us) {
    atomic_store(&is_kept, 1);
    usleep(us);
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                           const struct timespec *deadline) {
    static _Thread_local int calls;
    static const char name[] = "pthread_cond_timedwait";
    /* The second of its versions on x86-64, where dlsym() may find the first. */
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
    }
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))found;
    int error = real(cond, mutex, deadline);
    if (atomic_load(&is_kept) && ++calls == 2) {
        pthread_mutex_unlock(mutex);
        usleep(pause_us());
        pthread_mutex_lock(mutex);
    }
    return error;
}

__attribute__((destructor)) static void end(void) { usleep(2 * pause_us()); }
