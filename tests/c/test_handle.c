/* Handles: joining, dropping, those that are awaited, sentinels, and forks. */
#include "lt_test.h"

#include "lt_handle.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

enum { LARGE = 64 << 20 }; /* a stack that is no default, and that the system does not keep */

#if defined(__SANITIZE_THREAD__) || defined(LT_TEST_QEMU)
enum { CHILD_MAY_START = 0 }; /* they have no threads in the child of a process with several */
#elif defined(__linux__) && !defined(__GLIBC__)
enum { CHILD_MAY_START = 0 }; /* up to musl 1.2.3, no other can end once the forking one has */
#else
enum { CHILD_MAY_START = 1 };
#endif

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 }; /* its malloc() may be locked, in a child, by a thread that is lost */
#else
enum { SANITIZED = 0 };
#endif

static lt_handle *new_handle(void) {
    lt_handle *h = lt_handle_new();
    CHECK(h != NULL);
    return h;
}

static uintptr_t start_how(void *(*f)(void *), void *arg, const lt_how *how) {
    uintptr_t ident = 0;
    CHECK(lt_thread_start(f, arg, how, &ident) == 0);
    return ident;
}

static uintptr_t start(lt_handle *h, void *(*f)(void *), void *arg) {
    return start_how(f, arg, &(lt_how){.handle = h});
}

/* As a caller with signal handlers would: again, from the same `since`. */
static int join_within(lt_handle *h, int64_t ns) {
    int64_t since = lt_now();
    int64_t deadline = ns == LT_FOREVER ? LT_FOREVER : since + ns;
    int verdict;
    do {
        verdict = lt_handle_join(h, since, deadline, NULL);
    } while (verdict == LT_INTERRUPTED);
    return verdict;
}

static void join_and_drop(lt_handle *h) {
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_is_done(h));
    lt_handle_drop(h);
}

static void until_done(lt_handle *h) {
    while (!lt_handle_is_done(h)) {
        sleep_ms(1);
    }
}

static void *passes(void *lock) {
    acquire(lock);
    release(lock);
    return NULL;
}

static void *increments(void *n) {
    ++*(int *)n;
    return NULL;
}

static void *does_nothing(void *arg) { return arg; }

/* ---- joining ---- */

static void joining_waits_for_the_end(void) {
    lt_lock gate = {0};
    lt_handle *h = new_handle();
    acquire(&gate);
    start(h, passes, &gate);
    int64_t begin = lt_now();
    CHECK(join_within(h, 20 * MS) == LT_TIMED_OUT);
    CHECK(lt_now() - begin >= 20 * MS);
    CHECK(join_within(h, -MS) == LT_TIMED_OUT); /* only a look */
    CHECK(!lt_handle_is_done(h));
    release(&gate);
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_is_done(h));
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED); /* again, and with no time */
    CHECK(join_within(h, -MS) == LT_ACQUIRED);
    lt_handle_drop(h);
}

static void what_the_thread_did_is_seen(void) {
    for (int i = 0; i < TIMES(200); i++) {
        int n = i;
        lt_handle *h = new_handle();
        start(h, increments, &n);
        if (i % 2 == 0) {
            until_done(h);
        } else {
            CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
        }
        CHECK(n == i + 1);
        lt_handle_drop(h);
    }
}

static pthread_key_t last_words;
static lt_lock may_destroy;
static atomic_bool destroyed;

static void destroy(void *arg) {
    (void)arg;
    acquire(&may_destroy);
    release(&may_destroy);
    atomic_store(&destroyed, true);
}

static void *has_last_words(void *arg) {
    (void)arg;
    CHECK(pthread_setspecific(last_words, &destroyed) == 0);
    return NULL;
}

static atomic_int joined;

static void *joins(void *h) {
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_is_done(h));
    CHECK(atomic_load(&destroyed));
    atomic_fetch_add(&joined, 1);
    return NULL;
}

/* What another library does at the end of a thread is waited for as well. */
static void joining_is_for_all_of_the_thread(void) {
    enum { JOINERS = 8 };
    atomic_store(&destroyed, false);
    atomic_store(&joined, 0);
    acquire(&may_destroy);
    lt_handle *h = new_handle();
    start(h, has_last_words, NULL);
    pthread_t threads[JOINERS];
    for (int i = 0; i < JOINERS; i++) {
        threads[i] = spawn(joins, h);
    }
    until_done(h);
    sleep_ms(20);
    CHECK(atomic_load(&joined) == 0);
    release(&may_destroy);
    for (int i = 0; i < JOINERS; i++) {
        join(threads[i]);
    }
    CHECK(atomic_load(&joined) == JOINERS);
    lt_handle_drop(h);
}

