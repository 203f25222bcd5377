# -*- test-case-name: tests.storage.test_storage -*-
"""
What a store in memory consists of: each change made, each question answered.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from attrs import define, evolve, field
from msgspec.structs import replace

from jobroute import model
from jobroute.errors import NoSuchJob
from jobroute.model import PartState, Verdict
from jobroute.storage.kept import KeptJob, KeptPart


class Contradiction(Exception):
    """
    A change that contradicts what is stored: a bug of whoever wrote it.
    """


def _insert(table: dict[Any, Any], key: Any, value: Any, what: str) -> None:
    if key in table:
        raise Contradiction(f"{what} {key} is there already")
    table[key] = value


@define(eq=False)
class Tables:
    """
    The whole store.

    @ivar numbers: the first number that was never in use.
    @ivar event: the number of the latest event.
    """

    numbers: int = 1
    event: int = 0
    _agents: dict[str, model.AgentRecord] = field(factory=dict)
    _stopped: set[tuple[str, str]] = field(factory=set)
    _jobs: dict[int, KeptJob] = field(factory=dict)
    _ids: dict[tuple[str, str], int] = field(factory=dict)
    _open: dict[int, KeptJob] = field(factory=dict)
    _parts: dict[int, KeptPart] = field(factory=dict)
    _events: dict[int, model.Event] = field(factory=dict)
    _events_of: dict[int, list[model.Event]] = field(factory=dict)
    #: The numbers of the jobs in order, those of some forgotten ones as well.
    _order: list[int] = field(factory=list)
    #: When which jobs ended, in order.
    _ended: list[tuple[float, int]] = field(factory=list)

    def apply(self, changes: Sequence[model.Change]) -> None:
        """
        Make these changes.

        @raise Contradiction: if one cannot be made.
        """
        for change in changes:
            _APPLY[type(change)](self, change)

    def _job_accepted(self, change: model.JobAccepted) -> None:
        record = change.job
        job = KeptJob(record, change.payload)
        _insert(self._jobs, record.number, job, "job")
        _insert(self._ids, (record.namespace, record.id), record.number, "job")
        self._open[record.number] = job
        insort(self._order, record.number)
        for new in change.parts:
            part = KeptPart(
                new,
                new.state,
                new.attempt,
                new.agent,
                new.incarnation,
                new.cancelling,
                new.verdict,
                new.reason,
                new.ended,
                due=new.due,
                past=new.past,
            )
            _insert(self._parts, new.number, part, "part")
            job.parts.append(part)
        job.parts.sort(key=lambda part: part.record.index)

    def _attempt_made(self, change: model.AttemptMade) -> None:
        part = self._parts.get(change.part)
        if part is not None:
            part.state = PartState.RUNNING
            part.attempt = change.attempt
            part.agent = change.agent
            part.incarnation = change.incarnation

    def _part_queued(self, change: model.PartQueued) -> None:
        part = self._parts.get(change.part)
        if part is not None:
            part.state = PartState.QUEUED
            part.due = change.due
            part.past = change.past or part.past

    def _cancel_requested(self, change: model.CancelRequested) -> None:
        part = self._parts.get(change.part)
        if part is not None:
            part.cancelling = True

    def _partial_stored(self, change: model.PartialStored) -> None:
        part = self._parts.get(change.part)
        if part is None:
            raise Contradiction(f"there is no part {change.part}")
        of_attempt = part.partials.setdefault(change.attempt, {})
        _insert(of_attempt, change.sequence, change.frames, "partial result")

    def _part_ended(self, change: model.PartEnded) -> None:
        part = self._parts.get(change.part)
        if part is None:
            if change.frames:
                raise Contradiction(f"there is no part {change.part}")
            return
        if part.result and change.frames:
            raise Contradiction(f"part {change.part} has a result already")
        part.state = PartState.DONE
        part.agent = change.agent
        part.verdict = change.verdict
        part.reason = change.reason
        part.ended = change.at
        part.result = change.frames
        part.past = change.past or part.past

    def _part_released(self, change: model.PartReleased) -> None:
        part = self._parts.get(change.part)
        if part is not None:
            part.released = True

    def _job_ended(self, change: model.JobEnded) -> None:
        job = self._open.pop(change.job, None)
        if job is not None:
            job.ended = change.at
            insort(self._ended, (change.at, change.job))

    def _agent_known(self, change: model.AgentKnown) -> None:
        self._agents[change.agent.name] = change.agent

    def _agent_left(self, change: model.AgentLeft) -> None:
        agent = self._agents.get(change.name)
        if agent is not None:
            self._agents[change.name] = evolve(agent, living=False)

    def _stopping(self, change: model.Stopped) -> None:
        if change.stopped:
            self._stopped.add((change.what, change.name))
        else:
            self._stopped.discard((change.what, change.name))

    def _numbers_taken(self, change: model.NumbersTaken) -> None:
        self.numbers = max(self.numbers, change.limit)

    def _add_event(self, change: model.Event) -> None:
        part = None if change.part is None else self._parts.get(change.part)
        if part is not None and change.job is None:
            change = evolve(change, job=part.record.job)
        _insert(self._events, change.number, change, "event")
        self.event = change.number
        if change.job is not None:
            self._events_of.setdefault(change.job, []).append(change)

    def _forgotten(self, change: model.Forgotten) -> None:
        going = max(bisect_left(self._ended, (change.before,)), len(self._ended) - change.jobs, 0)
        for _, number in self._ended[:going]:
            job = self._jobs.pop(number)
            del self._ids[job.record.namespace, job.record.id]
            for part in job.parts:
                del self._parts[part.record.number]
        del self._ended[:going]
        if len(self._order) > 2 * len(self._jobs) + 1000:
            self._order = sorted(self._jobs)
        excess = max(len(self._events) - change.events, 0)
        for event in list(islice(self._events, excess)):
            self._forget_event(self._events.pop(event))

    def _forget_event(self, event: model.Event) -> None:
        if event.job is not None:
            left = self._events_of[event.job]
            left.remove(event)
            if not left:
                del self._events_of[event.job]

    def restored(self, epoch: int, limit: int) -> model.Restored:
        """
        What a broker needs to go on.
        """
        jobs = [self._open[number] for number in sorted(self._open)]
        return model.Restored(
            epoch=epoch,
            numbers=self.numbers,
            event=self.event,
            agents=tuple(self._agents[name] for name in sorted(self._agents)),
            jobs=tuple(job.restored() for job in jobs),
            limit=limit,
            stopped=tuple(sorted(self._stopped)),
        )

    def event_numbers(self) -> list[int]:
        """
        Those of all events that are kept.
        """
        return list(self._events)

    def _job(self, number: int) -> KeptJob:
        try:
            return self._jobs[number]
        except KeyError:
            raise NoSuchJob(
                f"No job has the number {number}, or it is past its retention."
            ) from None

    def payload(self, job: int) -> model.Frames:
        """
        See L{jobroute.interfaces.IStorage}, as for all that follow.
        """
        return self._job(job).payload

    def contents(self, jobs: Sequence[int]) -> dict[int, model.Content]:
        """
        Headers and payloads of those jobs that there are.
        """
        found = {number: self._jobs.get(number) for number in jobs}
        return {
            number: model.Content(job.record.header, job.payload)
            for number, job in found.items()
            if job is not None
        }

    def result(self, part: int) -> model.Frames:
        """
        The result of a part.
        """
        found = self._parts.get(part)
        return () if found is None else found.result

    def partials(
        self, part: int, attempt: int, after: int, limit: int
    ) -> list[tuple[int, model.Frames]]:
        """
        Partial results of an attempt, in order.
        """
        found = self._parts.get(part)
        of_attempt = {} if found is None else found.partials.get(attempt, {})
        return [(s, of_attempt[s]) for s in sorted(of_attempt) if s > after][:limit]

    def find(self, namespace: str, ids: Sequence[str]) -> dict[str, model.JobRecord]:
        """
        Those of the jobs with these ids that exist.
        """
        numbers = {id: self._ids.get((namespace, id)) for id in ids}
        return {id: self._jobs[n].record for id, n in numbers.items() if n is not None}

    def parts(self, job: int) -> tuple[model.PartRecord, ...]:
        """
        The parts of a job, by index.
        """
        found = self._jobs.get(job)
        return () if found is None else tuple(part.now() for part in found.parts)

    def jobs(
        self, which: model.JobFilter, before: int | None, limit: int
    ) -> list[model.JobSummary]:
        """
        A page of jobs, the newest first.
        """
        place = len(self._order) if before is None else bisect_left(self._order, before)
        page: list[model.JobSummary] = []
        while place and len(page) < limit:
            place -= 1
            job = self._jobs.get(self._order[place])
            if job is not None and _matches(job, which):
                page.append(_summary(job))
        return page

    def quarantined(
        self, namespace: str | None, service: str | None, before: int | None, limit: int
    ) -> list[model.Quarantined]:
        """
        A page of the parts in quarantine, the newest first.
        """
        page: list[model.Quarantined] = []
        for number in sorted(self._parts, reverse=True):
            part = self._parts[number]
            if part.verdict is not Verdict.QUARANTINED or part.released:
                continue
            job = self._jobs[part.record.job].record
            if namespace in (None, job.namespace) and service in (None, job.service):
                if before is None or number < before:
                    page.append(model.Quarantined(replace(job, header=b""), part.now()))
        return page[:limit]

    def history(self, job: int) -> model.JobHistory:
        """
        Everything about a job.
        """
        found = self._job(job)
        return model.JobHistory(
            found.record,
            tuple(part.now() for part in found.parts),
            found.ended,
            tuple(self._events_of.get(job, ())),
        )

    def statistics(self) -> dict[str, int]:
        """
        How much is stored; C{bytes} is not known.
        """
        return {
            "jobs": len(self._jobs),
            "parts": len(self._parts),
            "events": len(self._events),
            "bytes": 0,
        }


def _matches(job: KeptJob, which: model.JobFilter) -> bool:
    record = job.record
    return (
        which.namespace in (None, record.namespace)
        and which.service in (None, record.service)
        and which.client in (None, record.client)
        and (which.state is None or (which.state == "open") is (job.ended is None))
        and (which.verdict is None or any(p.verdict is which.verdict for p in job.parts))
    )


def _summary(job: KeptJob) -> model.JobSummary:
    verdicts: dict[Verdict, int] = {}
    for part in job.parts:
        if part.verdict is not None:
            verdicts[part.verdict] = verdicts.get(part.verdict, 0) + 1
    return model.JobSummary(replace(job.record, header=b""), len(job.parts), verdicts, job.ended)


_APPLY: dict[type, Callable[[Tables, Any], None]] = {
    model.JobAccepted: Tables._job_accepted,
    model.AttemptMade: Tables._attempt_made,
    model.PartQueued: Tables._part_queued,
    model.CancelRequested: Tables._cancel_requested,
    model.PartialStored: Tables._partial_stored,
    model.PartEnded: Tables._part_ended,
    model.PartReleased: Tables._part_released,
    model.JobEnded: Tables._job_ended,
    model.AgentKnown: Tables._agent_known,
    model.AgentLeft: Tables._agent_left,
    model.Stopped: Tables._stopping,
    model.NumbersTaken: Tables._numbers_taken,
    model.Event: Tables._add_event,
    model.Forgotten: Tables._forgotten,
}
