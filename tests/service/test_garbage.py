"""
Anything at all on every socket of a running broker: one error to the sender
where the socket can carry it, a counter where not, and nobody else notices.
"""

from __future__ import annotations

import json
import socket
from random import Random
from typing import Any

import zmq
from attrs import evolve
from twisted.internet.threads import deferToThread

from jobroute.service import BrokerService
from tests.service.kit import ServiceCase, ask, settings, until

_DEEP = b'{"command":"PING","id":' + b"[" * 65 + b"]" * 65 + b"}"

#: Bodies that are no request, each with the code that answers it.
BODIES: tuple[tuple[bytes, str], ...] = (
    (b"", "bad-message"),
    (b"{", "bad-message"),
    (b"[]", "bad-message"),
    (b"null", "bad-message"),
    (b"\xff\xfe", "bad-message"),
    (b'{"id": NaN, "command": "PING"}', "bad-message"),
    (b'{"command": 7}', "bad-message"),
    (b'{"id": 1}', "bad-message"),
    (b'{"command": "PING", "version": 2}', "bad-version"),
    (b'{"command": "PING", "version": "1"}', "bad-message"),
    (_DEEP, "too-large"),
    (b'{"command": "__class__"}', "unknown-command"),
    (b'{"command": "ping"}', "unknown-command"),
    (b'{"command": "CALL"}', "bad-property"),
    (b'{"command": "CALL", "service": "x", "priority": true}', "bad-property"),
    (b'{"command": "CALL", "service": "x", "run_limit": 0}', "bad-property"),
    (b'{"command": "CALL", "service": "x", "nonsense": 1}', "bad-property"),
    (b'{"command": "CALL", "service": ".x"}', "bad-property"),
    (b'{"command": "SUBMIT", "service": "x", "target": {"agents": ["a", "a"]}}', "bad-property"),
    (b'{"command": "SUBMIT", "service": "x", "target": {"agents": ["a"]}}', "no-such-agent"),
    (b'{"command": "SUBMIT", "service": "x", "target": "all"}', "not-enough-agents"),
    (b'{"command": "JOB", "job": "none"}', "no-such-job"),
)


