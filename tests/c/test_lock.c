/* The lock: exclusion, time, fairness, and all the ways a wait can end. */
#include "lt_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

enum { THREADS = 6 };

static uint32_t word_of(lt_lock *lock) { return atomic_load(&lock->word) & LT_STATE; }

/* ---- what one thread sees ---- */

static void zero_is_free(void) {
    lt_lock lock = {0};
    CHECK(!lt_lock_is_held(&lock));
    CHECK(lt_lock_try(&lock));
    CHECK(lt_lock_is_held(&lock));
    CHECK(!lt_lock_try(&lock));
    release(&lock);
    CHECK(word_of(&lock) == LT_FREE);
}

static void releasing_a_free_lock_changes_nothing(void) {
    lt_lock lock = {0};
    CHECK(lt_lock_release(&lock) == LT_NOT_HELD);
    CHECK(word_of(&lock) == LT_FREE);
    acquire(&lock);
    release(&lock);
    CHECK(lt_lock_release(&lock) == LT_NOT_HELD);
}

static void a_timeout_is_never_short(void) {
    lt_lock lock = {0};
    acquire(&lock);
    for (int ms = 0; ms <= 30; ms += 6) {
        int64_t begin = lt_now();
        CHECK(!acquire_within(&lock, ms * MS));
        CHECK(lt_now() - begin >= ms * MS);
    }
    CHECK(lt_lock_acquire(&lock, 0, INT64_MIN, NULL) == LT_TIMED_OUT);
    release(&lock); /* WAITERS was set for nobody who is left */
    CHECK(word_of(&lock) == LT_FREE);
}

static void reset_frees(void) {
    lt_lock lock = {0};
    acquire(&lock);
    lt_lock_reset(&lock);
    CHECK(!lt_lock_is_held(&lock));
    lt_lock_reset(&lock);
    acquire(&lock);
    release(&lock);
}

/* ---- many threads ---- */

static lt_lock shared;
static long counter; /* not atomic: a data race if the lock does not exclude */

static void *counts(void *arg) {
    (void)arg;
    for (int i = 0; i < TIMES(20000); i++) {
        acquire(&shared);
        counter++;
        release(&shared);
    }
    return NULL;
}

static void only_one_has_it(void) {
    counter = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = spawn(counts, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(counter == TIMES(20000L) * THREADS);
    CHECK(word_of(&shared) == LT_FREE);
}

/* Timeouts, tries and releases by whoever: whatever the order, nothing is lost and
 * nothing is had twice. */
static atomic_int holders;

static void *gives_up_often(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    int held = 0;
    for (int i = 0; i < TIMES(4000); i++) {
        int64_t patience = rand_r(&seed) % 200 * 1000;
        if (rand_r(&seed) % 8 == 0 ? lt_lock_try(&shared) : acquire_within(&shared, patience)) {
            CHECK(atomic_fetch_add(&holders, 1) == 0);
            counter++;
            held++;
            if (rand_r(&seed) % 16 == 0) {
                sleep_ms(1);
            }
            CHECK(atomic_fetch_sub(&holders, 1) == 1);
            release(&shared);
        }
    }
    CHECK(held > 0);
    return NULL;
}

static void timeouts_lose_no_wake_up(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = spawn(gives_up_often, (void *)(i + 1));
    }
    /* One that never gives up: it would sleep for ever on a lost wake-up. */
    counts(NULL);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(word_of(&shared) == LT_FREE);
}

static lt_lock ping, pong;

static void *answers(void *arg) {
    (void)arg;
    for (int i = 0; i < TIMES(2000); i++) {
        acquire(&ping);
        release(&pong);
    }
    return NULL;
}

static void any_thread_may_release(void) {
    acquire(&ping);
    acquire(&pong);
    pthread_t thread = spawn(answers, NULL);
    for (int i = 0; i < TIMES(2000); i++) {
        release(&ping);
        acquire(&pong);
    }
    join(thread);
    release(&ping);
    release(&pong);
}

/* ---- fairness ---- */

static atomic_int got_it;

static void *wants_it(void *arg) {
    (void)arg;
    acquire(&shared);
    atomic_fetch_add(&got_it, 1);
    release(&shared);
    return NULL;
}

static void a_greedy_thread_starves_nobody(void) {
    atomic_store(&got_it, 0);
    acquire(&shared);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = spawn(wants_it, NULL);
    }
    while (atomic_load(&got_it) < THREADS) {
        release(&shared);
        acquire(&shared); /* at once: who was woken comes too late */
    }
    release(&shared);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

/* ---- a waiter that is held up on its way to the lock, like one that has to get
 * the GIL first ---- */

