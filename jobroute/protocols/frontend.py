# -*- test-case-name: tests.protocols.test_frontend -*-
"""
Clients' requests and their answers.

A request comes in, the controller executes it, and the object that it was
given to answer through writes the answers: C{doc/protocol.rst} says how.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from attrs import define, field
from msgspec import Raw
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from jobroute.config import Limits
from jobroute.errors import Congested, InternalError, JobrouteError, TransportError
from jobroute.interfaces import AnswerKind, Caller, IController, IReplyTo
from jobroute.log import Logger
from jobroute.model import Frames
from jobroute.protocols.base import SocketProtocol
from jobroute.wire.native import (
    Malformed,
    decode_request,
    encode_answer,
    encode_error,
)

#: Seconds between two tries to give a slow client its answers.
RETRY = 0.05


@lru_cache(maxsize=10_000)
def _name(identity: bytes) -> str:
    """
    What stands for a client that gives no name.  No name can begin with a
    tilde; and it does not tell the identity, since whoever knows that could
    take it over and have the answers.
    """
    return "~" + blake2b(identity, digest_size=6).hexdigest()


@implementer(IReplyTo)
@define(eq=False, repr=False)
class ReplyTo:
    """
    Where the answers to one request go.
    """

    _log = Logger()

    _frontend: FrontendProtocol
    _envelope: list[bytes]
    _id: Raw
    _done: bool = False

    def answer(self, kind: AnswerKind, value: Any, payload: Frames = ()) -> None:
        """
        See L{IReplyTo.answer}.
        """
        if self._done:
            return
        try:
            if kind is AnswerKind.RESULT:
                self._done = True
                frames = encode_answer(self._envelope, self._id, "result", value, payload, True)
            elif kind is AnswerKind.ERROR:
                self._done = True
                frames = self._frontend.refusal(self._envelope, self._id, value)
            else:
                frames = encode_answer(self._envelope, self._id, kind.value, value, payload, False)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self._log.failure("An answer cannot be written.")
            self._done = True
            error = InternalError("The answer cannot be written; the broker's log says why.")
            frames = self._frontend.refusal(self._envelope, self._id, error)
        self._frontend.send(frames)


@define(eq=False, repr=False)
class _Outbox:
    messages: deque[list[bytes]] = field(factory=deque)
    size: int = 0


@define(eq=False, repr=False)
class FrontendProtocol(SocketProtocol):
    """
    The ROUTER that clients speak to.

    @ivar role: of whoever can reach the socket.
    """

    _controller: IController
    _clock: IReactorTime
    _limits: Limits
    _counters: dict[str, int]
    role: str = "admin"
    _outboxes: dict[bytes, _Outbox] = field(factory=dict, init=False)
    _retry: IDelayedCall | None = field(default=None, init=False)

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        A client asks.
        """
        try:
            request = decode_request(frames, self._limits)
        except Malformed as e:
            self._counters["messages_malformed"] += 1
            if e.envelope:
                self.send(encode_error(e.envelope, e.id, e.reason))
            return
        self._controller.execute(
            request.command,
            request.body,
            request.payload,
            Caller(_name(frames[0]), self.role),
            ReplyTo(self, request.envelope, request.id),
        )

    def refusal(self, envelope: list[bytes], id: Raw, error: JobrouteError) -> list[bytes]:
        """
        The answer to a request that is refused.
        """
        self._counters["requests_refused"] += 1
        return encode_error(envelope, id, error)

    def send(self, frames: list[bytes]) -> None:
        """
        Give a client an answer; hold it for a while if the client reads too
        slowly, up to a limit.
        """
        if self._outboxes and frames[0] in self._outboxes:
            self._hold(frames)
        elif self.transport is None:
            self._counters["answers_dropped"] += 1
        else:
            try:
                self.transport.send(frames)
            except Congested:
                self._hold(frames)
            except TransportError:
                self._counters["answers_dropped"] += 1

    def _hold(self, frames: list[bytes]) -> None:
        outbox = self._outboxes.setdefault(frames[0], _Outbox())
        size = sum(map(len, frames))
        if (
            len(outbox.messages) >= self._limits.outbox
            or outbox.size + size > self._limits.outbox_bytes
            or len(self._outboxes) > self._limits.clients
        ):
            self._counters["answers_dropped"] += 1
            if not outbox.messages:
                del self._outboxes[frames[0]]
            return
        self._counters["answers_held"] += 1
        outbox.messages.append(frames)
        outbox.size += size
        if self._retry is None:
            self._retry = self._clock.callLater(RETRY, self._again)

    def _again(self) -> None:
        self._retry = None
        for identity, outbox in list(self._outboxes.items()):
            try:
                while outbox.messages and self.transport is not None:
                    self.transport.send(outbox.messages[0])
                    outbox.size -= sum(map(len, outbox.messages.popleft()))
            except Congested:
                continue
            except TransportError:
                self._counters["answers_dropped"] += len(outbox.messages)
            del self._outboxes[identity]
        if self._outboxes and self.transport is not None:
            self._retry = self._clock.callLater(RETRY, self._again)

    def connectionLost(self, reason: Any) -> None:
        """
        The socket is closed; what is held cannot be given any more.
        """
        super().connectionLost(reason)
        self._counters["answers_dropped"] += sum(len(o.messages) for o in self._outboxes.values())
        self._outboxes.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
