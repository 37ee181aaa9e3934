"""Run a module of the standard library's tests, and write {test: outcome} to a file."""

import json
import sys
import unittest

from test import support

support.verbose = True


class Result(unittest.TextTestResult):
    """A result that keeps the outcome of each test."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outcomes = {}

    def _note(self, test, outcome):
        self.outcomes[test.id()] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self.outcomes.setdefault(test.id(), "passed")

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "passed")


def main():
    module, path = sys.argv[1:]
    # Like `-m test`: nothing that is large. This one needs "the network", which is 127.0.0.1.
    support.use_resources = ["network"] if module == "test_socketserver" else []
    tests = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(tests)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(result.outcomes, f)


if __name__ == "__main__":
    main()