static void *gives_up(void *h) {
    CHECK(join_within(h, 5 * MS) == LT_TIMED_OUT);
    return NULL;
}

static void many_join_and_some_give_up(void) {
    enum { JOINERS = 10 };
    lt_lock gate = {0};
    acquire(&gate);
    atomic_store(&joined, 0);
    atomic_store(&destroyed, true); /* there is nothing to destroy here */
    lt_handle *h = new_handle();
    start(h, passes, &gate);
    pthread_t patient[JOINERS], hasty[JOINERS];
    for (int i = 0; i < JOINERS; i++) {
        patient[i] = spawn(joins, h);
        hasty[i] = spawn(gives_up, h);
    }
    for (int i = 0; i < JOINERS; i++) {
        join(hasty[i]);
    }
    CHECK(atomic_load(&joined) == 0);
    release(&gate);
    for (int i = 0; i < JOINERS; i++) {
        join(patient[i]);
    }
    CHECK(atomic_load(&joined) == JOINERS);
    lt_handle_drop(h);
}

typedef struct {
    lt_handle *h;
    lt_lock tried, gate;
} self_joiner;

static void *joins_itself(void *arg) {
    self_joiner *s = arg;
    CHECK(join_within(s->h, LT_FOREVER) == LT_IS_SELF);
    CHECK(join_within(s->h, MS) == LT_IS_SELF);
    CHECK(!lt_handle_is_done(s->h));
    release(&s->tried);
    acquire(&s->gate);
    CHECK(join_within(s->h, LT_FOREVER) == LT_IS_SELF); /* while another one joins */
    return NULL;
}

static void nobody_joins_itself(void) {
    self_joiner s = {.h = new_handle()};
    acquire(&s.tried);
    acquire(&s.gate);
    atomic_store(&destroyed, true);
    start(s.h, joins_itself, &s);
    acquire(&s.tried);
    pthread_t other = spawn(joins, s.h);
    sleep_ms(10);
    release(&s.gate);
    join(other);
    join_and_drop(s.h);
}

static void *interrupts(void *arg) {
    lt_main_interrupt();
    return arg;
}

/* In the main thread, which the caller of RUN is. */
static void a_signal_ends_a_join(void) {
    lt_lock gate = {0};
    acquire(&gate);
    lt_handle *h = new_handle();
    start(h, passes, &gate);
    int64_t since = lt_now();
    pthread_t thread = spawn(interrupts, NULL);
    CHECK(lt_handle_join(h, since, LT_FOREVER, NULL) == LT_INTERRUPTED);
    join(thread);
    CHECK(!lt_handle_is_done(h));
    release(&gate);
    join_and_drop(h);
}

static atomic_int befores, afters;

static void *before(void) {
    atomic_fetch_add(&befores, 1);
    return &befores;
}

static bool after(void *from_before) {
    CHECK(from_before == &befores);
    atomic_fetch_add(&afters, 1);
    return true;
}

static bool after_the_end(void *from_before) {
    after(from_before);
    pthread_exit(NULL);
}

static void *joins_and_is_ended(void *h) {
    static const lt_hooks hooks = {before, after_the_end, 0};
    (void)lt_handle_join(h, lt_now(), LT_FOREVER, &hooks);
    CHECK(!"it was ended");
    return NULL;
}

/* On CPython the GIL is given up; who cannot have it back is ended. */
static void the_hooks_are_around_every_sleep(void) {
    static const lt_hooks hooks = {before, after, 0};
    lt_handle *h = new_handle();
    atomic_store(&befores, 0);
    atomic_store(&afters, 0);
    start(h, does_nothing, NULL);
    until_done(h);
    CHECK(lt_handle_join(h, lt_now(), LT_FOREVER, &hooks) == LT_ACQUIRED);
    CHECK(atomic_load(&befores) == 1 && atomic_load(&afters) == 1);
    CHECK(lt_handle_join(h, lt_now(), LT_FOREVER, &hooks) == LT_ACQUIRED);
    CHECK(atomic_load(&befores) == 1); /* nothing to wait for any more */
    lt_handle_drop(h);

    h = new_handle();
    start(h, does_nothing, NULL);
    until_done(h);
    join(spawn(joins_and_is_ended, h));
    CHECK(atomic_load(&befores) == 2 && atomic_load(&afters) == 2);
    join_and_drop(h); /* which that one has not kept from others */
}

/* ---- starting ---- */

static void what_is_not_started_cannot_be_joined(void) {
    lt_handle *h = new_handle();
    CHECK(join_within(h, LT_FOREVER) == LT_NOT_STARTED);
    CHECK(!lt_handle_set_done(h));
    CHECK(!lt_handle_is_done(h));
    CHECK(lt_handle_ident(h) == 0);
    CHECK(lt_handle_native_id(h, NULL) == 0);
    lt_handle_drop(h);
}

