"""
Tests of pauses that grow.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.pauses import Pauses


class PausesTests(SynchronousTestCase):
    """
    Pauses between 1 and 30 seconds.
    """

    def test_growth(self) -> None:
        """
        They grow to the limit, give or take a quarter, and begin again.
        """
        pauses = Pauses(Random(1), 1.0, 30.0)
        found = [pauses.next() for _ in range(100)]
        self.assertTrue(0.75 <= found[0] <= 1.25)
        self.assertTrue(all(22.5 <= pause <= 37.5 for pause in found[10:]))
        self.assertGreater(len(set(found[10:])), 80)
        pauses.reset()
        self.assertLessEqual(pauses.next(), 1.25)
