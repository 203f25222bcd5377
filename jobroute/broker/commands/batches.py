# -*- test-case-name: tests.broker.test_submissions -*-
"""
C{SUBMIT_MANY}: many jobs in one message.

What the jobs have in common is read once and shared, so that a batch costs
what its message is worth, however many jobs it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from attrs import define
from msgspec import UNSET, Meta, Raw, UnsetType

from jobroute.broker.commands.base import LATER, Command, Name, Properties, Seconds
from jobroute.broker.commands.jobs import (
    NULL,
    Attempts,
    JobProperties,
    MaxLost,
    Priority,
    RetryGiven,
    TargetGiven,
    checked_header,
    checked_target,
    request,
)
from jobroute.broker.services import Services
from jobroute.broker.submissions import Answer, Submissions
from jobroute.config import Limits
from jobroute.errors import BadProperty, Busy, JobrouteError, TooLarge
from jobroute.interfaces import AnswerKind, Caller, IReplyTo
from jobroute.model import Frames, JobRequest, Target
from jobroute.wire import text


class Shareable(Properties, kw_only=True):
    """
    What may stand in each job or beside all of them.
    """

    service: Name | UnsetType = UNSET
    target: TargetGiven | UnsetType = UNSET
    namespace: Name | UnsetType = UNSET
    client: Name | UnsetType | None = UNSET
    header: Raw = NULL
    priority: Priority | UnsetType = UNSET
    attempts: Attempts | UnsetType = UNSET
    retry: RetryGiven | UnsetType = UNSET
    max_lost: MaxLost | UnsetType = UNSET
    queue_limit: Seconds | UnsetType | None = UNSET
    run_limit: Seconds | UnsetType | None = UNSET
    deadline: Seconds | UnsetType | None = UNSET


#: Those that cost nothing to be taken over.
_PLAIN = (
    "service",
    "namespace",
    "client",
    "priority",
    "attempts",
    "retry",
    "max_lost",
    "queue_limit",
    "run_limit",
    "deadline",
)


class ManyJob(Shareable, kw_only=True):
    """
    One job of a batch.

    @ivar frames: the sizes of its payload frames.
    """

    job: Annotated[Name | None, Meta(description="the job's id")] = None
    frames: list[Annotated[int, Meta(ge=0)]] = msgspec.field(default_factory=list)


class SubmitManyProperties(Shareable, kw_only=True):
    """
    A batch, and what holds for all its jobs that don't have their own.
    """

    jobs: Annotated[list[Raw], Meta(min_length=1, description="the jobs")]


_many_job = msgspec.json.Decoder(ManyJob)


def _plain(given: Shareable) -> dict[str, Any]:
    members = ((name, getattr(given, name)) for name in _PLAIN)
    return {name: value for name, value in members if value is not UNSET}


@define(eq=False, repr=False)
class _Batch:
    """
    The requests of one batch while they are made.
    """

    _caller: Caller
    _limits: Limits
    _services: Services
    _common: dict[str, Any]
    _target: Target
    _header: bytes
    _work: int = 0
    _headers: int = 0

    def decode(self, raw: Raw) -> tuple[ManyJob, JobProperties]:
        """
        One job as it was given, and with what holds for all.

        @raise BadProperty: if a member is unknown, missing or wrong.
        """
        try:
            own = _many_job.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise BadProperty(text.sentence(e)) from e
        members = {**self._common, **_plain(own)}
        if "service" not in members:
            raise BadProperty("service is missing.")
        return own, JobProperties(**members)

    def request(self, own: ManyJob, p: JobProperties, payload: Frames) -> JobRequest:
        """
        One job as it is submitted.

        @raise JobrouteError: if it is over a limit.
        """
        target, header = self._target, self._header
        if not isinstance(own.target, UnsetType):
            target = checked_target(own.target, self._limits)
        if own.header is not NULL:
            header = checked_header(own.header)
        made = request(p, target, header, own.job, payload, self._caller, self._limits)
        self._headers += len(header)
        self._work += self._cost(target, p.service)
        return made

    def check(self) -> None:
        """
        Make sure that a small message does not become too much.

        @raise TooLarge: if it does.
        """
        if self._work > self._limits.batch_parts:
            raise TooLarge(
                f"The jobs have {self._work} parts and agents together, and "
                f"{self._limits.batch_parts} is the limit of a batch."
            )
        if self._headers > self._limits.message:
            raise TooLarge(
                f"The headers of the jobs have {self._headers} bytes together, and "
                f"{self._limits.message} is the limit."
            )

    def _cost(self, target: Target, name: str) -> int:
        """
        How many parts the job has, or agents are looked at for it.
        """
        names = len(target.names or ())
        if target.count == 1 or (target.count is None and names):
            return max(1, names)
        service = self._services.get(name)
        return max(1, names + (0 if service is None else len(service.agents)))


def described(error: JobrouteError) -> dict[str, Any]:
    """
    What is said of a job that was refused.
    """
    said: dict[str, Any] = {"error": str(error), "code": error.code}
    if isinstance(error, Busy) and error.retry_after is not None:
        said["retry_after"] = error.retry_after
    return said


@define(eq=False, repr=False)
class SubmitMany(Command):
    """
    Accept many jobs, each by itself; answered when all are on disk.
    """

    name = "SUBMIT_MANY"
    properties = SubmitManyProperties
    role = "operator"

    _submissions: Submissions
    _services: Services
    _limits: Limits

    def execute(
        self, properties: SubmitManyProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        p, limits = properties, self._limits
        if len(p.jobs) > limits.batch:
            raise TooLarge(f"jobs has {len(p.jobs)} jobs, and {limits.batch} is the limit.")
        if len(payload) > 1:
            raise BadProperty("The payloads of all jobs must stand in one frame.")
        target = "any" if isinstance(p.target, UnsetType) else p.target
        batch = _Batch(
            caller,
            limits,
            self._services,
            _plain(p),
            checked_target(target, limits),
            checked_header(p.header),
        )
        answers: list[Any] = []
        requests: list[JobRequest] = []
        data = memoryview(payload[0] if payload else b"")
        at = 0
        for raw in p.jobs:
            try:
                own, job = batch.decode(raw)
            except JobrouteError as e:
                # Where the next one's payload begins cannot be known any more.
                raise BadProperty(f"jobs[{len(answers)}]: {e}") from e
            frames: list[bytes] = []
            for size in own.frames:
                frames.append(bytes(data[at : at + size]))
                at += size
            if at > len(data):
                raise BadProperty("The frames of the jobs are longer than the payload.")
            try:
                requests.append(batch.request(own, job, tuple(frames)))
                answers.append(None)
            except JobrouteError as e:
                answers.append(e)
        if at != len(data):
            raise BadProperty("The frames of the jobs are shorter than the payload.")
        batch.check()
        self._submit(requests, answers, reply_to)
        return LATER

    def _submit(
        self, requests: Sequence[JobRequest], answers: list[Any], reply_to: IReplyTo
    ) -> None:
        def done(given: Sequence[Answer]) -> None:
            said = iter(given)
            jobs = [
                described(answer) if isinstance(answer, JobrouteError) else answer
                for answer in (next(said) if a is None else a for a in answers)
            ]
            reply_to.answer(AnswerKind.RESULT, {"jobs": jobs})

        if requests:
            self._submissions.submit(requests, done)
        else:
            done(())
