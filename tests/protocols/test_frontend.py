"""
Tests of L{jobroute.protocols.frontend}.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jobroute.broker.counters import counters
from jobroute.config import Limits
from jobroute.errors import NoSuchJob
from jobroute.interfaces import (
    AnswerKind,
    IController,
    IMessageProtocol,
    IMessageTransport,
    IReplyTo,
)
from jobroute.protocols.frontend import RETRY, FrontendProtocol
from tests.protocols.kit import Controller, Transport, done


class Case(SynchronousTestCase):
    """
    Has a frontend.
    """

    def setUp(self) -> None:
        self.build(Limits())

    def build(self, limits: Limits) -> None:
        """
        Make the frontend.
        """
        self.clock = Clock()
        self.controller = Controller()
        self.counters = counters()
        self.frontend = FrontendProtocol(self.controller, self.clock, limits, self.counters)
        self.transport = Transport()
        self.frontend.makeConnection(self.transport)

    def ask(self, *frames: bytes, peer: bytes = b"me") -> IReplyTo:
        """
        Send a request, and return where its answers go.
        """
        request = frames or (b"", b'{"id": 7, "command": "PING"}')
        self.frontend.messageReceived([peer, *request])
        return self.controller.asked[-1][4]

    def count(self, **expected: int) -> None:
        """
        Check some counters.
        """
        self.assertEqual({name: self.counters[name] for name in expected}, expected)


class RequestTests(Case):
    """
    Requests and their answers.
    """

    def test_interfaces(self) -> None:
        """
        All providers provide.
        """
        verifyObject(IMessageProtocol, self.frontend)
        verifyObject(IReplyTo, self.ask())
        verifyObject(IMessageTransport, self.transport)
        verifyObject(IController, self.controller)

    def test_request(self) -> None:
        """
        The controller has the request, and who asks; its answer goes back by
        the same envelope.
        """
        body = b'{"id": 7, "command": "CALL", "service": "s"}'
        self.ask(b"", body, b"p", b"")
        name, properties, payload, caller, _ = self.controller.asked[0]
        self.assertEqual((name, properties, payload), ("CALL", body, (b"p", b"")))
        self.assertEqual((caller.name[0], caller.role), ("~", "admin"))
        self.assertNotIn(b"me".hex(), caller.name)
        self.controller.answer({"a": 1}, (b"q",))
        self.assertEqual(self.transport.sent, [[b"me", b"", b'{"id":7,"result":{"a":1}}', b"q"]])

    def test_envelopes(self) -> None:
        """
        REQ, DEALER with and without the empty frame, and hops.
        """
        body = b'{"command": "PING"}'
        for envelope in ([b"me", b""], [b"me"], [b"me", b"hop", b""]):
            self.frontend.messageReceived([*envelope, body])
            self.controller.answer(1)
            self.assertEqual(self.transport.sent.pop(), [*envelope, b'{"result":1}'])

    def test_once(self) -> None:
        """
        After the final answer all others are ignored.
        """
        reply_to = self.ask()
        reply_to.answer(AnswerKind.PROGRESS, 0.5)
        reply_to.answer(AnswerKind.ERROR, NoSuchJob("None."))
        reply_to.answer(AnswerKind.RESULT, 1)
        reply_to.answer(AnswerKind.PARTIAL, 2)
        reply_to.answer(AnswerKind.ERROR, NoSuchJob("None."))
        self.assertEqual(
            self.transport.to(b"me"),
            [
                {"id": 7, "progress": 0.5, "final": False},
                {"id": 7, "error": "None.", "code": "no-such-job"},
            ],
        )
        self.count(requests_refused=1)

    def test_not_final(self) -> None:
        """
        What is not final says so, and may have frames.
        """
        reply_to = self.ask()
        for kind in (AnswerKind.PROGRESS, AnswerKind.PARTIAL, AnswerKind.PART):
            reply_to.answer(kind, 1, (b"x",))
        self.assertEqual(
            self.transport.to(b"me"),
            [{"id": 7, k: 1, "final": False} for k in ("progress", "partial", "part")],
        )
        self.assertEqual([frames[-1] for frames in self.transport.sent], [b"x"] * 3)

    def test_malformed(self) -> None:
        """
        What is no request has one error, with its id if it has one.
        """
        for frames, id in (
            ([b"", b"{"], None),
            ([b""], None),
            ([b"{}"], None),
            ([b"", b'{"id": "x"}'], "x"),
            ([b"hop", b"", b"[]", b"", b""], None),
            ([b"", b'{"id": [1], "command": "PING", "version": 3}'], [1]),
        ):
            self.transport.sent.clear()
            self.frontend.messageReceived([b"me", *frames])
            (said,) = self.transport.to(b"me")
            self.assertEqual((said.get("id"), set(said) - {"id"}), (id, {"error", "code"}))
        self.count(messages_malformed=6, requests_refused=0)
        self.assertEqual(self.controller.asked, [])

    def test_nobody(self) -> None:
        """
        Where nobody can be told, it is counted.
        """
        self.frontend.messageReceived([])
        self.assertEqual(self.transport.sent, [])
        self.count(messages_malformed=1)

    def test_unwritable(self) -> None:
        """
        An answer that cannot be written is a bug, and still an answer; it is
        the last.
        """
        values: list[Any] = [object(), "\ud800", {1: object()}]
        for value in values:
            self.transport.sent.clear()
            reply_to = self.ask()
            reply_to.answer(AnswerKind.RESULT, value)
            reply_to.answer(AnswerKind.RESULT, 1)
            ((said),) = self.transport.to(b"me")
            self.assertEqual((said["id"], said["code"]), (7, "internal-error"))
        self.assertEqual(len(self.flushLoggedErrors()), 3)


class OutboxTests(Case):
    """
    Answers for clients that read too slowly.
    """

    def answers(self, count: int, peer: bytes = b"slow") -> None:
        """
        Answer so many requests.
        """
        for number in range(count):
            self.ask(peer=peer)
            self.controller.answer(number)

    def results(self, peer: bytes = b"slow") -> list[int]:
        """
        What a client was answered.
        """
        return [said["result"] for said in self.transport.to(peer)]

    def test_in_order(self) -> None:
        """
        They are held and tried again, in order, also those that come when
        the client reads again.
        """
        self.transport.congested.add(b"slow")
        self.answers(3)
        self.answers(1, b"quick")
        self.clock.advance(RETRY)
        self.assertEqual((self.results(), self.results(b"quick")), ([], [0]))
        self.transport.congested.clear()
        self.answers(1)
        self.assertEqual(self.results(), [])
        self.clock.advance(RETRY)
        self.assertEqual(self.results(), [0, 1, 2, 0])
        self.count(answers_held=4, answers_dropped=0)
        self.assertEqual((self.frontend._outboxes, self.clock.getDelayedCalls()), ({}, []))

    def test_number(self) -> None:
        """
        At the limit of answers, and one past it.
        """
        self.build(Limits(outbox=3))
        self.transport.congested.add(b"slow")
        self.answers(4)
        self.count(answers_held=3, answers_dropped=1)
        self.transport.congested.clear()
        self.clock.advance(RETRY)
        self.assertEqual(self.results(), [0, 1, 2])

    def test_bytes(self) -> None:
        """
        At the limit of bytes, and one past it; sent ones make room.
        """
        size = len(b"slow" + b'{"id":7,"result":0}')
        self.build(Limits(outbox_bytes=2 * size))
        self.transport.congested.add(b"slow")
        self.answers(3)
        self.count(answers_held=2, answers_dropped=1)
        self.transport.congested.clear()
        self.clock.advance(RETRY)
        self.transport.congested.add(b"slow")
        self.answers(3)
        self.count(answers_held=4, answers_dropped=2)

    def test_clients(self) -> None:
        """
        So many clients may read too slowly.
        """
        self.build(Limits(clients=2))
        peers = [b"p%d" % number for number in range(3)]
        self.transport.congested.update(peers)
        for peer in peers:
            self.answers(2, peer)
        self.count(answers_held=4, answers_dropped=2)
        self.assertEqual(len(self.frontend._outboxes), 2)

    def test_gone(self) -> None:
        """
        Answers for one that is gone are dropped, held ones as well.
        """
        self.transport.away.add(b"slow")
        self.answers(1)
        self.count(answers_held=0, answers_dropped=1)
        self.transport.away.clear()
        self.transport.congested.add(b"slow")
        self.answers(2)
        self.transport.congested.clear()
        self.transport.away.add(b"slow")
        self.clock.advance(RETRY)
        self.count(answers_held=2, answers_dropped=3)
        self.assertEqual((self.frontend._outboxes, self.clock.getDelayedCalls()), ({}, []))

    def test_closed(self) -> None:
        """
        When the socket is closed, what is held is dropped, and what comes
        later too; no timer is left.
        """
        self.transport.congested.add(b"slow")
        self.answers(2)
        reply_to = self.ask(peer=b"late")
        self.frontend.connectionLost(done())
        reply_to.answer(AnswerKind.RESULT, 1)
        self.count(answers_dropped=3)
        self.assertEqual((self.transport.sent, self.clock.getDelayedCalls()), ([], []))


class JsonTests(Case):
    """
    Answers are JSON.
    """

    def test_ids(self) -> None:
        """
        An id of any type is echoed as it came.
        """
        for id in (b"null", b"-0.0", b'"\\u00e9"', b"[1, {}]", b"1e3", b"123456789012345678901"):
            self.ask(b"", b'{"command": "PING", "id": ' + id + b"}")
            self.controller.answer(1)
            body = self.transport.sent[-1][-1]
            self.assertEqual(body, b'{"id":' + id + b',"result":1}')
            json.loads(body)
