# -*- test-case-name: tests.simulation.test_simulation -*-
"""
The real client in a simulated process, and everything that it is told.
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
from jobroute.testing.processes import Process

#: Seconds for which a client bears a silent broker.
TIMEOUT = 30.0


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
class SimulatedClient(Process):
    """
    One client in all its lives.

    @ivar asked: how many questions it asked, in all lives.
    @ivar waiting: the questions of this life that have no answer yet.
    """

    _log = Logger()

    client: TwistedClient | None = field(default=None, init=False)
    asked: int = field(default=0, init=False)
    waiting: dict[int, None] = field(factory=dict, init=False)

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        self.begin()
        self.client = TwistedClient(
            self.place.url,
            reactor=self.reactor,
            network=self.host,
            name=self.name,
            timeout=TIMEOUT,
            clock=self.clock,
            random=self.random,
        )

    def end(self) -> None:
        """
        Be no more.
        """
        super().end()
        self.waiting.clear()
        self.graveyard.append(self.client)
        self.client = None

    # -- Questions

    @property
    def _it(self) -> TwistedClient:
        assert self.client is not None
        return self.client

    def submit(self, plan: JobPlan) -> None:
        """
        Hand in a job.
        """
        answer = self._it.submit(plan.service, *plan.payload, job=plan.id, **plan.arguments())
        self._ask("SUBMIT", answer, job=plan.id, plan=plan)

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
            self._ask("SUBMIT", deferred, job=plan.id, plan=plan)
        self._it.submit_many(specs).addCallbacks(answered, refused)

    def call(self, plan: JobPlan, stream: bool) -> None:
        """
        Hand in a job and wait for it.
        """
        number = self.asked + 1
        answer = self._it.call(
            plan.service, *plan.payload, **plan.arguments(), **self._streams(number, stream)
        )
        self._ask("CALL", answer, plan=plan)

    def wait(self, job: str, timeout: float | None, stream: bool) -> None:
        """
        Wait for a job.
        """
        number = self.asked + 1
        answer = self._it.wait(job, timeout=timeout, **self._streams(number, stream))
        self._ask("WAIT", answer, job=job, timeout=timeout, stream=stream)

    def result(self, job: str, index: int) -> None:
        """
        Ask for the result of a part.
        """
        self._ask("RESULT", self._it.result(job, index), job=job, index=index)

    def cancel(self, job: str, index: int | None) -> None:
        """
        Cancel a job, or a part of it.
        """
        self._ask("CANCEL", self._it.cancel(job, index), job=job, index=index)

    def input(self, job: str, index: int) -> None:
        """
        Send an input to a part.
        """
        self._ask("INPUT", self._it.input(job, b"more", index=index), job=job, index=index)

    def look(self, command: str, job: str) -> None:
        """
        C{JOB}, C{WHY}, C{JOBS} or C{STATS}.
        """
        it = self._it
        answer: Deferred[Any]
        match command:
            case "JOB":
                answer = it.job(job)
            case "WHY":
                answer = it.why(job)
            case "JOBS":
                answer = it.jobs(limit=20)
            case _:
                answer = it.stats()
        # What it says is many words; that it is said is enough here.
        self._ask(command, answer.addCallback(lambda _: None), job=job)

    # -- Answers

    def _streams(self, number: int, wanted: bool) -> dict[str, Any]:
        if not wanted:
            return {}
        who = self.who

        def note(what: str, said: dict[str, Any]) -> None:
            self.place.history.add(who, what, ask=number, **said)

        def partial(p: Partial) -> None:
            said = {"job": p.job, "index": p.index, "attempt": p.attempt}
            note("partial", {**said, "sequence": p.sequence, "frames": p.frames})

        def part(p: PartOutcome) -> None:
            note("part", said_of(p))

        def progress(p: Progress) -> None:
            said = {"job": p.job, "index": p.index, "attempt": p.attempt}
            note("progress", {**said, "value": p.value})

        return {"on_partial": partial, "on_part": part, "on_progress": progress}

    def _ask(self, command: str, answer: Deferred[Any], **said: Any) -> None:
        self.asked += 1
        number, life = self.asked, self.life
        job = {} if said.get("job") is None else {"job": said["job"]}
        self.note("asked", ask=number, command=command, **said)
        self.waiting[number] = None

        def answered(value: Any) -> None:
            said = {**job, "ask": number, "command": command, **_value(value)}
            self._over(life, number, "answered", said)

        def refused(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, JobrouteError):
                self._log.failure("A client raised what it may not.", failure)
            code = getattr(error, "code", type(error).__name__)
            said = {**job, "ask": number, "command": command, "code": code, "text": str(error)}
            self._over(life, number, "refused", said)

        answer.addCallbacks(answered, refused)

    def _over(self, life: int, number: int, what: str, said: dict[str, Any]) -> None:
        if self.up and self.life == life:
            del self.waiting[number]
            self.note(what, **said)
