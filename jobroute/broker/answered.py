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

#: Roughly what one entry, and one part in it, takes beside its texts.
_ENTRY = 512


@define(eq=False, repr=False)
class _Outcome:
    outcome: dict[str, Any]
    frames: Frames
    until: float
    size: int = 0

    def __attrs_post_init__(self) -> None:
        said = sum(_ENTRY + len(part.get("reason") or "") for part in self.outcome.get("parts", ()))
        self.size = _ENTRY + said + sum(map(len, self.frames))

    def without(self) -> _Outcome:
        """
        The same without its result, and saying so.
        """
        parts = [
            {**part, "frames": 0, "omitted": True} if part["frames"] else part
            for part in self.outcome.get("parts", ())
        ]
        return _Outcome({**self.outcome, "parts": parts}, (), self.until)


@define(eq=False, repr=False)
class Answered:
    """
    The latest outcomes, bounded in number, bytes and time.

    @ivar keep: for how many seconds one is remembered.
    @ivar most: how many are.
    @ivar most_bytes: how many bytes they take, roughly.
    @ivar omit: results that are too large are left out of their outcome,
        which stays; else such an outcome is not remembered at all.
    """

    keep: float = 60.0
    most: int = 10_000
    most_bytes: int = 16 * 1024 * 1024
    omit: bool = False
    _outcomes: OrderedDict[Hashable, _Outcome] = field(factory=OrderedDict, init=False)
    # Those that have frames, the oldest first.
    _whole: OrderedDict[Hashable, None] = field(factory=OrderedDict, init=False)
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
        self._drop(key)
        entry = _Outcome(outcome, frames, now + self.keep)
        if entry.size > self.most_bytes:
            # It would cost all others their place.
            if not self.omit:
                return
            entry = entry.without()
        self._set(key, entry)
        if self.omit:
            while self._size > self.most_bytes and self._whole:
                self._leave_out(next(iter(self._whole)))
        while self._size > self.most_bytes or len(self._outcomes) > self.most:
            self._drop(next(iter(self._outcomes)))

    def purge(self, now: float) -> None:
        """
        Forget what nobody asked for in time.
        """
        while self._outcomes:
            key, entry = next(iter(self._outcomes.items()))
            if entry.until > now:
                return
            self._drop(key)

    def __len__(self) -> int:
        return len(self._outcomes)

    def _set(self, key: Hashable, entry: _Outcome) -> None:
        self._outcomes[key] = entry
        self._size += entry.size
        if entry.frames:
            self._whole[key] = None

    def _leave_out(self, key: Hashable) -> None:
        entry = self._outcomes[key]
        # Its place among the others stays as it is.
        self._size -= entry.size
        del self._whole[key]
        self._set(key, entry.without())

    def _drop(self, key: Hashable) -> None:
        entry = self._outcomes.pop(key, None)
        if entry is not None:
            self._whole.pop(key, None)
            self._size -= entry.size
