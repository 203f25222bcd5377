"""
Tests of L{jobroute.storage.aside}.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageError
from jobroute.model import AgentKnown, AgentLeft, AgentRecord, Restored
from jobroute.storage import aside, queries
from jobroute.storage.leap import first_number, latest_epoch
from jobroute.storage.schema import connect
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, life


class AsideTests(SynchronousTestCase):
    """
    A broker that begins anew.
    """

    def setUp(self) -> None:
        """
        Make a directory.
        """
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "store.sqlite")
        self.pump = Pump()

    def broker(self, afresh: bool = True) -> Broker:
        """
        A broker, not open.
        """
        storage = SQLiteStorage(self.path, self.pump, SystemClock(), afresh=afresh)
        self.addCleanup(lambda: self.pump.wait(storage.close()))
        return Broker(storage, self.pump)

    def fill(self) -> Restored:
        """
        Make a store with two open jobs and one living agent.
        """
        broker = self.broker(afresh=False)
        restored = broker.open()
        broker.store(
            *life(1),
            accepted(3),
            accepted(5),
            AgentKnown(AgentRecord("a1", 100, "ab" * 16, b"{}"), 1.0),
            AgentKnown(AgentRecord("a2", 101, "cd" * 16, b"{}"), 1.0),
            AgentLeft("a2"),
        )
        broker.close()
        return restored

    def beyond(self, restored: Restored, old: Restored | None = None) -> None:
        """
        A new life begins with nothing, beyond all that was used.
        """
        epoch = latest_epoch(SystemClock().wall()) - 6000
        self.assertEqual(([*restored.jobs], restored.agents), ([], ()))
        self.assertGreater(restored.epoch, max(epoch, old.epoch if old else 0))
        self.assertGreater(restored.numbers, max(first_number(epoch), old.limit if old else 0))
        self.assertGreater(restored.event, first_number(epoch))
        self.assertGreater(restored.limit, restored.numbers)

    def test_anew(self) -> None:
        """
        The store is in a folder with the time in its name, whole; what it
        holds is told, and the next life goes on with the new one.
        """
        old = self.fill()
        broker = self.broker()
        new = broker.open()
        assert new.aside is not None
        self.beyond(new, old)
        self.assertEqual((new.aside.jobs, new.aside.agents), (2, 1))
        self.assertRegex(new.aside.path, rf"^{self.folder}/aside-\d{{8}}T\d{{6}}Z$")
        self.assertEqual(os.listdir(new.aside.path), ["store.sqlite"])
        self.assertEqual(os.stat(new.aside.path).st_mode & 0o777, 0o700)
        broker.store(accepted(new.numbers))
        broker.close()
        again = broker.open()
        self.assertIsNone(again.aside)
        self.assertEqual([job.number for job, _ in again.jobs], [new.numbers])
        self.assertEqual(again.epoch, new.epoch + 1)
        broker.close()
        self.path = os.path.join(new.aside.path, "store.sqlite")
        self.assertEqual([job.number for job, _ in self.broker(False).open().jobs], [3, 5])

    def test_nothing(self) -> None:
        """
        Where there is no store there is nothing to set aside.
        """
        restored = self.broker().open()
        self.assertEqual((restored.aside, restored.epoch, restored.numbers), (None, 1, 1))

    def test_with_log(self) -> None:
        """
        The log of a broker that was killed goes with its store, and not into
        the new one.
        """
        self.fill()
        crashed = self.broker(False)
        crashed.open()
        crashed.store(accepted(7))
        names = ("store.sqlite", "store.sqlite-wal", "store.sqlite-shm")
        contents = {}
        for name in names:
            with open(os.path.join(self.folder, name), "rb") as file:
                contents[name] = file.read()
        crashed.close()
        for name, content in contents.items():
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(content)
        broker = self.broker()
        new = broker.open()
        assert new.aside is not None
        self.beyond(new)
        self.assertEqual(new.aside.jobs, 3)
        self.assertLessEqual(set(names[:2]), set(os.listdir(new.aside.path)))
        broker.close()
        self.assertEqual(
            sorted(os.listdir(self.folder)), [os.path.basename(new.aside.path), names[0]]
        )
        self.path = os.path.join(new.aside.path, "store.sqlite")
        self.assertEqual(len([*self.broker(False).open().jobs]), 3)

    def test_unreadable(self) -> None:
        """
        What cannot be read is set aside as it is, and the clock says where to
        go on: an empty file, a damaged one, one of another program, a
        directory, a log alone.
        """
        for number, make in enumerate(
            (
                lambda path: open(path, "wb").close(),
                lambda path: _write(path, b"SQLite format 3\x00" + b"\xa5" * 9000),
                _foreign,
                os.mkdir,
                lambda path: _write(path + "-wal", b"x" * 5000),
            )
        ):
            make(self.path)
            broker = self.broker()
            new = broker.open()
            assert new.aside is not None
            self.beyond(new)
            self.assertEqual((new.aside.jobs, new.aside.agents), (None, None), number)
            self.assertEqual(len(os.listdir(new.aside.path)), 1)
            broker.close()
            self.assertIn("store.sqlite", os.listdir(self.folder))
            os.unlink(self.path)

    def test_same_moment(self) -> None:
        """
        Two that were set aside in one second have folders of their own.
        """
        clock = Clock()
        folders = []
        for _ in range(3):
            self.fill()
            kept = aside.set_aside(self.path, clock.seconds())
            assert kept is not None
            folders.append(os.path.basename(kept.path))
            os.unlink(self.path)
        first = "aside-19700101T000000Z"
        self.assertEqual(folders, [first, first + "-2", first + "-3"])

    def test_beyond_the_old(self) -> None:
        """
        What the old store has used counts, too: the clock may be behind.
        """
        old = self.fill()
        self.assertIsNotNone(aside.set_aside(self.path, 1.0))
        with closing(connect(self.path, mode="ro")) as connection:
            used = queries.totals(connection)
            copied = queries.copied(connection)
        self.assertEqual((used.epoch, used.numbers, copied), (old.epoch, old.limit, 1.0))

    def test_no_links(self) -> None:
        """
        Where files have one name only, it is moved.
        """

        def link(*arguments: Any, **named: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        self.fill()
        self.patch(os, "link", link)
        new = self.broker().open()
        assert new.aside is not None
        self.assertEqual(new.aside.jobs, 2)
        self.assertEqual(os.listdir(new.aside.path), ["store.sqlite"])

    def test_cannot(self) -> None:
        """
        If it cannot be set aside nothing is touched, and one sentence says
        so.
        """

        def link(*arguments: Any, **named: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.fill()
        self.patch(os, "link", link)
        error = self.assertRaises(StorageError, self.broker().open)
        self.assertEqual(
            str(error), f"The store {self.path} cannot be set aside: No space left on device."
        )
        self.assertEqual(len([*self.broker(False).open().jobs]), 2)

    def test_crash(self) -> None:
        """
        After a crash at any step there is the old store, whole, or the new
        one; or the start is refused.  Never are numbers given out again.
        """
        old = self.fill()
        for step in ("link", "rename", "unlink"):
            self.crash_at(step)
            kept = self.broker(False).storage
            try:
                found = self.pump.wait(kept.open(lambda _: None, lambda _: None))
            except StorageError:
                pass
            else:
                jobs = [*found.jobs]
                if jobs:
                    self.assertEqual(len(jobs), 2)
                else:
                    self.beyond(found, old)
                self.pump.wait(kept.close())
        anew = self.broker().open()
        self.beyond(anew, old)

    def crash_at(self, name: str) -> None:
        """
        Set it aside, and end in the middle.
        """

        def crash(*arguments: Any, **named: Any) -> None:
            raise KeyboardInterrupt

        patch = self.patch(os, name, crash)
        self.assertRaises(KeyboardInterrupt, aside.set_aside, self.path, 1e9)
        patch.restore()


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _foreign(path: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE job (number, ended)")
