/* Joinable threads.  What each function promises is in lt_handle.h. */
#include "lt_handle.h"

#include "lt_mutex.h"
#include "lt_thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { NEW, STARTING, RUNNING, DONE };

struct lt_handle {
    /* Held until the thread has ended; to join is to have it for a moment.  The first member, so
     * that the handle is where that is which others are seen to wait for. */
    lt_lock running;
    _Atomic uint32_t references;
    _Atomic uint32_t state;
    lt_word born;    /* 1: native_id is known, or never will be */
    _Atomic uintptr_t ident;
    int64_t native_id;
    /* The system still has the thread.  Who sets this to false joins or detaches it. */
    atomic_bool is_joinable;
    /* The thread has a reference.  Who sets this to false drops it. */
    atomic_bool has_thread;
    uintptr_t awaited_by; /* 0: nobody */
    lt_handle *previous, *next; /* in `handles`, from the claim on */
};

static lt_mutex mutex; /* of all below */
static lt_handle *handles;

/* With the mutex. */
static void enlist(lt_handle *h) {
    h->next = handles;
    if (handles != NULL) {
        handles->previous = h;
    }
    handles = h;
}

/* With the mutex. */
static void remove_from_list(lt_handle *h) {
    if (h->previous != NULL) {
        h->previous->next = h->next;
    } else if (handles == h) {
        handles = h->next;
    }
    if (h->next != NULL) {
        h->next->previous = h->previous;
    }
    h->previous = h->next = NULL;
}

/* ---- references ---- */

lt_handle *lt_handle_new(void) {
    lt_handle *h = calloc(1, sizeof(*h));
    if (h != NULL) {
        atomic_init(&h->references, 1);
        atomic_init(&h->running.word, LT_HELD);
    }
    return h;
}

lt_handle *lt_handle_of(uintptr_t ident) {
    lt_handle *h = lt_handle_new();
    if (h != NULL) {
        atomic_init(&h->state, RUNNING);
        atomic_init(&h->ident, ident);
        atomic_init(&h->born, 1);
        lt_mutex_lock(&mutex);
        enlist(h);
        lt_mutex_unlock(&mutex);
    }
    return h;
}

static void detach(lt_handle *h) {
    /* Relaxed, as in lt_handle_join(): only one gets it, and it guards nothing. */
    if (atomic_exchange_explicit(&h->is_joinable, false, memory_order_relaxed)) {
        (void)pthread_detach((pthread_t)lt_handle_ident(h));
    }
}

/* Drops a reference with the mutex held, which lt_handle_next_awaited() needs: it must not
 * find what is about to be freed.  Returns whether that was the last one. */
static bool drop_locked(lt_handle *h) {
    /* Release: what was done to the handle comes before its end; acquire: here. */
    if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1) {
        return false;
    }
    remove_from_list(h);
    return true;
}

void lt_handle_drop(lt_handle *h) {
    lt_mutex_lock(&mutex);
    bool is_last = drop_locked(h);
    lt_mutex_unlock(&mutex);
    if (is_last) {
        detach(h);
        free(h);
    }
}

/* ---- the life of the thread ---- */

bool lt_handle_claim(lt_handle *h, uintptr_t awaited_by) {
    uint32_t expected = NEW;
    /* With the mutex, for a fork in the middle of it would not find the handle. */
    lt_mutex_lock(&mutex);
    /* Relaxed, as in the next functions: the state guards nothing but itself, and who
     * waits for the end does that by the lock. */
    bool is_mine = atomic_compare_exchange_strong_explicit(
        &h->state, &expected, STARTING, memory_order_relaxed, memory_order_relaxed);
    if (is_mine) {
        atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
        /* Joinable before there is an ident: who joins, drops or sets it done comes
         * after. */
        atomic_store_explicit(&h->has_thread, true, memory_order_relaxed);
        atomic_store_explicit(&h->is_joinable, true, memory_order_relaxed);
        h->awaited_by = awaited_by;
        enlist(h);
    }
    lt_mutex_unlock(&mutex);
    return is_mine;
}

static void make_known(lt_handle *h, int64_t native_id) {
    h->native_id = native_id;
    atomic_store_explicit(&h->born, 1, memory_order_release);
    lt_wake(&h->born, INT32_MAX);
}

/* Once only: a lock that is free by then may be held by a joiner. */
static void finish(lt_handle *h) {
    if (atomic_exchange_explicit(&h->state, DONE, memory_order_acq_rel) != DONE) {
        (void)lt_lock_release(&h->running);
    }
}

