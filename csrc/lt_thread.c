/* Threads as the system has them.  What each function promises is in
 * lt_thread.h. */
#define _GNU_SOURCE /* pthread_setname_np() */

#include "lt_thread.h"

#include "lt_handle.h"
#include "lt_lock.h"
#include "lt_park.h"
#include "lt_record.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/stat.h>
#include <sys/syscall.h>
#elif defined(__FreeBSD__) || defined(__FreeBSD_kernel__)
#include <pthread_np.h>
#elif defined(__OpenBSD__)
#include <pthread_np.h>
#elif defined(__NetBSD__)
#include <lwp.h>
#elif defined(__DragonFly__)
#include <sys/lwp.h>
#elif defined(_AIX)
#include <sys/thread.h>
#endif

/* ---- who is who ---- */

/* The one place where the system's own call is chosen.  Run by the authors:
 * Linux.  The others are written from the systems' manuals. */
int64_t lt_native_id(void) {
#if defined(__linux__)
    return syscall(SYS_gettid);
#elif defined(__APPLE__)
    uint64_t id = 0;
    return pthread_threadid_np(NULL, &id) == 0 ? (int64_t)id : -1;
#elif defined(__FreeBSD__) || defined(__FreeBSD_kernel__)
    return pthread_getthreadid_np();
#elif defined(__OpenBSD__)
    return getthrid();
#elif defined(__NetBSD__)
    return _lwp_self();
#elif defined(__DragonFly__)
    return lwp_gettid();
#elif defined(_AIX)
    return thread_self();
#else
    return -1;
#endif
}

bool lt_is_first_thread(void) {
#if defined(__linux__)
    return getpid() == (pid_t)syscall(SYS_gettid);
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__)
    return pthread_main_np() == 1;
#else
    return false;
#endif
}

static atomic_long helpers;

/* Relaxed: who counts a helper before it has said so takes it for another thread. */
void lt_helper_begin(void) { atomic_fetch_add_explicit(&helpers, 1, memory_order_relaxed); }

long lt_thread_count(void) {
#if defined(__linux__)
    /* A folder has a link for its name, one for its own ".", and one for the ".." of each
     * folder in it; here, these are the threads. */
    struct stat threads;
    return stat("/proc/self/task", &threads) != 0
               ? 0
               : (long)threads.st_nlink - 2 - atomic_load_explicit(&helpers, memory_order_relaxed);
#else
    return 0;
#endif
}

/* ---- names ---- */

/* The lengths are those of CPython 3.14's configure.  Run by the authors: Linux. */
#if defined(__linux__)
const int lt_name_max = 15;
#elif defined(__APPLE__)
const int lt_name_max = 63;
#elif defined(__FreeBSD__) || defined(__FreeBSD_kernel__)
const int lt_name_max = 19;
#elif defined(__NetBSD__)
const int lt_name_max = 31;
#elif defined(__OpenBSD__)
const int lt_name_max = 23;
#else
const int lt_name_max = -1;
#endif

int lt_set_name(const char *name) {
#if defined(__linux__)
    return pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
    return pthread_setname_np(name);
#elif defined(__FreeBSD__) || defined(__FreeBSD_kernel__) || defined(__OpenBSD__)
    pthread_set_name_np(pthread_self(), name);
    return 0;
#elif defined(__NetBSD__)
    return pthread_setname_np(pthread_self(), "%s", (void *)name);
#else
    (void)name;
    return ENOTSUP;
#endif
}

int lt_get_name(char *name, size_t size) {
#if defined(__linux__) || defined(__APPLE__) || defined(__NetBSD__)
    return pthread_getname_np(pthread_self(), name, size);
#elif defined(__FreeBSD__) || defined(__FreeBSD_kernel__) || defined(__OpenBSD__)
    pthread_get_name_np(pthread_self(), name, size);
    return 0;
#else
    (void)name;
    (void)size;
    return ENOTSUP;
#endif
}

