/* What cffi pastes in front of the code that it generates: the core, and what
 * differs between the interpreters. */
#include "lt_api.h"
#include "lt_handle.h"
#include "lt_lock.h"
#include "lt_park.h"
#include "lt_record.h"
#include "lt_rlock.h"
#include "lt_thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef PYPY_VERSION

/* PyPy gives up its GIL around every call by itself. */
#define LT_HOOKS NULL
#define LT_OVER over
#define TOLD_IN_C LT_TOLD_OF_INTERRUPTION

static bool lt_run(void *task);
static void lt_wait_over(const lt_wait_done *wait);
static bool lt_handlers_off(bool unused);
static void lt_handlers_on(void);
static bool lt_look_for_signals(void);

/* Calls lt_wait_over() in the main thread, where signal handlers are to run later: what one raises
 * could not get from there to who waits. */
static void tell_without_handlers(const lt_wait_done *wait) {
    /* It fails where they are off: the program has them so, or this is within such a call. */
    bool were_on = !lt_handlers_off(true);
    lt_wait_over(wait);
    if (were_on) {
        lt_handlers_on();
        /* If a signal has come meanwhile, PyPy finds it due when Python is entered. */
        (void)lt_look_for_signals();
    }
}

/* Tells Python of a `with` statement's wait that is over, or of one that a handler may end. */
static void over(const lt_wait_done *wait) {
    if (wait->verdict == LT_ACQUIRED && wait->kind == LT_FOR_RLOCK) {
        /* Now, as a finalizer may take it again. */
        lt_rlock_own_once((lt_rlock *)(uintptr_t)wait->lock);
    }
    if (lt_main_ident() == lt_ident()) {
        tell_without_handlers(wait);
    } else {
        lt_wait_over(wait);
    }
}

/* False: PyPy had no memory to let the thread in. */
static void *lt_pypy_entry(void *task) {
    int64_t begin = lt_now();
    while (!lt_run(task)) {
        if (lt_now() - begin > lt_birth_patience_ns) {
            lt_birth_lost();
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = lt_birth_retry_ns}, NULL);
    }
    return NULL;
}

/* The new thread's ident, or minus an errno.  A stack_size of -1 is the default; handle and
 * name may be NULL, and so may `when`, which is set to a time just before. */
static int64_t lt_start(void *task, lt_handle *handle, uintptr_t awaited_by, int64_t stack_size,
                        const char *name, int64_t *when) {
    uintptr_t ident = 0;
    lt_how how = {.handle = handle,
                  .awaited_by = awaited_by,
                  .name = name,
                  .has_stack_size = stack_size >= 0,
                  .stack_size = (size_t)stack_size};
    if (when != NULL) {
        *when = lt_now(); /* before it can have done anything */
    }
    int error = lt_thread_start(lt_pypy_entry, task, &how, &ident);
    return error != 0 ? -(int64_t)error : (int64_t)ident;
}

#else

#include "cpython/lt_cpython.h"
#define LT_HOOKS (&lt_gil_hooks)
#define LT_OVER lt_note_end
#define TOLD_IN_C LT_TOLD_OF_END /* that needs no Python code */

/* cffi would give up the GIL around every call, even one of five nanoseconds,
 * and then wait for it behind any busy thread.  What sleeps gives it up by
 * itself (lt_gil_hooks).  So: no taking the address of these functions from
 * Python, since calls through a pointer give it up regardless. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

#endif

static const lt_subject checked = {.kind = LT_FOR_LOCK, .checks = true, .told = TOLD_IN_C};
static const lt_subject told_over = {.kind = LT_FOR_LOCK, .checks = true, .told = LT_TOLD_OF_END};

/* Added to the verdict of a wait that is over, if Python is to tell of that: it would take it longer
 * to find out than many a wait. */
enum { LT_TO_TELL = 64 };

static int with_to_tell(int verdict, int64_t since) {
    bool is_over = verdict == LT_ACQUIRED || verdict == LT_TIMED_OUT;
    return is_over && TOLD_IN_C != LT_TOLD_OF_END && lt_record_is_long(since)
               ? verdict + LT_TO_TELL
               : verdict;
}

static int lt_acquire(lt_lock *lock, int64_t since, int64_t deadline) {
    return with_to_tell(lt_lock_acquire_for(lock, &checked, since, deadline, LT_HOOKS), since);
}

static bool lt_record_from_now(size_t room, int64_t shortest, int64_t noted_after, bool holds) {
    return lt_record_begin(&(lt_record_how){.room = room,
                                            .shortest = shortest,
                                            .noted_after = noted_after,
                                            .holds = holds,
                                            .over = LT_OVER});
}

/* What is to be done in a wait that goes on; the last if the caller may be the main thread. */
enum { LT_TO_NOTE = 1, LT_TO_CHECK = 2, LT_TO_RUN_HANDLERS = 4 };

