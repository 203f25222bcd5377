# -*- test-case-name: tests.testing.test_contexts -*-
"""
Testing a service function by itself, with no broker and no agent.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import define, field
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed

from jobroute.agent import Context
from jobroute.agent.attempts import Attempt
from jobroute.config import Limits
from jobroute.interfaces import Delivery
from jobroute.model import Frames

_encode = msgspec.json.Encoder().encode


@define(eq=False)
class _Listener:
    """
    Keeps what a function says.
    """

    progresses: list[Any] = field(factory=list)
    partials: list[Frames] = field(factory=list)

    def progress(self, attempt: Attempt, value: Raw) -> None:
        """
        It got so far.
        """
        self.progresses.append(msgspec.json.decode(value))

    def partial(self, attempt: Attempt, payload: Frames) -> Deferred[None]:
        """
        It has a partial result.
        """
        self.partials.append(payload)
        return succeed(None)


class LooseContext(Context):
    """
    A context that belongs to no agent.  C{cancel()} cancels it, and
    C{inputs.put(frames)} gives it an input.

    @ivar progresses: what the function said of its progress.
    @ivar partials: the partial results that it handed in, as frames.
    """

    def __init__(self, delivery: Delivery, listener: _Listener) -> None:
        super().__init__(Attempt(delivery), listener, Limits())
        self.progresses = listener.progresses
        self.partials = listener.partials


def context(
    *payload: bytes,
    header: Any = None,
    job: str = "job",
    index: int = 0,
    attempt: int = 1,
    service: str = "service",
    run_limit: float | None = None,
) -> LooseContext:
    """
    What a service function is given beside its payload: C{resize(b"...",
    context(b"..."))}.

    @param payload: the frames of the payload.
    @param header: any JSON value.
    """
    delivery = Delivery(
        part=1,
        attempt=attempt,
        job=job,
        index=index,
        service=service,
        header=_encode(header),
        run_limit=run_limit,
        volatile=False,
        payload=payload,
    )
    return LooseContext(delivery, _Listener())