/* ---- starting ---- */

/* Where the system's default is too little for the interpreter's recursion
 * limit: the sizes that CPython configures there. */
#if defined(__APPLE__)
static const size_t default_stack_size = 0x1000000;
#elif defined(__FreeBSD__)
static const size_t default_stack_size = 0x400000;
#else
static const size_t default_stack_size = 0; /* the system's, from ulimit -s */
#endif

static _Atomic size_t stack_size; /* 0: the default */

static size_t whole_pages(size_t size) {
    long page = sysconf(_SC_PAGESIZE);
    size_t rest = page > 0 ? size % (size_t)page : 0;
    if (rest == 0 || size > SIZE_MAX - (size_t)page) {
        return size; /* too much anyway: let pthread_create() say so */
    }
    return size + ((size_t)page - rest);
}

/* Relaxed: a number that guards nothing. */
size_t lt_set_stack_size(size_t size) {
    return atomic_exchange_explicit(&stack_size, size, memory_order_relaxed);
}

/* What a thread that has a handle or a name needs to know of itself. */
typedef struct {
    void *(*entry)(void *);
    void *arg;
    lt_handle *handle;
    bool has_name;
    char name[LT_NAME_SIZE];
} life;

static void end(void *handle) {
    if (handle != NULL) {
        lt_handle_end(handle);
    }
}

static void *live(void *arg) {
    life l = *(life *)arg;
    free(arg);
    if (l.handle != NULL) {
        lt_handle_begin(l.handle);
    }
    if (l.has_name) {
        (void)lt_set_name(l.name);
    }
    /* Python may end it by pthread_exit(). */
    pthread_cleanup_push(end, l.handle);
    (void)l.entry(l.arg);
    pthread_cleanup_pop(1);
    return NULL;
}

static int start(void *(*entry)(void *), void *arg, size_t size, int detached, uintptr_t *ident) {
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (error != 0) {
        return error;
    }
    error = pthread_attr_setdetachstate(&attr, detached);
    if (error == 0 && size != 0) {
        error = pthread_attr_setstacksize(&attr, whole_pages(size));
    }
    if (error == 0) {
        pthread_t thread;
        error = pthread_create(&thread, &attr, entry, arg);
        if (error == 0) {
            *ident = (uintptr_t)thread;
        }
    }
    pthread_attr_destroy(&attr);
    return error;
}

int lt_thread_start(void *(*entry)(void *), void *arg, const lt_how *how, uintptr_t *ident) {
    size_t size = how->has_stack_size ? how->stack_size
                                      : atomic_load_explicit(&stack_size, memory_order_relaxed);
    if (size == 0) {
        size = default_stack_size;
    }
    /* Detached from the beginning: a thread that is to be detached later could
     * have ended, and its ident been given to another, before that. */
    if (how->handle == NULL && how->name == NULL) {
        return start(entry, arg, size, PTHREAD_CREATE_DETACHED, ident);
    }
    if (how->handle != NULL && !lt_handle_claim(how->handle, how->awaited_by)) {
        return EALREADY;
    }
    life *l = calloc(1, sizeof(*l));
    int error = ENOMEM;
    if (l != NULL) {
        bool has_name = how->name != NULL && lt_name_max > 0;
        *l = (life){.entry = entry, .arg = arg, .handle = how->handle, .has_name = has_name};
        if (has_name) {
            strncpy(l->name, how->name, (size_t)lt_name_max); /* the rest is zero */
        }
        error =
            start(live, l, size,
                  how->handle == NULL ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE, ident);
    }
    if (error != 0) {
        free(l);
    }
    if (how->handle != NULL) {
        if (error == 0) {
            lt_handle_started(how->handle, *ident);
        } else {
            lt_handle_failed(how->handle);
        }
    }
    return error;
}

/* ---- the exit gate ---- */

