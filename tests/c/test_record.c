/* The record of waits: what is in it, in which order, and what there is no room for. */
#include "lt_test.h"

#include "lt_record.h"
#include "lt_rlock.h"

#include <sched.h>
#include <sys/wait.h>

enum { ROOM = 8 };

static lt_wait_done taken[ROOM];
static size_t lost;

static bool begin(size_t room, int64_t shortest, bool holds) {
    return lt_record_begin(&(lt_record_how){
        .room = room, .shortest = shortest, .noted_after = shortest, .holds = holds});
}

static void write_down(uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; i++) {
        lt_record(&(lt_wait_done){.lock = i}, LT_TOLD_OF_NONE);
    }
}

static void there_is_none_at_first(void) {
    CHECK(!lt_is_recording() && lt_recorded() == 0);
    write_down(0, 1);
    CHECK(lt_record_take(taken, ROOM, &lost) == 0 && lost == 0);
    lt_record_end();
    CHECK(!begin(0, 0, false) && !lt_is_recording());
}

static void what_is_written_is_taken_in_order(void) {
    CHECK(begin(3, 0, false) && lt_is_recording());
    for (uint64_t i = 0; i < 10; i++) {
        write_down(10 * i, 10 * i + 3);
        CHECK(lt_recorded() == 3);
        CHECK(lt_record_take(taken, 2, &lost) == 2 && lost == 0);
        CHECK(taken[0].lock == 10 * i && taken[1].lock == 10 * i + 1);
        CHECK(lt_record_take(taken, ROOM, &lost) == 1 && taken[0].lock == 10 * i + 2);
    }
    write_down(0, 5);
    CHECK(lt_record_take(taken, ROOM, &lost) == 3 && lost == 2);
    CHECK(lt_record_take(taken, ROOM, &lost) == 0 && lost == 0);
    write_down(0, 1);
    CHECK(begin(2, 0, false) && lt_recorded() == 0); /* anew */
    lt_record_end();
    CHECK(!lt_is_recording());
}

static void *waits_for(void *lock) {
    acquire(lock);
    release(lock);
    return NULL;
}

static void a_wait_is_written_down(void) {
    lt_lock lock = {0};
    CHECK(begin(ROOM, 0, false));
    acquire(&lock);
    CHECK(!lt_lock_try(&lock) && !acquire_within(&lock, 0));
    release(&lock);
    CHECK(lt_recorded() == 0); /* nobody has waited */
    acquire(&lock);
    int64_t begin = lt_now();
    while (lt_recorded() == 0) { /* on a loaded machine it may be over before it has begun */
        CHECK(!acquire_within(&lock, 2 * MS)); /* less than the main thread sleeps at once */
    }
    pthread_t thread = spawn(waits_for, &lock);
    until_waited_for(&lock);
    lt_wait_seen seen;
    while (lt_waits(&seen, 1) == 0) {
        sleep_ms(1);
    }
    release(&lock);
    join(thread);
    CHECK(lt_record_take(taken, ROOM, &lost) == 2 && lost == 0);
    CHECK(taken[0].lock == (uintptr_t)&lock && taken[0].waiter == lt_ident());
    CHECK(taken[0].verdict == LT_TIMED_OUT && taken[1].verdict == LT_ACQUIRED);
    CHECK(taken[1].lock == (uintptr_t)&lock && taken[1].waiter == (uintptr_t)thread);
    CHECK(taken[0].owner == 0 && taken[1].owner == lt_ident()); /* who has released it said so */
    for (int i = 0; i < 2; i++) {
        CHECK((taken[i].word & LT_HOLDER) == lt_holder_of(lt_ident()));
        CHECK(taken[i].kind == LT_FOR_LOCK);
        CHECK(begin <= taken[i].since && taken[i].since <= taken[i].until);
        CHECK(taken[i].until <= lt_now());
    }
    CHECK(taken[0].until - taken[0].since >= 2 * MS);
    lt_record_end();
}

