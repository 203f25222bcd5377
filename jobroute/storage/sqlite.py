# -*- test-case-name: tests.storage.test_sqlite -*-
"""
The store in an SQLite file.

One thread writes, others read, and the reactor's thread does neither.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Any, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from jobroute import model
from jobroute.config import Settings
from jobroute.errors import JobrouteError, StorageError
from jobroute.interfaces import IClock, IStorage
from jobroute.log import Logger
from jobroute.storage import queries
from jobroute.storage.failures import explain, left_behind
from jobroute.storage.logs import Writing
from jobroute.storage.schema import FILE, connect_reader, connect_writer
from jobroute.storage.writer import Writer

T = TypeVar("T")

_log = Logger()


class _DaemonThread(Thread):
    """
    Does not keep a process alive that forgot to close its store.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, daemon=True, **named)


@define(eq=False)
class Readers:
    """
    Connections for reading, used by any thread, one query at a time each.
    """

    path: str
    connect: Callable[[str], sqlite3.Connection] = connect_reader
    _idle: deque[sqlite3.Connection] = field(factory=deque, init=False)

    def read(self, query: Callable[..., T], *arguments: Any) -> T:
        """
        Ask one question; everything that it reads is of one moment.

        @raise StorageDamaged: if it comes to a damaged page.
        @raise StorageError: if it cannot be read for another reason.
        """
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self.connect(self.path)
            try:
                connection.execute("BEGIN")
                answer = query(connection, *arguments)
                connection.execute("COMMIT")
            except JobrouteError:
                connection.execute("ROLLBACK")
                self._idle.append(connection)
                raise
            except BaseException:
                connection.close()
                raise
        except JobrouteError:
            raise
        except Exception as e:
            raise explain(e, self.path, reading=True) from e
        self._idle.append(connection)
        return answer

    def stream(self, query: Callable[[sqlite3.Connection], Iterator[T]]) -> Iterator[T]:
        """
        Ask a question with a long answer, which is read while it is asked
        for.

        @raise StorageDamaged: when it comes to a damaged page.
        @raise StorageError: when it cannot be read for another reason.
        """
        try:
            connection = self.connect(self.path)
            try:
                connection.execute("BEGIN")
                yield from query(connection)
            finally:
                connection.close()
        except JobrouteError:
            raise
        except Exception as e:
            raise explain(e, self.path, reading=True) from e

    def close(self) -> None:
        """
        Close those that are not in use.
        """
        while self._idle:
            self._idle.pop().close()


