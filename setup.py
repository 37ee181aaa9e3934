"""Only what pyproject.toml cannot say: that cffi makes the native module, and for whom."""

import os
import sys

from setuptools import setup

# Under PEP 517 the project's directory is not on the path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import build_ffi

setup(
    cffi_modules=["build_ffi.py:ffibuilder"],
    options={"bdist_wheel": build_ffi.wheel_options()},
)