static void is_used_up(lt_handle *h) {
    int n = 0;
    uintptr_t ident = 77;
    CHECK(lt_thread_start(increments, &n, &(lt_how){.handle = h}, &ident) == EALREADY);
    CHECK(ident == 77);
    CHECK(n == 0);
}

static void a_handle_starts_one_thread(void) {
    lt_lock gate = {0};
    acquire(&gate);
    lt_handle *h = new_handle();
    uintptr_t ident = start(h, passes, &gate);
    is_used_up(h);
    CHECK(lt_handle_ident(h) == ident); /* the first, which does not mind */
    CHECK(!lt_handle_is_done(h));
    release(&gate);
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    is_used_up(h);
    lt_handle_drop(h);
}

static void a_failed_start_leaves_it_done(void) {
    lt_handle *h = new_handle();
    uintptr_t ident = 77;
    lt_how how = {.handle = h, .awaited_by = 5, .has_stack_size = true, .stack_size = TOO_LARGE};
    int error = lt_thread_start(does_nothing, NULL, &how, &ident);
    CHECK(error > 0 && error != EALREADY);
    CHECK(ident == 77);
    CHECK(lt_handle_is_done(h));
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_ident(h) == 0);
    CHECK(lt_handle_native_id(h, NULL) == 0);
    CHECK(lt_handle_next_awaited(5) == NULL);
    CHECK(lt_handle_set_done(h));
    is_used_up(h);
    lt_handle_drop(h);
}

typedef struct {
    uintptr_t ident;
    int64_t native_id;
    char name[LT_NAME_SIZE];
    size_t stack;
} facts;

static void *looks_around(void *arg) {
    facts *f = arg;
    f->ident = lt_ident();
    f->native_id = lt_native_id();
    CHECK(lt_get_name(f->name, sizeof(f->name)) == 0);
#ifdef __linux__
    pthread_attr_t attr;
    void *base;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    CHECK(pthread_attr_getstack(&attr, &base, &f->stack) == 0);
    pthread_attr_destroy(&attr);
#endif
    return NULL;
}

static facts look_around(lt_how how) {
    facts f = {0};
    how.handle = new_handle();
    uintptr_t ident = start_how(looks_around, &f, &how);
    uintptr_t known_ident = lt_handle_ident(how.handle);
    int64_t known_id = lt_handle_native_id(how.handle, NULL);
    CHECK(join_within(how.handle, LT_FOREVER) == LT_ACQUIRED);
    CHECK(known_ident == ident && f.ident == ident && ident != lt_ident());
    CHECK(known_id == f.native_id && known_id != lt_native_id());
    CHECK(lt_handle_ident(how.handle) == ident); /* these stay */
    CHECK(lt_handle_native_id(how.handle, NULL) == known_id);
    lt_handle_drop(how.handle);
    return f;
}

static void who_it_is_is_known_at_once(void) {
    for (int i = 0; i < TIMES(200); i++) {
        (void)look_around((lt_how){0});
    }
}

