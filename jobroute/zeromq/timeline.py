# -*- test-case-name: tests.zeromq.test_memory -*-
"""
What happens in the in-memory network, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

_NEVER = float("inf")
_ALWAYS = float("-inf")

#: Less than this is no time: sums of floats are not exact.
MOMENT = 1e-9


@define(eq=False)
class Timeline:
    """
    Many things to do at their times, and at most one delayed call for all of
    them: a clock that keeps thousands is slow.  Things due at the same time
    are done in the order in which they were scheduled.
    """

    _clock: IReactorTime
    _heap: list[tuple[float, int, Callable[[], None]]] = field(factory=list, init=False)
    _number: int = field(default=0, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _next: float = field(default=_NEVER, init=False)

    def now(self) -> float:
        """
        The time.
        """
        return self._clock.seconds()

    def schedule(self, due: float, function: Callable[[], None]) -> None:
        """
        Have something done at a time.  If that is now, it is done soon.
        """
        self._number += 1
        heappush(self._heap, (due, self._number, function))
        if due < self._next:
            self._arrange(due)

    def close(self) -> None:
        """
        Forget everything.
        """
        self._heap.clear()
        self._next = _ALWAYS
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arrange(self, due: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._next = due
        self._call = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._run)

    def _run(self) -> None:
        self._call = None
        # Nothing that is scheduled in here needs a call of its own.
        self._next = _ALWAYS
        heap = self._heap
        last = self._number
        now = self._clock.seconds() + MOMENT
        while heap and heap[0][0] <= now and heap[0][1] <= last:
            heappop(heap)[2]()
        if heap:
            self._arrange(heap[0][0])
        else:
            self._next = _NEVER
