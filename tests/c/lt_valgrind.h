/* What a valgrind tool that looks for data races cannot see by itself: which accesses are
 * atomic, and what they order.  Included by force (`make valgrind`), in front of the core
 * and its tests, which know nothing of it.
 *
 * An operation of <stdatomic.h> orders what its memory order says and nothing else, so that
 * one that is too weak is found: release is "happens before" at its address, acquire is
 * "happens after".  The access itself races with nobody. */
#ifndef LT_VALGRIND_H
#define LT_VALGRIND_H

#include <stdatomic.h>
#include <valgrind/drd.h>

static inline void lt_atomic_begin(const volatile void *address, int order) {
    if (order != __ATOMIC_RELAXED && order != __ATOMIC_ACQUIRE) {
        ANNOTATE_HAPPENS_BEFORE(address);
    }
    ANNOTATE_IGNORE_READS_AND_WRITES_BEGIN();
}

static inline void lt_atomic_end(const volatile void *address, int order) {
    ANNOTATE_IGNORE_READS_AND_WRITES_END();
    if (order != __ATOMIC_RELAXED && order != __ATOMIC_RELEASE) {
        ANNOTATE_HAPPENS_AFTER(address);
    }
}

/* The arguments are evaluated outside, where accesses are looked at. */
#define LT_ATOMIC(address, order, operation) \
    __extension__({                          \
        __auto_type at_ = (address);         \
        lt_atomic_begin(at_, order);         \
        __auto_type result_ = operation;     \
        lt_atomic_end(at_, order);           \
        result_;                             \
    })

#define LT_ATOMIC_WITH(address, operand, order, builtin)          \
    __extension__({                                               \
        __auto_type operand_ = (operand);                         \
        LT_ATOMIC(address, order, builtin(at_, operand_, order)); \
    })

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub

#define atomic_load_explicit(a, order) LT_ATOMIC(a, order, __atomic_load_n(at_, order))
#define atomic_store_explicit(a, v, order) (void)LT_ATOMIC_WITH(a, v, order, lt_atomic_store)
#define lt_atomic_store(a, v, order) (__atomic_store_n(a, v, order), 0)
#define atomic_exchange_explicit(a, v, order) LT_ATOMIC_WITH(a, v, order, __atomic_exchange_n)
#define atomic_fetch_add_explicit(a, v, order) LT_ATOMIC_WITH(a, v, order, __atomic_fetch_add)
#define atomic_fetch_sub_explicit(a, v, order) LT_ATOMIC_WITH(a, v, order, __atomic_fetch_sub)
#define atomic_fetch_or_explicit(a, v, order) LT_ATOMIC_WITH(a, v, order, __atomic_fetch_or)
#define atomic_fetch_and_explicit(a, v, order) LT_ATOMIC_WITH(a, v, order, __atomic_fetch_and)
#define atomic_compare_exchange_strong_explicit(a, seen, v, order, failure)                    \
    __extension__({                                                                            \
        __auto_type seen_ = (seen);                                                            \
        __auto_type operand_ = (v);                                                            \
        __auto_type at_ = (a);                                                                 \
        lt_atomic_begin(at_, order);                                                           \
        bool done_ = __atomic_compare_exchange_n(at_, seen_, operand_, false, order, failure); \
        lt_atomic_end(at_, done_ ? order : failure);                                           \
        done_;                                                                                 \
    })

#define atomic_load(a) atomic_load_explicit(a, __ATOMIC_SEQ_CST)
#define atomic_store(a, v) atomic_store_explicit(a, v, __ATOMIC_SEQ_CST)
#define atomic_exchange(a, v) atomic_exchange_explicit(a, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_add(a, v) atomic_fetch_add_explicit(a, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_sub(a, v) atomic_fetch_sub_explicit(a, v, __ATOMIC_SEQ_CST)

#endif
