/* lt_thread: starting threads, naming them, counting them, and the exit gate. */
#ifndef LT_THREAD_H
#define LT_THREAD_H

#include "lt_wait.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LT_NAME_SIZE = 64 }; /* bytes, with the NUL; no system has longer names */

/* How to start a thread.  All zero is what `start_new_thread` wants. */
typedef struct {
    struct lt_handle *handle; /* to join it by (lt_handle.h); NULL: it is detached */
    uintptr_t awaited_by;     /* not 0: lt_handle_next_awaited() finds it by this */
    const char *name;         /* as the system shows it, cut if too long; NULL: inherited */
    bool has_stack_size;      /* otherwise that of lt_set_stack_size() */
    size_t stack_size;        /* in bytes, 0 for the system's default */
} lt_how;

/* Starts a thread that runs entry(arg).  Returns 0 and the new thread's ident, or the
 * system's errno and nothing was started, or EALREADY if the handle has been used. */
int lt_thread_start(void *(*entry)(void *), void *arg, const lt_how *how, uintptr_t *ident);

/* The stack of threads started from now on, in bytes, rounded up to whole pages;
 * 0 for the system's default.  Returns the size before. */
size_t lt_set_stack_size(size_t size);

/* What Python calls the ident: pthread_self() as an integer, never 0. */
static inline uintptr_t lt_ident(void) { return (uintptr_t)pthread_self(); }

/* The system's own number for the calling thread, or -1 where it has none. */
int64_t lt_native_id(void);

/* The longest name that the system takes, in bytes, or -1 if it has no names. */
extern const int lt_name_max;

/* Name the calling thread, and ask for its name (with a NUL, into `size` bytes): 0 or an
 * errno. */
int lt_set_name(const char *name);
int lt_get_name(char *name, size_t size);

/* Whether the caller is the thread in which the process began; false where the
 * system cannot tell. */
bool lt_is_first_thread(void);

/* How many threads the process has, whoever started them, but for those that do nothing for it but
 * look (lt_helper_begin()); 0 where the system cannot tell. */
long lt_thread_count(void);

/* Whether the process has no other thread, in that sense; false where the system cannot tell. */
static inline bool lt_is_only_thread(void) { return lt_thread_count() == 1; }

/* The calling thread never takes or releases what others wait for. */
void lt_helper_begin(void);

/* How many of the threads that were started here are running.  Each counts itself. */
void lt_count_up(void);
void lt_count_down(void);
long lt_count(void);

/* Those that are awake: a thread is from when it says so, in the gate, until it says that it has
 * left the interpreter for good.  Meanwhile it can take naps; it wakes up in the gate again.  Who
 * has closed the gate can wait until no other is awake, or for `patience_ns` not one of them has
 * ended or gone to sleep. */
void lt_awake_begin(void);
void lt_awake_end(void);
void lt_nap_begin(void);
void lt_nap_end(void);
void lt_awake_wait(int64_t patience_ns);

/* The exit gate: who is about to enter Python passes through it, so that nobody
 * enters an interpreter that is being taken down.
 *
 *     if (!lt_gate_enter()) -> never touch Python again
 *     ... take the GIL ...
 *     lt_gate_leave();
 *
 * lt_gate_close() lets nobody in from then on but the caller's own thread, and
 * waits for those between enter and leave to be through, until for `patience_ns`
 * not one of them has left: they may be thousands. */
bool lt_gate_enter(void);
void lt_gate_leave(void);
void lt_gate_close(int64_t patience_ns);
void lt_gate_open(void); /* for an interpreter that is started anew */

/* Births: threads that have been started and are not known to Python yet.  Who starts
 * one counts it, and the newborn counts itself out; the end of the interpreter waits
 * until there is none, or for `patience_ns` none was counted out. */
void lt_birth_begin(void);
void lt_birth_end(void);
void lt_births_wait(int64_t patience_ns);
bool lt_births_none(void);

/* A newborn for which Python has no memory tries again, so often and for so long, where the
 * starter has been told that there is a thread: it is late rather than lost.  After that there is
 * nobody to tell but the standard error. */
static const long lt_birth_retry_ns = 10 * LT_NS_PER_MS;
static const int64_t lt_birth_patience_ns = 5 * LT_NS_PER_S;
void lt_birth_lost(void);

/* Around what makes a newborn known to Python: a fork waits until nobody is in there, but not for
 * long, since the child would find half of it, locks and all.  Not so when it has been said that
 * forks are guarded by Python. */
void lt_births_are_guarded(bool by_python);
void lt_birth_enter(void);
void lt_birth_leave(void);

/* Arranges that fork() resets all of the core in the child: nobody waits, the
 * calling thread is the main one, and the only one that may be counted.  Once is
 * enough, more does no harm.  Returns 0 or an errno. */
int lt_core_init(void);

#endif
