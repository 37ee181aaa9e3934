/* What the core asks of the system fails, the first time, the second, and so on until all
 * goes well: each failure is told, changes nothing and leaves nothing behind.
 *
 * The linker puts the functions here in front of the system's (--wrap, see the Makefile). */
#include "lt_test.h"

#include "lt_handle.h"
#include "lt_rlock.h"

#include <errno.h>
#include <sys/wait.h>

/* ---- failing ---- */

static atomic_int calls;   /* while armed */
static atomic_int fail_at; /* the number of the call that fails; 0: not armed */
static atomic_int blocks;  /* of memory, and attributes of threads, that nobody has freed */

static bool fails(void) {
    return atomic_load(&fail_at) != 0 && atomic_fetch_add(&calls, 1) + 1 == atomic_load(&fail_at);
}

static void arm(int n) {
    atomic_store(&calls, 0);
    atomic_store(&fail_at, n);
}

/* Whether something has failed since arm(). */
static bool disarm(void) { return atomic_load(&calls) >= atomic_exchange(&fail_at, 0); }

#define WRAP(type, function, parameters, arguments, failure, blocks_gained) \
    type __real_##function parameters;                                      \
    type __wrap_##function parameters;                                      \
    type __wrap_##function parameters {                                     \
        if (fails()) {                                                      \
            return failure;                                                 \
        }                                                                   \
        type result = __real_##function arguments;                          \
        atomic_fetch_add(&blocks, blocks_gained);                           \
        return result;                                                      \
    }

/* clang-format off */ /* It takes a parameter's * for a product. */
WRAP(void *, malloc, (size_t size), (size), NULL, result != NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL, result != NULL)
/* What the core makes larger, it keeps. */
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL, 0)
WRAP(int, pthread_create,
     (pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg),
     (thread, attr, f, arg), EAGAIN, 0)
WRAP(int, pthread_attr_init, (pthread_attr_t *attr), (attr), ENOMEM, result == 0)
WRAP(int, pthread_attr_setstacksize, (pthread_attr_t *attr, size_t size), (attr, size),
     EINVAL, 0)
WRAP(int, pthread_key_create, (pthread_key_t *key, void (*f)(void *)), (key, f), EAGAIN, 0)
WRAP(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value), ENOMEM,
     0)
WRAP(int, pthread_atfork, (void (*a)(void), void (*b)(void), void (*c)(void)), (a, b, c),
     ENOMEM, 0)
/* clang-format on */

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
    atomic_fetch_sub(&blocks, block != NULL);
    __real_free(block);
}

int __real_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr);
int __wrap_pthread_attr_destroy(pthread_attr_t *attr) {
    atomic_fetch_sub(&blocks, 1);
    return __real_pthread_attr_destroy(attr);
}

/* Calls `attempt`, which says whether that succeeded, until nothing fails; returns how often
 * something did. */
static int until_it_works(bool (*attempt)(void *arg), void *arg) {
    for (int n = 1;; n++) {
        int before = atomic_load(&blocks);
        arm(n);
        bool works = attempt(arg);
        bool has_failed = disarm();
        CHECK(works == !has_failed);
        if (works) {
            return n - 1;
        }
        CHECK(atomic_load(&blocks) == before);
    }
}

static int in_child(void (*f)(int), int n) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        f(n);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

/* ---- before all else ---- */

enum { MORE = 77 }; /* the exit code of a child in which something did fail */

static void initializes(int n) {
    arm(n);
    int error = lt_core_init();
    bool has_failed = disarm();
    CHECK((error != 0) == has_failed);
    CHECK(lt_core_init() == error); /* it stays like that */
    if (has_failed) {
        _exit(MORE);
    }
}

static void the_core_says_that_it_cannot_work(void) {
    int n = 1, status;
    while ((status = in_child(initializes, n)) != 0) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == MORE);
        n++;
    }
    CHECK(n > 3); /* two keys, and what is to be done at a fork */
}

/* ---- threads ---- */

static lt_lock done;
static atomic_int runs;

static void *runs_once(void *arg) {
    atomic_fetch_add(&runs, 1);
    release(&done);
    return arg;
}

static bool starts(void *how) {
    uintptr_t ident = 77;
    int before = atomic_load(&runs);
    acquire(&done);
    int error = lt_thread_start(runs_once, NULL, how, &ident);
    if (error != 0) {
        atomic_store(&fail_at, atomic_load(&calls)); /* no more of that */
        CHECK(error == ENOMEM || error == EAGAIN || error == EINVAL);
        CHECK(ident == 77);
        CHECK(atomic_load(&runs) == before);
    } else {
        acquire(&done);
        CHECK(atomic_load(&runs) == before + 1);
    }
    release(&done);
    return error == 0;
}

static void a_start_fails_whole(void) {
    int plain = until_it_works(starts, &(lt_how){0});
    CHECK(plain == 2); /* the attributes and the thread */
    lt_how with_size = {.has_stack_size = true, .stack_size = 1 << 20};
    CHECK(until_it_works(starts, &with_size) == 3);
    CHECK(until_it_works(starts, &(lt_how){.name = "a name"}) == 3);
}

