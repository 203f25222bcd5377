"""
A reactor that turns only while a test waits, so that threads can be tested
in order.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

T = TypeVar("T")


@implementer(IReactorFromThreads)
@define(eq=False)
class Pump:
    """
    Runs what threads hand to it.

    @ivar patience: after how many seconds a wait has failed.
    """

    patience: float = 20.0
    _calls: SimpleQueue[Callable[[], object]] = field(factory=SimpleQueue, init=False)

    def callFromThread(
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """
        Call something in a later turn.
        """
        self._calls.put(lambda: callable(*args, **kwargs))

    def later(self, call: Callable[[], object]) -> None:
        """
        Call something in a later turn.
        """
        self._calls.put(call)

    def until(self, true: Callable[[], object]) -> None:
        """
        Turn until something is true.
        """
        while not true():
            try:
                self._calls.get(timeout=self.patience)()
            except Empty:
                raise AssertionError("What the test waits for did not happen.") from None

    def drain(self) -> None:
        """
        Turn until there is nothing to do.
        """
        while not self._calls.empty():
            self._calls.get()()

    def wait(self, deferred: Deferred[T]) -> T:
        """
        Turn until a Deferred fires.

        @return: its result; its failure is raised.
        """
        results: list[T | Failure] = []
        deferred.addBoth(results.append)
        self.until(lambda: results)
        result = results[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result