static void a_name_is_the_threads_own(void) {
    char before_that[LT_NAME_SIZE], after_that[LT_NAME_SIZE];
    CHECK(lt_get_name(before_that, sizeof(before_that)) == 0);
    CHECK(strcmp(look_around((lt_how){.name = "a name"}).name, "a name") == 0);
    CHECK(strcmp(look_around((lt_how){0}).name, before_that) == 0);

    static const char longest[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    facts f = look_around((lt_how){.name = longest});
    CHECK(strlen(f.name) == (size_t)lt_name_max);
    CHECK(strncmp(f.name, longest, (size_t)lt_name_max) == 0);
    CHECK(lt_get_name(after_that, sizeof(after_that)) == 0);
    CHECK(strcmp(after_that, before_that) == 0);
}

static lt_lock looked;

static void *looks_around_alone(void *f) {
    looks_around(f);
    release(&looked);
    return NULL;
}

static void a_name_needs_no_handle(void) {
    facts f = {0};
    acquire(&looked);
    uintptr_t ident = start_how(looks_around_alone, &f, &(lt_how){.name = "alone"});
    acquire(&looked);
    release(&looked);
    CHECK(strcmp(f.name, "alone") == 0);
    CHECK(f.ident == ident);
}

static void a_stack_size_is_for_one_thread(void) {
#ifdef __linux__
    CHECK(look_around((lt_how){0}).stack < LARGE);
    CHECK(look_around((lt_how){.has_stack_size = true, .stack_size = LARGE}).stack >= LARGE);
    CHECK(look_around((lt_how){0}).stack < LARGE);
    CHECK(look_around((lt_how){.stack_size = LARGE}).stack < LARGE); /* which is not told */
    CHECK(lt_set_stack_size(LARGE) == 0);
    CHECK(look_around((lt_how){0}).stack >= LARGE);
    CHECK(look_around((lt_how){.has_stack_size = true}).stack < LARGE); /* the system's */
    CHECK(lt_set_stack_size(0) == LARGE);
#endif
}

/* ---- done before the end ---- */

static atomic_int ended;
static lt_lock common_gate;

static void *passes_and_counts(void *arg) {
    passes(&common_gate);
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void until_ended(int n) {
    while (atomic_load(&ended) < n) {
        sleep_ms(1);
    }
}

static void done_is_what_is_said_to_be(void) {
    atomic_store(&ended, 0);
    acquire(&common_gate);
    lt_handle *h = new_handle();
    start(h, passes_and_counts, NULL);
    CHECK(lt_handle_set_done(h));
    CHECK(lt_handle_is_done(h));
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(atomic_load(&ended) == 0); /* it waits still */
    CHECK(lt_handle_set_done(h));
    is_used_up(h);
    release(&common_gate);
    until_ended(1);
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_is_done(h));
    lt_handle_drop(h);
}

static void a_handle_of_another_thread(void) {
    lt_handle *h = lt_handle_of(4711);
    CHECK(h != NULL);
    CHECK(lt_handle_ident(h) == 4711);
    CHECK(!lt_handle_is_done(h));
    CHECK(join_within(h, 5 * MS) == LT_TIMED_OUT);
    is_used_up(h);
    atomic_store(&joined, 0);
    atomic_store(&destroyed, true);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        threads[i] = spawn(joins, h);
    }
    sleep_ms(10);
    CHECK(atomic_load(&joined) == 0);
    CHECK(lt_handle_set_done(h));
    for (int i = 0; i < 3; i++) {
        join(threads[i]);
    }
    join_and_drop(h);

    h = lt_handle_of(lt_ident());
    CHECK(join_within(h, LT_FOREVER) == LT_IS_SELF);
    CHECK(lt_handle_set_done(h));
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    lt_handle_drop(h);
}

/* ---- dropping ---- */

static long pages_used(void) {
    long pages = 0;
#ifdef __linux__
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%ld", &pages) == 1);
    fclose(f);
#endif
    return pages;
}

static void *counts(void *arg) {
    atomic_fetch_add(&ended, 1);
    return arg;
}

/* A thread that is neither joined nor detached keeps its stack, and is a leak to
 * ThreadSanitizer; a handle that is not freed is one to AddressSanitizer. */
static void nothing_is_left_behind(void) {
    enum { N = TIMES(2000), STACK = 16 << 20 };
    long used = 0;
    atomic_store(&ended, 0);
    for (int i = 0; i < N; i++) {
        if (i == N / 10) {
            used = pages_used();
        }
        lt_handle *h = new_handle();
        start_how(counts, NULL,
                  &(lt_how){.handle = h, .has_stack_size = true, .stack_size = STACK});
        switch (i % 4) {
        case 0:
            CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
            break;
        case 1:
            until_done(h);
            break;
        case 2:
            CHECK(lt_handle_set_done(h));
            break;
        default:
            break;
        }
        lt_handle_drop(h);
        while (atomic_load(&ended) < i - 20) {
            sched_yield();
        }
    }
    until_ended(N);
    sleep_ms(50);
    /* Less than a tenth of the stacks.  A 32-bit process would not have come here. */
    CHECK(SANITIZED || pages_used() - used < N / 10 * (STACK / sysconf(_SC_PAGESIZE)));
}

static void dropped_threads_go_on(void) {
    acquire(&common_gate);
    atomic_store(&ended, 0);
    for (int i = 0; i < 20; i++) {
        lt_handle *h = new_handle();
        start(h, passes_and_counts, NULL);
        lt_handle_drop(h);
    }
    CHECK(atomic_load(&ended) == 0);
    release(&common_gate);
    until_ended(20);
}

/* ---- who is awaited ---- */

static void await_all(uintptr_t awaited_by) {
    lt_handle *h;
    while ((h = lt_handle_next_awaited(awaited_by)) != NULL) {
        CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
        lt_handle_drop(h);
    }
}

typedef struct {
    lt_lock *gate;
    int left;
} chain;

static void *starts_the_next(void *arg) {
    chain *c = arg;
    acquire(c->gate);
    release(c->gate);
    if (c->left-- > 0) {
        lt_handle *h = new_handle();
        start_how(starts_the_next, c, &(lt_how){.handle = h, .awaited_by = 4});
        lt_handle_drop(h);
    }
    return NULL;
}