static void short_waits_are_counted(void) {
    CHECK(begin(ROOM, 10, false));
    for (int i = 0; i < 3; i++) {
        lt_record(&(lt_wait_done){.since = 100, .until = 107, .verdict = LT_ACQUIRED},
                  LT_TOLD_OF_NONE);
    }
    lt_record(&(lt_wait_done){.since = 100, .until = 110, .verdict = LT_ACQUIRED},
              LT_TOLD_OF_NONE);
    CHECK(lt_recorded() == 1);
    /* One that is interrupted goes on, and counts when it is over. */
    lt_record(&(lt_wait_done){.since = 100, .until = 101, .verdict = LT_INTERRUPTED},
              LT_TOLD_OF_NONE);
    CHECK(lt_recorded() == 1);
    lt_record(&(lt_wait_done){.since = 100, .until = 110, .verdict = LT_INTERRUPTED},
              LT_TOLD_OF_NONE);
    CHECK(lt_recorded() == 2);
    int64_t numbers[2];
    lt_record_short(numbers);
    CHECK(numbers[0] == 3 && numbers[1] == 21);
    CHECK(begin(ROOM, 10, false));
    lt_record_short(numbers);
    CHECK(numbers[0] == 0 && numbers[1] == 0);
    lt_record_end();
}

static void a_note_is_wanted_when_it_is_not_short_any_more(void) {
    int64_t now = lt_now();
    CHECK(!lt_record_wants_note(0) && lt_record_note_at(now, now, 0) == LT_FOREVER);
    CHECK(begin(ROOM, 1000 * MS, false));
    CHECK(lt_record_note_at(now, now, 0) == now + 1000 * MS);
    CHECK(lt_record_note_at(now, now + 1000 * MS, 0) == now + 64000 * MS);
    CHECK(lt_record_note_at(now, now, LT_MOST_BRIEF) == now + 1000 * MS); /* late enough */
    CHECK(lt_record_wants_note(now - 1000 * MS) && !lt_record_wants_note(now + 1000 * MS));
    lt_record_end();
}

static void *sees_notes_get_later(void *unused) {
    int64_t now = lt_now(), after = MS;
    for (unsigned brief = 0; brief <= LT_MOST_BRIEF; brief++) {
        CHECK(lt_record_note_at(now, now, brief) == now + after);
        after = after < 5 * MS ? 2 * after : 10 * MS;
    }
    return unused;
}

static void who_waits_briefly_most_often_is_noted_later(void) {
    CHECK(begin(ROOM, MS, false) && lt_record_may_be_later());
    CHECK(lt_record_is_brief(MS - 1) && !lt_record_is_brief(MS));
    join(spawn(sees_notes_get_later, NULL));
    sees_notes_get_later(NULL);
    lt_record_end();
}

static void *sees_that_no_note_is_later(void *after) {
    int64_t now = lt_now(), *expected = after;
    for (unsigned brief = 0; brief <= LT_MOST_BRIEF; brief++) {
        CHECK(lt_record_note_at(now, now, brief) == now + *expected);
    }
    return NULL;
}

/* Where it is so late already. */
static void who_is_noted_late_is_noted_no_later(void) {
    lt_main_here();
    int64_t noted_after = 20 * MS;
    CHECK(lt_record_begin(
        &(lt_record_how){.room = ROOM, .shortest = MS, .noted_after = noted_after}));
    CHECK(!lt_record_may_be_later());
    join(spawn(sees_that_no_note_is_later, &noted_after));
    sees_that_no_note_is_later(&noted_after);
    lt_record_end();
}

static void *releases_later(void *lock) {
    until_waited_for(lock);
    sleep_ms(10);
    release(lock);
    return NULL;
}

static void *does_nothing(void *unused) { return unused; }

static void *notes(void *lock) {
    static const lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true};
    int64_t since = lt_now(), times = 0;
    while (lt_lock_acquire_for(lock, &subject, since, since + 10000 * MS, NULL) != LT_ACQUIRED) {
        CHECK(lt_record_wants_note(since));
        times++;
    }
    release(lock);
    return (void *)(intptr_t)times;
}

/* Also one with a timeout: after 1 ms, and after 64 ms for who was late to begin. */
static void a_wait_that_goes_on_is_interrupted_for_that(void) {
    lt_lock lock = {0};
    CHECK(begin(ROOM, 1 * MS, false));
    acquire(&lock);
    pthread_t thread = spawn(notes, &lock);
    until_waited_for(&lock);
    sleep_ms(150);
    release(&lock);
    void *times;
    CHECK(pthread_join(thread, &times) == 0 && (intptr_t)times >= 1 && (intptr_t)times <= 3);
    lt_record_end();
}

