# -*- test-case-name: tests.simulation.test_simulation -*-
"""
What is asked of the real client, and everything that it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jobroute.client import (
    JobSpec,
    Outcome,
    Partial,
    PartOutcome,
    Progress,
    Submitted,
    TwistedClient,
)
from jobroute.errors import JobrouteError
from jobroute.log import Logger
from jobroute.model import Frames
from jobroute.testing.errands import Errand
from jobroute.testing.history import Note


@frozen
class JobPlan:
    """
    A job that somebody hands in.

    @ivar id: L{None} for a call.
    """

    service: str
    errand: Errand = Errand()
    payload: Frames = ()
    target: Any = "any"
    id: str | None = None
    priority: int = 0
    attempts: int = 1
    queue_limit: float | None = None
    run_limit: float | None = None
    deadline: float | None = None
    retries: dict[str, Any] | None = None
    max_lost: int | None = None

    def arguments(self) -> dict[str, Any]:
        """
        As the client's methods take it, but the service and the payload.
        """
        return {
            "target": self.target,
            "header": self.errand.header(),
            "priority": self.priority,
            "attempts": self.attempts,
            "queue_limit": self.queue_limit,
            "run_limit": self.run_limit,
            "deadline": self.deadline,
            "retries": self.retries,
            "max_lost": self.max_lost,
        }


def said_of(part: PartOutcome) -> dict[str, Any]:
    """
    A part as the history has it.
    """
    return {
        "index": part.index,
        "verdict": part.verdict.value,
        "agent": part.agent,
        "attempts": part.attempts,
        "reason": part.reason,
        "frames": part.frames,
        "omitted": part.omitted,
    }


def _value(value: Any) -> dict[str, Any]:
    """
    An answer as the history has it.
    """
    if isinstance(value, Submitted):
        return {"number": value.number, "parts": value.parts, "existing": value.existing}
    if isinstance(value, Outcome):
        return {
            "job": value.job,
            "number": value.number,
            "verdicts": {v.value: n for v, n in value.verdicts.items()},
            "outcome": [said_of(part) for part in value.parts],
        }
    if isinstance(value, PartOutcome):
        return {"outcome": [said_of(value)]}
    return {"value": value}


@define(eq=False)
class Asker:
    """
    Asks, and notes each question before it is asked and each answer when it
    is there.

    @ivar note: the history of this client.
    @ivar asked: how many questions it asked.
    @ivar waiting: the questions that have no answer yet.
    """

    _log = Logger()

    _client: TwistedClient
    note: Note
    asked: int = field(default=0, init=False)
    waiting: dict[int, None] = field(factory=dict, init=False)

    # -- Questions

    def submit(self, plan: JobPlan) -> None:
        """
        Hand in a job.
        """
        number = self._asks("SUBMIT", job=plan.id, plan=plan)
        answer = self._client.submit(plan.service, *plan.payload, job=plan.id, **plan.arguments())
        self._expect(number, "SUBMIT", answer, job=plan.id)

    def submit_many(self, plans: Sequence[JobPlan]) -> None:
        """
        Hand in several jobs at once; for the history each is a question.
        """
        specs = [
            JobSpec(service=p.service, payload=p.payload, job=p.id, **p.arguments()) for p in plans
        ]
        each: list[Deferred[Submitted]] = [Deferred() for _ in plans]

        def answered(answers: list[Submitted | JobrouteError]) -> None:
            for deferred, answer in zip(each, answers, strict=True):
                if isinstance(answer, JobrouteError):
                    deferred.errback(answer)
                else:
                    deferred.callback(answer)

        def refused(failure: Failure) -> None:
            for deferred in each:
                deferred.errback(failure)

        for plan, deferred in zip(plans, each, strict=True):
            number = self._asks("SUBMIT", job=plan.id, plan=plan)
            self._expect(number, "SUBMIT", deferred, job=plan.id)
        self._client.submit_many(specs).addCallbacks(answered, refused)

    def call(self, plan: JobPlan, stream: bool) -> None:
        """
        Hand in a job and wait for it.
        """
        number = self._asks("CALL", plan=plan)
        answer = self._client.call(
            plan.service, *plan.payload, **plan.arguments(), **self._streams(number, stream)
        )
        self._expect(number, "CALL", answer)

    def wait(self, job: str, timeout: float | None, stream: bool) -> None:
        """
        Wait for a job.
        """
        number = self._asks("WAIT", job=job, timeout=timeout, stream=stream)
        answer = self._client.wait(job, timeout=timeout, **self._streams(number, stream))
        self._expect(number, "WAIT", answer, job=job)

    def result(self, job: str, index: int) -> None:
        """
        Ask for the result of a part.
        """
        number = self._asks("RESULT", job=job, index=index)
        self._expect(number, "RESULT", self._client.result(job, index), job=job)

    def cancel(self, job: str, index: int | None) -> None:
        """
        Cancel a job, or a part of it.
        """
        number = self._asks("CANCEL", job=job, index=index)
        self._expect(number, "CANCEL", self._client.cancel(job, index), job=job)

    def input(self, job: str, index: int) -> None:
        """
        Send an input to a part.
        """
        number = self._asks("INPUT", job=job, index=index)
        self._expect(number, "INPUT", self._client.input(job, b"more", index=index), job=job)

    def look(self, command: str, job: str) -> None:
        """
        C{JOB}, C{WHY}, C{JOBS} or C{STATS}.
        """
        client = self._client
        number = self._asks(command, job=job)
        answer: Deferred[Any]
        match command:
            case "JOB":
                answer = client.job(job)
            case "WHY":
                answer = client.why(job)
            case "JOBS":
                answer = client.jobs(limit=20)
            case _:
                answer = client.stats()
        # What it says is many words; that it is said is enough here.
        self._expect(number, command, answer.addCallback(lambda _: None), job=job)

    # -- Answers

    def _asks(self, command: str, **said: Any) -> int:
        """
        Note a question before it is asked.
        """
        self.asked += 1
        self.note("asked", ask=self.asked, command=command, **said)
        self.waiting[self.asked] = None
        return self.asked

    def _streams(self, number: int, wanted: bool) -> dict[str, Any]:
        if not wanted:
            return {}

        def partial(p: Partial) -> None:
            said = {"job": p.job, "index": p.index, "attempt": p.attempt}
            self.note("partial", ask=number, **said, sequence=p.sequence, frames=p.frames)

        def part(p: PartOutcome) -> None:
            self.note("part", ask=number, **said_of(p))

        def progress(p: Progress) -> None:
            said = {"job": p.job, "index": p.index, "attempt": p.attempt}
            self.note("progress", ask=number, **said, value=p.value)

        return {"on_partial": partial, "on_part": part, "on_progress": progress}

    def _expect(
        self, number: int, command: str, answer: Deferred[Any], job: str | None = None
    ) -> None:
        about = (
            {"ask": number, "command": command}
            if job is None
            else {"job": job, "ask": number, "command": command}
        )

        def answered(value: Any) -> None:
            self._over(number, "answered", {**about, **_value(value)})

        def refused(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, JobrouteError):
                self._log.failure("A client raised what it may not.", failure)
            code = getattr(error, "code", type(error).__name__)
            self._over(number, "refused", {**about, "code": code, "text": str(error)})

        answer.addCallbacks(answered, refused)

    def _over(self, number: int, what: str, said: dict[str, Any]) -> None:
        del self.waiting[number]
        self.note(what, **said)
