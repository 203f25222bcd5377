"""
Every implementation of L{IStorage} does what the interface says.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.storage.memory import MemoryStorage
from jobroute.storage.sqlite import SQLiteStorage
from jobroute.testing.disk import SimulatedDisk
from tests.storage.living import LivingTests
from tests.storage.pump import Pump
from tests.storage.reading import ReadingTests


class SQLiteStorageTests(ReadingTests, LivingTests, SynchronousTestCase):
    """
    L{SQLiteStorage} is a storage.
    """

    def make(self, pump: Pump) -> Any:
        """
        A store in a new file.
        """
        return SQLiteStorage(self.mktemp(), pump, SystemClock())


class MemoryStorageTests(ReadingTests, LivingTests, SynchronousTestCase):
    """
    L{MemoryStorage} is a storage.
    """

    def make(self, pump: Pump) -> Any:
        """
        A store that commits in a later turn.
        """
        return MemoryStorage(pump.later)


class _CommittingDisk(SimulatedDisk):
    """
    Commits when it is its turn.
    """

    def write(self, position: int, changes: Any) -> None:
        """
        Write, and have it committed.
        """
        super().write(position, changes)
        assert self.answers is not None
        self.answers(self.commit)


class SimulatedDiskTests(ReadingTests, LivingTests, SynchronousTestCase):
    """
    L{SimulatedDisk} is a storage.
    """

    def make(self, pump: Pump) -> Any:
        """
        A disk that commits and answers in later turns.
        """
        return _CommittingDisk(answers=pump.later)
