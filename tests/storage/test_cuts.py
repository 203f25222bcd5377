"""
The power fails at every write.

A workload is written by the real writing thread, with checkpoints after few
pages, and its files are recorded after each commit.  SQLite's writes in
between follow from that: first the frames of the transaction, each at its
place in the log, which are synced before the commit is told; then, if there
was a checkpoint, pages of the database, while the log stands.  So every state
that a crash can leave is made of copies:

  - the log ends after each of these writes, and in the middle of it;
  - any one write of those that were not synced is lost, or torn, while those
    after it are on disk: a disk may write in any order;
  - each prefix of a checkpoint is in the database, each page of it alone, and
    each page torn.

Each of them is opened by the real storage, which begins an epoch in it and
finds what was told to be committed, all of it, and of what was not told
either all or nothing; in each fourth L{check} looks, and finds nothing wrong.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from shutil import rmtree
from tempfile import mkdtemp

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from jobroute.clock import SystemClock
from jobroute.errors import StorageError
from jobroute.model import (
    AgentKnown,
    AgentLeft,
    AgentRecord,
    Change,
    Event,
    Forgotten,
    JobEnded,
    PartialStored,
    Target,
    Verdict,
)
from jobroute.storage import schema
from jobroute.storage.fsck import check
from jobroute.storage.sqlite import SQLiteStorage
from jobroute.storage.writer import Writer
from tests.storage.pump import Pump
from tests.storage.samples import Broker, accepted, attempt, ended, event, life

PAGE = 4096

#: The log has this before its frames, and each frame this before its page.
LOG_HEADER, FRAME_HEADER = 32, 24
FRAME = FRAME_HEADER + PAGE

#: Everything in a store but what each opening changes.
ALL = (
    "SELECT event, jobs, ended, parts, events FROM broker",
    *(
        f"SELECT * FROM {table}"
        for table in ("agent", "job", "payload", "part", "result", "partial", "event")
    ),
)


@frozen
class State:
    """
    What is on disk, and what it means.

    @ivar digest: of everything that is stored.
    """

    database: bytes
    log: bytes
    digest: bytes


@frozen
class Cut:
    """
    What a crash leaves.

    @ivar digests: what may be stored there.
    """

    what: str
    database: bytes
    log: bytes
    digests: tuple[bytes, ...]


def digest(connection: sqlite3.Connection) -> bytes:
    """
    Of everything that is stored.
    """
    found = blake2b()
    for query in ALL:
        for row in connection.execute(query):
            found.update(repr(row).encode())
    return found.digest()


def workload() -> Iterator[list[Change]]:
    """
    What is written, one transaction after the other.
    """
    agent = AgentRecord("a1", 90_000, "ab" * 16, b"{}")
    yield [AgentKnown(agent, 1.0), Event(1, 1.0, "broker.started", data={"epoch": 1})]
    for number in range(10, 90, 10):
        payload = (b"p" * (number * 97 % 9000),)
        yield [accepted(number, parts=2, payload=payload, target=Target(None, 2))]
        yield [attempt(number + 1), event(number, number, "part.delivered")]
        yield [PartialStored(number + 1, 1, 1, (b"x" * 100,)), *life(number + 5)]
        yield [ended(number + 1, frames=(b"r" * (number * 31 % 5000),))]
        if number % 20:
            yield [ended(number + 2, Verdict.LOST, frames=()), JobEnded(number, 1002.0)]
        if number % 40 == 0:
            yield [Forgotten(0.0, 2, 6)]
    yield [AgentLeft("a1")]


class CutTests(SynchronousTestCase):
    """
    Whatever a crash leaves is a store.
    """

    def setUp(self) -> None:
        """
        Record the workload.
        """
        self.patch(schema, "_CHECKPOINT", 12)
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "store.sqlite")
        self.states = self.record()

    def content(self, end: str = "") -> bytes:
        """
        What is in a file of the store.
        """
        with open(self.path + end, "rb") as file:
            return file.read()

    def record(self) -> list[State]:
        """
        Have it written, and look at the files after each commit.
        """
        pump = Pump()
        broker = Broker(SQLiteStorage(self.path, pump, SystemClock()), pump)
        broker.open()
        connection = schema.connect(self.path, mode="ro")
        states = []
        for changes in [[], *workload()]:
            if changes:
                broker.store(*changes)
            if any(isinstance(change, Forgotten) for change in changes):
                # It goes in transactions of its own, before the next one.
                broker.store()
            states.append(State(self.content(), self.content("-wal"), digest(connection)))
        connection.close()
        broker.close()
        return states

    def cuts(self, before: State, after: State) -> Iterator[Cut]:
        """
        What a crash between two states can leave.
        """
        either = (before.digest, after.digest)
        writes = self.writes(before.log, after.log)
        # The log, in order.
        log = bytearray(before.log)
        for number, (place, content) in enumerate(writes):
            for cut in (len(content) // 2, len(content)):
                log[place : place + cut] = content[:cut]
                yield Cut(f"log {number} {cut}", before.database, bytes(log), either)
        self.assertEqual(log, after.log)
        # The log, one write lost or torn.
        for number, (place, content) in enumerate(writes):
            old = before.log[place : place + len(content)].ljust(len(content), b"\x00")
            half = content[: len(content) // 2] + old[len(content) // 2 :]
            for what in {old, half} - {content}:
                torn = bytearray(after.log)
                torn[place : place + len(content)] = what
                yield Cut(f"log without {number}", before.database, bytes(torn), either)
        # The checkpoint.
        self.assertGreaterEqual(len(after.database), len(before.database))
        pages = [
            place
            for place in range(0, len(after.database), PAGE)
            if before.database[place : place + PAGE] != after.database[place : place + PAGE]
        ]
        database = bytearray(before.database)
        for place in pages:
            content = after.database[place : place + PAGE]
            for some in (content[: PAGE // 2], content):
                database[place : place + len(some)] = some
                yield Cut(f"page {place}", bytes(database), after.log, (after.digest,))
                alone = bytearray(before.database.ljust(place + PAGE, b"\x00"))
                alone[place : place + len(some)] = some
                yield Cut(f"only {place}", bytes(alone), after.log, (after.digest,))
        yield Cut("all", after.database, after.log, (after.digest,))

    def writes(self, before: bytes, after: bytes) -> list[tuple[int, bytes]]:
        """
        The writes that made one log from another: a place and a content.
        """
        found = []
        if before[:LOG_HEADER] != after[:LOG_HEADER]:
            found.append((0, after[:LOG_HEADER]))
        for place in range(LOG_HEADER, len(after), FRAME):
            content = after[place : place + FRAME]
            if before[place : place + FRAME] != content:
                found.append((place, content))
        return found

    def all_cuts(self) -> Iterator[Cut]:
        """
        Every cut between two commits.
        """
        for before, after in zip(self.states, self.states[1:], strict=False):
            yield from self.cuts(before, after)

    def quick_folder(self) -> str:
        """
        A folder in memory where there is one: here a test says what is lost.
        """
        memory = "/dev/shm"
        folder = mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
        self.addCleanup(rmtree, folder)
        return folder

    def check_cut(self, cut: Cut, folder: str, whole: bool = True) -> None:
        """
        A crash left this: open it.

        @param whole: whether all invariants are looked at.
        """
        path = os.path.join(folder, "store.sqlite")
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        for end, content in (("", cut.database), ("-wal", cut.log)):
            with open(path + end, "wb") as file:
                file.write(content)
        writer = Writer(path, SystemClock(), lambda position: None, lambda error: None)
        restored = writer.open()
        try:
            self.assertEqual((restored.epoch, restored.numbers), (2, 100_001), cut.what)
            with closing(schema.connect(path, mode="ro")) as connection:
                self.assertIn(digest(connection), cut.digests, cut.what)
            if whole:
                self.assertEqual(check(path), (), cut.what)
        finally:
            writer.close()

    def test_cut(self) -> None:
        """
        At each write.
        """
        folder = self.quick_folder()
        kinds: dict[str, int] = {}
        for number, cut in enumerate(self.all_cuts()):
            self.check_cut(cut, folder, whole=number % 4 == 0)
            kind = cut.what.split()[0]
            kinds[kind] = kinds.get(kind, 0) + 1
        self.assertGreater(min(kinds["log"], kinds["page"], kinds["only"]), 200, kinds)

    def test_lost(self) -> None:
        """
        The test can fail: a log that lost what was told to be committed is
        noticed.
        """
        before, after = self.states[4], self.states[5]
        lost = Cut("lost", before.database, before.log, (after.digest,))
        folder = self.quick_folder()
        self.assertRaises(self.failureException, self.check_cut, lost, folder)
        torn = Cut("torn", after.database[: PAGE * 3], b"", (after.digest,))
        self.assertRaises((StorageError, self.failureException), self.check_cut, torn, folder)
