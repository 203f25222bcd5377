"""
Tests of how the broker's sockets are found.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jobroute.agent.discovery import Discovery, read_endpoints
from jobroute.errors import BadEndpoint, BadVersion, RegistrationRefused
from jobroute.interfaces import (
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
    SocketOptions,
)
from jobroute.wire.native import Answer
from jobroute.zeromq.memory import MemoryNetwork

URL = "tcp://127.0.0.1:7780"

ENDPOINTS = {"backend": "tcp://127.0.0.1:1", "register": "tcp://127.0.0.1:2"}


@implementer(IMessageProtocol, IMessageFactory)
class Frontend:
    """
    A ROUTER that answers as it is told, or not.
    """

    transport: IMessageTransport

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.answer: bytes | None = None

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        Give itself.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        Keep it.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        Answer.
        """
        self.asked.append(frames)
        if self.answer is not None:
            self.transport.send([frames[0], b"", self.answer])

    def connectionLost(self, reason: Failure) -> None:
        """
        The test is over.
        """


class DiscoveryTests(SynchronousTestCase):
    """
    A frontend that answers at once, late, wrongly, or never.
    """

    def setUp(self) -> None:
        """
        Make a network, a frontend that does not listen yet, and one who
        asks.
        """
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, Random(1))
        self.frontend = Frontend()
        self.found: list[dict[str, str]] = []
        self.failures: list[Failure] = []
        self.discovery = self.make(URL)

    def make(self, url: str) -> Discovery:
        """
        Make one who asks.
        """
        return Discovery(
            self.network, url, self.clock, Random(1), self.found.append, self.failures.append
        )

    def listen(self) -> None:
        """
        Let the frontend listen.
        """
        options = SocketOptions()
        self.network.endpoint(SocketKind.ROUTER, URL, options).listen(self.frontend)

    def pump(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([0.01] * round(seconds / 0.01))

    def test_found(self) -> None:
        """
        The endpoints come once, and nothing is left.
        """
        self.frontend.answer = b'{"id":1,"result":{"protocol":1,"endpoints":%s}}' % (
            str(ENDPOINTS).replace("'", '"').encode()
        )
        self.listen()
        self.discovery.start()
        self.pump(1)
        self.assertEqual(self.found, [ENDPOINTS])
        self.assertIn(b'"agents":false', self.frontend.asked[0][2])
        self.network.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_asks_on(self) -> None:
        """
        It asks until somebody listens, and until there is an answer.
        """
        self.discovery.start()
        self.pump(30)
        self.listen()
        self.pump(30)
        self.assertGreater(len(self.frontend.asked), 3)
        self.assertLess(len(self.frontend.asked), 10)
        self.assertEqual((self.found, self.failures), ([], []))

    def test_stopped(self) -> None:
        """
        When it is stopped it asks no more.
        """
        self.discovery.start()
        self.discovery.stop()
        self.listen()
        self.pump(10)
        self.assertEqual(self.frontend.asked, [])

    def test_hopeless(self) -> None:
        """
        An answer that no patience helps against ends it.
        """
        self.frontend.answer = b'{"id":1,"error":"No.","code":"bad-version"}'
        self.listen()
        self.discovery.start()
        self.pump(1)
        [failure] = self.failures
        failure.trap(RegistrationRefused)

    def test_bad_url(self) -> None:
        """
        So does an address that is none.
        """
        self.make("nonsense").start()
        [failure] = self.failures
        failure.trap(BadEndpoint)

    def test_answers(self) -> None:
        """
        What is no answer yet is asked again; another version is an error.
        """
        unusable: list[Any] = [
            Answer(error="Later.", code="busy"),
            Answer(result=5),
            Answer(result={"protocol": 1}),
            Answer(result={"protocol": 1, "endpoints": {"backend": "x", "register": ""}}),
            Answer(result={"protocol": 1, "endpoints": {"backend": 1, "register": 2}}),
        ]
        self.assertEqual([read_endpoints(answer) for answer in unusable], [None] * 5)
        wrong = Answer(result={"protocol": 2, "endpoints": ENDPOINTS})
        self.assertRaises(BadVersion, read_endpoints, wrong)
