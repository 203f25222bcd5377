"""
What the tests of every L{IStorage} begin with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.model import Forgotten
from tests.storage.pump import Pump
from tests.storage.samples import Broker

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    _Case = object


class StorageCase(_Case):
    """
    The tests of an L{IStorage}, for one implementation: mixed into a test
    case that makes it.
    """

    def make(self, pump: Pump) -> Any:
        """
        An empty storage, not open.
        """
        raise AssertionError("Made by the subclass.")

    def setUp(self) -> None:
        """
        Open an empty store.
        """
        self.pump = Pump()
        self.storage: Any = self.make(self.pump)
        self.broker = Broker(self.storage, self.pump)
        self.addCleanup(self.broker.close)
        self.first = self.broker.open()

    def reopened(self) -> Any:
        """
        What the next life of the broker finds.
        """
        self.broker.close()
        return self.broker.open()

    def forget(self, forgotten: Forgotten, jobs: int, events: int) -> None:
        """
        Forget; so many jobs and events are left.
        """
        self.broker.store(forgotten)
        # Whatever is forgotten goes before the next write.
        self.broker.store()
        found = self.pump.wait(self.storage.statistics())
        self.assertEqual((found["jobs"], found["events"]), (jobs, events))
