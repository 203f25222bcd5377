"""
Tests for L{jobroute.testing.boundaries}: what is promised to those who ask,
of strangers and of limits, told rightly and wrongly.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from jobroute.model import Verdict
from jobroute.testing import boundaries
from jobroute.testing.checker import judge, title
from jobroute.testing.promises import Promise
from tests.simulation.tale import FIRST, ID, JOB, PART, PLAN, RESULT, SECOND, Tale, outcome


class BoundariesTests(SynchronousTestCase):
    """
    A tale is told, and judged.
    """

    def setUp(self) -> None:
        """
        Begin a tale.
        """
        self.tale = Tale()

    def breaks(self, *expected: Promise, **changes: Any) -> None:
        """
        The tale breaks these promises, and no other.
        """
        evidence = self.tale.told()
        for name, value in changes.items():
            setattr(evidence, name, value)
        broken = {breach.promise for breach in judge(evidence)}
        self.assertEqual(broken, {title(promise) for promise in expected})

    def request(self, at: float, id: str, who: str = "broker.1", **said: Any) -> None:
        """
        The broker is asked by a client.
        """
        self.tale.tell(at, who, "request", client="6a01", id=id, **said)

    def answer(self, at: float, id: str, who: str = "broker.1", **said: Any) -> None:
        """
        The broker answers that client.
        """
        self.tale.tell(at, who, "answer", client="6a01", id=id, **said)

    # -- 8

    def test_answered(self) -> None:
        """
        A request, two answers that are not final, and one that is.
        """
        self.tale.work()
        self.request(3.2, "7", command="WAIT")
        self.answer(3.3, "7", final=False)
        self.answer(3.4, "7", final=False)
        self.answer(3.5, "7")
        self.breaks()

    def test_another_epoch(self) -> None:
        """
        A broker answers what was asked of the one before.
        """
        self.tale.work()
        self.request(3.2, "7", command="WAIT")
        self.answer(4.0, "7", "broker.2")
        self.breaks(boundaries.answers_to_who_asked, boundaries.answered_once)

    def test_of_another_job(self) -> None:
        """
        Who waits for a job is told of another.
        """
        self.tale.work()
        self.tale.asks(3.2, 3, "CALL", plan=PLAN)
        self.tale.answered(3.3, 3, "CALL", job="20", number=20, outcome=[])
        self.tale.asks(3.4, 4, "CALL", plan=PLAN)
        self.tale.answered(3.5, 4, "CALL", job="20", number=20, outcome=[])
        self.breaks(boundaries.own_answers_only)

    def test_wrong_payload(self) -> None:
        """
        A call is answered with what was computed from another's payload.
        """
        self.tale.work()
        plan = evolve(PLAN, id=None, payload=(b"mine",))
        self.tale.asks(3.2, 3, "CALL", plan=plan)
        self.tale.answered(3.3, 3, "CALL", job="20", number=20, outcome=[outcome()])
        found = judge(self.tale.told(), [boundaries.own_answers_only])
        self.assertEqual(len(found), 1)

    def test_stranger(self) -> None:
        """
        A stranger is given what it did not ask for.
        """
        self.tale.work()
        self.tale.tell(3.2, "s1.1", "connected", client="7301", borrowed=False)
        self.tale.tell(3.3, "s1.1", "sent", id="1")
        self.tale.tell(3.4, "s1.1", "received", id="1")
        self.breaks()
        self.tale.tell(3.5, "s1.1", "received", id="2")
        self.breaks(boundaries.own_answers_only)

    # -- 9

    def test_answered_twice(self) -> None:
        """
        One request has two final answers.
        """
        self.tale.work()
        self.request(3.2, "7", command="PING")
        self.answer(3.3, "7")
        self.answer(3.4, "7")
        self.breaks(boundaries.answered_once)

    def test_left_without(self) -> None:
        """
        A stranger is not answered though all is calm.
        """
        self.tale.work()
        self.tale.tell(3.2, "world", "calm")
        self.tale.tell(3.2, "s1.1", "born")
        self.tale.tell(3.2, "s1.1", "connected", client="6a01", borrowed=False)
        self.request(3.3, "7", command="PING")
        self.tale.tell(9.0, "world", "over")
        self.breaks(boundaries.answered_once)

    def test_no_sentence(self) -> None:
        """
        A refusal is a traceback, or has no code.
        """
        self.tale.work()
        self.request(3.2, "7", command="PING")
        self.answer(3.3, "7", code="internal-error", error="Traceback (most recent call last):\n")
        self.breaks(boundaries.refused_in_a_sentence)
        self.request(3.4, "8", command="PING")
        self.answer(3.5, "8", error="That is a sentence.")
        self.assertEqual(len(judge(self.tale.told())), 2)

    # -- 10

    def test_told_late(self) -> None:
        """
        Who is too much hears of it after a long while.
        """
        self.tale.work()
        self.request(3.2, "7", command="SUBMIT")
        self.answer(9.0, "7", code="busy", error="The queue is full; try again later.")
        self.breaks(boundaries.told_at_once)

    def test_too_many_jobs(self) -> None:
        """
        A client has more jobs than it may.
        """
        self.tale.tell(1.1, "broker.1", "event", number=1, kind="job.accepted", number_of_job=JOB)
        self.tale.work()
        self.breaks(limits={"client_jobs": 1})
        self.breaks(boundaries.full_means_full, limits={"client_jobs": 0})

    def test_too_many_parts(self) -> None:
        """
        More parts wait than may.
        """
        self.tale.tell(1.1, "broker.1", "event", number=1, kind="job.accepted", number_of_job=JOB)
        self.tale.tell(
            1.5, "broker.1", "event", number=2, kind="part.delivered", part=PART, attempt=1
        )
        self.tale.work()
        self.breaks(limits={"queued_parts": 1})
        self.breaks(boundaries.full_means_full, limits={"queued_parts": 0})

    def test_gap(self) -> None:
        """
        An event is left out.
        """
        self.tale.work()
        for number in (5, 6, 8):
            self.tale.tell(4.0, "broker.1", "event", number=number, kind="broker.started")
        self.breaks(boundaries.events_without_gaps)

    def test_gap_in_the_store(self) -> None:
        """
        The store has two of one number.
        """
        self.tale.work()
        self.breaks(event_numbers=(1, 2, 3))
        self.breaks(boundaries.events_without_gaps, event_numbers=(1, 2, 2))

    # -- 3

    def test_stale_and_noted(self) -> None:
        """
        A late reply is acknowledged, and the history has it.
        """
        self.tale.work()
        self.tale.hears(3.5, SECOND, "result", part=PART, attempt=2)
        self.tale.says(3.6, SECOND, "ack", acknowledged=[[PART, 2]])
        self.breaks(boundaries.stale_replies_kept)
        self.tale.events.append(self.tale.event("reply.refused", 2))
        self.breaks()

    def test_its_verdict(self) -> None:
        """
        What is the verdict needs no note; but if it is another's, it does.
        """
        self.tale.work()
        self.tale.says(3.6, FIRST, "ack", acknowledged=[[PART, 1]])
        self.breaks()
        self.tale.verdict(Verdict.EXPIRED)
        found = judge(self.tale.told(), [boundaries.stale_replies_kept])
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0].number, 3)
        self.assertEqual(found[0].broken.jobs, (ID,))
        self.assertTrue(RESULT)
