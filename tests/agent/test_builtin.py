"""
Tests of the services to try things out with.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent import builtin
from jobroute.agent.functions import collect
from jobroute.errors import ConfigurationError


class BuiltinTests(SynchronousTestCase):
    """
    Each of them.
    """

    def test_all_serve(self) -> None:
        """
        All can be offered, and run in the reactor.
        """
        found = collect([builtin])
        self.assertEqual(list(found), ["echo", "sleep", "fail"])
        self.assertFalse(any(f.threaded for f in found.values()))

    def test_sleep(self) -> None:
        """
        It takes as long as it is told, and gives its payload back.
        """
        clock = Clock()
        slept = builtin.sleep_in(clock, b"1.5")
        clock.advance(1)
        self.assertNoResult(slept)
        clock.advance(1)
        self.assertEqual(self.successResultOf(slept), b"1.5")

    def test_cancel(self) -> None:
        """
        It can be cancelled, and leaves no timer.
        """
        clock = Clock()
        slept = builtin.sleep_in(clock, b"1.5")
        slept.cancel()
        self.failureResultOf(slept, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_no_time(self) -> None:
        """
        What is no time is refused.
        """
        for payload in (b"", b"x", b"-1", b"nan", b"inf", [], [b"1", b"2"]):
            self.assertRaises(ConfigurationError, builtin.sleep_in, Clock(), payload)

    def test_fail(self) -> None:
        """
        It fails for the reason that it is given.
        """
        error = self.assertRaises(RuntimeError, builtin.fail, b"why not")
        self.assertEqual(str(error), "why not")
