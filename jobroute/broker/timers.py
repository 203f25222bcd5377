# -*- test-case-name: tests.broker.test_timers -*-
"""
Many timers of which few ever come due.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, Protocol

from attrs import define, field

#: Seconds of one slot of time; timers come due late by at most that, or by
#: a second when they were set over a minute ahead.
RESOLUTION = 0.05

_SECOND = round(1 / RESOLUTION)
_MINUTE = 60 * _SECOND


class Timed(Protocol):
    """
    What can have a timer.

    @ivar timer: the timers' own: in which slot, or L{None}.
    """

    timer: Any


class _Slot(dict[Timed, None]):
    """
    What comes due at the same time.
    """

    __slots__ = ("when",)

    def __init__(self, when: int) -> None:
        self.when = when


@define(eq=False, repr=False)
class Timers:
    """
    Sets, moves and clears a timer in constant time, and forgets what is
    cleared at once: a call that was answered must not stay until its
    deadline, a day later.  What stays is a number for each second.
    """

    _slots: dict[int, _Slot] = field(factory=dict, init=False)
    _heap: list[int] = field(factory=list, init=False)
    _known: set[int] = field(factory=set, init=False)

    def set(self, item: Timed, when: float, now: float) -> None:
        """
        Let C{item} come due at C{when}, and at no other time.
        """
        number = int(when / RESOLUTION) + 1
        if number - now / RESOLUTION > _MINUTE:
            # Far ones are kept by the second, so that there are few slots.
            number += -number % _SECOND
        before = item.timer
        if before is not None:
            if before.when == number:
                return
            self.clear(item)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
            if number not in self._known:
                self._known.add(number)
                heappush(self._heap, number)
        # The slot and not its number, which would be another object each time.
        item.timer = slot
        slot[item] = None

    def clear(self, item: Timed) -> None:
        """
        Let C{item} not come due.
        """
        slot = item.timer
        if slot is None:
            return
        item.timer = None
        del slot[item]
        if not slot:
            del self._slots[slot.when]

    def due(self, now: float) -> Iterator[Timed]:
        """
        Take out what is due, the earliest slot first, one by one: what is
        done about one may clear another.
        """
        current = int(now / RESOLUTION)
        while self._heap and self._heap[0] <= current:
            slot = self._heap[0]
            items = self._slots.get(slot)
            if items is None:
                heappop(self._heap)
                self._known.discard(slot)
                continue
            item, _ = items.popitem()
            if not items:
                del self._slots[slot]
            item.timer = None
            yield item

    @property
    def first(self) -> float | None:
        """
        When the first one comes due, if there is one.
        """
        return min(self._slots) * RESOLUTION if self._slots else None

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))
