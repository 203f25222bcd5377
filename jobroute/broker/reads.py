# -*- test-case-name: tests.broker.test_reads -*-
"""
Requests that wait for the store to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred

from jobroute.config import Limits
from jobroute.errors import Busy


@define(eq=False, repr=False)
class Reads:
    """
    Counts them, and says when it is enough: the store reads a few at a time,
    and all others wait in memory.
    """

    _limits: Limits
    _pending: int = field(default=0, init=False)

    def begin(self, read: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Call C{read}, which gives a Deferred or is a coroutine.

        @raise Busy: if too many are under way.
        """
        if self._pending >= self._limits.reads:
            raise Busy(f"{self._pending} requests read the storage; try again later.")
        self._pending += 1
        return maybeDeferred(read, *arguments).addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self._pending -= 1
        return result

    def __len__(self) -> int:
        return self._pending
