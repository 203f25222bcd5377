"""
Tests of L{jobroute.broker.waits}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.errors import StorageError
from jobroute.interfaces import AnswerKind
from jobroute.model import Frames
from jobroute.testing.disk import SimulatedDisk
from tests.broker.kit import Kit, Reply

TOKEN = "0123456789abcdef"


class WaitTests(SynchronousTestCase):
    """
    Waiting for a job.
    """

    def setUp(self) -> None:
        self.kit = Kit(Limits(waits=2))

    def wait(self, job: str = "j", **properties: Any) -> Reply:
        """
        Wait.
        """
        return self.kit.ask("WAIT", job=job, **properties)

    def test_others(self) -> None:
        """
        Any client that knows the names may wait, before and after the end.
        """
        self.kit.submit(b"x", job="j", namespace="n")
        early = self.wait(namespace="n", caller="~other")
        agent = self.kit.agent()
        agent.result(None, b"y")
        late = self.wait(namespace="n", caller="~third")
        for reply in (early, late):
            self.assertEqual((reply.result["job"], reply.payload), ("j", (b"y",)))
        self.assertEqual(self.wait().code, "no-such-job")

    def test_accepted_meanwhile(self) -> None:
        """
        A job that is handed in, and stored, while the store is read for a
        wait is waited for.
        """
        find = SimulatedDisk.find
        read: list[Callable[[], object]] = []

        def later(self: SimulatedDisk, *arguments: Any) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            read.append(lambda: find(self, *arguments).chainDeferred(answer))
            return answer

        with_delay = self.patch(SimulatedDisk, "find", later)
        reply = self.wait()
        with_delay.restore()
        self.kit.submit(b"x", job="j")
        read[0]()
        self.assertEqual(reply.answers, [])
        self.kit.agent().result(None, b"y")
        self.assertEqual((reply.result["job"], reply.payload), ("j", (b"y",)))

    def test_timeout(self) -> None:
        """
        A wait ends after its time; the job goes on, and other waits too.
        """
        self.kit.submit(job="j")
        short, long = self.wait(timeout=3), self.wait(timeout=30)
        self.kit.advance(2.9)
        self.assertEqual(short.answers, [])
        self.kit.advance(0.3)
        self.assertEqual(
            (short.code, short.text), ("wait-timeout", "Job j is not done yet; it goes on.")
        )
        self.kit.agent().result()
        self.assertEqual(long.result["verdicts"], {"succeeded": 1})
        self.kit.advance(60)
        self.assertTrue(short.done and long.done)
        self.assertEqual(self.kit.left(), {})

    def test_limit(self) -> None:
        """
        At the limit of a client, and one past it; others may.
        """
        self.kit.submit(job="j")
        waits = [self.wait(), self.wait(timeout=1)]
        self.assertEqual(self.wait().code, "busy")
        waits.append(self.wait(caller="~other"))
        self.kit.advance(1.5)
        waits.append(self.wait())
        self.kit.agent().result()
        self.assertEqual([reply.done for reply in waits], [True] * 4)
        self.assertEqual(self.kit.left(), {})

    def test_clients(self) -> None:
        """
        So many clients may wait.
        """
        self.kit = Kit(Limits(clients=2))
        self.kit.submit(job="j")
        self.wait(caller="~1")
        self.wait(caller="~2")
        self.wait(caller="~1")
        self.assertEqual(self.wait(caller="~3").code, "busy")

    def test_nothing_asked_for(self) -> None:
        """
        A wait that asked for no stream is told the outcome only.
        """
        agent = self.kit.agent()
        self.kit.submit(job="j")
        wait = self.wait()
        agent.partial(1)
        agent.result(partials=1)
        self.assertEqual(len(wait.answers), 1)

    def test_by_one_name(self) -> None:
        """
        Either by job or by token.
        """
        for names in ({}, {"job": "j", "token": TOKEN}):
            reply = self.kit.ask("WAIT", **names)
            self.assertEqual(
                (reply.code, reply.text), ("bad-property", "Either job or token must be given.")
            )


class ReplayTests(SynchronousTestCase):
    """
    Stored partial results come first.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.agent = self.kit.agent()
        self.kit.submit(job="j")
        self.reads: list[Deferred[list[tuple[int, Frames]]]] = []

    def slow(self) -> None:
        """
        Let reads of partial results take until the test answers them.
        """

        def partials(*args: Any) -> Deferred[list[tuple[int, Frames]]]:
            self.reads.append(Deferred())
            return self.reads[-1]

        self.patch(type(self.kit.disk), "partials", partials)

    def sequences(self, reply: Reply) -> list[int]:
        """
        The numbers of the partial results that were told.
        """
        return [value["sequence"] for value, _ in reply.of(AnswerKind.PARTIAL)]

    def test_stored(self) -> None:
        """
        A wait that comes late is told them all.
        """
        self.agent.partial(1, b"one")
        self.agent.partial(2, b"two")
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.assertEqual(self.sequences(wait), [1, 2])
        self.agent.partial(3)
        self.assertEqual(self.sequences(wait), [1, 2, 3])

    def test_meanwhile(self) -> None:
        """
        What comes while they are read comes behind them, once.
        """
        self.agent.partial(1, b"one")
        self.slow()
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.agent.partial(2, b"two")
        self.agent.result(None, b"all", partials=2)
        self.assertEqual(wait.answers, [])
        self.reads[0].callback([(1, (b"one",)), (2, (b"two",))])
        self.assertEqual((self.sequences(wait), wait.payload), ([1, 2], (b"all",)))

    def test_unreadable(self) -> None:
        """
        When they cannot be read, the rest is told all the same.
        """
        self.agent.partial(1)
        self.slow()
        wait = self.kit.ask("WAIT", job="j", stream=["partial"])
        self.agent.partial(2)
        self.reads[0].errback(StorageError("The disk is gone."))
        self.agent.result(partials=2)
        self.assertEqual((self.sequences(wait), wait.done), ([2], True))

    def test_timeout(self) -> None:
        """
        A wait that is over while they are read is told so, last.
        """
        self.agent.partial(1)
        self.slow()
        wait = self.kit.ask("WAIT", job="j", stream=["partial"], timeout=1)
        self.kit.advance(2, self.agent)
        self.reads[0].callback([(1, ())])
        self.assertEqual((self.sequences(wait), wait.code), ([1], "wait-timeout"))