@implementer(IStorage)
@define(eq=False)
class SQLiteStorage:
    """
    A store in a file.

    When a commit fails (no room, a lock of another program, a damaged page),
    that is reported and it is tried again with growing pauses, for ever; reads
    go on.  When it makes no sense to try again, L{StorageLost} is reported and
    nothing is written any more: after a failed fsync, and when the broker
    wrote what contradicts the store (a number, or an id in its namespace, for
    the second time), which is a bug of the broker's that must not go on.

    @ivar path: the file.
    """

    path: str
    _reactor: IReactorFromThreads
    _clock: IClock
    _pause: float = field(default=0.1, kw_only=True)
    #: Whether what is there is set aside by the next L{open}.
    _afresh: bool = field(default=False, kw_only=True)
    _connect: Callable[[str], Writing] = field(default=connect_writer, kw_only=True)
    _writer: Writer | None = field(default=None, init=False)
    _closing: list[Deferred[None]] | None = field(default=None, init=False)
    _readers: Readers = field(init=False)
    _quick: ThreadPool = field(init=False)
    _slow: ThreadPool = field(init=False)

    def open(
        self,
        committed: Callable[[int], None],
        trouble: Callable[[StorageError | None], None],
    ) -> Deferred[model.Restored]:
        """
        See L{IStorage}.
        """
        if self._writer is not None:
            return fail(StorageError(f"The store {self.path} is open already."))
        call = self._reactor.callFromThread
        writer = self._writer = Writer(
            self.path,
            self._clock,
            lambda position: call(committed, position),
            lambda error: call(trouble, error),
            connect=self._connect,
            pause=self._pause,
            afresh=self._afresh,
        )
        self._readers = Readers(self.path)
        # A page of jobs can take long; a payload must not wait for it.
        self._quick = _pool(2, "storage")
        self._slow = _pool(1, "storage-pages")
        self._closing = None
        opened: Deferred[model.Restored] = Deferred()
        _DaemonThread(target=self._run, args=(writer, opened), name="storage-writer").start()
        return opened

    def _run(self, writer: Writer, opened: Deferred[model.Restored]) -> None:
        """
        The writing thread.
        """
        call = self._reactor.callFromThread
        try:
            restored = writer.open()
        except Exception as e:
            call(self._not_opened, opened, e)
            return
        self._quick.start()
        self._slow.start()
        self._afresh = False
        jobs = self._readers.stream(queries.unended)
        call(opened.callback, evolve(restored, jobs=jobs))
        try:
            writer.work()
        except Exception as e:
            _log.failure("The writing thread of the store {path} failed.", path=self.path)
            writer.trouble(explain(e, self.path))
        finally:
            self._quick.stop()
            self._slow.stop()
            self._readers.close()
            writer.close()
            call(self._closed, writer.left)

    def _not_opened(self, opened: Deferred[model.Restored], error: Exception) -> None:
        self._closed(0)
        opened.errback(error)

    def _closed(self, left: int) -> None:
        waiting, self._closing, self._writer = self._closing or [], None, None
        for closed in waiting:
            if left:
                closed.errback(left_behind(self.path, left))
            else:
                closed.callback(None)

    def write(self, position: int, changes: Sequence[model.Change]) -> None:
        """
        See L{IStorage}.
        """
        if self._writer is None or self._closing is not None:
            raise StorageError(f"The store {self.path} is not open.")
        self._writer.write(position, changes)

    def close(self) -> Deferred[None]:
        """
        See L{IStorage}.
        """
        if self._writer is None:
            return succeed(None)
        if self._closing is None:
            self._closing = []
            self._writer.stop()
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        return closed

    def _read(self, pool: ThreadPool, query: Callable[..., T], *arguments: Any) -> Deferred[T]:
        if self._writer is None or self._closing is not None or not pool.started:
            return fail(StorageError(f"The store {self.path} is not open."))
        return deferToThreadPool(self._reactor, pool, self._readers.read, query, *arguments)

    def payload(self, job: int) -> Deferred[model.Frames]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.payload, job)

    def contents(self, jobs: Sequence[int]) -> Deferred[dict[int, model.Content]]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.contents, tuple(jobs))

    def result(self, part: int) -> Deferred[model.Frames]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.result, part)

    def partials(
        self, part: int, attempt: int, after: int, limit: int
    ) -> Deferred[list[tuple[int, model.Frames]]]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.partials, part, attempt, after, limit)

    def find(self, namespace: str, ids: Sequence[str]) -> Deferred[dict[str, model.JobRecord]]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.find, namespace, tuple(ids))

    def parts(self, job: int) -> Deferred[tuple[model.PartRecord, ...]]:
        """
        See L{IStorage}.
        """
        return self._read(self._quick, queries.parts, job)

    def jobs(
        self, which: model.JobFilter, before: int | None, limit: int
    ) -> Deferred[list[model.JobSummary]]:
        """
        See L{IStorage}.
        """
        return self._read(self._slow, queries.jobs, which, before, limit)

    def quarantined(
        self, namespace: str | None, service: str | None, before: int | None, limit: int
    ) -> Deferred[list[model.Quarantined]]:
        """
        See L{IStorage}.
        """
        return self._read(self._slow, queries.quarantined, namespace, service, before, limit)

    def history(self, job: int) -> Deferred[model.JobHistory]:
        """
        See L{IStorage}.
        """
        return self._read(self._slow, queries.history, job)

    def statistics(self) -> Deferred[dict[str, int]]:
        """
        See L{IStorage}.  C{bytes} is what the file and its log take.
        """
        return self._read(self._quick, self._statistics)

    def _statistics(self, connection: sqlite3.Connection) -> dict[str, int]:
        totals = queries.totals(connection)
        return {
            "jobs": totals.jobs,
            "parts": totals.parts,
            "events": totals.events,
            "bytes": os.path.getsize(self.path) + os.path.getsize(self.path + "-wal"),
        }


def _pool(most: int, name: str) -> ThreadPool:
    pool = ThreadPool(0, most, name)
    pool.threadFactory = _DaemonThread
    return pool


def made_for(settings: Settings, reactor: Any, clock: IClock) -> SQLiteStorage:
    """
    The store in the data directory.
    """
    path = os.path.join(settings.data_dir, FILE)
    return SQLiteStorage(path, reactor, clock, afresh=settings.no_restore)
