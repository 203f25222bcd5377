# -*- test-case-name: tests.agent.test_outbox -*-
"""
One attempt that an agent holds: from its delivery until the broker has
acknowledged what became of it and its function has returned.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from attrs import define
from msgspec import Raw

from jobroute.interfaces import Delivery

#: What names an attempt: its part and its number.
Key = tuple[int, int]


class Stage(Enum):
    """
    Where an attempt is in its life.
    """

    #: Prefetched: there was no free slot yet.
    WAITING = "waiting"
    #: Its function runs.
    RUNNING = "running"
    #: The final reply is said, and the function still runs.
    STOPPED = "stopped"
    #: The final reply is said, and waits for its acknowledgement.
    DONE = "done"


@define
class Partial:
    """
    A partial result that is not acknowledged.
    """

    sequence: int
    frames: list[bytes]
    size: int


@define(eq=False)
class Attempt:
    """
    One attempt.

    @ivar delivery: what the broker gave.
    @ivar late: whether the work began later than the delivery.
    @ivar cancelled: whether the broker asked to stop it.
    @ivar dropped: whether the broker does not want to hear of it any more.
    @ivar unfreed: whether the broker was told that its slot is not free.
    @ivar sequence: the number of the latest partial result.
    @ivar partials: those not acknowledged, in order.
    @ivar sent: how many of them were sent.
    @ivar final: the final reply, once there is one and until it is
        acknowledged.
    @ivar size: how many bytes the final reply has.
    @ivar said: whether it was sent.
    @ivar progress: the latest progress, if it was not sent.
    @ivar progressed: when progress was sent.
    @ivar queued: whether it waits to be sent.
    @ivar level: how often it was sent again.
    @ivar timed: the level under which its timer is, or -1.
    @ivar again: when it is to be sent again.
    """

    delivery: Delivery
    stage: Stage = Stage.WAITING
    late: bool = False
    cancelled: bool = False
    dropped: bool = False
    unfreed: bool = False
    sequence: int = 0
    partials: deque[Partial] | None = None
    sent: int = 0
    final: list[bytes] | None = None
    size: int = 0
    said: bool = False
    progress: Raw | None = None
    progressed: float = float("-inf")
    queued: bool = False
    level: int = 0
    timed: int = -1
    again: float = 0.0

    @property
    def key(self) -> Key:
        """
        What names it.
        """
        return (self.delivery.part, self.delivery.attempt)
