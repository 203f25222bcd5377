# -*- test-case-name: tests.broker.test_dispatcher -*-
"""
Jobs in, parts to agents, verdicts out.

The dispatcher is the only one that changes roster, services, parts and waits
together.  What agents say comes in through L{jobroute.broker.agents}.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Any

from attrs import define, field
from zope.interface import implementer

from jobroute.broker.admission import Admission
from jobroute.broker.clients import Clients
from jobroute.broker.deliveries import Deliveries
from jobroute.broker.endings import Endings
from jobroute.broker.events import Events
from jobroute.broker.journal import Journal
from jobroute.broker.numbers import Numbers
from jobroute.broker.parts import Job, Part
from jobroute.broker.roster import Roster
from jobroute.broker.routing import why
from jobroute.broker.services import Services
from jobroute.broker.timers import Timers
from jobroute.broker.verdicts import Verdicts
from jobroute.broker.waits import Wait
from jobroute.config import Settings
from jobroute.errors import NotRunning, WaitTimeout
from jobroute.interfaces import IClock, IDispatcher, IReplyTo
from jobroute.log import Logger
from jobroute.model import (
    CancelRequested,
    Forgotten,
    Frames,
    JobAccepted,
    JobRequest,
    Origin,
    PartReleased,
    PartState,
    Verdict,
)

#: Seconds between two looks at what is past its retention.
RETENTION_INTERVAL = 60.0


@implementer(IDispatcher)
@define(eq=False, repr=False)
class Dispatcher:
    """
    What clients can do with jobs.
    """

    _log = Logger()

    _settings: Settings
    _clock: IClock
    _journal: Journal
    _events: Events
    _numbers: Numbers
    _roster: Roster
    _services: Services
    _timers: Timers
    _clients: Clients
    _admission: Admission
    _deliveries: Deliveries
    _endings: Endings
    _verdicts: Verdicts
    _counters: dict[str, int]
    _ask_again: float = field(default=0.0, init=False)
    _retention: float = field(default=0.0, init=False)

    # -- Jobs in -------------------------------------------------------------

    def find(self, namespace: str, id: str) -> Job | None:
        """
        See L{IDispatcher.find}.
        """
        return self._verdicts.jobs.get((namespace, id))

    def find_call(self, token: str) -> Job | None:
        """
        See L{IDispatcher.find_call}.
        """
        return self._verdicts.calls.find(token)

    def submit(self, request: JobRequest, digest: bytes, accepted: Callable[[Job], None]) -> Job:
        """
        See L{IDispatcher.submit}.
        """
        job = self._make(request, digest, volatile=False)
        self._verdicts.jobs[job.namespace, job.id] = job
        parts = tuple(part.record() for part in job.parts)
        self._journal.append(JobAccepted(job.record(), parts, request.payload))
        self._events.record("job.accepted", job=job.number)
        if request.origin is not None:
            self._release(request.origin, job)
        for part in job.parts:
            self._deliveries.place(part)
        self._journal.park(self._accepted, job, accepted)
        self._journal.flush()
        return job

    def _release(self, origin: Origin, job: Job) -> None:
        """
        The job takes the place of parts in quarantine.
        """
        for part in origin.released:
            self.release(origin.job, part, {"job": job.id})

    def release(self, job: int, part: int, how: dict[str, Any]) -> None:
        """
        See L{IDispatcher.release}.
        """
        self._journal.append(PartReleased(part))
        self._events.record("part.released", job, part, data=how)

    def _accepted(self, job: Job, accepted: Callable[[Job], None]) -> None:
        self._verdicts.payloads.keep(job)
        accepted(job)

    def call(
        self, request: JobRequest, reply_to: IReplyTo, stream: tuple[str, ...], token: str
    ) -> None:
        """
        See L{IDispatcher.call}.
        """
        job = self._make(request, b"", volatile=True)
        self._verdicts.open[job] = None
        job.add(Wait(job, reply_to, request.client, stream, counted=False))
        if token:
            job.token = token
            self._verdicts.calls.add(job)
        self._counters["calls"] += 1
        for part in job.parts:
            self._deliveries.place(part)
        self._journal.flush()

    def _make(self, request: JobRequest, digest: bytes, volatile: bool) -> Job:
        names = self._admission.resolve(request)
        self._admission.check(request, len(names), volatile)
        self._numbers.require(len(names) + 1)
        number = self._numbers.take()
        id = request.id
        if id is None:
            # Nobody else's: a client's own id is never just digits.
            id = str(number)
        wall, now = self._clock.wall(), self._clock.monotonic()
        limits = request.limits
        left = self._settings.deadline if limits.deadline is None else limits.deadline
        job = Job(
            number,
            request.namespace,
            id,
            request.client,
            request.service,
            request.target,
            request.header,
            request.priority,
            request.attempts,
            limits.queue,
            limits.run,
            wall + left,
            wall,
            now + left,
            volatile,
            request.payload,
            digest,
            retry=request.retry,
            max_lost=request.max_lost,
            origin=None if request.origin is None else request.origin.job,
        )
        until = inf if limits.queue is None else now + limits.queue
        for index, who in enumerate(names):
            job.parts.append(Part(self._numbers.take(), job, index, who, queue_until=until))
        job.open = len(names)
        if request.origin is not None:
            for part, past in zip(job.parts, request.origin.pasts, strict=True):
                part.past = past
        self._clients.job(job.client)
        self._counters["jobs_accepted"] += 1
        return job

    # -- Commands on jobs ----------------------------------------------------

    def wait(
        self,
        job: Job,
        reply_to: IReplyTo,
        client: str,
        stream: tuple[str, ...],
        timeout: float | None,
    ) -> None:
        """
        See L{IDispatcher.wait}.
        """
        self._verdicts.wait(job, reply_to, client, stream, timeout)

    def cancel(self, job: Job, index: int | None, asked: Callable[[int], None]) -> None:
        """
        See L{IDispatcher.cancel}.
        """
        parts = job.parts if index is None else [job.parts[index]]
        count = 0
        for part in parts:
            if part.state is PartState.DONE:
                continue
            count += 1
            if part.attempt is None:
                self._deliveries.dequeue(part)
                self._verdicts.end(part, Verdict.CANCELLED, None)
            elif not part.cancelling:
                part.cancelling = True
                if not job.volatile:
                    self._journal.append(CancelRequested(part.number))
                    self._events.record("part.cancelling", job.number, part.number, part.made)
                self._deliveries.stop(part.attempt)
        self._journal.park(asked, count)
        self._journal.flush()

    def input(self, job: Job, index: int, payload: Frames) -> None:
        """
        See L{IDispatcher.input}.
        """
        attempt = job.parts[index].attempt
        if attempt is None or attempt.stopping:
            raise NotRunning(f"No agent works on part {index} of job {job.id}.")
        self._deliveries.input(attempt, payload)

    def why(self, part: Part) -> tuple[str, str]:
        """
        Why a part is where it is: a code and a sentence.
        """
        attempt = part.attempt
        if part.due is not None:
            return self._why_due(part, part.due)
        if attempt is None:
            return why(part, self._services.get(part.job.service), self._roster)
        name = attempt.agent.name
        if attempt.overdue:
            return (
                "overdue",
                f"Attempt {attempt.number} ran for too long; agent {name} was asked to stop it, "
                "and has not confirmed.",
            )
        if attempt.stopping:
            return "cancelling", f"Agent {name} was asked to stop it and has not confirmed."
        if attempt.agent.suspect:
            return "suspect", f"Agent {name} has it, and was not heard since the broker started."
        return "running", f"Agent {name} works on attempt {attempt.number}."

    def _why_due(self, part: Part, due: float) -> tuple[str, str]:
        left = max(0.0, due - self._clock.monotonic())
        moment = datetime.fromtimestamp(self._clock.wall() + left, UTC)
        return (
            "not-due",
            f"Attempt {part.made} by agent {part.agent} is over; attempt {part.made + 1} may begin "
            f"in {left:.1f} seconds, at {moment:%Y-%m-%d %H:%M:%S} UTC.",
        )

    # -- Time ----------------------------------------------------------------

    @property
    def next_limit(self) -> float | None:
        """
        When the first limit of a part or a wait is reached, on the monotonic
        clock.
        """
        return self._timers.first

    def tick(self) -> None:
        """
        See L{IDispatcher.tick}.
        """
        now = self._clock.monotonic()
        for item in self._timers.due(now):
            try:
                if isinstance(item, Part):
                    self._due(item, now)
                elif isinstance(item, Wait):
                    self._wait_over(item)
            except Exception:
                # One that fails must not stop the clock for all others.
                self._log.failure("A timer failed.")
        if now >= self._ask_again:
            self._ask_again = now + self._settings.heartbeat_interval
            self._deliveries.ask_again()
        if now >= self._retention:
            self._retention = now + RETENTION_INTERVAL
            limits = self._settings.limits
            before = self._verdicts.dates.today() - self._settings.retention
            self._journal.append(Forgotten(before, limits.jobs, limits.events))
        self._verdicts.calls.purge(now)
        self._verdicts.recent.purge(now)
        self._journal.flush()

    def _wait_over(self, wait: Wait) -> None:
        del wait.job.waits[wait]
        self._verdicts.forget(wait)
        wait.failed(WaitTimeout(f"Job {wait.job.id} is not done yet; it goes on."))

    def _due(self, part: Part, now: float) -> None:
        attempt = part.attempt
        if attempt is None:
            if now >= part.job.expires:
                reason = "Its deadline passed in the queue."
            elif now >= part.queue_until:
                reason = "It waited in the queue for too long."
            elif part.due is not None and now >= part.due:
                self._deliveries.resume(part)
                return
            else:
                self._deliveries.watch(part, now)
                return
            _, sentence = self.why(part)
            self._deliveries.dequeue(part)
            self._verdicts.end(part, Verdict.EXPIRED, f"{reason} {sentence}")
        elif now >= part.job.expires:
            self._verdicts.end(part, Verdict.EXPIRED, "Its deadline passed.")
            self._deliveries.stop(attempt)
        elif now >= attempt.run_until:
            self._endings.overdue(attempt, now)
        else:
            self._deliveries.watch(part, now)
