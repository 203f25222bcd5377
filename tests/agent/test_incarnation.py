"""
Tests of one life of an agent: what its functions say when there is no room,
and what becomes of its sockets and its timer.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.context import Context
from jobroute.agent.functions import collect, service
from jobroute.agent.incarnation import Incarnation
from jobroute.agent.registration import State
from jobroute.config import Limits
from jobroute.errors import Cancelled
from jobroute.zeromq.memory import MemoryNetwork
from tests.agent.support import ReactorClock, announcement, say
from tests.agent.world import FRONTEND, InlinePool, TestReactor

ENDPOINTS = {"backend": "tcp://127.0.0.1:1", "register": "tcp://127.0.0.1:2"}


class IncarnationTests(SynchronousTestCase):
    """
    An agent whose broker is never there, but speaks all the same.
    """

    def setUp(self) -> None:
        """
        Make one whose outbox has room for two replies.
        """
        self.reactor = TestReactor()
        self.network = MemoryNetwork(self.reactor, Random(1))
        self.contexts: list[Context] = []
        self.changes = 0
        self.pool = InlinePool(1, "")
        self.incarnation = Incarnation(
            announcement(),
            FRONTEND,
            self.network,
            self.reactor,
            ReactorClock(self.reactor),
            Random(1),
            collect({"echo": self.echo, "sleep": self.echo}),
            self.pool,
            Limits(),
            lambda: None,
            self.refused,
            self.changed,
            max_entries=2,
        )
        self.failures: list[Failure] = []
        self.incarnation._found(ENDPOINTS)
        self.hear("welcome", number=1, epoch=1, interval=2.0, liveness=5)

    @service(in_reactor=True)
    def echo(self, payload: bytes, context: Context) -> Deferred[None]:
        """
        A function that never ends by itself.
        """
        self.contexts.append(context)
        return Deferred()

    def refused(self, failure: Failure) -> None:
        """
        The broker does not want it.
        """
        self.failures.append(failure)

    def changed(self) -> None:
        """
        Something may have happened.
        """
        self.changes += 1

    def hear(self, message: str, **members: Any) -> None:
        """
        The broker says something.
        """
        self.incarnation._received(say(message, **members))

    def deliver(self) -> Context:
        """
        The broker gives an attempt.
        """
        self.hear("deliver", part=1, attempt=1, job="j", service="echo")
        return self.contexts[-1]

    def test_room(self) -> None:
        """
        A function waits until there is room for its partial result.
        """
        context = self.deliver()
        for _ in range(2):
            self.successResultOf(context.partial(b"x"))
        third, fourth = context.partial(b"x"), context.partial(b"x")
        self.assertNoResult(third)
        self.hear("ack", attempts=[[1, 1, 1]])
        self.successResultOf(third)
        self.assertNoResult(fourth)
        self.hear("ack", attempts=[[1, 1, 3]])
        self.successResultOf(fourth)
        self.assertEqual(self.incarnation.core.outbox.entries, 1)

    def test_give_up(self) -> None:
        """
        It may give up waiting; then nothing is handed in.
        """
        context = self.deliver()
        for _ in range(2):
            context.partial(b"x")
        third = context.partial(b"x")
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.hear("ack", attempts=[[1, 1, 2]])
        self.assertEqual(self.incarnation.core.outbox.entries, 0)

    def test_cancelled_while_it_waits(self) -> None:
        """
        It is told when its part is cancelled meanwhile.
        """
        context = self.deliver()
        for _ in range(2):
            context.partial(b"x")
        third = context.partial(b"x")
        self.hear("cancel", part=1, attempt=1)
        self.failureResultOf(third, Cancelled)
        self.failureResultOf(context.partial(b"x"), Cancelled)

    def test_closed_while_it_waits(self) -> None:
        """
        And when the agent stops.
        """
        context = self.deliver()
        for _ in range(2):
            context.partial(b"x")
        third = context.partial(b"x")
        self.incarnation.close()
        self.incarnation.close()
        self.failureResultOf(third, Cancelled)
        self.assertTrue(context.cancelled)
        self.hear("ping", nonce="n")
        self.network.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_timer_survives(self) -> None:
        """
        A bug met by the timer is logged, and the timer goes on.
        """
        due = self.incarnation.core.due
        calls: list[float] = []

        def wrong(now: float) -> None:
            calls.append(now)
            raise ValueError

        core: Any = type(self.incarnation.core)
        self.patch(core, "due", lambda core, now: wrong(now))
        self.reactor.pump([0.1] * 100)
        self.assertGreater(len(calls), 2)
        self.assertLess(len(calls), 12)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), len(calls))
        self.assertIsNotNone(due)

    def test_connected_anew(self) -> None:
        """
        New sockets replace the old ones when the broker was away, and only
        then.
        """
        incarnation = self.incarnation
        before = incarnation._sockets["backend"]
        incarnation._found(ENDPOINTS)
        self.assertIs(incarnation._sockets["backend"], before)
        self.reactor.pump([0.5] * 30)
        self.assertIs(incarnation.core.registration.state, State.AWAY)
        incarnation._found(ENDPOINTS)
        self.assertIsNot(incarnation._sockets["backend"], before)
        self.assertIsNone(before.transport)

    def test_bad_endpoints(self) -> None:
        """
        Endpoints that are none are an error in the log, and it goes on.
        """
        self.reactor.pump([0.5] * 30)
        self.incarnation._found({"backend": "nonsense", "register": "tcp://:0"})
        self.assertEqual(self.incarnation._sockets, {})
        self.reactor.pump([0.5] * 30)

    def test_refused(self) -> None:
        """
        A refusal says what the broker said, and its code.
        """
        self.hear("refuse", code="bad-version", error="Not you.")
        [failure] = self.failures
        self.assertEqual(failure.getErrorMessage(), "Not you. (bad-version)")
