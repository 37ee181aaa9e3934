/* What cffi reads on PyPy besides: a thread enters Python through a callback. */
int64_t lt_start(void *task);
extern "Python" void lt_run(void *task);
