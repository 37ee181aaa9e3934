/* lt_handle: a thread that can be joined, and locks that the end of a thread releases.
 *
 * A handle is what `_thread._ThreadHandle` has inside.  It is counted: whoever made it has
 * a reference, and so has its thread while it runs.  It starts one thread, once:
 *
 *     lt_handle *h = lt_handle_new();
 *     lt_thread_start(entry, arg, &(lt_how){.handle = h}, &ident);
 *     lt_handle_join(h, lt_now(), LT_FOREVER, NULL);
 *     lt_handle_drop(h);
 *
 * The system's thread is joined by the first who joins the handle, and detached by the last
 * who drops it, so that the ident is nobody else's until then.
 */
#ifndef LT_HANDLE_H
#define LT_HANDLE_H

#include "lt_lock.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lt_handle lt_handle;

/* One reference, or NULL if there is no memory. */
lt_handle *lt_handle_new(void);

/* For a thread that was not started here: it runs until lt_handle_set_done(). */
lt_handle *lt_handle_of(uintptr_t ident);

void lt_handle_drop(lt_handle *h);

/* What joining says, besides LT_ACQUIRED (it has ended), LT_TIMED_OUT and LT_INTERRUPTED. */
enum { LT_NOT_STARTED = 10, LT_IS_SELF = 11 };

/* Waits until the thread has ended; the arguments are those of lt_lock_acquire(). */
int lt_handle_join(lt_handle *h, int64_t since, int64_t deadline, const lt_hooks *hooks);

bool lt_handle_is_done(lt_handle *h);

/* As if the thread had ended; it is detached.  False if it has not been started. */
bool lt_handle_set_done(lt_handle *h);

uintptr_t lt_handle_ident(lt_handle *h); /* 0: not started, or not there yet */

/* Waits for the thread to begin, if need be, with the hooks around that; 0 if it was not
 * started, -1 where the system has no such numbers. */
int64_t lt_handle_native_id(lt_handle *h, const lt_hooks *hooks);

/* A new reference to the handle of a thread that was started with this number (lt_how),
 * has not ended and is not the caller; NULL when there is none.  Each interpreter has a
 * number for those that its end waits for. */
lt_handle *lt_handle_next_awaited(uintptr_t awaited_by);

/* For lt_thread_start(): false if there was a start before; then one of these, the third
 * in the new thread. */
bool lt_handle_claim(lt_handle *h, uintptr_t awaited_by);
void lt_handle_started(lt_handle *h, uintptr_t ident);
void lt_handle_failed(lt_handle *h);
void lt_handle_begin(lt_handle *h);
void lt_handle_end(lt_handle *h); /* the last thing that a thread does */

/* The end of the calling thread releases `lock`: after everything that Python does in it,
 * its thread state included, and however it ends.  A second call replaces the first.
 * Puts into `number`, which was 0, what lt_sentinel_forget() needs; false, and it is
 * still 0, if there is no memory. */
bool lt_sentinel_set(lt_lock *lock, uint32_t *number);

/* To be called before such a lock goes away, in any thread, also after its release. */
void lt_sentinel_forget(lt_lock *lock, uint32_t number);

/* Around a fork: nobody else is in the middle of a change. */
void lt_handle_before_fork(void);
void lt_handle_after_fork(bool in_child);

int lt_handle_init(void); /* 0 or an errno */

#endif
