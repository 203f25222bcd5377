"""
What a test knows of the agents that it plays: when each spoke, and what it holds.

Where the broker may choose the moment, as with leases, these are bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf

from attrs import define, field

from jobroute.model import Announcement, ReplyKind, Verdict

#: Seconds between two beats, until an agent is lost, until one is that did not
#: come back after a restart, and until a newcomer is forgotten.
INTERVAL, LEASE, GRACE, REGISTRATION = 2.0, 10.0, 30.0, 10.0

#: With what an attempt is over that an agent ends; one that it stopped is lost,
#: unless a client asked for that.
OUTCOMES = {
    ReplyKind.RESULT: Verdict.SUCCEEDED,
    ReplyKind.FAILURE: Verdict.FAILED,
    ReplyKind.REFUSED: Verdict.REFUSED,
    ReplyKind.LOST: Verdict.LOST,
    ReplyKind.CANCELLED: Verdict.LOST,
}

Key = tuple[int, int]


@define
class Slot:
    """
    What an attempt takes.

    @ivar renewed: when its agent was given it, or said last that it holds it.
    @ivar doubtful: whether the broker may have found out that its agent does
        not hold it; it does until it was sent.
    """

    renewed: float
    doubtful: bool = True


@define
class Agent:
    """
    One incarnation.

    @ivar left: whether it took leave.
    @ivar comes: until when it may wait for its name, which another one has.
    @ivar suspect: whether it said nothing since the broker was restarted.
    """

    who: Announcement
    heard: float
    left: bool = False
    comes: float = -inf
    suspect: bool = False
    draining: bool = False
    held: dict[Key, Slot] = field(factory=dict)

    # -- What happens

    def announce(self, now: float) -> None:
        """
        It wants to be an agent.
        """
        self.left, self.comes = False, now + REGISTRATION

    def leave(self) -> None:
        """
        It takes leave, or does not want to come any more.
        """
        self.left, self.comes = True, -inf

    def begin(self, now: float, suspect: bool = False) -> None:
        """
        The broker knows it from now on, or again.
        """
        self.heard, self.suspect, self.held = now, suspect, {}
        self.left, self.draining, self.comes = False, False, -inf

    def hear(self, now: float) -> None:
        """
        It says something.
        """
        self.heard, self.suspect = now, False

    def beat(self, named: Collection[Key], now: float) -> None:
        """
        It says what it holds.
        """
        self.hear(now)
        for key, slot in self.held.items():
            if key in named:
                slot.renewed = now
            else:
                slot.doubtful = True

    def give(self, key: Key, now: float) -> None:
        """
        It is given an attempt.
        """
        self.held[key] = Slot(now)

    def sent(self, key: Key) -> None:
        """
        It has what it was given.
        """
        if key in self.held:
            self.held[key].doubtful = False

    def give_back(self, key: Key, sure: bool) -> None:
        """
        It does not hold an attempt any more, and the broker knows that.

        @param sure: not if the broker may still overlook it.
        """
        if sure:
            self.held.pop(key, None)
        elif key in self.held:
            self.held[key].doubtful = True

    def tick(self, now: float) -> None:
        """
        Time has passed.
        """
        for key, slot in self.held.items():
            slot.doubtful = slot.doubtful or self.lapsed(key, now)

    # -- What the broker may make of it

    def lapsed(self, key: Key, now: float) -> bool:
        """
        Whether the lease of an attempt may be over.
        """
        return key in self.held and now >= self.held[key].renewed + LEASE

    def doubts(self, key: Key) -> bool:
        """
        Whether it may have said that it does not hold an attempt.
        """
        return key in self.held and self.held[key].doubtful

    def may_go(self, now: float, others: Iterable[Agent]) -> bool:
        """
        Whether the broker may lose it now: it must, or others want its name
        and it does not say that it is there.
        """
        same = [a for a in others if a is not self and a.who.name == self.who.name]
        rivals = [a for a in same if a.comes >= now]
        return self.must_go(now) or (bool(rivals) and now >= self.heard + INTERVAL)

    def must_go(self, now: float) -> bool:
        """
        Whether it was silent for too long.
        """
        return self.left or now >= self.heard + (GRACE if self.suspect else LEASE)

    @property
    def open(self) -> bool:
        """
        Whether it takes parts at all.
        """
        return not (self.suspect or self.draining)

    @property
    def idle(self) -> bool:
        """
        Whether it certainly has a slot.
        """
        return len(self.held) < self.who.slots
