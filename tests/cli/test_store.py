"""
Tests of L{jobroute.cli.store}.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

from jobroute.lock import DataDirectory
from jobroute.storage.schema import FILE, connect_writer
from tests.cli.support import CommandTestCase


class StoreCase(CommandTestCase):
    """
    A data directory with an empty store.
    """

    def setUp(self) -> None:
        """
        Make it.
        """
        super().setUp()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder, 0o700)
        self.path = os.path.join(self.folder, FILE)
        connect_writer(self.path).close()

    def plant(self, statement: str) -> None:
        """
        Do something to the store.
        """
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement)


class FsckTests(StoreCase):
    """
    C{jobroute fsck}.
    """

    def test_sound(self) -> None:
        """
        A sound store is said to be so, by 0 as well.
        """
        said = self.output_of("fsck", "--data-dir", self.folder)
        self.assertEqual(said, f"The store {self.path} is sound.\n")
        found = self.json_of("fsck", "--data-dir", self.folder)
        self.assertEqual(found, {"store": self.path, "repaired": False, "found": []})

    def test_found(self) -> None:
        """
        Damage is a table: what, how often, where, what to do; status 1.
        """
        self.plant("UPDATE broker SET jobs = 3, numbers = -1")
        self.plant("INSERT INTO event VALUES (1, 1.0, 'x', NULL, NULL, NULL, NULL, '{')")
        done = self.run_command("fsck", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 1)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["WHAT", "COUNT", "WHERE", "REPAIR", "MEANS"])
        self.assertEqual(
            [line.split()[:4] for line in lines[1:]],
            [
                ["number-not-taken", "1", "number_0", "yes"],
                ["event-number", "1", "event_1", "yes"],
                ["counts", "2", "jobs_3,_not_0;_events_0,_not_1", "yes"],
                ["event-data", "1", "event_1", "no"],
            ],
        )
        self.assertIn("--repair", done.stderr)
        self.assertIn("backup", done.stderr)

    def test_json(self) -> None:
        """
        Programs are told the same.
        """
        self.plant("UPDATE broker SET jobs = 3")
        done = self.run_command("--json", "fsck", "--data-dir", self.folder)
        (found,) = json.loads(done.stdout)["found"]
        self.assertEqual((done.exit_code, done.stderr), (1, ""))
        self.assertEqual(found["kind"], "counts")
        self.assertEqual((found["count"], found["where"]), (1, ["jobs 3, not 0"]))
        self.assertTrue(found["repairable"])
        self.assertIn("--repair", found["remedy"])

    def test_repair(self) -> None:
        """
        It is mended, and nothing of it is found again.
        """
        self.plant("UPDATE broker SET jobs = 3")
        done = self.run_command("fsck", "--repair", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 0)
        self.assertIn("done", done.stdout)
        self.assertIn("is mended", done.stderr)
        self.assertIn("is sound", self.output_of("fsck", "--data-dir", self.folder))

    def test_not_mended(self) -> None:
        """
        What cannot be mended is a sentence and status 2.
        """
        self.plant("DELETE FROM broker")
        done = self.run_command("fsck", "--repair", "--data-dir", self.folder)
        self.assertEqual((done.exit_code, done.stdout), (2, ""))
        self.assertIn("broker-row", done.stderr)

    def test_in_use(self) -> None:
        """
        Only the store of a stopped broker is mended; any can be looked at.
        """
        directory = DataDirectory(self.folder)
        directory.acquire()
        self.addCleanup(directory.release)
        self.assertIn("is sound", self.output_of("fsck", "--data-dir", self.folder))
        done = self.run_command("fsck", "--repair", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 2)
        self.assertIn(f"process {os.getpid()}. Stop it before.", done.stderr)

    def test_nothing(self) -> None:
        """
        Where there is no store nothing is made, and the status is 2.
        """
        folder = os.path.join(self.folder, "none")
        for options in ((), ("--repair",)):
            done = self.run_command("--json", "fsck", *options, "--data-dir", folder)
            self.assertEqual(done.exit_code, 2)
            self.assertIn(folder, json.loads(done.stdout)["error"])
        self.assertEqual(os.listdir(self.folder), [FILE])

    def test_default_directory(self) -> None:
        """
        The environment says where the data directory is.
        """
        done = self.run_command("fsck", env={"JOBROUTE_DATA_DIR": self.folder})
        self.assertIn(self.path, done.stdout)


class CopyTests(StoreCase):
    """
    C{jobroute backup} and C{jobroute restore}.
    """

    def test_there_and_back(self) -> None:
        """
        A copy is made, and put into another data directory.
        """
        copy = os.path.join(self.folder, "copy")
        said = self.output_of("backup", copy, "--data-dir", self.folder)
        size = os.path.getsize(copy)
        self.assertEqual(said, f"{self.path} is copied to {copy}: {size:,} bytes.\n")
        other = os.path.join(self.folder, "other")
        back = os.path.join(other, FILE)
        self.assertEqual(
            self.json_of("restore", copy, "--data-dir", other),
            {"from": copy, "to": back, "bytes": size},
        )
        self.assertIn("is sound", self.output_of("fsck", "--data-dir", other))
        self.assertEqual(os.stat(other).st_mode & 0o777, 0o700)

    def test_refused(self) -> None:
        """
        What is there stays there, and the sentence says what to do.
        """
        copy = os.path.join(self.folder, "copy")
        self.output_of("backup", copy, "--data-dir", self.folder)
        done = self.run_command("backup", copy, "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 3)
        self.assertIn("left as it is", done.stderr)
        done = self.run_command("restore", copy, "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 3)
        self.assertIn("--set-aside", done.stderr)
        done = self.run_command("restore", copy, "--set-aside", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 0)
        (kept,) = [name for name in os.listdir(self.folder) if name.startswith("aside-")]
        self.assertIn(kept, done.stderr)
        self.assertEqual(os.listdir(os.path.join(self.folder, kept)), [FILE])

    def test_in_use(self) -> None:
        """
        Nothing is put under a broker that runs; it can be copied.
        """
        copy = os.path.join(self.folder, "copy")
        directory = DataDirectory(self.folder)
        directory.acquire()
        self.addCleanup(directory.release)
        self.output_of("backup", copy, "--data-dir", self.folder)
        done = self.run_command("restore", copy, "--set-aside", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 3)
        self.assertIn("Stop it before.", done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["broker.lock", "copy", FILE])
