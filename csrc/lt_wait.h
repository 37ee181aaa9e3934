/* lt_wait: sleep on a 32-bit word.
 *
 * This is the whole of what lowthread asks of the operating system to wait.
 * One file per system implements it and build_ffi.py (or the Makefile, for the
 * C tests) compiles exactly one of them:
 *
 *     lt_wait_futex.c     Linux
 *     lt_wait_pthread.c   any other POSIX system: hashed mutex + condition
 *     lt_wait_windows.c   (not written yet: WaitOnAddress would do)
 *
 * Contract
 *   lt_wait(word, expected, deadline)
 *       Sleeps while *word == expected.  Returns
 *         LT_WOKEN    somebody woke the word, or it did not hold `expected`;
 *                     spurious: the caller looks at the word again
 *         LT_EXPIRED  lt_now() has reached `deadline`
 *         LT_SIGNAL   a signal handler ran in this thread meanwhile.  An
 *                     implementation that cannot tell never returns this:
 *                     see LT_WAIT_SEES_SIGNALS.
 *       `deadline` is absolute, on the clock of lt_now(), so that a wait that
 *       is taken up again keeps its end; LT_FOREVER means none.
 *   lt_wake(word, n)
 *       Wakes at least min(n, waiters) of those asleep on the word.  The caller
 *       has changed the word before.  The address is only compared, never
 *       read: the word may be gone already, its thread having seen the change.
 *   lt_wait_init()
 *       Registers what the implementation needs around a fork.  Handlers of pthread_atfork()
 *       that wait or wake are to be registered after this: then they find it in order.
 *   lt_now()
 *       Nanoseconds on the monotonic clock: never set, never backwards.
 *
 * All of it may be called from any thread, also from one that Python does not
 * know, but not from a signal handler.
 */
#ifndef LT_WAIT_H
#define LT_WAIT_H

#include "lowthread.h" /* LT_FOREVER */

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint32_t lt_word;

_Static_assert(sizeof(lt_word) == 4, "the kernel compares four bytes");

#define LT_NS_PER_S INT64_C(1000000000)
#define LT_NS_PER_MS INT64_C(1000000)

enum { LT_WOKEN, LT_EXPIRED, LT_SIGNAL };

int lt_wait(lt_word *word, uint32_t expected, int64_t deadline);
void lt_wake(lt_word *word, int n);
int lt_wait_init(void); /* 0 or an errno */
int64_t lt_now(void);

/* "futex" or "pthread": which implementation was compiled. */
extern const char *const lt_wait_name;

/* The longest that a thread which must react to signals may sleep in one
 * lt_wait(): short where a signal cannot end the sleep. */
extern const int64_t lt_wait_longest_ns;

#endif
