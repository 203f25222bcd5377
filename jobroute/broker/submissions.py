# -*- test-case-name: tests.broker.test_submissions -*-
"""
The same id is the same job, in memory or long on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.broker.admission import digest
from jobroute.broker.clients import Clients
from jobroute.broker.journal import Journal
from jobroute.broker.pace import Paces
from jobroute.broker.parts import Job
from jobroute.config import Limits
from jobroute.errors import Busy, InternalError, JobConflict, JobrouteError
from jobroute.interfaces import IDispatcher, IStorage
from jobroute.log import Logger
from jobroute.model import JobRecord, JobRequest, PartState

Answer = dict[str, Any] | JobrouteError
_Key = tuple[str, str]

#: Roughly what a claim takes beside payload and header.
_CLAIM = 1024


@define(eq=False, repr=False)
class Submissions:
    """
    Looks an id up in the store before it accepts a job under it.  While that
    goes on, the id is claimed, and whoever submits it too waits in line.
    While ids of a namespace are looked up, further ones gather for the next
    look, so that many clients cost few looks.
    """

    _log = Logger()

    _dispatcher: IDispatcher
    _storage: IStorage
    _journal: Journal
    _clients: Clients
    _limits: Limits
    _counters: dict[str, int]
    _paces: Paces
    _claimed: int = field(default=0, init=False)
    _claims: dict[_Key, list[tuple[JobRequest, Callable[[Answer], None]]]] = field(
        factory=dict, init=False
    )
    _gathered: dict[str, list[str]] = field(factory=dict, init=False)

    def submit(self, requests: Sequence[JobRequest], done: Callable[[list[Answer]], None]) -> None:
        """
        Submit jobs, each by itself.

        @param done: called with the answers, in order, when all that were
            accepted are on disk.
        """
        answers: list[Answer | None] = [None] * len(requests)
        missing = len(requests)

        def answer(index: int, said: Answer) -> None:
            nonlocal missing
            answers[index] = said
            missing -= 1
            if not missing:
                done(answers)  # type: ignore[arg-type]

        unknown: dict[str, list[str]] = {}
        for index, request in enumerate(requests):
            tell = partial(answer, index)
            if request.id is None:
                self._accept(request, b"", tell)
                continue
            key = (request.namespace, request.id)
            job = self._dispatcher.find(*key)
            known = key in self._claims
            if job is not None and job.digest and not known:
                self._again(request, job, tell)
                continue
            try:
                self._claim(request)
            except Busy as e:
                self._paces.mark(e)
                tell(e)
                continue
            self._claims.setdefault(key, []).append((request, tell))
            if not known:
                unknown.setdefault(request.namespace, []).append(request.id)
        for namespace, ids in unknown.items():
            if namespace in self._gathered:
                self._gathered[namespace].extend(ids)
            else:
                self._look(namespace, ids)

    def _claim(self, request: JobRequest) -> None:
        """
        Make sure that what waits for the store stays within its limits.
        """
        size = _size(request)
        if self._claimed + size > self._limits.claimed_bytes:
            raise Busy("Too many submissions wait for the storage; try again later.")
        self._clients.claim(request.client)
        self._claimed += size

    def _unclaim(self, key: _Key) -> list[tuple[JobRequest, Callable[[Answer], None]]]:
        claims = self._claims.pop(key)
        for request, _ in claims:
            self._clients.claim_over(request.client)
            self._claimed -= _size(request)
        return claims

    def _look(self, namespace: str, ids: list[str]) -> None:
        self._gathered[namespace] = []
        found = self._storage.find(namespace, ids)
        found.addCallbacks(self._found, self._unread, (namespace, ids), {}, (namespace, ids), {})
        found.addErrback(lambda f: self._log.failure("A submission failed.", f))
        found.addCallback(lambda _: self._look_on(namespace))

    def _look_on(self, namespace: str) -> None:
        ids = self._gathered.pop(namespace)
        if ids:
            self._look(namespace, ids)

    def _accept(self, request: JobRequest, digest: bytes, tell: Callable[[Answer], None]) -> None:
        try:
            self._dispatcher.submit(request, digest, lambda job: tell(_said(job, existing=False)))
        except JobrouteError as e:
            self._paces.mark(e)
            tell(e)

    def _found(self, found: dict[str, JobRecord], namespace: str, ids: list[str]) -> None:
        for id in ids:
            for request, tell in self._unclaim((namespace, id)):
                job = self._dispatcher.find(namespace, id)
                if job is not None:
                    if not job.digest and id in found:
                        job.digest = found[id].digest
                    self._again(request, job, tell)
                elif id in found:
                    self._stored(request, found[id], tell)
                else:
                    self._accept(request, digest(request), tell)

    def _unread(self, failure: Failure, namespace: str, ids: list[str]) -> None:
        error = self._error(failure)
        for id in ids:
            for _, tell in self._unclaim((namespace, id)):
                tell(error)

    def _error(self, failure: Failure) -> JobrouteError:
        if isinstance(failure.value, JobrouteError):
            return failure.value
        self._log.failure("The store could not be read.", failure)
        return InternalError("The store could not be read; the broker's log says why.")

    def _again(self, request: JobRequest, job: Job, tell: Callable[[Answer], None]) -> None:
        if digest(request) != job.digest:
            tell(_conflict(request))
            return
        self._counters["jobs_existing"] += 1
        # The first submission may still be on its way to the disk.
        self._journal.park(tell, _said(job, existing=True))

    def _stored(
        self, request: JobRequest, record: JobRecord, tell: Callable[[Answer], None]
    ) -> None:
        if digest(request) != record.digest:
            tell(_conflict(request))
            return
        self._counters["jobs_existing"] += 1
        said = {"job": record.id, "number": record.number, "existing": True, "state": "done"}
        parts = self._storage.parts(record.number)
        parts.addCallbacks(
            lambda found: tell({**said, "parts": len(found)}),
            lambda failure: tell(self._error(failure)),
        )


def _size(request: JobRequest) -> int:
    return _CLAIM + len(request.header) + sum(map(len, request.payload))


def _conflict(request: JobRequest) -> JobConflict:
    return JobConflict(
        f"There is another job {request.id} in namespace {request.namespace}; choose another id."
    )


def _said(job: Job, existing: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "job": job.id,
        "number": job.number,
        "parts": len(job.parts),
        "existing": existing,
    }
    if existing:
        said["state"] = state(job)
    return said


def state(job: Job) -> str:
    """
    Where a job as a whole is: C{queued}, C{running} or C{done}.
    """
    if not job.open:
        return "done"
    if any(part.state is not PartState.QUEUED for part in job.parts):
        return "running"
    return "queued"
