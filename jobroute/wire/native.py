# -*- test-case-name: tests.wire.test_native -*-
"""
The native protocol between clients and the broker, as C{doc/protocol.rst}
says it: both directions, for both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from attrs import frozen
from msgspec import Raw

from jobroute.config import Limits
from jobroute.errors import BadMessage, BadVersion, Busy, JobrouteError, TooLarge
from jobroute.model import Frames
from jobroute.wire import text

VERSION = 1

_NO_ID = Raw(b"")
_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    command: str = ""
    id: Raw = _NO_ID
    version: int = VERSION


class _Id(msgspec.Struct):
    id: Raw = _NO_ID


_head = msgspec.json.Decoder(_Head)
_id = msgspec.json.Decoder(_Id)


@frozen
class Request:
    """
    A client's request.

    @ivar envelope: the frames that go before every answer.
    @ivar id: the JSON of its id, empty if it had none.
    @ivar body: the whole JSON object; its properties are the command's.
    """

    envelope: list[bytes]
    command: str
    id: Raw
    body: bytes
    payload: Frames


class Malformed(Exception):
    """
    Frames that are no request, with what is needed to say so.

    @ivar envelope: empty if not even an answer can be sent.
    """

    def __init__(self, reason: JobrouteError, envelope: list[bytes], id: Raw) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.envelope = envelope
        self.id = id


def split(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """
    The envelope, and what stands behind it.
    """
    if len(frames) > 1 and not frames[1]:
        return frames[:2], frames[2:]
    try:
        end = frames.index(b"") + 1
    except ValueError:
        end = 1
    return frames[:end], frames[end:]


def decode_request(frames: list[bytes], limits: Limits) -> Request:
    """
    Read a request as a ROUTER receives it.

    @raise Malformed: if it is none.
    """
    envelope, rest = split(frames)
    identified = _NO_ID
    try:
        if not rest:
            raise BadMessage("The message has no JSON object.")
        body = rest[0]
        if len(frames) > limits.frames:
            raise TooLarge(
                f"The message has {len(frames)} frames, and {limits.frames} is the limit."
            )
        size = sum(map(len, frames))
        if size > limits.message:
            raise TooLarge(f"The message has {size} bytes, and {limits.message} is the limit.")
        head = text.decode(_head, body, limits.header, limits.depth)
        identified = head.id
        if head.version != VERSION:
            raise BadVersion(
                f"This broker speaks version {VERSION} of the protocol, not {head.version}."
            )
        if not head.command:
            raise BadMessage("command is missing.")
    except JobrouteError as e:
        if rest and identified is _NO_ID and len(rest[0]) <= limits.header:
            identified = _salvage(rest[0], limits)
        raise Malformed(e, envelope, identified) from e
    return Request(envelope, head.command, head.id, body, tuple(rest[1:]))


def _salvage(body: bytes, limits: Limits) -> Raw:
    """
    The id of a request that is wrong elsewhere, so that the answer has it.
    """
    try:
        found: _Id = text.decode(_id, body, limits.header, limits.depth)
    except JobrouteError:
        return _NO_ID
    return found.id


def encode_answer(
    envelope: list[bytes], id: Raw, kind: str, value: Any, payload: Frames, final: bool
) -> list[bytes]:
    """
    Write an answer as a ROUTER sends it.

    @param kind: the member that has the value: C{result}, C{progress} …
    """
    message: dict[str, Any] = {"id": id, kind: value} if id else {kind: value}
    if not final:
        message["final"] = False
    return [*envelope, _encode(message), *payload]


def encode_error(envelope: list[bytes], id: Raw, error: JobrouteError) -> list[bytes]:
    """
    Write an error answer as a ROUTER sends it.
    """
    message: dict[str, Any] = {"error": str(error), "code": error.code}
    if isinstance(error, Busy) and error.retry_after is not None:
        message["retry_after"] = error.retry_after
    if id:
        message = {"id": id, **message}
    return [*envelope, _encode(message)]


# ---------------------------------------------------------------------------
# The client's end


class Answer(msgspec.Struct):
    """
    An answer as a client reads it; exactly one of C{result}, C{error},
    C{progress}, C{partial} and C{part} is set.
    """

    id: int | None = None
    result: Any = None
    error: str | None = None
    code: str = ""
    retry_after: float | None = None
    progress: Any = None
    partial: Any = None
    part: Any = None
    final: bool = True
    payload: Frames = ()


_answer = msgspec.json.Decoder(Answer)


def encode_request(
    id: int, command: str, properties: dict[str, Any], payload: Sequence[bytes] = ()
) -> list[bytes]:
    """
    Write a request as a DEALER sends it.
    """
    body = {"command": command, "id": id, "version": VERSION, **properties}
    return [b"", _encode(body), *payload]


def decode_answer(frames: list[bytes]) -> Answer:
    """
    Read an answer as a DEALER receives it.

    @raise BadMessage: if it is none.
    """
    if len(frames) < 2 or frames[0]:
        raise BadMessage("The answer has no empty frame and JSON object.")
    try:
        answer = _answer.decode(frames[1])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise BadMessage(text.sentence(e)) from e
    answer.payload = tuple(frames[2:])
    return answer
