# -*- test-case-name: tests.broker.test_again -*-
"""
C{RETRY} and the quarantine: jobs that have ended, submitted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from attrs import define, evolve, field
from msgspec import Meta
from twisted.internet.defer import Deferred

from jobroute.broker.commands.base import LATER, Command, Index, JobName, Name
from jobroute.broker.commands.jobs import checked_id
from jobroute.broker.commands.paging import PageProperties, page
from jobroute.broker.finder import Finder
from jobroute.broker.journal import Journal
from jobroute.broker.losses import described
from jobroute.broker.reads import Reads
from jobroute.broker.submissions import Answer, Submissions
from jobroute.config import Limits
from jobroute.errors import (
    BadProperty,
    Busy,
    JobNotDone,
    JobrouteError,
    NothingToRetry,
    Quarantined,
)
from jobroute.interfaces import AnswerKind, Caller, IDispatcher, IReplyTo, IStorage
from jobroute.model import (
    Frames,
    JobRecord,
    JobRequest,
    Origin,
    PartRecord,
    Past,
    Target,
    Verdict,
)
from jobroute.model import Limits as TimeLimits
from jobroute.model import Quarantined as QuarantinedPart


class AgainProperties(JobName, kw_only=True):
    """
    Which ended job is submitted again, under which id.
    """

    new: Annotated[Name | None, Meta(description="the new job's id")] = None
    client: Annotated[Name | None, Meta(description="who asks, for fairness")] = None


class RetryProperties(AgainProperties, kw_only=True):
    """
    And which of its parts.
    """

    all: Annotated[bool, Meta(description="also the parts that succeeded")] = False
    force: Annotated[bool, Meta(description="also the parts in quarantine")] = False


class DropProperties(JobName, kw_only=True):
    """
    Which quarantined parts are dropped.
    """

    index: Annotated[Index | None, Meta(description="one part only, from 0")] = None


def _poison(part: PartRecord) -> bool:
    return part.verdict is Verdict.QUARANTINED


def _past(part: PartRecord) -> Past | None:
    """
    What a part of the new job inherits: what it cost, unless somebody
    decided that it may try again.
    """
    if _poison(part) or part.past is None or not part.past.losses:
        return None
    return evolve(part.past, refused=())


@define(eq=False, repr=False)
class Resubmission:
    """
    Makes a job from one that has ended.
    """

    _dispatcher: IDispatcher
    _submissions: Submissions
    _storage: IStorage
    _finder: Finder
    #: The jobs that are being submitted again: once at a time each.
    _under_way: set[int] = field(factory=set, init=False)

    async def ended(self, p: JobName) -> tuple[JobRecord, tuple[PartRecord, ...]]:
        """
        A job that has ended, with its parts.

        @raise JobNotDone: if it has not.
        """
        if self._dispatcher.find(p.namespace, p.job) is not None:
            raise JobNotDone(f"Job {p.job} is not done yet.")
        record = await self._finder.stored(p.namespace, p.job)
        return record, await self._storage.parts(record.number)

    async def submit(
        self, p: AgainProperties, record: JobRecord, parts: Sequence[PartRecord], caller: Caller
    ) -> dict[str, Any]:
        """
        Submit these parts of a job as a new one.

        @raise JobrouteError: if it is refused.
        """
        if record.number in self._under_way:
            raise Busy(f"Job {p.job} is being submitted again already; try again later.")
        self._under_way.add(record.number)
        try:
            payload = await self._storage.payload(record.number)
            request = self._request(p, record, parts, payload, caller)
            if request.origin is not None and not request.origin.released:
                await self._check(p, parts)
            told: Deferred[list[Answer]] = Deferred()
            self._submissions.submit([request], told.callback)
            [answer] = await told
        finally:
            self._under_way.discard(record.number)
        if isinstance(answer, JobrouteError):
            raise answer
        return {**answer, "origin": record.number}

    async def _check(self, p: AgainProperties, parts: Sequence[PartRecord]) -> None:
        """
        What left the quarantine does so once; but whoever is in doubt may
        ask again.
        """
        if not any(map(_poison, parts)):
            return
        if p.new is not None:
            if self._dispatcher.find(p.namespace, p.new) is not None:
                return
            if await self._storage.find(p.namespace, [p.new]):
                return
        raise NothingToRetry(
            f"The quarantined parts of job {p.job} were dropped, or submitted again, already."
        )

    def _request(
        self,
        p: AgainProperties,
        record: JobRecord,
        parts: Sequence[PartRecord],
        payload: Frames,
        caller: Caller,
    ) -> JobRequest:
        target = record.target
        if target.frozen:
            names = tuple(name for part in parts for name in part.names or ())
            target = Target(names, None)
        return JobRequest(
            record.service,
            target,
            record.header,
            payload,
            record.namespace,
            checked_id(p.new, "new"),
            caller.name if p.client is None else p.client,
            record.priority,
            record.attempts,
            TimeLimits(
                record.queue_limit,
                record.run_limit,
                max(1.0, round(record.deadline - record.submitted, 6)),
            ),
            record.retry,
            record.max_lost,
            Origin(
                record.number,
                tuple(map(_past, parts)),
                tuple(part.number for part in parts if _poison(part) and not part.released),
            ),
        )


@define(eq=False, repr=False)
class RetryCommand(Command):
    """
    Submit an ended job again: those of its parts that did not succeed.
    """

    name = "RETRY"
    properties = RetryProperties
    role = "operator"

    _resubmission: Resubmission
    _reads: Reads

    def execute(
        self, properties: RetryProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._reads.begin(self._retry, properties, caller)

    async def _retry(self, p: RetryProperties, caller: Caller) -> Any:
        record, parts = await self._resubmission.ended(p)
        chosen = [part for part in parts if p.all or part.verdict is not Verdict.SUCCEEDED]
        if not chosen:
            raise NothingToRetry(f"All parts of job {p.job} succeeded; say all to do them again.")
        poison = [part for part in chosen if _poison(part)]
        if poison and not p.force:
            losses = max(0 if part.past is None else part.past.losses for part in poison)
            raise Quarantined(
                f"Job {p.job} is quarantined, since it has cost {losses} agents their lives; look "
                "at QUARANTINE, and submit it again with QUARANTINE_RETRY or with force."
            )
        return await self._resubmission.submit(p, record, chosen, caller)


@define(eq=False, repr=False)
class QuarantineRetry(Command):
    """
    Submit the quarantined parts of a job again; their count begins at 0.
    """

    name = "QUARANTINE_RETRY"
    properties = AgainProperties
    role = "operator"

    _resubmission: Resubmission
    _reads: Reads

    def execute(
        self, properties: AgainProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._reads.begin(self._retry, properties, caller)

    async def _retry(self, p: AgainProperties, caller: Caller) -> Any:
        record, parts = await self._resubmission.ended(p)
        poison = [part for part in parts if _poison(part)]
        if not poison:
            raise NothingToRetry(f"No part of job {p.job} is quarantined.")
        left = [part for part in poison if not part.released]
        return await self._resubmission.submit(p, record, left or poison, caller)


@define(eq=False, repr=False)
class QuarantineDrop(Command):
    """
    Take quarantined parts out of the list; their history stays.
    """

    name = "QUARANTINE_DROP"
    properties = DropProperties
    role = "operator"

    _dispatcher: IDispatcher
    _storage: IStorage
    _finder: Finder
    _journal: Journal
    _reads: Reads

    def execute(
        self, properties: DropProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._reads.begin(self._drop, properties, caller, reply_to)

    async def _drop(self, p: DropProperties, caller: Caller, reply_to: IReplyTo) -> Any:
        record = await self._finder.stored(p.namespace, p.job)
        parts = await self._storage.parts(record.number)
        if p.index is not None and p.index >= len(parts):
            raise BadProperty(f"index is {p.index}, and job {p.job} has {len(parts)} parts.")
        dropped = [
            part
            for part in parts
            if _poison(part) and not part.released and p.index in (None, part.index)
        ]
        for part in dropped:
            self._dispatcher.release(record.number, part.number, {"dropped": caller.name})
        said = {"job": record.id, "dropped": len(dropped)}
        self._journal.park(reply_to.answer, AnswerKind.RESULT, said)
        self._journal.flush()
        return LATER


def _entry(found: QuarantinedPart) -> dict[str, Any]:
    job, part = found.job, found.part
    said = described(part.past)
    return {
        "job": job.id,
        "number": job.number,
        "namespace": job.namespace,
        "service": job.service,
        "client": job.client,
        "index": part.index,
        "part": part.number,
        "attempts": part.attempt,
        "ended": part.ended,
        "reason": part.reason,
        "losses": said["losses"],
        "evidence": said["evidence"],
    }


@define(eq=False, repr=False)
class Quarantine(Command):
    """
    List the parts in quarantine, the newest first.
    """

    name = "QUARANTINE"
    properties = PageProperties

    _storage: IStorage
    _reads: Reads
    _limits: Limits

    def execute(
        self, properties: PageProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p = properties
        return page(
            "parts",
            p,
            self._limits,
            partial(self._storage.quarantined, p.namespace, p.service),
            _entry,
            lambda found: found.part.number,
            self._reads,
        )
