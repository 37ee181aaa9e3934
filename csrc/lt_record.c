/* The record of waits.  What each function promises is in lt_record.h. */
#include "lt_record.h"

#include "lt_mutex.h"

#include <stdlib.h>
#include <string.h>

static atomic_bool is_on; /* changed with the mutex */
static lt_mutex mutex;    /* of all below */
static lt_wait_done *ring; /* of `size`; the oldest is at `first` */
static size_t size, first, count, lost_count;

bool lt_is_recording(void) { return atomic_load_explicit(&is_on, memory_order_relaxed); }

/* Puts another ring, or none, in the place of the one there is. */
static void replace(lt_wait_done *by, size_t room) {
    lt_mutex_lock(&mutex);
    lt_wait_done *old = ring;
    ring = by;
    size = room;
    first = count = lost_count = 0;
    atomic_store_explicit(&is_on, by != NULL, memory_order_relaxed);
    lt_mutex_unlock(&mutex);
    free(old);
}

bool lt_record_begin(size_t room) {
    lt_wait_done *new = room == 0 ? NULL : calloc(room, sizeof(*new));
    if (new == NULL) {
        return false;
    }
    replace(new, room);
    return true;
}

void lt_record_end(void) { replace(NULL, 0); }

void lt_record(const lt_wait_done *wait) {
    lt_mutex_lock(&mutex);
    if (count < size) {
        ring[(first + count) % size] = *wait;
        count++;
    } else if (ring != NULL) {
        lost_count++;
    }
    lt_mutex_unlock(&mutex);
}

size_t lt_recorded(void) {
    lt_mutex_lock(&mutex);
    size_t n = count;
    lt_mutex_unlock(&mutex);
    return n;
}

size_t lt_record_take(lt_wait_done *into, size_t room, size_t *lost) {
    lt_mutex_lock(&mutex);
    size_t n = count < room ? count : room;
    for (size_t i = 0; i < n; i++) {
        into[i] = ring[(first + i) % size];
    }
    if (n > 0) {
        first = (first + n) % size;
        count -= n;
    }
    *lost = lost_count;
    lost_count = 0;
    lt_mutex_unlock(&mutex);
    return n;
}

void lt_record_after_fork(void) {
    memset(&mutex, 0,
           sizeof(mutex)); /* another thread may have had it, in the middle of a change */
    atomic_store_explicit(&is_on, false, memory_order_relaxed);
    ring = NULL; /* not freed: a thread that is not here may have been about to */
    size = first = count = lost_count = 0;
}
