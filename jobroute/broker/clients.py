# -*- test-case-name: tests.broker.test_admission -*-
"""
How much each client has outstanding.
"""

from __future__ import annotations

from attrs import define, field

from jobroute.config import Limits
from jobroute.errors import Busy


@define(eq=False, repr=False)
class Clients:
    """
    Counts jobs, claims and waits by client, and says when it is enough.
    """

    _limits: Limits
    _jobs: dict[str, int] = field(factory=dict, init=False)
    _claims: dict[str, int] = field(factory=dict, init=False)
    _waits: dict[str, int] = field(factory=dict, init=False)

    def check(self, client: str, jobs: int = 1) -> None:
        """
        Make sure that a client may have so many jobs more.

        @raise Busy: if it may not.
        """
        outstanding = self._jobs.get(client, 0)
        if outstanding + jobs > self._limits.client_jobs:
            raise Busy(
                f"This client has {outstanding} jobs that have not ended, and "
                f"{self._limits.client_jobs} is the limit; wait for some of them."
            )
        if not outstanding and len(self._jobs) >= self._limits.clients:
            raise Busy("Too many clients have jobs; try again later.")

    def job(self, client: str) -> None:
        """
        A client has one job more.
        """
        self._jobs[client] = self._jobs.get(client, 0) + 1

    def job_over(self, client: str) -> None:
        """
        A client has one job less.
        """
        self._less(self._jobs, client)

    def claim(self, client: str) -> None:
        """
        A client has one submission more whose id is looked up.  It may be a
        job that exists, so that the jobs that it has don't count.

        @raise Busy: if it may not.
        """
        claims = self._claims.get(client, 0)
        if claims >= self._limits.client_jobs:
            raise Busy(
                f"This client has {claims} submissions under way, and "
                f"{self._limits.client_jobs} is the limit; wait for some of them."
            )
        if not claims and len(self._claims) >= self._limits.clients:
            raise Busy("Too many clients submit jobs; try again later.")
        self._claims[client] = claims + 1

    def claim_over(self, client: str) -> None:
        """
        An id was looked up.
        """
        self._less(self._claims, client)

    def wait(self, client: str) -> None:
        """
        A client has one wait more.

        @raise Busy: if it may not.
        """
        waits = self._waits.get(client, 0)
        if waits >= self._limits.waits:
            raise Busy(f"This client has {waits} waits, and that is the limit.")
        if not waits and len(self._waits) >= self._limits.clients:
            raise Busy("Too many clients wait; try again later.")
        self._waits[client] = waits + 1

    def wait_over(self, client: str) -> None:
        """
        A client has one wait less.
        """
        self._less(self._waits, client)

    @staticmethod
    def _less(counts: dict[str, int], client: str) -> None:
        count = counts.get(client, 0) - 1
        if count > 0:
            counts[client] = count
        else:
            counts.pop(client, None)

    def __len__(self) -> int:
        return len(self._jobs)
