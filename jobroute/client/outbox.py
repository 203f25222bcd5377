# -*- test-case-name: tests.client.test_core -*-
"""
What a client has not sent yet.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

#: Seconds until a socket that would take nothing is tried again.
PAUSE = 0.02


@define(eq=False)
class Outbox:
    """
    Messages in order, each with the number of the request that it is for, or
    L{None} if it has to be sent whoever waits.

    @ivar size: its bytes.
    @ivar blocked: when to try again, if the socket would take nothing.
    """

    size: int = field(default=0, init=False)
    blocked: float | None = field(default=None, init=False)
    _messages: deque[tuple[int | None, list[bytes]]] = field(factory=deque, init=False)
    _ids: set[int] = field(factory=set, init=False)

    def __bool__(self) -> bool:
        """
        Whether there is something to send.
        """
        return bool(self._messages)

    def put(self, id: int | None, frames: list[bytes]) -> None:
        """
        Send this after all that is there.
        """
        self._messages.append((id, frames))
        self.size += sum(map(len, frames))
        if id is not None:
            self._ids.add(id)

    def holds(self, id: int) -> bool:
        """
        Whether the message of a request was not sent yet.
        """
        return id in self._ids

    def first(self) -> tuple[int | None, list[bytes]] | None:
        """
        What is to be sent next.
        """
        return self._messages[0] if self._messages else None

    def drop(self) -> None:
        """
        The first one was sent, or is not needed any more.
        """
        id, frames = self._messages.popleft()
        self.size -= sum(map(len, frames))
        self.blocked = None
        if id is not None:
            self._ids.discard(id)