static void the_awaited_are_found(void) {
    atomic_store(&ended, 0);
    acquire(&common_gate);
    lt_handle *plain = new_handle(), *first = new_handle(), *other = new_handle();
    start(plain, passes_and_counts, NULL);
    CHECK(lt_handle_next_awaited(1) == NULL);
    start_how(passes_and_counts, NULL, &(lt_how){.handle = first, .awaited_by = 1});
    start_how(passes_and_counts, NULL, &(lt_how){.handle = other, .awaited_by = 2});
    lt_handle *found = lt_handle_next_awaited(1);
    CHECK(found == first);
    lt_handle_drop(found);
    found = lt_handle_next_awaited(2);
    CHECK(found == other);
    lt_handle_drop(found);
    lt_handle_drop(other); /* it is awaited whether anybody has the handle or not */
    found = lt_handle_next_awaited(2);
    CHECK(found == other);
    CHECK(lt_handle_next_awaited(3) == NULL);
    CHECK(lt_handle_set_done(found));
    CHECK(lt_handle_next_awaited(2) == NULL);
    lt_handle_drop(found);
    release(&common_gate);
    await_all(1);
    CHECK(lt_handle_is_done(first));
    lt_handle_drop(first);
    join_and_drop(plain);
    until_ended(3);
}

static void *looks_for_itself(void *arg) {
    (void)arg;
    CHECK(lt_handle_next_awaited(6) == NULL);
    return NULL;
}

static void the_caller_does_not_await_itself(void) {
    lt_handle *h = new_handle();
    start_how(looks_for_itself, NULL, &(lt_how){.handle = h, .awaited_by = 6});
    join_and_drop(h);
}

static void those_that_the_awaited_start_are_awaited(void) {
    lt_lock gate = {0};
    acquire(&gate);
    chain c = {&gate, 50};
    lt_handle *h = new_handle();
    start_how(starts_the_next, &c, &(lt_how){.handle = h, .awaited_by = 4});
    lt_handle_drop(h);
    release(&gate);
    await_all(4);
    CHECK(c.left == -1);
}

static void *awaits(void *enough) {
    while (!atomic_load((atomic_bool *)enough)) {
        lt_handle *h = lt_handle_next_awaited(9);
        if (h != NULL) {
            (void)join_within(h, rand() % 2 ? 0 : MS);
            lt_handle_drop(h);
        }
    }
    return NULL;
}

/* While they come and go: whoever is found is not freed meanwhile. */
static void the_awaited_come_and_go(void) {
    enum { WAITERS = 3 };
    atomic_bool enough = false;
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        threads[i] = spawn(awaits, &enough);
    }
    for (int i = 0; i < TIMES(500); i++) {
        lt_handle *h = new_handle();
        start_how(does_nothing, NULL, &(lt_how){.handle = h, .awaited_by = 9});
        if (i % 3 == 0) {
            CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
        }
        lt_handle_drop(h);
    }
    await_all(9);
    atomic_store(&enough, true);
    for (int i = 0; i < WAITERS; i++) {
        join(threads[i]);
    }
}

/* ---- sentinels ---- */

typedef struct {
    lt_lock lock, second, set, gate;
    uint32_t number, second_number;
    bool twice, exits, has_last_words;
    bool is_over; /* what the thread does last */
} sentinel;

static void *has_sentinel(void *arg) {
    sentinel *s = arg;
    acquire(&s->lock);
    CHECK(lt_sentinel_set(&s->lock, &s->number));
    CHECK(s->number != 0);
    if (s->twice) {
        acquire(&s->second);
        CHECK(lt_sentinel_set(&s->second, &s->second_number));
    }
    if (s->has_last_words) {
        has_last_words(NULL);
    }
    release(&s->set);
    acquire(&s->gate);
    release(&s->gate);
    s->is_over = true;
    if (s->exits) {
        pthread_exit(NULL);
    }
    return NULL;
}

/* The thread is at its gate, and the sentinel set. */
static pthread_t begin_sentinel(sentinel *s) {
    acquire(&s->set);
    acquire(&s->gate);
    pthread_t thread = spawn(has_sentinel, s);
    acquire(&s->set);
    return thread;
}

static void forget(sentinel *s) {
    lt_sentinel_forget(&s->lock, s->number);
    lt_sentinel_forget(&s->second, s->second_number);
}

static void the_end_releases_a_sentinel(void) {
    for (int exits = 0; exits < 2; exits++) {
        sentinel s = {.exits = exits};
        pthread_t thread = begin_sentinel(&s);
        CHECK(!acquire_within(&s.lock, 5 * MS));
        release(&s.gate);
        acquire(&s.lock);
        CHECK(s.is_over);
        join(thread);
        forget(&s); /* after the end */
    }
}

