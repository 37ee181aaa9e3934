"""How Sphinx makes the manual: `make docs`."""

import doctest
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
# lowthread as it is built in this folder, what is written for this manual, and its drawings.
sys.path[:0] = [str(HERE.parent), str(HERE / "ext"), str(HERE)]
os.environ["PYTHONPATH"] = str(HERE.parent)  # for examples that run a program of their own

from lowthread import __version__  # noqa: E402 -- which is found there

project = "lowthread"
author = "the lowthread maintainers"
copyright = "the lowthread maintainers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.extlinks",
    "reference",
    "pictures",
]
exclude_patterns = ["requirements.txt"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# The stubs and the annotations are for type checkers; here the text says what an argument is.
autodoc_typehints = "none"
add_module_names = False
python_display_short_literal_types = True

# Where rules come from. The version is the one whose behaviour lowthread has.
extlinks = {
    "thread-doc": ("https://docs.python.org/3.13/library/_thread.html#%s", "%s"),
    "threading-doc": ("https://docs.python.org/3.13/library/threading.html#%s", "%s"),
    "python-doc": ("https://docs.python.org/3.13/%s", "%s"),
    "python314-doc": ("https://docs.python.org/3.14/%s", "%s"),
    "cpython": ("https://github.com/python/cpython/blob/v3.13.0/%s", "CPython 3.13, %s"),
    "cpython314": ("https://github.com/python/cpython/blob/v3.14.0/%s", "CPython 3.14, %s"),
}

html_theme = "furo"
html_title = f"lowthread {release}"
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sphinx = False
templates_path = []

doctest_global_setup = "import lowthread"
# Not IGNORE_EXCEPTION_DETAIL, which is Sphinx's default: messages are promised.
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
