# -*- test-case-name: tests.zeromq.test_memory -*-
"""
The sockets of the in-memory network, which route as libzmq's do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.errors import Congested, NoSuchPeer, NotConnected, TransportError
from jobroute.interfaces import (
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
    SocketOptions,
)
from jobroute.log import Logger
from jobroute.zeromq.addresses import Address
from jobroute.zeromq.links import Link, Pipe

_PARTNERS = {
    SocketKind.ROUTER: (SocketKind.ROUTER, SocketKind.DEALER),
    SocketKind.DEALER: (SocketKind.ROUTER, SocketKind.DEALER),
    SocketKind.PUSH: (SocketKind.PULL,),
    SocketKind.PULL: (SocketKind.PUSH,),
    SocketKind.PUB: (SocketKind.SUB,),
    SocketKind.SUB: (SocketKind.PUB,),
}

_QUEUED = (SocketKind.DEALER, SocketKind.PUSH)


class Surroundings(Protocol):
    """
    The network, as its sockets see it.
    """

    delivered: int

    def seek(self, socket: MemorySocket, again: bool) -> None:
        """
        Connect a socket as soon as somebody listens.

        @param again: it was connected before.
        """

    def forget(self, socket: MemorySocket) -> None:
        """
        A socket was closed.
        """


@implementer(IMessageTransport)
@define(eq=False)
class MemorySocket:
    """
    A socket.

    @ivar remote: the address to which it connects, L{None} if it is bound.
    @ivar host: the name of the host that it is on.
    @ivar identity: by which a ROUTER knows it.
    @ivar paused: it reads nothing.
    @ivar closed: it is no more.
    """

    _log = Logger()

    kind: SocketKind
    options: SocketOptions
    host: str
    identity: bytes
    remote: Address | None
    _network: Surroundings
    _random: Random
    paused: bool = True
    closed: bool = False
    name: str = field(default="", init=False)
    links: dict[Link, None] = field(factory=dict, init=False)
    _protocol: IMessageProtocol | None = field(default=None, init=False)
    _received: Callable[[list[bytes]], None] | None = field(default=None, init=False)
    _peers: dict[bytes, Pipe] = field(factory=dict, init=False)
    _outgoing: list[Pipe] = field(factory=list, init=False)
    _turn: int = field(default=0, init=False)
    _unsent: deque[list[bytes]] = field(factory=deque, init=False)
    _route: Callable[[list[bytes]], None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._route = {
            SocketKind.ROUTER: self._to_peer,
            SocketKind.DEALER: self._to_next,
            SocketKind.PUSH: self._to_next,
            SocketKind.PUB: self._to_subscribers,
        }.get(self.kind, self._to_nobody)

    # -- Its life ------------------------------------------------------------

    def build(self, factory: IMessageFactory, address: str) -> IMessageProtocol:
        """
        Make the protocol.
        """
        self.name = f"{self.kind.value} {address}"
        protocol = factory.buildProtocol(address)
        self._protocol = protocol
        self._received = protocol.messageReceived
        protocol.makeConnection(self)
        return protocol

    def resume(self) -> None:
        """
        Read what comes.
        """
        if self.paused and not self.closed:
            self.paused = False
            for link in self.links:
                link.incoming(self).flush_soon()

    def pause(self) -> None:
        """
        Read nothing more.
        """
        self.paused = True

    def loseConnection(self) -> None:
        """
        Close it; what was sent before still arrives.
        """
        if self.closed:
            return
        protocol = self._protocol
        self._vanish(self.options.linger <= 0)
        if protocol is not None:
            try:
                protocol.connectionLost(Failure(ConnectionDone()))
            except Exception:
                self._log.failure("{name} failed to hear of its end.", name=self.name)

    def crash(self) -> None:
        """
        It is no more, and its protocol does not hear of it.
        """
        if not self.closed:
            self._vanish(True)

    def _vanish(self, losing: bool) -> None:
        self.closed = self.paused = True
        self._protocol = self._received = None
        for link in self.links:
            link.leave(self, link.outgoing(self).lose() if losing else None)
        self.links.clear()
        self._peers.clear()
        self._outgoing.clear()
        self._unsent.clear()
        self._network.forget(self)

    # -- Its links -----------------------------------------------------------

    @property
    def keeps(self) -> bool:
        """
        Whether what has not left yet survives the connection.
        """
        return (
            self.remote is not None
            and not self.closed
            and not self.options.immediate
            and self.kind in _QUEUED
        )

    @property
    def silence(self) -> float:
        """
        How long it bears a silent link: an interval and two for the answer.
        """
        return 3 * self.options.heartbeat

    def fits(self, other: MemorySocket) -> bool:
        """
        Whether the two kinds speak with each other.
        """
        return other.kind in _PARTNERS[self.kind]

    def linked(self, link: Link, other: MemorySocket) -> None:
        """
        It is connected with another socket.
        """
        self.links[link] = None
        out, into = link.outgoing(self), link.incoming(self)
        if self.kind is SocketKind.ROUTER:
            into.identity = other.identity
            known = self._peers.get(other.identity)
            if known is not None and not self.options.handover:
                into.ignored = True
                return
            self._peers[other.identity] = out
            if known is not None:
                known.link.drop(self)
            return
        self._outgoing.append(out)
        while self._unsent:
            out.put(self._unsent.popleft())

    def unlinked(self, link: Link, rescued: list[list[bytes]]) -> None:
        """
        A link is over.
        """
        if self.closed:
            return
        self.links.pop(link, None)
        out, identity = link.outgoing(self), link.incoming(self).identity
        if self._peers.get(identity) is out:
            del self._peers[identity]
        if out in self._outgoing:
            self._outgoing.remove(out)
        self._unsent.extend(rescued[: self.options.high_water - len(self._unsent)])
        if self.remote is not None:
            self._network.seek(self, True)

    def deliver(self, frames: list[bytes], pipe: Pipe) -> None:
        """
        A message came.
        """
        most = self.options.max_message
        if most >= 0 and any(len(frame) > most for frame in frames):
            pipe.link.drop(self)
            return
        if pipe.ignored or self._received is None:
            return
        if self.kind is SocketKind.ROUTER:
            frames.insert(0, pipe.identity)
        self._network.delivered += 1
        try:
            self._received(frames)
        except Exception:
            self._log.failure(
                "{name} dropped a message of {count} frames.", name=self.name, count=len(frames)
            )

    # -- Sending -------------------------------------------------------------

    def send(self, frames: Sequence[bytes]) -> None:
        """
        Send one message.

        @see: L{IMessageTransport.send}.
        """
        for frame in frames:
            if not isinstance(frame, bytes):
                raise TypeError(f"A frame must be bytes, not {type(frame).__name__}.")
        if not frames:
            raise TypeError("A message has at least one frame.")
        if self.closed:
            raise NotConnected(f"{self.name} is closed.")
        self._route(list(frames))

    def _to_peer(self, frames: list[bytes]) -> None:
        pipe = self._peers.get(frames[0])
        if pipe is None:
            raise NoSuchPeer(f"{self.name} has no peer {frames[0].hex()}.")
        if pipe.full:
            raise self._congested()
        del frames[0]
        if frames:
            pipe.put(frames)

    def _to_next(self, frames: list[bytes]) -> None:
        count = len(self._outgoing)
        for step in range(count):
            turn = (self._turn + step) % count
            pipe = self._outgoing[turn]
            if not pipe.full:
                self._turn = turn + 1
                pipe.put(frames)
                return
        waits = self.remote is not None and not count and not self.options.immediate
        if not waits or len(self._unsent) >= self.options.high_water:
            raise self._congested()
        self._unsent.append(frames)

    def _to_subscribers(self, frames: list[bytes]) -> None:
        for link in self.links:
            pipe = link.outgoing(self)
            subscriber = pipe.target
            if (
                isinstance(subscriber, MemorySocket)
                and frames[0].startswith(subscriber.options.subscriptions)
                and not pipe.full
            ):
                pipe.put(list(frames))

    def _to_nobody(self, frames: list[bytes]) -> None:
        raise TransportError(f"{self.name} cannot send: it only receives.")

    def _congested(self) -> Congested:
        return Congested(f"The queue of {self.name} is full.")
