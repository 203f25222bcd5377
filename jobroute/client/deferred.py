# -*- test-case-name: tests.client.test_faces -*-
"""
The client for programs in a reactor: every method returns a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jobroute.client.asking import Asking
from jobroute.client.batches import Many
from jobroute.client.connection import Results, make_connection
from jobroute.client.outcomes import Outcome, Page, Partial, PartOutcome, Progress, Submitted
from jobroute.client.parts import Parts
from jobroute.client.pulse import HEARTBEAT
from jobroute.client.questions import broker_url
from jobroute.client.request import Request
from jobroute.client.specs import Header, JobSpec, Payload, TargetLike, job_spec
from jobroute.clock import SystemClock
from jobroute.errors import JobrouteError
from jobroute.interfaces import IClock, INetwork, SocketKind, SocketOptions
from jobroute.zeromq.addresses import parse_remote

T = TypeVar("T")
P = ParamSpec("P")


def _deferred(
    method: Callable[P, Coroutine[Deferred[Any], Any, T]],
) -> Callable[P, Deferred[T]]:
    """
    A method whose body is a coroutine and that returns a Deferred.
    """

    @wraps(method)
    def started(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(method(*args, **kwargs))

    return started


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
        self._asking = Asking(namespace, name, timeout, random, clock)
        address = parse_remote(broker_url(url)).url
        options = SocketOptions(heartbeat=HEARTBEAT)
        endpoint = network.endpoint(SocketKind.DEALER, address, options)
        self._connection = make_connection(endpoint, reactor, clock, timeout, random)

    @_deferred
    async def ping(self, *, agents: bool = True) -> dict[str, Any]:
        """
        As L{Client.ping}.
        """
        return await self._ask(self._asking.ping(agents=agents))

    @_deferred
    async def agents(self) -> dict[str, Any]:
        """
        As L{Client.agents}.
        """
        return await self._ask(self._asking.agents())

    @_deferred
    async def stats(self) -> dict[str, Any]:
        """
        As L{Client.stats}.
        """
        return await self._ask(self._asking.stats())

    @_deferred
    async def submit(
        self,
        service: str,
        *payload: bytes,
        target: TargetLike = "any",
        job: str | None = None,
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: bool = False,
    ) -> Submitted:
        """
        As L{Client.submit}.
        """
        limits = (queue_limit, run_limit, deadline)
        spec = job_spec(service, payload, job, target, header, priority, attempts, limits)
        return await self._ask(self._asking.submit(spec, timeout=timeout, retry=retry))

    @_deferred
    async def submit_many(
        self,
        jobs: Iterable[JobSpec | dict[str, Any]],
        *,
        service: str | None = None,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: bool = False,
    ) -> list[Submitted | JobrouteError]:
        """
        As L{Client.submit_many}.
        """
        done: Many = []
        limits = (queue_limit, run_limit, deadline)
        common = job_spec(service, (), None, target, header, priority, attempts, limits)
        for batch in self._asking.submit_many(jobs, common, timeout=timeout, retry=retry):
            some: Many = await self._ask(batch) if isinstance(batch, Request) else batch
            done.extend(some)
        return done

    @_deferred
    async def call(
        self,
        service: str,
        *payload: bytes,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
        on_partial: Callable[[Partial], object] | None = None,
        on_part: Callable[[PartOutcome], object] | None = None,
    ) -> Outcome:
        """
        As L{Client.call}.
        """
        limits = (queue_limit, run_limit, deadline)
        spec = job_spec(service, payload, None, target, header, priority, attempts, limits)
        parts = Parts(target, on_part)
        streams = (on_progress, on_partial, parts.on_part)
        request = self._asking.call(spec, streams, timeout=timeout, retry=retry)
        return parts.complete(await self._ask(request))

    @_deferred
    async def wait(
        self,
        job: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        on_partial: Callable[[Partial], object] | None = None,
        on_part: Callable[[PartOutcome], object] | None = None,
    ) -> Outcome:
        """
        As L{Client.wait}.
        """
        streams = (on_progress, on_partial, on_part)
        return await self._complete(self._asking.wait(job, streams, timeout=timeout))

    @_deferred
    async def result(self, job: str, index: int = 0) -> PartOutcome:
        """
        As L{Client.result}.
        """
        return await self._ask(self._asking.result(job, index))

    @_deferred
    async def cancel(self, job: str, index: int | None = None) -> int:
        """
        As L{Client.cancel}.
        """
        return await self._ask(self._asking.cancel(job, index))

    @_deferred
    async def input(self, job: str, *payload: bytes, index: int = 0) -> None:
        """
        As L{Client.input}.
        """
        await self._ask(self._asking.input(job, payload, index))

    def map(
        self,
        service: str,
        payloads: Iterable[Payload],
        *,
        window: int = 100,
        ordered: bool = True,
        progress: Callable[[int, int | None], object] | None = None,
        durable: bool = False,
        target: TargetLike = "any",
        header: Header = None,
        priority: int = 0,
        attempts: int = 1,
        queue_limit: float | None = None,
        run_limit: float | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: bool = True,
    ) -> Results:
        """
        As L{Client.map}, but it returns an asynchronous iterator at once, whose
        C{next} returns a Deferred and which has a C{close}.
        """
        limits = (queue_limit, run_limit, deadline)
        common = job_spec(service, (), None, target, header, priority, attempts, limits)
        mapping = self._asking.map(
            common, payloads, window, ordered, progress, durable, timeout=timeout, retry=retry
        )
        return Results(self._connection, mapping)

    @_deferred
    async def jobs(
        self,
        *,
        service: str | None = None,
        client: str | None = None,
        state: str | None = None,
        verdict: str | None = None,
        limit: int = 100,
        before: Any = None,
    ) -> Page:
        """
        As L{Client.jobs}.
        """
        return await self._ask(self._asking.jobs(service, client, state, verdict, limit, before))

    @_deferred
    async def job(self, job: str) -> dict[str, Any]:
        """
        As L{Client.job}.
        """
        return await self._ask(self._asking.job(job))

    @_deferred
    async def why(self, job: str) -> list[dict[str, Any]]:
        """
        As L{Client.why}.
        """
        return await self._ask(self._asking.why(job))

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

    def _ask(self, request: Request[T]) -> Deferred[T]:
        return self._connection.ask(request)

    async def _complete(self, request: Request[Outcome]) -> Outcome:
        """
        Ask, and fetch the results that were too large for one answer.
        """
        outcome = await self._ask(request)
        for part in outcome.parts:
            if part.omitted:
                outcome = outcome.with_part(await self.result(outcome.job, part.index))
        return outcome
