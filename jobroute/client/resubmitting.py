# -*- test-case-name: tests.client.test_faces -*-
"""
The methods of a client that are about submitting again what has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from attrs import define

from jobroute.client.asking import Asking
from jobroute.client.outcomes import Submitted
from jobroute.client.request import Request

T = TypeVar("T")


class Ask(Protocol):
    """
    How a face carries a request to the broker.
    """

    def __call__(self, request: Request[T]) -> Awaitable[T]:
        """
        @return: its value, or fails with a
            L{jobroute.errors.JobrouteError}.
        """


@define(eq=False)
class Resubmitting:
    """
    Part of L{jobroute.client.methods.Methods}.
    """

    _asking: Asking
    _ask: Ask

    async def retry(
        self,
        job: str,
        *,
        new: str | None = None,
        everything: bool = False,
        force: bool = False,
        timeout: float | None = None,
    ) -> Submitted:
        """
        Submit a job that has ended again, as a new one: those of its parts
        that did not succeed.

        @param new: the new job's id; random if it is L{None}.
        @param everything: also the parts that succeeded.
        @param force: also those in quarantine, which leave it.
        @param timeout: as in L{submit}.
        @raise JobNotDone: if it has not ended.
        @raise NothingToRetry: if all of it succeeded.
        @raise Quarantined: if it has cost too many agents their lives.
        """
        return await self._ask(
            self._asking.again(
                "RETRY", job, new, self._asking.new_id(), timeout, all=everything, force=force
            )
        )

    async def quarantine(
        self, *, service: str | None = None, limit: int = 100, before: Any = None
    ) -> dict[str, Any]:
        """
        A page of this namespace's parts in quarantine, the newest first.

        @param before: the C{next} of the page before.
        @return: C{parts} and C{next}.
        """
        return await self._ask(self._asking.quarantine(service, limit, before))

    async def quarantine_retry(
        self, job: str, *, new: str | None = None, timeout: float | None = None
    ) -> Submitted:
        """
        Submit the quarantined parts of a job again, as a new one.  How many
        agents they cost counts from 0.

        @param new: as in L{retry}, and so is C{timeout}.
        @raise NothingToRetry: if none is in quarantine any more.
        """
        return await self._ask(
            self._asking.again("QUARANTINE_RETRY", job, new, self._asking.new_id(), timeout)
        )

    async def quarantine_drop(self, job: str, index: int | None = None) -> int:
        """
        Take the quarantined parts of a job, or one of them, out of the list.

        @return: how many were in it.
        """
        return await self._ask(self._asking.quarantine_drop(job, index))
