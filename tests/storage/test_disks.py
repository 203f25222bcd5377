"""
Real disks: full ones, damaged files, and processes that are killed.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageDamaged, StorageError
from jobroute.model import JobFilter
from jobroute.storage.fsck import check
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, life


class DiskTests(SynchronousTestCase):
    """
    L{SQLiteStorage} on real disks.
    """

    def setUp(self) -> None:
        """
        Make a directory.
        """
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "store.sqlite")
        self.pump = Pump()

    def broker(self) -> Broker:
        """
        A broker, not open.
        """
        storage = SQLiteStorage(self.path, self.pump, SystemClock(), pause=0.01)
        broker = Broker(storage, self.pump)
        self.addCleanup(lambda: self.pump.wait(storage.close().addErrback(lambda _: None)))
        return broker

    def filled(self) -> None:
        """
        Make a store of many pages, half of its jobs ended.
        """
        broker = self.broker()
        broker.open()
        for number in range(1, 1001, 4):
            broker.write(*life(number), accepted(number + 2, payload=(b"%05d" % number * 400,)))
        broker.settle()
        broker.close()

    def overwrite(self, start: int, content: bytes) -> None:
        """
        Damage the file.
        """
        with open(self.path, "r+b") as file:
            file.seek(start)
            file.write(content)

    def refused(self) -> str:
        """
        Opening fails, and changes nothing.

        @return: the sentence.
        """
        with open(self.path, "rb") as file:
            before = file.read()
        failure = self.assertRaises(StorageDamaged, self.broker().open)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
        text = str(failure)
        self.assertIn(self.path, text)
        return text

    def child(self, what: str) -> subprocess.Popen[str]:
        """
        Start a process that uses the store.
        """
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.storage.children", what, self.path],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def test_quota(self) -> None:
        """
        Over a quota new work is not committed and that is told, reads go on;
        when there is room again the same is committed, and that is told.
        """
        child = self.child("quota")
        assert child.stdout is not None
        first, second = map(json.loads, child.stdout.read().splitlines())
        self.assertIn("make room", first["trouble"])
        self.assertEqual(first["positions"], [1])
        self.assertEqual(first["read"], 1000)
        self.assertEqual(second["troubles"], [first["trouble"], None])
        self.assertEqual(second["read"], 1_000_000)
        self.assertEqual(child.wait(), 0)
        self.assertEqual([job.number for job, _ in self.broker().open().jobs], [1, 3])

    def failing(self, what: str) -> dict[str, Any] | None:
        """
        What a process says whose system calls fail, where that can be done;
        what was committed before is there afterwards, and nothing is broken.
        """
        child = self.child(what)
        assert child.stdout is not None
        said: dict[str, Any] = json.loads(child.stdout.read())
        child.wait()
        if not said["able"]:
            # A machine without seccomp, or of another kind.
            return None
        self.assertEqual((said["positions"], said["read"]), ([5], 1))
        self.assertIn("closed without the last 2 changes", said["closed"])
        broker = self.broker()
        jobs = [job.number for job, _ in broker.open().jobs]
        self.assertEqual(jobs[0], 3)
        self.assertNotIn(7, jobs)
        self.assertEqual(check(self.path), ())
        broker.store(accepted(9))
        broker.close()
        return said

    def test_fsync(self) -> None:
        """
        When the kernel cannot say whether something is on disk, nothing is
        told to be committed, nothing more is written, and the broker is told
        to end.
        """
        said = self.failing("fsync")
        if said is not None:
            ((kind, text),) = said["troubles"]
            self.assertEqual(kind, "StorageLost")
            self.assertIn("may not be on disk", text)

    def test_write(self) -> None:
        """
        When the kernel refuses to write, that is told and tried again;
        nothing is told to be committed.
        """
        said = self.failing("write")
        if said is not None:
            ((kind, text),) = said["troubles"]
            self.assertEqual(kind, "StorageError")
            self.assertIn("cannot be written", text)

    def test_full(self) -> None:
        """
        The same on a filesystem that has no room, where one can be mounted.
        """
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "none", self.directory],
            capture_output=True,
            check=False,
        )
        if mounted.returncode:
            # Only root can; a quota is tried by everybody.
            return
        self.addCleanup(subprocess.run, ["umount", "-l", self.directory], check=True)
        broker = self.broker()
        broker.open()
        broker.store(accepted(1))
        filler = os.path.join(self.directory, "filler")
        with open(filler, "wb", buffering=0) as file:
            self.assertRaises(OSError, lambda: [file.write(b"x" * 4096) for _ in range(1000)])
        broker.write(accepted(3, payload=(b"y" * 200_000,)))
        self.pump.until(lambda: broker.troubles)
        self.assertIn("make room", str(broker.troubles[0]))
        self.assertEqual(self.pump.wait(broker.storage.payload(1)), (b"p",))
        self.assertEqual(len(self.pump.wait(broker.storage.jobs(JobFilter(), None, 9))), 1)
        self.assertEqual(broker.positions, [1])
        os.unlink(filler)
        broker.settle()
        self.assertIsNone(broker.troubles[-1])
        broker.close()
        self.assertEqual([job.number for job, _ in broker.open().jobs], [1, 3])
        broker.close()

    def test_header(self) -> None:
        """
        A file with another header is no store, and left alone.
        """
        self.filled()
        self.overwrite(0, b"This was a database." * 20)
        self.assertIn("not a database", self.refused())

    def test_zeroed(self) -> None:
        """
        A file of zeros, as some filesystems leave one after a crash.
        """
        self.filled()
        self.overwrite(0, b"\x00" * os.path.getsize(self.path))
        self.assertIn("--no-restore", self.refused())

    def test_half_page(self) -> None:
        """
        Half of a page was overwritten: of one that is read at the start.
        """
        self.filled()
        # The root of the table of the broker itself stands behind the schema.
        with closing(sqlite3.connect(self.path)) as connection:
            (root,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'broker'"
            ).fetchone()
        self.overwrite((root - 1) * 4096, b"\xa5" * 2048)
        text = self.refused()
        for words in ("restore a backup", "--no-restore", "jobroute fsck"):
            self.assertIn(words, text)

    def test_damaged_jobs(self) -> None:
        """
        Jobs that cannot be read are found by whoever reads them, and that is
        no reason to go on without them.
        """
        self.filled()
        with open(self.path, "rb") as file:
            content = file.read()
        place = content.index(b'{"a": 1}')
        self.overwrite(place - place % 4096, b"\xa5" * 2048)
        self.assertRaises(StorageDamaged, self.broker().open)
        self.assertRaises(StorageDamaged, self.broker().open)

    def test_mode(self) -> None:
        """
        A store that others can write to is not to be relied on.
        """
        self.filled()
        os.chmod(self.path, 0o620)
        text = str(self.assertRaises(StorageError, self.broker().open))
        self.assertEqual(
            text, f"Others can write to the store {self.path}: say chmod 600 {self.path}."
        )
        os.chmod(self.path, 0o600)
        self.broker().open()

    def test_owner(self) -> None:
        """
        One that belongs to another user, who can change it, neither.
        """
        self.filled()
        owner = os.stat(self.path).st_uid
        patch = self.patch(os, "geteuid", lambda: owner + 1)
        text = str(self.assertRaises(StorageError, self.broker().open))
        patch.restore()
        self.assertIn(f"belongs to user {owner}, and the broker is user {owner + 1}", text)
        self.assertIn("chown", text)
        self.broker().open()

    def test_truncated(self) -> None:
        """
        A file that was cut is damaged, and left alone.
        """
        self.filled()
        os.truncate(self.path, os.path.getsize(self.path) // 2)
        self.assertIn("damaged", self.refused())

    def test_cut_to_little(self) -> None:
        """
        So is one of which hardly anything is left.
        """
        self.filled()
        os.truncate(self.path, 50)
        self.assertIn("damaged", self.refused())

    def test_emptied(self) -> None:
        """
        An empty file is not taken for a new store.
        """
        self.filled()
        os.truncate(self.path, 0)
        self.assertIn("nothing in it", self.refused())

    def test_damaged_at_start(self) -> None:
        """
        Pages that are needed at the start.
        """
        self.filled()
        self.overwrite(4096, b"\xa5" * (os.path.getsize(self.path) - 4096))
        self.assertIn("damaged", self.refused())

    def test_damaged_later(self) -> None:
        """
        A page that is not needed at the start: reading what was on it fails,
        and nothing else does.
        """
        self.filled()
        with open(self.path, "rb") as file:
            content = file.read()
        damaged = b"%05d" % 401 * 3
        self.overwrite(content.index(damaged), b"\xa5" * 3)
        broker = self.broker()
        self.assertEqual(len(tuple(broker.open().jobs)), 250)
        read = broker.storage.payload
        failure = self.assertRaises(StorageDamaged, self.pump.wait, read(403))
        self.assertIn("damaged", str(failure))
        self.assertEqual(self.pump.wait(read(407)), (b"00405" * 400,))
        broker.store(*life(2001))
        self.assertEqual(broker.troubles, [])

    def test_damaged_history(self) -> None:
        """
        A page of ended jobs that is damaged while the broker runs.
        """
        self.filled()
        broker = self.broker()
        broker.open()
        with open(self.path, "rb") as file:
            content = file.read()
        # All pages with results: no open job has one.
        start = content.index(b"\xc4\x01r")
        page = start - start % 4096
        self.overwrite(page, b"\xa5" * 4096)
        self.assertRaises(StorageDamaged, self.pump.wait, broker.storage.result(2))
        self.assertEqual(len(self.pump.wait(broker.storage.payload(3))), 1)
        broker.store(accepted(2001))
        self.assertEqual(broker.troubles, [])

    def test_unwritable(self) -> None:
        """
        A place where no store can be made.
        """
        for path in ("/proc/store.sqlite", os.path.join(self.directory, "none", "store.sqlite")):
            self.path = path
            failure = self.assertRaises(StorageError, self.broker().open)
            self.assertIn(path, str(failure))
            self.assertIn("check", str(failure))

    def test_directory(self) -> None:
        """
        A directory is no store.
        """
        os.mkdir(self.path)
        failure = self.assertRaises(StorageError, self.broker().open)
        self.assertIn(self.path, str(failure))

    def test_killed(self) -> None:
        """
        What was told to be committed is there after C{kill -9}.
        """
        for round in range(3):
            child = self.child("endless")
            assert child.stdout is not None
            lines = [json.loads(child.stdout.readline()) for _ in range(5 + 10 * round)]
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            lines += map(json.loads, child.stdout.read().splitlines())
            committed = lines[-1]["committed"]
            broker = self.broker()
            restored = broker.open()
            found = self.pump.wait(broker.storage.statistics())
            self.assertGreaterEqual(found["jobs"], committed)
            self.assertGreaterEqual(len(tuple(restored.jobs)), committed // 2)
            self.assertEqual(restored.epoch, 2)
            for number in range(1, committed + 1):
                history = self.pump.wait(broker.storage.history(2 * number - 1))
                self.assertEqual(history.ended is None, number % 2 == 0)
                self.assertEqual(len(history.parts), 1)
            broker.close()
            for name in os.listdir(self.directory):
                os.unlink(os.path.join(self.directory, name))
