# -*- test-case-name: tests.storage.test_sqlite -*-
"""
The one thread that writes.

It takes everything that was written meanwhile into one transaction, and
reports when that is on disk.  A transaction that fails is tried again for as
long as it takes; a failed fsync ends all writing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event

from attrs import define, evolve, field

from jobroute.errors import StorageError, StorageLost
from jobroute.interfaces import IClock
from jobroute.log import Logger
from jobroute.model import Change, Forgotten, Restored
from jobroute.storage import queries
from jobroute.storage.aside import set_aside
from jobroute.storage.batch import Batch, Totals
from jobroute.storage.failures import explain
from jobroute.storage.leap import leapt
from jobroute.storage.logs import Writing
from jobroute.storage.retention import forget_some
from jobroute.storage.schema import LOG_LIMIT, connect_writer

#: How many numbers are taken when a store is opened.
NUMBERS = 100_000

#: A transaction with more changes than this takes in no more.
_MOST = 20_000

#: After so many transactions the size of the log is looked at; and after so
#: many at most while somebody reads for long, such as a backup: each look is
#: a wait for that reader.
_LOOK, _LOOK_SELDOM = 64, 8192


@define(eq=False)
class Writer:
    """
    What the writing thread does.  Everything but L{write}, L{stop} and their
    queue is that thread's own.

    @ivar committed: told the position that is on disk.
    @ivar trouble: told what went wrong, or L{None} when it is over.
    @ivar pause: after how many seconds a failed transaction is tried again
        for the first time; each pause after it is twice as long.
    @ivar longest: the longest of these pauses.
    @ivar afresh: whether a store that is there is set aside.
    @ivar left: how many changes could not be written, at the end.
    """

    _log = Logger()

    path: str
    clock: IClock
    committed: Callable[[int], None]
    trouble: Callable[[StorageError | None], None]
    connect: Callable[[str], Writing] = connect_writer
    pause: float = 0.1
    longest: float = 5.0
    afresh: bool = False
    left: int = field(default=0, init=False)
    _queue: SimpleQueue[tuple[int, Sequence[Change]] | None] = field(
        factory=SimpleQueue, init=False
    )
    _stopping: Event = field(factory=Event, init=False)
    _last: bool = field(default=False, init=False)
    _lost: bool = field(default=False, init=False)
    _totals: Totals = field(factory=Totals, init=False)
    _forgotten: Forgotten | None = field(default=None, init=False)
    #: After how many transactions the log is looked at next, and then.
    _look_in: int = field(default=0, init=False)
    _look: int = field(default=0, init=False)
    _connection: Writing = field(init=False)

    def write(self, position: int, changes: Sequence[Change]) -> None:
        """
        Write these in their turn.
        """
        self._queue.put((position, changes))

    def stop(self) -> None:
        """
        Write what is there, once, and end.
        """
        self._stopping.set()
        self._queue.put(None)

    def open(self) -> Restored:
        """
        Open the store, and begin a new epoch in it.

        @raise StorageError: if that cannot be done.
        """
        try:
            aside = set_aside(self.path, self.clock.wall()) if self.afresh else None
            self._connection = self.connect(self.path)
        except Exception as e:
            raise explain(e, self.path) from e
        try:
            # A store that cannot be read is left as it is.
            self._connection.execute("BEGIN")
            found = queries.totals(self._connection)
            copied = queries.copied(self._connection)
            if copied is not None:
                found = leapt(found, self._beyond(copied))
            limit = found.numbers + NUMBERS
            restored = queries.restored(self._connection, found, limit)
            self._connection.execute("COMMIT")
            self._connection.begin_log()
            self._totals = evolve(found, epoch=restored.epoch, numbers=limit)
            self._transaction(lambda: self._begin(self._totals))
        except Exception as e:
            self.close()
            raise explain(e, self.path, reading=True) from e
        return evolve(restored, aside=aside)

    def _begin(self, totals: Totals) -> Totals:
        totals.store(self._connection)
        self._connection.execute("UPDATE broker SET copied = NULL")
        return totals

    def _beyond(self, copied: float) -> float:
        """
        A time that is after everything that became of the store of which
        this is a copy.

        @raise StorageError: if the clock does not know one.
        """
        wall = self.clock.wall()
        if wall < copied:
            raise StorageError(
                f"The store {self.path} is a copy that was made after what the clock of this "
                "machine says: set the clock, or numbers are used twice."
            )
        return wall

    def work(self) -> None:
        """
        Write until L{stop}.
        """
        while (batch := self._next()) is not None:
            if batch.writes:
                self._store(batch)
            if self._forgotten is not None:
                self._forget(self._forgotten)

    def close(self) -> None:
        """
        Close the store.
        """
        try:
            self._connection.close()
        except sqlite3.Error as e:
            self._log.warn("Closing the store {path}: {error}", path=self.path, error=str(e))

    def _next(self) -> Batch | None:
        """
        Everything that was written meanwhile; wait for it if there is nothing
        else to do.
        """
        batch = Batch()
        if self._last:
            return None
        try:
            item = self._queue.get(block=self._forgotten is None)
            while item is not None:
                if self._lost:
                    self.left += len(item[1])
                else:
                    batch.add(*item)
                if batch.changes >= _MOST:
                    return batch
                item = self._queue.get_nowait()
            self._last = True
        except Empty:
            return batch
        except Exception as e:
            self._fail(explain(e, self.path), batch)
            return Batch()
        return batch

    def _store(self, batch: Batch) -> None:
        """
        Get a batch to disk, however often it takes.
        """
        pause = self.pause
        said = ""
        while True:
            try:
                totals = self._transaction(lambda: batch.store(self._connection, self._totals))
                break
            except Exception as e:
                error = explain(e, self.path)
            if isinstance(error, StorageLost):
                self._fail(error, batch)
                return
            if str(error) != said:
                said = str(error)
                self.trouble(error)
            if self._stopping.wait(pause):
                self._give_up(batch)
                return
            pause = min(2 * pause, self.longest)
        self._totals = totals
        if said:
            self.trouble(None)
        self.committed(batch.position)
        if batch.forgotten is not None:
            self._forgotten = batch.forgotten
        self._look_in -= 1
        if self._look_in <= 0:
            self._bound_log()

    def _transaction(self, write: Callable[[], Totals]) -> Totals:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            totals = write()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return totals

    def _fail(self, error: StorageError, batch: Batch) -> None:
        """
        Write nothing any more: nobody knows what is on disk, or the broker
        has a bug and would go on with what is not stored.
        """
        self._lost = True
        self._forgotten = None
        self.left += batch.changes
        self.trouble(error)

    def _give_up(self, batch: Batch) -> None:
        """
        The broker ends while the store cannot be written.  Nobody was told
        that this is on disk; and what came later must not go there without it.
        """
        self._lost = True
        self._forgotten = None
        self.left += batch.changes

    def _forget(self, forgotten: Forgotten) -> None:
        """
        Forget a little.  If that fails it is left to the next time.
        """
        self._forgotten = None
        if self._last:
            return
        more = False

        def write() -> Totals:
            nonlocal more
            totals, more = forget_some(
                self._connection, forgotten, self._totals, self.clock.monotonic
            )
            return totals

        try:
            self._totals = self._transaction(write)
        except Exception as e:
            error = explain(e, self.path)
            self._log.warn("Could not forget old jobs: {error}", error=str(error))
            if isinstance(error, StorageLost):
                self._fail(error, Batch())
            return
        if more:
            self._forgotten = forgotten

    def _bound_log(self) -> None:
        """
        Readers can keep the log from being begun anew for long; then they
        wait.
        """
        busy = False
        try:
            if os.path.getsize(self.path + "-wal") > LOG_LIMIT:
                truncate = "PRAGMA wal_checkpoint(TRUNCATE)"
                busy = bool(self._connection.execute(truncate).fetchone()[0])
        except (OSError, sqlite3.Error) as e:
            error = explain(e, self.path)
            if isinstance(error, StorageLost):
                self._fail(error, Batch())
        self._look = min(2 * max(self._look, _LOOK), _LOOK_SELDOM) if busy else _LOOK
        self._look_in = self._look
