"""
Tests of L{jobroute.storage.fsck}: every way in which an invariant can be
broken is planted, and found.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageDamaged, StorageError
from jobroute.model import (
    AgentKnown,
    AgentRecord,
    Event,
    JobAccepted,
    PartialStored,
    PartRecord,
    Target,
    Verdict,
)
from jobroute.storage.fsck import DATABASE, NAMED, SCHEMA, check, repair
from jobroute.storage.invariants import INVARIANTS
from jobroute.storage.rows import pack_frames
from jobroute.storage.schema import migrations
from jobroute.storage.sqlite import SQLiteStorage
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, attempt, ended, job_record, life

ROOT = Path(__file__).resolve().parent.parent.parent

#: How to break each invariant, and what breaks with it.
PLANTED: dict[str, tuple[str, ...]] = {
    "broker-row": ("PRAGMA ignore_check_constraints = ON", "DELETE FROM broker"),
    "epoch": ("UPDATE broker SET epoch = 0",),
    "number-not-taken": ("UPDATE broker SET numbers = 100",),
    "number-twice": ("UPDATE agent SET number = 2 WHERE name = 'a2'",),
    "event-number": ("UPDATE broker SET event = 3",),
    "counts": ("UPDATE broker SET ended = 7, events = 0",),
    "agent-number": (
        "CREATE TABLE other AS SELECT * FROM agent",
        "DROP TABLE agent",
        "ALTER TABLE other RENAME TO agent",
        "UPDATE agent SET number = 100",
    ),
    "job-id": ("DROP INDEX job_id", "UPDATE job SET id = 'mine'"),
    "job-without-parts": (
        "PRAGMA foreign_keys = OFF",
        "DELETE FROM part WHERE job = 20",
        "UPDATE broker SET parts = parts - 1",
    ),
    "part-count": (
        "DELETE FROM part WHERE number = 11",
        "UPDATE broker SET parts = parts - 1",
    ),
    "ended-with-open-part": (
        "UPDATE job SET ended = 1.0 WHERE number = 20",
        "UPDATE broker SET ended = ended + 1",
    ),
    "not-ended": (
        "UPDATE job SET ended = NULL WHERE number = 1",
        "UPDATE broker SET ended = ended - 1",
    ),
    "part-of-no-job": (
        "INSERT INTO part (number, job, place, state, attempt, cancelling, verdict, ended, frames) "
        "SELECT 50, 49, place, state, attempt, cancelling, verdict, ended, 0 FROM part "
        "WHERE number = 2",
        "UPDATE broker SET parts = parts + 1",
    ),
    "state": ("UPDATE part SET state = 'waiting' WHERE number = 21",),
    "origin": ("UPDATE job SET origin = 9 WHERE number = 9",),
    "released": ("UPDATE part SET released = 1 WHERE number = 2",),
    "past": (
        'UPDATE part SET past = \'{"losses": 1, "evidence": [{}, {}]}\' WHERE number = 21',
        "UPDATE part SET past = '[' WHERE number = 2",
    ),
    "done-without-verdict": ("UPDATE part SET verdict = NULL WHERE number = 11",),
    "verdict-not-done": ("UPDATE part SET verdict = 'lost', ended = 3.0 WHERE number = 21",),
    "attempt-number": ("UPDATE part SET attempt = 3 WHERE number = 11",),
    "attempt-history": ("UPDATE part SET attempt = 0 WHERE number = 2",),
    "running-nowhere": ("UPDATE agent SET living = 0 WHERE name = 'a1'",),
    "result-without-verdict": (
        "INSERT INTO result SELECT 21, frames FROM result WHERE part = 2",
        "UPDATE part SET frames = 1 WHERE number = 21",
    ),
    "frames": ("UPDATE part SET frames = 2 WHERE number = 2",),
    "partial-of-later": ("UPDATE partial SET attempt = 2 WHERE part = 6 AND sequence = 2",),
    "ended-twice": (
        "INSERT INTO event SELECT 5, at, kind, job, part, attempt, agent, data FROM event "
        "WHERE number = 3",
        "UPDATE broker SET event = 5, events = 5",
    ),
    "other-verdict": ("UPDATE part SET verdict = 'failed' WHERE number = 2",),
    "event-of-other-job": ("UPDATE event SET job = 5 WHERE number = 2",),
    "event-data": ("UPDATE event SET data = '{' WHERE number = 1",),
    "payload-of-no-job": ("INSERT INTO payload SELECT 77, frames FROM payload WHERE job = 1",),
    "result-of-no-part": ("INSERT INTO result SELECT 77, frames FROM result WHERE part = 2",),
    "partial-of-no-part": ("UPDATE partial SET part = 77 WHERE sequence = 2",),
    "payload-damaged": ("UPDATE payload SET frames = x'00000000910a' WHERE job = 1",),
    "result-damaged": ("UPDATE result SET frames = CAST('none' AS TEXT) WHERE part = 2",),
    "partial-damaged": ("UPDATE partial SET frames = x'' WHERE sequence = 1",),
}

#: What cannot be broken without breaking that, too.
ALSO = {
    "agent-number": {SCHEMA},
    "job-id": {SCHEMA},
    "done-without-verdict": {"other-verdict"},
}

#: What can be mended.
MENDED = {
    "epoch",
    "number-not-taken",
    "event-number",
    "counts",
    "not-ended",
    "payload-of-no-job",
    "result-of-no-part",
    "partial-of-no-part",
}


class FsckTests(SynchronousTestCase):
    """
    L{check} finds what is planted, and nothing else; L{repair} mends what can
    be mended.
    """

    def setUp(self) -> None:
        """
        Make a store with everything in it.
        """
        self.path = os.path.abspath(self.mktemp())
        self.pump = Pump()
        broker = self.broker = Broker(SQLiteStorage(self.path, self.pump, SystemClock()), self.pump)
        broker.open()
        both = (PartRecord(10, 9, 0, ("a1",)), PartRecord(11, 9, 1, ("a2",)))
        broker.store(
            AgentKnown(AgentRecord("a1", 100, "ab" * 16, b"{}"), 1.0),
            AgentKnown(AgentRecord("a2", 101, "cd" * 16, b"{}"), 1.0),
            *life(1, payload=(b"p", b"\x00\xff")),
            accepted(5, id="mine"),
            attempt(6),
            PartialStored(6, 1, 1, (b"one",)),
            PartialStored(6, 1, 2, (b"two",)),
            JobAccepted(job_record(9, target=Target(("a1", "a2"), None)), both, ()),
            ended(11, Verdict.FAILED, frames=()),
            accepted(20),
            Event(1, 1.0, "broker.started", data={"epoch": 1}),
            Event(2, 1.0, "part.delivered", None, 2, 1, "a1"),
            Event(3, 1.0, "part.ended", 1, 2, 1, "a1", {"verdict": "succeeded"}),
            Event(4, 1.0, "part.ended", None, 11, 0, "a2", {"verdict": "failed", "reason": "so"}),
        )
        broker.close()

    def plant(self, *statements: str) -> None:
        """
        Do something to the store.
        """
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    def kinds(self) -> set[str]:
        """
        What is found.
        """
        return {finding.kind for finding in check(self.path)}

    def test_sound(self) -> None:
        """
        A sound store is found sound, while it is in use as well; how far it
        is is told.
        """
        told: list[tuple[int, int]] = []
        self.assertEqual(check(self.path, lambda done, of: told.append((done, of))), ())
        self.assertEqual([done for done, _ in told], sorted(done for done, _ in told))
        self.assertEqual(told[-1][0], told[-1][1])
        self.broker.open()
        self.broker.store(*life(30))
        self.assertEqual(check(self.path), ())
        self.broker.store(*life(40))
        self.broker.close()
        self.assertEqual(check(self.path), ())

    def test_all_are_planted(self) -> None:
        """
        There is a plant for every invariant.
        """
        self.assertEqual(set(PLANTED), {invariant.name for invariant in INVARIANTS})
        self.assertEqual(MENDED, {i.name for i in INVARIANTS if i.repair})

    def test_documented(self) -> None:
        """
        Each stands in the documentation, and which are mended.
        """
        page = (ROOT / "doc" / "operations.rst").read_text("utf-8")
        names = [DATABASE, SCHEMA, *(invariant.name for invariant in INVARIANTS)]
        self.assertEqual([name for name in names if f"``{name}``" not in page], [])
        mended = page[page.index("--repair`` mends") : page.index("nothing is lost by that")]
        self.assertEqual(
            {name for name in names if f"``{name}``" in mended},
            {name for name in MENDED if "-of-no-" not in name},
        )

    def check_planted(self, name: str) -> None:
        """
        Plant, find; and mend, or leave alone.
        """
        self.plant(*PLANTED[name])
        expected = {name} | ALSO.get(name, set())
        self.assertEqual(self.kinds(), expected)
        if name in MENDED:
            self.assertLessEqual(expected, {f.kind for f in repair(self.path)})
            self.assertEqual(self.kinds(), set())
            self.broker.open()
            self.broker.store(*life(60))
            self.broker.close()
            self.assertEqual(self.kinds(), set())
        else:
            with open(self.path, "rb") as file:
                before = file.read()
            error = self.assertRaises(StorageDamaged, repair, self.path)
            self.assertIn(name, str(error))
            self.assertIn("restore a backup", str(error))
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), before)

    def test_where(self) -> None:
        """
        The first places are named, and all are counted.
        """
        self.plant(
            "WITH RECURSIVE n(i) AS (VALUES (1000) UNION ALL SELECT i + 1 FROM n WHERE i < 1999) "
            "INSERT INTO payload SELECT i, x'00' FROM n"
        )
        orphans, damaged = check(self.path)
        self.assertEqual((orphans.count, damaged.count), (1000, 1000))
        self.assertEqual(orphans.where, tuple(f"job {n}" for n in range(1000, 1000 + NAMED)))
        self.assertIn("--repair", orphans.remedy)
        self.assertIn("backup", damaged.remedy)

    def test_together(self) -> None:
        """
        What hides something else is mended with it.
        """
        for name in ("counts", "not-ended", "number-not-taken", "result-of-no-part"):
            self.plant(*PLANTED[name])
        self.assertEqual(len(repair(self.path)), 4)
        self.assertEqual(self.kinds(), set())
        self.assertEqual(repair(self.path), ())

    def test_all_or_nothing(self) -> None:
        """
        With something that cannot be mended nothing is.
        """
        self.plant(*PLANTED["counts"], *PLANTED["state"])
        error = self.assertRaises(StorageDamaged, repair, self.path)
        self.assertIn("state", str(error))
        self.assertEqual(self.kinds(), {"counts", "state"})

    def test_index(self) -> None:
        """
        What SQLite itself finds is told: an index that lacks a row.
        """
        self.plant(
            "PRAGMA writable_schema = ON",
            "CREATE TABLE kept AS SELECT sql FROM sqlite_master WHERE name = 'part_verdict'",
            "UPDATE sqlite_master SET sql = 'CREATE INDEX part_verdict ON part (verdict, job) "
            "WHERE verdict = ''lost''' WHERE name = 'part_verdict'",
        )
        self.plant("REINDEX part_verdict")
        self.plant(
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = (SELECT sql FROM kept) WHERE name = 'part_verdict'",
            "DELETE FROM sqlite_master WHERE name = 'kept'",
        )
        found = {finding.kind: finding for finding in check(self.path)}
        self.assertIn(DATABASE, found)
        self.assertIn("part_verdict", " ".join(found[DATABASE].where))
        self.assertRaises(StorageDamaged, repair, self.path)

    def test_page(self) -> None:
        """
        A page that was overwritten is told, and the rest is looked at.
        """
        self.broker.open()
        for number in range(1000, 3000, 2):
            self.broker.write(*life(number, header=b"x" * 200))
        self.broker.settle()
        self.broker.close()
        with open(self.path, "r+b") as file:
            content = file.read()
            place = content.index(b"x" * 200)
            file.seek(place - place % 4096)
            file.write(b"\xa5" * 4096)
        found = {finding.kind: finding for finding in check(self.path)}
        self.assertIn(DATABASE, found)
        self.assertFalse(any(finding.repairable for finding in found.values()))

    def test_in_vain(self) -> None:
        """
        What cannot be looked at is a sentence.
        """
        with open(self.path, "r+b") as file:
            file.write(b"This was a database.")
        self.assertIn("not a database", str(self.assertRaises(StorageError, check, self.path)))
        os.unlink(self.path)
        self.assertIn(self.path, str(self.assertRaises(StorageError, check, self.path)))
        self.assertEqual(os.path.exists(self.path), False)

    def test_other_schema(self) -> None:
        """
        Neither an older nor a newer store is judged.
        """
        latest = len(migrations())
        for version, do in ((latest - 1, "start a broker"), (latest + 1, "install the newer")):
            self.plant(f"PRAGMA user_version = {version}")
            self.assertIn(do, str(self.assertRaises(StorageError, check, self.path)))

    def test_interrupted(self) -> None:
        """
        Ctrl-C ends it.
        """

        def progress(done: int, of: int) -> None:
            if done == 3:
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, check, self.path, progress)

    def test_frames(self) -> None:
        """
        Frames that can be read are no damage, whatever they are.
        """
        frames = bytes(pack_frames((b"",) * 60)).hex()
        self.plant(f"UPDATE payload SET frames = x'{frames}' WHERE job = 1")
        self.assertEqual(self.kinds(), set())


def _planted(name: str) -> None:
    def test(self: FsckTests) -> None:
        self.check_planted(name)

    test.__doc__ = f"{name} is found."
    setattr(FsckTests, "test_planted_" + name.replace("-", "_"), test)


for _name in PLANTED:
    _planted(_name)
