# -*- test-case-name: tests.simulation.test_strangers -*-
"""
Somebody who can reach every socket of the broker, and does not know how to
behave.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from attrs import define, field
from zope.interface import implementer

from jobroute.errors import TransportError
from jobroute.interfaces import (
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
    SocketKind,
    SocketOptions,
)
from jobroute.testing.processes import Process
from jobroute.wire.native import split

#: ZMTP heartbeats, so that a dead connection is noticed.
_HEARTBEAT = 1.0


@implementer(IMessageProtocol, IMessageFactory)
@define(eq=False)
class _Ear:
    """
    One socket.
    """

    _stranger: Stranger
    _heard: bool
    transport: IMessageTransport | None = field(default=None, init=False)

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        There is one.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        See L{IMessageProtocol.makeConnection}.
        """
        self.transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        See L{IMessageProtocol.messageReceived}.
        """
        if self._heard:
            self._stranger.received(frames)

    def connectionLost(self, reason: object) -> None:
        """
        See L{IMessageProtocol.connectionLost}.
        """
        self.transport = None


@define(eq=False)
class Stranger(Process):
    """
    One stranger in all its lives.

    @ivar endpoints: of the broker.
    @ivar identity: under which it connects to the frontend: perhaps that of
        another, and empty for one that is random.
    @ivar overheard: requests of others, to be said again.
    """

    endpoints: dict[str, str] = field(kw_only=True)
    identity: bytes = field(default=b"", init=False)
    overheard: Sequence[list[bytes]] = field(factory=list, init=False)
    _ears: dict[str, _Ear] = field(factory=dict, init=False)
    _said: int = field(default=0, init=False)

    def start(self) -> None:
        """
        Live, and connect everywhere.
        """
        self.begin()
        identity = self.identity or b"s" + self.random.randbytes(15)
        self.note("connected", client=identity.hex()[:16], borrowed=bool(self.identity))
        self._connect("frontend", SocketKind.DEALER, identity)
        address = self.random.choice((self.random.randbytes(16).hex().encode(), b"\xff\xfe agent"))
        self._connect("backend", SocketKind.DEALER, address)
        self._connect("register", SocketKind.PUSH, b"")

    def _connect(self, name: str, kind: SocketKind, identity: bytes) -> None:
        ear = self._ears[name] = _Ear(self, name == "frontend")
        options = SocketOptions(identity=identity, heartbeat=_HEARTBEAT)
        self.host.endpoint(kind, self.endpoints[name], options).connect(ear)

    def received(self, frames: list[bytes]) -> None:
        """
        The frontend answers.
        """
        _, rest = split([b"", *frames])
        body = json.loads(rest[0])
        said = {name: body[name] for name in ("code", "error") if name in body}
        self.note("received", id=repr(body.get("id")), **said)

    # -- What it says

    def babble(self) -> None:
        """
        Say something to one of the sockets.
        """
        random = self.random
        name = random.choice(("frontend", "frontend", "frontend", "backend", "register"))
        if name == "frontend":
            frames = self._request(random)
        elif name == "backend":
            frames = _to_backend(random)
        else:
            frames = _to_register(random)
        ear = self._ears[name]
        if ear.transport is None:
            return
        if name == "frontend":
            self.note("sent", id=_id_of(frames))
        try:
            ear.transport.send(frames)
        except TransportError:
            # The broker is away.
            return

    def _request(self, random: Random) -> list[bytes]:
        # Under another's identity it would be that other who asks.
        if self.overheard and not self.identity and random.random() < 0.2:
            return random.choice(self.overheard)
        if random.random() < 0.3:
            return [b"", *_noise(random)]
        self._said += 1
        body: dict[str, Any] = {"id": f"{self.who}-{self._said}", **random.choice(_REQUESTS)}
        return [b"", json.dumps(body).encode(), *(_noise(random) if random.random() < 0.2 else ())]


def _id_of(frames: Sequence[bytes]) -> str:
    """
    The id of a request, as the history has it.
    """
    _, rest = split([b"", *frames])
    try:
        body = json.loads(rest[0])
    except (ValueError, IndexError):
        return "None"
    return repr(body.get("id")) if isinstance(body, dict) else "None"


def _noise(random: Random) -> list[bytes]:
    """
    Some frames without a meaning.
    """
    kind = random.randrange(6)
    if kind == 0:
        return [random.randbytes(random.randrange(40)) for _ in range(random.randrange(4))]
    if kind == 1:
        return [b'{"id": 1, "command": "PI', b""]
    if kind == 2:
        return [b"[" * 200 + b"]" * 200]
    if kind == 3:
        return [b"x"] * 70
    if kind == 4:
        return [b'{"command": "PING", "id": NaN}']
    return [b'"\xed\xa0\x80"', b"{}"]


#: Requests that are wrong, or idle.
_REQUESTS: tuple[dict[str, Any], ...] = (
    {"command": "PING"},
    {"command": "PING", "version": 2},
    {"command": "ping"},
    {"command": "__init__"},
    {"command": 5},
    {"command": "SUBMIT"},
    {"command": "SUBMIT", "service": True},
    {"command": "SUBMIT", "service": "work", "attempts": -1},
    {"command": "SUBMIT", "service": "work", "deadline": 1e300},
    {"command": "SUBMIT", "service": "../../etc", "target": {"agents": []}},
    {"command": "SUBMIT", "service": "work", "target": {"agents": ["a1", "a1"]}},
    {"command": "SUBMIT", "service": "work", "target": "nobody", "surprise": 1},
    {"command": "SUBMIT_MANY", "jobs": [{"service": "work", "frames": [9]}]},
    {"command": "SUBMIT_MANY", "jobs": {}},
    {"command": "CALL", "service": "work", "token": "short"},
    {"command": "CALL", "service": "work", "target": {"count": 99}},
    {"command": "WAIT", "token": "0123456789abcdef"},
    {"command": "WAIT", "job": "no-such-job"},
    {"command": "WAIT", "job": "j1", "timeout": 0.3, "stream": ["partial", "part", "progress"]},
    {"command": "WAIT", "job": "j1", "timeout": "soon"},
    {"command": "RESULT", "job": "j1", "index": 10**18},
    {"command": "RESULT", "job": "j1", "index": -1},
    {"command": "CANCEL", "token": "0123456789abcdef"},
    {"command": "INPUT", "job": "j1", "index": 7},
    {"command": "JOBS", "limit": 10**9},
    {"command": "JOBS", "verdict": "splendid"},
    {"command": "JOB", "job": "j1", "namespace": "another"},
    {"command": "WHY", "job": ""},
    {"command": "LIST"},
)


def _to_backend(random: Random) -> list[bytes]:
    """
    Something that no agent should say.
    """
    if random.random() < 0.3:
        return _noise(random) or [b""]
    part = random.choice((1, 4, 100_004, 2**70, -1))
    message = random.choice(("result", "failure", "partial", "cancelled", "beat", "pong", "drain"))
    body: dict[str, Any] = {"message": message, "part": part, "attempt": 1}
    if message in ("beat", "pong"):
        body = {"message": message, "held": [[part, 1]] * random.randrange(5), "nonce": "1"}
    elif message == "partial":
        body["sequence"] = random.choice((0, 1, 5))
    if random.random() < 0.2:
        body[random.choice(("message", "held", "value"))] = random.choice((None, 5, [], {"a": 1}))
    return [json.dumps(body).encode(), b"not asked for"]


def _to_register(random: Random) -> list[bytes]:
    """
    Somebody announces himself who never answers.
    """
    if random.random() < 0.4:
        return _noise(random) or [b""]
    body: dict[str, Any] = {
        "version": 1,
        "name": random.choice(("a1", "a2", "ghost", "", "x" * 200)),
        "incarnation": random.choice((random.randbytes(16).hex(), "0", "G" * 32)),
        "services": random.choice((["work"], [], ["work", "work"], "work")),
        "slots": random.choice((1, 1, 0, True, 10**9)),
    }
    return [b"REGISTER", json.dumps(body).encode()]
