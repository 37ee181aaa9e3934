/* Starting threads, their names, the count, and the exit gate. */
#include "lt_test.h"

#include "lt_record.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const lt_how detached; /* as `start_new_thread` wants it */

static lt_lock done;
static uintptr_t seen_ident;
static int64_t seen_native_id;
static size_t seen_stack;

static void *looks_around(void *arg) {
    (void)arg;
    seen_ident = lt_ident();
    seen_native_id = lt_native_id();
#ifdef __linux__
    pthread_attr_t attr;
    CHECK(pthread_getattr_np(pthread_self(), &attr) == 0);
    void *base;
    CHECK(pthread_attr_getstack(&attr, &base, &seen_stack) == 0);
    int state;
    CHECK(pthread_attr_getdetachstate(&attr, &state) == 0);
    CHECK(state == PTHREAD_CREATE_DETACHED);
    pthread_attr_destroy(&attr);
#endif
    CHECK(!lt_is_first_thread());
    release(&done);
    return NULL;
}

static uintptr_t run_one(void) {
    uintptr_t ident = 0;
    CHECK(lt_lock_try(&done));
    CHECK(lt_thread_start(looks_around, NULL, &detached, &ident) == 0);
    acquire(&done);
    release(&done);
    return ident;
}

static void a_thread_has_names(void) {
    CHECK(lt_is_first_thread());
    CHECK(lt_ident() == (uintptr_t)pthread_self());
    CHECK(run_one() == seen_ident);
    CHECK(seen_ident != lt_ident() && seen_ident != 0);
    CHECK(seen_native_id != lt_native_id() && seen_native_id > 0);
}

static void the_stack_is_as_large_as_asked(void) {
    CHECK(lt_set_stack_size(1000001) == 0);
    run_one();
    CHECK(seen_stack >= 1000001);
    CHECK(lt_set_stack_size(32768) == 1000001);
    CHECK(lt_set_stack_size(0) == 32768);
}

static void *does_nothing(void *arg) { return arg; }

static void a_refusal_is_an_errno(void) {
    uintptr_t ident = 77;
    lt_set_stack_size(TOO_LARGE);
    CHECK(lt_thread_start(does_nothing, NULL, &detached, &ident) > 0);
    lt_set_stack_size(SIZE_MAX);
    CHECK(lt_thread_start(does_nothing, NULL, &detached, &ident) > 0);
    CHECK(ident == 77);
    lt_set_stack_size(1);
    CHECK(lt_thread_start(does_nothing, NULL, &detached, &ident) == 0 || ident == 77);
    lt_set_stack_size(0);
    run_one();
}

static lt_lock go_on, counted;

static void *counts_itself(void *arg) {
    (void)arg;
    lt_count_up();
    release(&counted);
    acquire(&go_on);
    release(&go_on);
    lt_count_down();
    release(&counted);
    return NULL;
}

