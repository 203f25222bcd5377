# -*- test-case-name: tests.zeromq.test_memory -*-
"""
The connections of the in-memory network.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Protocol

from attrs import define, field

from jobroute.zeromq.timeline import MOMENT, Timeline


class End(Protocol):
    """
    A socket, as its links see it.
    """

    paused: bool

    def deliver(self, frames: list[bytes], pipe: Pipe) -> None:
        """
        A message came.
        """

    def unlinked(self, link: Link, rescued: list[list[bytes]]) -> None:
        """
        A link is over.

        @param rescued: what had not left this end yet.
        """

    @property
    def keeps(self) -> bool:
        """
        Whether what has not left yet survives the connection.
        """

    @property
    def silence(self) -> float:
        """
        After how many seconds without a sign of life it gives a link up; 0
        for never.
        """


@define
class Conditions:
    """
    How well messages travel.

    @ivar delay: the shortest and the longest time that a message takes.
    @ivar duplicate: how probable it is that a message comes twice.
    """

    timeline: Timeline
    random: Random
    delay: tuple[float, float]
    duplicate: float = 0.0

    def arrival(self) -> float:
        """
        When something that leaves now arrives.
        """
        least, most = self.delay
        now = self.timeline.now()
        return now if most <= 0 else now + least + (most - least) * self.random.random()


@define(eq=False)
class Pipe:
    """
    One direction of a link; a message that is quicker than those before it
    waits for them.

    @ivar identity: the name of the source, for a ROUTER at the target.
    @ivar ignored: the target does not listen.
    @ivar gone: the target has left; messages are lost.
    """

    link: Link
    target: End
    limit: int
    conditions: Conditions
    identity: bytes = b""
    ignored: bool = False
    gone: bool = False
    _queue: deque[tuple[float, list[bytes] | None]] = field(factory=deque, init=False)
    _waiting: bool = field(default=False, init=False)

    @property
    def full(self) -> bool:
        """
        Whether both high-water marks are reached.
        """
        return len(self._queue) >= self.limit

    def put(self, frames: list[bytes] | None) -> None:
        """
        Send a message, or L{None} for the end of the connection.
        """
        conditions = self.conditions
        due = conditions.arrival()
        self._queue.append((due, frames))
        if conditions.duplicate and frames and conditions.random.random() < conditions.duplicate:
            self._queue.append((due, list(frames)))
        if not self._waiting and not self.gone:
            self._waiting = True
            conditions.timeline.schedule(due, self._flush)

    def flush_soon(self) -> None:
        """
        What kept messages back is over.
        """
        if self._queue and not self._waiting and not self.gone:
            self._waiting = True
            due = max(self._queue[0][0], self.conditions.timeline.now())
            self.conditions.timeline.schedule(due, self._flush)

    def cut(self, keep: int) -> None:
        """
        Lose all messages but the first.
        """
        while len(self._queue) > keep:
            self._queue.pop()

    def lose(self) -> int:
        """
        How many messages a crash leaves in the pipe, as the seed says.
        """
        return self.conditions.random.randint(0, len(self._queue))

    def rescue(self) -> list[list[bytes]]:
        """
        Take out what had not left the source yet, as the seed says.
        """
        kept = [frames for _, frames in self._queue if frames is not None]
        self._queue.clear()
        return kept[self.conditions.random.randint(0, len(kept)) :] if kept else kept

    def _flush(self) -> None:
        self._waiting = False
        timeline = self.conditions.timeline
        now = timeline.now() + MOMENT
        queue, target, link = self._queue, self.target, self.link
        while queue and not (self.gone or link.blocked or target.paused):
            due, frames = queue[0]
            if due > now:
                self._waiting = True
                timeline.schedule(due, self._flush)
                return
            queue.popleft()
            if frames is None:
                link.ended(target)
            else:
                target.deliver(frames, self)


class Link:
    """
    A connection of two sockets.

    @ivar connector: the end that connected.
    @ivar listener: the end that was bound.
    @ivar forward: from the connector to the listener.
    @ivar backward: the other way.
    @ivar blocked: nothing moves, and nobody was told.
    """

    def __init__(self, connector: End, listener: End, limit: int, conditions: Conditions) -> None:
        self.connector = connector
        self.listener = listener
        self.forward = Pipe(self, listener, limit, conditions)
        self.backward = Pipe(self, connector, limit, conditions)
        self.blocked = False
        self._conditions = conditions
        self._dead = False
        # How often it was blocked.
        self._blocks = 0

    def outgoing(self, end: End) -> Pipe:
        """
        The pipe from an end.
        """
        return self.forward if end is self.connector else self.backward

    def incoming(self, end: End) -> Pipe:
        """
        The pipe to an end.
        """
        return self.backward if end is self.connector else self.forward

    def leave(self, end: End, keep: int | None = None) -> None:
        """
        An end goes; the other hears of it after what was sent before.

        @param keep: how many of the messages on their way still arrive; all
            by default.
        """
        self.incoming(end).gone = True
        out = self.outgoing(end)
        if out.gone:
            return
        if keep is not None:
            out.cut(keep)
        out.put(None)

    def drop(self, end: End) -> None:
        """
        An end gives the link up, but stays itself.
        """
        rescued = self.outgoing(end).rescue() if end.keeps else []
        self.leave(end, 0)
        end.unlinked(self, rescued)

    def ended(self, end: End) -> None:
        """
        An end hears that the other has gone.
        """
        self.incoming(end).gone = True
        rescued = self.outgoing(end).rescue() if end.keeps else []
        end.unlinked(self, rescued)

    def block(self, blocked: bool) -> None:
        """
        Nothing moves any more, or everything again.
        """
        blocked = blocked or self._dead
        if blocked == self.blocked:
            return
        self.blocked = blocked
        if blocked:
            self._blocks += 1
            self._watch(self.connector)
            self._watch(self.listener)
        else:
            self.forward.flush_soon()
            self.backward.flush_soon()

    def kill(self) -> None:
        """
        Nothing moves ever again.
        """
        self._dead = True
        self.block(True)

    def _watch(self, end: End) -> None:
        blocks = self._blocks

        def silent() -> None:
            if self.blocked and self._blocks == blocks and not self.incoming(end).gone:
                self.drop(end)

        if end.silence:
            timeline = self._conditions.timeline
            timeline.schedule(timeline.now() + end.silence, silent)
