/* lt_park: one thread goes to sleep until another one notifies it.
 *
 * Each thread that waits has a parker, a word of its own to sleep on, so that exactly the
 * thread that is meant can be woken; who waits for what is the business of
 * lt_lock.c.  The *main* thread is the one in which Python runs signal handlers:
 * only its sleep is ended by signals and by lt_main_interrupt().
 */
#ifndef LT_PARK_H
#define LT_PARK_H

#include "lt_wait.h"

#include <stdbool.h>

typedef struct {
    lt_word word; /* LT_NOTIFIED | LT_INTERRUPT | LT_ASLEEP */
} lt_parker;

enum { LT_NOTIFIED = 1, LT_INTERRUPT = 2, LT_ASLEEP = 4 };

/* The calling thread's parker: `own`, which is zero, and is the caller's for as long as it
 * waits, but in the main thread one that lt_main_interrupt() knows.  Nothing here is
 * thread-local storage: in a library that is loaded late, the first use of that in a thread
 * allocates memory, and the C library aborts where there is none. */
lt_parker *lt_parker_of(lt_parker *own);

/* Sleeps until notified (LT_WOKEN), until the deadline (LT_EXPIRED) or, in the
 * main thread, until it should look whether a handler is to run (LT_SIGNAL).
 * `since` is when the caller began to wait, over several calls. */
int lt_park(lt_parker *self, int64_t since, int64_t deadline);

/* Before lt_park(): stays awake for some microseconds, until notified (or interrupted), and
 * then for `settle_ns` more.  Returns whether that was in time. */
bool lt_parker_spin(lt_parker *self, int64_t deadline, int64_t settle_ns);

/* The processor that the caller runs on, if only for now, or -1 if the system does not
 * say. */
int lt_processor(void);

/* Marks it notified.  The caller makes sure that the thread still waits, and, if this
 * returns true, calls lt_parker_wake() afterwards, when the parker may be gone: that takes
 * nothing but its address. */
bool lt_parker_notify(lt_parker *parker);
void lt_parker_wake(lt_parker *parker);
void lt_parker_forget(lt_parker *self);

/* Declares the calling thread the main one, unless one is known.  Where nobody
 * calls it, it is the first thread of the process. */
void lt_main_here(void);

/* The main thread's ident, or 0 if it is not known. */
uintptr_t lt_main_ident(void);

/* Makes the main thread's current or next lt_park() return LT_SIGNAL. */
void lt_main_interrupt(void);

/* In a forked child: the calling thread is the only one, and the main one. */
void lt_park_after_fork(void);

#endif
