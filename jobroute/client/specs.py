# -*- test-case-name: tests.client.test_asking -*-
"""
What a client is asked to do, as values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from jobroute.model import Retry, Target

#: Any JSON value.
Header = Any

#: One frame, or several.
Payload = bytes | tuple[bytes, ...] | list[bytes]

#: C{"any"}, C{"all"}, agents' names, a number of agents, or as in the protocol.
TargetLike = str | int | Sequence[str] | dict[str, Any] | Target

#: What is worth another attempt, or some attributes of that.
RetriesLike = Retry | dict[str, Any] | None


@frozen(kw_only=True)
class JobSpec:
    """
    A job to hand in; the attributes are the arguments of C{submit}.
    """

    service: str | None
    payload: Payload = ()
    target: TargetLike = "any"
    job: str | None = None
    header: Header = None
    priority: int = 0
    attempts: int = 1
    queue_limit: float | None = None
    run_limit: float | None = None
    deadline: float | None = None
    retries: RetriesLike = None
    max_lost: int | None = None


def job_spec(
    service: str | None,
    payload: Payload,
    job: str | None,
    target: TargetLike,
    header: Header,
    priority: int,
    attempts: int,
    limits: tuple[float | None, float | None, float | None],
    retries: RetriesLike,
    max_lost: int | None,
) -> JobSpec:
    """
    The job that the arguments of a method describe.

    @param limits: of the queue, of a run, and the deadline.
    """
    return JobSpec(
        service=service,
        payload=payload,
        target=target,
        job=job,
        header=header,
        priority=priority,
        attempts=attempts,
        queue_limit=limits[0],
        run_limit=limits[1],
        deadline=limits[2],
        retries=retries,
        max_lost=max_lost,
    )
