# -*- test-case-name: tests.client.test_core -*-
"""
What a client knows and decides, without I/O: the faces carry its messages
and tell it the time.

A request has exactly one outcome.  While one is under way the broker is
pinged.  Pings and requests go through one pipe in order, so the answer to a
ping says three things: the broker lives; a ping before it that was never
answered means that what was sent before it may be lost; and another epoch
means that what was sent before it may be forgotten.  In the last two cases it
is sent again, or waited for by its token, or given up, as L{Again} says.
"""

from __future__ import annotations

import heapq
from itertools import count
from random import Random
from typing import Any

from attrs import define, field

from jobroute.client.outbox import PAUSE, Outbox
from jobroute.client.pulse import Pulse
from jobroute.client.refusals import asked_after, refusal
from jobroute.client.request import Again, Request
from jobroute.errors import (
    BadMessage,
    BrokerLost,
    Busy,
    Congested,
    JobrouteError,
    NotConnected,
    UnknownOutcome,
    WaitTimeout,
)
from jobroute.wire.native import Answer, decode_answer, encode_request

#: How many requests may be under way, and bytes be waiting to be sent.
MOST_REQUESTS = 100_000
MOST_BYTES = 256 * 1024 * 1024

#: A wait is asked again after so many seconds, then after twice as many, …
_PATIENCE = 30.0
_MOST_PATIENCE = 3600.0


