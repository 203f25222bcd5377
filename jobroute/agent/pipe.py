# -*- test-case-name: tests.agent.test_pipe -*-
"""
What an agent and a child of it say to each other, through two pipes: a length
and a message in MessagePack.

Both ends are of one version and one user, but a child runs other people's
code: what comes from it is decoded into these classes and nothing else.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Any

import msgspec
from attrs import define, field

from jobroute.errors import BadMessage

#: The descriptors of a child: what it is told, and what it says.
TO_CHILD = 3
FROM_CHILD = 4

_HEAD = Layout("!Q")
_encode = msgspec.msgpack.Encoder().encode


# ---------------------------------------------------------------------------
# From the agent


class Setup(msgspec.Struct, tag="setup"):
    """
    The first message.

    @ivar services: C{module:callable} of each.
    @ivar path: where modules are looked for.
    @ivar environ: variables that were only for its start, as they are to be.
    @ivar message: the limits of a broker, of which a child needs some.
    @ivar memory: how many bytes of memory it may have.
    @ivar level: the level below which nothing is logged.
    """

    services: dict[str, str]
    path: list[str]
    environ: dict[str, str | None]
    message: int
    header: int
    frames: int
    depth: int
    level: str
    memory: int | None = None


class Work(msgspec.Struct, tag="work"):
    """
    An attempt.
    """

    part: int
    attempt: int
    job: str
    index: int
    service: str
    header: bytes
    run_limit: float | None
    payload: list[bytes]


class Took(msgspec.Struct, tag="took"):
    """
    There was room for a partial result, or it is known why not; or, with the
    number 0, the next progress may be said.
    """

    number: int
    code: str = ""
    error: str = ""


class Input(msgspec.Struct, tag="input"):
    """
    The input that was asked for.
    """

    payload: list[bytes]


class Retire(msgspec.Struct, tag="retire"):
    """
    There will be no more work.
    """


# ---------------------------------------------------------------------------
# From the child


class Ready(msgspec.Struct, tag="ready"):
    """
    Its services are imported.
    """


class Cannot(msgspec.Struct, tag="cannot"):
    """
    They are not, and it ends.
    """

    reason: str


class Progress(msgspec.Struct, tag="progress"):
    """
    It got so far; the value is JSON.
    """

    value: bytes


class Partial(msgspec.Struct, tag="partial"):
    """
    A partial result, to be answered with L{Took}.
    """

    number: int
    payload: list[bytes]


class Want(msgspec.Struct, tag="want"):
    """
    It waits for an input.
    """


class Log(msgspec.Struct, tag="log"):
    """
    An entry in the log of the attempt.
    """

    level: str
    text: str


class Done(msgspec.Struct, tag="done"):
    """
    The function has returned.

    @ivar kind: C{result}, C{failure} or C{refused}.
    @ivar trace: where it failed; that does not leave the agent.
    @ivar spent: whether the child should do no more.
    @ivar retry: whether another attempt would be worth it.
    @ivar retry_after: in how many seconds at the earliest.
    """

    kind: str
    payload: list[bytes]
    reason: str = ""
    trace: str = ""
    spent: bool = False
    retry: bool = True
    retry_after: float | None = None


ToChild = Setup | Work | Took | Input | Retire
FromChild = Ready | Cannot | Progress | Partial | Want | Log | Done


def encode(message: ToChild | FromChild) -> bytes:
    """
    Write a message.
    """
    body = _encode(message)
    return _HEAD.pack(len(body)) + body


@define
class Reader:
    """
    Finds the messages in what comes through a pipe.

    @ivar most: how many bytes a message may have.
    """

    _decoder: msgspec.msgpack.Decoder[Any]
    most: int = 2**62
    _buffer: bytearray = field(factory=bytearray, init=False)

    @classmethod
    def in_agent(cls, most: int) -> Reader:
        """
        Of what a child says.
        """
        return cls(msgspec.msgpack.Decoder(FromChild), most)

    @classmethod
    def in_child(cls) -> Reader:
        """
        Of what the agent says.
        """
        return cls(msgspec.msgpack.Decoder(ToChild))

    def feed(self, data: bytes) -> list[Any]:
        """
        What has come completely.

        @raise BadMessage: if it is none of the messages above; the rest of
            it cannot be read any more.
        """
        buffer = self._buffer
        buffer += data
        found = []
        while len(buffer) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(buffer)
            if size > self.most:
                raise BadMessage(f"A message of {size} bytes is over the limit of {self.most}.")
            end = _HEAD.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view, view[_HEAD.size : end] as body:
                try:
                    found.append(self._decoder.decode(body))
                except (msgspec.DecodeError, UnicodeDecodeError) as e:
                    raise BadMessage(f"What came is no message: {e}.") from e
            del buffer[:end]
        return found