static bool starts_joinable(void *arg) {
    lt_how how = *(lt_how *)arg;
    int before = atomic_load(&runs);
    how.handle = lt_handle_new();
    if (how.handle == NULL) {
        return false;
    }
    bool works = starts(&how);
    CHECK(works || lt_handle_is_done(how.handle));
    CHECK(lt_handle_join(how.handle, lt_now(), LT_FOREVER, NULL) == LT_ACQUIRED);
    CHECK(lt_handle_is_done(how.handle));
    CHECK((lt_handle_ident(how.handle) != 0) == works);
    CHECK((lt_handle_native_id(how.handle, NULL) != 0) == works);
    CHECK(lt_handle_next_awaited(5) == NULL);
    uintptr_t ident = 77;
    CHECK(lt_thread_start(runs_once, NULL, &how, &ident) == EALREADY);
    CHECK(atomic_load(&runs) == before + works);
    lt_handle_drop(how.handle);
    return works;
}

static void a_handle_of_a_failed_start_is_done(void) {
    CHECK(until_it_works(starts_joinable, &(lt_how){.awaited_by = 5}) == 4);
    lt_how all = {
        .awaited_by = 5, .name = "a name", .has_stack_size = true, .stack_size = 1 << 20};
    CHECK(until_it_works(starts_joinable, &all) == 5);
}

static bool makes_handle_of_another(void *arg) {
    lt_handle *h = lt_handle_of((uintptr_t)&runs);
    if (h != NULL) {
        CHECK(lt_handle_set_done(h));
        lt_handle_drop(h);
    }
    (void)arg;
    return h != NULL;
}

static void a_handle_of_another_may_fail(void) {
    CHECK(until_it_works(makes_handle_of_another, NULL) == 1);
}

/* ---- sentinels ---- */

enum { MANY = 40 }; /* more than there are places at first, and than twice that */

static lt_lock gate, begun, sentinels[MANY];
static int refusals[MANY];

typedef struct {
    lt_lock *lock;
    uint32_t number;
} sentinel;

static bool sets_sentinel(void *arg) {
    sentinel *s = arg;
    bool works = lt_sentinel_set(s->lock, &s->number);
    CHECK((s->number != 0) == works);
    return works;
}

static void *has_sentinel(void *arg) {
    size_t i = (size_t)(uintptr_t)arg;
    sentinel s = {.lock = &sentinels[i]};
    acquire(s.lock);
    refusals[i] = until_it_works(sets_sentinel, &s);
    release(&begun);
    acquire(&gate);
    release(&gate);
    return NULL;
}

static void a_sentinel_is_set_or_not(void) {
    pthread_t threads[MANY];
    int grown = 0;
    acquire(&gate);
    acquire(&begun);
    for (size_t i = 0; i < MANY; i++) {
        threads[i] = spawn(has_sentinel, (void *)i);
        acquire(&begun);
        CHECK(refusals[i] == 1 || refusals[i] == 2); /* the thread's own, and a place */
        grown += refusals[i] == 2;
        CHECK(lt_lock_is_held(&sentinels[i]));
    }
    CHECK(grown == 3);
    release(&begun);
    release(&gate);
    for (int i = 0; i < MANY; i++) {
        join(threads[i]);
        CHECK(!lt_lock_is_held(&sentinels[i]));
    }
}

static void *has_none(void *arg) {
    uint32_t number = 0;
    arm(1);
    CHECK(!lt_sentinel_set(&sentinels[0], &number));
    CHECK(disarm() && number == 0);
    lt_sentinel_forget(&sentinels[0], number);
    return arg;
}

static void what_is_not_set_is_not_released(void) {
    acquire(&sentinels[0]);
    join(spawn(has_none, NULL));
    CHECK(lt_lock_is_held(&sentinels[0]));
    release(&sentinels[0]);
}

/* ---- what needs no memory ---- */

static void counts_none(int n) {
    (void)n;
    CHECK(lt_count() == 0);
}

static void *is_counted(void *arg) {
    arm(1);
    lt_count_up();
    CHECK(disarm());
    CHECK(lt_count() == 1);
    CHECK(in_child(counts_none, 0) == 0); /* that much is lost */
    lt_count_down();
    CHECK(lt_count() == 0);
    return arg;
}

static void who_is_not_known_is_counted(void) { join(spawn(is_counted, NULL)); }

static lt_lock lock;
static lt_rlock rlock;

static void *waits(void *arg) {
    acquire(&lock);
    release(&lock);
    CHECK(lt_rlock_acquire(&rlock, lt_now(), LT_FOREVER, NULL) == LT_ACQUIRED);
    CHECK(lt_rlock_release(&rlock) == LT_RELEASED);
    CHECK(!acquire_within(&gate, MS));
    return arg;
}

static void to_wait_needs_no_memory(void) {
    pthread_t threads[4];
    acquire(&gate);
    acquire(&lock);
    CHECK(lt_rlock_try(&rlock) == LT_ACQUIRED);
    for (int i = 0; i < 4; i++) {
        threads[i] = spawn(waits, NULL);
    }
    arm(1);
    until_waited_for(&lock);
    release(&lock);
    until_waited_for(&rlock.lock);
    CHECK(lt_rlock_release(&rlock) == LT_RELEASED);
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
    CHECK(!disarm());
    release(&gate);
}

int main(void) {
    printf("test_alloc (%s)\n", lt_wait_name);
    RUN(the_core_says_that_it_cannot_work);
    CHECK(lt_core_init() == 0);
    RUN(a_start_fails_whole);
    RUN(a_handle_of_a_failed_start_is_done);
    RUN(a_handle_of_another_may_fail);
    RUN(a_sentinel_is_set_or_not);
    RUN(what_is_not_set_is_not_released);
    RUN(who_is_not_known_is_counted);
    RUN(to_wait_needs_no_memory);
    return 0;
}
