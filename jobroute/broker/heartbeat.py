# -*- test-case-name: tests.broker.test_heartbeat -*-
"""
Who was heard when, and who has been silent for too long.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from attrs import define, field
from zope.interface import implementer

from jobroute.interfaces import Due, IHeartbeat


@define(eq=False, repr=False)
class _Watch:
    heard: float
    limit: float


@implementer(IHeartbeat)
@define(eq=False, repr=False)
class Heartbeat:
    """
    Watches by a heap of moments at which somebody must be looked at: being
    heard costs nothing but a number, and a tick looks only at those whose
    moment has come.
    """

    interval: float
    liveness: int
    _watched: dict[Any, _Watch] = field(factory=dict, init=False)
    _heap: list[tuple[float, int, Any, _Watch]] = field(factory=list, init=False)
    _count: int = field(default=0, init=False)

    def add(self, key: Any, now: float, grace: float | None = None) -> None:
        """
        See L{IHeartbeat.add}.
        """
        watch = _Watch(now, self.interval * self.liveness if grace is None else grace)
        self._watched[key] = watch
        self._look(now + min(self.interval, watch.limit), key, watch)

    def heard(self, key: Any, now: float) -> None:
        """
        See L{IHeartbeat.heard}.
        """
        watch = self._watched.get(key)
        if watch is not None:
            watch.heard = now
            watch.limit = self.interval * self.liveness

    def forgive(self, gap: float) -> None:
        """
        See L{IHeartbeat.forgive}.
        """
        for watch in self._watched.values():
            watch.heard += gap

    def silence(self, key: Any, now: float) -> float:
        """
        See L{IHeartbeat.silence}.
        """
        return now - self._watched[key].heard

    def remove(self, key: Any) -> None:
        """
        See L{IHeartbeat.remove}.
        """
        self._watched.pop(key, None)

    def due(self, now: float) -> list[tuple[Any, Due]]:
        """
        See L{IHeartbeat.due}.
        """
        found: list[tuple[Any, Due]] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, key, watch = heappop(self._heap)
            if self._watched.get(key) is not watch:
                continue
            # The very sums by which it is looked at again: a difference may be
            # rounded the other way, and would be looked at for ever.
            silent, lost = watch.heard + self.interval, watch.heard + watch.limit
            if now >= lost:
                del self._watched[key]
                found.append((key, Due.LOST))
            elif now >= silent:
                found.append((key, Due.PING))
                # Not before the next interval, and not after the limit.
                self._look(min(now + self.interval, lost), key, watch)
            else:
                self._look(silent, key, watch)
        return found

    def _look(self, when: float, key: Any, watch: _Watch) -> None:
        self._count += 1
        heappush(self._heap, (when, self._count, key, watch))
