# -*- test-case-name: tests.zeromq.test_connection -*-
"""
One ZeroMQ socket in the reactor.

libzmq's descriptor only says "look again", and says it once: it is read until
there is nothing, and whoever touches the socket otherwise has to look again
afterwards.  Sends do so together, at the end of the turn in which they were
made, since a look costs twice as much as a send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zmq
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from txzmq import ZmqConnection, ZmqFactory
from zmq.backend import Socket as RawSocket
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

# As plain integers: combining pyzmq's enumerations costs more than sending.
_LAST = int(zmq.DONTWAIT)
_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
_EVENTS = int(zmq.EVENTS)
_READABLE = int(zmq.POLLIN)
_WITHOUT_COPY = False

#: What a test or an embedder may set besides L{SocketOptions}.
Extra = Sequence[tuple[int, int | bytes]]


class Turn:
    """
    Who was sent something in this turn, and has to look again at its end.

    @ivar reading: whether a connection is reading, and will settle.
    """

    def __init__(self) -> None:
        self.reading = False
        self._touched: list[Connection] = []

    def touched(self, connection: Connection) -> None:
        """
        Something was sent there.
        """
        self._touched.append(connection)
        if not self.reading:
            self.settle()

    def settle(self) -> None:
        """
        Let all of them look.
        """
        connections, self._touched = self._touched, []
        for connection in connections:
            connection.look()


class Factory(ZmqFactory):  # type: ignore[misc]
    """
    A context of libzmq, and what its connections share.
    """

    def __init__(self, reactor: Any, io_threads: int, clock: Callable[[], float]) -> None:
        self.reactor = reactor
        self.ioThreads = io_threads
        self.clock = clock
        self.turn = Turn()
        super().__init__()

    def shutdown(self) -> None:
        """
        Close everything.  Waits as long as the sockets linger.
        """
        if self.context is None:
            return
        for connection in list(self.connections):
            connection.shutdown()
        # Any other socket of this context would make the end of it wait for ever.
        self.context.destroy(linger=0)
        super().shutdown()


@implementer(IMessageTransport)
class Connection(ZmqConnection):  # type: ignore[misc]
    """
    One socket.  It reads nothing before L{resume}.

    @ivar protocol: what is said on it, once it was L{built<build>}.
    """

    _log = Logger()

    reconnectInterval = 100
    reconnectIntervalMax = 5000

    def __init__(
        self, factory: Factory, kind: SocketKind, options: SocketOptions, extra: Extra = ()
    ) -> None:
        self.socketType = int(getattr(zmq, kind.value))
        self.highWaterMark = options.high_water
        self.protocol: IMessageProtocol | None = None
        self.name = kind.value
        self._kind = kind
        self._turn = factory.turn
        self._clock = factory.clock
        self._budget = options.budget
        self._open = False
        self._receives = kind not in (SocketKind.PUSH, SocketKind.PUB)
        self._touched = False
        self._again: IDelayedCall | None = None
        # The constructor reads, but there is no endpoint and _open is false.
        super().__init__(factory)
        factory.reactor.removeReader(self)
        try:
            for option, value in (*_settings(kind, options), *extra):
                self.socket.set(option, value)
        except BaseException:
            self.shutdown()
            raise
        # pyzmq's own send and recv are called past its Python layer, which
        # doubles their cost.
        self._send = RawSocket.send.__get__(self.socket)
        self._recv = self.socket.recv
        self._get = self.socket.get

    # -- Its life ------------------------------------------------------------

    def build(self, factory: IMessageFactory, address: str) -> IMessageProtocol:
        """
        Make the protocol, now that the socket has its endpoint.
        """
        self.name = f"{self._kind.value} {address}"
        protocol = factory.buildProtocol(address)
        self.protocol = protocol
        protocol.makeConnection(self)
        return protocol

    def resume(self) -> None:
        """
        Read what comes.
        """
        if self.factory is not None and not self._open:
            self._open = True
            self.factory.reactor.addReader(self)
            self._read_soon()

    def pause(self) -> None:
        """
        Read nothing more.
        """
        if self._open:
            self._open = False
            self.factory.reactor.removeReader(self)
            self._forget()

    def loseConnection(self) -> None:
        """
        Close the socket.
        """
        self.shutdown()

    def shutdown(self, reason: Failure | None = None) -> None:
        """
        Close the socket, and tell the protocol once.
        """
        if self.factory is None:
            return
        self._open = False
        self._forget()
        self._send = _closed
        super().shutdown()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            try:
                protocol.connectionLost(reason or _done())
            except Exception:
                self._log.failure("{name} failed to hear of its end.", name=self.name)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor gives up on the descriptor.
        """
        self.shutdown(reason)

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
        send = self._send
        head = iter(frames[:-1])
        rest: Iterator[bytes] | None = head
        try:
            for frame in head:
                send(frame, _MORE)
            rest = None
            send(frames[-1], _LAST)
        except zmq.ZMQError as e:
            if rest is not None:
                self._finish(list(rest), frames)
            raise self._problem(e, frames) from e
        finally:
            # Also after a failure: it may have swallowed the descriptor's
            # sign just as well.
            if not self._touched:
                self._touched = True
                self._turn.touched(self)

    def _finish(self, rest: list[bytes], frames: Sequence[bytes]) -> None:
        """
        A peer that goes away in the middle of a message makes libzmq drop
        frames until the last: give it that, or it drops the next message.

        @param rest: the frames before the last that were not tried.  If only
            the first one was, nothing has to be finished.
        """
        if len(rest) == len(frames) - 2:
            return
        for frame in rest:
            self._quietly(frame, _MORE)
        self._quietly(frames[-1], _LAST)

    def _quietly(self, frame: bytes, flags: int) -> None:
        try:
            self._send(frame, flags)
        except zmq.ZMQError as e:
            self._log.debug("{name} dropped a frame: {reason}", name=self.name, reason=str(e))

    def _problem(self, error: zmq.ZMQError, frames: Sequence[bytes]) -> TransportError:
        if error.errno == zmq.EAGAIN:
            return Congested(f"The queue of {self.name} is full.")
        if error.errno == zmq.EHOSTUNREACH:
            return NoSuchPeer(f"{self.name} has no peer {frames[0].hex()}.")
        if error.errno in (zmq.ENOTSOCK, zmq.ETERM):
            return NotConnected(f"{self.name} is closed.")
        return TransportError(f"{self.name} cannot send: {error}.")

    # -- Reading -------------------------------------------------------------

    def look(self) -> None:
        """
        The socket was touched: was there something to read?
        """
        self._touched = False
        if self._open and self._again is None and self._get(_EVENTS) & _READABLE:
            self._read_soon()

    def _read_soon(self) -> None:
        if self._again is None:
            self._again = self.factory.reactor.callLater(0, self._read_again)

    def _read_again(self) -> None:
        self._again = None
        self.doRead()

    def _forget(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def doRead(self) -> None:
        """
        Read messages until there are none, or the budget is used up.
        """
        if not self._open or self.protocol is None:
            return
        if not self._receives:
            # Peers come and go, and that is all there is to read.
            self._get(_EVENTS)
            return
        turn = self._turn
        outermost = not turn.reading
        turn.reading = self._touched = True
        try:
            self._read(self.protocol.messageReceived)
        finally:
            self._touched = False
            if outermost:
                turn.reading = False
                turn.settle()

    def _read(self, received: Callable[[list[bytes]], None]) -> None:
        recv = self._recv
        clock = self._clock
        count, seconds = self._budget
        end = clock() + seconds
        for _ in range(count):
            try:
                # A Frame knows whether there is more; asking the socket
                # costs as much again.
                frame = recv(_LAST, _WITHOUT_COPY)
                frames = [frame.bytes]
                while frame.more:
                    frame = recv(_LAST, _WITHOUT_COPY)
                    frames.append(frame.bytes)
            except zmq.Again:
                return
            except zmq.ZMQError:
                self.shutdown(Failure())
                return
            try:
                received(frames)
            except Exception:
                self._log.failure(
                    "{name} dropped a message of {count} frames.",
                    name=self.name,
                    count=len(frames),
                )
            if not self._open:
                return
            if clock() >= end:
                break
        # Others have a turn first.
        self._read_soon()

    def logPrefix(self) -> str:
        """
        What stands before log messages of the reactor.
        """
        return self.name

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _done() -> Failure:
    return Failure(ConnectionDone())


def _closed(frame: bytes, flags: int) -> None:
    raise zmq.ZMQError(zmq.ENOTSOCK)


def _settings(kind: SocketKind, options: SocketOptions) -> list[tuple[int, int | bytes]]:
    """
    What libzmq is told before the socket has an endpoint.
    """
    settings: list[tuple[int, int | bytes]] = [
        (zmq.LINGER, int(options.linger * 1000)),
        (zmq.IMMEDIATE, int(options.immediate)),
        (zmq.MAXMSGSIZE, options.max_message),
        # How many peers may knock at once: all agents do after a restart.
        (zmq.BACKLOG, 4096),
        (zmq.CONNECT_TIMEOUT, 10_000),
    ]
    if options.identity:
        settings.append((zmq.IDENTITY, options.identity))
    if options.heartbeat:
        interval = int(options.heartbeat * 1000)
        settings.append((zmq.HEARTBEAT_IVL, interval))
        settings.append((zmq.HEARTBEAT_TIMEOUT, 2 * interval))
    if kind is SocketKind.ROUTER:
        settings.append((zmq.ROUTER_MANDATORY, 1))
        settings.append((zmq.ROUTER_HANDOVER, int(options.handover)))
    if kind is SocketKind.SUB:
        settings.extend((zmq.SUBSCRIBE, prefix) for prefix in options.subscriptions)
    return settings
