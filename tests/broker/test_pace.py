"""
Tests of L{jobroute.broker.pace}, and that those get in that come back when
they are told to.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.pace import LEAST, MOST, UNKNOWN, Pace
from jobroute.config import Limits
from jobroute.errors import Busy, StorageError
from jobroute.interfaces import AnswerKind
from tests.broker.kit import Kit, Reply


class PaceTests(SynchronousTestCase):
    """
    L{Pace} measures, and gives each a turn.
    """

    def test_unknown(self) -> None:
        """
        At first nothing is known, and a moment later neither.
        """
        pace = Pace()
        self.assertEqual([pace.turn(now, 9, 1) for now in (5.0, 5.0, 5.4)], [UNKNOWN] * 3)

    def test_turns(self) -> None:
        """
        Each has its turn after the one before, as fast as it drains.
        """
        pace = Pace()
        pace.turn(0.0, 0, 1)
        turns = [pace.turn(1.0, 10, 1) for _ in range(3)]
        for turn, expected in zip(turns, (0.1, 0.2, 0.3), strict=True):
            self.assertAlmostEqual(turn, expected)
        self.assertAlmostEqual(pace.turn(1.0, 10, 5), 0.8)

    def test_stuck(self) -> None:
        """
        The longer nothing drains, the longer it will take; but never more
        than the most.
        """
        pace = Pace()
        pace.turn(0.0, 0, 1)
        self.assertAlmostEqual(pace.turn(2.0, 0, 1), 4.0)
        self.assertAlmostEqual(pace.turn(10.0, 0, 1), 20.0)
        self.assertEqual([pace.turn(10.0, 0, 1) for _ in range(9)][-1], MOST)

    def test_long_ago(self) -> None:
        """
        What was measured long ago says nothing.
        """
        pace = Pace()
        pace.turn(0.0, 0, 1)
        pace.turn(1.0, 1000, 1)
        self.assertEqual(pace.turn(2.0 + MOST, 1001, 1), UNKNOWN)


class RetryAfterTests(SynchronousTestCase):
    """
    Whoever is refused since the broker is busy is told when to come back.
    """

    def after(self, reply: Reply, code: str = "busy") -> float:
        """
        When to come back.
        """
        self.assertEqual(reply.code, code)
        error = reply.answers[-1][1]
        assert isinstance(error, Busy) and error.retry_after is not None
        self.assertTrue(LEAST <= error.retry_after <= MOST, error.retry_after)
        return error.retry_after

    def test_every_refusal(self) -> None:
        """
        Whichever limit it is.
        """
        kit = Kit(Limits(queued_parts=1, client_jobs=2, services=1, reads=1, waits=1))
        kit.submit(job="j")
        self.after(kit.submit())
        self.after(kit.call())
        self.after(kit.call(service="t"))
        kit.ask("WAIT", job="j")
        self.after(kit.ask("WAIT", job="j"))
        kit.broker.admission.stopping = True
        self.after(kit.submit(), "stopping")
        kit.broker.admission.stopping = False
        kit.trouble(StorageError("It is full."))
        self.after(kit.submit(), "storage-unavailable")

    def test_jobs_of_a_client(self) -> None:
        """
        Also who has too many jobs.
        """
        kit = Kit(Limits(client_jobs=1))
        kit.submit()
        self.after(kit.submit())

    def test_journal(self) -> None:
        """
        And when the disk does not keep up.
        """
        kit = Kit(Limits(journal=1))
        kit.hold = True
        kit.submit()
        self.after(kit.submit(), "storage-unavailable")

    def test_many(self) -> None:
        """
        In a batch each job that is refused has its own.
        """
        kit = Kit(Limits(queued_parts=1))
        jobs = [{"service": "s"}, {"service": "s"}, {"service": "s", "target": "all"}]
        said = kit.ask("SUBMIT_MANY", jobs=jobs).result["jobs"]
        self.assertTrue(LEAST <= said[1]["retry_after"] <= MOST)
        self.assertNotIn("retry_after", said[2])

    def test_others(self) -> None:
        """
        Other refusals don't say so.
        """
        error = Kit().submit(target="all").answers[-1][1]
        self.assertFalse(hasattr(error, "retry_after"))

    def test_spread(self) -> None:
        """
        A thousand that are refused at once do not come back together, but as
        fast as the queue drains.
        """
        kit = Kit(Limits(queued_parts=10))
        agent = kit.agent("a")
        for _ in range(11):
            kit.submit()
        self.after(kit.submit())
        for _ in range(10):
            kit.advance(0.1, agent)
            agent.result()
            kit.submit()
        found = sorted(self.after(kit.submit()) for _ in range(1000))
        # It drains ten a second.
        self.assertLess(sum(1 for after in found if after < 5.0), 100)
        self.assertGreater(len(set(found)), 500)

    def test_flood(self) -> None:
        """
        Clients far past the limit all get in if they come back as they are
        told, and nothing that was accepted is dropped.
        """
        kit = Kit(Limits(queued_parts=20, client_jobs=30))
        agent = kit.agent("a", slots=4)
        waiting: list[tuple[float, int]] = [(0.0, n) for n in range(300)]
        heapify(waiting)
        start, asked, accepted = kit.clocks.now, 0, 0
        while waiting:
            now = kit.clocks.now - start
            self.assertLess(now, 600.0)
            while waiting and waiting[0][0] <= now:
                _, n = heappop(waiting)
                asked += 1
                reply = kit.submit(job=f"j{n}", caller=f"~{n % 30}")
                if reply.answers[-1][0] is AnswerKind.ERROR:
                    heappush(waiting, (now + self.after(reply), n))
                else:
                    accepted += 1
            self._work(agent)
            kit.advance(0.1, agent, step=0.1)
        for _ in range(100):
            self._work(agent)
        self.assertEqual((accepted, kit.count("verdicts_succeeded")), (300, 300))
        self.assertLess(asked, 300 * 8)
        self.assertEqual(kit.left(), {})

    def _work(self, agent: Any) -> None:
        """
        An agent does what it holds.
        """
        held = list(agent.route.agent.held)
        for delivery in agent.deliveries[-8:]:
            if (delivery.part, delivery.attempt) in held:
                agent.result(delivery)
