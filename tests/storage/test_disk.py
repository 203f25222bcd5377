"""
Tests of L{jobroute.testing.disk}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import StorageError
from jobroute.testing.disk import SimulatedDisk
from tests.storage.samples import accepted


class SimulatedDiskTests(SynchronousTestCase):
    """
    L{SimulatedDisk} does what the simulation says.
    """

    def setUp(self) -> None:
        """
        Open a disk.
        """
        self.disk = SimulatedDisk()
        self.committed: list[int] = []
        self.troubles: list[StorageError | None] = []
        self.successResultOf(self.disk.open(self.committed.append, self.troubles.append))
        for number in (1, 3, 5):
            self.disk.write(number, [accepted(number)])

    def numbers(self) -> list[int]:
        """
        What is there in the next life.
        """
        restored = self.successResultOf(self.disk.open(self.committed.append, self.troubles.append))
        self.assertEqual(restored.epoch, self.disk.life + 1)
        return [job.number for job, _ in restored.jobs]

    def test_commit(self) -> None:
        """
        Nothing is committed by itself; some of it is when told.
        """
        self.assertEqual((self.disk.pending, self.committed), ((1, 3, 5), []))
        self.assertEqual(self.successResultOf(self.disk.parts(1)), ())
        self.disk.commit(4)
        self.assertEqual((self.disk.pending, self.committed), ((5,), [3]))
        self.assertEqual(len(self.successResultOf(self.disk.parts(3))), 1)
        self.disk.commit()
        self.disk.commit()
        self.assertEqual((self.disk.pending, self.committed), ((), [3, 5]))

    def test_lose(self) -> None:
        """
        A crash takes what was not committed.
        """
        self.disk.commit(3)
        self.disk.lose()
        self.assertEqual(self.numbers(), [1, 3])
        self.assertEqual((self.disk.pending, self.committed), ((), [3]))

    def test_not_reported(self) -> None:
        """
        What was committed, but not heard of, is there after a crash.
        """
        self.disk.commit(1, report=False)
        self.disk.lose()
        self.assertEqual((self.numbers(), self.committed), ([1], []))

    def test_trouble(self) -> None:
        """
        The broker is told what the simulation says.
        """
        full = StorageError("Full.")
        self.disk.trouble(full)
        self.disk.trouble(None)
        self.disk.lose()
        self.disk.trouble(full)
        self.assertEqual(self.troubles, [full, None])

    def test_answers(self) -> None:
        """
        Answers come when the simulation says, and none from an earlier life.
        """
        due: list[Callable[[], None]] = []
        self.disk.answers = due.append
        self.disk.commit()
        first, second = self.disk.payload(1), self.disk.payload(9)
        self.assertNoResult(first)
        due.pop(0)()
        self.assertEqual(self.successResultOf(first), (b"p",))
        self.disk.lose()
        due.pop(0)()
        self.assertNoResult(second)
