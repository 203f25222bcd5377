# -*- test-case-name: tests.client.test_core -*-
"""
Whether the broker lives, and whether it is still the same one.
"""

from __future__ import annotations

from attrs import define, field

from jobroute.client.reading import read_epoch
from jobroute.wire.native import Answer

#: Seconds between two of ZeroMQ's own heartbeats: without them a connection
#: that died in silence is never made anew.
HEARTBEAT = 2.0

#: Seconds between two pings while something is under way.
INTERVAL = 2.0

#: Intervals until the next ping, by how many are not answered.
_SPACING = (1, 1, 2, 4)


@define(eq=False)
class Pulse:
    """
    The pings of one client.

    Silence is counted from the first ping that was sent after the broker was
    last heard: while nobody asks, nobody is silent.

    @ivar timeout: for how long the broker may be silent.
    @ivar epoch: the broker's, once it is known.
    @ivar count: how many pings were sent.
    @ivar asked: when the first one since the broker was heard was sent.
    """

    timeout: float
    epoch: int | None = field(default=None, init=False)
    count: int = field(default=0, init=False)
    asked: float | None = field(default=None, init=False)
    heard: float = field(default=0.0, init=False)
    _last: float | None = field(default=None, init=False)
    _looked: float = field(default=0.0, init=False)
    _unanswered: dict[int, int] = field(factory=dict, init=False)

    @property
    def interval(self) -> float:
        """
        Seconds between two pings.
        """
        return min(INTERVAL, self.timeout / 4)

    def began(self, now: float) -> None:
        """
        Something is under way, after nothing was.
        """
        self._looked = now

    def looked(self, now: float) -> None:
        """
        All that had come was read.
        """
        if self.asked is not None and now - self._looked > 5 * self.interval + 1:
            # This process slept or did something else; the broker is not to blame.
            self.asked = now
        self._looked = now

    def came(self, now: float) -> None:
        """
        A message came.
        """
        self.heard = now
        self.asked = None

    def silent(self, now: float) -> float:
        """
        For how many seconds the broker has owed an answer.
        """
        return 0.0 if self.asked is None else now - self.asked

    def next(self) -> float:
        """
        When the next ping is due.
        """
        if self._last is None:
            return float("-inf")
        return self._last + self.interval * _SPACING[min(len(self._unanswered), 3)]

    def pinged(self, id: int, now: float) -> None:
        """
        A ping was sent.
        """
        self.count += 1
        self._unanswered[id] = self.count
        self._last = now
        if self.asked is None:
            self.asked = now

    def waits_for(self, id: int | None) -> bool:
        """
        Whether this is a ping that is not answered.
        """
        return id in self._unanswered

    def answered(self, answer: Answer) -> tuple[int, bool, bool]:
        """
        A ping was answered.

        @return: which one it was; whether the broker was started anew since
            the one before; whether messages sent before it may be lost.
        @raise BadMessage: if the answer makes no sense.
        """
        assert answer.id is not None
        which = self._unanswered[answer.id]
        before = [id for id, number in self._unanswered.items() if number <= which]
        for id in before:
            del self._unanswered[id]
        if answer.error is not None:
            # It lives, which is all that is known.
            return which, False, False
        epoch = read_epoch(answer.result)
        restarted = self.epoch is not None and epoch != self.epoch
        self.epoch = epoch
        return which, restarted, len(before) > 1
