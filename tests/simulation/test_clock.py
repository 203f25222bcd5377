"""
Tests for L{jobroute.testing.clock}.
"""

from __future__ import annotations

from random import Random

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.interfaces import IClock
from jobroute.testing.clock import ProcessClock, SimulatedClock, SimulatedReactor


class ClockTests(SynchronousTestCase):
    """
    Time passes when it is told to.
    """

    def setUp(self) -> None:
        """
        Make a clock and a process.
        """
        self.clock = SimulatedClock()
        self.reactor = SimulatedReactor(self.clock)
        self.done: list[object] = []

    def test_provides(self) -> None:
        """
        Everything is what it says that it is.
        """
        self.assertTrue(verifyObject(IReactorTime, self.reactor))
        self.assertTrue(verifyObject(IReactorFromThreads, self.reactor))
        self.assertTrue(verifyObject(IDelayedCall, self.reactor.callLater(1, self.done.append, 1)))
        self.assertTrue(verifyObject(IClock, ProcessClock(self.clock)))

    def test_order(self) -> None:
        """
        Calls are made in the order of their times, each at its own.
        """
        for when in (3.0, 1.0, 2.0):
            self.reactor.callLater(
                when, lambda when=when: self.done.append((when, self.reactor.seconds()))
            )
        self.clock.advance(2.5)
        self.assertEqual(self.done, [(1.0, 1.0), (2.0, 2.0)])
        self.assertEqual(self.clock.now, 2.5)

    def test_same_time(self) -> None:
        """
        What is due at the same time is done in the order in which it was
        asked for.
        """
        for number in range(20):
            self.reactor.callLater(1, self.done.append, number)
        self.clock.advance(1)
        self.assertEqual(self.done, list(range(20)))

    def test_same_time_by_seed(self) -> None:
        """
        With a seed it is shuffled, always alike; but what is due at once
        keeps its order.
        """
        orders = []
        for _ in range(2):
            self.clock = SimulatedClock(Random(3))
            reactor = SimulatedReactor(self.clock)
            done: list[int] = []
            for number in range(20):
                reactor.callLater(1, done.append, number)
                reactor.callFromThread(done.append, 100 + number)
            self.clock.advance(1)
            orders.append(done)
        self.assertEqual(orders[0], orders[1])
        self.assertEqual(orders[0][:20], list(range(100, 120)))
        self.assertNotEqual(orders[0][20:], list(range(20)))
        self.assertEqual(sorted(orders[0][20:]), list(range(20)))

    def test_during(self) -> None:
        """
        What a call asks for is done in the same turn if it is due.
        """
        self.reactor.callLater(1, self.reactor.callLater, 0.5, self.done.append, "then")
        self.clock.advance(2)
        self.assertEqual(self.done, ["then"])

    def test_cancel(self) -> None:
        """
        A call that is cancelled is not made, and can be cancelled once.
        """
        call = self.reactor.callLater(1, self.done.append, 1)
        self.assertTrue(call.active())
        call.cancel()
        self.assertFalse(call.active())
        self.clock.advance(2)
        self.assertEqual(self.done, [])
        self.assertRaises(AlreadyCancelled, call.cancel)

    def test_called(self) -> None:
        """
        A call that was made cannot be changed.
        """
        call = self.reactor.callLater(1, self.done.append, 1)
        self.clock.advance(1)
        self.assertRaises(AlreadyCalled, call.delay, 1)
        self.assertRaises(AlreadyCalled, call.reset, 1)

    def test_move(self) -> None:
        """
        A call can be moved, and is made once.
        """
        call = self.reactor.callLater(1, self.done.append, 1)
        call.delay(2)
        self.assertEqual(call.getTime(), 3)
        self.clock.advance(2)
        call.reset(0.5)
        self.assertEqual(self.reactor.getDelayedCalls(), [call])
        self.assertEqual(self.done, [])
        self.clock.advance(5)
        self.assertEqual(self.done, [1])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_freeze(self) -> None:
        """
        What is due while a process is frozen happens afterwards, in order,
        once.
        """
        for n in (1, 2, 4):
            self.reactor.callLater(n, self.done.append, n)
        self.reactor.freeze(3)
        self.clock.advance(2.5)
        self.assertEqual(self.done, [])
        self.clock.advance(1)
        self.assertEqual(self.done, [1, 2])
        self.clock.advance(1)
        self.assertEqual(self.done, [1, 2, 4])

    def test_thaw(self) -> None:
        """
        It may be thawed earlier: then everything happens from that moment on.
        """
        calls = [self.reactor.callLater(n, self.done.append, n) for n in (1, 2, 4)]
        self.reactor.freeze(9)
        self.clock.advance(2.5)
        calls[0].cancel()
        self.reactor.thaw()
        self.clock.advance(0)
        self.assertEqual(self.done, [2])
        self.clock.advance(2)
        self.assertEqual(self.done, [2, 4])
        self.reactor.thaw()
        self.clock.advance(20)
        self.assertEqual(self.done, [2, 4])

    def test_thaw_what_was_moved(self) -> None:
        """
        What was put off after an earlier freeze is left where it is.
        """
        call = self.reactor.callLater(1, self.done.append, 1)
        self.reactor.freeze(2)
        first = self.reactor.callLater(0.5, call.reset, 5)
        self.clock.advance(2.5)
        self.assertTrue(first.called)
        self.assertEqual(self.done, [])
        self.reactor.thaw()
        self.clock.advance(1)
        self.assertEqual(self.done, [])
        self.clock.advance(5)
        self.assertEqual(self.done, [1])

    def test_kill(self) -> None:
        """
        Nothing that a dead process asked for happens, and the others live on.
        """
        other = SimulatedReactor(self.clock)
        self.reactor.callLater(1, self.done.append, "dead")
        other.callLater(1, self.done.append, "alive")
        self.reactor.kill()
        self.clock.advance(1)
        self.assertEqual(self.done, ["alive"])

    def test_running(self) -> None:
        """
        A reactor always runs.
        """
        self.reactor.callWhenRunning(self.done.append, 1)
        self.assertEqual(self.done, [1])

    def test_exception(self) -> None:
        """
        A call that fails is logged, and the others are made.
        """
        self.reactor.callLater(1, lambda: 1 / 0)
        self.reactor.callLater(1, self.done.append, 1)
        self.clock.advance(1)
        self.assertEqual(self.done, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_after_steps(self) -> None:
        """
        Something can be done between two calls that are due together.
        """
        for number in range(4):
            self.reactor.callLater(1, self.done.append, number)
        self.clock.after_steps(2, lambda: self.done.append("between"))
        self.clock.advance(1)
        self.assertEqual(self.done, [0, 1, "between", 2, 3])

    def test_two_clocks(self) -> None:
        """
        A step of the wall clock does not move the monotonic one, which
        begins anywhere.
        """
        clock = ProcessClock(self.clock, 1000.0)
        wall, monotonic = clock.wall(), clock.monotonic()
        self.assertEqual(monotonic, 1000.0)
        self.clock.advance(2)
        self.clock.step(-60)
        self.assertEqual(clock.monotonic() - monotonic, 2)
        self.assertEqual(clock.wall() - wall, -58)