static void drop_of_thread(lt_handle *h) {
    if (atomic_exchange_explicit(&h->has_thread, false, memory_order_relaxed)) {
        lt_handle_drop(h);
    }
}

/* Both the starter and the thread come here first, whichever is earlier: either may be
 * asked for the ident at once. */
void lt_handle_started(lt_handle *h, uintptr_t ident) {
    atomic_store_explicit(&h->ident, ident, memory_order_relaxed);
    uint32_t expected = STARTING;
    /* Release: who sees it running has the ident. */
    atomic_compare_exchange_strong_explicit(&h->state, &expected, RUNNING, memory_order_release,
                                            memory_order_relaxed);
}

void lt_handle_failed(lt_handle *h) {
    atomic_store_explicit(&h->is_joinable, false, memory_order_relaxed);
    make_known(h, 0);
    finish(h);
    drop_of_thread(h);
}

void lt_handle_begin(lt_handle *h) {
    lt_handle_started(h, lt_ident());
    make_known(h, lt_native_id());
}

void lt_handle_end(lt_handle *h) {
    finish(h);
    drop_of_thread(h);
}

/* ---- joining ---- */

/* After `before`; does not return where this thread must never run again. */
static void come_back(const lt_hooks *hooks, void *from_before) {
    if (hooks != NULL && !hooks->after(from_before)) {
        for (;;) {
            pause();
        }
    }
}

int lt_handle_join(lt_handle *h, int64_t since, int64_t deadline, const lt_hooks *hooks) {
    uint32_t state = atomic_load_explicit(&h->state, memory_order_relaxed);
    if (state == NEW) {
        return LT_NOT_STARTED;
    }
    if (state != DONE && lt_handle_ident(h) == lt_ident()) {
        return LT_IS_SELF;
    }
    lt_subject thread = {.kind = LT_FOR_THREAD,
                         .owner = &h->ident,
                         .checks = true,
                         .told = LT_TOLD_OF_INTERRUPTION};
    int verdict = lt_lock_acquire_for(&h->running, &thread, since, deadline, hooks);
    if (verdict != LT_ACQUIRED) {
        return verdict;
    }
    if (!atomic_exchange_explicit(&h->is_joinable, false, memory_order_relaxed)) {
        (void)lt_lock_release(&h->running);
        return LT_ACQUIRED;
    }
    /* What is left of the thread needs no GIL of ours, but may be the destructor of another
     * library's thread-local.  Others who join wait for the lock meanwhile. */
    void *state_before = hooks == NULL ? NULL : hooks->before();
    (void)pthread_join((pthread_t)lt_handle_ident(h), NULL);
    /* First of all, as this thread may end in `after`. */
    (void)lt_lock_release(&h->running);
    come_back(hooks, state_before);
    return LT_ACQUIRED;
}

/* Acquire: who sees that a thread has ended sees what it has done. */
bool lt_handle_is_done(lt_handle *h) {
    return atomic_load_explicit(&h->state, memory_order_acquire) == DONE;
}

bool lt_handle_set_done(lt_handle *h) {
    uint32_t state = atomic_load_explicit(&h->state, memory_order_acquire);
    if (state == NEW || state == STARTING) {
        return false;
    }
    detach(h);
    finish(h);
    return true;
}

uintptr_t lt_handle_ident(lt_handle *h) {
    return atomic_load_explicit(&h->ident, memory_order_relaxed);
}

/* Acquire pairs with make_known(). */
static bool is_known(lt_handle *h) {
    return atomic_load_explicit(&h->born, memory_order_acquire) != 0;
}

int64_t lt_handle_native_id(lt_handle *h, const lt_hooks *hooks) {
    if (atomic_load_explicit(&h->state, memory_order_relaxed) == NEW) {
        return 0;
    }
    if (!is_known(h)) {
        void *state = hooks == NULL ? NULL : hooks->before();
        while (!is_known(h)) {
            (void)lt_wait(&h->born, 0, LT_FOREVER);
        }
        come_back(hooks, state);
    }
    return h->native_id;
}

/* ---- the exit ---- */

lt_handle *lt_handle_next_awaited(uintptr_t awaited_by) {
    lt_mutex_lock(&mutex);
    lt_handle *h = handles;
    while (h != NULL && (h->awaited_by != awaited_by || lt_handle_is_done(h) ||
                         lt_handle_ident(h) == lt_ident())) {
        h = h->next;
    }
    if (h != NULL) {
        atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
    }
    lt_mutex_unlock(&mutex);
    return h;
}