enum { COMES_BACK, EXITS, STAYS_OUT };

typedef struct {
    lt_lock *lock;
    int64_t patience;
    int fate;
    int verdict;
    pthread_t thread;
} slow_waiter;

static atomic_int arrived; /* how many are between sleep and lock */
static lt_lock barrier;    /* held: they stay there */
static _Thread_local slow_waiter *this_waiter;

static void *slow_before(void) { return this_waiter; }

static bool slow_after(void *state) {
    slow_waiter *w = state;
    CHECK(w == this_waiter);
    atomic_fetch_add(&arrived, 1);
    acquire(&barrier);
    release(&barrier);
    if (w->fate == EXITS) {
        pthread_exit(NULL);
    }
    return w->fate != STAYS_OUT;
}

static const lt_hooks slow_hooks = {slow_before, slow_after, 0};

static void *waits_slowly(void *arg) {
    slow_waiter *w = this_waiter = arg;
    int64_t since = lt_now();
    int64_t deadline = w->patience == LT_FOREVER ? LT_FOREVER : since + w->patience;
    w->verdict = lt_lock_acquire(w->lock, since, deadline, &slow_hooks);
    return NULL;
}

static slow_waiter *start_slow(lt_lock *lock, int64_t patience, int fate) {
    slow_waiter *w = calloc(1, sizeof(*w));
    *w = (slow_waiter){.lock = lock, .patience = patience, .fate = fate, .verdict = -1};
    atomic_store(&arrived, 0);
    w->thread = spawn(waits_slowly, w);
    return w;
}

static int end_slow(slow_waiter *w) {
    join(w->thread);
    int verdict = w->verdict;
    free(w);
    return verdict;
}

static void until_arrived(void) {
    while (atomic_load(&arrived) == 0) {
        sleep_ms(1);
    }
}

/* Leaves `lock` reserved for a waiter that is held up until `barrier` is released. */
static slow_waiter *reserve(lt_lock *lock, int64_t patience, int fate) {
    acquire(&barrier);
    acquire(lock);
    slow_waiter *w = start_slow(lock, patience, fate);
    until_waited_for(lock); /* longer than lt_lock_patience_ns */
    release(lock);
    until_arrived();
    CHECK(word_of(lock) == LT_RESERVED);
    return w;
}

static void a_reserved_lock_is_not_to_be_had(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, COMES_BACK);
    CHECK(!lt_lock_is_held(&lock)); /* yet */
    CHECK(!lt_lock_try(&lock));
    CHECK(!acquire_within(&lock, 0));
    release(&barrier);
    CHECK(end_slow(w) == LT_ACQUIRED);
    CHECK(lt_lock_is_held(&lock));
    release(&lock);
}

static void a_reserved_lock_can_be_released(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, COMES_BACK);
    release(&lock); /* as if the waiter had had it already */
    CHECK(!lt_lock_is_held(&lock));
    CHECK(lt_lock_release(&lock) == LT_NOT_HELD);
    acquire(&lock);
    release(&barrier);
    CHECK(end_slow(w) == LT_ACQUIRED); /* it had it, and another released it */
    CHECK(word_of(&lock) == LT_HELD);
    release(&lock);
}

static void a_reset_ends_a_reservation(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, COMES_BACK);
    lt_lock_reset(&lock);
    CHECK(!lt_lock_is_held(&lock));
    acquire(&lock);
    release(&barrier);
    until_waited_for(&lock);
    release(&lock);
    CHECK(end_slow(w) == LT_ACQUIRED);
    release(&lock);
}

static void until_lapsed(void) { sleep_ms(LT_LOCK_LAPSE_MS * 6 / 5); }

static void a_reservation_lapses(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, COMES_BACK);
    until_lapsed();
    CHECK(!lt_lock_is_held(&lock));
    CHECK(lt_lock_try(&lock));
    release(&lock);
    acquire(&lock);
    release(&barrier); /* late, it finds the lock taken and waits on */
    until_waited_for(&lock);
    release(&lock);
    CHECK(end_slow(w) == LT_ACQUIRED);
    release(&lock);
}

static void *takes_it(void *arg) {
    acquire(arg);
    return NULL;
}

static void queue_one_more(lt_lock *lock, pthread_t *thread) {
    *thread = spawn(takes_it, lock);
    sleep_ms(100);
}

static void one_that_comes_too_late_times_out(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_LOCK_LAPSE_MS * MS, COMES_BACK);
    until_lapsed();
    CHECK(lt_lock_try(&lock));
    release(&barrier);
    CHECK(end_slow(w) == LT_TIMED_OUT);
    release(&lock);
    CHECK(word_of(&lock) == LT_FREE);
}

