# -*- test-case-name: tests.agent.test_protocols -*-
"""
An agent's four sockets.  Each protocol reads frames, tells one function what
they say, and drops what says nothing: the broker can be wrong, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.errors import BadMessage, TransportError
from jobroute.interfaces import IMessageFactory, IMessageProtocol, IMessageTransport
from jobroute.log import Logger
from jobroute.wire.backend import (
    Beat,
    BrokerMessage,
    decode_beat,
    decode_broker_message,
)
from jobroute.wire.native import Answer, decode_answer


@implementer(IMessageProtocol)
@define(eq=False)
class AgentProtocol:
    """
    What the four have in common.

    @ivar transport: the socket, L{None} when it is not open.
    """

    _log = Logger()

    transport: IMessageTransport | None = field(default=None, init=False)

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        The socket is there.
        """
        self.transport = transport

    def connectionLost(self, reason: Failure) -> None:
        """
        It is closed.
        """
        self.transport = None

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Something came.  What is no message is dropped; a bug of ours ends
        nothing.
        """
        try:
            self.read(frames)
        except BadMessage as e:
            self._log.warn(
                "A message of the broker's was dropped: {reason}",
                reason=str(e),
                beginning=repr(frames[0][:16]) if frames else "",
            )
        except Exception:
            self._log.failure("A message of the broker's was not understood.")

    def read(self, frames: list[bytes]) -> None:
        """
        Read a message.

        @raise BadMessage: if it is none.
        """
        raise BadMessage("Nothing should come here.")

    def send(self, frames: Sequence[bytes]) -> bool:
        """
        Send a message.

        @return: whether that was possible; if not it is gone.
        """
        if self.transport is None:
            return False
        try:
            self.transport.send(frames)
        except TransportError:
            return False
        return True

    def close(self) -> None:
        """
        Close the socket, if it is open.
        """
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IMessageProtocol)
@define(eq=False)
class RegisterProtocol(AgentProtocol):
    """
    The PUSH on which an agent announces itself.
    """


@implementer(IMessageProtocol)
@define(eq=False)
class BackendProtocol(AgentProtocol):
    """
    The DEALER on which everything else is said.
    """

    _received: Callable[[BrokerMessage], None]

    def read(self, frames: list[bytes]) -> None:
        """
        The broker said something.
        """
        self._received(decode_broker_message(frames))


@implementer(IMessageProtocol)
@define(eq=False)
class HeartbeatProtocol(AgentProtocol):
    """
    The SUB on which the broker's heart is heard.
    """

    _heard: Callable[[Beat], None]

    def read(self, frames: list[bytes]) -> None:
        """
        It beat.
        """
        self._heard(decode_beat(frames))


@implementer(IMessageProtocol)
@define(eq=False)
class FrontendProtocol(AgentProtocol):
    """
    The DEALER on which the broker is asked where its sockets are.
    """

    _answered: Callable[[Answer], None]

    def read(self, frames: list[bytes]) -> None:
        """
        It answered.
        """
        self._answered(decode_answer(frames))


@implementer(IMessageFactory)
@define(eq=False)
class RegisterFactory:
    """
    Makes L{RegisterProtocol}.
    """

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Make one.
        """
        return RegisterProtocol()


@implementer(IMessageFactory)
@define(eq=False)
class BackendFactory:
    """
    Makes L{BackendProtocol}.
    """

    _received: Callable[[BrokerMessage], None]

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Make one.
        """
        return BackendProtocol(self._received)


@implementer(IMessageFactory)
@define(eq=False)
class HeartbeatFactory:
    """
    Makes L{HeartbeatProtocol}.
    """

    _heard: Callable[[Beat], None]

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Make one.
        """
        return HeartbeatProtocol(self._heard)


@implementer(IMessageFactory)
@define(eq=False)
class FrontendFactory:
    """
    Makes L{FrontendProtocol}.
    """

    _answered: Callable[[Answer], None]

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Make one.
        """
        return FrontendProtocol(self._answered)
