"""interrupt_main: the handler of a signal runs in the main thread, and no signal is sent."""

import select
import signal
import socket
import sys
import time

import pytest
from conftest import LONG, Raised, handling, raise_it, run_script, run_threads, wait_until

import lowthread

# https://docs.python.org/3.13/library/_thread.html#thread.interrupt_main


def later(function, *args):
    def run():
        time.sleep(0.05)
        function(*args)

    lowthread.start_new_thread(run, ())


# Since 3.12, forking with threads is warned of.
PYTHON = (sys.executable, "-W", "ignore::DeprecationWarning")


def test_the_handler_runs_in_the_main_thread():
    calls = []

    def handler(signum, frame):
        calls.append((signum, lowthread.get_ident()))

    with handling(signal.SIGUSR1, handler):
        run_threads(lambda: lowthread.interrupt_main(signal.SIGUSR1))
        wait_until(lambda: calls)
    assert calls == [(signal.SIGUSR1, lowthread.get_ident())]


def test_it_returns_none():
    with handling(signal.SIGINT, lambda *args: None):
        assert lowthread.interrupt_main() is None


def test_sigint_if_no_signum_is_given():
    calls = []
    with handling(signal.SIGINT, lambda *args: calls.append(args[0])):
        lowthread.interrupt_main()
        wait_until(lambda: calls)
    assert calls == [signal.SIGINT]


def test_the_default_handler_of_sigint_raises_keyboard_interrupt():
    with handling(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        later(lowthread.interrupt_main)
        wait_until(lambda: False)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGUSR1, signal.SIGTERM])
@pytest.mark.parametrize("timeout", [-1, LONG])
def test_it_wakes_a_main_thread_that_waits_for_a_lock(signum, timeout):
    lock = lowthread.allocate_lock()
    lock.acquire()
    times = []

    def interrupt():
        times.append(time.monotonic())
        lowthread.interrupt_main(signum)

    with handling(signum, raise_it):
        with pytest.raises(Raised):
            later(interrupt)
            lock.acquire(timeout=timeout)
        assert time.monotonic() - times[0] < LONG / 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "send", ["lowthread.interrupt_main(signum)", "signal.pthread_kill(main, signum)"]
)
def test_the_main_thread_wakes_at_once(send):
    """Not at its next look: after seconds of waiting, those come a second apart."""
    out = run_script(
        f"""
        import signal, threading, time, lowthread
        main = threading.main_thread().ident
        signum = signal.SIGUSR1
        lock = lowthread.allocate_lock()
        lock.acquire()
        delays = []
        signal.signal(signum, lambda *args: delays.append(time.monotonic() - sent))
        def send():
            global sent
            for n, pause in enumerate([2.3, 0.25, 0.25, 0.25]):
                time.sleep(pause)
                sent = time.monotonic()
                {send}
                while len(delays) == n:
                    time.sleep(0.001)
            lock.release()
        lowthread.start_new_thread(send, ())
        lock.acquire()
        print(*delays)
        """
    ).ok()
    delays = list(map(float, out.split()))
    assert len(delays) == 4
    # By looking alone one might be prompt, the first; the others come 0.25 s after a look.
    # On a busy machine all but the best two may be late.
    assert sorted(delays)[1] < 0.5, delays


def test_a_handler_that_does_not_raise_lets_it_wait_on():
    lock = lowthread.allocate_lock()
    lock.acquire()
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):
        for _ in range(3):
            later(lowthread.interrupt_main, signal.SIGUSR1)
        begin = time.monotonic()
        assert lock.acquire(timeout=0.3) is False
        assert time.monotonic() - begin >= 0.3
        wait_until(lambda: calls)
    assert 1 <= len(calls) <= 3  # scheduled again before it ran, it runs once


def test_the_main_thread_interrupts_itself():
    with handling(signal.SIGUSR1, raise_it), pytest.raises(Raised):
        lowthread.interrupt_main(signal.SIGUSR1)
        wait_until(lambda: False)


def test_a_later_wait_is_not_spoilt():
    """An interrupt that is over by the time of a wait does not end that."""
    lock = lowthread.allocate_lock()
    lock.acquire()
    with handling(signal.SIGUSR1, lambda *args: None):
        lowthread.interrupt_main(signal.SIGUSR1)
        begin = time.monotonic()
        assert lock.acquire(timeout=0.05) is False
        assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("action", [signal.SIG_DFL, signal.SIG_IGN])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_nothing_happens_without_a_python_handler(action, signum):
    with handling(signum, action):
        run_threads(lambda: lowthread.interrupt_main(signum))
        time.sleep(0.01)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_nothing_happens_for_signals_that_python_does_not_handle(signum):
    lowthread.interrupt_main(signum)


def test_every_signum_is_accepted():
    result = run_script(
        """
        import signal, lowthread
        for signum in range(1, signal.NSIG):
            lowthread.interrupt_main(signum) if signum != signal.SIGINT else None
        got = []
        handled = []
        for signum in range(1, signal.NSIG):
            if signum in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                continue  # no handler can be set; 32 and 33 are the C library's own
            signal.signal(signum, lambda signum, frame: got.append(signum))
            lowthread.interrupt_main(signum)
            for _ in range(1000):
                pass
            handled.append(signum)
        assert len(handled) > 25
        assert got == handled, (got, handled)
        """
    )
    result.ok()


