"""Builds the module with cffi: python setup.py build_ext --inplace."""

from setuptools import setup

setup(name="sharing", cffi_modules=["build_sharing.py:ffi"])
