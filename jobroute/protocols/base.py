# -*- test-case-name: tests.protocols.test_base -*-
"""
What all protocols of the broker have in common.
"""

from __future__ import annotations

from attrs import define, field
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.interfaces import IMessageFactory, IMessageProtocol, IMessageTransport
from jobroute.log import Logger


@implementer(IMessageProtocol)
@define(eq=False, repr=False)
class SocketProtocol:
    """
    Knows its transport, if it has one.
    """

    _log = Logger()

    transport: IMessageTransport | None = field(default=None, init=False)

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        See L{IMessageProtocol.makeConnection}.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        See L{IMessageProtocol.messageReceived}.  Nothing is expected here.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        See L{IMessageProtocol.connectionLost}.
        """
        self.transport = None


@implementer(IMessageFactory)
@define(eq=False, repr=False)
class OneProtocol:
    """
    A broker has each socket once, so its protocol is made with it.
    """

    _protocol: IMessageProtocol

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        See L{IMessageFactory.buildProtocol}.
        """
        return self._protocol
