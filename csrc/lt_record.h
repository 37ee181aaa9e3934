/* lt_record: waits that are over, for who wants to know where a program waits.
 *
 * While there is a record, the end of each wait in the queue of a lock is written down: not of one
 * for which nobody had to wait; and, if that is asked for, when a lock is released.  Threads write
 * with a mutex, for a few instructions, and somebody comes to take what they wrote; what there is
 * no room for meanwhile is counted, and lost.
 */
#ifndef LT_RECORD_H
#define LT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of one size, so that it can be read as an array of them. */
typedef struct lt_wait_done {
    uint64_t lock, waiter; /* the lock's address and the thread's ident */
    uint64_t owner, word;  /* as of lt_wait_seen, when the wait began */
    int64_t kind, since, until;
    int64_t verdict; /* what lt_lock_acquire_for() returned; of one that goes on LT_INTERRUPTED */
} lt_wait_done;

/* Verdicts of what is no wait: at `until`, `waiter` has given a lock back, or has it again after
 * it did so only for a while. */
enum { LT_HOLD_ENDS = 100, LT_HOLD_GOES_ON };

/* What is called in a thread whose wait is over, before it is told so: it may have the lock.  In the
 * main thread also when it is interrupted, for then a signal handler may end it; or only then. */
typedef void lt_over(const lt_wait_done *wait);
enum { LT_TOLD_OF_NONE, LT_TOLD_OF_INTERRUPTION, LT_TOLD_OF_END };

typedef struct {
    size_t room; /* for how many */
    /* Of waits that are shorter, in ns, only how many there were is written down, and how long
     * they took together: to tell of each would take longer than they do.  0: none is. */
    int64_t shortest;
    int64_t noted_after; /* in ns, as told for lt_record_note_at(); 0: nobody wants notes */
    bool holds; /* lt_record_hold() writes down, too */
    lt_over
        *over; /* for waits that are not short, of those who ask for it (lt_subject); or NULL */
} lt_record_how;

/* Begins a record, anew if there is one; false without memory. */
bool lt_record_begin(const lt_record_how *how);
void lt_record_end(void);

/* Relaxed: who learns it late writes down one wait more or less. */
bool lt_is_recording(void);
bool lt_is_recording_holds(void);

/* Whether somebody wants to be told of a wait that goes on, as it has for so long. */
bool lt_record_wants_note(int64_t since);

/* When that will be, and again when it has lasted much longer, and so on; LT_FOREVER if nobody
 * does: to be asked is to be woken.
 * `brief`: how many waits for the same have been over before that, in succession, at most
 * LT_MOST_BRIEF.  Each of them has it be twice as late, up to some milliseconds, for to set a timer
 * that is the next to go off may take longer than such a wait. */
int64_t lt_record_note_at(int64_t since, int64_t now, unsigned brief);
enum { LT_MOST_BRIEF = 8 };

/* Whether that makes a difference. */
bool lt_record_may_be_later(void);

/* Whether one that takes so long, in ns, is over before that. */
bool lt_record_is_brief(int64_t length);

/* Whether a wait that is over now is recorded, and is not short; false if none is short, for then it
 * may not have been one. */
bool lt_record_is_long(int64_t since);

/* Writes a wait down.  `told`: of what the calling thread is told, see lt_over. */
void lt_record(const lt_wait_done *wait, int told);

/* Of the calling thread, just now; nothing if that was not asked for. */
void lt_record_hold(uintptr_t lock, int kind, int verdict);

/* How many are in it. */
size_t lt_recorded(void);

/* Takes out those that have been in it for longest, up to `room`; returns how many.  Puts into
 * `lost` how many there was no room for since the last time. */
size_t lt_record_take(lt_wait_done *into, size_t room, size_t *lost);

/* How many short ones there have been since it began, and their sum in ns. */
void lt_record_short(int64_t count_and_total[2]);

/* In a forked child: there is no record. */
void lt_record_after_fork(void);

#endif
