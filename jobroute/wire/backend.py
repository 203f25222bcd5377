# -*- test-case-name: tests.wire.test_backend -*-
"""
The native protocol between agents and the broker, as C{doc/protocol.rst}
says it: register, backend and heartbeat, for both ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from jobroute.config import Limits
from jobroute.errors import BadMessage, BadVersion, TooLarge
from jobroute.interfaces import Delivery
from jobroute.model import Announcement, Frames
from jobroute.wire import text

VERSION = 1
REGISTER = b"REGISTER"
BEAT = b"BEAT"

_encode = msgspec.json.Encoder().encode
_NULL = Raw(b"null")
_incarnation = re.compile(r"[0-9a-f]{32}\Z").match

Name = Annotated[str, Meta(pattern=text.NAME)]
Number = Annotated[int, Meta(ge=0, le=2**62)]
#: C{[part, attempt]}, or in acknowledgements C{[part, attempt, sequence]}.
Pair = tuple[Number, Number]


# ---------------------------------------------------------------------------
# Register


class _Announcement(msgspec.Struct):
    name: Name
    incarnation: str
    services: Annotated[list[Name], Meta(min_length=1)]
    slots: Annotated[int, Meta(ge=1)]
    version: int
    prefetch: Annotated[int, Meta(ge=0)] = 0
    pid: Number = 0
    hostname: Annotated[str, Meta(max_length=255)] = ""
    software: Annotated[str, Meta(max_length=128)] = ""
    labels: dict[Name, Annotated[str, Meta(max_length=256)]] = {}


_announcement = msgspec.json.Decoder(_Announcement)


def encode_announcement(announcement: Announcement) -> list[bytes]:
    """
    Write what an agent says of itself, as its PUSH sends it.
    """
    a = announcement
    return [
        REGISTER,
        _encode(
            {
                "version": VERSION,
                "name": a.name,
                "incarnation": a.incarnation,
                "services": list(a.services),
                "slots": a.slots,
                "prefetch": a.prefetch,
                "pid": a.pid,
                "hostname": a.hostname,
                "software": a.version,
                "labels": a.labels,
            }
        ),
    ]


def decode_announcement(frames: list[bytes], limits: Limits) -> Announcement:
    """
    Read what the register socket receives.

    @raise BadMessage: if it is no announcement.
    """
    if len(frames) != 2 or frames[0] != REGISTER:
        raise BadMessage("The message is not REGISTER and one JSON object.")
    a: _Announcement = text.decode(_announcement, frames[1], limits.header, limits.depth)
    if a.version != VERSION:
        raise BadVersion(f"This broker speaks version {VERSION} of the protocol, not {a.version}.")
    if not _incarnation(a.incarnation):
        raise BadMessage("incarnation must be 32 hexadecimal digits in lower case.")
    if len(set(a.services)) != len(a.services):
        raise BadMessage("services names a service twice.")
    for what, number, limit in (
        ("services", len(a.services), limits.agent_services),
        ("labels", len(a.labels), limits.labels),
        ("slots and prefetch", a.slots + a.prefetch, limits.slots),
    ):
        if number > limit:
            raise TooLarge(f"{what}: {number} is over the limit of {limit}.")
    return Announcement(
        name=a.name,
        incarnation=a.incarnation,
        services=tuple(a.services),
        slots=a.slots,
        prefetch=a.prefetch,
        pid=a.pid,
        hostname=a.hostname,
        version=a.software,
        labels=a.labels,
    )


# ---------------------------------------------------------------------------
# Backend, from the agent


class AgentMessage(msgspec.Struct):
    """
    What an agent says; which members mean something depends on C{message}.

    @ivar retry: whether another attempt would be worth it.
    @ivar retry_after: in how many seconds at the earliest.
    """

    message: Literal[
        "pong",
        "beat",
        "started",
        "progress",
        "partial",
        "result",
        "failure",
        "refused",
        "lost",
        "cancelled",
        "released",
        "drain",
        "unregister",
    ]
    part: Number = 0
    attempt: Number = 0
    sequence: Number = 0
    partials: Number = 0
    value: Raw = _NULL
    reason: Annotated[str, Meta(max_length=65536)] = ""
    running: bool = False
    retry: bool = True
    retry_after: Annotated[float, Meta(ge=0, lt=text.YEAR)] | None = None
    nonce: Annotated[str, Meta(max_length=64)] = ""
    answer: bool = False
    held: list[Pair] = []
    payload: Frames = ()


_agent_message = msgspec.json.Decoder(AgentMessage)

#: Those that are about one attempt.
_OF_ATTEMPTS = frozenset(
    (
        "started",
        "progress",
        "partial",
        "result",
        "failure",
        "refused",
        "lost",
        "cancelled",
        "released",
    )
)


def decode_agent_message(frames: list[bytes], limits: Limits) -> AgentMessage:
    """
    Read what an agent says: C{frames} without its identity.

    @raise BadMessage: if it is no message of an agent's.
    """
    if not frames:
        raise BadMessage("The message has no JSON object.")
    if len(frames) > limits.frames:
        raise TooLarge(f"The message has {len(frames)} frames, and {limits.frames} is the limit.")
    if len(frames) > 1 and sum(map(len, frames)) > limits.message:
        raise TooLarge(f"The message is over the limit of {limits.message} bytes.")
    message: AgentMessage = text.decode(_agent_message, frames[0], limits.header, limits.depth)
    if message.message in _OF_ATTEMPTS and not (message.part and message.attempt):
        raise BadMessage(f"{message.message} must name its part and attempt, from 1.")
    if message.message == "partial" and not message.sequence:
        raise BadMessage("partial must have its sequence, from 1.")
    if message.value is not _NULL:
        # It goes to clients as it is.
        text.check_value(message.value)
    message.payload = tuple(frames[1:])
    return message


def encode_agent_message(
    message: str, payload: Sequence[bytes] = (), **members: Any
) -> list[bytes]:
    """
    Write what an agent says, as its DEALER sends it.
    """
    return [_encode({"message": message, **members}), *payload]


# ---------------------------------------------------------------------------
# Backend, from the broker


class BrokerMessage(msgspec.Struct):
    """
    What the broker says; which members mean something depends on C{message}.

    @ivar ack: may come with any message.
    """

    message: str
    part: int = 0
    attempt: int = 0
    job: str = ""
    index: int = 0
    service: str = ""
    header: Raw = _NULL
    run_limit: float | None = None
    volatile: bool = False
    nonce: str = ""
    number: int = 0
    epoch: int = 0
    interval: float = 0.0
    liveness: int = 0
    held: list[tuple[int, int]] = []
    attempts: list[list[int]] = []
    ack: list[list[int]] = []
    code: str = ""
    error: str = ""
    wait: float = 0.0
    after: float = 0.0
    grace: float = 0.0
    payload: Frames = ()


class _Deliver(msgspec.Struct, omit_defaults=True):
    part: int
    attempt: int
    job: str
    service: str
    header: Raw
    index: int = 0
    run_limit: float | None = None
    volatile: bool = False
    ack: list[Sequence[int]] = []
    message: str = ""


_broker_message = msgspec.json.Decoder(BrokerMessage)


def decode_broker_message(frames: list[bytes]) -> BrokerMessage:
    """
    Read what the broker says, as an agent's DEALER receives it.

    @raise BadMessage: if it is no message of a broker's.
    """
    if not frames:
        raise BadMessage("The message has no JSON object.")
    try:
        message = _broker_message.decode(frames[0])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadMessage(text.sentence(e)) from e
    message.payload = tuple(frames[1:])
    return message


def encode_delivery(
    identity: bytes, delivery: Delivery, acknowledged: list[Sequence[int]]
) -> list[bytes]:
    """
    Write an attempt as the backend's ROUTER sends it.

    @param acknowledged: goes with it.
    """
    d = delivery
    return [
        identity,
        _encode(
            _Deliver(
                d.part,
                d.attempt,
                d.job,
                d.service,
                Raw(d.header),
                d.index,
                d.run_limit,
                d.volatile,
                acknowledged,
                "deliver",
            )
        ),
        *d.payload,
    ]


def encode_broker_message(
    identity: bytes, message: str, payload: Sequence[bytes] = (), **members: Any
) -> list[bytes]:
    """
    Write what the broker says, as the backend's ROUTER sends it.
    """
    return [identity, _encode({"message": message, **members}), *payload]


# ---------------------------------------------------------------------------
# Heartbeat


class Beat(msgspec.Struct):
    """
    A beat of the broker.

    @ivar spread: within how many seconds all that hear a new epoch are to
        come back.
    """

    epoch: int
    interval: float
    pid: int
    spread: float = 0.0


_beat = msgspec.json.Decoder(Beat)


def encode_beat(epoch: int, interval: float, pid: int, spread: float = 0.0) -> list[bytes]:
    """
    Write a beat, as the heartbeat's PUB sends it.
    """
    return [BEAT, _encode(Beat(epoch, interval, pid, spread))]


def decode_beat(frames: list[bytes]) -> Beat:
    """
    Read a beat.

    @raise BadMessage: if it is none.
    """
    if len(frames) != 2 or frames[0] != BEAT:
        raise BadMessage("The message is not BEAT and one JSON object.")
    try:
        return _beat.decode(frames[1])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadMessage(text.sentence(e)) from e