def test_no_signal_is_sent():
    """One would be pending while it is blocked."""
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            lowthread.interrupt_main(signal.SIGUSR1)
            if hasattr(signal, "sigtimedwait"):  # PyPy has none
                assert signal.sigtimedwait({signal.SIGUSR1}, 0.05) is None
            assert signal.SIGUSR1 not in signal.sigpending()
            wait_until(lambda: calls)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)


def test_it_writes_to_the_wakeup_descriptor():
    reader, writer = socket.socketpair()
    with reader, writer, handling(signal.SIGUSR1, lambda *args: None):
        writer.setblocking(False)
        old = signal.set_wakeup_fd(writer.fileno())
        try:
            run_threads(lambda: lowthread.interrupt_main(signal.SIGUSR1))
            assert select.select([reader], [], [], LONG)[0]
            assert reader.recv(10) == bytes([signal.SIGUSR1])
        finally:
            signal.set_wakeup_fd(old)


def test_what_others_install_in_c_is_not_called():
    """The Python handler runs, also when C code has put a handler of its own over it."""
    result = run_script(
        """
        import faulthandler, signal, lowthread
        calls = []
        signal.signal(signal.SIGUSR1, lambda *args: calls.append(args))
        faulthandler.register(signal.SIGUSR1)
        lowthread.interrupt_main(signal.SIGUSR1)
        for _ in range(1000):
            pass
        assert len(calls) == 1
        """
    )
    result.ok()


class Index:
    def __index__(self):
        return int(signal.SIGUSR1)


@pytest.mark.parametrize("signum", [int(signal.SIGUSR1), Index()])
def test_a_signum_is_anything_with_index(signum):
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):
        lowthread.interrupt_main(signum)
        wait_until(lambda: calls)


@pytest.mark.parametrize("signum", [0, -1, signal.NSIG, 1000, 2**31 - 1, -(2**31)])
def test_what_is_no_signal(signum):
    with pytest.raises(ValueError, match="^signal number out of range$"):
        lowthread.interrupt_main(signum)


def test_what_is_no_int():
    with pytest.raises(OverflowError, match="^signed integer is greater than maximum$"):
        lowthread.interrupt_main(2**31)
    with pytest.raises(OverflowError, match="^signed integer is less than minimum$"):
        lowthread.interrupt_main(-(2**31) - 1)
    for beyond in [2**63, 2**100, -(2**63) - 1]:
        with pytest.raises(OverflowError, match="^Python int too large to convert to C long$"):
            lowthread.interrupt_main(beyond)
    for wrong in [1.5, "2", None]:
        with pytest.raises(TypeError, match="object cannot be interpreted as an integer$"):
            lowthread.interrupt_main(wrong)


def test_from_the_child_of_a_fork_in_a_thread():
    """The thread that forked is the child's main thread, and is woken."""
    run_script(
        """
        import os, signal, time, lowthread
        done = lowthread.allocate_lock()
        done.acquire()
        def forks():
            pid = os.fork()
            if pid == 0:
                lock = lowthread.allocate_lock()
                lock.acquire()
                def interrupt():
                    time.sleep(0.05)
                    lowthread.interrupt_main()
                try:
                    lowthread.start_new_thread(interrupt, ())
                    lock.acquire(timeout=30)
                except KeyboardInterrupt:
                    os._exit(0)
                os._exit(1)
            global status
            status = os.waitpid(pid, 0)[1]
            done.release()
        lowthread.start_new_thread(forks, ())
        assert done.acquire(timeout=60)
        assert status == 0, status
        """,
        python=PYTHON,
    ).ok()


def test_imported_first_in_another_thread():
    out = run_script(
        """
        import _thread, time
        done = _thread.allocate_lock()
        done.acquire()
        def imports():
            import lowthread
            done.release()
        _thread.start_new_thread(imports, ())
        done.acquire()
        import lowthread
        lock = lowthread.allocate_lock()
        lock.acquire()
        def interrupt():
            time.sleep(0.05)
            lowthread.interrupt_main()
        try:
            lowthread.start_new_thread(interrupt, ())
            lock.acquire(timeout=30)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert out.ok() == "interrupted\n"


def test_importing_leaves_the_handlers_alone():
    run_script(
        """
        import signal
        def handlers():
            return [signal.getsignal(n) for n in range(1, signal.NSIG)], signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGURG, signal.SIG_IGN)
        before = handlers()
        import lowthread
        assert handlers() == before
        """
    ).ok()


def test_many_at_once():
    """Nothing is lost in a storm: after it, one interrupt still arrives."""
    lock = lowthread.allocate_lock()
    calls = []
    with handling(signal.SIGUSR1, lambda *args: calls.append(args)):

        def storm():
            for _ in range(500):
                lowthread.interrupt_main(signal.SIGUSR1)

        run_threads(*[storm] * 4)
        wait_until(lambda: calls)
        lock.acquire()
        calls.clear()
        later(lambda: (lowthread.interrupt_main(signal.SIGUSR1), lock.release()))
        assert lock.acquire(timeout=LONG) is True
        wait_until(lambda: calls)
        assert len(calls) == 1
