"""
Tests of L{jobroute.storage.storage_named}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute import storage
from jobroute.clock import SystemClock
from jobroute.config import Settings, load
from jobroute.errors import ConfigurationError
from jobroute.interfaces import IStorage
from jobroute.storage import storage_named
from jobroute.storage.memory import MemoryStorage
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.samples import accepted


def other(settings: Settings, reactor: Any, clock: Any) -> MemoryStorage:
    """
    A storage that somebody else offers.
    """
    return MemoryStorage(lambda call: None)


def wrong(settings: Settings, reactor: Any, clock: Any) -> object:
    """
    Something that is no storage.
    """
    return object()


class StorageNamedTests(SynchronousTestCase):
    """
    A storage is chosen by name.
    """

    def named(self, name: str, reactor: Any = None) -> Any:
        """
        Make the storage of a name.
        """
        settings = Settings(data_dir="/somewhere", endpoints={})
        return storage_named(name, settings, reactor, SystemClock())

    def test_sqlite(self) -> None:
        """
        SQLite in a file of the data directory, which nobody touches yet.
        """
        made = self.named("sqlite")
        self.assertIsInstance(made, SQLiteStorage)
        self.assertEqual(os.path.dirname(made.path), "/somewhere")

    def test_memory(self) -> None:
        """
        Memory, which commits in a later turn of the reactor.
        """
        clock = Clock()
        made = self.named("memory", clock)
        committed: list[int] = []
        self.successResultOf(made.open(committed.append, lambda error: None))
        made.write(1, [accepted(1)])
        made.write(2, [accepted(3)])
        self.assertEqual(committed, [])
        clock.advance(0)
        self.assertEqual(committed, [2])

    def test_other(self) -> None:
        """
        What another package offers can be chosen; what is wrong with it is
        said.
        """
        here = __name__
        points = [
            EntryPoint("other", f"{here}:other", storage.GROUP),
            EntryPoint("wrong", f"{here}:wrong", storage.GROUP),
            EntryPoint("gone", f"{here}:gone", storage.GROUP),
        ]
        self.patch(storage, "entry_points", lambda group: points)
        self.assertTrue(verifyObject(IStorage, self.named("other")))
        for name, word in (
            ("wrong", "IStorage"),
            ("gone", "loaded"),
            ("none", "gone, memory, other"),
        ):
            failure = self.assertRaises(ConfigurationError, self.named, name)
            self.assertIn(repr(name), str(failure))
            self.assertIn(word, str(failure))

    def test_memory_begins_anew(self) -> None:
        """
        A broker whose store was in memory begins with an epoch and numbers
        that the one before it cannot have used: agents outlive both.
        """
        clock = SystemClock()
        now = clock.wall()
        clock.wall = lambda: now
        first = self.successResultOf(self.opened(clock))
        now += 0.2
        second = self.successResultOf(self.opened(clock))
        self.assertGreater(second.epoch, first.epoch)
        self.assertGreaterEqual(second.numbers, first.numbers + 100_000)
        self.assertLess(second.numbers, 2**53)

    def opened(self, clock: SystemClock) -> Any:
        """
        What a new store in memory says when it is opened.
        """
        store = storage_named("memory", load({"data_dir": "/x"}), Clock(), clock)
        return store.open(lambda position: None, lambda error: None)

    def test_cheap(self) -> None:
        """
        Choosing loads no storage that is not chosen, and no reactor.
        """
        code = (
            "import sys, jobroute.storage; "
            "print(*(m for m in ('sqlite3', 'twisted.internet.reactor') if m in sys.modules))"
        )
        child = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={
                # Coverage loads sqlite3 into the child.
                **{k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        self.assertEqual(child.stdout.strip(), "")
