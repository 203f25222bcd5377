"""
What the tests of agents share.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from zope.interface import implementer

from jobroute.agent.attempts import Attempt, Key
from jobroute.agent.core import AgentCore
from jobroute.config import Limits
from jobroute.interfaces import IClock
from jobroute.model import Advice, Announcement, Frames
from jobroute.wire.backend import (
    AgentMessage,
    BrokerMessage,
    decode_agent_message,
    decode_broker_message,
)

LIMITS = Limits()

INCARNATION = "0123456789abcdef" * 2


@implementer(IClock)
@define(eq=False)
class ReactorClock:
    """
    Both clocks of a test are that of its reactor.
    """

    reactor: Clock

    def monotonic(self) -> float:
        """
        What the reactor says.
        """
        return float(self.reactor.seconds())

    wall = monotonic


def announcement(slots: int = 2, prefetch: int = 0) -> Announcement:
    """
    What the agent of a test says of itself.
    """
    return Announcement(
        name="a1",
        incarnation=INCARNATION,
        services=("echo", "sleep"),
        slots=slots,
        prefetch=prefetch,
    )


def say(message: str, payload: Frames = (), **members: Any) -> BrokerMessage:
    """
    Something that a broker says.
    """
    text = json.dumps({"message": message, **members}, separators=(",", ":"))
    return decode_broker_message([text.encode("utf-8"), *payload])


@define(eq=False)
class Recorder:
    """
    An outlet that remembers, and loses what cannot be sent.

    @ivar connected: whether sockets take messages.
    @ivar sent: what was sent on the backend.
    @ivar on_start: called with each attempt that is started.
    @ivar on_cancel: called with each attempt that is cancelled.
    """

    connected: bool = True
    announced: int = 0
    sought: int = 0
    welcomes: int = 0
    sent: list[AgentMessage] = field(factory=list)
    started: list[Attempt] = field(factory=list)
    cancelled: list[Attempt] = field(factory=list)
    inputs: list[tuple[Key, Frames]] = field(factory=list)
    refusals: list[tuple[str, str]] = field(factory=list)
    on_start: Callable[[Attempt], None] | None = None
    on_cancel: Callable[[Attempt], None] | None = None

    def announce(self) -> bool:
        """
        Count it.
        """
        self.announced += self.connected
        return self.connected

    def send(self, frames: list[bytes]) -> bool:
        """
        Decode it as a broker would.
        """
        if self.connected:
            self.sent.append(decode_agent_message(list(frames), LIMITS))
        return self.connected

    def seek(self) -> None:
        """
        Count it.
        """
        self.sought += 1

    def start(self, attempt: Attempt) -> None:
        """
        Remember it.
        """
        self.started.append(attempt)
        if self.on_start is not None:
            self.on_start(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """
        Remember it.
        """
        self.cancelled.append(attempt)
        if self.on_cancel is not None:
            self.on_cancel(attempt)

    def input(self, attempt: Attempt, payload: Frames) -> None:
        """
        Remember it.
        """
        self.inputs.append((attempt.key, payload))

    def registered(self) -> None:
        """
        Count it.
        """
        self.welcomes += 1

    def refused(self, code: str, text: str) -> None:
        """
        Remember it.
        """
        self.refusals.append((code, text))

    def take(self, *kinds: str) -> list[AgentMessage]:
        """
        What was sent, of these kinds or of all but beats; forgets it all.
        """
        sent, self.sent = self.sent, []
        return [m for m in sent if (m.message in kinds if kinds else m.message != "beat")]

    def said(self) -> list[str]:
        """
        The same, only which messages.
        """
        return [m.message for m in self.take()]


@define(eq=False)
class Bench:
    """
    A core on its own, with its outlet and its time.
    """

    slots: int = 2
    prefetch: int = 0
    options: dict[str, Any] = field(factory=dict)
    now: float = 100.0
    outlet: Recorder = field(factory=Recorder)
    core: AgentCore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.core = AgentCore(
            announcement(self.slots, self.prefetch), self.outlet, Random(1), **self.options
        )

    def hear(self, message: str, payload: Frames = (), **members: Any) -> None:
        """
        The broker says something.
        """
        self.core.received(say(message, payload, **members), self.now)

    def welcome(self, epoch: int = 3, interval: float = 2.0, liveness: int = 5) -> None:
        """
        The agent is taken.
        """
        self.hear("welcome", number=7, epoch=epoch, interval=interval, liveness=liveness)

    def ready(self) -> None:
        """
        The agent starts and is taken; what it said for that is forgotten.
        """
        self.core.start(self.now)
        self.welcome()
        self.outlet.sent.clear()

    def deliver(self, part: int, attempt: int = 1, **members: Any) -> None:
        """
        The broker gives an attempt.
        """
        members = {"job": f"j{part}", "service": "echo", **members}
        self.hear("deliver", (b"payload",), part=part, attempt=attempt, **members)

    def finish(
        self, index: int = -1, kind: str = "result", reason: str = "", advice: Advice | None = None
    ) -> None:
        """
        A function that was started comes to its end.
        """
        attempt = self.outlet.started[index]
        payload = (b"done",) if kind == "result" else ()
        self.core.work.finished(attempt, kind, payload, reason, self.now, advice)

    def ack(self, *entries: list[int]) -> None:
        """
        The broker acknowledges.
        """
        self.hear("ack", attempts=list(entries))

    def advance(self, seconds: float, hear: bool = True) -> None:
        """
        Let time pass, as a timer does that is never late.

        @param hear: whether the broker answers each beat that asks.
        """
        end = self.now + seconds
        while (when := self.core.deadline) <= end:
            self.now = max(self.now + 0.001, when)
            before = len(self.outlet.sent)
            self.core.due(self.now)
            if hear and any(m.answer for m in self.outlet.sent[before:]):
                self.hear("pong", epoch=self.core.registration.epoch)
        self.now = max(self.now, end)