/* Whoever is next in the queue gets what the one before it gives up. */
static void a_reservation_is_passed_on(int fate) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, fate);
    pthread_t next;
    queue_one_more(&lock, &next);
    release(&barrier);
    if (fate == EXITS) {
        CHECK(end_slow(w) == -1);
    } /* STAYS_OUT: that thread is there for ever */
    join(next);
    CHECK(lt_lock_is_held(&lock));
    release(&lock);
    CHECK(word_of(&lock) == LT_FREE);
}

static void a_waiter_that_exits_passes_it_on(void) { a_reservation_is_passed_on(EXITS); }

static void a_waiter_that_stays_out_passes_it_on(void) { a_reservation_is_passed_on(STAYS_OUT); }

/* A waiter of less than the patience is only notified: the word is free. */
static void one_that_is_slow_does_not_stop_the_others(void) {
    lt_lock lock = {0};
    acquire(&barrier);
    acquire(&lock);
    slow_waiter *w = start_slow(&lock, LT_FOREVER, COMES_BACK);
    until_waited_for(&lock);
    release(&lock);
    until_arrived();
    until_lapsed();
    acquire(&lock);
    pthread_t next;
    queue_one_more(&lock, &next);
    release(&lock); /* must not wait for the slow one */
    join(next);
    release(&lock);
    release(&barrier);
    CHECK(end_slow(w) == LT_ACQUIRED);
    release(&lock);
}

/* ---- the main thread: signals and interrupts ---- */

static atomic_int signals;

static void on_signal(int signum) {
    (void)signum;
    atomic_fetch_add(&signals, 1);
}

static void *interrupts(void *arg) {
    (void)arg;
    sleep_ms(50);
    lt_main_interrupt();
    return NULL;
}