@define(eq=False)
class Core:
    """
    The requests of one client.

    A face calls L{peek} and L{sent} until there is nothing to send,
    L{received} with whatever comes, and L{due} at L{next_due}, after it has
    read what there is to read.

    @ivar timeout: for how long the broker may be silent.
    @ivar random: for the jitter of pauses.
    @ivar pulse: whether the broker lives.
    @ivar late: how many answers came to no request.
    @ivar bad: how many answers could not be read.
    """

    timeout: float
    random: Random
    most_requests: int = MOST_REQUESTS
    most_bytes: int = MOST_BYTES
    pulse: Pulse = field(init=False)
    late: int = field(default=0, init=False)
    bad: int = field(default=0, init=False)

    _numbers: Any = field(factory=lambda: count(1), init=False)
    _requests: dict[Request[Any], None] = field(factory=dict, init=False)
    _by_id: dict[int, Request[Any]] = field(factory=dict, init=False)
    _outbox: Outbox = field(factory=Outbox, init=False)
    _timers: list[tuple[float, int, Request[Any], str]] = field(factory=list, init=False)
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.pulse = Pulse(self.timeout)

    @property
    def outstanding(self) -> int:
        """
        How many requests have no outcome yet.
        """
        return len(self._requests)

    # -- The user's end -----------------------------------------------------

    def send(self, request: Request[Any], now: float) -> None:
        """
        Begin a request.

        @raise Congested: if too much is under way.
        @raise NotConnected: if the client was closed.
        """
        if self._closed:
            raise NotConnected("The client was closed.")
        if len(self._requests) >= self.most_requests:
            raise Congested(
                f"{self.most_requests} requests of this client are under way already; "
                "wait for some of them."
            )
        if self._outbox.size >= self.most_bytes:
            raise Congested(
                f"{self._outbox.size} bytes wait to be sent to the broker already; "
                "wait for some of the requests."
            )
        if not self._requests:
            self.pulse.began(now)
        if self.pulse.next() <= now:
            self._ping(now)
        request.begun = now
        timeout = request.timeout
        if timeout is None and not request.waits:
            timeout = self.timeout
        if timeout is not None:
            request.limit = now + timeout
        self._transmit(request, now)
        self._requests[request] = None
        if request.limit is not None:
            self._timer(request.limit, request, "limit")
        if request.again is not Again.NEVER:
            request.pause = _PATIENCE if request.waits else max(self.timeout / 4, 1.0)
            self._timer(now + request.pause, request, "again")

    def abandon(self, request: Request[Any]) -> None:
        """
        Nobody waits for a request any more; C{finished} is not called.  What
        it asked for is cancelled if C{undo} says so.
        """
        if not request.done:
            request.done = True
            self._forget(request, cancel=True)

    def close(self) -> None:
        """
        End everything.  What L{peek} gives afterwards cancels calls.
        """
        self._closed = True
        for request in list(self._requests):
            self._finish(request, NotConnected("The client was closed."), cancel=True)

    # -- The socket's end ---------------------------------------------------

    def peek(self) -> list[bytes] | None:
        """
        The next message to send; call L{sent} when that was done.
        """
        while (first := self._outbox.first()) is not None:
            id, frames = first
            if id is None or id in self._by_id or self.pulse.waits_for(id):
                return frames
            self._outbox.drop()
        return None

    def sent(self) -> None:
        """
        What L{peek} gave was sent.
        """
        self._outbox.drop()

    def congested(self, now: float) -> None:
        """
        The socket would not take what L{peek} gave; L{next_due} says when
        to try again.
        """
        self._outbox.blocked = now + PAUSE

    def received(self, frames: list[bytes], now: float) -> None:
        """
        A message came.  Nothing in it makes this raise.
        """
        self.pulse.came(now)
        try:
            answer = decode_answer(frames)
            if self.pulse.waits_for(answer.id):
                self._ponged(answer, now)
            elif answer.id in self._by_id:
                self._answered(self._by_id[answer.id], answer, now)
            else:
                self.late += 1
        except BadMessage:
            self.bad += 1

    # -- Time ---------------------------------------------------------------

    def next_due(self) -> float | None:
        """
        When L{due} has to be called, and sending to be tried, at the latest.
        """
        if not self._requests:
            return self._outbox.blocked if self._outbox else None
        while self._timers and self._timers[0][2].done:
            heapq.heappop(self._timers)
        moment = self.pulse.next()
        if self._timers:
            moment = min(moment, self._timers[0][0])
        if self.pulse.asked is not None:
            oldest = next(iter(self._requests))
            moment = min(moment, max(self.pulse.asked, oldest.begun) + self.timeout)
        if self._outbox.blocked is not None:
            moment = min(moment, self._outbox.blocked)
        return moment

    def due(self, now: float) -> None:
        """
        Do what the time demands.
        """
        self.pulse.looked(now)
        while self._timers and self._timers[0][0] <= now:
            _, _, request, why = heapq.heappop(self._timers)
            if not request.done:
                self._timed(request, why, now)
        if self.pulse.asked is not None and self.pulse.silent(now) >= self.timeout:
            for request in list(self._requests):
                if max(self.pulse.asked, request.begun) + self.timeout > now:
                    break
                self._finish(request, self._lost(request), cancel=True)
        if self._requests and self.pulse.next() <= now:
            self._ping(now)

    def _timed(self, request: Request[Any], why: str, now: float) -> None:
        if why == "limit":
            assert request.timeout is not None or not request.waits
            silent = self.pulse.asked is not None and self.pulse.silent(now) >= min(
                2 * self.pulse.interval, request.timeout or self.timeout
            )
            if request.waits and not silent:
                self._finish(request, WaitTimeout(_over(request)), cancel=True)
            else:
                self._finish(request, self._lost(request), cancel=True)
        elif why == "retry":
            request.paused = False
            self._transmit(request, now)
        elif why == "ask":
            self._doubt(request, now, restarted=False)
        else:
            request.pause = min(request.pause * 2, _MOST_PATIENCE)
            self._timer(now + request.pause, request, "again")
            # An answer may be lost though the broker is there; if it is not,
            # the request is still on its way.
            if self.pulse.heard > request.sent and not request.paused:
                self._doubt(request, now, restarted=False)

    def _timer(self, when: float, request: Request[Any], why: str) -> None:
        if len(self._timers) > 4 * len(self._requests) + 1000:
            self._timers = [timer for timer in self._timers if not timer[2].done]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (when, next(self._numbers), request, why))

    def _lost(self, request: Request[Any]) -> BrokerLost:
        if self.pulse.asked is None:
            return BrokerLost(f"The broker did not answer {request.command} in time.")
        waited = min(self.timeout, request.timeout or self.timeout)
        return BrokerLost(f"The broker has not answered for {waited:g} seconds; is it running?")

    # -- Pings --------------------------------------------------------------

    def _ping(self, now: float) -> None:
        number = next(self._numbers)
        self.pulse.pinged(number, now)
        self._outbox.put(number, encode_request(number, "PING", {"agents": False}))

    def _ponged(self, answer: Answer, now: float) -> None:
        which, restarted, lost = self.pulse.answered(answer)
        if restarted or lost:
            for request in list(self._requests):
                if request.pings < which and not request.done and not request.paused:
                    self._doubt(request, now, restarted)

    # -- Requests -----------------------------------------------------------

    def _transmit(self, request: Request[Any], now: float) -> None:
        """
        Send a request, the first time or again, in its own form.
        """
        self._encode(request, request.command, request.properties, request.payload, now)

    def _doubt(self, request: Request[Any], now: float, restarted: bool) -> None:
        """
        Nobody knows whether a request arrived.
        """
        if request.again is Again.SAME:
            request.asked_again = True
            self._transmit(request, now)
        elif request.again is Again.WAIT:
            request.asked_again = True
            properties: dict[str, Any] = {"token": request.token}
            if "stream" in request.properties:
                properties["stream"] = request.properties["stream"]
            self._encode(request, "WAIT", properties, (), now)
        elif restarted:
            self._finish(
                request,
                UnknownOutcome(
                    f"The broker was started anew before it answered {request.command}; "
                    "nobody can know whether it was done."
                ),
            )

    def _encode(
        self,
        request: Request[Any],
        command: str,
        properties: dict[str, Any],
        payload: tuple[bytes, ...],
        now: float,
    ) -> None:
        if command == "WAIT" and request.limit is not None:
            properties = {**properties, "timeout": max(request.limit - now, 0.001)}
        number = next(self._numbers)
        frames = encode_request(number, command, properties, payload)
        self._by_id[number] = request
        request.ids.append(number)
        if len(request.ids) > 8:
            self._by_id.pop(request.ids.pop(0), None)
        request.pings = self.pulse.count
        request.sent = now
        self._outbox.put(number, frames)

    def _answered(self, request: Request[Any], answer: Answer, now: float) -> None:
        latest = answer.id == request.ids[-1]
        if not answer.final:
            # If the stream was asked for again it comes twice for a while.
            if request.streams is not None and request.streams.received(answer, latest):
                self._timer(now + self.pulse.interval / 4, request, "ask")
        elif answer.error is not None:
            error = refusal(answer.error, answer.code, answer.retry_after)
            if isinstance(error, Busy) and self._pauses(request, error, latest, now):
                return
            self._finish(request, error)
        else:
            try:
                if request.rest is not None and not latest:
                    return
                value = request.decode(answer.result, answer.payload)
            except Busy as e:
                if not self._pauses(request, e, latest, now):
                    self._finish(request, None, request.rest and request.rest())
            except BadMessage as e:
                self.bad += 1
                self._finish(request, e)
            else:
                self._finish(request, None, value)

    def _pauses(self, request: Request[Any], error: Busy, latest: bool, now: float) -> bool:
        """
        Whether a request that was refused by a busy broker goes on.
        """
        if not latest:
            return True
        waits = request.command == "WAIT"
        # The call itself was not refused, only the question after it.
        asked = request.again is Again.WAIT and request.asked_again
        pause = asked_after(error, request.refused, self.random)
        request.refused += 1
        if not waits and not asked:
            if request.retry is None or now + pause - request.begun >= request.retry:
                return False
            if request.limit is not None and now + pause >= request.limit:
                return False
        request.paused = not asked
        self._timer(now + pause, request, "ask" if asked else "retry")
        return True

    def _finish(
        self,
        request: Request[Any],
        error: JobrouteError | None,
        value: Any = None,
        cancel: bool = False,
    ) -> None:
        """
        A request has its outcome.
        """
        if request.done:
            return
        request.done = True
        request.error = error
        request.value = value
        self._forget(request, cancel)
        request.finished(request)

    def _forget(self, request: Request[Any], cancel: bool) -> None:
        self._requests.pop(request, None)
        for id in request.ids:
            self._by_id.pop(id, None)
        if cancel and request.undo is not None:
            sent = not all(self._outbox.holds(id) for id in request.ids)
            if sent or request.command == "WAIT":
                number = next(self._numbers)
                self._outbox.put(None, encode_request(number, "CANCEL", request.undo))


def _over(request: Request[Any]) -> str:
    if request.command == "CALL":
        return f"The call was not done within {request.timeout:g} seconds, and is cancelled."
    return f"The job was not done within {request.timeout:g} seconds; it goes on."
