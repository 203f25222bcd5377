"""
Tests of L{jobroute.broker.contents}.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.contents import BATCH, Contents
from jobroute.errors import NoSuchJob, StorageError
from jobroute.model import Content


class Store:
    """
    Reads when the test says so.
    """

    def __init__(self) -> None:
        self.reads: list[tuple[list[int], Deferred[dict[int, Content]]]] = []
        self.closed = False

    def contents(self, jobs: Sequence[int]) -> Deferred[dict[int, Content]]:
        """
        See L{jobroute.interfaces.IStorage}.
        """
        self.reads.append((list(jobs), Deferred()))
        if self.closed:
            self.fail()
        return self.reads[-1][1]

    def answer(self, *missing: int) -> list[int]:
        """
        Answer the latest read.
        """
        jobs, answer = self.reads[-1]
        answer.callback({job: Content(b"%d" % job, ()) for job in jobs if job not in missing})
        return jobs

    def fail(self) -> list[int]:
        """
        Let the latest read fail.
        """
        jobs, answer = self.reads[-1]
        answer.errback(StorageError("It is damaged."))
        return jobs


class ContentsTests(SynchronousTestCase):
    """
    What is not in memory is read.
    """

    def setUp(self) -> None:
        self.store = Store()
        self.contents = Contents(cast(Any, self.store))
        self.found: list[int] = []
        self.failed: list[tuple[int, type[Exception]]] = []

    def ask(self, *jobs: int) -> None:
        """
        Ask for jobs.
        """

        def failed(job: int, failure: Failure) -> None:
            self.failed.append((job, cast(type[Exception], failure.type)))

        for job in jobs:
            self.contents.fetch(
                job, lambda c: self.found.append(int(c.header)), partial(failed, job)
            )

    def test_together(self) -> None:
        """
        What is asked for while one read is under way goes with the next, a
        job once, and not more than a batch.
        """
        self.ask(1, 2, 2, *range(3, BATCH + 5))
        self.assertEqual(self.store.answer(), [1])
        self.assertEqual(len(self.store.answer()), BATCH)
        self.assertEqual(self.store.answer(), list(range(BATCH + 2, BATCH + 5)))
        self.assertEqual(self.found, [1, 2, 2, *range(3, BATCH + 5)])
        self.ask(9)
        self.assertEqual((self.store.answer(), len(self.store.reads)), ([9], 4))

    def test_missing(self) -> None:
        """
        Who asks for a job that is not there is told.
        """
        self.ask(1, 2, 3)
        self.store.answer(1)
        self.store.answer(2)
        self.assertEqual((self.found, self.failed), ([3], [(1, NoSuchJob), (2, NoSuchJob)]))

    def test_damaged(self) -> None:
        """
        One that cannot be read is no harm to the others.
        """
        self.ask(1, 2, 3)
        self.store.answer()
        self.assertEqual(self.store.fail(), [2, 3])
        self.ask(4, 5)
        self.assertEqual(self.store.fail(), [2])
        self.assertEqual(self.store.answer(), [3])
        self.assertEqual(self.store.answer(), [4, 5])
        self.assertEqual((self.found, self.failed), ([1, 3, 4, 5], [(2, StorageError)]))

    def test_at_once(self) -> None:
        """
        A storage that is closed fails at once, however many are asked for.
        """
        self.ask(*range(1, 3000))
        self.store.closed = True
        self.store.fail()
        self.assertEqual([job for job, _ in self.failed], list(range(1, 3000)))

    def test_bug(self) -> None:
        """
        A delivery that fails holds up no other.
        """

        def bug(content: Content) -> None:
            raise ValueError(content)

        self.contents.fetch(1, bug, lambda f: None)
        self.ask(1, 2)
        self.store.answer()
        self.store.answer()
        self.assertEqual(self.found, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