static void *raises(void *arg) {
    sleep_ms(50);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

/* How long lt_lock_acquire() goes on until `what` ends it; the looks by itself in
 * between are not counted. */
static void an_end_by(void *(*what)(void *), atomic_int *flag) {
    lt_lock lock = {0};
    acquire(&lock);
    pthread_t self = pthread_self();
    pthread_t thread = spawn(what, &self);
    int64_t since = lt_now();
    do {
        CHECK(lt_lock_acquire(&lock, since, LT_FOREVER, NULL) == LT_INTERRUPTED);
    } while (flag ? !atomic_load(flag) : lt_now() - since < 50 * MS);
    join(thread);
    release(&lock);
}

static void lt_main_interrupt_ends_a_wait(void) {
    an_end_by(interrupts, NULL);
    /* One that comes before the wait ends the next. */
    lt_lock lock = {0};
    acquire(&lock);
    lt_main_interrupt();
    int64_t since = lt_now();
    CHECK(lt_lock_acquire(&lock, since, since + 60 * LT_NS_PER_S, NULL) == LT_INTERRUPTED);
    CHECK(lt_now() - since < LT_NS_PER_S);
    release(&lock);
}

static void a_signal_ends_a_wait_of_the_main_thread(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    an_end_by(raises, &signals);
}

static void *is_not_disturbed(void *arg) {
    int64_t since = lt_now();
    CHECK(lt_lock_acquire(arg, since, LT_FOREVER, NULL) == LT_ACQUIRED);
    release(arg);
    return NULL;
}

static void another_thread_is_not_disturbed(void) {
    lt_lock lock = {0};
    acquire(&lock);
    pthread_t thread = spawn(is_not_disturbed, &lock);
    until_waited_for(&lock);
    for (int i = 0; i < 10; i++) {
        pthread_kill(thread, SIGUSR1);
        lt_main_interrupt();
        sleep_ms(2);
    }
    release(&lock);
    join(thread);
}

static void *releases_soon(void *arg) {
    sleep_ms(30);
    release(arg);
    return NULL;
}

/* An interrupted wait that is taken up again is as old as before. */
static void an_interrupted_waiter_keeps_its_place(void) {
    lt_lock lock = {0};
    acquire(&lock);
    int64_t since = lt_now();
    pthread_t later;
    queue_one_more(&lock, &later);
    lt_main_interrupt();
    CHECK(lt_lock_acquire(&lock, since, LT_FOREVER, NULL) == LT_INTERRUPTED);
    pthread_t releases = spawn(releases_soon, &lock);
    int verdict;
    do {
        verdict = lt_lock_acquire(&lock, since, LT_FOREVER, NULL);
    } while (verdict == LT_INTERRUPTED);
    CHECK(verdict == LT_ACQUIRED);
    CHECK(word_of(&lock) == (LT_HELD | LT_WAITERS)); /* the later one still waits */
    join(releases);
    release(&lock);
    join(later);
    release(&lock);
}

/* The lock is reserved for the main thread after an interrupt has ended its sleep. */
static void *nothing_before(void) { return NULL; }

static bool released_after(void *state) {
    (void)state;
    release(&shared);
    CHECK(word_of(&shared) == LT_RESERVED);
    return true;
}

static void an_interrupted_waiter_takes_what_it_was_promised(void) {
    static const lt_hooks hooks = {nothing_before, released_after, 0};
    acquire(&shared);
    pthread_t next;
    queue_one_more(&shared, &next);
    lt_main_interrupt();
    int64_t long_ago = lt_now() - LT_NS_PER_S;
    CHECK(lt_lock_acquire(&shared, long_ago, LT_FOREVER, &hooks) == LT_ACQUIRED);
    CHECK(word_of(&shared) == (LT_HELD | LT_WAITERS));
    release(&shared);
    join(next);
    release(&shared);
    CHECK(word_of(&shared) == LT_FREE);
}

/* Released, and interrupted after that, before it sleeps: as far as it can tell, it was not. */
static void *released_and_interrupted(void) {
    release(&shared);
    lt_main_interrupt();
    return NULL;
}

static bool nothing_after(void *state) {
    (void)state;
    return true;
}

static void an_interrupt_that_comes_with_the_lock_leaves_it(void) {
    static const lt_hooks hooks = {released_and_interrupted, nothing_after, 0};
    acquire(&shared);
    CHECK(lt_lock_acquire(&shared, lt_now(), LT_FOREVER, &hooks) == LT_ACQUIRED);
    release(&shared);
    CHECK(word_of(&shared) == LT_FREE);
}

enum { FRESH = 16 };
static lt_lock fresh[FRESH]; /* what was learnt of a lock's queue decides, too */
static lt_lock *next_fresh = fresh;

static void *released_before(void) {
    release(next_fresh);
    return NULL;
}

static bool goes_on(void *state) {
    (void)state;
    return true;
}

/* How many of some waits are awake at first: those take as long as `hooks` has them settle,
 * since the lock is released when they begin. */
static int awake_at_first(int64_t age, int64_t settle_ns) {
    lt_hooks hooks = {released_before, goes_on, settle_ns};
    int awake = 0;
    for (int i = 0; i < FRESH / 2; i++, next_fresh++) {
        acquire(next_fresh);
        int64_t begin = lt_now();
        CHECK(lt_lock_acquire(next_fresh, begin - age, LT_FOREVER, &hooks) == LT_ACQUIRED);
        awake += lt_now() - begin >= settle_ns;
        release(next_fresh);
    }
    return awake;
}

/* A signal that comes meanwhile ends no sleep, and the longer the main thread has waited, the
 * longer it would be before that looks again. */
static void a_wait_that_is_taken_up_again_is_not_awake_at_first(void) {
    CHECK(awake_at_first(0, 20 * MS) > 0);
    CHECK(awake_at_first(LT_NS_PER_S, LT_NS_PER_S) == 0);
}

/* ---- fork ---- */

static int in_child(void (*f)(lt_lock *), lt_lock *lock) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(20);
        f(lock);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void child_of_waiters(lt_lock *lock) {
    CHECK(lt_lock_is_held(lock)); /* by a thread that is not here */
    release(lock);
    CHECK(word_of(lock) == LT_FREE);
    acquire(lock);
    CHECK(!acquire_within(lock, MS));
    release(lock);
}

static void *forks(void *arg) {
    CHECK(in_child(child_of_waiters, arg) == 0);
    return NULL;
}

static void a_child_has_no_waiters(void) {
    lt_lock lock = {0};
    acquire(&lock);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        queue_one_more(&lock, &threads[i]);
    }
    CHECK(in_child(child_of_waiters, &lock) == 0);
    join(spawn(forks, &lock)); /* from a thread that is not the main one */
    for (int i = 0; i < THREADS; i++) {
        release(&lock);
        while (!lt_lock_is_held(&lock)) {
            sleep_ms(1);
        }
    }
    release(&lock);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

static void child_of_a_reservation(lt_lock *lock) {
    CHECK(!lt_lock_is_held(lock));
    CHECK(lt_lock_release(lock) == LT_NOT_HELD);
    CHECK(lt_lock_try(lock));
    release(lock);
}

static void a_child_knows_no_reservations(void) {
    lt_lock lock = {0};
    slow_waiter *w = reserve(&lock, LT_FOREVER, COMES_BACK);
    CHECK(in_child(child_of_a_reservation, &lock) == 0);
    release(&barrier);
    CHECK(end_slow(w) == LT_ACQUIRED);
    release(&lock);
}

/* ---- a lock that was taken by a thread that got lost ---- */

static lt_lock mine, lost, other_lost;

static void *takes_and_stays(void *arg) {
    acquire(arg);
    (void)pause();
    return NULL;
}

static bool waits_for_ever(lt_lock *lock) {
    int64_t since = lt_now();
    int verdict;
    do { /* the main thread looks whether a handler is due, again and again */
        verdict = lt_lock_acquire(lock, since, LT_FOREVER, NULL);
    } while (verdict == LT_INTERRUPTED && lt_now() - since < 50 * MS);
    return verdict == LT_INTERRUPTED;
}

static void child_of_the_lost(lt_lock *lock) {
    CHECK(lt_lock_is_abandoned(lock));
    CHECK(lt_lock_acquire(lock, lt_now(), LT_FOREVER, NULL) == LT_ABANDONED);
    CHECK(!lt_lock_try(lock));
    CHECK(!acquire_within(lock, MS));
    lt_lock_reset(lock);
    CHECK(!lt_lock_is_abandoned(lock));
    acquire(lock);
    CHECK(waits_for_ever(lock));
    release(lock);
}

static void child_of_the_owner(lt_lock *lock) {
    CHECK(!lt_lock_is_abandoned(&mine));
    CHECK(waits_for_ever(&mine));
    child_of_the_lost(lock);
}

static void child_of_another(lt_lock *lock) {
    CHECK(lt_lock_is_abandoned(&mine));
    child_of_the_lost(lock);
}

static void *takes(void *arg) {
    acquire(arg);
    return NULL;
}

/* By now this thread may have the ident that a lost one had. */
static void *forks_again(void *arg) {
    CHECK(in_child(child_of_another, arg) == 0);
    return NULL;
}

static void child_with_threads(lt_lock *lock) {
    CHECK(in_child(child_of_the_owner, lock) == 0);
    join(spawn(forks_again, lock));
    CHECK(!lt_lock_is_abandoned(&mine));
    /* What a thread of the child leaves behind is no lost thread's. */
    lt_lock_reset(&other_lost);
    join(spawn(takes, &other_lost));
    CHECK(!lt_lock_is_abandoned(&other_lost));
    CHECK(waits_for_ever(&other_lost));
    /* While there is another thread, that may release it. */
    lt_lock gate = {0};
    acquire(&gate);
    pthread_t thread = spawn(takes, &gate);
    CHECK(!lt_lock_is_abandoned(lock));
    CHECK(waits_for_ever(lock));
    release(&gate);
    join(thread);
    while (!lt_is_only_thread()) {
        sleep_ms(1);
    }
    CHECK(lt_lock_is_abandoned(lock));
}

static void many_generations(lt_lock *lock) {
    static int n = 0;
    CHECK(!lt_lock_is_abandoned(&mine));
    if (n++ < 40) {
        CHECK(in_child(many_generations, lock) == 0);
    }
}

/* In a process of its own, since its threads never end. */
static void parent_of_the_lost(lt_lock *unused) {
    (void)unused;
    acquire(&mine);
    spawn(takes_and_stays, &lost);
    spawn(takes_and_stays, &other_lost);
    while (!lt_lock_is_held(&lost) || !lt_lock_is_held(&other_lost)) {
        sleep_ms(1);
    }
    CHECK(!lt_lock_is_abandoned(&lost));
    CHECK(in_child(child_of_the_owner, &lost) == 0);
    CHECK(in_child(child_with_threads, &lost) == 0);
    CHECK(in_child(many_generations, &lost) == 0);
}

static void what_a_lost_thread_had_is_abandoned(void) {
    if (!lt_is_only_thread()) {
        printf("    not here: threads cannot be counted, or are not ours alone\n");
        return;
    }
    CHECK(in_child(parent_of_the_lost, NULL) == 0);
}

static atomic_int stop;

static void *uses_locks(void *arg) {
    lt_lock *locks = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    while (!atomic_load(&stop)) {
        lt_lock *lock = &locks[rand_r(&seed) % 4];
        if (acquire_within(lock, 50000)) {
            release(lock);
        }
    }
    return NULL;
}

static void child_of_business(lt_lock *lock) {
    (void)lock;
    lt_lock own = {0};
    acquire(&own);
    CHECK(!acquire_within(&own, MS));
    release(&own);
}

static void forking_amid_business(void) {
    static lt_lock locks[4];
    pthread_t threads[4];
    atomic_store(&stop, 0);
    for (int i = 0; i < 4; i++) {
        threads[i] = spawn(uses_locks, locks);
    }
    for (int i = 0; i < TIMES(100); i++) {
        CHECK(in_child(child_of_business, NULL) == 0);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
}

/* ---- callers that something else keeps apart, as CPython's GIL does ---- */

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;

static void *give_up_gil(void) {
    CHECK(pthread_mutex_unlock(&gil) == 0);
    return &gil;
}

static bool take_gil(void *from_before) { return pthread_mutex_lock(from_before) == 0; }

static const lt_hooks gil_hooks = {give_up_gil, take_gil, 0};

/* For who holds the lock, or has just released it: somebody else comes along. */
static void let_others_in(void) {
    give_up_gil();
    sched_yield();
    take_gil(&gil);
}

static void *waits_alone(void *arg) {
    pthread_mutex_lock(&gil);
    CHECK(lt_lock_acquire(arg, lt_now(), LT_FOREVER, &gil_hooks) == LT_ACQUIRED);
    CHECK(lt_lock_release_alone(arg) == LT_RELEASED);
    pthread_mutex_unlock(&gil);
    return NULL;
}

static void alone_a_release_wakes(void) {
    lt_lock lock = {0};
    CHECK(lt_lock_try_alone(&lock));
    pthread_t thread = spawn(waits_alone, &lock);
    until_waited_for(&lock);
    pthread_mutex_lock(&gil);
    CHECK(lt_lock_release_alone(&lock) == LT_RELEASED);
    pthread_mutex_unlock(&gil);
    join(thread);
    CHECK(word_of(&lock) == LT_FREE);
}

static void *counts_alone(void *arg) {
    unsigned seed = (unsigned)(uintptr_t)arg;
    pthread_mutex_lock(&gil);
    for (int i = 0; i < TIMES(20000); i++) {
        if (!lt_lock_try_alone(&shared)) {
            int64_t since = lt_now(), patience = rand_r(&seed) % 64 * MS;
            int64_t deadline = patience == 0 ? LT_FOREVER : since + patience;
            int verdict;
            do {
                verdict = lt_lock_acquire(&shared, since, deadline, &gil_hooks);
            } while (verdict == LT_INTERRUPTED);
            if (verdict == LT_TIMED_OUT) {
                continue;
            }
        }
        CHECK(atomic_fetch_add(&holders, 1) == 0);
        counter++;
        if (rand_r(&seed) % 4 == 0) {
            let_others_in();
        }
        CHECK(atomic_fetch_sub(&holders, 1) == 1);
        CHECK(lt_lock_release_alone(&shared) == LT_RELEASED);
        if (rand_r(&seed) % 4 == 0) {
            let_others_in();
        }
    }
    pthread_mutex_unlock(&gil);
    return NULL;
}

static void alone_it_is_the_same_lock(void) {
    lt_lock lock = {0};
    CHECK(lt_lock_release_alone(&lock) == LT_NOT_HELD);
    CHECK(lt_lock_try_alone(&lock) && !lt_lock_try_alone(&lock) && !lt_lock_try(&lock));
    CHECK(lt_lock_release(&lock) == LT_RELEASED);
    CHECK(lt_lock_try(&lock) && lt_lock_release_alone(&lock) == LT_RELEASED);
    CHECK(word_of(&lock) == LT_FREE);

    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = spawn(counts_alone, (void *)(i + 1));
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(word_of(&shared) == LT_FREE);
}

/* ---- looking ---- */

static void *waits_for(void *lock) {
    acquire(lock);
    release(lock);
    return NULL;
}

enum { ROOM = 8 };

/* Until so many wait, as seen. */
static void look_until(lt_wait_seen *seen, size_t n) {
    while (lt_waits(seen, ROOM) != n) {
        sleep_ms(1);
    }
}

static void who_waits_is_seen(void) {
    lt_lock lock = {0}, other = {0};
    lt_wait_seen seen[ROOM];
    CHECK(lt_waits(seen, ROOM) == 0);
    acquire(&lock);
    acquire(&other);
    int64_t before = lt_now();
    pthread_t first = spawn(waits_for, &lock);
    look_until(seen, 1);
    int64_t between = lt_now();
    CHECK(seen[0].lock == (uintptr_t)&lock && seen[0].waiter == (uintptr_t)first);
    CHECK(seen[0].kind == LT_FOR_LOCK && seen[0].owner == 0);
    CHECK((seen[0].word & LT_HOLDER) == lt_holder_of(lt_ident()));
    CHECK(seen[0].since >= before && seen[0].since <= between);
    CHECK(seen[0].deadline == LT_FOREVER);
    CHECK(seen[0].held_from >= before && seen[0].held_from <= between);
    int64_t held_from = seen[0].held_from;
    pthread_t second = spawn(waits_for, &lock), third = spawn(waits_for, &other);
    look_until(seen, 3);
    /* Those for one lock are together, in order. */
    int at = seen[0].lock == (uintptr_t)&lock ? 0 : 1;
    CHECK(seen[at].waiter == (uintptr_t)first && seen[at + 1].waiter == (uintptr_t)second);
    CHECK(seen[at].held_from == held_from && seen[at + 1].held_from == held_from);
    CHECK(seen[at == 0 ? 2 : 0].waiter == (uintptr_t)third);
    CHECK(lt_waits(seen, 1) == 3 && lt_waits(NULL, 0) == 3);
    release(&lock);
    release(&other);
    join(first);
    join(second);
    join(third);
    CHECK(lt_waits(seen, ROOM) == 0);
}

static lt_lock gate;

static void *has_it_next(void *lock) {
    acquire(lock);
    acquire(&gate);
    release(&gate);
    release(lock);
    return NULL;
}

/* A new holder is held to have it from when it is known to, and not from when the last one had. */
static void a_new_holder_is_seen(void) {
    lt_lock lock = {0};
    lt_wait_seen seen[ROOM];
    acquire(&gate);
    acquire(&lock);
    pthread_t threads[2] = {spawn(has_it_next, &lock), spawn(has_it_next, &lock)};
    look_until(seen, 2);
    int64_t before = lt_now();
    release(&lock);
    /* One of them has it, and waits for the gate; the other one has seen that. */
    const lt_wait_seen *other = NULL;
    while (other == NULL || other->held_from == 0 || other->held_from < before) {
        sleep_ms(1);
        CHECK(lt_waits(seen, ROOM) <= 2);
        other = seen[0].lock == (uintptr_t)&lock ? &seen[0] : &seen[1];
        other = other->lock == (uintptr_t)&lock ? other : NULL;
    }
    pthread_t holder = other->waiter == (uintptr_t)threads[0] ? threads[1] : threads[0];
    CHECK((other->word & LT_HOLDER) == lt_holder_of((uintptr_t)holder));
    release(&gate);
    join(threads[0]);
    join(threads[1]);
}

static atomic_int times_interrupted;

static void *waits_and_comes_back(void *lock) {
    static const lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true};
    int64_t since = lt_now();
    while (lt_lock_acquire_for(lock, &subject, since, LT_FOREVER, NULL) == LT_INTERRUPTED) {
        atomic_fetch_add(&times_interrupted, 1);
        sleep_ms(2); /* as a signal handler takes, or the GIL */
    }
    release(lock);
    return NULL;
}

/* Not from when the waiter has come back, as it does from signal handlers and looks. */
static void who_has_it_is_known_to_have_it_from_the_first_wait(void) {
    lt_lock lock = {0};
    lt_wait_seen seen[ROOM];
    lt_check_after(1 * MS);
    for (int round = 0; round < 3; round++) {
        acquire(&lock);
        int64_t before = lt_now();
        pthread_t thread = spawn(waits_and_comes_back, &lock);
        look_until(seen, 1);
        int64_t held_from = seen[0].held_from;
        CHECK(held_from >= before); /* and not from the round before */
        atomic_store(&times_interrupted, 0);
        while (atomic_load(&times_interrupted) < 3) {
            sleep_ms(1);
        }
        look_until(seen, 1);
        CHECK(seen[0].held_from == held_from);
        release(&lock);
        join(thread);
    }
    lt_check_after(0);
}

/* A try that is over has left WAITERS behind: since then, the lock has not been released.  Once it
 * has, who waits next knows no more than when it came. */
static void one_that_gave_up_leaves_what_it_knew(void) {
    lt_lock lock = {0};
    lt_wait_seen seen[ROOM];
    for (int is_new = 0; is_new < 2; is_new++) {
        acquire(&lock);
        int64_t before = lt_now();
        CHECK(!acquire_within(&lock, 1 * MS));
        CHECK(lt_waits(seen, ROOM) == 0);
        int64_t between = lt_now();
        if (is_new) {
            release(&lock);
            acquire(&lock);
        }
        pthread_t thread = spawn(waits_for, &lock);
        look_until(seen, 1);
        CHECK(seen[0].held_from >= (is_new ? between : before));
        CHECK((seen[0].held_from < between) == !is_new);
        release(&lock);
        join(thread);
    }
}

/* A try that was never in the queue has set WAITERS, too: then what a waiter knew who has got the
 * lock, of the one before, is not true of that one. */
static void what_is_known_is_not_of_the_last_holder(void) {
    lt_lock lock = {0};
    lt_wait_seen seen[ROOM];
    acquire(&lock);
    acquire(&gate);
    pthread_t holder = spawn(has_it_next, &lock);
    look_until(seen, 1);
    int64_t before = lt_now();
    release(&lock);
    look_until(seen, 1); /* it waits for the gate, and has the lock */
    while (seen[0].lock != (uintptr_t)&gate) {
        look_until(seen, 1);
    }
    CHECK(!acquire_within(&lock, 0) && !acquire_within(&lock, 1));
    pthread_t thread = spawn(waits_for, &lock);
    look_until(seen, 2);
    CHECK(seen[seen[0].lock == (uintptr_t)&lock ? 0 : 1].held_from >= before);
    release(&gate);
    join(holder);
    join(thread);
}

/* ---- waits that are looked into ---- */

static void *waits_and_looks(void *lock) {
    static const lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true};
    int64_t since = lt_now(), looks = 0;
    for (;;) {
        int verdict = lt_lock_acquire_for(lock, &subject, since, LT_FOREVER, NULL);
        if (verdict == LT_ACQUIRED) {
            break;
        }
        CHECK(verdict == LT_INTERRUPTED);
        CHECK(lt_check_is_due(since, LT_FOREVER));
        looks++;
        /* 10 ms, 20 ms, 40 ms ... */
        CHECK(lt_now() - since >= 10 * MS << (looks - 1));
    }
    release(lock);
    return (void *)(intptr_t)looks;
}

