# -*- test-case-name: tests.broker.test_commands -*-
"""
C{JOBS}, C{JOB} and C{WHY}: what was, and what is in the way.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from attrs import asdict, define
from msgspec import Meta, Raw

from jobroute.broker.commands.base import LATER, Command, JobName
from jobroute.broker.commands.paging import PageProperties, page
from jobroute.broker.finder import Finder
from jobroute.broker.journal import Journal
from jobroute.broker.losses import described
from jobroute.broker.parts import Job
from jobroute.broker.reads import Reads
from jobroute.config import Limits
from jobroute.interfaces import AnswerKind, Caller, IDispatcher, IReplyTo, IStorage
from jobroute.model import (
    Event,
    Frames,
    JobFilter,
    JobRecord,
    JobSummary,
    PartRecord,
    PartState,
    Target,
    Verdict,
)


class JobsProperties(PageProperties, kw_only=True):
    """
    Which page of which jobs.
    """

    client: Annotated[str | None, Meta(description="only of this client")] = None
    state: Annotated[Literal["open", "ended"] | None, Meta(description="only these")] = None
    verdict: Annotated[Verdict | None, Meta(description="with a part of this verdict")] = None


def _summary(s: JobSummary) -> dict[str, Any]:
    return {
        "job": s.job.id,
        "number": s.job.number,
        "namespace": s.job.namespace,
        "service": s.job.service,
        "client": s.job.client,
        "submitted": s.job.submitted,
        "ended": s.ended,
        "state": "open" if s.ended is None else "ended",
        "parts": s.parts,
        "verdicts": s.verdicts,
    }


@define(eq=False, repr=False)
class Jobs(Command):
    """
    List jobs, the newest first.
    """

    name = "JOBS"
    properties = JobsProperties

    _storage: IStorage
    _reads: Reads
    _limits: Limits

    def execute(
        self, properties: JobsProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p = properties
        which = JobFilter(p.namespace, p.service, p.client, p.state, p.verdict)
        return page(
            "jobs",
            p,
            self._limits,
            partial(self._storage.jobs, which),
            _summary,
            lambda found: found.job.number,
            self._reads,
        )


def _target(target: Target) -> Any:
    if target.names is None:
        return {1: "any", None: "all"}.get(target.count) or {"count": target.count}
    count = "all" if target.count is None else target.count
    return {"agents": list(target.names), "count": count}


def _job(job: JobRecord) -> dict[str, Any]:
    return {
        "job": job.id,
        "number": job.number,
        "namespace": job.namespace,
        "service": job.service,
        "client": job.client,
        "target": _target(job.target),
        "header": Raw(job.header),
        "priority": job.priority,
        "attempts": job.attempts,
        "queue_limit": job.queue_limit,
        "run_limit": job.run_limit,
        "retry": None if job.retry is None else asdict(job.retry),
        "max_lost": job.max_lost,
        "origin": job.origin,
        "deadline": job.deadline,
        "submitted": job.submitted,
    }


def _part(part: PartRecord) -> dict[str, Any]:
    return {
        "index": part.index,
        "number": part.number,
        "agents": None if part.names is None else list(part.names),
        "state": part.state,
        "attempts": part.attempt,
        "agent": part.agent,
        "cancelling": part.cancelling,
        "verdict": part.verdict,
        "reason": part.reason,
        "ended": part.ended,
        "frames": part.frames,
        "due": part.due,
        "released": part.released,
        **described(part.past),
    }


def _event(event: Event, indexes: dict[int, int]) -> dict[str, Any]:
    said: dict[str, Any] = {"event": event.number, "at": event.at, "kind": event.kind}
    if event.part is not None:
        said["index"] = indexes.get(event.part)
    if event.attempt is not None:
        said["attempt"] = event.attempt
    if event.agent is not None:
        said["agent"] = event.agent
    return {**said, **(event.data or {})}


@define(eq=False, repr=False)
class JobHistoryCommand(Command):
    """
    Tell everything about a job.
    """

    name = "JOB"
    properties = JobName

    _storage: IStorage
    _finder: Finder
    _reads: Reads

    def execute(
        self, properties: JobName, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._reads.begin(self._read, properties)

    async def _read(self, p: JobName) -> Any:
        record = await self._finder.stored(p.namespace, p.job)
        history = await self._storage.history(record.number)
        indexes = {part.number: part.index for part in history.parts}
        return {
            **_job(history.job),
            "state": "open" if history.ended is None else "ended",
            "ended": history.ended,
            "parts": [_part(part) for part in history.parts],
            "events": [_event(event, indexes) for event in history.events],
        }


@define(eq=False, repr=False)
class Why(Command):
    """
    Say why a job is not done yet.
    """

    name = "WHY"
    properties = JobName

    _dispatcher: IDispatcher
    _finder: Finder
    _journal: Journal
    _reads: Reads

    def execute(
        self, properties: JobName, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        job: Job | None = self._dispatcher.find(properties.namespace, properties.job)
        if job is None:
            p = properties
            found = self._reads.begin(self._finder.stored, p.namespace, p.job)
            return found.addCallback(lambda record: {"job": record.id, "parts": []})
        parts = []
        for part in job.parts:
            if part.state is PartState.DONE:
                continue
            code, why = self._dispatcher.why(part)
            parts.append({"index": part.index, "state": part.state, "code": code, "why": why})
        # What it says may not be on disk yet.
        self._journal.park(reply_to.answer, AnswerKind.RESULT, {"job": job.id, "parts": parts})
        return LATER
