"""
What only a store in a file does: groups, failures, threads.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from threading import Event as ThreadEvent
from typing import Any

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageDamaged, StorageError, StorageLost
from jobroute.model import Forgotten, JobFilter, Verdict
from jobroute.storage import queries, writer
from jobroute.storage.logs import Writing
from jobroute.storage.schema import connect_reader, connect_writer
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, event, job_record, life


def sqlite_error(name: str, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    """
    An error as SQLite raises it.
    """
    error = kind("as SQLite says it")
    error.sqlite_errorname = name
    return error


@define(eq=False)
class Failing:
    """
    A connection that fails at some statement.

    @ivar errors: raised one after the other by what begins with C{at}.
    @ivar executed: the statements.
    """

    connection: Writing
    at: str = "COMMIT"
    errors: list[Exception] = field(factory=list)
    executed: list[str] = field(factory=list)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """
        Fail, or do it.
        """
        self.executed.append(statement)
        if self.errors and statement.startswith(self.at):
            raise self.errors.pop(0)
        return self.connection.execute(statement, *values)

    def begin_log(self) -> None:
        """
        As the connection does.
        """
        self.connection.begin_log()

    @property
    def in_transaction(self) -> bool:
        """
        As the connection says.
        """
        return self.connection.in_transaction

    def close(self) -> None:
        """
        Close it.
        """
        self.connection.close()


class WriterTests(SynchronousTestCase):
    """
    The writing thread.
    """

    def setUp(self) -> None:
        """
        Open a storage.
        """
        self.path = self.mktemp()
        self.pump = Pump()
        self.go = ThreadEvent()
        self.go.set()
        self.storage = SQLiteStorage(
            self.path, self.pump, SystemClock(), pause=0.001, connect=self.connect
        )
        self.broker = Broker(self.storage, self.pump)
        self.broker.open()
        self.addCleanup(self.close)

    def close(self) -> None:
        """
        Close it, whatever it says.
        """
        self.pump.wait(self.storage.close().addErrback(lambda _: None))

    def connect(self, path: str) -> Any:
        """
        Make the writer's connection, when the test says so.
        """
        self.go.wait()
        self.connection = Failing(connect_writer(path))
        return self.connection

    def told(self, kind: type[StorageError]) -> str:
        """
        Wait for trouble.

        @return: the sentence.
        """
        self.pump.until(lambda: self.broker.troubles)
        error = self.broker.troubles[-1]
        assert isinstance(error, StorageError)
        self.assertIs(type(error), kind)
        text = str(error)
        self.assertIn(self.path, text)
        self.assertTrue(text.endswith("."))
        return text

    def test_group(self) -> None:
        """
        All that is written meanwhile is one transaction, and told once.
        """
        self.broker.close()
        self.go.clear()
        self.broker.position = 0
        self.broker.positions.clear()
        opened = self.storage.open(self.broker.positions.append, self.broker.troubles.append)
        for number in range(1, 400, 2):
            self.broker.write(*life(number), event(number, number))
        self.go.set()
        self.pump.wait(opened)
        self.broker.settle()
        self.assertEqual(self.broker.positions, [200 * 5])
        # Two of the opening's.
        self.assertEqual(self.connection.executed.count("COMMIT"), 3)
        # No statement for each row.
        self.assertLess(len(self.connection.executed), 200 * 5 // 4)
        found = self.pump.wait(self.storage.statistics())
        self.assertEqual((found["jobs"], found["parts"], found["events"]), (200, 200, 200))

    def test_large_group(self) -> None:
        """
        A transaction has an end, however much is written.
        """
        self.patch(writer, "_MOST", 10)
        self.broker.close()
        self.go.clear()
        self.broker.position = 0
        self.broker.positions.clear()
        opened = self.storage.open(self.broker.positions.append, self.broker.troubles.append)
        for number in range(1, 41, 2):
            self.broker.write(*life(number))
        self.go.set()
        self.pump.wait(opened)
        self.broker.settle()
        self.assertEqual(self.broker.positions, [12 * n for n in range(1, 7)] + [80])

    def test_again(self) -> None:
        """
        A failed commit is reported once, and tried again until it goes well.
        """
        for name, word in (
            ("SQLITE_FULL", "room"),
            ("SQLITE_IOERR_WRITE", "room"),
            ("SQLITE_BUSY", "locked"),
        ):
            self.broker.troubles.clear()
            self.connection.errors = [sqlite_error(name) for _ in range(5)]
            number = self.broker.position + 1
            self.broker.store(accepted(number))
            self.assertIn(word, self.told_and_over())
            self.assertEqual(self.pump.wait(self.storage.payload(number)), (b"p",))

    def told_and_over(self) -> str:
        """
        Trouble came, once, and is over.
        """
        first, *rest = self.broker.troubles
        self.assertEqual(rest, [None])
        return str(first)

    def test_in_the_middle(self) -> None:
        """
        What fails in the middle of a transaction leaves nothing of it.
        """
        self.connection.at = "INSERT INTO part "
        self.connection.errors = [sqlite_error("SQLITE_FULL"), MemoryError()]
        self.broker.store(*life(1), event(1, 1))
        self.assertEqual(len(self.broker.troubles), 3)
        self.assertIsNone(self.broker.troubles[-1])
        found = self.pump.wait(self.storage.statistics())
        self.assertEqual((found["jobs"], found["parts"], found["events"]), (1, 1, 1))

    def test_damage(self) -> None:
        """
        A write that comes to a damaged page is told as damage.
        """
        self.connection.errors = [sqlite_error("SQLITE_CORRUPT_INDEX", sqlite3.DatabaseError)]
        self.broker.store(accepted(1))
        self.assertIsInstance(self.broker.troubles[0], StorageDamaged)

    def test_fsync(self) -> None:
        """
        After a failed fsync nothing is written any more; reads go on.
        """
        self.broker.store(accepted(1))
        self.connection.errors = [sqlite_error("SQLITE_IOERR_FSYNC")]
        self.broker.write(accepted(3))
        self.told(StorageLost)
        self.broker.write(accepted(5))
        self.assertEqual(self.pump.wait(self.storage.payload(1)), (b"p",))
        self.assertRaises(StorageError, self.broker.close)
        self.assertEqual(self.broker.positions, [1])
        self.assertEqual(len(self.broker.troubles), 1)
        self.assertEqual([job.number for job, _ in self.broker.open().jobs], [1])

    def test_unknown_change(self) -> None:
        """
        What is no change at all is a bug, and told.
        """
        self.broker.write("nonsense")  # type: ignore[arg-type]
        self.assertIn("bug", self.told(StorageLost))

    def test_closed_in_trouble(self) -> None:
        """
        C{close} does not wait for a disk that is full for ever, and nothing
        is written after what could not be.
        """
        self.connection.errors = [sqlite_error("SQLITE_FULL")] * 1_000_000
        self.storage._pause = 0.0
        self.broker.write(accepted(1))
        self.told(StorageError)
        self.broker.write(accepted(3))
        failure = self.assertRaises(StorageError, self.broker.close)
        self.assertIn("2 changes", str(failure))
        self.assertEqual(self.broker.open().jobs, ())

    def test_forgetting_fails(self) -> None:
        """
        Old jobs that cannot be deleted now are deleted another time.
        """
        self.broker.store(*life(1))
        self.connection.at = "DELETE"
        self.connection.errors = [sqlite_error("SQLITE_FULL")]
        self.broker.store(Forgotten(10.0**9, 0, 0))
        self.broker.store(accepted(3))
        self.assertEqual(self.pump.wait(self.storage.statistics())["jobs"], 2)
        self.broker.store(Forgotten(10.0**9, 0, 0))
        self.broker.store(accepted(5))
        self.assertEqual(self.pump.wait(self.storage.statistics())["jobs"], 2)
        self.assertEqual(self.broker.troubles, [])

    def test_forgetting_is_bounded(self) -> None:
        """
        What is urgent goes between two portions of what is forgotten.
        """
        now = iter(range(10**9))
        self.broker.close()
        self.storage._clock = type("Clock", (), {"monotonic": lambda self: next(now)})()
        self.broker.open()
        changes = [change for number in range(1, 1001, 2) for change in life(number)]
        self.broker.store(*changes)
        self.connection.executed.clear()
        self.broker.store(Forgotten(10.0**9, 0, 0))
        while self.pump.wait(self.storage.statistics())["jobs"]:
            self.broker.store()
        deletes = [s for s in self.connection.executed if s.startswith("DELETE FROM job")]
        self.assertEqual(len(deletes), 8)
        between = self.connection.executed.count("COMMIT")
        self.assertGreater(between, 8)

    def test_log_bounded(self) -> None:
        """
        The write-ahead log is emptied when it is over its limit.
        """
        self.patch(writer, "LOG_LIMIT", 4096)
        self.patch(writer, "_LOOK", 1)
        self.broker.store(accepted(1, payload=(b"x" * 100_000,)))
        self.broker.store(Forgotten(0.0, 10**9, 10**9))
        self.broker.close()
        self.broker.open()
        self.broker.store(accepted(3, payload=(b"x" * 100_000,)))
        self.broker.store()
        self.assertLess(os.path.getsize(self.path + "-wal"), 20_000)

    def test_log_kept(self) -> None:
        """
        Who reads for long is waited for ever less often, and when that is
        over the log is emptied.
        """
        self.patch(writer, "LOG_LIMIT", 4096)
        self.patch(writer, "_LOOK", 1)
        self.connection.connection.execute("PRAGMA busy_timeout = 1")
        reader = connect_reader(self.path)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM job").fetchall()
        for number in range(1, 80, 2):
            self.broker.store(accepted(number, payload=(b"x" * 5000,)))
        looks = [s for s in self.connection.executed if s.startswith("PRAGMA wal_checkpoint")]
        self.assertIn(len(looks), (5, 6))
        reader.close()
        for number in range(101, 150, 2):
            self.broker.store(accepted(number))
        self.assertLess(os.path.getsize(self.path + "-wal"), 200_000)
        self.broker.store(accepted(201))

    def test_broken_thread(self) -> None:
        """
        A writing thread that ends by a bug says so.
        """
        assert self.storage._writer is not None
        self.storage._writer.committed = None  # type: ignore[assignment]
        self.broker.write(accepted(1))
        self.told(StorageLost)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class QueryTests(SynchronousTestCase):
    """
    What questions cost.
    """

    def setUp(self) -> None:
        """
        Make a store.
        """
        self.path = self.mktemp()
        self.writer = connect_writer(self.path)
        self.addCleanup(self.writer.close)
        self.reader = connect_reader(self.path)
        self.addCleanup(self.reader.close)

    def plan(self, ask: Callable[..., object], *arguments: Any) -> str:
        """
        How SQLite finds the answers.
        """
        statements: list[str] = []
        self.reader.set_trace_callback(statements.append)
        ask(self.reader, *arguments)
        self.reader.set_trace_callback(None)
        plans = [self.reader.execute("EXPLAIN QUERY PLAN " + s).fetchall() for s in statements]
        return "\n".join(str(row[3]) for rows in plans for row in rows)

    def test_restored(self) -> None:
        """
        What has ended costs nothing at a start.
        """
        plan = self.plan(lambda reader: list(queries.unended(reader)))
        self.assertIn("job USING INDEX job_ended (ended=?)", plan)
        self.assertIn("part USING INDEX part_job (job=?)", plan)
        self.assertNotIn("SCAN job", plan)
        self.assertNotIn("SCAN part", plan)

    def test_page(self) -> None:
        """
        A page is read from the newest job on, and no more of it than needed.
        """
        plan = self.plan(queries.jobs, JobFilter(namespace="a", service="b"), 7, 5)
        self.assertIn("SEARCH job USING INTEGER PRIMARY KEY (rowid<?)", plan)
        self.assertNotIn("TEMP B-TREE", plan)

    def test_verdict(self) -> None:
        """
        Seldom verdicts are found among millions of others.
        """
        plan = self.plan(queries.jobs, JobFilter(verdict=Verdict.FAILED), 7, 5)
        self.assertIn("part USING COVERING INDEX part_verdict (verdict=? AND job<?)", plan)
        self.assertNotIn("TEMP B-TREE", plan)

    def test_find(self) -> None:
        """
        Jobs are found by their ids.
        """
        plan = self.plan(queries.find, "default", ["a", "b"])
        self.assertIn("job USING INDEX job_id (id=? AND namespace=?)", plan)
        self.assertEqual(queries.find(self.reader, "default", [job_record(1).id]), {})
