"""Builds the module with Cython: python setup.py build_ext --inplace."""

from setuptools import Extension, setup

import lowthread

setup(
    name="sharing",
    ext_modules=[
        Extension(
            "sharing",
            ["sharing.pyx"],
            include_dirs=[lowthread.get_include()],
            extra_compile_args=["-pthread"],
            extra_link_args=["-pthread"],
        )
    ],
)
