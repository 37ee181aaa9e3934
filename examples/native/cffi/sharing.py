"""The same three functions as the C extension has, over the cffi module."""

import os

from _sharing import lib

import lowthread

_kept = []  # the object whose lock it is, while that is used


def start(lock, rounds):
    if _kept:
        raise RuntimeError("the thread has been started")
    error = lib.start(lowthread.get_api(), lowthread.addressof(lock), rounds)
    if error < 0:
        raise ImportError("lowthread's native API is of another version")
    if error:
        raise OSError(error, os.strerror(error))
    _kept.append(lock)


add = lib.add


def join():
    if not _kept:
        raise RuntimeError("the thread has not been started")
    total = lib.join()
    _kept.clear()
    return total
