/* To be preloaded: every new thread takes a while to begin, and another while to make
 * itself known to Python (in the middle of which that calls pthread_setspecific()); the
 * process takes longer than the first to end, once the interpreter is gone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP_US = 20000, STEPS = 15 };

typedef struct {
    void *(*entry)(void *);
    void *arg;
    int steps;
} beginning;

static _Thread_local int is_new;

int pthread_setspecific(pthread_key_t key, const void *value) {
    int (*real)(pthread_key_t, const void *) =
        (int (*)(pthread_key_t, const void *))dlsym(RTLD_NEXT, "pthread_setspecific");
    if (is_new) {
        is_new = 0;
        usleep(5 * STEP_US);
    }
    return real(key, value);
}

static void *begin(void *arg) {
    beginning b = *(beginning *)arg;
    free(arg);
    usleep((useconds_t)(b.steps * STEP_US));
    is_new = 1;
    return b.entry(b.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *),
                   void *arg) {
    static atomic_int count;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    beginning *b = malloc(sizeof(*b));
    *b = (beginning){entry, arg, atomic_fetch_add(&count, 1) % STEPS};
    int error = real(thread, attr, begin, b);
    if (error != 0) {
        free(b);
    }
    return error;
}

__attribute__((destructor)) static void end(void) { usleep(STEP_US * (STEPS + 5)); }
