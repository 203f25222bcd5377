# -*- test-case-name: tests.broker.test_waiting -*-
"""
Parts that wait one behind the other: a million of them, at a few bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from jobroute.broker.parts import Part

#: For how many more there is room at the front, at least.
_ROOM = 16


@define(eq=False, repr=False)
class Waiting:
    """
    A queue from whose middle one can go away as well.  Everything costs the
    same however many wait, seen over many of them.

    The parts stand in a list behind a gap, which grows when the first is
    taken out.  One that goes away elsewhere keeps its place until it comes to
    the front, or until half of the places are such.
    """

    _parts: list[Part | None] = field(factory=list, init=False)
    _first: int = field(default=0, init=False)
    _gone: set[Part | None] | None = field(default=None, init=False)

    def push(self, part: Part, first: bool = False) -> None:
        """
        Let a part wait, as the last or as the first.
        """
        if self._gone and part in self._gone:
            self._tidy()
        if not first:
            self._parts.append(part)
            return
        if not self._first:
            self._first = max(_ROOM, len(self._parts) // 8)
            self._parts[:0] = [None] * self._first
        self._first -= 1
        self._parts[self._first] = part

    def head(self) -> Part:
        """
        The one that waits in front.
        """
        part = self._parts[self._first]
        assert part is not None
        return part

    def pop(self) -> Part:
        """
        Take out the one that waits in front.
        """
        part = self.head()
        self._parts[self._first] = None
        self._first += 1
        gone = self._gone
        while gone and self._first < len(self._parts) and self._parts[self._first] in gone:
            gone.discard(self.head())
            self._parts[self._first] = None
            self._first += 1
        if self._first > _ROOM and 2 * self._first > len(self._parts):
            del self._parts[: self._first]
            self._first = 0
        return part

    def remove(self, part: Part) -> None:
        """
        Take out one that waits here.
        """
        if self.head() is part:
            self.pop()
            return
        if self._parts[-1] is part:
            self._parts.pop()
            while self._gone and (last := self._parts[-1]) in self._gone:
                # The first is none of them.
                self._gone.discard(last)
                self._parts.pop()
            return
        if self._gone is None:
            self._gone = set()
        self._gone.add(part)
        if len(self._gone) > _ROOM and 2 * len(self._gone) > len(self._parts) - self._first:
            self._tidy()

    def _tidy(self) -> None:
        self._parts = list(self)
        self._first, self._gone = 0, None

    def __bool__(self) -> bool:
        return self._first < len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        for place in range(self._first, len(self._parts)):
            part = self._parts[place]
            if part is not None and not (self._gone and part in self._gone):
                yield part
