"""
Tests of L{jobroute.clock}.
"""

from __future__ import annotations

import time

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.clock import SystemClock, steady
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


class SteadyTests(SynchronousTestCase):
    """
    A reactor whose timers don't depend on the time of day.
    """

    def test_steady(self) -> None:
        """
        It measures time by the clock that never steps, and stays so.
        """
        reactor = SelectReactor()
        self.assertTrue(steady(reactor))
        self.assertTrue(abs(reactor.seconds() - SystemClock().monotonic()) < 5)
        called: list[int] = []
        reactor.callLater(0, called.append, 1)
        self.assertTrue(steady(reactor))
        reactor.runUntilCurrent()
        self.assertEqual(called, [1])

    def test_scheduled(self) -> None:
        """
        What is scheduled already would be mistaken: nothing is changed.
        """
        reactor = SelectReactor()
        before = reactor.seconds
        reactor.callLater(1000, list)
        self.assertFalse(steady(reactor))
        self.assertEqual(reactor.seconds, before)

    def test_other(self) -> None:
        """
        A clock of a test's own is left alone.
        """
        clock = Clock()
        self.assertFalse(steady(clock))
        self.assertEqual(clock.seconds(), 0.0)
