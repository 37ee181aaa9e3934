/* Preloaded: what lowthread's own library asks of the C library fails when it is told to. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int left;

/* From now on the n-th call fails, and no other; 0: none. */
void fail_at(int n);
void fail_at(int n) { atomic_store(&left, n); }

/* Whether it has failed. */
int has_failed(void);
int has_failed(void) { return atomic_load(&left) < 0; }

static int fails(const void *caller) {
    Dl_info info;
    if (atomic_load(&left) <= 0 || dladdr(caller, &info) == 0 || info.dli_fname == NULL ||
        strstr(info.dli_fname, "lowthread/_ffi") == NULL) {
        return 0;
    }
    int mine = atomic_fetch_sub(&left, 1);
    if (mine == 1) {
        atomic_store(&left, -1);
    }
    return mine == 1;
}

#define FAILS fails(__builtin_return_address(0))

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size) { return FAILS ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return FAILS ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return FAILS ? NULL : __libc_realloc(old, size); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg) {
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    return FAILS ? EAGAIN : next(thread, attr, f, arg);
}

int pthread_attr_init(pthread_attr_t *attr) {
    int (*next)(pthread_attr_t *) = dlsym(RTLD_NEXT, "pthread_attr_init");
    return FAILS ? ENOMEM : next(attr);
}

int pthread_setspecific(pthread_key_t key, const void *value) {
    int (*next)(pthread_key_t, const void *) = dlsym(RTLD_NEXT, "pthread_setspecific");
    return FAILS ? ENOMEM : next(key, value);
}
