"""
Tests for L{jobroute.client.core}, L{jobroute.client.pulse} and
L{jobroute.client.request}.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.client.request import Request, Streams
from jobroute.errors import (
    BrokerLost,
    Busy,
    Congested,
    NoSuchJob,
    NotConnected,
    UnknownOutcome,
    WaitTimeout,
)
from jobroute.interfaces import IClock
from jobroute.wire.native import Answer
from tests.client.rig import Rig, StoppedClock


class CoreTests(SynchronousTestCase):
    """
    One client, one broker, one clock.
    """

    def setUp(self) -> None:
        """
        Make them.
        """
        self.rig = Rig()

    def error(self, request: Request[Any], kind: type[Exception]) -> Exception:
        """
        The error that a request ended with, once.
        """
        self.assertEqual(self.rig.finished.count(request), 1)
        self.assertIsInstance(request.error, kind)
        assert request.error is not None
        return request.error

    def test_clock(self) -> None:
        """
        The clock of these tests is one.
        """
        self.assertTrue(verifyObject(IClock, StoppedClock()))

    def test_call(self) -> None:
        """
        A call is answered with its outcome, and nothing is left.
        """
        request = self.rig.call("echo", b"one", b"")
        self.rig.exchange()
        self.assertEqual(request.result().frames, (b"one", b""))
        self.assertEqual(self.rig.core.outstanding, 0)
        self.assertIsNone(self.rig.core.next_due())

    def test_refused(self) -> None:
        """
        An error's code decides the exception.
        """
        request = self.rig.send(self.rig.asking.job("nobody"))
        self.rig.exchange()
        self.error(request, NoSuchJob)
        self.assertRaises(NoSuchJob, request.result)

    def test_pings_while_waiting(self) -> None:
        """
        The broker is pinged while something is under way, and then no more.
        """
        request = self.rig.call("hold")
        self.rig.advance(60)
        self.assertFalse(request.done)
        self.assertGreater(self.rig.core.pulse.count, 25)
        self.assertLess(self.rig.core.pulse.count, 35)
        self.rig.broker.release("1")
        self.rig.deliver()
        self.assertTrue(request.result().succeeded)
        self.assertIsNone(self.rig.core.next_due())

    def test_broker_lost(self) -> None:
        """
        A silent broker is lost after the client's timeout, not earlier.
        """
        self.rig.alive = False
        request = self.rig.call("echo")
        self.rig.advance(29.9)
        self.assertFalse(request.done)
        self.rig.advance(0.2)
        self.error(request, BrokerLost)

    def test_broker_lost_later(self) -> None:
        """
        Silence counts from the first ping that is not answered.
        """
        request = self.rig.call("hold")
        self.rig.advance(100)
        self.rig.alive = False
        self.rig.advance(29)
        self.assertFalse(request.done)
        self.rig.advance(4)
        self.error(request, BrokerLost)

    def test_absence_is_no_silence(self) -> None:
        """
        The time in which this process did not look is not the broker's.
        """
        request = self.rig.call("hold")
        for frames in self.rig.outgoing():
            self.rig.broker.received([b"client", *frames])
        self.rig.answers.clear()
        self.rig.clock.now += 1000
        self.rig.core.due(self.rig.clock.now)
        self.assertFalse(request.done)
        self.rig.alive = True
        self.rig.advance(5)
        self.assertFalse(request.done)

    def test_idle_is_no_silence(self) -> None:
        """
        A request after a long time without any is not blamed for that.
        """
        self.rig.call("echo")
        self.rig.exchange()
        self.rig.clock.now += 10_000
        self.rig.alive = False
        request = self.rig.call("echo")
        self.rig.advance(29)
        self.assertFalse(request.done)

    def test_comes_back(self) -> None:
        """
        A broker that was away for less than the timeout is found again, and
        the wait for its job goes on.
        """
        self.rig.submit("hold", job="j")
        self.rig.exchange()
        request = self.rig.send(self.rig.asking.wait("j", timeout=None))
        self.rig.advance(10)
        self.rig.alive = False
        self.rig.advance(20)
        self.rig.broker.restart()
        self.rig.alive = True
        self.rig.advance(10)
        self.assertFalse(request.done)
        self.assertEqual(len(self.rig.broker.of("WAIT")), 2)
        self.rig.broker.release("j")
        self.rig.deliver()
        self.assertTrue(request.result().succeeded)

    def test_call_in_flight(self) -> None:
        """
        A call in flight at a restart is asked for by its token, never sent
        again, and its outcome is unknown.
        """
        request = self.rig.call("hold")
        self.rig.advance(5)
        self.rig.broker.restart()
        self.rig.advance(5)
        self.error(request, UnknownOutcome)
        self.assertEqual(len(self.rig.broker.of("CALL")), 1)
        token = self.rig.broker.of("CALL")[0]["token"]
        self.assertEqual(self.rig.broker.of("WAIT")[0]["token"], token)

    def test_call_of_new_epoch(self) -> None:
        """
        A call that only the broker's new life has seen is not given up.
        """
        self.rig.call("echo")
        self.rig.exchange()
        self.rig.broker.restart()
        self.rig.clock.now += 100
        request = self.rig.call("hold")
        self.rig.advance(10)
        self.assertFalse(request.done)
        self.assertEqual(len(self.rig.broker.of("WAIT")), 0)

    def test_submit_in_flight(self) -> None:
        """
        A submission whose answer was lost is sent again, and is the same job.
        """
        request = self.rig.submit()
        for frames in self.rig.outgoing():
            self.rig.broker.received([b"client", *frames])
        self.rig.answers.clear()
        self.rig.advance(20)
        submitted = request.result()
        self.assertFalse(submitted.existing)
        self.assertEqual(list(self.rig.broker.jobs), [submitted.job])
        self.assertEqual(len(self.rig.broker.of("SUBMIT")), 2)

    def test_existing(self) -> None:
        """
        A job with an id of one's own may be there already.
        """
        self.rig.submit(job="mine")
        again = self.rig.submit(job="mine")
        self.rig.exchange()
        self.assertTrue(again.result().existing)

    def test_input_in_flight(self) -> None:
        """
        Whether an input arrived before a restart nobody can know.
        """
        self.rig.call("echo")
        self.rig.advance(1)
        self.rig.alive = False
        request = self.rig.send(self.rig.asking.input("j", (b"x",), 0))
        self.rig.exchange()
        self.rig.alive = True
        self.rig.broker.restart()
        self.rig.advance(5)
        self.error(request, UnknownOutcome)
        self.assertEqual(self.rig.broker.of("INPUT"), [])

    def test_lost_answer(self) -> None:
        """
        A ping that was never answered means that more may be lost, so what
        was sent before it is asked for again.
        """
        request = self.rig.call("hold")
        self.rig.advance(3)
        self.rig.broker.release("1")
        self.rig.answers.clear()
        self.rig.alive = False
        self.rig.advance(2)
        self.rig.alive = True
        self.rig.advance(5)
        self.assertTrue(request.result().succeeded)
        self.assertEqual(len(self.rig.broker.of("CALL")), 1)

    def test_asked_again_in_time(self) -> None:
        """
        An answer that was dropped though the broker lived is asked for again
        after a while.
        """
        request = self.rig.call("hold")
        self.rig.advance(1)
        self.rig.broker.release("1")
        self.rig.answers.clear()
        self.rig.advance(40)
        self.assertTrue(request.result().succeeded)

    def test_timeout_of_call(self) -> None:
        """
        A call that takes too long is cancelled.
        """
        request = self.rig.call("hold", timeout=12)
        self.rig.advance(13)
        self.assertIn("12 seconds", str(self.error(request, WaitTimeout)))
        self.rig.exchange()
        self.assertEqual(self.rig.broker.jobs["1"]["verdict"], "cancelled")

    def test_timeout_of_wait(self) -> None:
        """
        A wait that takes too long leaves the job alone, and the broker is
        told how long it is.
        """
        self.rig.submit("hold", job="j")
        request = self.rig.send(self.rig.asking.wait("j", timeout=12))
        self.rig.advance(13)
        self.error(request, WaitTimeout)
        self.assertEqual(self.rig.broker.of("CANCEL"), [])
        self.assertEqual(self.rig.broker.of("WAIT")[0]["timeout"], 12)

    def test_timeout_of_question(self) -> None:
        """
        A question that is not answered by a broker that lives ends as well.
        """
        request = self.rig.submit("mute", timeout=8)
        self.rig.advance(9)
        self.assertIn("SUBMIT", str(self.error(request, BrokerLost)))

    def test_abandoned(self) -> None:
        """
        An abandoned call is cancelled, and C{finished} is not called.
        """
        request = self.rig.call("hold")
        self.rig.exchange()
        self.rig.core.abandon(request)
        self.rig.exchange()
        self.assertEqual(self.rig.broker.jobs["1"]["verdict"], "cancelled")
        self.assertEqual(self.rig.finished, [])

    def test_abandoned_unsent(self) -> None:
        """
        An abandoned call that did not leave is not sent.
        """
        self.rig.core.abandon(self.rig.call("hold"))
        self.rig.exchange()
        self.assertEqual(self.rig.broker.seen, [])

    def test_close(self) -> None:
        """
        Closing ends every request, cancels calls, and takes nothing more.
        """
        call, question = self.rig.call("hold"), self.rig.submit("mute")
        self.rig.exchange()
        self.rig.core.close()
        self.error(call, NotConnected)
        self.error(question, NotConnected)
        self.rig.exchange()
        self.assertEqual(self.rig.broker.jobs["1"]["verdict"], "cancelled")
        self.assertRaises(NotConnected, self.rig.call)

    def test_busy(self) -> None:
        """
        A busy broker is an error, unless it shall be asked again.
        """
        request = self.rig.call("busy")
        self.rig.exchange()
        self.error(request, Busy)
        self.rig.broker.refusals = 3
        again = [self.rig.call("busy", retry=True), self.rig.submit("busy", retry=True)]
        self.rig.advance(5)
        for request in again:
            self.assertIsNone(request.error)
            self.assertTrue(request.done)

    def test_retry_after(self) -> None:
        """
        It is asked again when it says so, not before, and not at all if
        there is no time for that.
        """
        broker = self.rig.broker
        broker.refusals, broker.retry_after = 1, 7.5
        request = self.rig.submit("busy", retry=True, timeout=20)
        self.rig.advance(7.4)
        self.assertEqual(len(broker.of("SUBMIT")), 1)
        self.rig.advance(0.5)
        self.assertEqual(len(broker.of("SUBMIT")), 2)
        self.assertIsNone(request.error)
        broker.refusals = 1
        request = self.rig.submit("busy", retry=True, timeout=5)
        self.rig.exchange()
        self.error(request, Busy)
        assert isinstance(request.error, Busy)
        self.assertEqual(request.error.retry_after, 7.5)

    def test_busy_before(self) -> None:
        """
        That an earlier question was refused says nothing of the latest.
        """
        request = self.rig.submit("busy")
        for frames in self.rig.outgoing():
            self.rig.broker.received([b"client", *frames])
        refused = self.rig.answers.pop()
        answer = self.rig.broker.send

        def overtaken(frames: list[bytes]) -> None:
            if b'"number"' in frames[2]:
                self.rig.answers.append(refused)
            answer(frames)

        self.rig.broker.send = overtaken
        self.rig.broker.refusals = 0
        self.rig.advance(1)
        self.rig.broker.restart()
        self.rig.advance(5)
        self.assertEqual(request.result().number, 1)
        self.assertEqual(self.rig.finished, [request])

    def test_close_in_callback(self) -> None:
        """
        What a finished request calls may end all the others.
        """

        def closing(request: Request[Any]) -> None:
            self.rig.finished.append(request)
            self.rig.core.close()

        requests = [self.rig.call("hold") for _ in range(3)]
        for request in requests:
            request.finished = closing
        self.rig.core.close()
        self.assertEqual(self.rig.finished, requests)

    def test_busy_too_long(self) -> None:
        """
        It is asked again for so long, with growing pauses.
        """
        self.rig.broker.refusals = 10**9
        request = self.rig.submit("busy", retry=True, timeout=20)
        self.rig.advance(21)
        self.error(request, Busy)
        asked = len(self.rig.broker.of("SUBMIT"))
        self.assertTrue(8 < asked < 25, asked)

    def test_streams(self) -> None:
        """
        Progress and partial results are told in order, once each, though the
        broker was asked twice.
        """
        told: list[Any] = []
        callbacks = (told.append, told.append, None)
        request = self.rig.call("story", callbacks=callbacks)
        self.rig.exchange()
        self.assertTrue(request.done)
        self.assertEqual([getattr(t, "sequence", t) for t in told][1::2], [1, 2])
        partials = [t for t in told if hasattr(t, "frames")]
        assert request.streams is not None
        for partial in partials:
            said = {"job": "1", "index": 0, "attempt": 1, "sequence": partial.sequence}
            answer = msgspec.convert({"partial": said, "final": False}, Answer)
            request.streams.received(answer)
        self.assertEqual([t for t in told if hasattr(t, "frames")], partials)

    def test_answer_to_the_earlier_question(self) -> None:
        """
        A stream that was asked for again, since an answer seemed lost, is
        told as it comes: the final answer to the earlier question, when that
        comes first, leaves nothing untold.  Progress comes from the latest
        question alone.
        """
        told: list[Any] = []
        self.rig.submit("hold", job="j")
        request = self.rig.send(
            self.rig.asking.wait("j", (told.append, told.append, None), timeout=None)
        )
        self.rig.advance(40)
        earlier, latest = request.ids[0], request.ids[-1]
        self.assertNotEqual(earlier, latest)

        def came(id: int, kind: str, said: dict[str, Any]) -> None:
            self.rig.broker.stream(([b"client", b""], id), kind, said, [])
            self.rig.deliver()

        for id, sequence in ((earlier, 1), (latest, 1), (earlier, 2)):
            said = {"job": "j", "index": 0, "attempt": 1, "sequence": sequence}
            came(id, "partial", said)
        said = {"job": "j", "index": 0, "attempt": 1, "fraction": 0.5}
        came(earlier, "progress", said)
        self.assertEqual([t.sequence for t in told], [1, 2])

    def test_missing_partial(self) -> None:
        """
        When a partial result of a stored job is missing, the stream is asked
        for again, once, and nothing is told before it is there.
        """
        told: list[Any] = []
        streams = Streams(["partial"], {"partial": told.append})

        def came(sequence: int, attempt: int = 1) -> bool:
            said = {"job": "1", "index": 0, "attempt": attempt, "sequence": sequence}
            return streams.received(msgspec.convert({"partial": said, "final": False}, Answer))

        self.assertEqual([came(1), came(3), came(4)], [False, True, False])
        self.assertEqual([came(1), came(2), came(3), came(4)], [False] * 4)
        self.assertEqual([came(6), came(2, 2), came(1, 2)], [True, False, False])
        places = [(t.attempt, t.sequence) for t in told]
        self.assertEqual(places, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)])

    def test_missing_partial_of_call(self) -> None:
        """
        The partial results of a call are not kept: what is missing stays so.
        """
        told: list[Any] = []
        streams = Streams(["partial"], {"partial": told.append}, kept=False)
        said = {"job": "1", "index": 0, "attempt": 1, "sequence": 5}
        answer = msgspec.convert({"partial": said, "final": False}, Answer)
        self.assertEqual([streams.received(answer), streams.received(answer)], [False, False])
        self.assertEqual([t.sequence for t in told], [5])

    def test_most_requests(self) -> None:
        """
        Too many requests at a time are refused, and the others go on.
        """
        self.rig = Rig(most_requests=2)
        self.rig.call("echo")
        self.rig.call("echo")
        self.assertRaises(Congested, self.rig.call)
        self.rig.exchange()
        self.rig.call("echo")

    def test_most_bytes(self) -> None:
        """
        So are too many bytes that nobody takes.
        """
        self.rig = Rig(most_bytes=1000)
        self.rig.call("echo", b"x" * 1000)
        self.assertRaises(Congested, self.rig.call)
        self.rig.exchange()
        self.rig.call("echo")

    def test_congested(self) -> None:
        """
        A socket that takes nothing is tried again soon.
        """
        self.rig.call("echo")
        self.rig.core.congested(self.rig.clock.now)
        due = self.rig.core.next_due()
        assert due is not None
        self.assertTrue(self.rig.clock.now < due < self.rig.clock.now + 0.1)

    def test_timers_of_the_done(self) -> None:
        """
        What is done leaves nothing behind, however much there was.
        """
        for _ in range(5000):
            self.rig.call("echo")
            self.rig.exchange()
        self.assertLess(len(self.rig.core._timers), 1100)
        self.assertEqual(self.rig.core._by_id, {})
