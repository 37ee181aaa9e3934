# What Cython programs `cimport` from lowthread: lowthread.h tells what it does.
from libc.stdint cimport int64_t, uint32_t

cdef extern from "lowthread.h" nogil:
    ctypedef struct lt_lock:
        pass
    ctypedef struct lt_rlock:
        pass

    const int64_t LT_FOREVER

    const int LT_ACQUIRED
    const int LT_RELEASED
    const int LT_TIMED_OUT
    const int LT_INTERRUPTED
    const int LT_NOT_HELD
    const int LT_OVERFLOW
    const int LT_ABANDONED

    ctypedef struct lt_api:
        uint32_t version
        uint32_t size
        int64_t (*now)() noexcept nogil
        int (*lock_acquire)(lt_lock *lock, int64_t deadline) noexcept nogil
        int (*lock_wait)(lt_lock *lock, int64_t since, int64_t deadline) noexcept nogil
        int (*lock_release)(lt_lock *lock) noexcept nogil
        int (*lock_is_held)(lt_lock *lock) noexcept nogil
        int (*rlock_acquire)(lt_rlock *rlock, int64_t deadline) noexcept nogil
        int (*rlock_wait)(lt_rlock *rlock, int64_t since, int64_t deadline) noexcept nogil
        int (*rlock_release)(lt_rlock *rlock) noexcept nogil
        int (*rlock_is_held)(lt_rlock *rlock) noexcept nogil
        unsigned long (*rlock_count)(lt_rlock *rlock) noexcept nogil

    int lt_api_fits(const lt_api *api) noexcept

cdef extern from "lowthread.h":
    const lt_api *lt_import_api() except NULL
    lt_lock *lt_lock_in(object lock) except NULL
    lt_rlock *lt_rlock_in(object rlock) except NULL
    int lt_check_signals() except -1