static void *releases_in_5_ms(void *lock) {
    until_waited_for(lock); /* for 5 ms */
    release(lock);
    return NULL;
}

/* How often a wait of some ms is interrupted to be noted. */
static int notes_in_wait_for(lt_lock *lock, int kind, int64_t timeout) {
    lt_subject subject = {.kind = kind, .checks = true};
    int times = 0;
    acquire(lock);
    pthread_t thread = spawn(releases_in_5_ms, lock);
    int64_t since = lt_now(), deadline = timeout == LT_FOREVER ? LT_FOREVER : since + timeout;
    while (lt_lock_acquire_for(lock, &subject, since, deadline, NULL) != LT_ACQUIRED) {
        times++;
    }
    release(lock);
    join(thread);
    return times;
}

/* As often as has the next note come later than that. */
static void wait_briefly_for(lt_lock *lock) {
    acquire(lock);
    for (unsigned i = 0; i < LT_MOST_BRIEF / 2; i++) {
        acquire_within(lock, MS / 10);
    }
    release(lock);
}

static void *waits_briefly_and_then_not(void *lock) {
    int when_brief = 1, when_not = 0, tries = 0;
    /* Again where a loaded machine has them last, or be over before they begin. */
    for (; (when_brief != 0 || when_not == 0) && tries < 1000; tries++) {
        wait_briefly_for(lock);
        when_brief = notes_in_wait_for(lock, LT_FOR_LOCK, LT_FOREVER);
        when_not = notes_in_wait_for(lock, LT_FOR_LOCK, LT_FOREVER);
    }
    CHECK(tries < 1000);
    return NULL;
}

enum { MANY = 512, TRIES = 20 }; /* of one of each hash at least, the first and the last */

/* Once is enough: on a loaded machine one may be over before it begins. */
static void *waits_that_are_noted_early(void *unused) {
    static lt_lock locks[2 * MANY];
    int for_threads = 0, with_timeouts = 0, for_others = 0;
    for (int i = 0; i < TRIES; i++) {
        wait_briefly_for(&locks[0]);
        for_threads += notes_in_wait_for(&locks[0], LT_FOR_THREAD, LT_FOREVER);
        wait_briefly_for(&locks[0]);
        with_timeouts += notes_in_wait_for(&locks[0], LT_FOR_LOCK, 60000 * MS);
    }
    for (int i = 0; i < MANY; i++) {
        wait_briefly_for(&locks[i]);
    }
    for (int i = 0; i < TRIES; i++) {
        for_others +=
            notes_in_wait_for(&locks[MANY + i * (MANY / TRIES)], LT_FOR_LOCK, LT_FOREVER);
    }
    CHECK(for_threads > 0 && with_timeouts > 0 && for_others > 0);
    return unused;
}

static void how_long_waits_last_is_learnt(void) {
    lt_lock lock = {0};
    CHECK(begin(ROOM, 1 * MS, false));
    join(spawn(waits_briefly_and_then_not, &lock)); /* the main thread looks for signals, too */
    lt_record_end();
}

static void brief_waits_are_of_one_lock_and_without_a_timeout(void) {
    CHECK(begin(ROOM, 1 * MS, false));
    join(spawn(waits_that_are_noted_early, NULL));
    lt_record_end();
}

static int told_of, told_early;

static void is_over(const lt_wait_done *wait) {
    CHECK(lt_recorded() >= 1 && wait->since < wait->until);
    if (wait->verdict == LT_INTERRUPTED) {
        told_early++;
        return;
    }
    told_of++;
    CHECK(lt_lock_is_held((lt_lock *)(uintptr_t)wait->lock));
}

/* Waits for a lock that is released after 10 ms, or for 20 ms for one that is not. */
static int wait_for(bool is_released, int told) {
    static lt_lock lock;
    lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true, .told = told};
    acquire(&lock);
    told_of = told_early = 0;
    pthread_t thread = spawn(is_released ? releases_later : does_nothing, &lock);
    int64_t since = lt_now(), deadline = since + (is_released ? 10000 : 20) * MS;
    int verdict;
    do { /* a main thread looks for signals meanwhile */
        verdict = lt_lock_acquire_for(&lock, &subject, since, deadline, NULL);
    } while (verdict == LT_INTERRUPTED);
    join(thread);
    CHECK(lt_lock_is_held(&lock) == (!is_released || verdict == LT_ACQUIRED));
    lt_lock_reset(&lock);
    while (lt_record_take(taken, ROOM, &lost) != 0) {
    }
    return verdict;
}

