"""Say in one sentence what is missing to build with this interpreter, if anything is.

Runs before anything is installed: only the standard library, and any Python at all.
"""

import os
import sys


def missing():
    """Return what is missing and what to install, or None."""
    if sys.version_info < (3, 9):
        return (
            "lowthread needs Python 3.9 or later, and %s is %d.%d: install python3 and "
            "name it with `make PYTHON=...`." % ((sys.executable,) + tuple(sys.version_info[:2]))
        )
    import importlib.util
    import shutil
    import sysconfig

    name = "pypy3" if sys.implementation.name == "pypy" else "python3"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return (
            "There is no C compiler (%s): install the package gcc, and libc6-dev if that "
            "is a package of its own." % compiler
        )
    header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    if not os.path.exists(header):
        return (
            "The headers of %s are missing (%s): install the package %s-dev "
            "(%s-devel on Fedora)." % (sys.executable, header, name, name)
        )
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return "%s has no module %s: install the package %s-venv." % (
                sys.executable,
                module,
                name,
            )
    return None


if __name__ == "__main__":
    sentence = missing()
    if sentence:
        sys.exit(sentence)
