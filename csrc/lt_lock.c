/* The slow paths of the lock: the queue of those who wait.  lt_lock.h has the
 * protocol; "the invariant" below is the one stated there. */
#include "lt_lock.h"

#include "lt_mutex.h"
#include "lt_park.h"

#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

const int64_t lt_lock_patience_ns = LT_NS_PER_MS;

/* A notified waiter that does not come for this long is not waited for: it may
 * be stopped for ever at the interpreter's exit.  If it is only slow (it needs
 * the GIL first), it finds the lock taken and sleeps on, in its old place. */
#ifndef LT_LOCK_LAPSE_MS /* the tests of the core set more */
#define LT_LOCK_LAPSE_MS 100
#endif
const int64_t lt_lock_lapse_ns = LT_LOCK_LAPSE_MS * LT_NS_PER_MS;

uint32_t lt_lock_generation;

typedef struct waiter {
    struct waiter *next, *prev;
    lt_lock *lock;
    lt_parker *parker;
    lt_subject subject;
    uintptr_t ident;
    int64_t since, deadline;
    uint32_t word;       /* of the lock, when it got into the queue */
    uintptr_t had_by;    /* ... and who had it then; 0: not known, see tell_who_had_it() */
    int64_t held_from;   /* see note_holder(); 0: nothing is noted here */
    int64_t notified_at; /* 0: asleep, or about to be */
    bool reserved;       /* the lock's RESERVED is for this waiter */
    bool granted;        /* got it by reservation, and another thread released it */
} waiter;

typedef struct {
    _Alignas(64) lt_mutex mutex;
    waiter *first, *last; /* by `since`; of all locks with this hash */
    const lt_lock *left;  /* the last lock whose only waiter has left, and what it had noted */
    int64_t left_from;
    int64_t fair_again;   /* no reservation before this time */
    int notifier;         /* the processor of the last one, plus 1; 0: not known */
    uint8_t misses;       /* how many waits in succession were awake in vain ... */
    uint8_t skips;        /* ... and how many are therefore not to try it */
    uint8_t brief;        /* how many for `waited_for` were brief: see lt_record_note_at() */
    const lt_lock *waited_for;
} bucket;

enum { BUCKETS = 256 };
static bucket buckets[BUCKETS];

static bucket *bucket_of(const lt_lock *lock) {
    /* Fibonacci hashing: the product's high bits depend on all of the address. */
    uint64_t a = (uint64_t)(uintptr_t)lock * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[a >> 56];
}

/* ---- the queue; all of it with the bucket's mutex held ---- */

static void enqueue(bucket *b, waiter *w) {
    /* A waiter that comes back from a signal handler has its old `since`, and
     * so its old place. */
    waiter *before = b->last;
    while (before != NULL && before->since > w->since) {
        before = before->prev;
    }
    w->prev = before;
    w->next = before == NULL ? b->first : before->next;
    *(w->prev == NULL ? &b->first : &w->prev->next) = w;
    *(w->next == NULL ? &b->last : &w->next->prev) = w;
}

static waiter *waiter_other_than(const bucket *b, const waiter *me) {
    waiter *w = b->first;
    while (w != NULL && (w->lock != me->lock || w == me)) {
        w = w->next;
    }
    return w;
}

/* For who waits next, while WAITERS is set: see note_again(). */
static void leave_note(bucket *b, const waiter *w) {
    b->left = w->lock;
    b->left_from = w->held_from;
}

static void dequeue(bucket *b, waiter *w) {
    *(w->prev == NULL ? &b->first : &w->prev->next) = w->next;
    *(w->next == NULL ? &b->last : &w->next->prev) = w->prev;
    if (w->held_from == 0) {
        return;
    }
    waiter *heir = waiter_other_than(b, w);
    if (heir == NULL) {
        leave_note(b, w);
    } else if (heir->held_from < w->held_from) {
        heir->held_from = w->held_from;
    }
}

/* WAITERS was set now, and while it is, nobody releases the lock without taking the mutex: so who
 * has it has it from now on at least.  The latest note in the queue is the one that counts. */
static void note_holder(waiter *in_queue) {
    if (in_queue != NULL) {
        in_queue->held_from = lt_now();
    }
}

/* WAITERS was set already, but nobody else is there to have noted it: one that was has left, maybe
 * only for a signal handler or a look, and may be the same. */
