# -*- test-case-name: tests.agent.test_core -*-
"""
What an agent knows and says, with no socket, thread, clock or Deferred.

Messages come in through L{AgentCore.received}, the functions' outcomes
through L{jobroute.agent.workload.Workload.finished}; what has to be done
goes out through an L{Outlet}.  The rules are those of C{doc/protocol.rst}.
"""

from __future__ import annotations

from random import Random

from attrs import define, field

from jobroute.agent.outbox import MIB, Outbox
from jobroute.agent.outlet import Outlet
from jobroute.agent.registration import Registration, State
from jobroute.agent.workload import Workload
from jobroute.log import Logger
from jobroute.model import Announcement
from jobroute.wire.backend import BrokerMessage, encode_agent_message

#: Larger numbers are no numbers of a broker's.
_LARGEST = 2**62


@define(eq=False)
class AgentCore:
    """
    The state of one incarnation.

    @ivar announcement: who it is and what it offers.
    @ivar stop_when_away: whether work is stopped when the broker has been
        away for so long that the leases are over.
    @ivar registration: how it stands to the broker.
    @ivar outbox: what is not acknowledged.
    @ivar work: what it holds.
    @ivar draining: whether it wants nothing more.
    """

    _log = Logger()

    announcement: Announcement
    _outlet: Outlet
    _random: Random
    patience: float = 30.0
    max_entries: int = 10_000
    max_bytes: int = 1024 * MIB
    stop_when_away: bool = False
    registration: Registration = field(init=False)
    outbox: Outbox = field(init=False)
    work: Workload = field(init=False)
    draining: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.registration = Registration(self, self._random, self.patience)
        self.outbox = Outbox(self._outlet.send, self.max_entries, self.max_bytes)
        self.work = Workload(self.announcement, self._outlet, self.outbox)

    @property
    def deadline(self) -> float:
        """
        When L{due} has something to do.
        """
        return min(self.registration.deadline, self.outbox.deadline)

    # -- Life

    def start(self, now: float) -> None:
        """
        Begin to be an agent.
        """
        self.registration.start(now)

    def drain(self, now: float) -> None:
        """
        Take nothing new.
        """
        self.draining = True
        if self.registration.state is State.READY:
            self.outbox.say(encode_agent_message("drain"), now)

    def leave(self) -> None:
        """
        Take leave, if the broker is there to hear it, and say nothing more.
        """
        if self.registration.state is State.READY:
            self._outlet.send(encode_agent_message("unregister"))
        self.registration.leave()
        self.outbox.open = False

    def due(self, now: float) -> None:
        """
        Do what is due.
        """
        if self.registration.due(now):
            self.outbox.open = False
            if self.stop_when_away:
                self.work.paused = True
                self.work.stop_all("The broker was away for too long.", now)
        self.outbox.due(now)
        self.work.fill(now)

    # -- The registration's voice

    def announce(self) -> bool:
        """
        See L{Outlet.announce}.
        """
        return self._outlet.announce()

    def seek(self) -> None:
        """
        See L{Outlet.seek}.
        """
        self._outlet.seek()

    def beat(self, answer: bool) -> bool:
        """
        Say that we live, and what we hold.
        """
        if self.draining:
            # Said with each beat, since nobody acknowledges it.
            self._outlet.send(encode_agent_message("drain"))
        held = self.work.held
        if answer:
            return self._outlet.send(encode_agent_message("beat", held=held, answer=True))
        return self._outlet.send(encode_agent_message("beat", held=held))

    # -- From the broker

    def beat_heard(self, epoch: int, now: float, spread: float = 0.0) -> None:
        """
        The broker's heartbeat came.
        """
        self.registration.beat_heard(epoch, now, spread)
        self.due(now)

    def received(self, message: BrokerMessage, now: float) -> None:
        """
        The broker said something, whatever it is.
        """
        registration = self.registration
        if registration.state is State.LEFT:
            return
        kind = message.message
        again = registration.spoke(kind, now)
        if kind == "pong" and registration.epoch_seen(message.epoch):
            self.work.lose_memory()
            again = True
        if again:
            self._resume(now)
        if message.ack:
            self.work.acknowledged(message.ack, now)
        key = (message.part, message.attempt)
        sane = 1 <= key[0] <= _LARGEST and 1 <= key[1] <= _LARGEST
        match kind:
            case "deliver" if sane:
                self.work.delivered(message, now)
            case "ack":
                self.work.acknowledged(message.attempts, now)
            case "cancel" if sane:
                self.work.cancel(key, now)
            case "input":
                self.work.input(key, message.payload)
            case "ping":
                nonce = message.nonce[:64]
                self._outlet.send(encode_agent_message("pong", nonce=nonce, held=self.work.held))
            case "pong":
                pass
            case "error":
                self._log.error(
                    "The broker could not read a message of ours: {reason}",
                    reason=message.error[:1000],
                )
            case "welcome":
                self._welcome(message, now)
            case "refuse":
                self.outbox.open = False
                if registration.refused(message.code, now, message.after):
                    self._outlet.refused(message.code, message.error)
            case "reregister":
                self.outbox.open = False
                self.work.lose_memory()
                registration.unknown(now, message.wait)
                registration.due(now)
            case "farewell":
                self.outbox.open = False
                registration.farewell(message.wait, now)
            case _:
                self._log.debug("The broker said {kind!r}, which says nothing.", kind=kind[:64])

    def _welcome(self, message: BrokerMessage, now: float) -> None:
        registration = self.registration
        if message.epoch != registration.epoch:
            self.work.lose_memory()
        if registration.welcome(
            message.number,
            message.epoch,
            message.interval,
            message.liveness,
            now,
            message.grace,
        ):
            self.outbox.pause = max(2 * registration.interval, 0.5)
            self._resume(now)
            if self.draining:
                self.outbox.say(encode_agent_message("drain"), now)
            self._outlet.registered()
        registration.due(now)

    def _resume(self, now: float) -> None:
        self.work.paused = False
        self.outbox.resume(self.work.attempts, now)