/* Those whose key is older, as the interpreter's are. */
static void it_comes_after_the_destructors_of_other_libraries(void) {
    sentinel s = {.has_last_words = true};
    atomic_store(&destroyed, false);
    acquire(&may_destroy);
    pthread_t thread = begin_sentinel(&s);
    release(&s.gate);
    CHECK(!acquire_within(&s.lock, 20 * MS));
    release(&may_destroy);
    acquire(&s.lock);
    CHECK(atomic_load(&destroyed));
    join(thread);
    forget(&s);
}

static void a_second_sentinel_replaces_the_first(void) {
    sentinel s = {.twice = true};
    pthread_t thread = begin_sentinel(&s);
    CHECK(s.second_number == s.number); /* it is the thread's */
    release(&s.gate);
    acquire(&s.second);
    join(thread);
    CHECK(lt_lock_is_held(&s.lock));
    forget(&s);
}

static void a_second_one_is_not_forgotten_with_the_first(void) {
    sentinel s = {.twice = true};
    pthread_t thread = begin_sentinel(&s);
    lt_sentinel_forget(&s.lock, s.number);
    release(&s.gate);
    acquire(&s.second);
    join(thread);
    forget(&s);
}

static void what_is_forgotten_is_not_released(void) {
    sentinel s = {.number = 0};
    pthread_t thread = begin_sentinel(&s);
    lt_sentinel_forget(&s.lock, s.number);
    release(&s.gate);
    join(thread);
    CHECK(lt_lock_is_held(&s.lock));
    lt_sentinel_forget(&s.lock, s.number);
    lt_sentinel_forget(&s.lock, 0); /* one that was never set */
}

static void a_sentinel_that_is_free_stays_free(void) {
    sentinel s = {.number = 0};
    pthread_t thread = begin_sentinel(&s);
    release(&s.lock);
    release(&s.gate);
    join(thread);
    CHECK(lt_lock_try(&s.lock));
    CHECK(!lt_lock_try(&s.lock));
    forget(&s);
}

static void nothing_is_released_when_the_gate_is_closed(void) {
    sentinel s = {.number = 0};
    pthread_t thread = begin_sentinel(&s);
    lt_gate_close(LT_NS_PER_S);
    release(&s.gate);
    join(thread);
    lt_gate_open();
    CHECK(lt_lock_is_held(&s.lock));
    forget(&s);
}

static void sentinels_take_the_places_of_others(void) {
    enum { MANY = 50 }; /* more than there are places at first */
    static sentinel s[MANY];
    pthread_t threads[MANY];
    uint32_t highest = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < MANY; i++) {
            s[i] = (sentinel){.exits = i % 2};
            threads[i] = begin_sentinel(&s[i]);
            for (int j = 0; j < i; j++) {
                CHECK(s[j].number != s[i].number);
            }
            if (round == 0 && s[i].number > highest) {
                highest = s[i].number;
            }
            CHECK(s[i].number <= highest);
        }
        for (int i = 0; i < MANY; i++) {
            CHECK(lt_lock_is_held(&s[i].lock));
            if (i % 5 == 0) {
                lt_sentinel_forget(&s[i].lock, s[i].number);
            }
            release(&s[i].gate);
        }
        for (int i = 0; i < MANY; i++) {
            join(threads[i]);
            CHECK(lt_lock_is_held(&s[i].lock) == (i % 5 == 0));
        }
        /* A number that is another's by now does nothing. */
        sentinel next = {.number = 0};
        pthread_t thread = begin_sentinel(&next);
        for (int i = 0; i < MANY; i++) {
            forget(&s[i]);
        }
        release(&next.gate);
        acquire(&next.lock);
        join(thread);
        forget(&next);
    }
}

typedef struct {
    lt_lock *lock;
    uint32_t number;
    lt_lock set;
} short_sentinel;

static void *sets_and_ends(void *arg) {
    short_sentinel *s = arg;
    CHECK(lt_sentinel_set(s->lock, &s->number));
    release(&s->set);
    return NULL;
}

/* The lock is freed while the thread ends: sanitizers see who comes too late. */
static void a_sentinel_may_go_any_time(void) {
    for (int i = 0; i < TIMES(500); i++) {
        short_sentinel s = {.lock = calloc(1, sizeof(lt_lock))};
        CHECK(s.lock != NULL);
        acquire(s.lock);
        acquire(&s.set);
        pthread_t thread = spawn(sets_and_ends, &s);
        acquire(&s.set);
        for (int j = 0; j < i % 5; j++) {
            sched_yield();
        }
        lt_sentinel_forget(s.lock, s.number);
        free(s.lock);
        join(thread);
    }
}

/* ---- fork ---- */