static void *forks(void *arg) {
    (void)arg;
    lt_count_up();
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(lt_count() == 1);
        CHECK(lt_gate_enter());
        lt_gate_leave();
        lt_count_down();
        CHECK(lt_count() == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    lt_count_down();
    release(&counted);
    return NULL;
}

static void threads_are_counted(void) {
    uintptr_t ident;
    CHECK(lt_count() == 0);
    acquire(&go_on);
    acquire(&counted);
    CHECK(lt_thread_start(counts_itself, NULL, &detached, &ident) == 0);
    acquire(&counted);
    CHECK(lt_count() == 1);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(lt_count() == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(lt_thread_start(forks, NULL, &detached, &ident) == 0);
    acquire(&counted);
    release(&go_on);
    acquire(&counted);
    CHECK(lt_count() == 0);
    release(&counted);
}

/* ---- the gate ---- */

static atomic_int inside, refused;
static atomic_bool closed;

static void *enters_again_and_again(void *arg) {
    (void)arg;
    while (lt_gate_enter()) {
        atomic_fetch_add(&inside, 1);
        CHECK(!atomic_load(&closed)); /* nobody is in once close() has returned */
        atomic_fetch_sub(&inside, 1);
        lt_gate_leave();
    }
    atomic_fetch_add(&refused, 1);
    return NULL;
}

static void nobody_is_inside_a_closed_gate(void) {
    for (int round = 0; round < TIMES(200); round++) {
        pthread_t threads[3];
        atomic_store(&closed, false);
        atomic_store(&refused, 0);
        for (int i = 0; i < 3; i++) {
            threads[i] = spawn(enters_again_and_again, NULL);
        }
        lt_gate_close(10 * LT_NS_PER_S);
        atomic_store(&closed, true);
        CHECK(atomic_load(&inside) == 0);
        CHECK(lt_gate_enter()); /* the one who closed it */
        lt_gate_leave();
        for (int i = 0; i < 3; i++) {
            join(threads[i]);
        }
        CHECK(atomic_load(&refused) == 3);
        lt_gate_open();
    }
}

static lt_lock may_leave;

static void *stays_inside(void *arg) {
    CHECK(lt_gate_enter());
    release(arg);
    acquire(&may_leave);
    release(&may_leave);
    lt_gate_leave();
    return NULL;
}

static void closing_is_patient_but_not_for_ever(void) {
    lt_lock in = {0};
    acquire(&in);
    acquire(&may_leave);
    pthread_t thread = spawn(stays_inside, &in);
    acquire(&in);
    int64_t begin = lt_now();
    lt_gate_close(10 * MS);
    CHECK(lt_now() - begin >= 10 * MS);
    release(&may_leave);
    lt_gate_close(60 * LT_NS_PER_S);
    CHECK(lt_now() - begin < 30 * LT_NS_PER_S);
    join(thread);
    lt_gate_open();
}

static void *comes_again_and_again(void *arg) {
    while (!atomic_load((atomic_bool *)arg)) {
        if (lt_gate_enter()) {
            lt_gate_leave();
        }
    }
    return NULL;
}

/* They come and go, which is not the leaving that is waited for. */
static void those_who_are_refused_do_not_delay_the_closing(void) {
    lt_lock in = {0};
    atomic_bool enough = false;
    acquire(&in);
    acquire(&may_leave);
    pthread_t stays = spawn(stays_inside, &in);
    acquire(&in);
    pthread_t come[3];
    for (int i = 0; i < 3; i++) {
        come[i] = spawn(comes_again_and_again, &enough);
    }
    lt_gate_close(100 * MS); /* for ever, if they did */
    atomic_store(&enough, true);
    release(&may_leave);
    for (int i = 0; i < 3; i++) {
        join(come[i]);
    }
    join(stays);
    lt_gate_open();
}

static atomic_int in;

static void *leaves_in_turn(void *arg) {
    CHECK(lt_gate_enter());
    atomic_fetch_add(&in, 1);
    sleep_ms(400 * (long)(intptr_t)arg);
    lt_gate_leave();
    return NULL;
}

/* As long as they keep leaving, that is, and however long it takes. */
static void closing_is_patient_with_many(void) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++) {
        threads[i] = spawn(leaves_in_turn, (void *)(i + 1));
    }
    while (atomic_load(&in) < 4) {
        sleep_ms(1);
    }
    int64_t begin = lt_now();
    lt_gate_close(LT_NS_PER_S);
    CHECK(lt_now() - begin > 1200 * MS); /* until the last */
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
    lt_gate_open();
}

static lt_lock may_end;

static void *is_awake(void *arg) {
    lt_awake_begin();
    lt_count_up();
    release(arg);
    acquire(&may_end);
    release(&may_end);
    lt_count_down();
    lt_awake_end();
    return NULL;
}

static void *takes_a_nap(void *arg) {
    lt_awake_begin();
    lt_count_up();
    lt_nap_begin();
    release(arg);
    acquire(&may_end);
    release(&may_end);
    lt_nap_end();
    lt_count_down();
    lt_awake_end();
    return NULL;
}

static void *ends_soon(void *arg) {
    lt_awake_begin();
    lt_count_up();
    release(arg);
    sleep_ms(50);
    lt_count_down();
    lt_awake_end();
    return NULL;
}

static pthread_t spawn_ready(void *(*entry)(void *)) {
    lt_lock ready = {0};
    acquire(&ready);
    pthread_t thread = spawn(entry, &ready);
    acquire(&ready);
    return thread;
}