static int lt_wait_tells(int64_t since, int64_t deadline) {
    uintptr_t main = lt_main_ident(); /* 0: not known */
    return (lt_record_wants_note(since) ? LT_TO_NOTE : 0) |
           (lt_check_is_due(since, deadline) ? LT_TO_CHECK : 0) |
           (main == 0 || main == lt_ident() ? LT_TO_RUN_HANDLERS : 0);
}

/* All that a profile notes of one, in one call, since on PyPy each may have to wait for the GIL
 * when it is over.  All of one size. */
typedef struct {
    uint64_t waiter, owner; /* idents; the latter is 0 if it is not known but by its bits */
    uint64_t owner_bits;    /* of lt_holder_of() */
} lt_noted;

static void lt_note(uintptr_t waited_for, int kind, lt_noted *noted) {
    lt_lock *lock = (lt_lock *)waited_for;
    uint32_t word = kind == LT_FOR_LOCK ? lt_lock_word(lock) & LT_HOLDER : 0;
    uintptr_t owner = 0;
    if (kind == LT_FOR_RLOCK) {
        owner = lt_rlock_owner((lt_rlock *)waited_for);
    } else if (kind == LT_FOR_THREAD) {
        owner = lt_handle_ident((lt_handle *)waited_for);
    } else if (word == 0) {
        owner = lt_lock_promised_to(lock);
    }
    *noted = (lt_noted){.waiter = lt_ident(), .owner = owner, .owner_bits = word};
}

static int lt_racquire(lt_rlock *r, int64_t since, int64_t deadline) {
    return with_to_tell(lt_rlock_acquire_for(r, true, TOLD_IN_C, since, deadline, LT_HOOKS),
                        since);
}

/* Has it again as before it was released all at once; signal handlers that are due run later. */
static int lt_rrestore(lt_rlock *r, unsigned long count, uintptr_t owner, int64_t since,
                       int64_t deadline) {
    int verdict;
    do {
        verdict = lt_lock_acquire_for(&r->lock, &LT_RLOCK_SUBJECT(r, false, TOLD_IN_C), since,
                                      deadline, LT_HOOKS);
    } while (verdict == LT_INTERRUPTED);
    if (verdict == LT_ACQUIRED) {
        lt_rlock_restored(r, count, owner);
    }
    return with_to_tell(verdict, since);
}

/* For lowthread/_with.py: whether that the lock was taken, or released, is as expected. */
static bool lt_try_is(lt_lock *lock, bool expected) { return lt_lock_try(lock) == expected; }

static bool lt_rtry_is(lt_rlock *r, bool expected) {
    return (lt_rlock_try(r) == LT_ACQUIRED) == expected;
}

/* Not LT_FOREVER: whether the wait can end has been seen to. */
static const int64_t very_long = LT_FOREVER - 1;

static bool lt_wait_is(lt_lock *lock, int64_t since, bool expected) {
    return (lt_lock_acquire_for(lock, &told_over, since, very_long, LT_HOOKS) == LT_ACQUIRED) ==
           expected;
}

static bool lt_rwait_is(lt_rlock *r, int64_t since, bool expected) {
    return (lt_rlock_acquire_for(r, true, LT_TOLD_OF_END, since, very_long, LT_HOOKS) ==
            LT_ACQUIRED) == expected;
}

static bool lt_release_is(lt_lock *lock, bool expected) {
    return (lt_lock_release(lock) == LT_RELEASED) == expected;
}

static bool lt_rrelease_is(lt_rlock *r, bool expected) {
    return (lt_rlock_release(r) == LT_RELEASED) == expected;
}

static bool lt_release_told_is(lt_lock *lock, bool expected) {
    return (lt_lock_release_told(lock) == LT_RELEASED) == expected;
}

static bool lt_rrelease_told_is(lt_rlock *r, bool expected) {
    return (lt_rlock_release_told(r) == LT_RELEASED) == expected;
}

/* A lock that the end of the calling thread releases, or NULL if there is no memory; to be freed
 * by lt_free_sentinel().  In C, since no exception of a signal handler comes between. */
typedef struct {
    lt_lock lock;
    uint32_t number;
} lt_sentinel;

static lt_lock *lt_new_sentinel(void) {
    lt_sentinel *s = calloc(1, sizeof(*s));
    if (s != NULL && !lt_sentinel_set(&s->lock, &s->number)) {
        free(s);
        s = NULL;
    }
    return s == NULL ? NULL : &s->lock;
}

static void lt_free_sentinel(lt_lock *lock) {
    lt_sentinel *s = (lt_sentinel *)lock; /* its first member */
    lt_sentinel_forget(lock, s->number);
    free(s);
}

static int lt_join(lt_handle *h, int64_t since, int64_t deadline) {
    return lt_handle_join(h, since, deadline, LT_HOOKS);
}