static void note_again(const bucket *b, waiter *me) {
    if (b->left == me->lock) {
        me->held_from = b->left_from;
    } else {
        note_holder(me);
    }
}

static bool has_lapsed(const waiter *w, int64_t now) {
    return w->notified_at != 0 && now - w->notified_at > lt_lock_lapse_ns;
}

/* The one to notify next; those that did not come are passed over. */
static waiter *first_waiter(const bucket *b, const lt_lock *lock, int64_t now) {
    waiter *w = b->first;
    while (w != NULL && (w->lock != lock || has_lapsed(w, now))) {
        w = w->next;
    }
    return w;
}

static waiter *reserved_waiter(const bucket *b, const lt_lock *lock) {
    waiter *w = b->first;
    while (w != NULL && (w->lock != lock || !w->reserved)) {
        w = w->next;
    }
    return w;
}

static uintptr_t promised_to(const bucket *b, const lt_lock *lock) {
    const waiter *w = reserved_waiter(b, lock);
    return w == NULL ? 0 : w->ident;
}

static bool has_other(const bucket *b, const waiter *me) {
    return waiter_other_than(b, me) != NULL;
}

/* Returns whom to wake once the mutex is free, or NULL. */
static lt_parker *notify(bucket *b, waiter *w, int64_t now) {
    if (w->notified_at != 0) {
        return NULL; /* is on its way already */
    }
    w->notified_at = now;
    b->notifier = lt_processor() + 1;
    return lt_parker_notify(w->parker) ? w->parker : NULL;
}

static uint32_t look(const lt_lock *lock) {
    /* Relaxed: only ever a guess for a compare-and-swap, or about bits that
     * change under the bucket's mutex alone. */
    return atomic_load_explicit(&lock->word, memory_order_relaxed);
}

/* The mutex keeps WAITERS and RESERVED still, but the fast paths go between FREE
 * and HELD as they like: hence a compare-and-swap, in a loop, everywhere. */