static lt_word passing; /* between enter and leave */
static _Atomic uintptr_t closed_by;

/* enter() writes `passing` and then reads `closed_by`, close() the other way round.
 * At least one must see the other's write, or a thread would be let in unseen:
 * that takes sequential consistency, here and in close().  To write is to exchange there:
 * after a plain store, QEMU's aarch64 on x86 lets the load overtake it, as that one may not. */
bool lt_gate_enter(void) {
    atomic_fetch_add_explicit(&passing, 1, memory_order_seq_cst);
    uintptr_t closer = atomic_load_explicit(&closed_by, memory_order_seq_cst);
    if (closer == 0 || closer == lt_ident()) {
        return true;
    }
    lt_gate_leave();
    return false;
}

static void leave(lt_word *word) {
    /* Sequentially consistent like the rest of the gate: either this sees that
     * somebody closed it, or the closer sees the new number. */
    atomic_fetch_sub_explicit(word, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&closed_by, memory_order_seq_cst) != 0) {
        lt_wake(word, 1);
    }
}

void lt_gate_leave(void) { leave(&passing); }

/* Nobody comes to stay any more.  Those who are refused come and go, so that only fewer
 * than ever is a sign that somebody has left, and the end of a wait is no sign at all. */
static void until_zero(lt_word *word, int64_t patience_ns) {
    uint32_t n, fewest = UINT32_MAX;
    int64_t deadline = 0;
    while ((n = atomic_load_explicit(word, memory_order_seq_cst)) != 0) {
        int64_t now = lt_now();
        if (n < fewest) {
            fewest = n;
            deadline = now + patience_ns;
        } else if (now >= deadline) {
            break;
        }
        (void)lt_wait(word, n, deadline);
    }
}

void lt_gate_close(int64_t patience_ns) {
    (void)atomic_exchange_explicit(&closed_by, lt_ident(), memory_order_seq_cst);
    until_zero(&passing, patience_ns);
}

void lt_gate_open(void) { atomic_store_explicit(&closed_by, 0, memory_order_seq_cst); }

/* ---- counting ---- */

static _Atomic long count;
static lt_word awake;

/* Whether the thread is counted.  Not _Thread_local: in a library that is loaded late, the
 * first use of such a variable in a thread allocates memory; a key seldom does. */
static pthread_key_t counted;

static bool is_counted(void) { return pthread_getspecific(counted) != NULL; }

/* Relaxed: the number stands for itself. */
void lt_count_up(void) {
    /* Should it fail, for lack of memory, then this thread is counted all the same, but
     * not in a child that it forks, and never naps. */
    (void)pthread_setspecific(counted, &count);
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
}

void lt_count_down(void) {
    (void)pthread_setspecific(counted, NULL);
    atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
}

long lt_count(void) { return atomic_load_explicit(&count, memory_order_relaxed); }

/* Relaxed: who is in the gate then is waited for before those who are awake. */
void lt_awake_begin(void) { atomic_fetch_add_explicit(&awake, 1, memory_order_relaxed); }

void lt_awake_end(void) { leave(&awake); }

void lt_nap_begin(void) {
    if (is_counted()) {
        leave(&awake);
    }
}

void lt_nap_end(void) {
    if (is_counted()) {
        lt_awake_begin();
    }
}

/* A fork may have made one of those threads the main one. */
void lt_awake_wait(int64_t patience_ns) {
    lt_nap_begin();
    until_zero(&awake, patience_ns);
    lt_nap_end();
}

/* ---- births ---- */

static lt_word births;
static atomic_bool births_awaited;

/* Relaxed: until_zero() is called by a thread that has started the others, or has
 * taken the GIL from one that did. */
void lt_birth_begin(void) { atomic_fetch_add_explicit(&births, 1, memory_order_relaxed); }

