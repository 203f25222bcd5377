# -*- test-case-name: tests.client.test_outcomes -*-
"""
The broker's error codes as exceptions.
"""

from __future__ import annotations

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


def refusal(text: str, code: str) -> JobrouteError:
    """
    The exception for an error answer; L{jobroute.errors.Refused} if there
    is none of that code.
    """
    kind = BY_CODE.get(code)
    return errors.Refused(text, code) if kind is None else kind(text)
