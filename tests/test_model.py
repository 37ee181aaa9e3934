"""The models of the protocols notice when they are broken; `make model` checks them whole."""

import shutil

import pytest
from conftest import CFFI, ROOT, run_script

pytestmark = pytest.mark.slow

MODEL = ROOT / "tools" / "model.py"


#: One of each kind; `make model` breaks the others too.
BROKEN = [
    "nobody is woken",
    "WAITERS is not set",
    "an interrupt has it go without a look",
    "nothing is ever reserved",
    "the closer looks before it closes",
    "the mutex wakes nobody",
]


@pytest.mark.skipif(shutil.which("spin") is None, reason="needs spin")
@pytest.mark.skipif(CFFI, reason="the models are the same for every backend: native runs this")
def test_each_line_that_is_broken_is_noticed():
    """Each ends a search with an error, or the tool would."""
    lines = run_script(MODEL, "--mutations", *BROKEN, timeout=900).ok().splitlines()
    assert [line[: len(name)] for line, name in zip(lines, BROKEN)] == BROKEN
    assert len(lines) == len(BROKEN)
