# -*- test-case-name: tests.broker.test_journal -*-
"""
Store first, tell after.

A transition changes memory, appends its changes here, and parks its effects;
they are released, in order, when everything that was appended before them is
on disk.  So nobody is ever shown a state that a crash can take back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from jobroute.log import Logger
from jobroute.model import Change


@define(eq=False, repr=False)
class Journal:
    """
    @ivar position: how many changes were appended in this epoch.
    @ivar stored: how many of them are on disk.
    @ivar ended: nothing is written or released any more.
    """

    _log = Logger()

    _write: Callable[[int, Sequence[Change]], None]
    position: int = field(default=0, init=False)
    stored: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    _changes: list[Change] = field(factory=list, init=False)
    _effects: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = field(
        factory=deque, init=False
    )

    @property
    def backlog(self) -> int:
        """
        How many changes are not on disk yet.
        """
        return self.position - self.stored

    def append(self, change: Change) -> None:
        """
        Note a change; it is written with the next L{flush}.
        """
        self._changes.append(change)
        self.position += 1

    def park(self, effect: Callable[..., object], *arguments: Any) -> None:
        """
        Call C{effect} when all that was appended until now is on disk: at
        once if it is.
        """
        if self.ended:
            return
        if self.stored == self.position and not self._effects:
            self._release(effect, arguments)
        else:
            self._effects.append((self.position, effect, arguments))

    def flush(self) -> None:
        """
        Hand what was appended to the storage.
        """
        if self._changes:
            changes, self._changes = self._changes, []
            if not self.ended:
                self._write(self.position, changes)

    def committed(self, position: int) -> None:
        """
        The storage says that everything up to this position is on disk.
        """
        self.stored = max(self.stored, position)
        while self._effects and self._effects[0][0] <= self.stored:
            _, effect, arguments = self._effects.popleft()
            self._release(effect, arguments)
        self.flush()

    def end(self) -> None:
        """
        There is nobody left to tell: write what was handed over, and nothing
        that would follow from it.
        """
        self.ended = True
        self._effects.clear()

    def _release(self, effect: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            effect(*arguments)
        except Exception:
            # One effect that fails must not hold back all that follow.
            self._log.failure("An effect failed after its commit.")