static void *waits_with_a_timeout(void *lock) {
    static const lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true};
    int64_t since = lt_now();
    CHECK(!lt_check_is_due(since - 1000 * MS, since));
    CHECK(lt_lock_acquire_for(lock, &subject, since, since + 50 * MS, NULL) == LT_TIMED_OUT);
    CHECK(lt_now() - since >= 50 * MS);
    return NULL;
}

/* Whoever says that it looks does so, again and again, and nobody else. */
static void a_wait_that_lasts_is_looked_into(void) {
    lt_lock lock = {0};
    acquire(&lock);
    lt_check_after(10 * MS);
    pthread_t looks = spawn(waits_and_looks, &lock), waits = spawn(waits_for, &lock);
    join(spawn(waits_with_a_timeout, &lock));
    sleep_ms(100);
    lt_wait_seen seen[ROOM];
    look_until(seen, 2);
    CHECK(seen[0].deadline == LT_FOREVER && seen[1].deadline == LT_FOREVER);
    release(&lock);
    void *times;
    CHECK(pthread_join(looks, &times) == 0);
    CHECK((intptr_t)times >= 2 && (intptr_t)times < 20);
    join(waits);
    lt_check_after(0);
    CHECK(!lt_check_is_due(0, LT_FOREVER));
}

int main(void) {
    printf("test_lock (%s)\n", lt_wait_name);
    CHECK(lt_core_init() == 0);
    RUN(zero_is_free);
    RUN(releasing_a_free_lock_changes_nothing);
    RUN(a_timeout_is_never_short);
    RUN(reset_frees);
    RUN(only_one_has_it);
    RUN(timeouts_lose_no_wake_up);
    RUN(alone_it_is_the_same_lock);
    RUN(alone_a_release_wakes);
    RUN(any_thread_may_release);
    RUN(a_greedy_thread_starves_nobody);
    RUN(a_reserved_lock_is_not_to_be_had);
    RUN(a_reserved_lock_can_be_released);
    RUN(a_reset_ends_a_reservation);
    RUN(a_reservation_lapses);
    RUN(one_that_comes_too_late_times_out);
    RUN(a_waiter_that_exits_passes_it_on);
    RUN(one_that_is_slow_does_not_stop_the_others);
    RUN(lt_main_interrupt_ends_a_wait);
    RUN(a_signal_ends_a_wait_of_the_main_thread);
    RUN(a_wait_that_is_taken_up_again_is_not_awake_at_first);
    RUN(another_thread_is_not_disturbed);
    RUN(an_interrupted_waiter_keeps_its_place);
    RUN(an_interrupted_waiter_takes_what_it_was_promised);
    RUN(an_interrupt_that_comes_with_the_lock_leaves_it);
    RUN(a_child_has_no_waiters);
    RUN(a_child_knows_no_reservations);
    RUN(forking_amid_business);
    RUN(what_a_lost_thread_had_is_abandoned);
    RUN(who_waits_is_seen);
    RUN(a_new_holder_is_seen);
    RUN(one_that_gave_up_leaves_what_it_knew);
    RUN(what_is_known_is_not_of_the_last_holder);
    RUN(who_has_it_is_known_to_have_it_from_the_first_wait);
    RUN(a_wait_that_lasts_is_looked_into);
    RUN(a_waiter_that_stays_out_passes_it_on); /* last: its thread never ends */
    return 0;
}
