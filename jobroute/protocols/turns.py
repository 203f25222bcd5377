# -*- test-case-name: tests.protocols.test_turns -*-
"""
When each of very many may come: so that all of them do, and no two at once.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

#: How many agents are asked to come back in a second.
RATE = 1000.0

#: Nobody is told to wait for more seconds than this.
MOST = 60.0


@define(eq=False)
class Turns:
    """
    Gives away moments, one after the other.

    @ivar rate: how many there are in a second.
    """

    _seconds: Callable[[], float]
    rate: float = RATE
    _next: float = field(default=0.0, init=False)

    def take(self) -> float:
        """
        For how many seconds the next one has to wait.
        """
        now = self._seconds()
        if not now <= self._next <= now + MOST:
            # Nobody came for a while, or too many; or the clock was set.
            self._next = now
        wait = self._next - now
        self._next += 1 / self.rate
        return round(wait, 3)
