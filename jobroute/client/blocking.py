# -*- test-case-name: tests.client.test_faces -*-
"""
The client for programs without an event loop: every method waits.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from random import SystemRandom
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from jobroute.client.asking import Asking
from jobroute.client.channel import Channels
from jobroute.client.mapping import Mapping
from jobroute.client.methods import Methods
from jobroute.client.outcomes import Outcome
from jobroute.client.questions import broker_url
from jobroute.client.request import Request
from jobroute.clock import SystemClock
from jobroute.zeromq.addresses import parse_remote

T = TypeVar("T")
P = ParamSpec("P")


def _waiting(
    method: Callable[Concatenate[Methods, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """
    A method that returns when it is done.
    """

    @wraps(method)
    def waited(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            # Asking waits by itself: the coroutine is never suspended.
            method(self._methods, *args, **kwargs).send(None)
        except StopIteration as done:
            value: T = done.value
            return value
        raise AssertionError(f"{method.__name__} was suspended.")

    return waited


def _iterating(
    method: Callable[Concatenate[Methods, P], Mapping],
) -> Callable[Concatenate[Client, P], Iterator[Outcome]]:
    """
    A method that returns an iterator of outcomes at once.
    """

    @wraps(method)
    def begun(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Outcome]:
        return self._drain(method(self._methods, *args, **kwargs))

    return begun


class Client:
    """
    A client of a broker, for scripts.

    Several threads may use one at the same time.  A process that was forked
    has to make its own: here every method raises
    L{jobroute.errors.NotConnected}.

    Nothing is connected before the first question, and a broker that is not
    there yet may come within C{timeout}.

    @param url: where the broker's frontend is; by default
        C{$JOBROUTE_BROKER}, else the socket in the default data directory.
    @param namespace: in which the ids of jobs are unique.
    @param name: what the broker calls this client; it is fair between names.
    @param timeout: for how many seconds the broker may be silent before it
        counts as lost, and for how long a question other than C{call} and
        C{wait} may take.
    @raise BadProperty: if a name or the timeout is wrong.
    @raise BadEndpoint: if C{url} is none.
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
        asking = Asking(namespace, name, timeout, random, clock)
        channels = Channels(parse_remote(broker_url(url)).url, timeout, random, clock)

        # No method: a client that is forgotten is freed at once.
        async def ask(request: Request[T]) -> T:
            return channels.mine().ask(request)

        self._channels = channels
        self._methods = Methods(asking, ask)

    ping = _waiting(Methods.ping)
    agents = _waiting(Methods.agents)
    stats = _waiting(Methods.stats)
    submit = _waiting(Methods.submit)
    submit_many = _waiting(Methods.submit_many)
    call = _waiting(Methods.call)
    wait = _waiting(Methods.wait)
    result = _waiting(Methods.result)
    cancel = _waiting(Methods.cancel)
    input = _waiting(Methods.input)
    retry = _waiting(Methods.retry)
    quarantine = _waiting(Methods.quarantine)
    quarantine_retry = _waiting(Methods.quarantine_retry)
    quarantine_drop = _waiting(Methods.quarantine_drop)
    jobs = _waiting(Methods.jobs)
    job = _waiting(Methods.job)
    why = _waiting(Methods.why)
    drain = _waiting(Methods.drain)
    pause = _waiting(Methods.pause)
    resume = _waiting(Methods.resume)
    map = _iterating(Methods.map)

    def close(self) -> None:
        """
        Close the connection.  Calls that are under way are cancelled, and
        every wait ends with L{jobroute.errors.NotConnected}.  May be called
        again.
        """
        self._channels.close()

    def __enter__(self) -> Self:
        """
        A client closes itself at the end of a C{with}.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        The C{with} is over.
        """
        self.close()

    def _drain(self, mapping: Mapping) -> Iterator[Outcome]:
        channel = self._channels.mine()
        try:
            mapping.begin(channel.send, channel.abandon)
            while True:
                outcome = mapping.take()
                if outcome is not None:
                    yield outcome
                elif mapping.over:
                    return
                else:
                    channel.turn()
        finally:
            mapping.close()
