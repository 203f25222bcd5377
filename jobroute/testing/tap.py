# -*- test-case-name: tests.simulation.test_tap -*-
"""
A network that tells of every message that goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.interfaces import (
    IMessageEndpoint,
    IMessageFactory,
    IMessagePort,
    IMessageProtocol,
    IMessageTransport,
    INetwork,
    SocketKind,
    SocketOptions,
)

#: Told the address, whether the message was received, and its frames.
Tell = Callable[[str, bool, Sequence[bytes]], None]


@implementer(IMessageTransport)
@define(eq=False)
class _Transport:
    _transport: IMessageTransport
    _address: str
    _tell: Tell

    def send(self, frames: Sequence[bytes]) -> None:
        """
        See L{IMessageTransport.send}.
        """
        self._transport.send(frames)
        self._tell(self._address, False, frames)

    def loseConnection(self) -> None:
        """
        See L{IMessageTransport.loseConnection}.
        """
        self._transport.loseConnection()


@implementer(IMessageProtocol)
@define(eq=False)
class _Protocol:
    _protocol: IMessageProtocol
    _address: str
    _tell: Tell

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        See L{IMessageProtocol.makeConnection}.
        """
        self._protocol.makeConnection(_Transport(transport, self._address, self._tell))

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        See L{IMessageProtocol.messageReceived}.
        """
        self._tell(self._address, True, frames)
        self._protocol.messageReceived(frames)

    def connectionLost(self, reason: Failure) -> None:
        """
        See L{IMessageProtocol.connectionLost}.
        """
        self._protocol.connectionLost(reason)


@implementer(IMessageFactory)
@define(eq=False)
class _Factory:
    _factory: IMessageFactory
    _address: str
    _tell: Tell

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        See L{IMessageFactory.buildProtocol}.
        """
        return _Protocol(self._factory.buildProtocol(address), self._address, self._tell)


@implementer(IMessageEndpoint)
@define(eq=False)
class _Endpoint:
    _endpoint: IMessageEndpoint
    _address: str
    _tell: Tell

    def listen(self, factory: IMessageFactory, paused: bool = False) -> Deferred[IMessagePort]:
        """
        See L{IMessageEndpoint.listen}.
        """
        return self._endpoint.listen(_Factory(factory, self._address, self._tell), paused)

    def connect(self, factory: IMessageFactory) -> Deferred[IMessageProtocol]:
        """
        See L{IMessageEndpoint.connect}.
        """
        return self._endpoint.connect(_Factory(factory, self._address, self._tell))


@implementer(INetwork)
@define(eq=False)
class TappedNetwork:
    """
    Another network, and somebody who hears what is said on it.

    @ivar tell: told of each message when it is received, and when it was
        sent.
    """

    _network: INetwork
    tell: Tell

    def endpoint(
        self, kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        See L{INetwork.endpoint}.
        """
        return _Endpoint(self._network.endpoint(kind, address, options), address, self.tell)

    def close(self) -> Deferred[None]:
        """
        See L{INetwork.close}.
        """
        return self._network.close()
