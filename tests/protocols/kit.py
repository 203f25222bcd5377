"""
What the tests of protocols share.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.errors import Congested, NoSuchPeer, NotConnected
from jobroute.interfaces import AnswerKind, Caller, IController, IMessageTransport, IReplyTo
from jobroute.model import Frames

#: What a message of the broker has at least one of.
SAID = {"result", "error", "progress", "partial", "part", "message"}


@implementer(IMessageTransport)
@define(eq=False)
class Transport:
    """
    A socket that ends in a list.

    @ivar congested: peers that read nothing.
    @ivar away: peers that are not there.
    """

    sent: list[list[bytes]] = field(factory=list)
    congested: set[bytes] = field(factory=set)
    away: set[bytes] = field(factory=set)
    closed: bool = False

    def send(self, frames: Sequence[bytes]) -> None:
        """
        See L{IMessageTransport.send}.
        """
        assert frames, "No message without frames."
        assert all(isinstance(frame, bytes) for frame in frames), frames
        if self.closed:
            raise NotConnected("The socket is closed.")
        if frames[0] in self.congested:
            raise Congested("The peer's queue is full.")
        if frames[0] in self.away:
            raise NoSuchPeer("There is no such peer.")
        self.sent.append(list(frames))

    def loseConnection(self) -> None:
        """
        See L{IMessageTransport.loseConnection}.
        """
        self.closed = True

    def to(self, peer: bytes) -> list[dict[str, Any]]:
        """
        What a peer was sent, its JSON only.
        """
        return [_said(frames) for frames in self.sent if frames[0] == peer]


def _said(frames: list[bytes]) -> dict[str, Any]:
    """
    The JSON of a message: the last frame that can be ours, since what stands
    before it may be anything.
    """
    for frame in reversed(frames):
        try:
            said = json.loads(frame)
        except ValueError:
            continue
        if isinstance(said, dict) and not SAID.isdisjoint(said):
            return said
    raise AssertionError(f"Nothing is said in {frames}.")


@implementer(IController)
@define(eq=False)
class Controller:
    """
    Remembers what it is asked, and leaves the answers to the test.
    """

    asked: list[tuple[str, bytes, Frames, Caller, IReplyTo]] = field(factory=list)

    def execute(
        self,
        name: str,
        properties: bytes | dict[str, Any],
        payload: Frames,
        caller: Caller,
        reply_to: IReplyTo,
    ) -> None:
        """
        See L{IController.execute}.
        """
        assert isinstance(properties, bytes)
        self.asked.append((name, properties, payload, caller, reply_to))

    def answer(self, value: Any = None, payload: Frames = (), which: int = -1) -> None:
        """
        Give a final answer, to the last one if it is not named.
        """
        self.asked[which][4].answer(AnswerKind.RESULT, value, payload)


def done() -> Failure:
    """
    A socket was closed.
    """
    return Failure(ConnectionDone())
