# -*- test-case-name: tests.broker.test_verdicts -*-
"""
Verdicts, and telling them to those who wait.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.python.failure import Failure

from jobroute.broker.answered import Answered
from jobroute.broker.clients import Clients
from jobroute.broker.dates import Dates
from jobroute.broker.events import Events
from jobroute.broker.gathering import gather, gather_stored
from jobroute.broker.journal import Journal
from jobroute.broker.parts import Job, Part
from jobroute.broker.payloads import Payloads
from jobroute.broker.timers import Timers
from jobroute.broker.waits import Calls, Wait
from jobroute.config import Limits
from jobroute.errors import InternalError, JobrouteError, Stopping, UnknownOutcome
from jobroute.interfaces import IClock, IReplyTo, IStorage
from jobroute.log import Logger
from jobroute.model import Frames, JobEnded, PartEnded, PartState, Past, Verdict


@define(eq=False, repr=False)
class Verdicts:
    """
    @ivar jobs: the stored jobs that have not ended, by namespace and id.
    @ivar calls: those that can be found by their token.
    @ivar recent: the outcomes of stored jobs that ended just now, by
        namespace and id.
    @ivar open: the calls under way.
    @ivar dates: when they end.
    """

    _log = Logger()

    _limits: Limits
    _clock: IClock
    _storage: IStorage
    _journal: Journal
    _events: Events
    _timers: Timers
    clients: Clients
    _counters: dict[str, int]
    payloads: Payloads
    calls: Calls = field(factory=Calls, init=False)
    recent: Answered = field(factory=lambda: Answered(keep=10.0), init=False)
    jobs: dict[tuple[str, str], Job] = field(factory=dict, init=False)
    open: dict[Job, None] = field(factory=dict, init=False)
    dates: Dates = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.dates = Dates(self._clock)

    def wait(
        self,
        job: Job,
        reply_to: IReplyTo,
        client: str,
        stream: tuple[str, ...],
        timeout: float | None,
    ) -> Wait:
        """
        See L{IDispatcher.wait}.
        """
        self.clients.wait(client)
        wait = Wait(job, reply_to, client, stream)
        job.add(wait)
        if timeout is not None:
            now = self._clock.monotonic()
            self._timers.set(wait, now + timeout, now)
        if "partial" in stream and not job.volatile:
            self._replay(wait)
        return wait

    def _replay(self, wait: Wait) -> None:
        for part in wait.job.parts:
            # Also of an attempt that is over while its last partial results
            # are on their way to the disk: those will be told.
            if part.partials and not part.told:
                stored = self._storage.partials(part.number, part.made, 0, part.partials)
                wait.replay(part, stored)

    def end(
        self,
        part: Part,
        verdict: Verdict,
        reason: str | None,
        frames: Frames = (),
        past: Past | None = None,
    ) -> None:
        """
        Give a part its verdict.

        @param past: its past, if there is something new in it.
        """
        job = part.job
        part.attempt = None
        part.state = PartState.DONE
        part.verdict = verdict
        part.reason = reason
        part.result = frames
        part.frames = len(frames)
        self._timers.clear(part)
        job.open -= 1
        self._counters["verdicts_" + verdict.value] += 1
        if job.volatile:
            self._part_over(part)
            if not job.open:
                self._job_over(job)
            return
        part.ended = self.dates.ended()
        self._journal.append(
            PartEnded(part.number, verdict, reason, part.agent, part.ended, frames, past)
        )
        self._events.record(
            "part.ended",
            job.number,
            part.number,
            part.made,
            part.agent,
            {"verdict": verdict.value, **({"reason": reason} if reason else {})},
        )
        self._journal.park(self._part_over, part)
        if not job.open:
            self._journal.append(JobEnded(job.number, part.ended))
            self._journal.park(self._job_over, job)

    def _part_over(self, part: Part) -> None:
        part.told = True
        for wait in tuple(part.job.waits):
            if wait.stream:
                wait.part(part, part.result or ())
        if len(part.job.parts) > 1 and not part.job.volatile:
            # Its place is the disk; a job for thousands has thousands.
            part.result = None

    def _job_over(self, job: Job) -> None:
        self.clients.job_over(job.client)
        if job.volatile:
            del self.open[job]
        else:
            del self.jobs[job.namespace, job.id]
            self.payloads.drop(job)
        if job.volatile or len(job.parts) == 1:
            outcome, frames = gather(job, self._limits)
            if job.token:
                self.calls.done(job, outcome, frames, self._clock.monotonic())
            elif not job.volatile:
                # Clients ask for it right after; the store need not be.
                key = (job.namespace, job.id)
                self.recent.put(key, outcome, frames, self._clock.monotonic())
            self._tell(job, outcome, frames)
        elif job.waits:
            records = [part.record() for part in job.parts]
            found = gather_stored(job.id, job.number, records, self._storage, self._limits)
            found.addCallbacks(
                lambda gathered: self._tell(job, *gathered),
                lambda failure: self._unread(job, failure),
            )
        else:
            job.parts = []

    def _tell(self, job: Job, outcome: dict[str, Any], frames: Frames) -> None:
        for wait in job.waits:
            self.forget(wait)
            wait.done(outcome, frames)
        job.told()

    def _unread(self, job: Job, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, JobrouteError):
            self._log.failure("The outcome of job {job_id} was not read.", failure, job_id=job.id)
            error = InternalError("The results cannot be read; the broker's log says why.")
        for wait in job.waits:
            self.forget(wait)
            wait.failed(error)
        job.told()

    @property
    def open_calls(self) -> int:
        """
        How many calls are under way.
        """
        return len(self.open)

    def abandon(self) -> None:
        """
        The broker stops: answer whoever still waits, since nobody else will.
        """
        calls = UnknownOutcome(
            "The broker stopped before the call was done; nothing runs it again."
        )
        waits = Stopping("The broker is stopping; the job goes on, wait for it again.")
        for jobs, error in ((list(self.open), calls), (list(self.jobs.values()), waits)):
            for job in jobs:
                for wait in tuple(job.waits):
                    wait.failed(error)

    def forget(self, wait: Wait) -> None:
        """
        A wait is over; whoever calls this answers it.
        """
        self._timers.clear(wait)
        if wait.counted:
            self.clients.wait_over(wait.client)
