# -*- test-case-name: tests.agent.test_inputs -*-
"""
What clients send to a running part.
"""

from __future__ import annotations

from collections import deque
from threading import Condition

from twisted.internet.defer import Deferred, fail, succeed

from jobroute.errors import Cancelled
from jobroute.model import Frames

#: So many inputs, and bytes of them, wait for a function; more are dropped.
MAX_INPUTS = 1_000
MAX_BYTES = 64 * 1024 * 1024


class Inputs:
    """
    The inputs of one attempt, in order; each is a tuple of frames.

    A coroutine says C{async for frames in context.inputs}, or awaits L{get};
    a function in a thread calls L{wait}.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._items: deque[Frames] = deque()
        self._bytes = 0
        self._waiting: deque[Deferred[Frames]] = deque()
        self._closed = False

    def put(self, frames: Frames) -> bool:
        """
        An input came; called in the reactor.

        @return: whether there was room for it.
        """
        if self._waiting:
            self._waiting.popleft().callback(frames)
            return True
        size = sum(map(len, frames))
        with self._changed:
            if self._closed or len(self._items) >= MAX_INPUTS or self._bytes + size > MAX_BYTES:
                return False
            self._items.append(frames)
            self._bytes += size
            self._changed.notify()
        return True

    def close(self) -> None:
        """
        There will be no more; who waits is told with
        L{jobroute.errors.Cancelled}.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while self._waiting:
            self._waiting.popleft().errback(Cancelled("The part was cancelled."))

    def get(self) -> Deferred[Frames]:
        """
        The next input, for who works in the reactor.
        """
        with self._changed:
            if self._items:
                return succeed(self._take())
            if self._closed:
                return fail(Cancelled("The part was cancelled."))
        deferred: Deferred[Frames] = Deferred(self._waiting.remove)
        self._waiting.append(deferred)
        return deferred

    def wait(self, timeout: float | None = None) -> Frames:
        """
        The next input, for who works in a thread: blocks until it is there.

        @raise TimeoutError: if it did not come within so many seconds.
        @raise jobroute.errors.Cancelled: if the part is cancelled.
        """
        with self._changed:
            there = self._changed.wait_for(lambda: self._items or self._closed, timeout)
            if self._items:
                return self._take()
            if there:
                raise Cancelled("The part was cancelled.")
            raise TimeoutError(f"No input came within {timeout} seconds.")

    def _take(self) -> Frames:
        frames = self._items.popleft()
        self._bytes -= sum(map(len, frames))
        return frames

    def __aiter__(self) -> Inputs:
        return self

    async def __anext__(self) -> Frames:
        return await self.get()
