# -*- test-case-name: tests.zeromq.test_loops -*-
"""
A DEALER in an asyncio event loop.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.errors import BadEndpoint
from jobroute.interfaces import IMessageFactory, IMessageProtocol, IMessageTransport
from jobroute.zeromq.plain import PlainDealer

#: How many messages are read before the loop has its turn.
BUDGET = 64


@implementer(IMessageTransport)
class LoopDealer:
    """
    The socket under a protocol.  It belongs to the thread of its loop.

    ZeroMQ's descriptor only tells that something changed, once: whoever reads
    has to go on until there is nothing more, and whoever sends has to look,
    since that may take the news away.
    """

    def __init__(self, loop: AbstractEventLoop, dealer: PlainDealer) -> None:
        self._loop = loop
        self._dealer = dealer
        self._descriptor = dealer.fileno()
        self._protocol: IMessageProtocol | None = None
        self._looking = False

    def start(self, protocol: IMessageProtocol) -> None:
        """
        Read for this protocol.
        """
        self._protocol = protocol
        protocol.makeConnection(self)
        self._loop.add_reader(self._descriptor, self._read)
        self._look()

    def send(self, frames: Sequence[bytes]) -> None:
        """
        See L{IMessageTransport}.
        """
        try:
            self._dealer.send(frames)
        finally:
            self._look()

    def loseConnection(self) -> None:
        """
        See L{IMessageTransport}.
        """
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        # A loop that is closed has no readers any more.
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._dealer.close()
        protocol.connectionLost(Failure(ConnectionDone()))

    def _look(self) -> None:
        if not self._looking and self._protocol is not None:
            self._looking = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._looking = False
        budget = BUDGET
        try:
            while budget and self._protocol is not None:
                frames = self._dealer.receive(0)
                if frames is None:
                    return
                budget -= 1
                self._protocol.messageReceived(frames)
        finally:
            if budget < BUDGET:
                self._look()


def connect(
    loop: AbstractEventLoop, address: str, factory: IMessageFactory, heartbeat: float = 0.0
) -> Deferred[IMessageProtocol]:
    """
    Connect a DEALER, as L{jobroute.interfaces.IMessageEndpoint.connect} does.

    @param heartbeat: interval of ZMTP heartbeats in seconds, 0 for none.
    @return: fires with the protocol at once, connected or not; fails with
        L{BadEndpoint}.
    """
    try:
        dealer = PlainDealer(address, heartbeat=heartbeat)
    except BadEndpoint as e:
        return fail(e)
    protocol = factory.buildProtocol(address)
    LoopDealer(loop, dealer).start(protocol)
    return succeed(protocol)
