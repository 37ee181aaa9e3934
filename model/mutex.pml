/* csrc/lt_mutex.h, for spin; tools/model.py runs it.  The names are those of the C code. */
#ifndef N
#define N 3 /* threads */
#endif
#ifndef ROUNDS
#define ROUNDS 3 /* how often each locks and unlocks */
#endif

byte word; /* lt_mutex.word */
bool sleeps[N];
byte holders;

/* The kernel compares and puts to sleep in one step. */
inline lt_wait(n) {
    sleeps[_pid] = (word == n);
    !sleeps[_pid]
}

/* Anyone of those asleep, if there is one. */
inline lt_wake() {
    if
    :: sleeps[0] -> sleeps[0] = false
    :: sleeps[1] -> sleeps[1] = false
    :: sleeps[2] -> sleeps[2] = false
    :: else
    fi
}

inline exchange(to) {
    d_step { seen = word; word = to }
}

inline lt_mutex_lock() {
    d_step {
        seen = word;
        if
        :: seen == 0 -> word = 1
        :: else
        fi
    };
    if
    :: seen == 0
    :: else ->
        do
        :: exchange(2);
            if
            :: seen == 0 -> break
            :: else -> lt_wait(2)
            fi
        od
    fi;
    seen = 0
}

inline lt_mutex_unlock() {
    exchange(0);
    if
    :: seen == 2 -> lt_wake()
    :: else
    fi;
    seen = 0
}

active [N] proctype thread() {
    byte seen, round;
    do
    :: round == ROUNDS -> break
    :: else ->
        lt_mutex_lock();
        holders++;
        assert(holders == 1);
        holders--;
        lt_mutex_unlock();
        round++
    od
}
