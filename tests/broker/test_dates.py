"""
Tests of L{jobroute.broker.dates}.
"""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.dates import Dates
from jobroute.interfaces import IClock


class Stepped:
    """
    Two clocks, one of which can be set.
    """

    def __init__(self) -> None:
        self.passed, self.set = 100.0, 1_000_000.0

    def monotonic(self) -> float:
        """
        Never steps.
        """
        return self.passed

    def wall(self) -> float:
        """
        Somebody sets it.
        """
        return self.set + self.passed


class DatesTests(SynchronousTestCase):
    """
    Steps of the wall clock cost nobody his history.
    """

    def setUp(self) -> None:
        self.clock = Stepped()
        self.dates = Dates(cast(IClock, self.clock))
        self.began = self.dates.today()

    def test_set_back(self) -> None:
        """
        What ends while the clock is set back is not forgotten as if it were a
        year old.
        """
        self.clock.passed += 10
        self.clock.set -= 365 * 86400
        self.assertEqual(self.dates.ended(), self.began + 10)
        self.assertLess(self.dates.today(), self.began)

    def test_set_ahead(self) -> None:
        """
        What has ended is not forgotten because the clock was set ahead.
        """
        self.clock.passed += 10
        self.clock.set += 365 * 86400
        self.assertEqual(self.dates.today(), self.began + 10)
        self.assertGreater(self.dates.ended(), self.began + 86400)
