/* The record of waits.  What each function promises is in lt_record.h. */
#include "lt_record.h"

#include "lowthread.h" /* LT_ACQUIRED */
#include "lt_mutex.h"
#include "lt_park.h"
#include "lt_thread.h"

#include <stdlib.h>
#include <string.h>

/* Once is enough, but for who was so late to begin its wait that it has lasted already. */
enum { AGAIN = 64 };

/* Most often later than the next tick, for which the kernel has set a timer anyway. */
static const int64_t latest_note = 10 * LT_NS_PER_MS;

/* Changed with the mutex, and relaxed: nothing depends on them but what is told. */
static atomic_bool is_on, has_holds;
static _Atomic int64_t shortest, noted_after;
static _Atomic(lt_over *) over;

static lt_mutex mutex;     /* of all below */
static lt_wait_done *ring; /* of `size`; the oldest is at `first` */
static size_t size, first, count, lost_count;
static int64_t short_count, short_total;

bool lt_is_recording(void) { return atomic_load_explicit(&is_on, memory_order_relaxed); }

bool lt_is_recording_holds(void) { return atomic_load_explicit(&has_holds, memory_order_relaxed); }

/* Puts another ring, or none, in the place of the one there is. */
static void replace(lt_wait_done *by, const lt_record_how *how) {
    lt_mutex_lock(&mutex);
    lt_wait_done *old = ring;
    ring = by;
    size = how->room;
    first = count = lost_count = 0;
    short_count = short_total = 0;
    atomic_store_explicit(&shortest, how->shortest, memory_order_relaxed);
    atomic_store_explicit(&noted_after, how->noted_after, memory_order_relaxed);
    atomic_store_explicit(&over, how->over, memory_order_relaxed);
    atomic_store_explicit(&is_on, by != NULL, memory_order_relaxed);
    atomic_store_explicit(&has_holds, how->holds, memory_order_relaxed);
    lt_mutex_unlock(&mutex);
    free(old);
}

bool lt_record_begin(const lt_record_how *how) {
    lt_wait_done *new = how->room == 0 ? NULL : calloc(how->room, sizeof(*new));
    if (new == NULL) {
        return false;
    }
    replace(new, how);
    return true;
}

void lt_record_end(void) { replace(NULL, &(lt_record_how){0}); }

static int64_t number(_Atomic int64_t *of) {
    return atomic_load_explicit(of, memory_order_relaxed);
}

static bool is_main(void) { return lt_main_ident() == lt_ident(); }

bool lt_record_wants_note(int64_t since) {
    int64_t after = number(&noted_after);
    return lt_is_recording() && after != 0 && lt_now() - since >= after;
}

bool lt_record_is_long(int64_t since) {
    int64_t length = number(&shortest);
    return lt_is_recording() && length != 0 && lt_now() - since >= length;
}

bool lt_record_may_be_later(void) { return number(&noted_after) < latest_note; }

bool lt_record_is_brief(int64_t length) { return length < number(&noted_after); }

int64_t lt_record_note_at(int64_t since, int64_t now, unsigned brief) {
    int64_t after = number(&noted_after);
    if (!lt_is_recording() || after == 0) {
        return LT_FOREVER;
    }
    if (lt_record_may_be_later()) {
        after = after << brief < latest_note ? after << brief : latest_note;
    }
    while (after <= now - since) {
        after *= AGAIN;
    }
    return since + after;
}

/* With the mutex. */
static void append(const lt_wait_done *done) {
    if (count < size) {
        ring[(first + count) % size] = *done;
        count++;
    } else if (ring != NULL) {
        lost_count++;
    }
}

void lt_record(const lt_wait_done *wait, int told) {
    bool goes_on = wait->verdict == LT_INTERRUPTED;
    int64_t length = wait->until - wait->since;
    lt_mutex_lock(&mutex);
    bool is_long = length >= number(&shortest);
    if (is_long) {
        append(wait);
    } else if (!goes_on) { /* else it is told of when it is over */
        short_count++;
        short_total += length;
    }
    bool is_to_be_told = goes_on ? told != LT_TOLD_OF_NONE && is_main() : told == LT_TOLD_OF_END;
    lt_over *tell = is_to_be_told && is_long && ring != NULL
                        ? atomic_load_explicit(&over, memory_order_relaxed)
                        : NULL;
    lt_mutex_unlock(&mutex);
    if (tell != NULL) {
        tell(wait);
    }
}

void lt_record_hold(uintptr_t lock, int kind, int verdict) {
    if (!lt_is_recording_holds()) {
        return;
    }
    int64_t at = lt_now();
    lt_wait_done done = {.lock = lock,
                         .waiter = lt_ident(),
                         .kind = kind,
                         .since = at,
                         .until = at,
                         .verdict = verdict};
    lt_mutex_lock(&mutex);
    append(&done);
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

void lt_record_short(int64_t count_and_total[2]) {
    lt_mutex_lock(&mutex);
    count_and_total[0] = short_count;
    count_and_total[1] = short_total;
    lt_mutex_unlock(&mutex);
}

void lt_record_after_fork(void) {
    memset(&mutex, 0,
           sizeof(mutex)); /* another thread may have had it, in the middle of a change */
    atomic_store_explicit(&is_on, false, memory_order_relaxed);
    atomic_store_explicit(&has_holds, false, memory_order_relaxed);
    free(ring); /* only what it was before is freed by who changes it, and that one is not here */
    ring = NULL;
    size = first = count = lost_count = 0;
}
