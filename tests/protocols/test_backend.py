"""
Tests of L{jobroute.protocols.backend}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jobroute.broker.counters import counters
from jobroute.config import Limits
from jobroute.interfaces import Delivery, IAgentRoute, IAgents, IMessageProtocol
from jobroute.model import Advice, Held, ReplyKind
from jobroute.protocols.backend import ACKNOWLEDGE, BackendProtocol
from jobroute.wire.backend import encode_agent_message
from tests.protocols.kit import Transport, done

INCARNATION = "0123456789abcdef" * 2
ADDRESS = INCARNATION.encode()


@implementer(IAgents)
class Agents:
    """
    Remembers what it is told.
    """

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def announced(self, announcement: Any, route: IAgentRoute) -> None:
        """
        See L{IAgents.announced}.
        """
        self.told.append(("announced", announcement, route))

    def ponged(self, route: IAgentRoute, nonce: str, held: Any) -> None:
        """
        See L{IAgents.ponged}.
        """
        self.told.append(("ponged", nonce, held))

    def beat(self, route: IAgentRoute, held: Any) -> None:
        """
        See L{IAgents.beat}.
        """
        self.told.append(("beat", held))

    def replied(
        self,
        route: IAgentRoute,
        part: int,
        attempt: int,
        kind: ReplyKind,
        value: Any,
        sequence: int,
        payload: Any,
        advice: Any = None,
    ) -> None:
        """
        See L{IAgents.replied}.
        """
        if kind is ReplyKind.PROGRESS:
            value = bytes(value)
        said = (kind, part, attempt, value, sequence, payload)
        self.told.append(said if advice is None else (*said, advice))

    def released(self, route: IAgentRoute, part: int, attempt: int) -> None:
        """
        See L{IAgents.released}.
        """
        self.told.append(("released", part, attempt))

    def draining(self, route: IAgentRoute) -> None:
        """
        See L{IAgents.draining}.
        """
        self.told.append(("draining",))

    def unregistered(self, route: IAgentRoute) -> None:
        """
        See L{IAgents.unregistered}.
        """
        self.told.append(("unregistered",))


def delivery(part: int, *payload: bytes) -> Delivery:
    """
    An attempt.
    """
    return Delivery(part, 1, "j", 0, "s", b"null", None, False, payload)


class Case(SynchronousTestCase):
    """
    Has a backend, and the route of one agent.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.agents = Agents()
        self.counters = counters()
        self.backend = BackendProtocol(self.clock, Limits(frames=4), self.counters)
        self.backend.agents = self.agents
        self.backend.epoch = 3
        self.transport = Transport()
        self.backend.makeConnection(self.transport)
        self.route = self.backend.route(INCARNATION)
        self.route.agent = object()

    def say(self, message: str, *payload: bytes, peer: bytes = ADDRESS, **members: Any) -> None:
        """
        Say something as an agent.
        """
        said = encode_agent_message(message, payload, **members)
        self.backend.messageReceived([peer, *said])

    def heard(self) -> list[dict[str, Any]]:
        """
        What the agent was sent.
        """
        return self.transport.to(ADDRESS)


class MessageTests(Case):
    """
    What agents say.
    """

    def test_interfaces(self) -> None:
        """
        All providers provide.
        """
        verifyObject(IMessageProtocol, self.backend)
        verifyObject(IAgentRoute, self.route)
        verifyObject(IAgents, self.agents)

    def test_each(self) -> None:
        """
        Each message is told to the broker.
        """
        of = {"part": 5, "attempt": 2}
        for message, members, payload, told in (
            ("pong", {"nonce": "7", "held": [[1, 2]]}, (), ("ponged", "7", [Held(1, 2)])),
            ("beat", {"held": [[1, 2]]}, (), ("beat", [Held(1, 2)])),
            ("started", of, (), (ReplyKind.STARTED, 5, 2, "", 0, ())),
            ("progress", {**of, "value": [1]}, (), (ReplyKind.PROGRESS, 5, 2, b"[1]", 0, ())),
            ("partial", {**of, "sequence": 3}, (b"x",), (ReplyKind.PARTIAL, 5, 2, "", 3, (b"x",))),
            ("result", {**of, "partials": 4}, (b"x",), (ReplyKind.RESULT, 5, 2, "", 4, (b"x",))),
            ("failure", {**of, "reason": "No."}, (), (ReplyKind.FAILURE, 5, 2, "No.", 0, ())),
            ("refused", {**of, "reason": "No."}, (), (ReplyKind.REFUSED, 5, 2, "No.", 0, ())),
            (
                "failure",
                {**of, "retry": False},
                (),
                (ReplyKind.FAILURE, 5, 2, "", 0, (), Advice(False)),
            ),
            (
                "refused",
                {**of, "retry_after": 9},
                (),
                (ReplyKind.REFUSED, 5, 2, "", 0, (), Advice(True, 9.0)),
            ),
            ("cancelled", of, (), (ReplyKind.CANCELLED, 5, 2, False, 0, ())),
            ("cancelled", {**of, "running": True}, (), (ReplyKind.CANCELLED, 5, 2, True, 0, ())),
            ("released", of, (), ("released", 5, 2)),
            ("drain", {}, (), ("draining",)),
            ("unregister", {}, (), ("unregistered",)),
        ):
            self.agents.told.clear()
            self.say(message, *payload, **members)
            self.assertEqual(self.agents.told, [told])
        self.assertEqual(self.transport.sent, [])

    def test_answered_beat(self) -> None:
        """
        A beat that asks for an answer has one, with the epoch; but a
        newcomer's has none before it is an agent.
        """
        self.say("beat", answer=True)
        self.assertEqual(self.heard(), [{"message": "pong", "epoch": 3}])
        self.route.agent = None
        self.say("beat", answer=True)
        self.assertEqual(len(self.heard()), 1)

    def test_stranger(self) -> None:
        """
        Anything that a stranger says is answered C{reregister}, and leaves
        nothing behind.
        """
        for message in ("beat", "pong", "drain", "unregister"):
            self.say(message, peer=b"stranger", nonce="1")
        self.say("result", peer=b"stranger", part=1, attempt=1)
        # Each has a moment of its own to come back.
        self.assertEqual(
            self.transport.to(b"stranger"),
            [{"message": "reregister", "epoch": 3, "wait": n / 1000} for n in range(5)],
        )
        self.assertEqual((self.counters["strangers"], self.agents.told), (5, []))
        self.assertEqual(list(self.backend._routes), [ADDRESS])

    def test_malformed(self) -> None:
        """
        What is no message is counted, and answered with an error; nobody
        else notices.
        """
        for frames in ([], [b"{"], [b'{"message": "sing"}'], [b'{"message": "beat"}'] + [b""] * 4):
            self.transport.sent.clear()
            self.backend.messageReceived([ADDRESS, *frames])
            (said,) = self.heard()
            self.assertEqual(set(said), {"message", "code", "error"})
            self.assertEqual(said["message"], "error")
        self.assertEqual(said["code"], "too-large")
        self.backend.messageReceived([])
        self.backend.messageReceived([b"\xff\x00stranger", b"{"])
        self.assertEqual(self.counters["agent_messages_malformed"], 6)
        self.assertEqual((self.agents.told, list(self.backend._routes)), ([], [ADDRESS]))


