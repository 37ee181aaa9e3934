/* What cffi reads: the part of the core that the Python modules call.  The meaning of
 * each is told where it is declared for C. */

/* lt_wait.h */
int64_t lt_now(void);
extern const char *const lt_wait_name;

/* lt_lock.h */
typedef struct { uint32_t word; ...; } lt_lock;
#define LT_HELD ...
bool lt_lock_try(lt_lock *lock);
int lt_lock_release(lt_lock *lock);
int lt_lock_release_told(lt_lock *lock);
void lt_lock_reset(lt_lock *lock);
#define LT_ACQUIRED ...
#define LT_TIMED_OUT ...
#define LT_INTERRUPTED ...
#define LT_NOT_HELD ...
#define LT_ABANDONED ...
extern const int64_t lt_lock_lapse_ns;
bool lt_lock_was_taken_by(lt_lock *lock, uintptr_t ident);
bool lt_lock_is_abandoned(lt_lock *lock);
uint32_t lt_lock_word(lt_lock *lock);
typedef struct {
    uint64_t lock, waiter, owner, word;
    int64_t kind, since, deadline, held_from;
} lt_wait_seen;
#define LT_FOR_LOCK ...
#define LT_FOR_RLOCK ...
#define LT_FOR_THREAD ...
#define LT_HOLDER ...
void lt_check_after(int64_t ns);
size_t lt_waits(lt_wait_seen *into, size_t room);
uint32_t lt_holder_of(uintptr_t ident);

/* lt_record.h */
typedef struct {
    uint64_t lock, waiter, owner, word;
    int64_t kind, since, until, verdict;
} lt_wait_done;
#define LT_HOLD_ENDS ...
#define LT_HOLD_GOES_ON ...
void lt_record_short(int64_t *count_and_total);
void lt_record_end(void);
size_t lt_recorded(void);
bool lt_record_is_long(int64_t since);
size_t lt_record_take(lt_wait_done *into, size_t room, size_t *lost);

/* lt_rlock.h */
typedef struct { lt_lock lock; ...; } lt_rlock;
int lt_rlock_try(lt_rlock *r);
int lt_rlock_release(lt_rlock *r);
int lt_rlock_release_told(lt_rlock *r);
unsigned long lt_rlock_release_all(lt_rlock *r);
void lt_rlock_reset(lt_rlock *r);
bool lt_rlock_is_held(lt_rlock *r);
uintptr_t lt_rlock_owner(lt_rlock *r);
unsigned long lt_rlock_count(lt_rlock *r);
#define LT_OVERFLOW ...

/* lt_park.h */
void lt_main_here(void);
void lt_main_interrupt(void);
uintptr_t lt_main_ident(void);

/* lt_thread.h */
size_t lt_set_stack_size(size_t size);
uintptr_t lt_ident(void);
int64_t lt_native_id(void);
long lt_count(void);
long lt_thread_count(void);
bool lt_is_only_thread(void);
void lt_helper_begin(void);
void lt_count_up(void);
void lt_count_down(void);
int lt_core_init(void);
extern const int lt_name_max;
int lt_set_name(const char *name);
int lt_get_name(char *name, size_t size);

/* lt_api.h */
typedef ... lt_api;
const lt_api *lt_get_api(void);

/* lt_handle.h */
typedef ... lt_handle;
#define LT_NOT_STARTED ...
#define LT_IS_SELF ...
lt_handle *lt_handle_new(void);
lt_handle *lt_handle_of(uintptr_t ident);
void lt_handle_drop(lt_handle *h);
bool lt_handle_is_done(lt_handle *h);
bool lt_handle_set_done(lt_handle *h);
uintptr_t lt_handle_ident(lt_handle *h);
lt_handle *lt_handle_next_awaited(uintptr_t awaited_by);

/* lt_prelude.h */
int lt_acquire(lt_lock *lock, int64_t since, int64_t deadline);
#define LT_TO_TELL ...
#define LT_TO_NOTE ...
#define LT_TO_CHECK ...
#define LT_TO_RUN_HANDLERS ...
int lt_wait_tells(int64_t since, int64_t deadline);
bool lt_record_from_now(size_t room, int64_t shortest, int64_t noted_after, bool holds);
typedef struct { uint64_t waiter, owner, owner_bits; } lt_noted;
void lt_note(uintptr_t waited_for, int kind, lt_noted *noted);
int lt_racquire(lt_rlock *r, int64_t since, int64_t deadline);
int lt_rrestore(lt_rlock *r, unsigned long count, uintptr_t owner, int64_t since,
                int64_t deadline);
bool lt_try_is(lt_lock *lock, bool expected);
bool lt_rtry_is(lt_rlock *r, bool expected);
bool lt_wait_is(lt_lock *lock, int64_t since, bool expected);
bool lt_rwait_is(lt_rlock *r, int64_t since, bool expected);
bool lt_release_is(lt_lock *lock, bool expected);
bool lt_rrelease_is(lt_rlock *r, bool expected);
bool lt_release_told_is(lt_lock *lock, bool expected);
bool lt_rrelease_told_is(lt_rlock *r, bool expected);
unsigned long lt_rcount(lt_rlock *r);
lt_lock *lt_new_sentinel(void);
void lt_free_sentinel(lt_lock *lock);
int64_t lt_native_id_of(lt_handle *h);
int lt_join(lt_handle *h, int64_t since, int64_t deadline);
int lt_tell_init(void);
int lt_tell_signal(int signum);
void lt_tell_alone(void);
void lt_tell_again(void);
unsigned lt_await_told(void);
void lt_learn_signal_handler(int signum);
int lt_trip_signal(int signum);
