# -*- test-case-name: tests.storage.test_disk -*-
"""
A disk that loses what was not committed, when a simulation says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.errors import StorageError
from jobroute.storage.memory import MemoryStorage

T = TypeVar("T")


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
    """

    _later: Callable[[Callable[[], None]], object] = _never
    answers: Callable[[Callable[[], None]], object] | None = None
    life: int = field(default=0, init=False)

    @property
    def pending(self) -> tuple[int, ...]:
        """
        The positions that were written and are not committed.
        """
        return tuple(position for position, _ in self._pending)

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

    def lose(self) -> None:
        """
        The broker crashes: what is not committed is gone, and nothing that it
        waits for comes.
        """
        self._pending.clear()
        self._callbacks = None
        self.life += 1

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
