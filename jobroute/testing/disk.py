# -*- test-case-name: tests.storage.test_disk -*-
"""
A disk that loses what was not committed, when a simulation says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.errors import StorageError, StorageLost
from jobroute.model import Change, PartRecord, Restored
from jobroute.storage.memory import MemoryStorage

T = TypeVar("T")

#: Why a broker ends whose disk failed.
FSYNC = "What was written may not be on disk: the simulation failed an fsync."


def _never(call: Callable[[], None]) -> None:
    """
    Nothing is committed until L{SimulatedDisk.commit}.
    """


@define(eq=False)
class SimulatedDisk(MemoryStorage):
    """
    A store of which each commit is made by hand, and which outlives its
    broker: after L{lose} it is opened again, as after a crash.

    @ivar answers: calls what it is given when an answer is due, by default at
        once.
    @ivar life: counts the crashes; answers of an earlier life never come.
    @ivar instruction: called before and after something is written; may crash
        the broker.
    @ivar lost: whether an fsync failed; nothing is written any more until the
        store is opened again.
    """

    _later: Callable[[Callable[[], None]], object] = _never
    answers: Callable[[Callable[[], None]], object] | None = None
    instruction: Callable[[], object] | None = None
    life: int = field(default=0, init=False)
    lost: bool = field(default=False, init=False)

    def open(
        self,
        committed: Callable[[int], None],
        trouble: Callable[[StorageError | None], None],
    ) -> Deferred[Restored]:
        """
        Open it, whatever happened before.
        """
        self.lost = False
        return super().open(committed, trouble)

    def write(self, position: int, changes: Sequence[Change]) -> None:
        """
        Take what is to be written, unless its broker just died.
        """
        if self.instruction is not None and self._callbacks is not None:
            self.instruction()
        if self._gone or self.lost:
            return
        super().write(position, changes)
        if self.instruction is not None:
            self.instruction()

    @property
    def pending(self) -> tuple[int, ...]:
        """
        The positions that were written and are not committed.
        """
        return tuple(position for position, _ in self._pending)

    def events(self) -> list[int]:
        """
        The numbers of all events.
        """
        return self._tables.event_numbers()

    def open_parts(self) -> tuple[PartRecord, ...]:
        """
        The parts of jobs that have not ended.
        """
        jobs = self._tables.restored(0, 0).jobs
        return tuple(part for _, parts in jobs for part in parts)

    def commit(self, upto: int | None = None, *, report: bool = True) -> None:
        """
        Commit what was written, in order.

        @param upto: the last position that is committed; L{None} for all.
        @param report: whether the broker hears of it.  If not, it was on its
            way when the broker crashed.
        """
        self._commit(upto, report)

    def trouble(self, error: StorageError | None) -> None:
        """
        Tell the broker that commits fail, or with L{None} that they don't any
        more.
        """
        if self._callbacks is not None:
            self._callbacks[1](error)

    def fail(self, kept: int | None = None) -> None:
        """
        An fsync fails: nobody knows what is on disk, and the broker has to
        end.

        @param kept: the last position that is on disk after all.
        """
        if kept is not None:
            self._commit(kept, False)
        self._pending.clear()
        self.lost = True
        self.trouble(StorageLost(FSYNC))

    def lose(self) -> None:
        """
        The broker crashes: what is not committed is gone, and nothing that it
        waits for comes.
        """
        self._pending.clear()
        self._callbacks = None
        self.life += 1

    @property
    def _gone(self) -> bool:
        """
        Whether the broker crashed; what it still does nobody sees.
        """
        return self.life > 0 and self._callbacks is None

    def _read(self, query: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return Deferred() if self._gone else super()._read(query, *arguments)

    def _answer(self, answer: Deferred[T]) -> Deferred[T]:
        if self.answers is None:
            return answer
        life = self.life
        later: Deferred[T] = Deferred()

        def known(result: T | Failure) -> None:
            if self.life == life:
                later.callback(result)

        def due(result: T | Failure) -> None:
            if self.answers is not None:
                self.answers(lambda: known(result))

        answer.addBoth(due)
        return later
