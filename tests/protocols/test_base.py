"""
Tests of L{jobroute.protocols.base}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.interfaces import IMessageFactory, IMessageProtocol
from jobroute.protocols.base import OneProtocol, SocketProtocol
from tests.protocols.kit import Transport, done


class BaseTests(SynchronousTestCase):
    """
    What all protocols have in common.
    """

    def test_transport(self) -> None:
        """
        A protocol has its transport while its socket is open.
        """
        protocol, transport = SocketProtocol(), Transport()
        verifyObject(IMessageProtocol, protocol)
        self.assertIs(protocol.transport, None)
        protocol.makeConnection(transport)
        self.assertIs(protocol.transport, transport)
        protocol.messageReceived([])
        protocol.connectionLost(done())
        self.assertIs(protocol.transport, None)

    def test_factory(self) -> None:
        """
        The factory of one socket has one protocol.
        """
        protocol = SocketProtocol()
        factory = OneProtocol(protocol)
        verifyObject(IMessageFactory, factory)
        self.assertIs(factory.buildProtocol("tcp://127.0.0.1:1"), protocol)
