"""
Tests of where functions run, what they are given, and how they end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.attempts import Attempt
from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Refuse, collect, service
from jobroute.agent.performer import Performer
from jobroute.config import Limits
from jobroute.errors import Cancelled, TooLarge
from jobroute.interfaces import Delivery
from jobroute.model import Advice, Frames
from tests.agent.world import InlinePool, TestReactor

LIMITS = Limits(message=10_000, header=4_000, frames=4, depth=8)


class PerformerTests(SynchronousTestCase):
    """
    Functions that succeed, fail, wait, and are stopped.
    """

    def setUp(self) -> None:
        """
        Nothing has run yet.
        """
        self.outcomes: list[tuple[str, Frames, str]] = []
        self.said: list[bytes] = []
        self.partials: list[Frames] = []
        self.pool = InlinePool(1, "")

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        As a host.
        """
        self.said.append(bytes(value))

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        As a host.
        """
        self.partials.append(payload)
        return succeed(None)

    def finished(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        reason: str,
        advice: Advice | None = None,
    ) -> None:
        """
        An attempt is over.
        """
        self.outcomes.append((kind, payload, reason))
        self.advice = advice

    def start(
        self, function: Callable[..., Any], payload: Frames = (b"x",), **members: Any
    ) -> Attempt:
        """
        Start a function.
        """
        reactor: Any = TestReactor()
        self.performer = Performer(
            collect({"s": function}),
            reactor,
            self.pool,
            self,
            self.finished,
            LIMITS,
        )
        delivery = Delivery(5, 2, "j", 1, "s", b'{"a":1}', 9.0, False, payload)
        attempt = Attempt(attrs.evolve(delivery, **members))
        self.performer.start(attempt)
        return attempt

    def logged(self) -> list[Any]:
        """
        A list of what is logged from now on.
        """
        events: list[Any] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def failures(self) -> int:
        """
        How many exceptions were logged; there is a reason for each.
        """
        return len(self.flushLoggedErrors())

    def test_what_it_is_given(self) -> None:
        """
        The context says what is worked on.
        """
        seen: list[Any] = []

        async def function(payload: bytes, context: Context) -> None:
            c = context
            seen.extend((c.job, c.index, c.part, c.attempt, c.service))
            seen.extend((c.header, c.frames, c.run_limit, c.cancelled))
            c.check()

        self.start(function)
        self.assertEqual(seen, ["j", 1, 5, 2, "s", {"a": 1}, (b"x",), 9.0, False])
        self.assertEqual(self.outcomes, [("result", (), "")])

    def test_in_the_reactor(self) -> None:
        """
        A plain function that is said to run there does, and so does one
        that waits.
        """
        self.start(service(in_reactor=True)(lambda p: p + p))
        waiting: Deferred[str] = Deferred()
        self.start(service(in_reactor=True)(lambda p: waiting))
        self.assertEqual(self.outcomes, [("result", (b"xx",), "")])
        waiting.callback("done")
        self.assertEqual(self.outcomes[1:], [("result", (b"done",), "")])

    def test_failures(self) -> None:
        """
        Whatever is raised, wherever: a failure with its reason.
        """

        def wrong(payload: bytes) -> None:
            raise ValueError("no")

        async def waits(payload: bytes) -> None:
            wrong(payload)

        for function in (wrong, service(in_reactor=True)(partial(wrong)), waits):
            self.start(function)
            self.pool.perform()
        self.assertEqual(self.outcomes, [("failure", (), "ValueError: no")] * 3)
        self.assertEqual(self.failures(), 3)

    def test_exits(self) -> None:
        """
        A function that wants to end the process ends itself.
        """

        def leave(payload: bytes) -> None:
            raise SystemExit(1)

        async def interrupt(payload: bytes) -> None:
            raise KeyboardInterrupt

        for function in (leave, service(in_reactor=True)(partial(leave)), interrupt):
            self.start(function)
            self.pool.perform()
        self.assertEqual(
            [o[2] for o in self.outcomes], ["SystemExit: 1", "SystemExit: 1", "KeyboardInterrupt"]
        )
        self.failures()

    def test_advice(self) -> None:
        """
        A function may say whether another attempt is worth it, and when.
        """
        for error, kind, reason, advice in (
            (Failed("no", retry=False), "failure", "no", Advice(False)),
            (Failed("later", retry_after=5), "failure", "later", Advice(True, 5.0)),
            (Failed(), "failure", "Failed", Advice()),
            (Refuse("not me", retry_after=0), "refused", "not me", Advice(True, 0.0)),
            (ValueError("plain"), "failure", "ValueError: plain", None),
        ):

            def fail(payload: bytes, error: Exception = error) -> None:
                raise error

            self.start(fail)
            self.pool.perform()
            self.assertEqual(self.outcomes.pop(), (kind, (), reason))
            self.assertEqual(self.advice, advice)
        self.failures()
        for wrong in (-1, 31_536_000, float("nan")):
            self.assertRaises(ValueError, Failed, "x", retry_after=wrong)

    def test_refuse(self) -> None:
        """
        A refusal is no failure, and not logged.
        """

        def refuse(payload: bytes) -> None:
            raise Refuse("not today")

        self.start(refuse)
        self.pool.perform()
        self.assertEqual(self.outcomes, [("refused", (), "not today")])
        self.assertEqual(self.failures(), 0)

    def test_traceback_stays_here(self) -> None:
        """
        The traceback goes into the log, with the names of the job.
        """
        events = self.logged()

        async def wrong(payload: bytes) -> None:
            raise ValueError("no")

        self.start(wrong)
        [event] = [e for e in events if "log_failure" in e and "job_id" in e]
        self.assertEqual((event["job_id"], event["part"], event["attempt"]), ("j", 5, 2))
        self.failures()

    def test_too_large(self) -> None:
        """
        A result that the broker would not take is a failure that says so.
        """
        for value in (bytes(10_000), (b"", b"", b"", b"")):
            for function in (lambda p, v=value: v, service(in_reactor=True)(lambda p, v=value: v)):
                self.start(function)
                self.pool.perform()
        self.assertEqual({o[0] for o in self.outcomes}, {"failure"})
        self.assertIn("limit", self.outcomes[0][2])
        self.failures()

    def test_no_result(self) -> None:
        """
        So is one that cannot be sent.
        """
        self.start(lambda p: object())
        self.pool.perform()
        self.start(lambda p: Deferred())
        self.pool.perform()
        self.assertEqual([o[0] for o in self.outcomes], ["failure", "failure"])
        self.assertIn("in_reactor", self.outcomes[1][2])
        self.failures()

    def test_cancel_coroutine(self) -> None:
        """
        A coroutine is stopped where it waits, and may tidy up.
        """
        tidied: list[bool] = []

        async def function(payload: bytes, context: Context) -> None:
            try:
                await Deferred()
            finally:
                tidied.append(context.cancelled)

        attempt = self.start(function)
        self.performer.cancel(attempt)
        self.assertEqual((self.outcomes, tidied), ([("cancelled", (), "")], [True]))
        self.performer.cancel(attempt)
        self.assertEqual(len(self.outcomes), 1)

    def test_cancel_that_fails(self) -> None:
        """
        A canceller with a bug harms nobody.
        """

        def canceller(deferred: Deferred[None]) -> None:
            raise ValueError

        attempt = self.start(service(in_reactor=True)(lambda p: Deferred(canceller)))
        self.performer.cancel(attempt)
        self.assertEqual(self.outcomes, [])
        self.assertEqual(self.failures(), 1)

    def test_cancel_thread(self) -> None:
        """
        A thread sees it when it looks; one that has not begun does not
        begin.
        """
        began: list[bytes] = []

        def function(payload: bytes, context: Context) -> None:
            began.append(payload)
            self.performer.cancel(attempt)
            context.check()

        attempt = self.start(function)
        self.pool.perform()
        attempt = self.start(function)
        self.performer.cancel(attempt)
        self.pool.perform()
        self.assertEqual(self.outcomes, [("cancelled", (), "")] * 2)
        self.assertEqual(len(began), 1)

    def test_cancelled_of_its_own(self) -> None:
        """
        A function that only says so was not cancelled.
        """

        async def function(payload: bytes) -> None:
            raise Cancelled("I am.")

        self.start(function)
        self.assertEqual([o[0] for o in self.outcomes], ["failure"])
        self.failures()

    def test_cancel_all(self) -> None:
        """
        Everything can be stopped together.
        """
        self.start(service(in_reactor=True)(lambda p: Deferred()))
        self.performer.cancel_all()
        self.assertEqual([o[0] for o in self.outcomes], ["cancelled"])

    def test_inputs(self) -> None:
        """
        Inputs wait for the function; past a limit they are dropped, with a
        word in the log.
        """
        seen: list[Frames] = []

        def function(payload: bytes, context: Context) -> None:
            seen.append(context.inputs.wait(1))

        attempt = self.start(function)
        self.performer.input(attempt, (b"in",))
        for _ in range(1100):
            self.performer.input(attempt, (b"in",))
        self.pool.perform()
        self.assertEqual(seen, [(b"in",)])
        self.performer.input(attempt, (b"late",))

    def test_progress(self) -> None:
        """
        Progress is any JSON, in bounds, from reactor and thread.
        """

        def function(payload: bytes, context: Context) -> None:
            context.progress({"n": 1})
            context.progress(2)
            deep: list[Any] = []
            for _ in range(20):
                deep = [deep]
            self.assertRaises(TooLarge, context.progress, deep)
            self.assertRaises(TooLarge, context.progress, "x" * 4_000)
            self.assertRaises(TypeError, context.progress, object())

        self.start(function)
        self.pool.perform()
        self.start(service(in_reactor=True)(function))
        self.assertEqual(self.outcomes, [("result", (), "")] * 2)
        self.assertEqual(self.said, [b'{"n":1}', b"2"] * 2)

    def test_fast_progress(self) -> None:
        """
        A thread that says it all the time wakes the reactor once for each
        time that the reactor listens, and the latest is what it hears.
        """
        calls: list[Callable[[], None]] = []
        self.patch(TestReactor, "callFromThread", lambda reactor, call, *args: calls.append(call))

        def function(payload: bytes, context: Context) -> None:
            for turn in range(2):
                for number in range(100):
                    context.progress([turn, number])
                self.assertEqual(len(calls), 1)
                calls.pop()()

        self.start(function)
        self.pool.perform()
        self.assertEqual(self.said, [b"[0,99]", b"[1,99]"])

    def test_partials(self) -> None:
        """
        Partial results are frames as results are, in bounds.
        """

        async def function(payload: bytes, context: Context) -> None:
            await context.partial(b"a", "b", 3)
            await context.partial()
            for wrong, error in (((bytes(10_000),), TooLarge), ((object(),), TypeError)):
                self.failureResultOf(context.partial(*wrong), error)
            context.cancelled = True
            self.failureResultOf(context.partial(b"late"), Cancelled)

        self.start(function)
        self.assertEqual(self.outcomes, [("result", (), "")])
        self.assertEqual(self.partials, [(b"a", b"b", b"3"), ()])

    def test_log(self) -> None:
        """
        A function's own log entries name the job.
        """
        events = self.logged()

        async def function(payload: bytes, context: Context) -> None:
            context.log.debug("d")
            for say in (context.log.info, context.log.warn, context.log.error):
                say("{what} happened.", what="it")

        self.start(function)
        found = [e for e in events if e.get("what") == "it"]
        self.assertEqual([e["job_id"] for e in found], ["j"] * 3)
        self.assertEqual([e["log_level"].name for e in found], ["info", "warn", "error"])
