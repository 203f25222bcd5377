# -*- test-case-name: tests.agent.test_pauses -*-
"""
Pauses that grow, with jitter.
"""

from __future__ import annotations

from random import Random

from attrs import define, field


@define
class Pauses:
    """
    Each pause is longer than the one before, up to a limit, and no two
    agents make the same ones: so that a broker that comes back is not run
    over.

    @ivar first: the shortest, in seconds.
    @ivar most: the longest.
    """

    _random: Random
    first: float
    most: float
    factor: float = 1.7
    _next: float = field(default=0.0, init=False)

    def next(self) -> float:
        """
        How long to pause now.
        """
        pause = max(self.first, self._next)
        self._next = min(self.most, pause * self.factor)
        return pause * self._random.uniform(0.75, 1.25)

    def reset(self) -> None:
        """
        Begin with the shortest again.
        """
        self._next = 0.0