static bool change(lt_lock *lock, uint32_t from, uint32_t to) {
    /* Acquire for who takes the lock, release for who gives it back; the slow
     * path does not mind both. */
    return atomic_compare_exchange_strong_explicit(&lock->word, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* Takes the lock for `me`, who may be queued, or sees to it that the next release
 * notifies. */
static bool claim(bucket *b, waiter *me) {
    for (;;) {
        uint32_t word = look(me->lock);
        if (word == LT_RESERVED) {
            waiter *other = reserved_waiter(b, me->lock);
            if (other != NULL && other != me && !has_lapsed(other, lt_now())) {
                return false; /* that one is notified: the invariant holds */
            }
            if (other != NULL) {
                other->reserved = false;
            }
        } else if (word != LT_FREE) {
            bool is_set = word & LT_WAITERS;
            if (!is_set && !change(me->lock, word, word | LT_WAITERS)) {
                continue;
            }
            waiter *other = waiter_other_than(b, me);
            if (!is_set) {
                note_holder(other != NULL ? other : me);
                if (other == NULL) {
                    leave_note(b, me); /* who may not come to be in the queue */
                }
            } else if (other == NULL && me->held_from == 0) { /* else somebody noted it */
                note_again(b, me);
            }
            return false;
        }
        if (change(me->lock, word, lt_held_by_me() | (has_other(b, me) ? LT_WAITERS : 0))) {
            note_holder(waiter_other_than(b, me));
            return true;
        }
    }
}

/* `me` has left the queue without the lock, and without a last claim(): if it was notified,
 * somebody else has to be, for the invariant's sake. */
static lt_parker *pass_on(bucket *b, const waiter *me) {
    if (me->notified_at == 0) {
        return NULL;
    }
    int64_t now = lt_now();
    for (;;) {
        uint32_t word = look(me->lock);
        if (word == LT_RESERVED) {
            if (!me->reserved) {
                return NULL; /* for another, who is notified */
            }
            if (!change(me->lock, word, LT_FREE)) {
                continue;
            }
            word = LT_FREE;
        }
        waiter *next = first_waiter(b, me->lock, now);
        if (next == NULL || (word & LT_WAITERS)) {
            return NULL;
        }
        if (word == LT_FREE) {
            return notify(b, next, now);
        }
        if (change(me->lock, word, word | LT_WAITERS)) {
            note_holder(next);
            return NULL;
        }
    }
}

/* ---- waiting awake ---- */

/* Not where the one to wait for needs this processor, nor where it was in vain of late.  A
 * lock is new to us more often than not (threading.Condition makes one for each wait), but
 * rarely its address; so what was learnt is kept with the bucket. */
static bool is_worth_a_try(bucket *b) {
    if (b->skips != 0) {
        b->skips--;
        return false;
    }
    return b->notifier == 0 || b->notifier != lt_processor() + 1;
}

static void learn(bucket *b, bool was_in_time) {
    enum { MOST = 6 }; /* one of 64 */
    if (was_in_time) {
        b->misses = 0;
    } else {
        b->misses = (uint8_t)(b->misses + (b->misses < MOST));
        b->skips = (uint8_t)((1U << b->misses) - 1);
    }
}

/* ---- who has it ---- */

bool lt_lock_was_taken_by(lt_lock *lock, uintptr_t ident) {
    uint32_t word = look(lock);
    return (word & LT_HELD) && (word & LT_HOLDER) == lt_holder_of(ident);
}

/* How many forks lie behind this process, and of the one thread that came through the last:
 * how many lay behind the process in which it began. */
static unsigned forks, survivor_born;
static uintptr_t survivor;

enum { GENERATIONS = 32, ONE_GENERATION = 8 };

static void begin_generation(void) {
    if (survivor != lt_ident()) {
        survivor = lt_ident();
        survivor_born = forks;
    }
    forks++;
    lt_lock_generation = forks % GENERATIONS * ONE_GENERATION;
}

/* By bits alone it could be a lost thread that had the same ident: in a child, idents are
 * given to new threads. */
static bool is_mine(uint32_t word) {
    unsigned age = (forks - (word & LT_GENERATION) / ONE_GENERATION) % GENERATIONS;
    unsigned my_age = survivor == lt_ident() ? forks - survivor_born : 0;
    return (word & LT_HOLDER) == lt_holder_of(lt_ident()) && age <= my_age;
}

bool lt_lock_is_abandoned(lt_lock *lock) {
    uint32_t word = look(lock);
    /* Without a holder: by the core itself, as a handle's.  Looked at again in the end, for
     * another thread may have released it, and then ended. */
    return (word & LT_HELD) && (word & LT_GENERATION) != lt_lock_generation &&
           (word & LT_HOLDER) != 0 && !is_mine(word) && lt_is_only_thread() &&
           ((look(lock) ^ word) & ~(uint32_t)LT_WAITERS) == 0;
}

/* ---- acquire ---- */

static void wake(lt_parker *parker) {
    if (parker != NULL) {
        lt_parker_wake(parker);
    }
}

/* The end of a wait without the lock, also of one cut off by pthread_exit(). */
static void abandon(void *arg) {
    waiter *me = arg;
    bucket *b = bucket_of(me->lock);
    lt_mutex_lock(&b->mutex);
    if (!me->granted) {
        dequeue(b, me);
    }
    lt_parker_forget(me->parker);
    lt_parker *next = me->granted ? NULL : pass_on(b, me);
    lt_mutex_unlock(&b->mutex);
    wake(next);
}

/* Sleeps once, with the hooks around it; `me` leaves the queue if this thread
 * does not come back.  If `*awake`, tries to do without the sleep first, and says there
 * whether that went well. */
static int sleep_in_queue(waiter *me, bool *awake, int64_t deadline, const lt_hooks *hooks) {
    void *state = hooks == NULL ? NULL : hooks->before();
    if (*awake) {
        *awake = lt_parker_spin(me->parker, deadline, hooks == NULL ? 0 : hooks->settle_ns);
    }
    int why = lt_park(me->parker, me->since, deadline);
    if (hooks == NULL) {
        return why;
    }
    bool goes_on = false;
    pthread_cleanup_push(abandon, me);
    goes_on = hooks->after(state);
    pthread_cleanup_pop(!goes_on);
    if (!goes_on) {
        for (;;) {
            pause();
        }
    }
    return why;
}

bool lt_lock_try_reserved(lt_lock *lock) {
    waiter me = {.lock = lock}; /* never queued */
    bucket *b = bucket_of(lock);
    lt_mutex_lock(&b->mutex);
    bool taken = claim(b, &me);
    lt_mutex_unlock(&b->mutex);
    return taken;
}

/* Relaxed: it is a number that guards nothing. */
static _Atomic int64_t check_after;

void lt_check_after(int64_t ns) { atomic_store_explicit(&check_after, ns, memory_order_relaxed); }

static bool has_no_timeout(int64_t deadline) {
    return deadline >= LT_FOREVER - 1; /* the latter where it is known not to be in vain */
}

bool lt_check_is_due(int64_t since, int64_t deadline) {
    int64_t after = atomic_load_explicit(&check_after, memory_order_relaxed);
    return after != 0 && has_no_timeout(deadline) && lt_now() - since >= after;
}

/* With the mutex: how many waits for the same lock have been brief, up to now.  None where that does
 * not matter: one with a timeout sets a timer anyway, and one for a thread is to be noted while that
 * has a name. */
static unsigned brief_ones(const bucket *b, const waiter *me) {
    bool matters = has_no_timeout(me->deadline) && me->subject.kind != LT_FOR_THREAD;
    return matters && b->waited_for == me->lock ? b->brief : 0;
}

/* The deadline of one sleep: that of the wait, or when its caller is to look. */
static int64_t next_look(int64_t since, int64_t now, int64_t deadline, unsigned brief) {
    int64_t after = atomic_load_explicit(&check_after, memory_order_relaxed);
    if ((after == 0 || !has_no_timeout(deadline)) && !lt_is_recording()) {
        return deadline;
    }
    int64_t until = deadline;
    if (after != 0 && has_no_timeout(deadline)) {
        while (after <= now - since) {
            after *= 2; /* no overflow: it has lasted that long */
        }
        until = after < deadline - since ? since + after : deadline;
    }
    int64_t note_at = lt_record_note_at(since, now, brief);
    return note_at < until ? note_at : until;
}

static uintptr_t owner_of(const waiter *w, uint32_t word) {
    /* Relaxed: nothing is done with it but to tell it. */
    return w->subject.owner == NULL || !(word & LT_HELD)
               ? 0
               : atomic_load_explicit(w->subject.owner, memory_order_relaxed);
}

/* The rest of lt_lock_acquire_for(), for who is in the queue. */
static int wait_in_queue(bucket *b, waiter *me, int64_t now, bool tries, unsigned brief,
                         const lt_hooks *hooks) {
    int64_t until =
        me->subject.checks ? next_look(me->since, now, me->deadline, brief) : me->deadline;
    for (;;) {
        bool awake = tries;
        int why = sleep_in_queue(me, &awake, until, hooks);

        lt_mutex_lock(&b->mutex);
        if (tries) {
            learn(b, awake);
            tries = false;
        }
        lt_parker_forget(me->parker);
        if (me->granted) {
            lt_mutex_unlock(&b->mutex);
            return LT_ACQUIRED;
        }
        /* Also when a handler is due, which then runs once the caller has the lock, as one
         * that comes a moment later: who released it, and interrupted the main thread after
         * that, had ended this wait before. */
        if (claim(b, me)) {
            dequeue(b, me);
            lt_mutex_unlock(&b->mutex);
            return LT_ACQUIRED;
        }
        if (why != LT_WOKEN) {
            dequeue(b, me); /* and nothing to pass on: claim() has kept the invariant */
            lt_mutex_unlock(&b->mutex);
            return why == LT_SIGNAL || until < me->deadline ? LT_INTERRUPTED : LT_TIMED_OUT;
        }
        me->notified_at = 0; /* somebody was faster; claim() has set WAITERS */
        me->reserved = false;
        lt_mutex_unlock(&b->mutex);
    }
}

static void learn_length(const lt_lock *lock, int64_t length, bool goes_on) {
    if (!lt_record_may_be_later()) {
        return;
    }
    bool is_brief = lt_record_is_brief(length);
    if (is_brief && goes_on) { /* so that is not known yet */
        return;
    }
    bucket *b = bucket_of(lock);
    lt_mutex_lock(&b->mutex);
    if (!is_brief || b->waited_for != lock) {
        b->waited_for = lock;
        b->brief = 0;
    }
    b->brief = (uint8_t)(b->brief + (is_brief && b->brief < LT_MOST_BRIEF));
    lt_mutex_unlock(&b->mutex);
}

/* Has a wait written down that is over, or that its caller has found to be over when it came back;
 * returns its verdict. */
static int record(const waiter *me, int verdict) {
    if (me->subject.kind == LT_FOR_CORE) {
        return verdict;
    }
    int64_t until = lt_now();
    learn_length(me->lock, until - me->since, verdict == LT_INTERRUPTED);
    lt_record(&(lt_wait_done){.lock = (uintptr_t)me->lock,
                              .waiter = me->ident,
                              .owner = me->had_by,
                              .word = me->word,
                              .kind = me->subject.kind,
                              .since = me->since,
                              .until = until,
                              .verdict = verdict},
              me->subject.told);
    return verdict;
}

int lt_lock_acquire_for(lt_lock *lock, const lt_subject *subject, int64_t since, int64_t deadline,
                        const lt_hooks *hooks) {
    lt_parker own = {0};
    waiter me = {.lock = lock,
                 .parker = lt_parker_of(&own),
                 .subject = subject == NULL ? (lt_subject){.kind = LT_FOR_LOCK} : *subject,
                 .ident = lt_ident(),
                 .since = since,
                 .deadline = deadline};
    bucket *b = bucket_of(lock);
    bool is_free = lt_lock_try(lock);
    if (!is_free) {
        lt_mutex_lock(&b->mutex);
        is_free = claim(b, &me);
        if (is_free) {
            lt_mutex_unlock(&b->mutex);
        }
    }
    if (is_free) {
        return lt_record_is_long(since) ? record(&me, LT_ACQUIRED) : LT_ACQUIRED;
    }
    if (deadline == LT_FOREVER && lt_lock_is_abandoned(lock)) {
        lt_mutex_unlock(&b->mutex);
        return LT_ABANDONED;
    }
    if (deadline != LT_FOREVER && deadline <= lt_now()) {
        /* claim() may have set WAITERS for nobody, which costs the next release
         * a look into an empty queue. */
        lt_mutex_unlock(&b->mutex);
        return lt_record_is_long(since) ? record(&me, LT_TIMED_OUT) : LT_TIMED_OUT;
    }
    /* Only once: a signal that comes while it is awake ends no sleep, and the longer the
     * wait, the longer the nap before the main thread looks again. */
    int64_t now = lt_now();
    bool is_new = now - since < LT_NS_PER_MS;
    bool tries = is_new && !has_other(b, &me) && is_worth_a_try(b);
    enqueue(b, &me);
    me.word = look(lock);
    me.had_by = me.word == LT_RESERVED ? promised_to(b, lock) : owner_of(&me, me.word);
    unsigned brief = brief_ones(b, &me);
    lt_mutex_unlock(&b->mutex);
    int verdict = wait_in_queue(b, &me, now, tries, brief, hooks);
    return lt_is_recording() ? record(&me, verdict) : verdict;
}

/* ---- release ---- */

/* With the mutex, before it is free: who releases what it took itself says so to those who have begun
 * to wait meanwhile.  They know a few bits of its ident, which tell it of no name. */
static void tell_who_had_it(bucket *b, const lt_lock *lock, uint32_t word) {
    if (!lt_is_recording() || (word & LT_HOLDER) != lt_holder_of(lt_ident())) {
        return;
    }
    for (waiter *w = b->first; w != NULL; w = w->next) {
        if (w->lock == lock && w->had_by == 0 && (w->word & LT_HOLDER) == (word & LT_HOLDER)) {
            w->had_by = lt_ident();
        }
    }
}

int lt_lock_release_slow(lt_lock *lock) {
    bucket *b = bucket_of(lock);
    lt_mutex_lock(&b->mutex);
    int64_t now = lt_now();
    waiter *promised = NULL;
    if (look(lock) == LT_RESERVED) {
        /* It was handed to a waiter that has not run yet: as far as anybody can
         * tell, that one has it and this releases it on its behalf. */
        promised = reserved_waiter(b, lock);
        if (promised != NULL) {
            promised->granted = true;
            dequeue(b, promised);
        }
    }
    int verdict = LT_NOT_HELD;
    lt_parker *next = NULL;
    for (;;) {
        uint32_t word = look(lock);
        if (word == LT_FREE || (word == LT_RESERVED && promised == NULL)) {
            break;
        }
        waiter *w = first_waiter(b, lock, now);
        bool reserve = w != NULL && now - w->since > lt_lock_patience_ns && now >= b->fair_again;
        if (!change(lock, word, reserve ? LT_RESERVED : LT_FREE)) {
            continue;
        }
        if (w != NULL) {
            next = notify(b, w, now);
        }
        if (reserve) {
            w->reserved = true;
            w->notified_at = now; /* the promise lasts from now on */
            b->fair_again = now + lt_lock_patience_ns;
        }
        tell_who_had_it(b, lock, word);
        verdict = LT_RELEASED;
        break;
    }
    lt_mutex_unlock(&b->mutex);
    wake(next);
    return verdict;
}

int lt_lock_release_told(lt_lock *lock) {
    /* Before it is released: then another may have it, and tell of that first. */
    if (lt_is_recording_holds() && lt_lock_was_taken_by(lock, lt_ident())) {
        lt_record_hold((uintptr_t)lock, LT_FOR_LOCK, LT_HOLD_ENDS);
    }
    return lt_lock_release(lock);
}

void lt_lock_reset(lt_lock *lock) {
    bucket *b = bucket_of(lock);
    lt_mutex_lock(&b->mutex);
    waiter *promised = reserved_waiter(b, lock);
    if (promised != NULL) {
        promised->reserved = false; /* it is on its way, and may take its chance */
    }
    /* Release, as for any other way to give a lock back. */
    atomic_store_explicit(&lock->word, LT_FREE, memory_order_release);
    int64_t now = lt_now();
    waiter *w = first_waiter(b, lock, now);
    lt_parker *next = w == NULL ? NULL : notify(b, w, now);
    lt_mutex_unlock(&b->mutex);
    wake(next);
}

/* ---- looking ---- */

/* Without the bits of a holder that is not here any more; another may have the same ident. */
static uint32_t tell_word(uint32_t word) {
    bool is_lost = (word & LT_GENERATION) != lt_lock_generation &&
                   (survivor == 0 || (word & LT_HOLDER) != lt_holder_of(survivor));
    return is_lost ? word & ~LT_HOLDER : word;
}

uint32_t lt_lock_word(lt_lock *lock) { return tell_word(look(lock)); }

uintptr_t lt_lock_promised_to(lt_lock *lock) {
    bucket *b = bucket_of(lock);
    lt_mutex_lock(&b->mutex);
    uintptr_t ident = promised_to(b, lock);
    lt_mutex_unlock(&b->mutex);
    return ident;
}

static int64_t held_from(const waiter *first) {
    int64_t latest = 0;
    for (const waiter *w = first; w != NULL; w = w->next) {
        if (w->lock == first->lock && w->held_from > latest) {
            latest = w->held_from;
        }
    }
    return latest;
}

static bool is_first_for_its_lock(const waiter *w) {
    for (const waiter *before = w->prev; before != NULL; before = before->prev) {
        if (before->lock == w->lock) {
            return false;
        }
    }
    return true;
}

size_t lt_waits(lt_wait_seen *into, size_t room) {
    size_t n = 0;
    for (int i = 0; i < BUCKETS; i++) {
        bucket *b = &buckets[i];
        lt_mutex_lock(&b->mutex);
        for (const waiter *first = b->first; first != NULL; first = first->next) {
            if (first->subject.kind == LT_FOR_CORE || !is_first_for_its_lock(first)) {
                continue;
            }
            uint32_t word = look(first->lock);
            lt_wait_seen seen = {
                .lock = (uintptr_t)first->lock,
                .word = tell_word(word),
                .kind = first->subject.kind,
                .owner = owner_of(first, word),
                .held_from = (word & LT_WAITERS) ? held_from(first) : 0,
            };
            for (const waiter *w = first; w != NULL; w = w->next) {
                if (w->lock != first->lock) {
                    continue;
                }
                if (n < room) {
                    seen.waiter = w->ident;
                    seen.since = w->since;
                    seen.deadline = w->deadline;
                    into[n] = seen;
                }
                n++;
            }
        }
        lt_mutex_unlock(&b->mutex);
    }
    return n;
}

void lt_lock_after_fork(void) {
    for (int i = 0; i < BUCKETS; i++) {
        buckets[i] = (bucket){.first = NULL};
    }
    begin_generation();
}
