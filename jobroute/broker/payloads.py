# -*- test-case-name: tests.broker.test_payloads -*-
"""
Payloads live on disk; the latest ones are in memory as well.
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import define, field

from jobroute.broker.parts import Job


@define(eq=False, repr=False)
class Payloads:
    """
    Lets the oldest payloads of stored jobs go when they are too much
    together; they are read from the store when an agent is given the job.

    @ivar limit: how many bytes are kept.
    """

    limit: int
    size: int = field(default=0, init=False)
    _jobs: OrderedDict[Job, int] = field(factory=OrderedDict, init=False)

    def keep(self, job: Job) -> None:
        """
        A job is on disk: its payload need not stay in memory.
        """
        if not job.payload or not job.open:
            return
        size = sum(map(len, job.payload))
        self._jobs[job] = size
        self.size += size
        while self.size > self.limit:
            oldest, size = self._jobs.popitem(last=False)
            oldest.payload = None
            self.size -= size

    def drop(self, job: Job) -> None:
        """
        A job ended.
        """
        self.size -= self._jobs.pop(job, 0)
