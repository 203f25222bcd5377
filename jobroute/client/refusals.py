# -*- test-case-name: tests.client.test_outcomes -*-
"""
The broker's error codes as exceptions.
"""

from __future__ import annotations

from random import Random

from jobroute import errors
from jobroute.errors import JobrouteError

#: Which exception stands for which code.
BY_CODE: dict[str, type[JobrouteError]] = {
    kind.code: kind
    for kind in (
        errors.BadMessage,
        errors.BadVersion,
        errors.TooLarge,
        errors.UnknownCommand,
        errors.BadProperty,
        errors.NoSuchJob,
        errors.NoSuchAgent,
        errors.NotEnoughAgents,
        errors.JobConflict,
        errors.JobNotDone,
        errors.Quarantined,
        errors.NothingToRetry,
        errors.NotRunning,
        errors.UnknownOutcome,
        errors.WaitTimeout,
        errors.Busy,
        errors.StorageUnavailable,
        errors.Stopping,
        errors.InternalError,
    )
}


#: The first and the longest pause before a busy broker is asked again that
#: does not say when.
_PAUSE = 0.05
_MOST_PAUSE = 5.0

#: The longest that a broker may say.
_MOST_TOLD = 60.0


def asked_after(error: errors.Busy, refused: int, random: Random) -> float:
    """
    How long to wait before a busy broker is asked again: as it said, or
    longer each time.

    @param refused: how often it has refused before.
    """
    if error.retry_after is not None:
        # It is spread by the broker already; but nobody is sent away for ever.
        return min(max(error.retry_after, _PAUSE), _MOST_TOLD)
    longest: float = min(_PAUSE * 2 ** min(refused, 16), _MOST_PAUSE)
    return longest * random.uniform(0.5, 1.0)


def refusal(text: str, code: str, retry_after: float | None = None) -> JobrouteError:
    """
    The exception for an error answer; L{jobroute.errors.Refused} if there
    is none of that code.
    """
    kind = BY_CODE.get(code)
    if kind is None:
        return errors.Refused(text, code)
    return kind(text, retry_after) if issubclass(kind, errors.Busy) else kind(text)
