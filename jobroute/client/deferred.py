# -*- test-case-name: tests.client.test_faces -*-
"""
The client for programs in a reactor: every method returns a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jobroute.client.asking import Asking
from jobroute.client.connection import Connection, Results
from jobroute.client.core import Core
from jobroute.client.mapping import Mapping
from jobroute.client.methods import Methods
from jobroute.client.pulse import HEARTBEAT
from jobroute.client.questions import broker_url
from jobroute.clock import SystemClock
from jobroute.interfaces import IClock, INetwork, SocketKind, SocketOptions
from jobroute.zeromq.addresses import parse_remote

T = TypeVar("T")
P = ParamSpec("P")


def _deferred(
    method: Callable[Concatenate[Methods, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[TwistedClient, P], Deferred[T]]:
    """
    A method that returns a Deferred.
    """

    @wraps(method)
    def started(self: TwistedClient, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(method(self._methods, *args, **kwargs))

    return started


def _iterating(
    method: Callable[Concatenate[Methods, P], Mapping],
) -> Callable[Concatenate[TwistedClient, P], Results]:
    """
    A method that returns an asynchronous iterator of outcomes at once, whose
    C{next} returns a Deferred and which has a C{close}.
    """

    @wraps(method)
    def begun(self: TwistedClient, /, *args: P.args, **kwargs: P.kwargs) -> Results:
        return Results(self._connection, method(self._methods, *args, **kwargs))

    return begun


class TwistedClient:
    """
    A client of a broker, for programs in a reactor: the methods of
    L{jobroute.client.Client} with the same arguments, and each returns a
    Deferred of what it returns there, or that fails with what it raises.
    Cancelling the Deferred of a C{call} cancels the job.

    @param url: as for L{jobroute.client.Client}, and so are C{namespace},
        C{name} and C{timeout}.
    @param reactor: for its timers.
    @param network: makes the socket.  It is not closed with the client.
    @param clock: by default the system's.
    @param random: for ids, tokens and jitter; by default one that nobody can
        guess.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        reactor: IReactorTime,
        network: INetwork,
        namespace: str = "default",
        name: str | None = None,
        timeout: float = 30.0,
        clock: IClock | None = None,
        random: Random | None = None,
    ) -> None:
        clock = SystemClock() if clock is None else clock
        random = SystemRandom() if random is None else random
        asking = Asking(namespace, name, timeout, random, clock)
        address = parse_remote(broker_url(url)).url
        options = SocketOptions(heartbeat=HEARTBEAT)
        endpoint = network.endpoint(SocketKind.DEALER, address, options)
        self._connection = Connection(
            endpoint.connect, reactor.callLater, clock, Core(timeout, random)
        )
        self._methods = Methods(asking, self._connection.ask)

    ping = _deferred(Methods.ping)
    agents = _deferred(Methods.agents)
    stats = _deferred(Methods.stats)
    submit = _deferred(Methods.submit)
    submit_many = _deferred(Methods.submit_many)
    call = _deferred(Methods.call)
    wait = _deferred(Methods.wait)
    result = _deferred(Methods.result)
    cancel = _deferred(Methods.cancel)
    input = _deferred(Methods.input)
    retry = _deferred(Methods.retry)
    quarantine = _deferred(Methods.quarantine)
    quarantine_retry = _deferred(Methods.quarantine_retry)
    quarantine_drop = _deferred(Methods.quarantine_drop)
    jobs = _deferred(Methods.jobs)
    job = _deferred(Methods.job)
    why = _deferred(Methods.why)
    drain = _deferred(Methods.drain)
    pause = _deferred(Methods.pause)
    resume = _deferred(Methods.resume)
    map = _iterating(Methods.map)

    def close(self) -> Deferred[None]:
        """
        As L{Client.close}; fires when the socket is closed.
        """
        return self._connection.close()

    async def __aenter__(self) -> Self:
        """
        A client closes itself at the end of an C{async with}.
        """
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        The C{async with} is over.
        """
        await self.close()
