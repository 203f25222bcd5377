"""
Any frames at all, on any socket of a whole broker, hurt nobody.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jobroute.config import Limits
from jobroute.wire.backend import encode_agent_message, encode_announcement
from tests.broker.kit import Kit
from tests.protocols.kit import Transport
from tests.wire.strategies import EVIL, FRAMES, VALUES, jsons

COMMANDS = (
    "PING LIST STATS SUBMIT SUBMIT_MANY CALL WAIT RESULT CANCEL INPUT JOBS JOB WHY ping NOPE"
).split()

#: Names that mean something to the broker of the test, and others.
NAMES = st.sampled_from(["live", "queued", "s", "a", "b", "default", "t" * 16, "n", "~", "1"])

PROPERTIES = st.dictionaries(
    st.sampled_from(
        "service target job namespace client header priority attempts queue_limit run_limit "
        "deadline stream token timeout index limit before state verdict jobs agents frames "
        "version x".split()
    ),
    NAMES
    | VALUES
    | st.integers(-1, 3)
    | st.sampled_from(
        [
            "any",
            "all",
            "open",
            {"agents": ["a"]},
            {"agents": ["a", "b"], "count": 1},
            {"count": 1},
            ["partial", "part"],
            ["progress"],
            [{"job": "live"}, {"frames": [1]}, {}],
            [{}] * 9,
        ]
    ),
    max_size=5,
)

REQUESTS = st.builds(
    lambda command, id, properties: json.dumps(
        {"command": command, **({} if id is None else {"id": id}), **properties}
    ).encode(),
    st.sampled_from(COMMANDS),
    VALUES,
    PROPERTIES,
)

PAYLOAD = st.lists(st.binary(max_size=5), max_size=3)

FRONTEND = st.builds(
    lambda envelope, body, payload: [*envelope, body, *payload],
    st.sampled_from([[b"x", b""], [b"x"], [b"y", b"hop", b""], [b"me", b""]]),
    REQUESTS | REQUESTS | EVIL,
    PAYLOAD,
)

MESSAGES = st.sampled_from(
    "pong beat started progress partial result failure refused cancelled released drain "
    "unregister sing".split()
)

NUMBERS = st.integers(0, 12) | st.sampled_from([-1, 2**62, 2**70, True, 1.5, "1", None])

BACKEND = st.builds(
    lambda message, members, payload: encode_agent_message(message, payload, **members),
    MESSAGES,
    st.fixed_dictionaries(
        {},
        optional={
            "part": NUMBERS,
            "attempt": st.integers(0, 2) | NUMBERS,
            "sequence": NUMBERS,
            "partials": NUMBERS,
            "value": VALUES,
            "reason": st.text(max_size=4) | VALUES,
            "running": st.booleans() | VALUES,
            "nonce": st.integers(0, 9).map(str) | VALUES,
            "answer": st.booleans() | VALUES,
            "held": st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3) | VALUES,
        },
    ),
    PAYLOAD,
)

#: One thing that comes in, or time that passes.
STEPS = st.one_of(
    st.tuples(st.just("frontend"), FRONTEND | FRAMES),
    st.tuples(st.just("evil agent"), BACKEND | FRAMES),
    st.tuples(st.just("stranger"), BACKEND | FRAMES),
    st.tuples(st.just("register"), FRAMES | EVIL.map(lambda e: [b"REGISTER", e])),
    st.tuples(st.just("heartbeat"), FRAMES),
    st.tuples(st.just("announce"), jsons(st.integers(0, 3)).map(lambda t: [t])),
    st.tuples(st.just("time"), st.just([])),
)


class World:
    """
    A broker on sockets that end in lists, with an agent that does its work
    and is called C{a}, one that does what hypothesis says and is called C{b},
    and jobs that are queued and running.
    """

    def __init__(self) -> None:
        limits = Limits(
            header=4096, message=20_000, frames=6, depth=10, queued_parts=40, services=12,
            agents=5, pending_registrations=4, client_jobs=30, clients=20, batch=8, page=10,
            partials=3, waits=20, slots=8, outbox=10, payload_cache=20,
        )  # fmt: skip
        self.kit = Kit(limits)
        self.broker = self.kit.broker
        self.broker.backend.epoch = 1
        self.sockets = {name: Transport() for name in self.broker.protocols}
        for name, protocol in self.broker.protocols.items():
            protocol.makeConnection(self.sockets[name])
        self.good = self.agent("a", "good", 4)
        self.evil = self.agent("b", "s", 2)
        self.kit.submit(b"x", job="live", attempts=2)
        self.kit.submit(job="queued", service="n")
        self.kit.call(token="t" * 16, deadline=600)

    def agent(self, name: str, service: str, slots: int) -> bytes:
        """
        Register an agent; its address.
        """
        stranger = self.kit.stranger(name, service, slots=slots)
        address = stranger.announcement.incarnation.encode()
        self.send("register", encode_announcement(stranger.announcement))
        (ping,) = self.sockets["backend"].to(address)
        self.send("backend", [address, *encode_agent_message("pong", nonce=ping["nonce"])])
        assert self.sockets["backend"].to(address)[-1]["message"] == "welcome"
        return address

    def send(self, socket: str, frames: list[bytes]) -> None:
        """
        Something comes in on a socket.
        """
        self.broker.protocols[socket].messageReceived(frames)
        self.kit.settle()

    def do(self, step: str, frames: list[bytes]) -> None:
        """
        Do one step.
        """
        if step == "evil agent":
            self.send("backend", [self.evil, *frames])
        elif step == "stranger":
            self.send("backend", [b"stranger", *frames])
        elif step == "announce":
            number = int(frames[0])
            stranger = self.kit.stranger("bcdb"[number], *["s", "new", "t", "u"][: number + 1])
            self.send("register", encode_announcement(stranger.announcement))
        elif step == "time":
            self.pass_time()
        else:
            self.send(step, frames)

    def pass_time(self) -> None:
        """
        Time passes while the good agent works and beats.
        """
        self.send("backend", [self.good, *encode_agent_message("beat", held=[])])
        self.kit.advance(0.5)

    def answered(self, peer: bytes) -> list[dict[str, Any]]:
        """
        The final answers that a client had.
        """
        return [a for a in self.sockets["frontend"].to(peer) if a.get("final", True)]

    def call(self) -> dict[str, Any]:
        """
        Make a call that the good agent answers.
        """
        body = json.dumps({"command": "CALL", "id": "good", "service": "good"}).encode()
        self.send("frontend", [b"good client", b"", body, b"in"])
        delivered = [m for m in self.sockets["backend"].to(self.good) if m["message"] == "deliver"]
        last = delivered[-1]
        result = encode_agent_message(
            "result", [b"out"], part=last["part"], attempt=last["attempt"]
        )
        self.send("backend", [self.good, *result])
        (answer,) = self.answered(b"good client")
        assert self.sockets["frontend"].sent[-1][-1] == b"out"
        return answer


class AnythingTests(SynchronousTestCase):
    """
    Nobody can hurt it.
    """

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, max_size=12))
    def test_anything(self, steps: list[tuple[str, list[bytes]]]) -> None:
        """
        Whatever comes in on whichever socket: nothing is raised, nothing is a
        bug, no client has more answers than it has asked questions, a call to
        another agent is answered as ever, nothing counts below zero, and
        what was accepted comes to an end.
        """
        world = World()
        sent = {peer: 0 for peer in (b"x", b"y", b"me")}
        for step, frames in steps:
            if step == "frontend" and frames and frames[0] in sent:
                sent[frames[0]] += 1
            world.do(step, frames)
        self.assertEqual(self.flushLoggedErrors(), [])
        for peer, questions in sent.items():
            self.assertLessEqual(len(world.answered(peer)), questions)
        for frames in world.sockets["frontend"].sent:
            self.assertNotIn(b"internal-error", frames[-1])
        self.assertEqual(world.call()["result"]["verdicts"], {"succeeded": 1})
        numbers = {**world.broker.counters, **world.broker.gauges()}
        self.assertEqual({k: v for k, v in numbers.items() if v < 0}, {})
        self.assertLessEqual(len(world.broker.backend._routes), len(world.broker.roster) + 4)
        for _ in range(30):
            world.pass_time()
        world.kit.advance(40_000_000, step=10_000_000)
        self.assertEqual(world.kit.left(), {})
        self.assertEqual(self.flushLoggedErrors(), [])
        for peer, questions in sent.items():
            self.assertLessEqual(len(world.answered(peer)), questions)

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(COMMANDS), VALUES, PROPERTIES, PAYLOAD)
    def test_one_answer(
        self, command: str, id: Any, properties: dict[str, Any], payload: list[bytes]
    ) -> None:
        """
        Each request has one final answer with its id, at the latest when all
        its work is done.
        """
        world = World()
        body = json.dumps({"command": command, "id": id, **properties}).encode()
        world.send("frontend", [b"x", b"", body, *payload])
        world.kit.advance(40_000_000, step=10_000_000)
        (answer,) = world.answered(b"x")
        self.assertEqual(answer["id"], id)
        self.assertEqual("result" in answer, "error" not in answer)
        self.assertNotEqual(answer.get("code"), "internal-error")
