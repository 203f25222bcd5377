# -*- test-case-name: tests.broker.test_numbers -*-
"""
Numbers that are never used again, whatever crashes.
"""

from __future__ import annotations

from attrs import define, field

from jobroute.broker.journal import Journal
from jobroute.errors import StorageUnavailable
from jobroute.model import NumbersTaken

#: How many numbers are taken from the store at a time.
BLOCK = 100_000


@define(eq=False, repr=False)
class Numbers:
    """
    Takes blocks of numbers from the store, and gives none out before its
    block is on disk.

    @ivar next: the number that is given out next.
    """

    _journal: Journal
    next: int = field(default=0, init=False)
    _granted: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)

    def begin(self, first: int) -> None:
        """
        Give out numbers from here on, once the store has granted them.
        """
        self.next = self._granted = self._asked = first
        self.reserve()

    def reserve(self) -> None:
        """
        Ask the store for another block.
        """
        self._asked += BLOCK
        self._journal.append(NumbersTaken(self._asked))
        self._journal.park(self._grant, self._asked)

    def _grant(self, limit: int) -> None:
        self._granted = limit

    def take(self) -> int:
        """
        One number.

        @raise StorageUnavailable: if there is none left on disk.
        """
        number = self.next
        if number >= self._granted:
            raise StorageUnavailable("The storage does not keep up; try again later.")
        self.next = number + 1
        if self._asked - number < BLOCK // 2:
            self.reserve()
        return number

    def require(self, count: int) -> None:
        """
        Make sure that the next C{count} numbers can be taken.

        @raise StorageUnavailable: if they cannot.
        """
        while self._asked - self.next < count:
            self.reserve()
        if self._granted - self.next < count:
            raise StorageUnavailable("The storage does not keep up; try again later.")