static int64_t lt_native_id_of(lt_handle *h) { return lt_handle_native_id(h, LT_HOOKS); }

/* How often the caller has it. */
static unsigned long lt_rcount(lt_rlock *r) { return lt_rlock_count_of(r, lt_ident()); }

/* ---- signals that are told to a thread, whatever the main thread does ---- */

/* Not a pipe: descriptors are the program's to close. */
static sem_t told_or_changed;
static _Atomic unsigned told; /* how many signals nobody has been told of */

/* When the first of those came that have not been taken notice of, or when the handler from before
 * was called for them; 0: that is to be set. */
static _Atomic int64_t told_at;

/* The handlers that were there before, by signal; NULL where there was none. */
static void (*_Atomic before_us[NSIG])(int);

/* Relaxed: these are numbers, and sem_post() orders them. */
static void tell(int signum) {
    int error = errno;
    int64_t now = lt_now(), first = 0;
    atomic_fetch_add_explicit(&told, 1, memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&told_at, &first, now, memory_order_relaxed,
                                                 memory_order_relaxed) &&
        now - first > LT_NS_PER_S &&
        atomic_compare_exchange_strong_explicit(&told_at, &first, now, memory_order_relaxed,
                                                memory_order_relaxed)) {
        /* Nobody comes to look: somebody has the GIL.  Not again for a second, as that handler may
         * raise the signal for the one from before it, which is this one. */
        void (*handler)(int) = atomic_load_explicit(&before_us[signum], memory_order_relaxed);
        if (handler != NULL) {
            handler(signum);
        }
    }
    sem_post(&told_or_changed);
    errno = error;
}

/* To be called once, and again in a forked child: 0 or an errno. */
static int lt_tell_init(void) {
    atomic_store_explicit(&told, 0, memory_order_relaxed);
    atomic_store_explicit(&told_at, 0, memory_order_relaxed);
    return sem_init(&told_or_changed, 0, 0) == 0 ? 0 : errno;
}

/* From now on lt_await_told() tells when the signal has come, to whichever thread; and if it has
 * not been called for a second then, the handler from before is: 0 or an errno. */
static int lt_tell_signal(int signum) {
    struct sigaction before;
    if (sigaction(signum, NULL, &before) != 0) {
        return errno;
    }
    bool is_one = !(before.sa_flags & SA_SIGINFO) && before.sa_handler != SIG_DFL &&
                  before.sa_handler != SIG_IGN && before.sa_handler != tell;
    if (is_one) {
        atomic_store_explicit(&before_us[signum], before.sa_handler, memory_order_relaxed);
    }
    struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    return sigaction(signum, &action, NULL) == 0 ? 0 : errno;
}

/* From now on the handlers from before are not called any more. */
static void lt_tell_alone(void) {
    for (int signum = 0; signum < NSIG; signum++) {
        atomic_store_explicit(&before_us[signum], NULL, memory_order_relaxed);
    }
}

/* Has lt_await_told() return, with 0 if no signal has come. */
static void lt_tell_again(void) { sem_post(&told_or_changed); }

/* Waits, and returns how many signals have come since the last time; for one thread, which may
 * be ended where it takes the GIL again. */
static unsigned lt_await_told(void) {
    const lt_hooks *hooks = LT_HOOKS;
    void *state = hooks == NULL ? NULL : hooks->before();
    while (sem_wait(&told_or_changed) != 0 && errno == EINTR) {
    }
    if (hooks != NULL && !hooks->after(state)) {
        for (;;) {
            pause();
        }
    }
    /* Acquire, for the store to come after it.  A signal in between has told, so that this is
     * called again at once; that its time is lost only makes the next one wait for longer. */
    unsigned count = atomic_exchange_explicit(&told, 0, memory_order_acquire);
    atomic_store_explicit(&told_at, 0, memory_order_relaxed);
    return count;
}

#if !defined(PYPY_VERSION) && PY_VERSION_HEX >= 0x030A0000

static void lt_learn_signal_handler(int signum) { (void)signum; }

/* Does what the arrival of the signal would, without one: 0, or -1 if `signum`
 * is none. */
static int lt_trip_signal(int signum) { return PyErr_SetInterruptEx(signum); }

#else

/* What the interpreter itself installs, whatever is installed now.  It notes the
 * signal's number and writes to the wakeup descriptor, and does not mind who calls it. */
static void (*lt_signal_handler)(int);

/* For a signal of which it is known that the interpreter handles it. */
static void lt_learn_signal_handler(int signum) {
    struct sigaction action;
    if (sigaction(signum, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) &&
        action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        lt_signal_handler = action.sa_handler;
    }
}

static int lt_trip_signal(int signum) {
    if (lt_signal_handler == NULL) {
        lt_learn_signal_handler(signum);
    }
    if (lt_signal_handler == NULL) {
        return -1;
    }
    lt_signal_handler(signum);
    return 0;
}

#endif
