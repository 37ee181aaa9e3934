/* What cffi reads on PyPy besides: a thread enters Python through a callback, and tells of a wait. */
int64_t lt_start(void *task, lt_handle *handle, uintptr_t awaited_by, int64_t stack_size,
                 const char *name, int64_t *when);
extern "Python" bool lt_run(void *task);
extern "Python" void lt_wait_over(const lt_wait_done *wait);
extern "Python" bool lt_handlers_off(bool unused);
extern "Python" void lt_handlers_on(void);
extern "Python" bool lt_look_for_signals(void);
