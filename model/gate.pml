/* The exit gate of csrc/lt_thread.c, the births, and who is awake, for spin; tools/model.py runs
 * it.
 *
 * The names are those of the C code.  A run of spin is sequentially consistent, which is what
 * the C code asks for with memory_order_seq_cst, on `passing` and `closed_by`, and on `births`
 * and `births_awaited`: who comes or goes writes the one and reads the other, who waits for
 * them the other way round, and one of the two has to see what the other wrote.  `awake` grows by
 * a relaxed operation, but between two on `passing` that the closer sees.
 *
 * Each of N threads is started while another may wait for the births to end, and then passes
 * through the gate, runs Python and goes to sleep, while another may close the gate and wait until
 * nobody is awake.
 *
 * What a configuration may set (tools/model.py has them): */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 2 /* how often each passes through the gate */
#endif
#ifndef PATIENCE
#define PATIENCE 0 /* it may run out */
#endif

#define ME _pid
#define NOBODY 255 /* in place of 0 */

byte passing, births, awake; /* words to sleep on; only the main thread does */
byte closed_by = NOBODY;
bool births_awaited;
bool passing_sleeps, births_sleeps, awake_sleeps; /* the kernel has it on the list for that word */

bool exiting; /* of lt_cpython.c: who starts a thread from now on waits for it itself */

/* What the properties speak of. */
byte inside;    /* between enter and leave, but for the closer */
byte unborn;    /* started, and not known to Python */
byte touching;  /* may look at the interpreter: before they sleep, or are told to end */
bool is_closed; /* lt_gate_close() has returned */
bool is_gone;   /* and so has lt_awake_wait(): the interpreter is freed */
bool gave_up;   /* patience has run out */

/* The kernel compares and puts to sleep in one step. */
inline lt_wait(word, sleeps, n) {
    sleeps = (word == n);
    !sleeps
}

inline lt_wake(sleeps) {
    sleeps = false
}

inline leave(word, sleeps) {
    word--;
    if
    :: closed_by != NOBODY -> lt_wake(sleeps)
    :: else
    fi
}

inline lt_gate_leave() {
    leave(passing, passing_sleeps)
}

inline lt_gate_enter() {
    passing++;
    closer = closed_by;
    entered = (closer == NOBODY || closer == ME);
    if
    :: !entered -> lt_gate_leave()
    :: else
    fi;
    closer = 0
}

/* Patience may run out at any time, but where the number has just become smaller. */
inline until_zero(word, sleeps) {
    fewest = 255;
    do
    :: n = word;
        if
        :: n == 0 -> break
        :: n != 0 && n < fewest -> fewest = n; lt_wait(word, sleeps, n)
        :: n != 0 && n >= fewest -> lt_wait(word, sleeps, n)
        :: n != 0 && n >= fewest && PATIENCE -> gave_up = true; break
        fi
    od;
    n = 0; fewest = 0
}

inline lt_gate_close() {
    closed_by = ME;
    until_zero(passing, passing_sleeps)
}

inline lt_nap_end() { /* and lt_awake_begin() */
    awake++
}

inline lt_nap_begin() { /* and lt_awake_end() */
    leave(awake, awake_sleeps)
}

inline lt_awake_wait() { /* by one that is not counted */
    until_zero(awake, awake_sleeps)
}

inline lt_birth_begin() {
    births++
}

inline lt_birth_end() {
    d_step { n = births; births-- };
    if
    :: n == 1 && births_awaited -> lt_wake(births_sleeps)
    :: else
    fi;
    n = 0
}

inline lt_births_wait() {
    births_awaited = true;
    until_zero(births, births_sleeps);
    births_awaited = false
}

inline take_gil() { /* of lt_cpython.c, from where the gate has let it in */
    lt_nap_end();
    atomic { assert(gave_up || !is_gone); touching++ };
    inside--;
    lt_gate_leave()
}

active [N] proctype thread() {
    byte closer, n, round;
    bool entered, was_closed;

    if
    :: atomic { !exiting -> unborn++; lt_birth_begin() }; /* the starter has the GIL */
        unborn--; /* now it is known to Python */
        lt_birth_end()
    :: atomic { exiting -> skip }
    fi;

    do
    :: round == ROUNDS -> break
    :: else ->
        was_closed = (closed_by != NOBODY);
        lt_gate_enter();
        assert(!entered || !was_closed);
        if
        :: entered ->
            atomic { assert(gave_up || !is_closed); inside++ };
            take_gil();
            atomic { assert(gave_up || !is_gone); touching-- };
            lt_nap_begin()
        :: else
        fi;
        round++
    od
}

active proctype main() {
    byte closer, n, fewest;
    bool entered;

    exiting = true;
    lt_births_wait();
    assert(gave_up || unborn == 0);

    lt_gate_close();
    atomic { assert(gave_up || inside == 0); is_closed = true };
    lt_awake_wait();
    atomic { assert(gave_up || touching == 0); is_gone = true };
    lt_gate_enter();
    assert(entered); /* the closer's own thread may */
    lt_gate_leave()
}