static void who_asked_for_it_is_told_of_the_end(void) {
    CHECK(lt_record_begin(&(lt_record_how){.room = ROOM, .shortest = MS, .over = is_over}));
    CHECK(wait_for(true, LT_TOLD_OF_END) == LT_ACQUIRED && told_of == 1);
    CHECK(wait_for(false, LT_TOLD_OF_END) == LT_TIMED_OUT && told_of == 1);
    CHECK(wait_for(true, LT_TOLD_OF_INTERRUPTION) == LT_ACQUIRED && told_of == 0);
    CHECK(wait_for(true, LT_TOLD_OF_NONE) == LT_ACQUIRED && told_of + told_early == 0);
    CHECK(
        lt_record_begin(&(lt_record_how){.room = ROOM, .shortest = 10000 * MS, .over = is_over}));
    CHECK(wait_for(true, LT_TOLD_OF_END) == LT_ACQUIRED &&
          told_of + told_early == 0); /* it is short */
    lt_record_end();
    CHECK(wait_for(true, LT_TOLD_OF_END) == LT_ACQUIRED && told_of + told_early == 0);
}

static void *is_interrupted_to_be_noted(void *lock) {
    lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true, .told = LT_TOLD_OF_INTERRUPTION};
    int64_t since = lt_now();
    CHECK(lt_lock_acquire_for(lock, &subject, since, LT_FOREVER, NULL) == LT_INTERRUPTED);
    return NULL;
}

/* A handler may end it now: in the main thread alone. */
static void the_main_thread_is_told_of_what_is_interrupted(void) {
    lt_lock lock = {0};
    CHECK(lt_record_begin(
        &(lt_record_how){.room = ROOM, .shortest = MS, .noted_after = 2 * MS, .over = is_over}));
    acquire(&lock);
    told_of = told_early = 0;
    join(spawn(is_interrupted_to_be_noted, &lock));
    CHECK(told_early == 0);
    is_interrupted_to_be_noted(&lock);
    CHECK(told_early == 1 && told_of == 0);
    lt_record_end();
}

/* It went on, but its caller has come back when it was over. */
static void who_comes_too_late_is_written_down(void) {
    lt_lock lock = {0};
    lt_subject subject = {.kind = LT_FOR_LOCK, .checks = true};
    CHECK(lt_record_begin(&(lt_record_how){.room = ROOM, .shortest = MS, .noted_after = MS}));
    acquire(&lock);
    int64_t since = lt_now(), deadline = since + 200 * MS;
    CHECK(lt_lock_acquire_for(&lock, &subject, since, deadline, NULL) == LT_INTERRUPTED);
    sleep_ms(250);
    CHECK(lt_lock_acquire_for(&lock, &subject, since, deadline, NULL) == LT_TIMED_OUT);
    CHECK(lt_record_take(taken, ROOM, &lost) == 2);
    CHECK(taken[0].verdict == LT_INTERRUPTED && taken[0].owner == 0 && taken[0].word != 0);
    CHECK(taken[1].verdict == LT_TIMED_OUT && taken[1].owner == 0 && taken[1].word == 0);
    CHECK(taken[1].since == since && taken[1].until >= deadline);
    lt_record_end();
}

enum { THREADS = 4 };
static atomic_bool has_ended;

static void *writes(void *unused) {
    (void)unused;
    while (!atomic_load(&has_ended)) {
        lt_record(&(lt_wait_done){.lock = 7, .until = 7}, LT_TOLD_OF_NONE);
    }
    return NULL;
}

static void *begins_and_ends(void *unused) {
    (void)unused;
    for (int i = 0; i < TIMES(2000); i++) {
        CHECK(begin(ROOM, 0, false));
        sched_yield();
        lt_record_end();
    }
    return NULL;
}

