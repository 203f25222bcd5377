"""
Tests of L{jobroute.broker.numbers}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.broker.journal import Journal
from jobroute.broker.numbers import BLOCK, Numbers
from jobroute.errors import StorageUnavailable


class NumbersTests(SynchronousTestCase):
    """
    Numbers come from blocks that are on disk.
    """

    def setUp(self) -> None:
        self.written: list[Any] = []
        self.journal = Journal(lambda position, changes: self.written.extend(changes))
        self.numbers = Numbers(self.journal)
        self.numbers.begin(10)

    def commit(self) -> None:
        """
        All that was asked for is on disk.
        """
        self.journal.flush()
        self.journal.committed(self.journal.position)

    def test_granted(self) -> None:
        """
        None is given out before its block is on disk.
        """
        self.assertRaises(StorageUnavailable, self.numbers.take)
        self.commit()
        self.assertEqual([self.numbers.take(), self.numbers.take()], [10, 11])
        self.assertEqual([c.limit for c in self.written], [10 + BLOCK])

    def test_next_block(self) -> None:
        """
        The next block is asked for in time, once; without it the numbers end.
        """
        self.commit()
        taken = [self.numbers.take() for _ in range(BLOCK)]
        self.assertEqual((taken[-1], len(set(taken))), (9 + BLOCK, BLOCK))
        self.assertRaises(StorageUnavailable, self.numbers.take)
        self.commit()
        self.assertEqual([c.limit for c in self.written], [10 + BLOCK, 10 + 2 * BLOCK])
        self.assertEqual(self.numbers.take(), 10 + BLOCK)

    def test_require(self) -> None:
        """
        Many at once are there or refused, and then asked for.
        """
        self.commit()
        self.numbers.require(BLOCK)
        self.assertRaises(StorageUnavailable, self.numbers.require, 3 * BLOCK)
        self.commit()
        self.numbers.require(3 * BLOCK)
        for _ in range(3 * BLOCK):
            self.numbers.take()