class TokenTests(SynchronousTestCase):
    """
    Calls are found again by their token.
    """

    def setUp(self) -> None:
        self.kit = Kit()
        self.agent = self.kit.agent()

    def test_again(self) -> None:
        """
        A call whose token is known is not run again; both are answered.
        """
        first = self.kit.call(b"x", token=TOKEN)
        second = self.kit.call(b"x", token=TOKEN, caller="~other")
        self.agent.result(None, b"y")
        self.assertEqual([r.payload for r in (first, second)], [(b"y",), (b"y",)])
        self.assertEqual((len(self.agent.deliveries), self.kit.left()), (1, {}))

    def test_answered(self) -> None:
        """
        An answer can be had again for a while, by C{CALL} and by C{WAIT}.
        """
        self.kit.call(token=TOKEN)
        self.agent.result(None, b"y")
        for command, more in (("CALL", {"service": "s"}), ("WAIT", {})):
            reply = self.kit.ask(command, token=TOKEN, **more)
            self.assertEqual((reply.payload, reply.result["verdicts"]), ((b"y",), {"succeeded": 1}))
        self.kit.advance(61, self.agent)
        self.assertEqual(self.kit.ask("WAIT", token=TOKEN).code, "unknown-outcome")
        self.kit.call(token=TOKEN)
        self.assertEqual(len(self.agent.deliveries), 2)

    def test_too_large(self) -> None:
        """
        A call whose result is too large to be remembered is known all the
        same, and not run again.
        """
        first = self.kit.call(token=TOKEN)
        self.agent.result(None, b"y" * (17 << 20))
        self.assertEqual(len(first.payload), 1)
        for command, more in (("CALL", {"service": "s"}), ("WAIT", {})):
            reply = self.kit.ask(command, token=TOKEN, **more)
            self.assertEqual((reply.payload, reply.result["verdicts"]), ((), {"succeeded": 1}))
            (part,) = reply.result["parts"]
            self.assertEqual((part["frames"], part["omitted"]), (0, True))
        self.assertEqual(len(self.agent.deliveries), 1)

    def test_wait(self) -> None:
        """
        A wait by token, with a stream and a time.
        """
        call = self.kit.call(token=TOKEN)
        wait = self.kit.ask("WAIT", token=TOKEN, stream=["partial"], timeout=3)
        self.agent.partial(1)
        self.kit.advance(4, self.agent)
        self.assertEqual((len(wait.answers), wait.code), (2, "wait-timeout"))
        self.agent.result(partials=1)
        self.assertEqual((len(call.answers), call.done), (1, True))

    def test_guessed(self) -> None:
        """
        Who has another token gets nothing; a short one is none.
        """
        self.kit.call(token=TOKEN)
        self.assertEqual(self.kit.ask("WAIT", token=TOKEN[::-1]).code, "unknown-outcome")
        for token in (TOKEN[1:], "x" * 129, "", 7):
            self.assertEqual(self.kit.call(token=token).code, "bad-property")
