# -*- test-case-name: tests.client.test_faces -*-
"""
The client for asyncio: every method is a coroutine.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial, wraps
from random import SystemRandom
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from jobroute.client.asking import Asking
from jobroute.client.connection import Connection, Results
from jobroute.client.core import Core
from jobroute.client.mapping import Mapping
from jobroute.client.methods import Methods
from jobroute.client.outcomes import Outcome
from jobroute.client.pulse import HEARTBEAT
from jobroute.client.questions import broker_url
from jobroute.client.request import Request
from jobroute.clock import SystemClock
from jobroute.errors import NotConnected
from jobroute.zeromq.addresses import parse_remote
from jobroute.zeromq.loops import connect

T = TypeVar("T")
P = ParamSpec("P")


def _awaited(
    method: Callable[Concatenate[Methods, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """
    A method that is a coroutine.
    """

    @wraps(method)
    async def awaited(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await method(self._methods, *args, **kwargs)

    return awaited


def _iterating(
    method: Callable[Concatenate[Methods, P], Mapping],
) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[Outcome, None]]:
    """
    A method that returns an asynchronous iterator of outcomes at once.
    """

    @wraps(method)
    def begun(
        self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[Outcome, None]:
        return self._drain(method(self._methods, *args, **kwargs))

    return begun


class AsyncClient:
    """
    A client of a broker, for asyncio: the methods of
    L{jobroute.client.Client} with the same arguments, each a coroutine.  No
    thread is started.  When the task that waits for a C{call} is cancelled,
    so is the job.

    It belongs to the event loop in which it is used first.

    @param url: as for L{jobroute.client.Client}, and so are C{namespace},
        C{name} and C{timeout}.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str = "default",
        name: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        random, clock = SystemRandom(), SystemClock()
        self._address = parse_remote(broker_url(url)).url
        self._methods = Methods(Asking(namespace, name, timeout, random, clock), self._ask)
        self._core = Core(timeout, random)
        self.clock = clock
        self._process = os.getpid()
        self._loop: AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._closed = False

    ping = _awaited(Methods.ping)
    agents = _awaited(Methods.agents)
    stats = _awaited(Methods.stats)
    submit = _awaited(Methods.submit)
    submit_many = _awaited(Methods.submit_many)
    call = _awaited(Methods.call)
    wait = _awaited(Methods.wait)
    result = _awaited(Methods.result)
    cancel = _awaited(Methods.cancel)
    input = _awaited(Methods.input)
    retry = _awaited(Methods.retry)
    quarantine = _awaited(Methods.quarantine)
    quarantine_retry = _awaited(Methods.quarantine_retry)
    quarantine_drop = _awaited(Methods.quarantine_drop)
    jobs = _awaited(Methods.jobs)
    job = _awaited(Methods.job)
    why = _awaited(Methods.why)
    drain = _awaited(Methods.drain)
    pause = _awaited(Methods.pause)
    resume = _awaited(Methods.resume)
    map = _iterating(Methods.map)

    async def close(self) -> None:
        """
        As L{Client.close}.
        """
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            await connection.close().asFuture(get_running_loop())

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

    def _ask(self, request: Request[T]) -> Future[T]:
        connection, loop = self._connected()
        return connection.ask(request).asFuture(loop)

    async def _drain(self, mapping: Mapping) -> AsyncGenerator[Outcome, None]:
        connection, loop = self._connected()
        results = Results(connection, mapping)
        try:
            while True:
                try:
                    outcome = await results.next().asFuture(loop)
                except StopAsyncIteration:
                    return
                yield outcome
        finally:
            results.close()

    def _connected(self) -> tuple[Connection, AbstractEventLoop]:
        """
        The connection of this loop.

        @raise NotConnected: if the client was closed, or belongs to another
            loop or process.
        """
        loop = get_running_loop()
        if self._process != os.getpid():
            raise NotConnected(
                "This client belongs to the process that this one was forked from; make another."
            )
        if self._closed:
            raise NotConnected("The client was closed.")
        if self._connection is None:
            self._loop = loop
            connecting = partial(connect, loop, self._address, heartbeat=HEARTBEAT)
            self._connection = Connection(connecting, loop.call_later, self.clock, self._core)
        elif self._loop is not loop:
            raise NotConnected("This client belongs to another event loop; make one for each.")
        return self._connection, loop
