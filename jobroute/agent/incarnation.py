# -*- test-case-name: tests.agent.test_incarnation -*-
"""
One life of an agent: the sockets, the timer and the functions around one
L{AgentCore}.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from jobroute.agent.attempts import Attempt, Stage
from jobroute.agent.core import AgentCore
from jobroute.agent.discovery import Discovery
from jobroute.agent.functions import Function
from jobroute.agent.performer import Performer, Pool
from jobroute.agent.protocols import (
    AgentProtocol,
    BackendFactory,
    HeartbeatFactory,
    RegisterFactory,
)
from jobroute.agent.registration import State
from jobroute.config import Limits
from jobroute.errors import Busy, Cancelled, RegistrationRefused
from jobroute.interfaces import (
    IClock,
    IMessageFactory,
    IMessageProtocol,
    INetwork,
    SocketKind,
    SocketOptions,
)
from jobroute.log import Logger
from jobroute.model import Advice, Announcement, Frames
from jobroute.wire.backend import BEAT, Beat, BrokerMessage, encode_announcement

#: Partial results that may wait for room, of all functions together.
MAX_BLOCKED = 10_000

#: A timer that is late by more seconds was set by a clock that was set back.
_LATE = 1.0

#: Seconds that the timer rests after a bug.
_REST = 1.0


@define
class _Blocked:
    attempt: Attempt
    payload: Frames
    deferred: Deferred[None]


@define(eq=False)
class Incarnation:
    """
    The outlet of a core.

    @ivar core: what it knows.
    @ivar endpoints: where the broker's sockets were found.
    """

    _log = Logger()

    _announcement: Announcement
    _url: str
    _network: INetwork
    _reactor: Any
    _clock: IClock
    _random: Random
    _functions: dict[str, Function]
    _pool: Pool
    _limits: Limits
    _on_registered: Callable[[], None]
    _on_refused: Callable[[Failure], None]
    _on_change: Callable[[], None]
    _patience: float = 30.0
    _max_entries: int = 10_000
    _max_bytes: int = 1024 * 1024 * 1024
    _stop_when_away: bool = False
    core: AgentCore = field(init=False)
    endpoints: dict[str, str] = field(factory=dict, init=False)
    _performer: Performer = field(init=False)
    _sockets: dict[str, AgentProtocol] = field(factory=dict, init=False)
    _discovery: Discovery | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _timer_at: float = field(default=0.0, init=False)
    _blocked: deque[_Blocked] = field(factory=deque, init=False)
    _started: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.core = AgentCore(
            self._announcement,
            self,
            self._random,
            self._patience,
            self._max_entries,
            self._max_bytes,
            self._stop_when_away,
        )
        self._performer = Performer(
            self._functions, self._reactor, self._pool, self, self._finished, self._limits
        )

    # -- Life

    def open(self) -> None:
        """
        Look for the broker, and become an agent.
        """
        self.seek()

    def drain(self) -> None:
        """
        Take nothing new.
        """
        self.core.drain(self._clock.monotonic())
        self._changed()

    def close(self) -> None:
        """
        Take leave, stop what still works, and close the sockets.  May be
        called again.
        """
        if self._closed:
            return
        self.core.leave()
        self._closed = True
        self._performer.cancel_all()
        while self._blocked:
            self._blocked.popleft().deferred.errback(Cancelled("The agent has stopped."))
        if self._discovery is not None:
            self._discovery.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._disconnect()

    # -- The core's outlet

    def announce(self) -> bool:
        """
        Say who we are.
        """
        return self._send("register", encode_announcement(self._announcement))

    def send(self, frames: list[bytes]) -> bool:
        """
        Send on the backend.
        """
        return self._send("backend", frames)

    def seek(self) -> None:
        """
        Ask the frontend where the broker's sockets are.
        """
        if self._discovery is None and not self._closed:
            self._discovery = Discovery(
                self._network,
                self._url,
                self._reactor,
                self._random,
                self._found,
                self._lost,
                self.core.registration.longest,
            )
            self._discovery.start()

    def start(self, attempt: Attempt) -> None:
        """
        Begin to work.
        """
        self._performer.start(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """
        Stop working.
        """
        self._performer.cancel(attempt)
        for blocked in [b for b in self._blocked if b.attempt is attempt]:
            self._blocked.remove(blocked)
            blocked.deferred.errback(Cancelled("The part was cancelled."))

    def input(self, attempt: Attempt, payload: Frames) -> None:
        """
        Give an input to the work.
        """
        self._performer.input(attempt, payload)

    def registered(self) -> None:
        """
        The broker has taken us.
        """
        self._log.info(
            "Agent {agent} is number {number} of the broker's epoch {epoch}.",
            agent=self._announcement.name,
            number=self.core.registration.number,
            epoch=self.core.registration.epoch,
        )
        self._on_registered()

    def refused(self, code: str, text: str) -> None:
        """
        It does not take us.
        """
        self._on_refused(Failure(RegistrationRefused(f"{text[:1000]} ({code[:64]})")))

    # -- The functions' host

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        A function got so far.
        """
        self.core.work.progress(attempt, value, self._clock.monotonic())
        self._changed()

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        A function has a partial result.
        """
        if attempt.stage is not Stage.RUNNING or self._closed:
            return fail(Cancelled("The part was cancelled."))
        if not self._blocked and self.core.outbox.fits(sum(map(len, payload))):
            self.core.work.partial(attempt, payload, self._clock.monotonic())
            self._changed()
            return succeed(None)
        if len(self._blocked) >= MAX_BLOCKED:
            return fail(Busy("Wait for the Deferreds of partial() before you hand in more."))
        blocked = _Blocked(attempt, payload, Deferred(self._give_up))
        self._blocked.append(blocked)
        return blocked.deferred

    def _give_up(self, deferred: Deferred[None]) -> None:
        self._blocked = deque(b for b in self._blocked if b.deferred is not deferred)

    def _finished(
        self,
        attempt: Attempt,
        kind: str,
        payload: Frames,
        reason: str,
        advice: Advice | None = None,
    ) -> None:
        self.core.work.finished(attempt, kind, payload, reason, self._clock.monotonic(), advice)
        self._changed()

    # -- Sockets

    def _send(self, name: str, frames: list[bytes]) -> bool:
        protocol = self._sockets.get(name)
        return protocol is not None and protocol.send(frames)

    def _found(self, endpoints: dict[str, str]) -> None:
        self._discovery = None
        if self._closed or self.core.registration.state is State.READY:
            return
        if self._started:
            self._log.info("The broker answers again; its sockets are connected anew.")
        self.endpoints = endpoints
        self._disconnect()
        self._connect(SocketKind.DEALER, "backend", BackendFactory(self._received))
        self._connect(SocketKind.PUSH, "register", RegisterFactory())
        if endpoints.get("heartbeat"):
            self._connect(SocketKind.SUB, "heartbeat", HeartbeatFactory(self._heard))
        self.core.registration.listening = bool(endpoints.get("heartbeat"))
        now = self._clock.monotonic()
        if not self._started:
            self._started = True
            self.core.start(now)
        else:
            self.core.registration.found(now)
        self._changed()

    def _lost(self, failure: Failure) -> None:
        self._discovery = None
        self._on_refused(failure)

    def _connect(self, kind: SocketKind, name: str, factory: IMessageFactory) -> None:
        backend = kind is SocketKind.DEALER
        options = SocketOptions(
            identity=self._announcement.incarnation.encode("ascii") if backend else b"",
            linger=0.5 if backend else 0.0,
            immediate=kind is not SocketKind.SUB,
            heartbeat=2.0,
            max_message=2 * self._limits.message,
            subscriptions=(BEAT,) if kind is SocketKind.SUB else (),
        )

        def opened(protocol: IMessageProtocol) -> None:
            assert isinstance(protocol, AgentProtocol)
            if self._closed:
                protocol.close()
            else:
                self._sockets[name] = protocol

        def failed(failure: Failure) -> None:
            self._log.error(
                "The broker's {name} at {url} cannot be connected: {reason}",
                name=name,
                url=self.endpoints[name],
                reason=failure.getErrorMessage(),
            )

        try:
            endpoint = self._network.endpoint(kind, self.endpoints[name], options)
        except Exception:
            failed(Failure())
            return
        endpoint.connect(factory).addCallbacks(opened, failed)

    def _disconnect(self) -> None:
        sockets, self._sockets = self._sockets, {}
        for protocol in sockets.values():
            protocol.close()

    def _received(self, message: BrokerMessage) -> None:
        if not self._closed:
            self.core.received(message, self._clock.monotonic())
            self._changed()

    def _heard(self, beat: Beat) -> None:
        if not self._closed:
            self.core.beat_heard(beat.epoch, self._clock.monotonic(), beat.spread)
            self._changed()

    # -- Time

    def _changed(self) -> None:
        """
        After everything that may have changed the core.
        """
        while self._blocked:
            blocked = self._blocked[0]
            over = blocked.attempt.stage is not Stage.RUNNING
            if not over and not self.core.outbox.fits(sum(map(len, blocked.payload))):
                break
            self._blocked.popleft()
            if over:
                blocked.deferred.errback(Cancelled("The part is over."))
            else:
                now = self._clock.monotonic()
                self.core.work.partial(blocked.attempt, blocked.payload, now)
                blocked.deferred.callback(None)
        self._wind()
        self._on_change()

    def _wind(self, least: float = 0.001) -> None:
        when = self.core.deadline
        timer = self._timer
        if self._closed or when == float("inf"):
            return
        if timer is not None and timer.active():
            late = self._clock.monotonic() - self._timer_at > _LATE
            if self._timer_at <= when and not late:
                return
            timer.cancel()
        delay = min(max(when - self._clock.monotonic(), least), 3600.0)
        self._timer_at = when
        self._timer = self._reactor.callLater(delay, self._tick)

    def _tick(self) -> None:
        try:
            self.core.due(self._clock.monotonic())
            self._changed()
        except Exception:
            self._log.failure("The agent's timer met a bug, and goes on.")
            self._wind(_REST)