static void who_is_awake_is_waited_for(void) {
    acquire(&may_end);
    pthread_t asleep = spawn_ready(takes_a_nap);
    lt_nap_begin(); /* not counted: nothing happens */
    lt_awake_begin();
    lt_count_up(); /* the caller is not waited for */
    lt_gate_close(LT_NS_PER_S);
    int64_t begin = lt_now();
    lt_awake_wait(60 * LT_NS_PER_S); /* there is none */
    pthread_t soon = spawn_ready(ends_soon);
    lt_awake_wait(60 * LT_NS_PER_S);
    CHECK(lt_now() - begin >= 50 * MS);
    CHECK(lt_now() - begin < 30 * LT_NS_PER_S);
    join(soon);
    pthread_t awake = spawn_ready(is_awake);
    begin = lt_now();
    lt_awake_wait(10 * MS);
    CHECK(lt_now() - begin >= 10 * MS);
    pid_t pid = fork();
    if (pid == 0) {
        lt_awake_wait(60 * LT_NS_PER_S); /* those are not here */
        _exit(lt_now() - begin < 30 * LT_NS_PER_S ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    release(&may_end);
    lt_awake_wait(60 * LT_NS_PER_S);
    CHECK(lt_now() - begin < 30 * LT_NS_PER_S);
    join(awake);
    join(asleep);
    lt_count_down();
    lt_awake_end();
    lt_gate_open();
    CHECK(lt_count() == 0);
}

static void *is_born(void *arg) {
    sleep_ms(50);
    release(arg);
    lt_birth_end();
    return NULL;
}

static void births_are_waited_for(void) {
    lt_births_wait(60 * LT_NS_PER_S); /* there are none */
    lt_lock born = {0};
    acquire(&born);
    lt_birth_begin();
    int64_t begin = lt_now();
    lt_births_wait(10 * MS);
    CHECK(lt_now() - begin >= 10 * MS);
    pthread_t thread = spawn(is_born, &born);
    lt_births_wait(60 * LT_NS_PER_S);
    CHECK(lt_now() - begin < 30 * LT_NS_PER_S);
    CHECK(lt_lock_try(&born)); /* it has come so far */
    join(thread);
    lt_birth_begin();
    pid_t pid = fork();
    if (pid == 0) {
        lt_births_wait(60 * LT_NS_PER_S); /* that one is not here */
        _exit(lt_now() - begin < 30 * LT_NS_PER_S ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    lt_birth_end();
}

static lt_lock entered, forked;

static void *enters_birth(void *unused) {
    (void)unused;
    lt_birth_enter();
    release(&entered);
    lt_birth_leave();
    acquire(&forked); /* so that the child has no thread that ended and was not joined */
    release(&forked);
    return NULL;
}

static void births_and_forks(void) {
    for (int by_python = 0; by_python <= 1; by_python++) {
        lt_births_are_guarded(by_python);
        CHECK(lt_record_begin(&(lt_record_how){.room = 8}));
        acquire(&entered);
        acquire(&forked);
        lt_birth_enter();
        pthread_t thread = spawn(enters_birth, NULL);
        if (by_python) {
            acquire(&entered); /* nobody is in the way of another, nor of a fork */
        } else {
            sleep_ms(50);
            CHECK(!lt_lock_try(&entered));
            CHECK(lt_waits(NULL, 0) == 0); /* that is nobody's business */
        }
        pid_t pid = fork(); /* it is not held up for ever */
        if (pid == 0) {
            lt_birth_enter(); /* who was in there is not here */
            lt_birth_leave();
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        release(&forked);
        lt_birth_leave();
        join(thread);
        CHECK(by_python || lt_lock_try(&entered));
        lt_wait_done waits[8];
        size_t lost, count = lt_record_take(waits, 8, &lost);
        for (size_t i = 0; i < count; i++) {
            uint64_t lock = waits[i].lock;
            CHECK(lock == (uintptr_t)&entered || lock == (uintptr_t)&forked);
        }
        lt_record_end();
        release(&entered);
    }
    lt_births_are_guarded(false);
}

int main(void) {
    printf("test_thread (%s)\n", lt_wait_name);
    CHECK(lt_core_init() == 0 && lt_core_init() == 0);
    RUN(a_thread_has_names);
    RUN(the_stack_is_as_large_as_asked);
    RUN(a_refusal_is_an_errno);
    RUN(threads_are_counted);
    RUN(nobody_is_inside_a_closed_gate);
    RUN(closing_is_patient_but_not_for_ever);
    RUN(those_who_are_refused_do_not_delay_the_closing);
    RUN(closing_is_patient_with_many);
    RUN(who_is_awake_is_waited_for);
    RUN(births_are_waited_for);
    RUN(births_and_forks);
    return 0;
}
