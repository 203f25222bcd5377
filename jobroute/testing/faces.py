# -*- test-case-name: tests.testing.test_cluster -*-
"""
The client of a cluster as a test uses it: each method returns its value, and
the simulated time goes on until it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from attrs import define
from twisted.internet.defer import Deferred

from jobroute.client import Outcome, TwistedClient
from jobroute.client.specs import Payload

T = TypeVar("T")
P = ParamSpec("P")


class Result(Protocol):
    """
    Lets time pass until something is there.
    """

    def __call__(self, deferred: Deferred[T], within: float | None = None, job: str = "") -> T:
        """
        @param within: for how many seconds at most.
        @param job: the job that it is about.
        @return: its value, or raises its error.
        """


def _at_once(
    method: Callable[Concatenate[TwistedClient, P], Deferred[T]],
) -> Callable[Concatenate[VirtualClient, P], T]:
    """
    A method that returns when its Deferred has fired.
    """

    @wraps(method)
    def asked(self: VirtualClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._result(method(self.deferred, *args, **kwargs))

    return asked


@define(eq=False, repr=False)
class VirtualClient:
    """
    The methods of L{jobroute.client.Client} with the same arguments, in
    simulated time.

    @ivar deferred: the L{TwistedClient} under it, whose methods return
        Deferreds.
    """

    deferred: TwistedClient
    _result: Result

    ping = _at_once(TwistedClient.ping)
    agents = _at_once(TwistedClient.agents)
    stats = _at_once(TwistedClient.stats)
    submit = _at_once(TwistedClient.submit)
    submit_many = _at_once(TwistedClient.submit_many)
    call = _at_once(TwistedClient.call)
    wait = _at_once(TwistedClient.wait)
    result = _at_once(TwistedClient.result)
    cancel = _at_once(TwistedClient.cancel)
    input = _at_once(TwistedClient.input)
    jobs = _at_once(TwistedClient.jobs)
    job = _at_once(TwistedClient.job)
    why = _at_once(TwistedClient.why)

    def map(self, service: str, payloads: Iterable[Payload], **arguments: Any) -> Iterator[Outcome]:
        """
        As L{jobroute.client.Client.map}.
        """
        results = self.deferred.map(service, payloads, **arguments)
        while True:
            try:
                yield self._result(results.next())
            except StopAsyncIteration:
                return


@define(eq=False, repr=False)
class SubmittedJob:
    """
    A job that was handed in, and is on disk.

    @ivar id: its id.
    """

    id: str
    _client: VirtualClient
    _result: Result

    def outcome(self, within: float | None = None) -> Outcome:
        """
        Let time pass until the job is done.

        @param within: for how many simulated seconds at most; 600 if L{None}.
        @raise NeverDone: if it is not done by then; it says why.
        """
        return self._result(self._client.deferred.wait(self.id), within, self.id)

    @property
    def done(self) -> bool:
        """
        Whether all its parts have their verdict.
        """
        return bool(self._client.job(self.id)["state"] == "ended")

    def cancel(self, index: int | None = None) -> int:
        """
        As L{jobroute.client.Client.cancel}.
        """
        return self._client.cancel(self.id, index)

    def input(self, *payload: bytes, index: int = 0) -> None:
        """
        As L{jobroute.client.Client.input}.
        """
        self._client.input(self.id, *payload, index=index)

    def why(self) -> list[dict[str, Any]]:
        """
        For each part that is not done, what it waits for.
        """
        return self._client.why(self.id)

    def history(self) -> list[dict[str, Any]]:
        """
        All events of the job, in order.
        """
        events: list[dict[str, Any]] = self._client.job(self.id)["events"]
        return events
