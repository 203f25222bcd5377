# -*- test-case-name: tests.storage.test_storage -*-
"""
The store that ends with its process: for throwaway brokers, and for tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, execute, fail, succeed
from zope.interface import implementer

from jobroute import model
from jobroute.config import Settings
from jobroute.errors import StorageError
from jobroute.interfaces import IClock, IStorage
from jobroute.storage.failures import contradiction, left_behind
from jobroute.storage.leap import first_number, latest_epoch
from jobroute.storage.tables import Contradiction, Tables

T = TypeVar("T")

#: How many numbers are taken when a store is opened.
NUMBERS = 100_000

#: Where it is, in sentences about it.
PLACE = "(memory)"


@implementer(IStorage)
@define(eq=False)
class MemoryStorage:
    """
    A store in memory.  What was written counts as committed in a later turn
    of the reactor, and reads, which see nothing else, are answered at once.
    It can be closed and opened again: all is still there, in a new epoch.

    @ivar most_jobs: how many ended jobs are kept at most, whatever
        L{jobroute.model.Forgotten} says: memory is smaller than a disk.
    @ivar most_events: how many events, likewise.
    @param epoch: the number of the latest epoch of stores that are gone.
    """

    #: Calls what it is given in a later turn of the reactor.
    _later: Callable[[Callable[[], None]], object]
    most_jobs: int = field(default=100_000, kw_only=True)
    most_events: int = field(default=300_000, kw_only=True)
    #: How many epochs were before, in stores that are gone.
    _epoch: int = field(default=0, kw_only=True, alias="epoch")
    _tables: Tables = field(init=False)
    _pending: deque[tuple[int, Sequence[model.Change]]] = field(factory=deque, init=False)
    _due: bool = field(default=False, init=False)
    #: How many changes were not stored, since one cannot be.
    _left: int = field(default=0, init=False)
    _callbacks: tuple[Callable[[int], None], Callable[[StorageError | None], None]] | None = field(
        default=None, init=False
    )

    def __attrs_post_init__(self) -> None:
        self._tables = Tables(numbers=first_number(self._epoch))

    def open(
        self,
        committed: Callable[[int], None],
        trouble: Callable[[StorageError | None], None],
    ) -> Deferred[model.Restored]:
        """
        See L{IStorage}.
        """
        if self._callbacks is not None:
            return fail(StorageError("The store is open already."))
        self._callbacks = (committed, trouble)
        self._left = 0
        self._epoch += 1
        restored = self._tables.restored(self._epoch, self._tables.numbers + NUMBERS)
        self._tables.numbers = restored.limit
        return self._answer(succeed(restored))

    def write(self, position: int, changes: Sequence[model.Change]) -> None:
        """
        See L{IStorage}.
        """
        if self._callbacks is None:
            raise StorageError("The store is not open.")
        self._pending.append((position, changes))
        if not self._due:
            self._due = True
            self._later(self._commit_later)

    def close(self) -> Deferred[None]:
        """
        See L{IStorage}.
        """
        if self._callbacks is not None:
            self._commit()
            self._callbacks = None
            if self._left:
                return self._answer(fail(left_behind(PLACE, self._left)))
        return self._answer(succeed(None))

    def _commit_later(self) -> None:
        self._due = False
        self._commit()

    def _commit(self, upto: int | None = None, report: bool = True) -> None:
        """
        Commit what was written, up to a position, and say so.
        """
        position = None
        while self._pending and (upto is None or self._pending[0][0] <= upto):
            written, changes = self._pending.popleft()
            if self._left:
                self._left += len(changes)
                continue
            try:
                self._tables.apply([self._bounded(change) for change in changes])
            except Contradiction as e:
                self._left += len(changes)
                if self._callbacks is not None:
                    self._callbacks[1](contradiction(PLACE, str(e)))
            else:
                position = written
        if position is not None and report and self._callbacks is not None:
            self._callbacks[0](position)

    def _bounded(self, change: model.Change) -> model.Change:
        if not isinstance(change, model.Forgotten):
            return change
        return evolve(
            change,
            jobs=min(change.jobs, self.most_jobs),
            events=min(change.events, self.most_events),
        )

    def _answer(self, answer: Deferred[T]) -> Deferred[T]:
        """
        How an answer is given: at once.
        """
        return answer

    def _read(self, query: Callable[..., T], *arguments: Any) -> Deferred[T]:
        if self._callbacks is None:
            return self._answer(fail(StorageError("The store is not open.")))
        return self._answer(execute(query, *arguments))

    def payload(self, job: int) -> Deferred[model.Frames]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.payload, job)

    def contents(self, jobs: Sequence[int]) -> Deferred[dict[int, model.Content]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.contents, jobs)

    def result(self, part: int) -> Deferred[model.Frames]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.result, part)

    def partials(
        self, part: int, attempt: int, after: int, limit: int
    ) -> Deferred[list[tuple[int, model.Frames]]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.partials, part, attempt, after, limit)

    def find(self, namespace: str, ids: Sequence[str]) -> Deferred[dict[str, model.JobRecord]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.find, namespace, ids)

    def parts(self, job: int) -> Deferred[tuple[model.PartRecord, ...]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.parts, job)

    def jobs(
        self, which: model.JobFilter, before: int | None, limit: int
    ) -> Deferred[list[model.JobSummary]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.jobs, which, before, limit)

    def quarantined(
        self, namespace: str | None, service: str | None, before: int | None, limit: int
    ) -> Deferred[list[model.Quarantined]]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.quarantined, namespace, service, before, limit)

    def history(self, job: int) -> Deferred[model.JobHistory]:
        """
        See L{IStorage}.
        """
        return self._read(self._tables.history, job)

    def statistics(self) -> Deferred[dict[str, int]]:
        """
        See L{IStorage}.  C{bytes} is 0: there are none on any disk.
        """
        return self._read(self._tables.statistics)


def made_for(settings: Settings, reactor: Any, clock: IClock) -> MemoryStorage:
    """
    An empty store.  The time stands for the epochs of which it knows nothing.
    """
    return MemoryStorage(partial(reactor.callLater, 0), epoch=latest_epoch(clock.wall()))
