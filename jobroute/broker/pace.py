# -*- test-case-name: tests.broker.test_pace -*-
"""
When to come back: what those are told that are refused since a limit is
reached.

Nothing is measured until somebody is refused.  Then each that is refused has
its turn after the one before, as far apart as the queue in question drains,
so that a thousand do not come back together.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from attrs import define, field

from jobroute.broker.journal import Journal
from jobroute.broker.services import Service
from jobroute.errors import Busy
from jobroute.interfaces import IClock

#: The least and the most that anybody is told to wait, in seconds.
LEAST = 0.1
MOST = 30.0

#: What is told while nothing is known yet.
UNKNOWN = 0.5

#: And while the broker can only be waited for: it stops, or its disk is full.
OUTAGE = 2.0

#: What is measured in less time says nothing.
_WINDOW = 0.5

#: How many changes a job makes, roughly.
_CHANGES = 4


@define(eq=False, repr=False)
class Pace:
    """
    How fast something drains, and who of those that were refused comes next.
    """

    _asked: float = -inf
    _since: float = 0.0
    _done: int = 0
    _rate: float | None = None
    _next: float = -inf

    def turn(self, now: float, done: int, units: int) -> float:
        """
        In how many seconds there should be room.

        @param done: how much has drained since ever.
        @param units: how much room is needed.
        """
        if now - self._asked > MOST:
            # That is long ago: measure again.
            self._since, self._done, self._rate = now, done, None
        self._asked = now
        elapsed = now - self._since
        if elapsed >= _WINDOW:
            went = done - self._done
            # What does not move at all is the less likely to move soon.
            self._rate = max(went, 0.5) / elapsed
            if went:
                self._since, self._done = now, done
        if self._rate is None:
            return UNKNOWN
        self._next = min(max(self._next, now) + units / self._rate, now + MOST)
        return self._next - now


@define(eq=False, repr=False)
class Paces:
    """
    Says when to come back.

    @ivar ended: how many parts have their verdict since ever.
    """

    _clock: IClock
    _random: Random
    _journal: Journal
    _ended: Callable[[], int]
    _jobs: Pace = field(factory=Pace, init=False)
    _disk: Pace = field(factory=Pace, init=False)
    _queues: dict[str, Pace] = field(factory=dict, init=False)

    def queue(self, service: Service, parts: int) -> float:
        """
        In how many seconds a queue has room for some parts.
        """
        pace = self._queues.pop(service.name, None) or Pace()
        self._queues[service.name] = pace
        if len(self._queues) > 1000:
            del self._queues[next(iter(self._queues))]
        return self._spread(pace.turn(self._clock.monotonic(), service.taken, parts))

    def jobs(self) -> float:
        """
        In how many seconds a client has one job less.
        """
        return self._spread(self._jobs.turn(self._clock.monotonic(), self._ended(), 1))

    def disk(self) -> float:
        """
        In how many seconds the disk has caught up.
        """
        now = self._clock.monotonic()
        return self._spread(self._disk.turn(now, self._journal.stored, _CHANGES))

    def outage(self) -> float:
        """
        In how many seconds something that does not work now may work.
        """
        return self._spread(OUTAGE)

    def mark(self, error: Exception) -> None:
        """
        Let a refusal say when to come back, if it does not yet.
        """
        if isinstance(error, Busy) and error.retry_after is None:
            error.retry_after = self._spread(UNKNOWN)

    def _spread(self, seconds: float) -> float:
        chosen = seconds * self._random.uniform(0.75, 1.25)
        return round(min(max(chosen, LEAST), MOST), 3)