void lt_birth_end(void) {
    /* Sequentially consistent, as with the gate: either this sees that somebody waits, or
     * that one sees the new number, and then what the newborn has told Python. */
    if (atomic_fetch_sub_explicit(&births, 1, memory_order_seq_cst) == 1 &&
        atomic_load_explicit(&births_awaited, memory_order_seq_cst)) {
        lt_wake(&births, 1);
    }
}

void lt_births_wait(int64_t patience_ns) {
    (void)atomic_exchange_explicit(&births_awaited, true, memory_order_seq_cst); /* see the gate */
    until_zero(&births, patience_ns);
    atomic_store_explicit(&births_awaited, false, memory_order_seq_cst);
}

/* Acquire: what the newborns did is seen. */
bool lt_births_none(void) { return atomic_load_explicit(&births, memory_order_acquire) == 0; }

void lt_birth_lost(void) {
    fputs("lowthread: out of memory: a thread was started and lost\n", stderr);
}

/* A lock and not a mutex, because what is done under it may take as long as whoever forks
 * keeps the GIL. */
static lt_lock being_born;
static const lt_subject birth = {.kind = LT_FOR_CORE};

/* Microseconds are enough, if whoever is in there needs nothing that the forking thread has; and
 * if he does, such as the GIL where tracemalloc is on, all Python stands still for so long. */
static const int64_t fork_patience_ns = 20 * LT_NS_PER_MS;

/* Relaxed: it is set before there are threads, or again to the same. */
static atomic_bool births_are_guarded;

void lt_births_are_guarded(bool by_python) {
    atomic_store_explicit(&births_are_guarded, by_python, memory_order_relaxed);
}

static bool guards_births(void) {
    return !atomic_load_explicit(&births_are_guarded, memory_order_relaxed);
}

void lt_birth_enter(void) {
    while (guards_births() &&
           lt_lock_acquire_for(&being_born, &birth, lt_now(), LT_FOREVER, NULL) != LT_ACQUIRED) {
    }
}

void lt_birth_leave(void) {
    if (guards_births()) {
        (void)lt_lock_release(&being_born);
    }
}

/* ---- fork ---- */

static bool keeps_births_out; /* whoever forks: with what lt_handle_before_fork() takes */

static void before_fork(void) {
    int64_t since = lt_now();
    int verdict = LT_INTERRUPTED;
    while (guards_births() && verdict == LT_INTERRUPTED) {
        verdict = lt_lock_acquire_for(&being_born, &birth, since, since + fork_patience_ns, NULL);
    }
    lt_handle_before_fork();
    keeps_births_out = verdict == LT_ACQUIRED;
}

static void after_fork_in_child(void) {
    /* Only the calling thread is left; the child is its own process, so memory order does
     * not matter.  The handles come last, as they release locks. */
    lt_park_after_fork();
    lt_lock_after_fork();
    lt_record_after_fork();
    atomic_store_explicit(&count, is_counted(), memory_order_relaxed);
    atomic_store_explicit(&helpers, 0, memory_order_relaxed);
    atomic_store_explicit(&awake, is_counted(), memory_order_relaxed);
    atomic_store_explicit(&passing, 0, memory_order_relaxed);
    atomic_store_explicit(&births, 0, memory_order_relaxed);
    atomic_store_explicit(&births_awaited, false, memory_order_relaxed);
    lt_lock_reset(&being_born);
    lt_handle_after_fork(true);
}

static void after_fork_in_parent(void) {
    bool kept_births_out = keeps_births_out;
    lt_handle_after_fork(false);
    if (kept_births_out) {
        lt_birth_leave();
    }
}

static int init_error;

static void init(void) {
    init_error = lt_wait_init(); /* its handlers are to be nearer to the fork than ours */
    if (init_error == 0) {
        init_error = pthread_key_create(&counted, NULL);
    }
    if (init_error == 0) {
        init_error = lt_handle_init();
    }
    if (init_error == 0) {
        init_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

int lt_core_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init);
    return init_error;
}
