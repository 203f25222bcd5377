"""
What the tests of the seam share.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from jobroute.interfaces import (
    IMessageFactory,
    IMessagePort,
    IMessageProtocol,
    IMessageTransport,
    INetwork,
    SocketKind,
    SocketOptions,
)

#: Any free port.
TCP = "tcp://127.0.0.1:*"

#: Trial's own; the tests of real sockets run in it.
reactor: Any = namedAny("twisted.internet.reactor")


@implementer(IMessageProtocol, IMessageFactory)
class Recorder:
    """
    A protocol that remembers what it heard, and its own factory.
    """

    transport: IMessageTransport

    def __init__(self, react: Callable[[list[bytes]], object] | None = None) -> None:
        self.addresses: list[str] = []
        self.messages: list[list[bytes]] = []
        self.losses: list[Failure] = []
        self._react = react
        self._waiting: list[tuple[int, Deferred[list[list[bytes]]]]] = []

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Give itself.
        """
        self.addresses.append(address)
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Remember a message, and react.
        """
        self.messages.append(frames)
        for count, waiting in list(self._waiting):
            if len(self.messages) >= count:
                self._waiting.remove((count, waiting))
                # Not in here: the test goes on in a turn of its own.
                reactor.callLater(0, waiting.callback, self.messages)
        if self._react is not None:
            self._react(frames)

    def connectionLost(self, reason: Failure) -> None:
        """
        Remember the end.
        """
        self.losses.append(reason)

    def when(self, count: int) -> Deferred[list[list[bytes]]]:
        """
        Wait until so many messages have come.
        """
        waiting: Deferred[list[list[bytes]]] = Deferred()
        if len(self.messages) >= count:
            waiting.callback(self.messages)
        else:
            self._waiting.append((count, waiting))
        return waiting


def until(condition: Callable[[], object]) -> Deferred[None]:
    """
    Wait until something is so; trial's own time limit is the limit.
    """
    waiting: Deferred[None] = Deferred()

    def look() -> None:
        if condition():
            waiting.callback(None)
        else:
            reactor.callLater(0.002, look)

    look()
    return waiting


def directory(case: SynchronousTestCase) -> str:
    """
    A folder whose name is short enough for sockets.
    """
    folder = tempfile.TemporaryDirectory(prefix="jr")
    case.addCleanup(folder.cleanup)
    return folder.name


async def listen(
    network: INetwork,
    kind: SocketKind,
    address: str,
    protocol: Recorder,
    paused: bool = False,
    **options: Any,
) -> IMessagePort:
    """
    Bind a socket.
    """
    endpoint = network.endpoint(kind, address, SocketOptions(**options))
    return await endpoint.listen(protocol, paused)


async def connect(
    network: INetwork, kind: SocketKind, address: str, protocol: Recorder, **options: Any
) -> None:
    """
    Connect a socket.
    """
    await network.endpoint(kind, address, SocketOptions(**options)).connect(protocol)


def verify(case: SynchronousTestCase, interface: type[Interface], provider: object) -> None:
    """
    It provides the interface, with the arguments named and preset alike.
    """
    verifyObject(interface, provider)
    for name, method in interface.namesAndDescriptions():
        declared = method.getSignatureInfo()
        found = inspect.signature(getattr(provider, name)).parameters
        case.assertEqual(list(declared["positional"]), list(found), name)
        preset = {k: p.default for k, p in found.items() if p.default is not p.empty}
        case.assertEqual(declared["optional"], preset, name)


class NetworkCase(TestCase):
    """
    A test of a network, whichever it is.

    @cvar make: makes it from a reactor.
    """

    make: ClassVar[Callable[[Any], INetwork]]

    timeout = 10

    def setUp(self) -> None:
        """
        Make a network.
        """
        self.network = type(self).make(reactor)
        self.addCleanup(self.network.close)

    async def pair(
        self, server: Recorder, client: Recorder, identity: bytes = b"one", **options: Any
    ) -> IMessagePort:
        """
        Connect a DEALER and a ROUTER that know each other.
        """
        port = await listen(self.network, SocketKind.ROUTER, TCP, server, **options)
        await connect(self.network, SocketKind.DEALER, port.getHost(), client, identity=identity)
        client.transport.send([b"hello"])
        await server.when(1)
        server.messages.clear()
        return port

    async def published(
        self, publisher: Recorder, subscriber: Recorder, frames: list[bytes]
    ) -> None:
        """
        Publish something until it is heard.
        """

        def heard() -> bool:
            publisher.transport.send(frames)
            return frames in subscriber.messages

        await until(heard)


def network_tests(
    cases: type[NetworkCase], name: str, module: str, make: Callable[[Any], INetwork]
) -> type[NetworkCase]:
    """
    Make the tests of one implementation.

    @param cases: the tests that all pass.
    @param name: the name of the class, in C{module}.
    @param make: makes a network from a reactor.
    """
    return type(
        name, (cases,), {"__module__": module, "__doc__": cases.__doc__, "make": staticmethod(make)}
    )
