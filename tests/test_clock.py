"""
Tests of L{jobroute.clock}.
"""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.clock import SystemClock
from jobroute.interfaces import IClock


class SystemClockTests(SynchronousTestCase):
    """
    The clocks of the operating system.
    """

    def test_clocks(self) -> None:
        """
        One never steps, the other is the time of day.
        """
        clock = SystemClock()
        verifyObject(IClock, clock)
        self.assertLessEqual(clock.monotonic(), clock.monotonic())
        self.assertTrue(abs(clock.wall() - time.time()) < 5)  # noqa: TID251
