"""
Tests of L{jobroute.storage.copies} and L{jobroute.storage.leap}.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.errors import StorageDamaged, StorageError
from jobroute.model import Restored
from jobroute.storage.batch import Totals
from jobroute.storage.copies import backup, restore
from jobroute.storage.fsck import check
from jobroute.storage.leap import first_number, latest_epoch, leapt
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, event, life

GOLDEN = os.path.join(os.path.dirname(__file__), "golden")

NOW = 1_790_000_000.0


class SetClock:
    """
    A clock that a test sets.
    """

    def __init__(self, wall: float) -> None:
        self.time = wall

    def wall(self) -> float:
        """
        As it was set.
        """
        return self.time

    def monotonic(self) -> float:
        """
        As it was set.
        """
        return self.time


class BackupTests(SynchronousTestCase):
    """
    L{backup} and L{restore}.
    """

    def setUp(self) -> None:
        """
        Make a directory, and choose a path that SQLite could misread.
        """
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "store?mode=ro#%41")
        self.copy = os.path.join(self.folder, "copy?immutable=1")
        self.pump = Pump()
        self.clock = SetClock(NOW)

    def broker(self, path: str | None = None) -> Broker:
        """
        A broker, not open.
        """
        storage = SQLiteStorage(path or self.path, self.pump, self.clock)  # type: ignore[arg-type]
        self.addCleanup(lambda: self.pump.wait(storage.close()))
        return Broker(storage, self.pump)

    def stopped(self) -> Restored:
        """
        A store of a stopped broker.
        """
        broker = self.broker()
        restored = broker.open()
        broker.store(*life(1), accepted(3), *(event(n, 1) for n in range(1, 6)))
        broker.close()
        return restored

    def jobs(self, path: str) -> list[int]:
        """
        The open jobs that a broker finds in a store.
        """
        broker = self.broker(path)
        found = [job.number for job, _ in broker.open().jobs]
        broker.close()
        return found

    def test_live(self) -> None:
        """
        While a broker writes, a copy has what was committed when it began,
        and all of it; nobody waits for it.
        """
        broker = self.broker()
        broker.open()
        for number in range(1, 4001, 4):
            broker.write(*life(number), accepted(number + 2, payload=(b"x" * 9000,)))
        broker.settle()
        told: list[tuple[int, int]] = []

        def progress(done: int, of: int) -> None:
            # What is committed meanwhile is not in it, and begins nothing anew.
            number = 10_001 + 2 * len(told)
            broker.store(accepted(number))
            told.append((done, of))

        size = backup(self.path, self.copy, NOW, progress)
        self.assertGreater(len(told), 2)
        self.assertEqual([done for done, _ in told], sorted({done for done, _ in told}))
        self.assertEqual(size, os.path.getsize(self.copy))
        self.assertEqual(stat.S_IMODE(os.stat(self.copy).st_mode), 0o600)
        self.assertEqual(check(self.copy), ())
        self.assertEqual(self.jobs(self.copy), list(range(3, 4001, 4)))
        broker.store(accepted(20_001))
        broker.close()
        self.assertEqual(len(self.jobs(self.path)), 1000 + len(told) + 1)
        self.assertEqual(len(os.listdir(self.folder)), 2)

    def test_stopped(self) -> None:
        """
        The store of a stopped broker is copied as well, and nothing appears
        beside it.
        """
        self.stopped()
        backup(self.path, self.copy, NOW)
        self.assertEqual(len(os.listdir(self.folder)), 2)
        self.assertEqual(self.jobs(self.copy), [3])

    def test_leap(self) -> None:
        """
        A broker that takes up a copy begins beyond everything that was used
        since it was made, once.
        """
        old = self.stopped()
        backup(self.path, self.copy, NOW)
        later = self.broker()
        self.clock.time = NOW + 1000
        for _ in range(5):
            lost = later.open()
            later.close()
        restore(self.copy, self.path + "2", NOW)
        broker = self.broker(self.path + "2")
        new = broker.open()
        epoch = latest_epoch(NOW + 1000)
        self.assertEqual((old.epoch, lost.epoch), (1, 6))
        self.assertEqual(new.epoch, epoch + 1)
        self.assertEqual(new.numbers, first_number(epoch))
        self.assertEqual(new.event, first_number(epoch))
        self.assertEqual([job.number for job, _ in new.jobs], [3])
        broker.store(*life(new.numbers), event(new.event + 1))
        broker.close()
        self.clock.time += 500
        again = broker.open()
        self.assertEqual(again.epoch, new.epoch + 1)
        self.assertEqual((again.numbers, again.event), (new.limit, new.event + 1))
        broker.close()
        self.assertEqual(check(self.path + "2"), ())

    def test_twice(self) -> None:
        """
        One copy taken up twice gives no number twice.
        """
        self.stopped()
        backup(self.path, self.copy, NOW)
        shutil.copy(self.copy, self.copy + "2")
        first = self.broker(self.copy).open()
        self.clock.time += 1
        second = self.broker(self.copy + "2").open()
        self.assertGreater(second.epoch, first.epoch)
        self.assertGreater(second.numbers, first.limit)

    def test_leapt(self) -> None:
        """
        Whichever is greater, what was used or what the clock says.
        """
        far = Totals(epoch=10**12, numbers=10**18, event=10**18)
        self.assertEqual(leapt(far, NOW), far)
        self.assertEqual(leapt(Totals(1, 2, 3), 2.0), Totals(20, 2_000_001, 2_000_001))

    def test_clock(self) -> None:
        """
        With a clock that is behind, a copy is not taken up.
        """
        self.stopped()
        backup(self.path, self.copy, NOW)
        self.clock.time = NOW - 1
        error = self.assertRaises(StorageError, self.broker(self.copy).open)
        self.assertIn("set the clock", str(error))
        self.clock.time = NOW
        self.assertEqual(self.jobs(self.copy), [3])

    def test_taken(self) -> None:
        """
        What is there is never overwritten, not even when it came meanwhile;
        and nothing is left behind.
        """
        self.stopped()

        def come(done: int, of: int) -> None:
            with open(self.copy, "w") as file:
                file.write("mine")

        for progress in (come, lambda done, of: None):
            error = self.assertRaises(StorageError, backup, self.path, self.copy, NOW, progress)
            self.assertIn(self.copy, str(error))
            with open(self.copy) as file:
                self.assertEqual(file.read(), "mine")
            error = self.assertRaises(StorageError, restore, self.path, self.copy, NOW)
            self.assertIn("--set-aside", str(error))
        self.assertEqual(len(os.listdir(self.folder)), 2)

    def test_no_links(self) -> None:
        """
        Where files have one name only, the copy is moved.
        """

        def link(*arguments: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        self.stopped()
        self.patch(os, "link", link)
        backup(self.path, self.copy, NOW)
        self.assertEqual(self.jobs(self.copy), [3])

    def test_in_vain(self) -> None:
        """
        Each reason why there is no copy is a sentence, and nothing is left
        behind.
        """
        self.stopped()
        for path, copy, words in (
            (self.path + "none", self.copy, "There is no store"),
            (self.path, os.path.join(self.folder, "none", "copy"), "cannot be written"),
        ):
            error = self.assertRaises(StorageError, backup, path, copy, NOW)
            self.assertIn(words, str(error))
        error = self.assertRaises(StorageError, restore, self.copy, self.path + "2", NOW)
        self.assertIn("no backup", str(error))
        with open(self.copy, "w") as file:
            file.write("This is no store." * 100)
        error = self.assertRaises(StorageError, restore, self.copy, self.path + "2", NOW)
        self.assertIn(self.copy, str(error))
        self.assertEqual(len(os.listdir(self.folder)), 2)

    def test_damaged(self) -> None:
        """
        A damaged store is copied nowhere: whoever relies on the copy would be
        deceived.
        """
        self.stopped()
        with open(self.path, "r+b") as file:
            content = file.read()
            file.seek(len(content) // 4096 * 4096 - 4096)
            file.write(b"\xa5" * 4096)
        for make in (backup, restore):
            error = self.assertRaises(StorageDamaged, make, self.path, self.copy, NOW)
            self.assertIn("damaged", str(error))
        self.assertEqual(len(os.listdir(self.folder)), 1)

    def test_interrupted(self) -> None:
        """
        Ctrl-C leaves nothing behind.
        """
        self.stopped()

        def progress(done: int, of: int) -> None:
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, backup, self.path, self.copy, NOW, progress)
        self.assertEqual(len(os.listdir(self.folder)), 1)

    def test_set_aside(self) -> None:
        """
        What is in the way is kept, if that is wanted.
        """
        self.stopped()
        backup(self.path, self.copy, NOW)
        broker = self.broker()
        broker.open()
        broker.store(accepted(5))
        broker.close()
        _, aside = restore(self.copy, self.path, NOW, replace=True)
        assert aside is not None
        self.assertEqual((aside.jobs, self.jobs(self.path)), (2, [3]))
        self.assertEqual(self.jobs(os.path.join(aside.path, os.path.basename(self.path))), [3, 5])

    def test_other_copies(self) -> None:
        """
        Copies of others are taken, too: one that was made of a store in use,
        without its log; one with it; and one of an older schema.
        """
        broker = self.broker()
        broker.open()
        broker.store(accepted(3))
        with closing(sqlite3.connect(self.path)) as source:
            with closing(sqlite3.connect(self.copy + "1")) as target:
                source.backup(target)
        for end in ("", "-wal"):
            shutil.copy(self.path + end, self.copy + "2" + end)
        broker.close()
        with closing(sqlite3.connect(self.copy + "3")) as target:
            with open(os.path.join(GOLDEN, "0001.sql"), encoding="utf-8") as file:
                target.executescript(file.read())
        for number, jobs in (("1", [3]), ("2", [3]), ("3", [5, 9])):
            place = os.path.join(self.folder, "restored" + number)
            restore(self.copy + number, place, NOW)
            self.assertEqual(self.jobs(place), jobs)

    def test_events(self) -> None:
        """
        The leap of the numbers costs no event its place.
        """
        self.stopped()
        backup(self.path, self.copy, NOW)
        broker = self.broker(self.copy)
        restored = broker.open()
        broker.store(event(restored.event + 1, 1))
        history = self.pump.wait(broker.storage.history(1))
        self.assertEqual(len(history.events), 6)
