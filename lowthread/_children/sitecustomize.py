"""Installs lowthread in a child interpreter, for `python -m lowthread --children`.

The interpreter's `site` imports this at start, as this folder is in PYTHONPATH. Children may be
of any version.
"""

import os
import sys


def _install():  # type: () -> None
    root = os.path.dirname(os.path.dirname(_here))
    had = root in sys.path
    if not had:
        sys.path.append(root)  # at the end: nothing beside lowthread is to be found there
    try:
        import lowthread

        lowthread.install()
    except Exception as error:
        sys.stderr.write("lowthread is not installed in %s: %s\n" % (sys.executable, error))
    finally:
        if not had:
            sys.path.remove(root)


def _next_sitecustomize():  # type: () -> None
    """Import the one that would have been found if this were not there."""
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore # noqa: F401
    finally:
        # The import of this one ends with a look at its name.
        sys.modules.setdefault("sitecustomize", ours)


_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _here]
_tag = getattr(getattr(sys, "implementation", None), "cache_tag", None)
# Another version, or kind, of interpreter has no native module here.
if _tag is not None and os.environ.get("LOWTHREAD_CHILDREN") == _tag:
    _install()
try:
    _next_sitecustomize()
except ImportError as error:
    if getattr(error, "name", "sitecustomize") != "sitecustomize":
        raise