class GarbageTests(ServiceCase):
    """
    A broker on loopback TCP with small limits, an agent, and a client that
    typed its requests by hand.
    """

    async def running(self) -> BrokerService:
        """
        A broker with an agent.
        """
        given = settings(
            self.folder(), **{n: "tcp://127.0.0.1:*" for n in ("frontend", "backend", "register")}
        )
        limits = evolve(given.limits, message=4096, header=1024, frames=8)
        broker = await self.broker(evolve(given, limits=limits))
        await self.agent(broker.endpoints["frontend"])
        return broker

    async def asked(self, url: str, *frames: bytes, kind: int = zmq.REQ) -> list[bytes]:
        """
        Ask in a thread.
        """
        return await deferToThread(lambda: ask(url, *frames, kind=kind))

    def ping(self, url: str) -> Any:
        """
        The request that the documentation shows first.
        """
        return json.loads(ask(url, b'{"command": "PING"}')[0])

    async def well(self, broker: BrokerService) -> None:
        """
        A REQ socket typed by hand is served, and a job is done.
        """
        url = broker.endpoints["frontend"]
        said = await deferToThread(self.ping, url)
        self.assertEqual(list(said), ["result"])
        self.assertLessEqual({"pid", "endpoints", "agents"}, set(said["result"]))
        self.assertIn("a1", said["result"]["agents"])
        call = b'{"command": "CALL", "id": {"any": [1]}, "service": "echo"}'
        answer, payload = await self.asked(url, call, b"x")
        self.assertEqual(json.loads(answer)["id"], {"any": [1]})
        self.assertEqual(payload, b"x")

    async def test_frontend(self) -> None:
        """
        Every wrong request is answered once, with its code and a sentence.
        """
        broker = await self.running()
        url = broker.endpoints["frontend"]
        await self.well(broker)
        for body, code in BODIES:
            said = json.loads((await self.asked(url, body))[0])
            self.assertEqual(said["code"], code, (body, said))
            self.assertTrue(said["error"].endswith("."), said)
            self.assertNotIn("Traceback", said["error"])
        for frames in (
            [b"x"],
            [b""],
            [b"", b""],
            [b"x"] * 1000,
            [b"", b'{"command": "PING"}', *[b"x"] * 7],
            [b"", b'{"command": "PING"}', b"x" * 4096],
            [b"", b'{"command": "PING", "x": "' + b"x" * 1024 + b'"}'],
        ):
            answer = await self.asked(url, *frames, kind=zmq.DEALER)
            self.assertIn(json.loads(answer[-1])["code"], ("bad-message", "too-large"), frames[:3])
        await self.well(broker)

    async def test_backend(self) -> None:
        """
        Who is not registered is told so, and what is no message is answered
        with an error; the agent works on.
        """
        broker = await self.running()
        url = broker.endpoints["backend"]
        for frames in ([b""], [b"garbage"], [b"[]"], [b"{}"], [b"x"] * 1000, [b'{"message": 1}']):
            answer = await self.asked(url, *frames, kind=zmq.DEALER)
            self.assertEqual(json.loads(answer[0])["message"], "error")
        for message in (
            b'{"message": "beat", "held": [[1, 1]]}',
            b'{"message": "result", "part": 1, "attempt": 1}',
            b'{"message": "pong", "nonce": "1"}',
            b'{"message": "unregister"}',
        ):
            answer = await self.asked(url, message, kind=zmq.DEALER)
            self.assertEqual(json.loads(answer[0])["message"], "reregister")
        self.assertEqual(broker.broker.counters["agent_messages_malformed"], 6)
        self.assertEqual(broker.broker.counters["strangers"], 4)
        await self.well(broker)

    async def test_register(self) -> None:
        """
        A PULL cannot answer: what is wrong is counted.
        """
        broker = await self.running()
        good = {
            "version": 1,
            "name": "b",
            "incarnation": "0" * 32,
            "services": ["s"],
            "slots": 1,
        }
        wrong: list[dict[str, object]] = [
            {"version": 2},
            {"name": ""},
            {"name": "x" * 129},
            {"incarnation": "0" * 31},
            {"incarnation": "G" * 32},
            {"services": []},
            {"services": ["s", "s"]},
            {"services": ["s" + str(n) for n in range(257)]},
            {"slots": 0},
            {"slots": True},
            {"slots": 1001},
            {"labels": {str(n): "x" for n in range(65)}},
        ]
        frames = [[b"REGISTER", json.dumps({**good, **one}).encode()] for one in wrong]
        frames += [
            [b""],
            [b"REGISTER"],
            [b"REGISTER", b"\xff"],
            [b"x"] * 1000,
            [b"UNREGISTER", b""],
        ]

        def push() -> None:
            with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
                socket.connect(broker.endpoints["register"])
                for message in frames:
                    socket.send_multipart(message)

        await deferToThread(push)
        counters = broker.broker.counters
        await until(lambda: counters["announcements_malformed"] == len(frames))
        self.assertEqual(len(broker.broker.roster), 1)
        await self.well(broker)

    async def test_no_zeromq(self) -> None:
        """
        Bytes that are not even ZeroMQ's, and messages over twice the limit,
        cost their sender the connection.
        """
        broker = await self.running()
        random = Random(7)

        def rave(url: str) -> None:
            host, _, port = url.removeprefix("tcp://").rpartition(":")
            for size in (1, 64, 4096):
                with socket.create_connection((host, int(port))) as raw:
                    raw.sendall(random.randbytes(size))
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.linger = 0
                dealer.connect(url)
                dealer.send_multipart([b"", b"x" * 9000])
                self.assertFalse(dealer.poll(100))

        for name in ("frontend", "backend", "register"):
            await deferToThread(rave, broker.endpoints[name])
            await self.well(broker)
