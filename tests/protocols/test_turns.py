"""
Tests of L{jobroute.protocols.turns}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.protocols.turns import MOST, Turns


class TurnsTests(SynchronousTestCase):
    """
    Everybody gets a moment.
    """

    def test_apart(self) -> None:
        """
        Who comes first need not wait; all who come at once come one after the
        other, and who comes later behind them.
        """
        clock = Clock()
        clock.advance(1000.0)
        turns = Turns(clock.seconds, 10.0)
        self.assertEqual([turns.take() for _ in range(4)], [0.0, 0.1, 0.2, 0.3])
        clock.advance(0.15)
        self.assertEqual(turns.take(), 0.25)
        clock.advance(5.0)
        self.assertEqual([turns.take(), turns.take()], [0.0, 0.1])

    def test_not_for_ever(self) -> None:
        """
        Nobody waits for longer than a minute, also when the clock is set back.
        """
        clock = Clock()
        clock.advance(10000.0)
        turns = Turns(clock.seconds, 10.0)
        waits = [turns.take() for _ in range(5000)]
        self.assertLessEqual(max(waits), MOST)
        self.assertGreater(max(waits), MOST - 0.2)
        clock.rightNow -= 5000.0
        self.assertEqual(turns.take(), 0.0)
