# -*- test-case-name: tests.zeromq.test_plain -*-
"""
A DEALER for programs without a reactor.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import zmq

from jobroute.errors import BadEndpoint, Congested, NotConnected
from jobroute.zeromq.addresses import parse_remote


class PlainDealer:
    """
    One connected socket.  Any thread may use it, one at a time.

    @ivar address: where it is connected.
    @ivar identity: by which the other side knows it.
    """

    def __init__(
        self,
        address: str,
        identity: bytes = b"",
        high_water: int = 1000,
        immediate: bool = False,
        heartbeat: float = 0.0,
        max_message: int = -1,
        linger: float = 0.1,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        """
        Connect to an address, now or whenever somebody listens there.

        @param identity: random if empty.
        @param context: to be shared; by default it is the dealer's own, and
            ends with it.
        @raise BadEndpoint: if it is no address to connect to.
        """
        ipv6 = parse_remote(address).ipv6
        self.address = address
        self.identity = identity or b"j" + os.urandom(15)
        self._own: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        settings: list[tuple[int, int | bytes]] = [
            (zmq.IDENTITY, self.identity),
            (zmq.SNDHWM, high_water),
            (zmq.RCVHWM, high_water),
            (zmq.IMMEDIATE, int(immediate)),
            (zmq.MAXMSGSIZE, max_message),
            (zmq.LINGER, int(linger * 1000)),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, 5000),
            (zmq.CONNECT_TIMEOUT, 10_000),
            (zmq.IPV6, int(ipv6)),
        ]
        if heartbeat:
            settings.append((zmq.HEARTBEAT_IVL, int(heartbeat * 1000)))
            settings.append((zmq.HEARTBEAT_TIMEOUT, int(heartbeat * 2000)))
        try:
            if context is None:
                context = self._own = zmq.Context()
            self._socket = context.socket(zmq.DEALER)
            for option, value in settings:
                self._socket.set(option, value)
            self._socket.connect(address)
        except zmq.ZMQError as e:
            self.close()
            raise BadEndpoint(f"Cannot connect to {address}: {e.strerror}.") from e

    def send(self, frames: Sequence[bytes], timeout_seconds: float = 0.0) -> None:
        """
        Send one message: all of it, or nothing.

        @param timeout_seconds: how long to wait if the queue is full.
        @raise Congested: if it still is.
        @raise NotConnected: if the socket is closed.
        @raise TypeError: if a frame is not bytes.
        """
        for frame in frames:
            if not isinstance(frame, bytes):
                raise TypeError(f"A frame must be bytes, not {type(frame).__name__}.")
        if not frames:
            raise TypeError("A message has at least one frame.")
        socket = self._opened()
        if timeout_seconds > 0:
            socket.poll(math.ceil(timeout_seconds * 1000), zmq.POLLOUT)
        try:
            socket.send_multipart(frames, zmq.DONTWAIT)
        except zmq.Again as e:
            raise Congested(f"The queue to {self.address} is full.") from e

    def receive(self, timeout_seconds: float) -> list[bytes] | None:
        """
        Wait for a message.

        @return: its frames, or L{None} if none came in this time.
        @raise NotConnected: if the socket is closed.
        """
        socket = self._opened()
        if not socket.poll(max(0, math.ceil(timeout_seconds * 1000))):
            return None
        try:
            return socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return None

    def fileno(self) -> int:
        """
        The descriptor that an event loop watches: it is readable, once, when
        something changed.

        @raise NotConnected: if the socket is closed.
        """
        return int(self._opened().get(zmq.FD))

    def close(self) -> None:
        """
        Close it; what was sent has C{linger} seconds to leave.  May be called
        again.
        """
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        own, self._own = self._own, None
        if own is not None:
            own.term()

    def _opened(self) -> zmq.Socket[bytes]:
        if self._socket is None or self._socket.closed:
            raise NotConnected(f"The socket to {self.address} is closed.")
        return self._socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
