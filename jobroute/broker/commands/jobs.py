# -*- test-case-name: tests.broker.test_commands -*-
"""
C{SUBMIT} and C{CALL}: work for agents.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

import msgspec
from attrs import define
from msgspec import Meta, Raw

from jobroute.broker.commands.base import LATER, Command, Name, Properties, Seconds, Stream, Token
from jobroute.broker.retries import DEFAULT
from jobroute.broker.submissions import Answer, Submissions
from jobroute.broker.waits import Calls
from jobroute.config import Limits
from jobroute.errors import BadMessage, BadProperty, JobrouteError, TooLarge
from jobroute.interfaces import AnswerKind, Caller, IDispatcher, IReplyTo
from jobroute.model import Frames, JobRequest, Retry, Target, Verdict
from jobroute.model import Limits as TimeLimits
from jobroute.wire import text

#: The header of a job that was given none.
NULL = Raw(b"null")


class TargetObject(msgspec.Struct, forbid_unknown_fields=True):
    """
    A target with names, a number, or both.
    """

    agents: Annotated[list[Name], Meta(min_length=1)] | None = None
    count: Annotated[int, Meta(ge=1, lt=2**31)] | Literal["all"] | None = None


class RetryObject(msgspec.Struct, forbid_unknown_fields=True):
    """
    Which outcomes of an attempt are worth another, and when.
    """

    on: tuple[Literal["lost", "failed", "timed_out", "refused"], ...] = ("lost",)
    delay: Annotated[float, Meta(ge=0, lt=text.YEAR)] = DEFAULT.delay
    factor: Annotated[float, Meta(ge=1, le=100)] = DEFAULT.factor
    max_delay: Annotated[float, Meta(ge=0, lt=text.YEAR)] = DEFAULT.max_delay
    jitter: Annotated[float, Meta(ge=0, le=1)] = DEFAULT.jitter

    def retry(self) -> Retry:
        """
        The same as the dispatcher takes it.

        @raise BadProperty: if it names something twice.
        """
        if len(set(self.on)) != len(self.on):
            twice = next(verdict for verdict, times in Counter(self.on).items() if times > 1)
            raise BadProperty(f"retry.on names {twice} twice.")
        on = tuple(map(Verdict, self.on))
        return Retry(on, self.delay, self.factor, self.max_delay, self.jitter)


TargetGiven = Literal["any", "all"] | TargetObject
Priority = Annotated[int, Meta(ge=-1000, le=1000, description="higher is delivered first")]
RetryGiven = Annotated[RetryObject | None, Meta(description="what is worth another attempt")]
MaxLost = Annotated[
    Annotated[int, Meta(ge=1, le=1000)] | None,
    Meta(description="how many agents a part may cost their lives"),
]
Attempts = Annotated[int, Meta(ge=1, lt=2**31, description="how often it is given to an agent")]


class JobProperties(Properties, kw_only=True):
    """
    What describes a job.
    """

    service: Annotated[Name, Meta(description="who does such jobs")]
    target: Annotated[TargetGiven, Meta(description="which agents do it")] = "any"
    namespace: Annotated[Name, Meta(description="in which the id is unique")] = "default"
    client: Annotated[Name | None, Meta(description="who asks, for fairness")] = None
    header: Annotated[Raw, Meta(description="any JSON value for the agent")] = NULL
    priority: Priority = 0
    attempts: Attempts = 1
    retry: RetryGiven = None
    max_lost: MaxLost = None
    queue_limit: Annotated[Seconds | None, Meta(description="seconds in the queue")] = None
    run_limit: Annotated[Seconds | None, Meta(description="seconds of one attempt")] = None
    deadline: Annotated[Seconds | None, Meta(description="seconds for everything")] = None


class SubmitProperties(JobProperties, kw_only=True):
    """
    Of a job that is stored.
    """

    job: Annotated[Name | None, Meta(description="the job's id")] = None


class CallProperties(JobProperties, kw_only=True):
    """
    Of a job that is not stored.
    """

    stream: Annotated[Stream, Meta(max_length=3, description="what to tell on the way")] = (
        msgspec.field(default_factory=list)
    )
    token: Annotated[Token | None, Meta(description="a secret to find it again by")] = None


_ANY = Target()


def checked_target(given: TargetGiven, limits: Limits) -> Target:
    """
    A target as the dispatcher takes it.

    @raise JobrouteError: if it is over a limit, or means nobody.
    """
    if given == "any":
        return _ANY
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


def checked_header(header: Raw) -> bytes:
    """
    A header as agents are given it.

    @raise BadProperty: if they could not read it.
    """
    if header is NULL:
        return b"null"
    try:
        text.check_value(header)
    except BadMessage as e:
        raise BadProperty(f"header: {e}") from e
    return bytes(header)


def checked_id(id: str | None, what: str = "job") -> str | None:
    """
    The id of a job that a client chose.

    @raise BadProperty: if it could be one of the broker's.
    """
    if id is not None and id.isdecimal():
        raise BadProperty(f"{what} is {id}, and ids of digits alone are the broker's.")
    return id


def request(
    p: JobProperties,
    target: Target,
    header: bytes,
    id: str | None,
    payload: Frames,
    caller: Caller,
    limits: Limits,
) -> JobRequest:
    """
    A job as the dispatcher takes it.

    @raise JobrouteError: if it is over a limit.
    """
    checked_id(id)
    if len(payload) >= limits.frames:
        raise TooLarge(f"The job has {len(payload)} frames, and {limits.frames - 1} is the limit.")
    if p.attempts > limits.attempts:
        raise TooLarge(f"attempts is {p.attempts}, and {limits.attempts} is the limit.")
    return JobRequest(
        p.service,
        target,
        header,
        payload,
        p.namespace,
        id,
        caller.name if p.client is None else p.client,
        p.priority,
        p.attempts,
        TimeLimits(p.queue_limit, p.run_limit, p.deadline),
        None if p.retry is None else p.retry.retry(),
        p.max_lost,
    )


def _single(
    p: JobProperties, id: str | None, payload: Frames, caller: Caller, limits: Limits
) -> JobRequest:
    header = checked_header(p.header)
    return request(p, checked_target(p.target, limits), header, id, payload, caller, limits)


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
        job = _single(properties, properties.job, payload, caller, self._limits)

        def done(answers: list[Answer]) -> None:
            said = answers[0]
            refused = isinstance(said, JobrouteError)
            reply_to.answer(AnswerKind.ERROR if refused else AnswerKind.RESULT, said)

        self._submissions.submit([job], done)
        return LATER


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
        job_request = _single(properties, None, payload, caller, self._limits)
        self._dispatcher.call(job_request, reply_to, stream, token)
        return LATER
