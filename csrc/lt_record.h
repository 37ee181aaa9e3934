/* lt_record: waits that are over, for who wants to know where a program waits.
 *
 * While there is a record, the end of each wait in the queue of a lock is written down: not of one
 * for which nobody had to wait.  Threads write with a mutex, for a few instructions, and somebody
 * comes to take what they wrote; what there is no room for meanwhile is counted, and lost.
 */
#ifndef LT_RECORD_H
#define LT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of one size, so that it can be read as an array of them. */
typedef struct {
    uint64_t lock, waiter; /* the lock's address and the thread's ident */
    uint64_t owner, word;  /* as of lt_wait_seen, when the wait began */
    int64_t kind, since, until;
    int64_t verdict; /* what lt_lock_acquire_for() returned; of one that goes on LT_INTERRUPTED */
} lt_wait_done;

/* Begins a record that has room for so many, anew if there is one; false without memory. */
bool lt_record_begin(size_t room);
void lt_record_end(void);

/* Relaxed: who learns it late writes down one wait more or less. */
bool lt_is_recording(void);

void lt_record(const lt_wait_done *wait);

/* How many are in it. */
size_t lt_recorded(void);

/* Takes out those that have been in it for longest, up to `room`; returns how many.  Puts into
 * `lost` how many there was no room for since the last time. */
size_t lt_record_take(lt_wait_done *into, size_t room, size_t *lost);

/* In a forked child: there is no record. */
void lt_record_after_fork(void);

#endif
