"""
Tests of L{jobroute.errors}.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from jobroute import errors
from jobroute.errors import (
    BrokerAlreadyRunning,
    Busy,
    JobFailed,
    JobrouteError,
    Refused,
    Stopping,
    StorageUnavailable,
)

ALL = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, JobrouteError)]


class ErrorsTests(SynchronousTestCase):
    """
    The exceptions.
    """

    def test_codes(self) -> None:
        """
        Each has a code that is its own, and says what it is.
        """
        codes: dict[str, type] = {}
        for error in ALL:
            self.assertTrue((error.__doc__ or "").strip(), error)
            self.assertTrue(re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code), error.code)
            if error is Refused:
                # The broker's code; the class has none of its own.
                continue
            self.assertNotIn(error.code, codes)
            codes[error.code] = error

    def test_busy(self) -> None:
        """
        What can be tried again later is one family.
        """
        self.assertTrue(issubclass(StorageUnavailable, Busy) and issubclass(Stopping, Busy))

    def test_details(self) -> None:
        """
        Some know more than their text.
        """
        self.assertEqual(BrokerAlreadyRunning("x", 7).pid, 7)
        failed = JobFailed("It failed.", "lost", "j")
        self.assertEqual((str(failed), failed.verdict, failed.job), ("It failed.", "lost", "j"))
        refused = Refused("No.", "busy")
        self.assertEqual((str(refused), refused.code, Refused.code), ("No.", "busy", "error"))
