"""Only what pyproject.toml cannot say: that cffi makes the native module."""

from setuptools import setup

setup(cffi_modules=["build_ffi.py:ffibuilder"])
