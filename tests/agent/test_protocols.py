"""
Tests of an agent's sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.agent.protocols import (
    AgentProtocol,
    BackendFactory,
    BackendProtocol,
    FrontendFactory,
    FrontendProtocol,
    HeartbeatFactory,
    HeartbeatProtocol,
    RegisterFactory,
    RegisterProtocol,
)
from jobroute.errors import Congested
from jobroute.interfaces import IMessageFactory, IMessageProtocol, IMessageTransport
from jobroute.wire.backend import encode_beat, encode_broker_message
from jobroute.wire.native import encode_answer


@implementer(IMessageTransport)
class Transport:
    """
    A socket that can be full.
    """

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.full = False
        self.closed = False

    def send(self, frames: Sequence[bytes]) -> None:
        """
        Remember it.
        """
        if self.full:
            raise Congested("It is full.")
        self.sent.append(list(frames))

    def loseConnection(self) -> None:
        """
        Remember it.
        """
        self.closed = True


class ProtocolsTests(SynchronousTestCase):
    """
    Messages that are understood, and such that are not.
    """

    def setUp(self) -> None:
        """
        Nothing was heard yet.
        """
        self.heard: list[Any] = []

    def protocols(self) -> list[AgentProtocol]:
        """
        One of each.
        """
        hear = self.heard.append
        return [
            RegisterProtocol(),
            BackendProtocol(hear),
            HeartbeatProtocol(hear),
            FrontendProtocol(hear),
        ]

    def test_interfaces(self) -> None:
        """
        All provide what they are to provide.
        """
        verifyObject(IMessageTransport, Transport())
        for protocol in self.protocols():
            verifyObject(IMessageProtocol, protocol)
        hear = self.heard.append
        for factory, made in (
            (RegisterFactory(), RegisterProtocol),
            (BackendFactory(hear), BackendProtocol),
            (HeartbeatFactory(hear), HeartbeatProtocol),
            (FrontendFactory(hear), FrontendProtocol),
        ):
            verifyObject(IMessageFactory, factory)
            self.assertIsInstance(factory.buildProtocol("tcp://127.0.0.1:1"), made)

    def test_understood(self) -> None:
        """
        Each tells what it hears.
        """
        _, backend, heartbeat, frontend = self.protocols()
        backend.messageReceived(encode_broker_message(b"", "ping", nonce="n")[1:])
        heartbeat.messageReceived(encode_beat(3, 2.0, 1))
        frontend.messageReceived(
            encode_answer([b""], 1, "result", {"a": 1}, (), True)  # type: ignore[arg-type]
        )
        message, beat, answer = self.heard
        self.assertEqual((message.nonce, beat.epoch, answer.result), ("n", 3, {"a": 1}))

    @given(st.lists(st.binary(max_size=30) | st.just(b"BEAT"), max_size=4))
    def test_anything(self, frames: list[bytes]) -> None:
        """
        No frames at all make one raise.
        """
        for protocol in self.protocols():
            protocol.messageReceived(frames)

    def test_bug(self) -> None:
        """
        A bug of ours is logged, and the socket goes on.
        """

        def wrong(beat: object) -> None:
            raise ValueError

        HeartbeatProtocol(wrong).messageReceived(encode_beat(3, 2.0, 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_send(self) -> None:
        """
        What cannot be sent is not, and nobody is hurt.
        """
        protocol, transport = RegisterProtocol(), Transport()
        self.assertFalse(protocol.send([b"x"]))
        protocol.close()
        protocol.makeConnection(transport)
        self.assertTrue(protocol.send([b"x"]))
        transport.full = True
        self.assertFalse(protocol.send([b"y"]))
        protocol.close()
        self.assertTrue(transport.closed)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(protocol.send([b"z"]))
        self.assertEqual(transport.sent, [[b"x"]])
