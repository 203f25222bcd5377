# -*- test-case-name: tests.client.test_sockets -*-
"""
The socket of a client in a reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from jobroute.client.core import Core
from jobroute.client.mapping import Mapping
from jobroute.client.outcomes import Outcome
from jobroute.client.request import Request
from jobroute.errors import Congested, NotConnected
from jobroute.interfaces import (
    IClock,
    IMessageFactory,
    IMessageProtocol,
    IMessageTransport,
)

T = TypeVar("T")


class Timer(Protocol):
    """
    Something that is to happen.
    """

    def cancel(self) -> object:
        """
        It shall not.
        """


@implementer(IMessageProtocol, IMessageFactory)
@define(eq=False)
class Connection:
    """
    One socket with its core.  It connects when it is first used.

    @ivar connect: as of L{jobroute.interfaces.IMessageEndpoint}.
    @ivar later: calls something in so many seconds, as an event loop does.
    """

    _connect: Callable[[IMessageFactory], Deferred[IMessageProtocol]]
    _later: Callable[[float, Callable[[], None]], Timer]
    _clock: IClock
    _core: Core
    _transport: IMessageTransport | None = field(default=None, init=False)
    _connecting: bool = field(default=False, init=False)
    _lost: bool = field(default=False, init=False)
    _closing: list[Deferred[None]] = field(factory=list, init=False)
    _timer: Timer | None = field(default=None, init=False)
    _timer_at: float = field(default=0.0, init=False)

    # -- The socket ---------------------------------------------------------

    def buildProtocol(self, address: str) -> IMessageProtocol:
        """
        There is one socket, and this is its protocol.
        """
        return self

    def makeConnection(self, transport: IMessageTransport) -> None:
        """
        Messages may be sent.
        """
        self._transport = transport

    def messageReceived(self, frames: list[bytes]) -> None:
        """
        The broker says something.
        """
        self._core.received(frames, self._clock.monotonic())
        self._advance()

    def connectionLost(self, reason: Failure) -> None:
        """
        The socket is closed, by us or with its network.
        """
        self._transport = None
        self._end()
        closing, self._closing = self._closing, []
        for deferred in closing:
            deferred.callback(None)

    # -- Requests -----------------------------------------------------------

    def ask(self, request: Request[T]) -> Deferred[T]:
        """
        Begin a request.  Cancelling the Deferred abandons it.

        @return: fails with L{jobroute.errors.JobrouteError}.
        """
        deferred: Deferred[T] = Deferred(lambda deferred: self.abandon(request))

        def finished(request: Request[T]) -> None:
            if request.error is not None:
                deferred.errback(request.error)
            else:
                deferred.callback(request.value)  # type: ignore[arg-type]

        def tell(callback: Callable[[Any], object], what: Any) -> None:
            try:
                callback(what)
            except Exception as e:
                self.abandon(request)
                deferred.errback(e)

        request.finished = finished
        if request.streams is not None:
            request.streams.tell = tell
        self.send(request)
        return deferred

    def send(self, request: Request[Any]) -> None:
        """
        Begin a request whose C{finished} is set.

        @raise Congested: if too much is under way.
        @raise NotConnected: if the client was closed.
        """
        self._core.send(request, self._clock.monotonic())
        if not self._connecting:
            self._connecting = True
            self._connect(self).addErrback(self._unconnected)
        self._advance()

    def abandon(self, request: Request[Any]) -> None:
        """
        Nobody waits for a request any more.
        """
        self._core.abandon(request)
        self._advance()

    def close(self) -> Deferred[None]:
        """
        Close the socket; fires when it is.
        """
        self._core.close()
        self._advance()
        if self._transport is None:
            self._end()
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if len(self._closing) == 1:
            self._transport.loseConnection()
        return closed

    def _unconnected(self, reason: Failure) -> None:
        """
        The endpoint would not even try; the requests hear that it is over.
        """
        self.connectionLost(reason)

    def _end(self) -> None:
        self._lost = True
        self._core.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- Time ---------------------------------------------------------------

    def _advance(self) -> None:
        """
        Send what there is to send, and look again when something is due.
        """
        self._flush()
        moment = self._core.next_due()
        if moment is None or self._lost:
            # The timer that may be there is as good as the next one.
            return
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        self._timer_at = moment
        delay = max(0.0, moment - self._clock.monotonic())
        self._timer = self._later(delay, self._due)

    def _due(self) -> None:
        self._timer = None
        self._core.due(self._clock.monotonic())
        self._advance()

    def _flush(self) -> None:
        while self._transport is not None and (frames := self._core.peek()) is not None:
            try:
                self._transport.send(frames)
            except Congested:
                self._core.congested(self._clock.monotonic())
                return
            except NotConnected:
                return
            self._core.sent()


@define(eq=False)
class Results:
    """
    The outcomes of a C{map}: an asynchronous iterator.  What is under way is
    cancelled when it is closed.
    """

    _connection: Connection
    _mapping: Mapping
    _begun: bool = field(default=False, init=False)
    _giving: bool = field(default=False, init=False)
    _waiting: deque[Deferred[Outcome]] = field(factory=deque, init=False)

    def __aiter__(self) -> Results:
        """
        It is one.
        """
        return self

    def __anext__(self) -> Deferred[Outcome]:
        """
        The same as L{next}.
        """
        return self.next()

    def next(self) -> Deferred[Outcome]:
        """
        The next outcome.  May be called again before that is there.

        @return: fails with C{StopAsyncIteration} at the end, and with the
            first error that is no outcome.
        """
        deferred: Deferred[Outcome] = Deferred(self._cancelled)
        self._waiting.append(deferred)
        if not self._begun:
            self._begun = True
            self._mapping.changed = self._give
            self._mapping.begin(self._connection.send, self._connection.abandon)
        self._give()
        return deferred

    def close(self) -> None:
        """
        Cancel what is under way.  May be called again.
        """
        self._mapping.close()
        self._give()

    def _cancelled(self, deferred: Deferred[Outcome]) -> None:
        self._waiting.remove(deferred)

    def _give(self) -> None:
        """
        Give what is there to those who wait.  They may ask for more at once.
        """
        if self._giving:
            return
        self._giving = True
        try:
            more = True
            while more and self._waiting:
                more = self._give_one()
        finally:
            self._giving = False

    def _give_one(self) -> bool:
        try:
            outcome = self._mapping.take()
        except Exception as e:
            self._waiting.popleft().errback(e)
            return True
        if outcome is not None:
            self._waiting.popleft().callback(outcome)
        elif self._mapping.over:
            self._waiting.popleft().errback(StopAsyncIteration())
        else:
            return False
        return True