static void many_write_while_it_begins_and_ends(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = spawn(writes, NULL);
    }
    pthread_t changes = spawn(begins_and_ends, NULL);
    for (int i = 0; i < TIMES(20000); i++) {
        size_t n = lt_record_take(taken, ROOM, &lost);
        for (size_t j = 0; j < n; j++) {
            CHECK(taken[j].lock == 7 && taken[j].until == 7);
        }
    }
    join(changes);
    atomic_store(&has_ended, true);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

static bool is_hold(const lt_wait_done *done, const void *lock, int kind, int64_t verdict) {
    return done->lock == (uintptr_t)lock && done->kind == kind && done->verdict == verdict &&
           done->waiter == lt_ident() && done->until <= lt_now() &&
           done->until > lt_now() - 1000 * MS;
}

static void releases_are_written_down_if_that_is_asked_for(void) {
    lt_lock lock = {0};
    lt_rlock r = {0};
    CHECK(begin(ROOM, 10, false) && !lt_is_recording_holds());
    CHECK(lt_lock_try(&lock));
    CHECK(lt_lock_release_told(&lock) == LT_RELEASED);
    lt_record_hold((uintptr_t)&lock, LT_FOR_LOCK, LT_HOLD_ENDS);
    CHECK(lt_recorded() == 0);

    CHECK(begin(ROOM, 1000 * MS, true) && lt_is_recording_holds());
    CHECK(lt_lock_release_told(&lock) == LT_NOT_HELD);
    CHECK(lt_rlock_release_told(&r) == LT_NOT_HELD && lt_rlock_release_all(&r) == 0);
    CHECK(lt_recorded() == 0);
    acquire(&lock);
    CHECK(lt_lock_release_told(&lock) == LT_RELEASED);
    for (int i = 0; i < 3; i++) {
        CHECK(lt_rlock_try(&r) == LT_ACQUIRED);
    }
    CHECK(lt_rlock_release_told(&r) == LT_RELEASED && lt_recorded() == 1); /* it has it still */
    CHECK(lt_rlock_release_all(&r) == 2);
    CHECK(lt_lock_try(&r.lock));
    lt_rlock_restored(&r, 2, lt_ident());
    CHECK(lt_rlock_release_told(&r) == LT_RELEASED && lt_rlock_release_told(&r) == LT_RELEASED);
    CHECK(lt_record_take(taken, ROOM, &lost) == 4 && lost == 0);
    CHECK(is_hold(&taken[0], &lock, LT_FOR_LOCK, LT_HOLD_ENDS));
    CHECK(is_hold(&taken[1], &r, LT_FOR_RLOCK, LT_HOLD_ENDS));
    CHECK(is_hold(&taken[2], &r, LT_FOR_RLOCK, LT_HOLD_GOES_ON));
    CHECK(is_hold(&taken[3], &r, LT_FOR_RLOCK, LT_HOLD_ENDS));
    lt_record_end();
    CHECK(!lt_is_recording_holds());
}

static void a_child_has_none(void) {
    CHECK(begin(ROOM, 0, true));
    write_down(0, 2);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        bool ok = !lt_is_recording() && !lt_is_recording_holds() && lt_recorded() == 0 &&
                  begin(1, 0, false);
        _exit(ok ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(lt_is_recording() && lt_recorded() == 2);
    lt_record_end();
}

int main(void) {
    printf("test_record (%s)\n", lt_wait_name);
    CHECK(lt_core_init() == 0);
    RUN(there_is_none_at_first);
    RUN(what_is_written_is_taken_in_order);
    RUN(a_wait_is_written_down);
    RUN(short_waits_are_counted);
    RUN(a_note_is_wanted_when_it_is_not_short_any_more);
    RUN(who_waits_briefly_most_often_is_noted_later);
    RUN(who_is_noted_late_is_noted_no_later);
    RUN(a_wait_that_goes_on_is_interrupted_for_that);
    RUN(how_long_waits_last_is_learnt);
    RUN(brief_waits_are_of_one_lock_and_without_a_timeout);
    RUN(who_asked_for_it_is_told_of_the_end);
    RUN(the_main_thread_is_told_of_what_is_interrupted);
    RUN(who_comes_too_late_is_written_down);
    RUN(many_write_while_it_begins_and_ends);
    RUN(releases_are_written_down_if_that_is_asked_for);
    RUN(a_child_has_none);
    return 0;
}
