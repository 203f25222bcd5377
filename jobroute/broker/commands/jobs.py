# -*- test-case-name: tests.broker.test_commands -*-
"""
C{SUBMIT}, C{SUBMIT_MANY} and C{CALL}: work for agents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from attrs import define
from msgspec import Meta, Raw

from jobroute.broker.commands.base import LATER, Command, Name, Properties, Seconds, Stream, Token
from jobroute.broker.submissions import Answer, Submissions
from jobroute.broker.waits import Calls
from jobroute.config import Limits
from jobroute.errors import BadMessage, BadProperty, JobrouteError, TooLarge
from jobroute.interfaces import AnswerKind, Caller, IDispatcher, IReplyTo
from jobroute.model import Frames, JobRequest, Target
from jobroute.model import Limits as TimeLimits
from jobroute.wire import text

_NULL = Raw(b"null")


class TargetObject(msgspec.Struct, forbid_unknown_fields=True):
    """
    A target with names, a number, or both.
    """

    agents: Annotated[list[Name], Meta(min_length=1)] | None = None
    count: Annotated[int, Meta(ge=1, lt=2**31)] | Literal["all"] | None = None


class JobProperties(Properties, kw_only=True):
    """
    What describes a job.
    """

    service: Annotated[Name, Meta(description="who does such jobs")]
    target: Annotated[
        Literal["any", "all"] | TargetObject, Meta(description="which agents do it")
    ] = "any"
    namespace: Annotated[Name, Meta(description="in which the id is unique")] = "default"
    client: Annotated[Name | None, Meta(description="who asks, for fairness")] = None
    header: Annotated[Raw, Meta(description="any JSON value for the agent")] = _NULL
    priority: Annotated[int, Meta(ge=-1000, le=1000, description="higher is delivered first")] = 0
    attempts: Annotated[
        int, Meta(ge=1, lt=2**31, description="how often it is given to an agent")
    ] = 1
    queue_limit: Annotated[Seconds | None, Meta(description="seconds in the queue")] = None
    run_limit: Annotated[Seconds | None, Meta(description="seconds of one attempt")] = None
    deadline: Annotated[Seconds | None, Meta(description="seconds for everything")] = None


class SubmitProperties(JobProperties, kw_only=True):
    """
    Of a job that is stored.
    """

    job: Annotated[Name | None, Meta(description="the job's id")] = None


class ManyJob(SubmitProperties, kw_only=True):
    """
    One job of a batch.

    @ivar frames: the sizes of its payload frames.
    """

    frames: list[Annotated[int, Meta(ge=0)]] = msgspec.field(default_factory=list)


class SubmitManyProperties(Properties, kw_only=True):
    """
    A batch, and what holds for all its jobs.
    """

    jobs: Annotated[list[Raw], Meta(min_length=1, description="the jobs")]
    service: Raw = _NULL
    target: Raw = _NULL
    namespace: Raw = _NULL
    client: Raw = _NULL
    header: Raw = _NULL
    priority: Raw = _NULL
    attempts: Raw = _NULL
    queue_limit: Raw = _NULL
    run_limit: Raw = _NULL
    deadline: Raw = _NULL


_COMMON = (
    "service",
    "target",
    "namespace",
    "client",
    "header",
    "priority",
    "attempts",
    "queue_limit",
    "run_limit",
    "deadline",
)


class CallProperties(JobProperties, kw_only=True):
    """
    Of a job that is not stored.
    """

    stream: Annotated[Stream, Meta(max_length=3, description="what to tell on the way")] = (
        msgspec.field(default_factory=list)
    )
    token: Annotated[Token | None, Meta(description="a secret to find it again by")] = None


def _target(given: str | TargetObject, limits: Limits) -> Target:
    if given == "any":
        return Target()
    if isinstance(given, str):
        return Target(None, None)
    names = given.agents
    if names is not None:
        if len(names) > limits.targets:
            raise TooLarge(
                f"target.agents has {len(names)} names, and {limits.targets} is the limit."
            )
        if len(set(names)) != len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise BadProperty(f"target.agents names {twice} twice.")
    count = None if given.count == "all" else given.count
    if names is None:
        return Target(None, 1 if given.count is None else count)
    if count is not None and count > len(names):
        raise BadProperty(f"target.count is {count}, and target.agents has {len(names)} names.")
    return Target(tuple(names), count)


def _check_header(header: Raw) -> None:
    try:
        text.check_value(header)
    except BadMessage as e:
        raise BadProperty(f"header: {e}") from e


def request(
    p: JobProperties, id: str | None, payload: Frames, caller: Caller, limits: Limits
) -> JobRequest:
    """
    A job as the dispatcher takes it.

    @raise JobrouteError: if it is over a limit.
    """
    if id is not None and id.isdecimal():
        raise BadProperty(f"job is {id}, and ids of digits alone are the broker's.")
    if len(payload) >= limits.frames:
        raise TooLarge(f"The job has {len(payload)} frames, and {limits.frames - 1} is the limit.")
    if p.header is not _NULL:
        _check_header(p.header)
    if p.attempts > limits.attempts:
        raise TooLarge(f"attempts is {p.attempts}, and {limits.attempts} is the limit.")
    return JobRequest(
        p.service,
        Target() if p.target == "any" else _target(p.target, limits),
        bytes(p.header),
        payload,
        p.namespace,
        id,
        caller.name if p.client is None else p.client,
        p.priority,
        p.attempts,
        TimeLimits(p.queue_limit, p.run_limit, p.deadline),
    )


@define(eq=False, repr=False)
class Submit(Command):
    """
    Accept a job; answered when it is on disk.
    """

    name = "SUBMIT"
    properties = SubmitProperties
    role = "operator"

    _submissions: Submissions
    _limits: Limits

    def execute(
        self, properties: SubmitProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        job = request(properties, properties.job, payload, caller, self._limits)

        def done(answers: list[Answer]) -> None:
            said = answers[0]
            refused = isinstance(said, JobrouteError)
            reply_to.answer(AnswerKind.ERROR if refused else AnswerKind.RESULT, said)

        self._submissions.submit([job], done)
        return LATER


_many_job = msgspec.json.Decoder(ManyJob)
_encode = msgspec.json.Encoder().encode
_member = msgspec.json.Decoder(dict[str, Raw])


@define(eq=False, repr=False)
class SubmitMany(Command):
    """
    Accept many jobs, each by itself; answered when all are on disk.
    """

    name = "SUBMIT_MANY"
    properties = SubmitManyProperties
    role = "operator"

    _submissions: Submissions
    _limits: Limits

    def execute(
        self, properties: SubmitManyProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        limit = self._limits.batch
        if len(properties.jobs) > limit:
            raise TooLarge(f"jobs has {len(properties.jobs)} jobs, and {limit} is the limit.")
        if len(payload) > 1:
            raise BadProperty("The payloads of all jobs must stand in one frame.")
        common = {
            name: getattr(properties, name)
            for name in _COMMON
            if getattr(properties, name) is not _NULL
        }
        answers: list[Any] = []
        requests: list[JobRequest] = []
        data = memoryview(payload[0] if payload else b"")
        at = 0
        for raw in properties.jobs:
            try:
                job = self._job(raw, common)
            except JobrouteError as e:
                # Where the next one's payload begins cannot be known any more.
                raise BadProperty(f"jobs[{len(answers)}]: {e}") from e
            frames: list[bytes] = []
            for size in job.frames:
                frames.append(bytes(data[at : at + size]))
                at += size
            if at > len(data):
                raise BadProperty("The frames of the jobs are longer than the payload.")
            try:
                requests.append(request(job, job.job, tuple(frames), caller, self._limits))
                answers.append(None)
            except JobrouteError as e:
                answers.append(e)
        if at != len(data):
            raise BadProperty("The frames of the jobs are shorter than the payload.")
        self._submit(requests, answers, reply_to)
        return LATER

    def _job(self, raw: Raw, common: dict[str, Raw]) -> ManyJob:
        try:
            if not common:
                return _many_job.decode(raw)
            return _many_job.decode(_encode({**common, **_member.decode(raw)}))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise BadProperty(text.sentence(e)) from e

    def _submit(
        self, requests: Sequence[JobRequest], answers: list[Any], reply_to: IReplyTo
    ) -> None:
        def done(given: Sequence[Answer]) -> None:
            said = iter(given)
            jobs = [
                {"error": str(answer), "code": answer.code}
                if isinstance(answer, JobrouteError)
                else answer
                for answer in (next(said) if a is None else a for a in answers)
            ]
            reply_to.answer(AnswerKind.RESULT, {"jobs": jobs})

        if requests:
            self._submissions.submit(requests, done)
        else:
            done(())


@define(eq=False, repr=False)
class Call(Command):
    """
    Do a job and give its outcome, with no disk on its way.
    """

    name = "CALL"
    properties = CallProperties
    role = "operator"

    _dispatcher: IDispatcher
    _calls: Calls
    _limits: Limits

    def execute(
        self, properties: CallProperties, payload: Frames, caller: Caller, reply_to: IReplyTo
    ) -> Any:
        """
        See L{Command.execute}.
        """
        token = properties.token or ""
        stream = tuple(properties.stream)
        if token:
            known = self._calls.answer(token)
            if known is not None:
                reply_to.answer(AnswerKind.RESULT, *known)
                return LATER
            job = self._dispatcher.find_call(token)
            if job is not None:
                self._dispatcher.wait(job, reply_to, caller.name, stream, None)
                return LATER
        job_request = request(properties, None, payload, caller, self._limits)
        self._dispatcher.call(job_request, reply_to, stream, token)
        return LATER
