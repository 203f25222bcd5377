"""
The file: made, marked, brought up to date.
"""

from __future__ import annotations

import os
import sqlite3
import stat

from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageDamaged, StorageError
from jobroute.model import JobFilter, JobRecord, PartRecord, Verdict
from jobroute.storage.logs import Writing
from jobroute.storage.schema import connect_writer, migrations
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import PAST, RETRY, Broker

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")


class SchemaTests(SynchronousTestCase):
    """
    L{connect_writer} makes and upgrades.
    """

    def setUp(self) -> None:
        """
        Choose a path that SQLite could misread.
        """
        self.path = os.path.abspath(self.mktemp()) + "?mode=ro#%41"

    def open(self, *scripts: str) -> Writing:
        """
        Open the store with these migrations after ours.
        """
        connection = connect_writer(self.path, (*migrations(), *scripts))
        self.addCleanup(connection.close)
        return connection

    def pragma(self, connection: sqlite3.Connection, name: str) -> object:
        """
        What SQLite says of itself.
        """
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    def test_new(self) -> None:
        """
        A new store is for its owner alone, safe against a loss of power, and
        leaves nothing beside it.
        """
        connection = self.open()
        connection.begin_log()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(self.pragma(connection, "journal_mode"), "wal")
        self.assertEqual(self.pragma(connection, "synchronous"), 2)
        self.assertEqual(self.pragma(connection, "foreign_keys"), 1)
        self.assertEqual(self.pragma(connection, "user_version"), len(migrations()))
        connection.close()
        name = os.path.basename(self.path)
        here = os.listdir(os.path.dirname(self.path))
        self.assertEqual([other for other in here if other.startswith(name)], [name])

    def test_half_made(self) -> None:
        """
        What an earlier attempt left half made is no hindrance.
        """
        with open(self.path + ".new", "wb") as file:
            file.write(b"half")
        self.open()
        self.assertFalse(os.path.exists(self.path + ".new"))

    def test_upgrade(self) -> None:
        """
        An older store gets what it lacks, once.
        """
        self.open().close()
        add = "ALTER TABLE job ADD COLUMN color TEXT DEFAULT 'red';"
        self.open(add).close()
        connection = self.open(add, "CREATE TABLE more (x); CREATE TABLE most (x);")
        self.assertEqual(self.pragma(connection, "user_version"), len(migrations()) + 2)
        connection.execute("SELECT color FROM job, more, most").fetchall()

    def test_upgrade_fails(self) -> None:
        """
        A step that fails leaves the store as it was before that step.
        """
        self.open().close()
        with self.assertRaises(sqlite3.OperationalError):
            self.open("CREATE TABLE first (x);", "CREATE TABLE second (x); SELECT nonsense;")
        connection = self.open("CREATE TABLE first (x);")
        self.assertEqual(self.pragma(connection, "user_version"), len(migrations()) + 1)
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        self.assertIn("first", tables)
        self.assertNotIn("second", tables)

    def test_newer(self) -> None:
        """
        A newer store is left alone.
        """
        self.open("CREATE TABLE more (x);").close()
        failure = self.assertRaises(StorageError, self.open)
        self.assertIn("install the newer version", str(failure))

    def test_foreign(self) -> None:
        """
        The database of another program is left alone.
        """
        other = sqlite3.connect(self.path)
        other.execute("CREATE TABLE job (x)")
        other.close()
        with open(self.path, "rb") as file:
            before = file.read()
        failure = self.assertRaises(StorageDamaged, self.open)
        self.assertIn("another program", str(failure))
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_golden(self) -> None:
        """
        A store of each schema that there ever was can still be used.
        """
        names = sorted(os.listdir(GOLDEN))
        self.assertEqual(names, [f"{n:04}.sql" for n in range(1, len(migrations()) + 1)])
        for name in names:
            path = os.path.abspath(self.mktemp())
            golden = sqlite3.connect(path)
            with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
                golden.executescript(file.read())
            golden.close()
            self.check_golden(path, int(name[:4]))

    def check_golden(self, path: str, schema: int) -> None:
        """
        All that is in a golden store is found.
        """
        pump = Pump()
        storage = SQLiteStorage(path, pump, SystemClock())
        broker = Broker(storage, pump)
        restored = broker.open()
        self.addCleanup(broker.close)
        self.assertEqual((restored.epoch, restored.numbers, restored.event), (2, 100_001, 4))
        self.assertEqual(
            [(agent.name, agent.number, agent.living) for agent in restored.agents],
            [("a1", 100, True), ("a2", 101, False)],
        )
        (first, running), (second, waiting) = restored.jobs
        self.assertEqual((first.number, first.id, first.priority), (5, "mine", -3))
        self.assertEqual((second.target.names, second.target.count), (("a1", "a2"), None))
        self.assertEqual(
            [(part.number, part.state, part.partials) for part in (*running, *waiting)],
            [(6, "running", 2), (10, "queued", 0), (11, "done", 0)],
        )
        history = pump.wait(storage.history(1))
        self.assertEqual(history.parts[0].verdict, Verdict.SUCCEEDED)
        self.assertEqual([event.number for event in history.events], [1, 2])
        self.assertEqual(history.events[0].data, {"list": [1, None, "é"], "x": 1.5})
        self.assertEqual(pump.wait(storage.payload(1)), (b"p", b"\x00\xff"))
        self.assertEqual(pump.wait(storage.result(2)), (b"r",))
        self.assertEqual(pump.wait(storage.partials(6, 1, 1, 9)), [(2, (b"two",))])
        failed = pump.wait(storage.jobs(JobFilter(verdict=Verdict.FAILED), None, 9))
        self.assertEqual([summary.job.number for summary in failed], [9])
        self.check_retries(storage, pump, (second, waiting[0]), schema)
        # Operators may stop things since schema 4.
        stopped = (("agent", "a2"), ("service", "s")) if schema >= 4 else ()
        self.assertEqual(restored.stopped, stopped)

    def check_retries(
        self, storage: SQLiteStorage, pump: Pump, found: tuple[JobRecord, PartRecord], schema: int
    ) -> None:
        """
        Retries came with schema 2.
        """
        job, part = found
        kept = (job.retry, job.max_lost, job.origin, part.due, part.past)
        there = (RETRY, 7, 5, 1005.5, PAST)
        self.assertEqual(kept, there if schema >= 2 else (None,) * 5)
        page = pump.wait(storage.quarantined(None, None, None, 9))
        self.assertEqual([entry.part.number for entry in page], [22] if schema >= 2 else [])
