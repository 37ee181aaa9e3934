/* To be preloaded: every new thread takes a while to begin, and another while to make
 * itself known to Python (in the middle of which that calls pthread_setspecific()); the
 * process takes longer than the first to end, once the interpreter is gone.
 *
 * In the environment,
 *   SLOW_THREADS_BEGIN=last      a new thread begins only when the interpreter is gone;
 *   SLOW_THREADS_STATES=guarded  what it allocates before it has made itself known, which
 *                                is its Python thread state, gets a page of its own that
 *                                cannot be touched any more when it has been freed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP_US = 20000, STEPS = 15, PAGES = 4096 };

static _Thread_local int is_new;

/* ---- memory ---- */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static char *pages;
static size_t page_size;
static atomic_int used;

static int is_set(const char *name, const char *value) {
    const char *is = getenv(name);
    return is != NULL && strcmp(is, value) == 0;
}

__attribute__((constructor)) static void reserve(void) {
    if (is_set("SLOW_THREADS_STATES", "guarded")) {
        page_size = (size_t)sysconf(_SC_PAGESIZE);
        pages = mmap(NULL, PAGES * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
}

static int is_page(void *memory) {
    char *byte = memory;
    return pages != NULL && byte >= pages && byte < pages + PAGES * page_size;
}

static void *new_page(size_t size) {
    int number = size > page_size ? PAGES : atomic_fetch_add(&used, 1);
    if (number >= PAGES) {
        return __libc_calloc(1, size);
    }
    char *page = pages + (size_t)number * page_size;
    mprotect(page, page_size, PROT_READ | PROT_WRITE);
    return page;
}

void *malloc(size_t size) {
    return is_new && pages != NULL ? new_page(size) : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return is_new && pages != NULL ? new_page(n * size) : __libc_calloc(n, size);
}

void free(void *memory) {
    if (is_page(memory)) {
        mprotect(memory, page_size, PROT_NONE);
    } else {
        __libc_free(memory);
    }
}

void *realloc(void *memory, size_t size) {
    if (!is_page(memory)) {
        return __libc_realloc(memory, size);
    }
    void *other = __libc_malloc(size);
    memcpy(other, memory, size < page_size ? size : page_size);
    free(memory);
    return other;
}

/* ---- threads ---- */

static atomic_int is_gone; /* the interpreter */

typedef struct {
    void *(*entry)(void *);
    void *arg;
    int steps;
} beginning;

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
    if (is_set("SLOW_THREADS_BEGIN", "last")) {
        while (!atomic_load(&is_gone)) {
            usleep(1000);
        }
    } else {
        usleep((useconds_t)(b.steps * STEP_US));
    }
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

__attribute__((destructor)) static void end(void) {
    atomic_store(&is_gone, 1);
    usleep(STEP_US * (STEPS + 5));
}
