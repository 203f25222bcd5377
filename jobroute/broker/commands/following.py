# -*- test-case-name: tests.broker.test_commands -*-
"""
C{WAIT}, C{RESULT}, C{CANCEL} and C{INPUT}: what can be done with a job that
was accepted.
"""

from __future__ import annotations

from typing import Annotated, Any

from attrs import define
from msgspec import Meta, field

from jobroute.broker.answered import Answered
from jobroute.broker.commands.base import (
    LATER,
    Command,
    Index,
    JobName,
    JobOrCall,
    Seconds,
    Stream,
)
from jobroute.broker.finder import Finder
from jobroute.broker.gathering import gather_stored, part_outcome
from jobroute.broker.journal import Journal
from jobroute.broker.parts import Job
from jobroute.broker.reads import Reads
from jobroute.broker.waits import Calls
from jobroute.config import Limits
from jobroute.errors import BadProperty, JobNotDone, NotRunning, UnknownOutcome
from jobroute.interfaces import AnswerKind, Caller, IDispatcher, IReplyTo, IStorage
from jobroute.model import Frames, JobRecord, PartState


class WaitProperties(JobOrCall, kw_only=True):
    """
    Which job, and for how long.
    """

    stream: Annotated[Stream, Meta(max_length=3, description="what to tell on the way")] = field(
        default_factory=list
    )
    timeout: Annotated[Seconds | None, Meta(description="seconds to wait at most")] = None


class PartProperties(JobName, kw_only=True):
    """
    Which part of which job.
    """

    index: Annotated[Index, Meta(description="which part, from 0")] = 0


class CancelProperties(JobOrCall, kw_only=True):
    """
    Which job or call, and which part of it.
    """

    index: Annotated[Index | None, Meta(description="one part only, from 0")] = None


class InputProperties(JobOrCall, kw_only=True):
    """
    Which part of which job or call.
    """

    index: Annotated[Index, Meta(description="which part, from 0")] = 0


def _unknown() -> UnknownOutcome:
    return UnknownOutcome(
        "No call with that token is known; if it was in flight when the broker ended, nothing "
        "runs it again."
    )


def _check(job: Job, index: int | None) -> None:
    if index is not None and index >= len(job.parts):
        raise BadProperty(f"index is {index}, and job {job.id} has {len(job.parts)} parts.")


@define(eq=False, repr=False)
class WaitCommand(Command):
    """
    Give the outcome of a job when it is done.
    """

    name = "WAIT"
    properties = WaitProperties

    _dispatcher: IDispatcher
    _finder: Finder
    _calls: Calls
    _recent: Answered
    _storage: IStorage
    _reads: Reads
    _limits: Limits

    def execute(
        self, properties: WaitProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p = properties
        if p.token is not None:
            known = self._calls.answer(p.token)
            if known is not None:
                reply_to.answer(AnswerKind.RESULT, *known)
                return LATER
            job = self._dispatcher.find_call(p.token)
            if job is None:
                raise _unknown()
        else:
            assert p.job is not None
            job = self._dispatcher.find(p.namespace, p.job)
            if job is None:
                ended = self._recent.get((p.namespace, p.job))
                if ended is None:
                    return self._reads.begin(self._stored, p, caller, reply_to)
                reply_to.answer(AnswerKind.RESULT, *ended)
                return LATER
        return self._wait(job, p, caller, reply_to)

    def _wait(self, job: Job, p: WaitProperties, caller: Caller, reply_to: IReplyTo) -> Any:
        self._dispatcher.wait(job, reply_to, caller.name, tuple(p.stream), p.timeout)
        return LATER

    async def _stored(self, p: WaitProperties, caller: Caller, reply_to: IReplyTo) -> Any:
        assert p.job is not None
        record = await self._finder.stored(p.namespace, p.job)
        job = self._dispatcher.find(p.namespace, p.job)
        if job is not None:
            # It was handed in while the store was read.
            return self._wait(job, p, caller, reply_to)
        parts = await self._storage.parts(record.number)
        outcome, frames = await gather_stored(
            record.id, record.number, parts, self._storage, self._limits
        )
        reply_to.answer(AnswerKind.RESULT, outcome, frames)
        return LATER


@define(eq=False, repr=False)
class Result(Command):
    """
    Give the result of one part.
    """

    name = "RESULT"
    properties = PartProperties

    _dispatcher: IDispatcher
    _finder: Finder
    _storage: IStorage
    _reads: Reads

    def execute(
        self, properties: PartProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        return self._reads.begin(self._read, properties, reply_to)

    async def _read(self, p: PartProperties, reply_to: IReplyTo) -> Any:
        job: Job | None = self._dispatcher.find(p.namespace, p.job)
        if job is not None:
            _check(job, p.index)
        record: Job | JobRecord = job or await self._finder.stored(p.namespace, p.job)
        parts = await self._storage.parts(record.number)
        if p.index >= len(parts):
            if job is not None:
                raise JobNotDone(f"Part {p.index} of job {p.job} has no verdict yet.")
            raise BadProperty(f"index is {p.index}, and job {p.job} has {len(parts)} parts.")
        part = parts[p.index]
        if part.state is not PartState.DONE:
            raise JobNotDone(f"Part {p.index} of job {p.job} has no verdict yet.")
        frames = await self._storage.result(part.number) if part.frames else ()
        reply_to.answer(AnswerKind.RESULT, part_outcome(part), frames)
        return LATER


@define(eq=False, repr=False)
class Cancel(Command):
    """
    Cancel a job, or one part of it.
    """

    name = "CANCEL"
    properties = CancelProperties
    role = "operator"

    _dispatcher: IDispatcher
    _finder: Finder
    _calls: Calls
    _reads: Reads

    def execute(
        self, properties: CancelProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p = properties
        if p.token is not None:
            job = self._dispatcher.find_call(p.token)
            if job is None:
                known = self._calls.answer(p.token)
                if known is None:
                    raise _unknown()
                return {"job": known[0]["job"], "cancelling": 0}
        else:
            assert p.job is not None
            job = self._dispatcher.find(p.namespace, p.job)
            if job is None:
                found = self._reads.begin(self._finder.stored, p.namespace, p.job)
                return found.addCallback(lambda record: {"job": record.id, "cancelling": 0})
        _check(job, p.index)

        def asked(count: int) -> None:
            reply_to.answer(AnswerKind.RESULT, {"job": job.id, "cancelling": count})

        self._dispatcher.cancel(job, p.index, asked)
        return LATER


@define(eq=False, repr=False)
class Input(Command):
    """
    Send an input to a running part.
    """

    name = "INPUT"
    properties = InputProperties
    role = "operator"

    _dispatcher: IDispatcher
    _finder: Finder
    _journal: Journal
    _reads: Reads

    def execute(
        self, properties: InputProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p = properties
        if p.token is not None:
            job = self._dispatcher.find_call(p.token)
            if job is None:
                raise NotRunning("No call with that token is under way.")
        else:
            assert p.job is not None
            job = self._dispatcher.find(p.namespace, p.job)
            if job is None:
                return self._reads.begin(self._ended, p.namespace, p.job)
        _check(job, p.index)
        self._dispatcher.input(job, p.index, payload)
        if job.volatile:
            return {"job": job.id}
        # That there is such a job may not be on disk yet.
        self._journal.park(reply_to.answer, AnswerKind.RESULT, {"job": job.id})
        return LATER

    async def _ended(self, namespace: str, id: str) -> Any:
        record = await self._finder.stored(namespace, id)
        raise NotRunning(f"Job {record.id} is done.")