static int in_child(void (*f)(void *), void *arg) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        f(arg);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

typedef struct {
    lt_handle *waits, *named, *ended, *unused, *maker, *self;
    lt_lock gate, begun;
    sentinel s;
} family;

static void new_threads_work(void) {
    if (CHILD_MAY_START) {
        for (int i = 0; i < 3; i++) {
            int n = 0;
            lt_handle *h = new_handle();
            start_how(increments, &n, &(lt_how){.handle = h, .awaited_by = 1, .name = "new"});
            join_and_drop(h);
            CHECK(n == 1);
            sentinel s = {.exits = i % 2};
            pthread_t thread = begin_sentinel(&s);
            CHECK(s.number <= 2); /* all are free but, perhaps, that of who has forked */
            release(&s.gate);
            acquire(&s.lock);
            join(thread);
            forget(&s);
        }
    }
}

static void is_lost(lt_handle *h) {
    CHECK(lt_handle_is_done(h));
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_handle_set_done(h));
    is_used_up(h);
}

static void child(void *arg) {
    family *f = arg;
    is_lost(f->waits);
    is_lost(f->named);
    is_lost(f->ended);
    if (f->maker != f->self) {
        is_lost(f->maker);
    }
    CHECK(lt_handle_next_awaited(1) == NULL);
    CHECK(!lt_handle_is_done(f->self)); /* who has forked */
    CHECK(join_within(f->self, LT_FOREVER) == LT_IS_SELF);
    CHECK(join_within(f->unused, LT_FOREVER) == LT_NOT_STARTED);
    CHECK(!lt_handle_is_done(f->unused));
    CHECK(lt_lock_is_held(&f->s.lock)); /* nobody ends any more who would release it */
    new_threads_work();
    if (CHILD_MAY_START) {
        start(f->unused, does_nothing, NULL);
        join_and_drop(f->unused);
    }
    forget(&f->s);
    lt_handle_drop(f->waits);
    lt_handle_drop(f->named);
    lt_handle_drop(f->ended);
    if (f->maker != f->self) {
        lt_handle_drop(f->maker);
    }
    new_threads_work(); /* where the dropped ones have been */
}

static pthread_t make_family(family *f) {
    acquire(&f->gate);
    f->waits = new_handle();
    f->named = new_handle();
    f->ended = new_handle();
    f->unused = new_handle();
    start_how(passes, &f->gate, &(lt_how){.handle = f->waits, .awaited_by = 1});
    start_how(passes, &f->gate, &(lt_how){.handle = f->named, .name = "named"});
    /* They have begun: in a child, what is theirs until then would be lost. */
    (void)lt_handle_native_id(f->waits, NULL);
    (void)lt_handle_native_id(f->named, NULL);
    start(f->ended, does_nothing, NULL);
    until_done(f->ended);
    return begin_sentinel(&f->s);
}

static void break_up_family(family *f, pthread_t thread) {
    CHECK(!lt_handle_is_done(f->waits)); /* the child has not changed anything here */
    CHECK(join_within(f->waits, MS) == LT_TIMED_OUT);
    release(&f->gate);
    release(&f->s.gate);
    acquire(&f->s.lock);
    join(thread);
    join_and_drop(f->waits);
    join_and_drop(f->named);
    join_and_drop(f->ended);
    lt_handle_drop(f->unused);
    forget(&f->s);
}

static void lost_threads_are_done_in_a_child(void) {
    static family f;
    f = (family){.self = lt_handle_of(lt_ident())};
    f.maker = f.self;
    pthread_t thread = make_family(&f);
    CHECK(in_child(child, &f) == 0);
    break_up_family(&f, thread);
    lt_handle_drop(f.self);
}

