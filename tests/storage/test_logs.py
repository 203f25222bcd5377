"""
Tests of L{jobroute.storage.logs}: stores without their log, and with another
store's.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageDamaged
from jobroute.storage import logs
from jobroute.storage.logs import TURNING
from jobroute.storage.schema import connect, connect_writer
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")


class LogTests(SynchronousTestCase):
    """
    A store and its log.
    """

    def setUp(self) -> None:
        """
        Make a directory.
        """
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "store.sqlite")

    def broker(self, path: str | None = None) -> Broker:
        """
        A broker, not open.
        """
        pump = Pump()
        storage = SQLiteStorage(path or self.path, pump, SystemClock())
        self.addCleanup(lambda: pump.wait(storage.close()))
        return Broker(storage, pump)

    def numbers(self) -> list[int]:
        """
        The jobs that a new life of the broker finds.
        """
        broker = self.broker()
        jobs = [job.number for job, _ in broker.open().jobs]
        broker.close()
        return jobs

    def crashed(self, *jobs: int) -> str:
        """
        What is on disk when a broker was killed with these jobs.
        """
        folder: str = self.mktemp()
        broker = self.broker()
        broker.open()
        for number in jobs:
            broker.store(accepted(number))
        shutil.copytree(self.folder, folder)
        broker.close()
        return os.path.abspath(folder)

    def refused(self) -> str:
        """
        Opening is refused, and changes nothing.

        @return: the sentence.
        """
        before = {name: self.content(name) for name in os.listdir(self.folder)}
        error = self.assertRaises(StorageDamaged, self.broker().open)
        self.assertEqual({n: self.content(n) for n in os.listdir(self.folder)}, before)
        return str(error)

    def content(self, name: str) -> bytes:
        """
        What is in a file.
        """
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def way(self) -> int:
        """
        What the header says: 1 without a log, 2 with.
        """
        return self.content("store.sqlite")[18]

    def test_closed(self) -> None:
        """
        A store that was closed has nothing beside it, and says so; in use it
        says that it has a log.
        """
        broker = self.broker()
        broker.open()
        broker.store(accepted(1))
        self.assertEqual(self.way(), 2)
        self.assertNotIn("store.sqlite" + TURNING, os.listdir(self.folder))
        broker.close()
        self.assertEqual((self.way(), os.listdir(self.folder)), (1, ["store.sqlite"]))
        self.assertEqual(self.numbers(), [1])

    def test_killed(self) -> None:
        """
        After a crash the log is there, and is read.
        """
        self.folder = self.crashed(1, 3)
        self.path = os.path.join(self.folder, "store.sqlite")
        self.assertEqual(self.way(), 2)
        self.assertEqual(self.numbers(), [1, 3])

    def test_missing(self) -> None:
        """
        A store whose log was lost is refused: it lacks what was committed
        last.
        """
        self.folder = self.crashed(1, 3)
        self.path = os.path.join(self.folder, "store.sqlite")
        os.unlink(self.path + "-wal")
        text = self.refused()
        self.assertIn(f"put {self.path}-wal back", text)
        self.assertIn("restore", text)

    def test_foreign(self) -> None:
        """
        A store with another's log is refused: it would be neither of the two.
        With its own state it is what it was.
        """
        log = os.path.join(self.crashed(1, 3), "store.sqlite-wal")
        self.assertGreater(os.path.getsize(log), 0)
        shutil.copy(log, self.path + "-wal")
        text = self.refused()
        self.assertIn("does not belong to the store", text)
        os.truncate(self.path + "-wal", 0)
        self.assertEqual(self.numbers(), [1, 3])

    def test_alone(self) -> None:
        """
        A log without its store is no reason to begin a new one.
        """
        self.folder = self.crashed(1)
        self.path = os.path.join(self.folder, "store.sqlite")
        os.unlink(self.path)
        self.assertIn("put the store back", self.refused())

    def test_reader(self) -> None:
        """
        Who still reads a store when it is closed keeps its log, which the
        next life takes over.
        """
        broker = self.broker()
        broker.open()
        broker.store(accepted(1))
        reader = connect(self.path, mode="ro")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM job").fetchall()
        broker.store(accepted(3))
        broker.close()
        self.assertEqual(len(reader.execute("SELECT * FROM job").fetchall()), 1)
        reader.close()
        self.assertEqual(self.way(), 2)
        self.assertIn("store.sqlite-wal", os.listdir(self.folder))
        self.assertEqual(self.numbers(), [1, 3])

    def test_not_closed_well(self) -> None:
        """
        If the log cannot be ended it stays, and is read next time.
        """
        broker = self.broker()
        broker.open()
        broker.store(accepted(1))
        self.patch(logs, "sync_directory", self.fail_to_sync)
        broker.close()
        self.assertEqual(self.way(), 2)
        self.assertIn("store.sqlite-wal", os.listdir(self.folder))
        patched, logs.sync_directory = logs.sync_directory, lambda path: None
        self.assertEqual(self.numbers(), [1])
        logs.sync_directory = patched

    def fail_to_sync(self, path: str) -> None:
        """
        As a broken disk does.
        """
        raise OSError(5, "Input/output error")

    def test_every_step(self) -> None:
        """
        A crash at any step of opening or closing is no damage, and nothing is
        lost by it.
        """
        copies: list[str] = []

        def copy(*arguments: Any) -> None:
            copies.append(self.mktemp())
            shutil.copytree(self.folder, copies[-1])

        def around(module: Any, name: str) -> None:
            real = getattr(module, name)

            def step(*arguments: Any, **named: Any) -> Any:
                copy()
                result = real(*arguments, **named)
                copy()
                return result

            self.patch(module, name, step)

        broker = self.broker()
        broker.open()
        broker.store(accepted(1))
        broker.close()
        around(logs, "sync_directory")
        around(os, "unlink")
        around(os, "open")
        broker.open()
        broker.store(accepted(3))
        opening = len(copies)
        broker.close()
        self._restore_patches()
        self.assertGreater(opening, 6)
        self.assertGreater(len(copies) - opening, 6)
        for place, folder in enumerate(copies):
            self.path = os.path.join(os.path.abspath(folder), "store.sqlite")
            self.assertEqual(self.numbers(), [1] if place < opening else [1, 3], place)

    def _restore_patches(self) -> None:
        for patcher in self._patches:
            patcher.restore()

    def patch(self, module: Any, name: str, value: Any) -> Any:
        """
        As always, but it can be undone early.
        """
        patcher = super().patch(module, name, value)
        self._patches = [*getattr(self, "_patches", []), patcher]
        return patcher

    def test_older(self) -> None:
        """
        A store of an older schema is taken as it is: those said nothing.
        """
        with closing(sqlite3.connect(self.path)) as connection:
            with open(os.path.join(GOLDEN, "0002.sql"), encoding="utf-8") as file:
                connection.executescript(file.read())
            connection.execute("PRAGMA journal_mode = WAL")
        self.assertEqual((self.way(), os.listdir(self.folder)), (2, ["store.sqlite"]))
        self.assertEqual(self.numbers(), [5, 9])
        self.assertEqual(self.way(), 1)

    def test_not_used(self) -> None:
        """
        Who opens a store and writes nothing leaves its log where it is.
        """
        self.folder = self.crashed(1)
        self.path = os.path.join(self.folder, "store.sqlite")
        before = self.content("store.sqlite-wal")
        connect_writer(self.path).close()
        self.assertEqual(self.content("store.sqlite-wal"), before)