class RouteTests(Case):
    """
    What agents are told.
    """

    def test_each(self) -> None:
        """
        Each message as the protocol says it.
        """
        route = self.route
        self.assertTrue(route.ping("7"))
        route.welcome(1, 3, 2.0, 5, [Held(1, 2)])
        route.refuse("busy", "No.")
        route.reregister()
        route.cancel(5, 2)
        route.input(5, 2, (b"x",))
        route.farewell()
        self.assertEqual(
            self.heard(),
            [
                {"message": "ping", "nonce": "7"},
                {
                    "message": "welcome",
                    "number": 1,
                    "epoch": 3,
                    "interval": 2.0,
                    "liveness": 5,
                    "held": [[1, 2]],
                    "grace": 30.0,
                },
                {"message": "refuse", "code": "busy", "error": "No.", "after": 0.0},
                {"message": "reregister", "epoch": 3, "wait": 0.001},
                {"message": "cancel", "part": 5, "attempt": 2},
                {"message": "input", "part": 5, "attempt": 2},
                {"message": "farewell", "wait": 1.0},
            ],
        )
        self.assertEqual(self.transport.sent[5][-1], b"x")

    def test_away(self) -> None:
        """
        Nothing raises when the agent is away or the socket is closed; it is
        counted.
        """
        for break_it in (
            lambda: self.transport.away.add(ADDRESS),
            lambda: self.transport.congested.add(ADDRESS),
            lambda: setattr(self.transport, "closed", True),
            lambda: self.backend.connectionLost(done()),
        ):
            break_it()
            self.assertFalse(self.route.ping("7"))
            self.route.deliver(delivery(1))
            self.route.cancel(1, 1)
            self.route.acknowledge(1, 1)
            self.route.farewell()
        self.assertGreaterEqual(self.counters["agent_sends_failed"], 12)
        self.clock.advance(1)

    def test_forgotten(self) -> None:
        """
        A route that is closed leaves nothing behind; what it owes is said.
        """
        self.route.acknowledge(1, 2)
        self.route.close()
        self.assertEqual(self.heard(), [{"message": "ack", "attempts": [[1, 2]]}])
        self.assertEqual((self.backend._routes, self.backend._owing), ({}, {}))
        again = self.backend.route(INCARNATION)
        self.route.close()
        self.assertIs(self.backend.route(INCARNATION), again)


class AcknowledgeTests(Case):
    """
    Acknowledgements go together, or with something else.
    """

    def test_batched(self) -> None:
        """
        Those that nothing takes along go together, soon.
        """
        self.route.acknowledge(1, 1)
        self.route.acknowledge(2, 1, 7)
        self.clock.advance(ACKNOWLEDGE / 2)
        self.assertEqual(self.heard(), [])
        self.clock.advance(ACKNOWLEDGE / 2)
        self.assertEqual(self.heard(), [{"message": "ack", "attempts": [[1, 1], [2, 1, 7]]}])
        self.clock.advance(1)
        self.assertEqual((len(self.heard()), self.clock.getDelayedCalls()), (1, []))

    def test_with_a_delivery(self) -> None:
        """
        A delivery takes them along.
        """
        self.route.acknowledge(1, 1)
        self.route.deliver(delivery(2, b"x"))
        self.clock.advance(1)
        (said,) = self.heard()
        self.assertEqual((said["message"], said["ack"]), ("deliver", [[1, 1]]))
        self.route.deliver(delivery(3))
        self.assertEqual(self.heard()[1].get("ack", []), [])

    def test_not_delivered(self) -> None:
        """
        A delivery that fails takes none along.
        """
        self.route.acknowledge(1, 1)
        self.transport.congested.add(ADDRESS)
        self.route.deliver(delivery(2))
        self.transport.congested.clear()
        self.clock.advance(1)
        self.assertEqual(self.heard(), [{"message": "ack", "attempts": [[1, 1]]}])

    def test_closed(self) -> None:
        """
        When the socket is closed no timer is left, nor begun.
        """
        self.route.acknowledge(1, 1)
        self.backend.connectionLost(done())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.route.acknowledge(2, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