static void *joins_the_parent(void *arg) {
    family *f = arg;
    release(&f->begun);
    CHECK(join_within(f->self, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_lock_try(&f->s.second)); /* its sentinel */
    CHECK(lt_handle_next_awaited(8) == NULL);
    lt_handle_drop(f->self);
    _exit(0);
}

static void *forks(void *arg) {
    family *f = arg;
    uint32_t number = 0;
    uintptr_t ident = lt_handle_ident(f->self);
    acquire(&f->s.second);
    CHECK(lt_sentinel_set(&f->s.second, &number));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        CHECK(lt_handle_ident(f->self) == ident && ident == lt_ident());
        child(f);
        CHECK(lt_lock_is_held(&f->s.second));
        if (CHILD_MAY_START) {
            /* To the end, as others see it who are new there. */
            acquire(&f->begun);
            lt_handle *h = new_handle();
            start(h, joins_the_parent, f);
            lt_handle_drop(h);
            acquire(&f->begun);
            return NULL;
        }
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(join_within(f->self, LT_FOREVER) == LT_IS_SELF);
    CHECK(lt_lock_is_held(&f->s.second));
    return NULL;
}

static void who_forks_is_not_lost(void) {
    static family f;
    f = (family){.self = new_handle(), .maker = lt_handle_of(lt_ident())};
    pthread_t thread = make_family(&f);
    start_how(forks, &f, &(lt_how){.handle = f.self, .awaited_by = 8});
    CHECK(join_within(f.self, LT_FOREVER) == LT_ACQUIRED);
    CHECK(lt_lock_try(&f.s.second));
    CHECK(!lt_handle_is_done(f.maker));
    break_up_family(&f, thread);
    lt_handle_drop(f.self);
    lt_handle_drop(f.maker);
}

static void *forks_and_compares(void *arg) {
    lt_handle *h = *(lt_handle **)arg;
    CHECK(lt_handle_native_id(h, NULL) == lt_native_id());
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(lt_handle_native_id(h, NULL) == lt_native_id() ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return NULL;
}

static void who_forks_has_another_native_id_in_the_child(void) {
    lt_handle *h = new_handle();
    start(h, forks_and_compares, &h);
    join_and_drop(h);
}

static atomic_bool stop;
static atomic_int busy;

static void *starts_and_joins(void *arg) {
    uint32_t number = 0;
    lt_lock lock = {0};
    atomic_fetch_add(&busy, 1);
    while (!atomic_load(&stop)) {
        lt_handle *h = new_handle();
        start_how(does_nothing, NULL, &(lt_how){.handle = h, .awaited_by = 1});
        CHECK(lt_sentinel_set(&lock, &number));
        if (rand() % 2) {
            CHECK(join_within(h, LT_FOREVER) == LT_ACQUIRED);
        }
        lt_sentinel_forget(&lock, number);
        lt_handle_drop(h);
    }
    return arg;
}

static void child_of_business(void *arg) {
    is_lost(*(lt_handle **)arg);
    CHECK(lt_handle_next_awaited(1) == NULL);
    if (!SANITIZED) {
        lt_handle_drop(lt_handle_of(1));
        new_threads_work();
    }
}

static void forking_amid_business(void) {
    lt_handle *threads[3];
    atomic_store(&stop, false);
    for (int i = 0; i < 3; i++) {
        threads[i] = new_handle();
        start(threads[i], starts_and_joins, NULL);
    }
    while (atomic_load(&busy) < 3) {
        sleep_ms(1);
    }
    for (int i = 0; i < 60; i++) {
        CHECK(in_child(child_of_business, &threads[i % 3]) == 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        join_and_drop(threads[i]);
    }
    await_all(1);
}

int main(void) {
    printf("test_handle (%s)\n", lt_wait_name);
    CHECK(pthread_key_create(&last_words, destroy) == 0);
    CHECK(lt_core_init() == 0);
    lt_main_here();
    RUN(joining_waits_for_the_end);
    RUN(what_the_thread_did_is_seen);
    RUN(joining_is_for_all_of_the_thread);
    RUN(many_join_and_some_give_up);
    RUN(nobody_joins_itself);
    RUN(a_signal_ends_a_join);
    RUN(the_hooks_are_around_every_sleep);
    RUN(what_is_not_started_cannot_be_joined);
    RUN(a_handle_starts_one_thread);
    RUN(a_failed_start_leaves_it_done);
    RUN(who_it_is_is_known_at_once);
    RUN(a_name_is_the_threads_own);
    RUN(a_name_needs_no_handle);
    RUN(a_stack_size_is_for_one_thread);
    RUN(done_is_what_is_said_to_be);
    RUN(a_handle_of_another_thread);
    RUN(nothing_is_left_behind);
    RUN(dropped_threads_go_on);
    RUN(the_awaited_are_found);
    RUN(the_caller_does_not_await_itself);
    RUN(those_that_the_awaited_start_are_awaited);
    RUN(the_awaited_come_and_go);
    RUN(the_end_releases_a_sentinel);
    RUN(it_comes_after_the_destructors_of_other_libraries);
    RUN(a_second_sentinel_replaces_the_first);
    RUN(a_second_one_is_not_forgotten_with_the_first);
    RUN(what_is_forgotten_is_not_released);
    RUN(a_sentinel_that_is_free_stays_free);
    RUN(nothing_is_released_when_the_gate_is_closed);
    RUN(sentinels_take_the_places_of_others);
    RUN(a_sentinel_may_go_any_time);
    RUN(lost_threads_are_done_in_a_child);
    RUN(who_forks_is_not_lost);
    RUN(forking_amid_business);
    RUN(who_forks_has_another_native_id_in_the_child);
    return 0;
}
