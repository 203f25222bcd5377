"""
Tests for L{jobroute.testing.tap}.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.errors import NoSuchPeer
from jobroute.interfaces import (
    IMessageEndpoint,
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    INetwork,
    SocketKind,
)
from jobroute.testing.brokers import settings
from jobroute.testing.clock import SimulatedClock, SimulatedReactor
from jobroute.testing.overheard import Overheard
from jobroute.testing.tap import TappedNetwork
from jobroute.zeromq.memory import MemoryNetwork


@implementer(IMessageProtocol, IMessageFactory)
class Echo:
    """
    Sends back what it receives.
    """

    transport: IMessageTransport
    lost = 0

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        There is only this one.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        Remember the transport.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Send it back.
        """
        self.transport.send(frames)

    def connectionLost(self, reason: Failure) -> None:
        """
        Count it.
        """
        self.lost += 1


class TapTests(SynchronousTestCase):
    """
    Nothing is said that is not told.
    """

    def setUp(self) -> None:
        """
        Make a network.
        """
        self.clock = SimulatedClock()
        self.network = MemoryNetwork(SimulatedReactor(self.clock), Random(1))
        self.told: list[tuple[str, bool, list[bytes]]] = []
        self.tapped = TappedNetwork(self.network, self.tell)
        self.address = "inproc://tapped"
        self.endpoint = self.tapped.endpoint(SocketKind.ROUTER, self.address)

    def tell(self, address: str, received: bool, frames: Sequence[bytes]) -> None:
        """
        Remember it.
        """
        self.told.append((address, received, list(frames)))

    def test_provides(self) -> None:
        """
        It is a network, with endpoints.
        """
        self.assertTrue(verifyObject(INetwork, self.tapped))
        self.assertTrue(verifyObject(IMessageEndpoint, self.endpoint))

    def test_told(self) -> None:
        """
        What is received and what was sent is told; the protocols at both
        ends notice nothing.
        """
        echo, asking = Echo(), Echo()
        port = self.successResultOf(self.endpoint.listen(echo))
        self.assertTrue(verifyObject(IMessageTransport, echo.transport))
        answers: list[list[bytes]] = []
        asking.messageReceived = answers.append  # type: ignore
        client = self.network.endpoint(SocketKind.DEALER, self.address)
        self.successResultOf(client.connect(asking))
        self.clock.advance(1)
        asking.transport.send([b"hello"])
        self.clock.advance(1)
        self.assertEqual(answers, [[b"hello"]])
        self.assertEqual(
            [(a, r) for a, r, _ in self.told], [(self.address, True), (self.address, False)]
        )
        self.assertEqual([frames[1:] for *_, frames in self.told], [[b"hello"], [b"hello"]])
        self.successResultOf(port.stopListening())
        self.assertEqual(echo.lost, 1)

    def test_not_sent(self) -> None:
        """
        What could not be sent is not told.
        """
        echo = Echo()
        self.successResultOf(self.endpoint.listen(echo))
        self.assertRaises(NoSuchPeer, echo.transport.send, [b"nobody", b"hello"])
        self.assertEqual(self.told, [])
        echo.transport.loseConnection()
        self.assertEqual(echo.lost, 1)

    def test_connect(self) -> None:
        """
        A socket that connects is tapped as well.
        """
        asking = Echo()
        self.successResultOf(self.tapped.endpoint(SocketKind.DEALER, self.address).connect(asking))
        asking.transport.send([b"soon"])
        self.assertEqual(self.told, [(self.address, False, [b"soon"])])
        self.successResultOf(self.tapped.close())
        self.assertEqual(asking.lost, 1)


class OverheardTests(SynchronousTestCase):
    """
    What is said, as the history has it.
    """

    def setUp(self) -> None:
        self.settings = settings()
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.overheard = Overheard(
            self.settings, lambda what, **said: self.notes.append((what, said))
        )

    def test_taken_over(self) -> None:
        """
        What is left in a connection whose identity was taken over comes
        under one that is no text.
        """
        beat = [b"\x00\xe4\x01\x02\x03", b'{"version": 1, "message": "drain"}']
        self.overheard.tell(self.settings.endpoints["backend"], True, beat)
        self.assertEqual(
            self.notes, [("heard", {"agent": "\x00\\xe4\x01\x02\x03", "message": "drain"})]
        )
