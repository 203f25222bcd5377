"""
Tests for L{jobroute.testing.retrying}.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from jobroute.model import Event, Loss, Past, Retry, Verdict
from jobroute.testing import retrying
from jobroute.testing.checker import judge
from jobroute.testing.clock import WALL
from jobroute.testing.promises import Promise
from tests.simulation.tale import JOB, PART, Tale


class RetryingTests(SynchronousTestCase):
    """
    A tale is told, and judged.
    """

    def setUp(self) -> None:
        """
        A job that may be done again after a failure.
        """
        self.tale = Tale()
        self.tale.record = replace(
            self.tale.record, attempts=3, retry=Retry(on=(Verdict.FAILED,)), max_lost=1
        )

    def event(self, at: float, kind: str, attempt: int, **data: Any) -> None:
        """
        Something is in the store.
        """
        event = Event(1, WALL + at, kind, JOB, PART, attempt, "a1", data or None)
        self.tale.events.append(event)

    def breaks(self, promise: Promise) -> int:
        """
        How often the tale breaks a promise.
        """
        return len(judge(self.tale.told(), [promise]))

    def test_retried(self) -> None:
        """
        The second attempt follows when it is due.
        """
        self.event(4.0, "part.failed", 1, due=WALL + 5.0)
        self.event(5.0, "part.delivered", 2)
        self.assertEqual(self.breaks(retrying.retried_in_time), 0)

    def test_too_soon(self) -> None:
        """
        It follows before that.
        """
        self.event(4.0, "part.failed", 1, due=WALL + 5.0)
        self.event(4.5, "part.delivered", 2)
        self.assertEqual(self.breaks(retrying.retried_in_time), 1)

    def test_too_late(self) -> None:
        """
        It follows when the job should be over.
        """
        self.event(60.0, "part.delivered", 2)
        self.assertEqual(self.breaks(retrying.retried_in_time), 1)

    def test_not_wanted(self) -> None:
        """
        The job wants none after a refusal.
        """
        self.event(4.0, "part.refused", 1)
        self.assertEqual(self.breaks(retrying.retried_in_time), 1)

    def test_quarantined(self) -> None:
        """
        It cost an agent its life, as the history has it.
        """
        self.tale.deliver(1.5, "1" * 32, 1)
        past = Past(1, (Loss("a1", WALL + 3, JOB, 1, "silent", None),))
        self.tale.verdict(Verdict.QUARANTINED, past=past)
        self.assertEqual(self.breaks(retrying.quarantined_when_due), 0)
        self.tale.verdict(Verdict.LOST, past=past)
        self.assertEqual(self.breaks(retrying.quarantined_when_due), 1)

    def test_for_nothing(self) -> None:
        """
        It cost nobody its life.
        """
        self.tale.verdict(Verdict.QUARANTINED)
        self.assertEqual(self.breaks(retrying.quarantined_when_due), 1)

    def test_never_begun(self) -> None:
        """
        An agent that lives was given what it never began.
        """
        self.tale.tell(2.0, "world", "calm")
        self.tale.verdict(Verdict.EXPIRED, ended=WALL + 39)
        self.assertEqual(self.breaks(retrying.given_is_begun), 1)
        self.tale.tell(39.0, "a1.1", "died")
        self.assertEqual(self.breaks(retrying.given_is_begun), 0)

    def test_another_one(self) -> None:
        """
        The agent that was lost never had it.
        """
        past = Past(1, (Loss("a2", WALL + 3, JOB, 1, "silent", None),))
        self.tale.verdict(Verdict.QUARANTINED, past=past)
        self.assertEqual(self.breaks(retrying.quarantined_when_due), 1)
