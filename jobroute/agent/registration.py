# -*- test-case-name: tests.agent.test_registration -*-
"""
Whether the broker knows the agent, and what is said when, so that it does.

An agent is C{absent} until it is welcome, then C{ready}; C{away} is the
broker when nothing was heard of it for too long.  An agent that was welcome
goes on beating then: a broker that was restarted knows it and answers, or
says C{reregister}.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from random import Random
from typing import Protocol

from attrs import define, field

from jobroute.agent.pauses import Pauses

#: Refusals that may be over soon.
PASSING = frozenset({"busy", "stopping", "storage-unavailable"})

#: The longest pause in seconds, if the broker's grace allows it.
_LONGEST = 30.0

#: The refusal that is over when an earlier incarnation is found to be dead.
NAME_TAKEN = "name-taken"

#: What only an agent that the broker knows is told.
_KNOWN = frozenset({"pong", "deliver", "cancel", "input", "ack"})


class State(Enum):
    """
    How agent and broker stand to each other.
    """

    ABSENT = "absent"
    READY = "ready"
    AWAY = "away"
    LEFT = "left"


class Voice(Protocol):
    """
    What a registration can do.
    """

    def announce(self) -> bool:
        """
        Say on the register socket who we are.

        @return: whether it could be sent.
        """

    def beat(self, answer: bool) -> bool:
        """
        Say that we live, and what we hold.

        @param answer: whether the broker is to answer.
        @return: whether it could be sent.
        """

    def seek(self) -> None:
        """
        The broker is away, and may be somewhere else: ask the frontend.
        """


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


@define(eq=False)
class Registration:
    """
    The way to be an agent, and to stay one.

    @ivar patience: for how many seconds a name that another living agent
        has is asked for again.
    @ivar state: how we stand.
    @ivar number: our number, 0 before the first welcome.
    @ivar epoch: the broker's, 0 before the first welcome.
    @ivar interval: seconds between two beats.
    @ivar liveness: after how many silent intervals one is lost.
    @ivar heard: when the broker was heard.
    @ivar listening: whether the broker's own beats can be heard.
    @ivar longest: no pause is longer, in seconds.
    """

    _voice: Voice
    _random: Random
    patience: float = 30.0
    state: State = field(default=State.ABSENT, init=False)
    number: int = field(default=0, init=False)
    epoch: int = field(default=0, init=False)
    interval: float = field(default=2.0, init=False)
    liveness: int = field(default=5, init=False)
    heard: float = field(default=0.0, init=False)
    listening: bool = field(default=False, init=False)
    longest: float = field(default=_LONGEST, init=False)
    _announce_at: float = field(default=inf, init=False)
    _beat_at: float = field(default=inf, init=False)
    _taken: float | None = field(default=None, init=False)
    # The epoch whose call was followed, and whether the broker said when.
    _called: int = field(default=0, init=False)
    _told: bool = field(default=False, init=False)
    # Until the connection is there nothing can be sent, and that costs nothing.
    _unsent: Pauses = field(init=False)
    _unanswered: Pauses = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unsent = Pauses(self._random, 0.02, 1.0)
        self._unanswered = Pauses(self._random, 1.0, _LONGEST)

    @property
    def silence_limit(self) -> float:
        """
        After how many seconds without a word the other side is away.
        """
        return self.interval * self.liveness

    @property
    def deadline(self) -> float:
        """
        When L{due} has something to do.
        """
        if self.state is State.LEFT:
            return inf
        if self.state is State.READY:
            return min(self._beat_at, self.heard + self.silence_limit)
        return min(self._announce_at, self._beat_at)

    def start(self, now: float) -> None:
        """
        Announce ourselves.
        """
        self.heard = now
        self._absent(now)
        self.due(now)

    def leave(self) -> None:
        """
        Say nothing more.
        """
        self.state = State.LEFT
        self._announce_at = self._beat_at = inf

    # -- What the broker says

    def spoke(self, kind: str, now: float) -> bool:
        """
        The broker said something.

        @return: whether that means that it is back, and knows us.
        """
        self.heard = now
        if self.state is State.AWAY:
            back = kind in _KNOWN
        else:
            # It was restarted, and gave us work before we announced ourselves.
            back = self.state is State.ABSENT and kind == "deliver" and self.number > 0
        if back:
            self._ready()
            self._beat_at = now
        return back

    def welcome(
        self,
        number: int,
        epoch: int,
        interval: float,
        liveness: int,
        now: float,
        grace: float = 0.0,
    ) -> bool:
        """
        We are an agent.

        @param grace: how long the broker waits for us after a restart; 0 if
            it did not say.
        @return: whether the broker needs to hear everything again: the epoch
            is another, or it had not known us.
        """
        fresh = self.state is not State.READY or epoch != self.epoch
        self.number = number
        self.epoch = epoch
        self.interval = _within(interval, 0.05, 3600.0)
        self.liveness = int(_within(liveness, 2, 1000))
        self._taken = None
        # Several times while it waits for us.
        self.longest = _within(grace / 4 if grace > 0 else _LONGEST, 0.05, _LONGEST)
        self._unanswered.most = self.longest
        self._unanswered.first = min(1.0, self.longest)
        self._ready()
        # What it thinks that we hold may be wrong: say at once what we do.
        self._beat_at = now
        return fresh

    def refused(self, code: str, now: float, after: float = 0.0) -> bool:
        """
        We are not taken.

        @param after: for how many seconds we are to wait.
        @return: whether there is no hope.
        """
        if code == NAME_TAKEN:
            if self._taken is None:
                self._taken = now
            hope = now - self._taken < self.patience
        else:
            hope = code in PASSING
        if not hope:
            self.leave()
            return True
        self.state = State.ABSENT
        self._beat_at = inf
        pause = self._unanswered.next()
        if code == NAME_TAKEN:
            pause = min(pause, max(self.patience / 10, 0.05))
        elif after > 0:
            pause = max(pause, _within(after, 0.0, 3600.0) * self._random.uniform(1.0, 1.2))
            self._told = True
        self._announce_at = now + pause
        return False

    def unknown(self, now: float, wait: float = 0.0) -> None:
        """
        The broker does not know us.

        @param wait: for how many seconds we are to wait.
        """
        # Several messages of ours may be answered so: announce once.
        if self.state is not State.ABSENT:
            self._absent(now)
            self._told = True
            self._announce_at = now + _within(wait, 0.0, 3600.0)

    def farewell(self, wait: float, now: float) -> None:
        """
        The broker stops, and wants to be left alone for a while.
        """
        self._absent(now)
        self._announce_at = now + _within(wait, 0.0, 3600.0) * self._random.uniform(0.8, 1.2)

    def epoch_seen(self, epoch: int) -> bool:
        """
        The broker named its epoch.

        @return: whether it is another than before, so that everything is to
            be said again.
        """
        if epoch == self.epoch or self.state in (State.ABSENT, State.LEFT):
            return False
        self.epoch = epoch
        return True

    def beat_heard(self, epoch: int, now: float, spread: float = 0.0) -> None:
        """
        The broker's heartbeat came.  It is an announcement only: ask it.

        @param spread: within how many seconds it wants all to come back; we
            choose a moment, once in its epoch.
        """
        self.listening = True
        spread = _within(spread, 0.0, self.longest)
        if epoch != self.epoch and self.state in (State.READY, State.AWAY):
            if epoch != self._called:
                self._beat_at = now + (self._random.uniform(0.0, spread) if spread else 0.0)
            # Make that beat ask for an answer.
            self.heard = min(self.heard, now - self.interval * 3)
        elif self._calls(epoch):
            # It was away, and is back sooner than we would have looked.
            when = now + (self._random.uniform(0.0, spread) if spread else 0.0)
            self._announce_at = min(self._announce_at, when)
        elif self.state is State.AWAY:
            self._beat_at = min(self._beat_at, now)
        self._called = epoch

    def _calls(self, epoch: int) -> bool:
        """
        Whether a beat is of a broker that came back and said nothing to us
        yet.
        """
        absent = self.state is State.ABSENT and self.number > 0 and not self._told
        return absent and epoch not in (self.epoch, self._called)

    def found(self, now: float) -> None:
        """
        The broker's sockets were found, and are connected anew: it is a
        moment for a word.
        """
        if self.state in (State.ABSENT, State.AWAY):
            self._unsent.reset()
            # Look for it again only if it is silent for as long once more.
            self.heard = max(self.heard, now - self.silence_limit + self.interval)
            self._announce_at = min(self._announce_at, now)
            self.due(now)

    # -- Time

    def due(self, now: float) -> bool:
        """
        Announce, beat, look for the broker.

        @return: whether the broker has just been found to be away.
        """
        away = False
        if self.state is State.READY and now >= self.heard + self.silence_limit:
            self.state = State.AWAY
            self._unanswered.reset()
            self._announce_at = now
            away = True
        if self.state in (State.ABSENT, State.AWAY) and now >= self._announce_at:
            pauses = self._unanswered if self._voice.announce() else self._unsent
            self._announce_at = now + pauses.next()
            if now >= self.heard + self.silence_limit:
                self._voice.seek()
        if self.state in (State.READY, State.AWAY) and now >= self._beat_at:
            answer = now - self.heard >= self.interval * self._ask
            sent = self._voice.beat(answer)
            self._beat_at = now + self.interval * (
                self._random.uniform(0.75, 0.95) if sent else 0.25
            )
        return away

    @property
    def _ask(self) -> float:
        """
        After how many silent intervals a beat asks for an answer: early
        enough for several of them before the broker counts as away.
        """
        if self.state is State.AWAY or self.liveness < 4:
            return 0.0
        return 2.0 if self.listening else 0.9

    def _absent(self, now: float) -> None:
        self.state = State.ABSENT
        self._told = False
        self._unsent.reset()
        self._unanswered.reset()
        self._announce_at = now
        self._beat_at = inf

    def _ready(self) -> None:
        self.state = State.READY
        self._announce_at = inf
        self._told = False
        self._unsent.reset()
        self._unanswered.reset()
