# -*- test-case-name: tests.protocols.test_backend -*-
"""
What is said between broker and agents: C{doc/protocol.rst}, "Messages on the
backend".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from jobroute.config import Limits
from jobroute.errors import BadMessage, TransportError
from jobroute.interfaces import Delivery, IAgentRoute, IAgents
from jobroute.model import Advice, Frames, Held, ReplyKind
from jobroute.protocols.base import SocketProtocol
from jobroute.protocols.turns import Turns
from jobroute.wire.backend import (
    AgentMessage,
    decode_agent_message,
    encode_broker_message,
    encode_delivery,
)

#: Refusals that may be over soon.
PASSING = frozenset({"busy", "stopping", "storage-unavailable"})

#: Seconds that an acknowledgement may wait for a message to go with.
ACKNOWLEDGE = 0.05

_KINDS = {
    kind.value: kind
    for kind in (
        ReplyKind.STARTED,
        ReplyKind.PROGRESS,
        ReplyKind.PARTIAL,
        ReplyKind.RESULT,
        ReplyKind.FAILURE,
        ReplyKind.REFUSED,
        ReplyKind.LOST,
        ReplyKind.CANCELLED,
    )
}


@implementer(IAgentRoute)
@define(eq=False, repr=False)
class AgentRoute:
    """
    The way to one incarnation: its identity on the ROUTER.
    """

    _backend: BackendProtocol
    identity: str
    address: bytes
    agent: Any = None
    acknowledged: list[Sequence[int]] = field(factory=list, init=False)

    def ping(self, nonce: str) -> bool:
        """
        See L{IAgentRoute.ping}.
        """
        return self._say("ping", nonce=nonce)

    def welcome(
        self, number: int, epoch: int, interval: float, liveness: int, held: Sequence[Held]
    ) -> None:
        """
        See L{IAgentRoute.welcome}.
        """
        self._say(
            "welcome",
            number=number,
            epoch=epoch,
            interval=interval,
            liveness=liveness,
            held=[(h.part, h.attempt) for h in held],
            grace=self._backend.grace,
        )

    def refuse(self, code: str, text: str) -> None:
        """
        See L{IAgentRoute.refuse}.
        """
        if code in PASSING:
            self._say("refuse", code=code, error=text, after=self._backend.turns.take())
        else:
            self._say("refuse", code=code, error=text)

    def reregister(self) -> None:
        """
        See L{IAgentRoute.reregister}.
        """
        self._say("reregister", epoch=self._backend.epoch, wait=self._backend.turns.take())

    def pong(self) -> None:
        """
        Answer a beat that asked for it.
        """
        self._say("pong", epoch=self._backend.epoch)

    def deliver(self, delivery: Delivery) -> bool:
        """
        See L{IAgentRoute.deliver}.
        """
        acknowledged, self.acknowledged = self.acknowledged, []
        if self._backend.send(encode_delivery(self.address, delivery, acknowledged)):
            return True
        self.acknowledged = acknowledged
        return False

    def cancel(self, part: int, attempt: int) -> None:
        """
        See L{IAgentRoute.cancel}.
        """
        self._say("cancel", part=part, attempt=attempt)

    def input(self, part: int, attempt: int, payload: Frames) -> None:
        """
        See L{IAgentRoute.input}.
        """
        self._say("input", payload, part=part, attempt=attempt)

    def acknowledge(self, part: int, attempt: int, sequence: int = 0) -> None:
        """
        See L{IAgentRoute.acknowledge}.
        """
        self.acknowledged.append((part, attempt, sequence) if sequence else (part, attempt))
        self._backend.acknowledge_soon(self)

    def flush(self) -> None:
        """
        Send the acknowledgements that nothing took along.
        """
        if self.acknowledged:
            acknowledged, self.acknowledged = self.acknowledged, []
            # If this does not arrive, the agent says it again and so do we.
            self._say("ack", attempts=acknowledged)

    def farewell(self) -> None:
        """
        See L{IAgentRoute.farewell}.
        """
        self.flush()
        self._say("farewell", wait=self._backend.farewell_wait)

    def close(self) -> None:
        """
        See L{IAgentRoute.close}.
        """
        self._backend.forget(self)

    def _say(self, message: str, payload: Frames = (), **members: Any) -> bool:
        return self._backend.send(encode_broker_message(self.address, message, payload, **members))


@define(eq=False, repr=False)
class BackendProtocol(SocketProtocol):
    """
    The ROUTER that agents speak to.

    @ivar agents: who is told what they say.
    @ivar epoch: this life of the broker.
    @ivar farewell_wait: how long agents are told to wait when it stops.
    @ivar grace: how long they may take to come back after a restart.
    @ivar turns: when agents that it does not know may announce themselves.
    """

    _clock: IReactorTime
    _limits: Limits
    _counters: dict[str, int]
    farewell_wait: float = 1.0
    grace: float = 30.0
    turns: Turns = field(init=False)
    agents: IAgents = field(default=None, init=False)
    epoch: int = field(default=0, init=False)
    _routes: dict[bytes, AgentRoute] = field(factory=dict, init=False)
    _owing: dict[AgentRoute, None] = field(factory=dict, init=False)
    _flush: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.turns = Turns(self._clock.seconds)

    def route(self, incarnation: str) -> AgentRoute:
        """
        The route of an incarnation, connected or not.
        """
        address = incarnation.encode("ascii")
        route = self._routes.get(address)
        if route is None:
            route = self._routes[address] = AgentRoute(self, incarnation, address)
        return route

    def forget(self, route: AgentRoute) -> None:
        """
        A route is not needed any more.
        """
        route.flush()
        self._owing.pop(route, None)
        if self._routes.get(route.address) is route:
            del self._routes[route.address]

    def send(self, frames: Sequence[bytes]) -> bool:
        """
        Send to an agent, which may be away.

        @return: whether it could be sent.
        """
        if self.transport is None:
            return False
        try:
            self.transport.send(frames)
        except TransportError:
            self._counters["agent_sends_failed"] += 1
            return False
        return True

    def acknowledge_soon(self, route: AgentRoute) -> None:
        """
        Let a route's acknowledgements go with its next delivery, or by
        themselves if there is none soon.
        """
        if self.transport is None:
            # When the socket is closed, what was written last may still be committed.
            route.acknowledged.clear()
            return
        self._owing[route] = None
        if self._flush is None:
            self._flush = self._clock.callLater(ACKNOWLEDGE, self._flush_all)

    def _flush_all(self) -> None:
        self._flush = None
        owing, self._owing = self._owing, {}
        for route in owing:
            route.flush()

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        An agent says something.
        """
        if not frames:
            # Cannot come from a ROUTER, and nobody could be told.
            self._counters["agent_messages_malformed"] += 1
            return
        address = frames[0]
        route = self._routes.get(address)
        try:
            message = decode_agent_message(frames[1:], self._limits)
        except BadMessage as e:
            self._counters["agent_messages_malformed"] += 1
            self.send(encode_broker_message(address, "error", code=e.code, error=str(e)))
            return
        if route is None:
            self._counters["strangers"] += 1
            wait = self.turns.take()
            self.send(encode_broker_message(address, "reregister", epoch=self.epoch, wait=wait))
            return
        kind = _KINDS.get(message.message)
        if kind is None:
            self._other(route, message)
            return
        value: Any = message.reason
        sequence = message.partials
        if kind is ReplyKind.PARTIAL:
            sequence = message.sequence
        elif kind is ReplyKind.PROGRESS:
            value = message.value
        elif kind is ReplyKind.CANCELLED:
            value = message.running
        advice = None
        if not message.retry or message.retry_after is not None:
            advice = Advice(message.retry, message.retry_after)
        self.agents.replied(
            route, message.part, message.attempt, kind, value, sequence, message.payload, advice
        )

    def _other(self, route: AgentRoute, message: AgentMessage) -> None:
        match message.message:
            case "beat":
                self.agents.beat(route, [Held(*pair) for pair in message.held])
                if message.answer and route.agent is not None:
                    route.pong()
            case "pong":
                self.agents.ponged(route, message.nonce, [Held(*pair) for pair in message.held])
            case "released":
                self.agents.released(route, message.part, message.attempt)
            case "drain":
                self.agents.draining(route)
            case "unregister":
                self.agents.unregistered(route)

    def connectionLost(self, reason: Any) -> None:
        """
        The socket is closed.
        """
        super().connectionLost(reason)
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
