"""
Tests of L{jobroute.broker.payloads}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.payloads import Payloads
from tests.broker.test_services import part


class PayloadsTests(SynchronousTestCase):
    """
    The latest payloads are in memory.
    """

    def test_bounded(self) -> None:
        """
        The oldest go when they are too much together: at the limit none, one
        past it the first.
        """
        payloads = Payloads(10)
        jobs = [part(number).job for number in range(3)]
        for job, size in zip(jobs, (4, 6, 1), strict=True):
            job.payload, job.open = (b"x" * size,), 1
        payloads.keep(jobs[0])
        payloads.keep(jobs[1])
        self.assertEqual([j.payload is None for j in jobs], [False] * 3)
        payloads.keep(jobs[2])
        self.assertEqual([j.payload is None for j in jobs], [True, False, False])
        self.assertEqual(payloads.size, 7)
        for job in jobs:
            payloads.drop(job)
        self.assertEqual((payloads.size, len(payloads._jobs)), (0, 0))

    def test_nothing_to_keep(self) -> None:
        """
        No payload needs no room, nor does that of a job that ended before it
        was on disk.
        """
        payloads = Payloads(10)
        empty, ended = part(1).job, part(2).job
        empty.open = 1
        ended.payload = (b"x",)
        payloads.keep(empty)
        payloads.keep(ended)
        self.assertEqual((payloads.size, empty.payload), (0, ()))

    def test_larger_than_all(self) -> None:
        """
        A payload that is larger than the room does not stay.
        """
        payloads = Payloads(0)
        job = part(1).job
        job.payload, job.open = (b"x",), 1
        payloads.keep(job)
        self.assertEqual((payloads.size, job.payload), (0, None))
