# -*- test-case-name: tests.broker.test_answered -*-
"""
Outcomes that are remembered for a while after they were told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from attrs import define, field

from jobroute.model import Frames


@define(eq=False, repr=False)
class _Outcome:
    outcome: dict[str, Any]
    frames: Frames
    size: int
    until: float


@define(eq=False, repr=False)
class Answered:
    """
    The latest outcomes, bounded in number, bytes and time.

    @ivar keep: for how many seconds one is remembered.
    @ivar most: how many are.
    @ivar most_bytes: how many bytes of results.
    """

    keep: float = 60.0
    most: int = 10_000
    most_bytes: int = 16 * 1024 * 1024
    _outcomes: OrderedDict[Hashable, _Outcome] = field(factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)

    def get(self, key: Hashable) -> tuple[dict[str, Any], Frames] | None:
        """
        The outcome and the result frames, if they are remembered.
        """
        found = self._outcomes.get(key)
        return None if found is None else (found.outcome, found.frames)

    def put(self, key: Hashable, outcome: dict[str, Any], frames: Frames, now: float) -> None:
        """
        Remember an outcome.
        """
        before = self._outcomes.pop(key, None)
        if before is not None:
            self._size -= before.size
        size = sum(map(len, frames))
        if size > self.most_bytes:
            return
        self._outcomes[key] = _Outcome(outcome, frames, size, now + self.keep)
        self._size += size
        while self._size > self.most_bytes or len(self._outcomes) > self.most:
            self._drop()

    def purge(self, now: float) -> None:
        """
        Forget what nobody asked for in time.
        """
        while self._outcomes and next(iter(self._outcomes.values())).until <= now:
            self._drop()

    def __len__(self) -> int:
        return len(self._outcomes)

    def _drop(self) -> None:
        _, outcome = self._outcomes.popitem(last=False)
        self._size -= outcome.size