/* ---- sentinels ----
 *
 * A slot belongs to its thread until that ends.  It is known to the thread by a key, whose
 * destructor runs at the very end, and to the lock by its number. */

typedef struct {
    lt_lock *lock; /* NULL: none, or forgotten */
    uint32_t next_free;
} slot;

static slot *slots; /* number n is slots[n - 1] */
static uint32_t n_slots, first_free;
static pthread_key_t key;

/* With the mutex; 0 if there is no memory. */
static uint32_t take_slot(void) {
    uint32_t number = first_free;
    if (number != 0) {
        first_free = slots[number - 1].next_free;
        return number;
    }
    uint32_t more = n_slots == 0 ? 16 : 2 * n_slots;
    slot *larger = realloc(slots, more * sizeof(*slots));
    if (larger == NULL) {
        return 0;
    }
    slots = larger;
    for (uint32_t n = more; n > n_slots + 1; n--) {
        slots[n - 1] = (slot){.next_free = first_free};
        first_free = n;
    }
    number = n_slots + 1;
    n_slots = more;
    return number;
}

static void give_back_slot(uint32_t number) {
    slots[number - 1] = (slot){.next_free = first_free};
    first_free = number;
}

bool lt_sentinel_set(lt_lock *lock, uint32_t *number) {
    uint32_t mine = (uint32_t)(uintptr_t)pthread_getspecific(key);
    lt_mutex_lock(&mutex);
    if (mine == 0) {
        mine = take_slot();
        if (mine != 0 && pthread_setspecific(key, (void *)(uintptr_t)mine) != 0) {
            give_back_slot(mine);
            mine = 0;
        }
    }
    if (mine != 0) {
        slots[mine - 1].lock = lock;
        *number = mine;
    }
    lt_mutex_unlock(&mutex);
    return mine != 0;
}

/* With the mutex, so that who frees the lock waits until it is released. */
void lt_sentinel_forget(lt_lock *lock, uint32_t number) {
    lt_mutex_lock(&mutex);
    if (number != 0 && slots[number - 1].lock == lock) {
        slots[number - 1].lock = NULL;
    }
    lt_mutex_unlock(&mutex);
}

static void end_of_thread(void *value) {
    uint32_t number = (uint32_t)(uintptr_t)value;
    /* What the interpreter leaves behind when it is gone may be no lock any more. */
    bool is_early_enough = lt_gate_enter();
    lt_mutex_lock(&mutex);
    if (is_early_enough && slots[number - 1].lock != NULL) {
        (void)lt_lock_release(slots[number - 1].lock);
    }
    give_back_slot(number);
    lt_mutex_unlock(&mutex);
    if (is_early_enough) {
        lt_gate_leave();
    }
}

int lt_handle_init(void) { return pthread_key_create(&key, end_of_thread); }

/* ---- fork ---- */

void lt_handle_before_fork(void) { lt_mutex_lock(&mutex); }

static void lose_thread(lt_handle *h) {
    /* Neither joined nor detached: there is no such thread. */
    atomic_store_explicit(&h->is_joinable, false, memory_order_relaxed);
    atomic_store_explicit(&h->state, DONE, memory_order_relaxed);
    if (atomic_load_explicit(&h->born, memory_order_relaxed) == 0) {
        h->native_id = 0;
        atomic_store_explicit(&h->born, 1, memory_order_relaxed);
    }
    lt_lock_reset(&h->running);
    if (atomic_exchange_explicit(&h->has_thread, false, memory_order_relaxed) && drop_locked(h)) {
        free(h);
    }
}

void lt_handle_after_fork(bool in_child) {
    if (in_child) {
        for (lt_handle *h = handles, *next; h != NULL; h = next) {
            next = h->next;
            bool is_mine = lt_handle_ident(h) == lt_ident() &&
                           (atomic_load_explicit(&h->has_thread, memory_order_relaxed) ||
                            !lt_handle_is_done(h));
            if (!is_mine) {
                lose_thread(h);
            } else if (h->native_id != 0) {
                h->native_id = lt_native_id(); /* the system has given it another */
            }
        }
        uint32_t mine = (uint32_t)(uintptr_t)pthread_getspecific(key);
        first_free = 0;
        for (uint32_t number = n_slots; number > 0; number--) {
            if (number != mine) {
                give_back_slot(number);
            }
        }
    }
    lt_mutex_unlock(&mutex);
}
