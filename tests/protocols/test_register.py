"""
Tests of L{jobroute.protocols.register}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.broker.counters import counters
from jobroute.config import Limits
from jobroute.interfaces import IMessageProtocol
from jobroute.model import Announcement
from jobroute.protocols.register import RegisterProtocol
from jobroute.wire.backend import encode_announcement
from tests.broker.kit import Route
from tests.protocols.test_backend import INCARNATION, Agents


class RegisterTests(SynchronousTestCase):
    """
    Agents announce themselves.
    """

    def setUp(self) -> None:
        self.agents = Agents()
        self.counters = counters()
        self.routes: list[Route] = []
        self.register = RegisterProtocol(self.agents, self.route, Limits(slots=4), self.counters)

    def route(self, incarnation: str) -> Route:
        """
        Make a route.
        """
        self.routes.append(Route(incarnation))
        return self.routes[-1]

    def test_interface(self) -> None:
        """
        It provides L{IMessageProtocol}.
        """
        verifyObject(IMessageProtocol, self.register)

    def test_announced(self) -> None:
        """
        An announcement goes on with the route of its incarnation.
        """
        announcement = Announcement("a", INCARNATION, ("s",), 4)
        self.register.messageReceived(encode_announcement(announcement))
        self.assertEqual(self.agents.told, [("announced", announcement, self.routes[0])])
        self.assertEqual(self.routes[0].identity, INCARNATION)

    def test_malformed(self) -> None:
        """
        What is none is counted; a PULL cannot answer, and no route is made.
        """
        for frames in (
            [],
            [b""],
            [b"REGISTER"],
            [b"REGISTER", b"{}"],
            encode_announcement(Announcement("a", INCARNATION, ("s",), 5)),
            encode_announcement(Announcement("a", "me", ("s",), 1)),
        ):
            self.register.messageReceived(frames)
        self.assertEqual(self.counters["announcements_malformed"], 6)
        self.assertEqual((self.agents.told, self.routes), ([], []))
