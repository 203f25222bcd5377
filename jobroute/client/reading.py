# -*- test-case-name: tests.client.test_outcomes -*-
"""
From answers to values.

Each function raises L{jobroute.errors.BadMessage} if an answer is not what
the protocol says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from jobroute.client.outcomes import (
    JobLine,
    Outcome,
    Page,
    Partial,
    PartOutcome,
    Progress,
    Submitted,
)
from jobroute.errors import BadMessage
from jobroute.model import Frames, Verdict
from jobroute.wire import text

T = TypeVar("T")


class _Submitted(msgspec.Struct):
    job: str
    number: int
    parts: int
    existing: bool = False


class _Refused(msgspec.Struct):
    error: str
    code: str
    retry_after: float | None = None


class _SubmittedMany(msgspec.Struct):
    jobs: list[dict[str, Any]]


class _Part(msgspec.Struct):
    index: int
    verdict: Verdict
    agent: str | None = None
    attempts: int = 0
    reason: str | None = None
    frames: int = 0
    omitted: bool = False


class _Outcome(msgspec.Struct):
    job: str
    number: int
    parts: list[_Part]
    verdicts: dict[Verdict, int] = {}


class _Progress(msgspec.Struct):
    job: str
    index: int
    attempt: int
    value: Any = None


class _Partial(msgspec.Struct):
    job: str
    index: int
    attempt: int
    sequence: int


class _Cancelling(msgspec.Struct):
    cancelling: int


class _Dropped(msgspec.Struct):
    dropped: int


class _Why(msgspec.Struct):
    parts: list[dict[str, Any]]


class _Pong(msgspec.Struct):
    epoch: int


class _Line(msgspec.Struct):
    job: str
    number: int
    namespace: str
    service: str
    client: str
    submitted: float
    state: str
    parts: int
    ended: float | None = None
    verdicts: dict[Verdict, int] = {}


class _Page(msgspec.Struct):
    jobs: list[_Line]
    next: Any = None


def _convert(value: Any, kind: Callable[..., T]) -> T:
    try:
        return msgspec.convert(value, kind)  # type: ignore[no-any-return]
    except (msgspec.ValidationError, RecursionError) as e:
        raise BadMessage(f"The broker's answer is wrong: {text.sentence(e)}") from e


def read_dict(value: Any, frames: Frames) -> dict[str, Any]:
    """
    An answer that is given to the user as it came.
    """
    if not isinstance(value, dict):
        raise BadMessage("The broker's answer is wrong: it is no JSON object.")
    return value


def read_why(value: Any, frames: Frames) -> list[dict[str, Any]]:
    """
    The answer to C{WHY}; what it says of each part is given as it came.
    """
    return _convert(value, _Why).parts


def read_nothing(value: Any, frames: Frames) -> None:
    """
    An answer that only says that it was done.
    """


def read_epoch(value: Any) -> int:
    """
    The epoch in the answer to C{PING}.
    """
    return _convert(value, _Pong).epoch


def read_submitted(value: Any, frames: Frames) -> Submitted:
    """
    The answer to C{SUBMIT}.
    """
    said = _convert(value, _Submitted)
    return Submitted(said.job, said.number, said.parts, said.existing)


def read_submitted_many(value: Any, count: int) -> list[Submitted | tuple[str, str, float | None]]:
    """
    The answer to C{SUBMIT_MANY}.

    @param count: how many jobs were sent.
    @return: for each what became of it, or the error's text and code.
    """
    said = _convert(value, _SubmittedMany).jobs
    if len(said) != count:
        raise BadMessage(
            f"The broker's answer is wrong: it is about {len(said)} jobs, not {count}."
        )
    done: list[Submitted | tuple[str, str, float | None]] = []
    for each in said:
        if "error" in each:
            refused = _convert(each, _Refused)
            done.append((refused.error, refused.code, refused.retry_after))
        else:
            done.append(read_submitted(each, ()))
    return done


def _part(said: _Part, frames: Frames) -> PartOutcome:
    return PartOutcome(
        said.index, said.verdict, said.agent, said.attempts, said.reason, frames, said.omitted
    )


def read_part(value: Any, frames: Frames) -> PartOutcome:
    """
    A part with its result: the answer to C{RESULT}, or streamed.
    """
    return _part(_convert(value, _Part), frames)


def read_outcome(value: Any, frames: Frames, streamed: dict[int, PartOutcome]) -> Outcome:
    """
    The answer to C{CALL} and C{WAIT}.

    @param streamed: the parts that came before, for those whose results are
        left out.
    """
    said = _convert(value, _Outcome)
    parts = []
    at = 0
    for part in said.parts:
        if part.frames < 0 or at + part.frames > len(frames):
            raise BadMessage("The broker's answer is wrong: it has too few frames.")
        if part.omitted and part.index in streamed:
            parts.append(streamed[part.index])
        else:
            parts.append(_part(part, frames[at : at + part.frames]))
        at += part.frames
    if at != len(frames):
        raise BadMessage("The broker's answer is wrong: it has too many frames.")
    return Outcome(said.job, said.number, said.verdicts, tuple(parts))


def read_progress(value: Any, frames: Frames) -> Progress:
    """
    A progress, streamed.
    """
    said = _convert(value, _Progress)
    return Progress(said.job, said.index, said.attempt, said.value)


def read_partial(value: Any, frames: Frames) -> Partial:
    """
    A partial result, streamed.
    """
    said = _convert(value, _Partial)
    return Partial(said.job, said.index, said.attempt, said.sequence, frames)


def read_cancelling(value: Any, frames: Frames) -> int:
    """
    The answer to C{CANCEL}.
    """
    return _convert(value, _Cancelling).cancelling


def read_dropped(value: Any, frames: Frames) -> int:
    """
    The answer to C{QUARANTINE_DROP}.
    """
    return _convert(value, _Dropped).dropped


def read_page(value: Any, frames: Frames) -> Page:
    """
    The answer to C{JOBS}.
    """
    said = _convert(value, _Page)
    return Page(tuple(JobLine(**msgspec.structs.asdict(line)) for line in said.jobs), said.next)
