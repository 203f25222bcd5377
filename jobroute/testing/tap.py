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

#: Asked whether a message gets through.
Passes = Callable[[str, bool, Sequence[bytes]], bool]


def everything(address: str, received: bool, frames: Sequence[bytes]) -> bool:
    """
    All messages get through.
    """
    return True


@implementer(IMessageTransport)
@define(eq=False)
class _Transport:
    _transport: IMessageTransport
    _address: str
    _tell: Tell
    _passes: Passes

    def send(self, frames: Sequence[bytes]) -> None:
        """
        See L{IMessageTransport.send}.
        """
        if self._passes(self._address, False, frames):
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
    _passes: Passes

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        See L{IMessageProtocol.makeConnection}.
        """
        self._protocol.makeConnection(
            _Transport(transport, self._address, self._tell, self._passes)
        )

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        See L{IMessageProtocol.messageReceived}.
        """
        if self._passes(self._address, True, frames):
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
    _passes: Passes

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        See L{IMessageFactory.buildProtocol}.
        """
        protocol = self._factory.buildProtocol(address)
        return _Protocol(protocol, self._address, self._tell, self._passes)


def _built(protocol: IMessageProtocol) -> IMessageProtocol:
    """
    What the factory of those who connect has built.
    """
    assert isinstance(protocol, _Protocol)
    return protocol._protocol


@implementer(IMessageEndpoint)
@define(eq=False)
class _Endpoint:
    _endpoint: IMessageEndpoint
    _address: str
    _tell: Tell
    _passes: Passes

    def listen(self, factory: IMessageFactory, paused: bool = False) -> Deferred[IMessagePort]:
        """
        See L{IMessageEndpoint.listen}.
        """
        return self._endpoint.listen(
            _Factory(factory, self._address, self._tell, self._passes), paused
        )

    def connect(self, factory: IMessageFactory) -> Deferred[IMessageProtocol]:
        """
        See L{IMessageEndpoint.connect}.
        """
        tapped = _Factory(factory, self._address, self._tell, self._passes)
        return self._endpoint.connect(tapped).addCallback(_built)


@implementer(INetwork)
@define(eq=False)
class TappedNetwork:
    """
    Another network, and somebody who hears what is said on it.

    @ivar tell: told of each message when it is received, and when it was
        sent.
    @ivar passes: asked before; what it denies is lost, and nobody hears of
        it.
    """

    _network: INetwork
    tell: Tell
    passes: Passes = everything

    def endpoint(
        self, kind: SocketKind, address: str, options: SocketOptions = SocketOptions()
    ) -> IMessageEndpoint:
        """
        See L{INetwork.endpoint}.
        """
        endpoint = self._network.endpoint(kind, address, options)
        return _Endpoint(endpoint, address, self.tell, self.passes)

    def close(self) -> Deferred[None]:
        """
        See L{INetwork.close}.
        """
        return self._network.close()
